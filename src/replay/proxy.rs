//! The address of a proxy on the way to a target: what was typed becomes a URL, or an error that says how to write it.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Schemes of proxies that can be used. `socks5h` has the proxy look the target's name up.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// A proxy that requests go through: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUrl(Url);

/// The port of a SOCKS proxy where none is typed.
const SOCKS: u16 = 1080;

impl ProxyUrl {
    /// Returns the host: a name, or an address, which is in brackets where it is IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Returns whether it is a SOCKS proxy that is told the target's name rather than its address.
    #[must_use]
    pub(crate) fn looks_names_up(&self) -> bool {
        self.0.scheme() == "socks5h"
    }

    /// The port that is connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(SOCKS)
    }

    /// Returns whether the proxy is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns whether it passes on any bytes sent through it, for a target of any scheme: other proxies read requests
    /// to a target without TLS (RFC 9112, 3.2.2).
    #[must_use]
    pub(crate) fn tunnels_all(&self) -> bool {
        self.0.scheme().starts_with("socks")
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Errors of a typed proxy URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// It has no scheme, or one that no proxy is spoken to by.
    #[error("`{typed}` is no proxy; write http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT")]
    Scheme {
        /// Typed text.
        typed: String,
    },
    /// There is a path, or no host.
    #[error("`{typed}` is no address of a proxy: {why}; write it as http://proxy:3128")]
    Invalid {
        /// Typed text.
        typed: String,
        /// Fault of the text.
        why: String,
    },
    /// User name or password.
    #[error("the address of the proxy has a user name in it: everybody on this machine sees it there (ps)")]
    Credentials,
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(typed: &str) -> Result<Self, ProxyUrlError> {
        let own = || typed.to_owned();
        let scheme = typed.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme.as_str())) {
            return Err(ProxyUrlError::Scheme { typed: own() });
        }
        let invalid = |why: &str| ProxyUrlError::Invalid { typed: own(), why: why.to_owned() };
        let url = Url::parse(typed).map_err(|error| invalid(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ProxyUrlError::Credentials);
        }
        if url.host_str().unwrap_or_default().is_empty() {
            return Err(invalid("it has no host"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it has a path"));
        }
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_scheme_and_an_authority() {
        for (typed, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("HTTPS://proxy/", "https://proxy"),
            ("socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"),
            ("socks5h://[::1]:1080", "socks5h://[::1]:1080"),
        ] {
            assert_eq!(typed.parse::<ProxyUrl>().map(|proxy| proxy.to_string()).as_deref(), Ok(shown), "{typed}");
        }
        assert!("https://p".parse::<ProxyUrl>().unwrap().is_tls());
        assert!("socks5h://p".parse::<ProxyUrl>().unwrap().tunnels_all());
    }

    #[test]
    fn what_is_no_proxy_is_told_with_how_to_write_one() {
        for (typed, why) in [
            ("proxy:3128", "write http://HOST:PORT"),
            ("ftp://proxy", "write http://HOST:PORT"),
            ("http://", "no address of a proxy"),
            ("http://proxy/path", "it has a path"),
            ("socks5://proxy:1080/?x", "it has a path"),
            ("http://u:s3cret@proxy", "everybody on this machine sees it"),
        ] {
            let error = typed.parse::<ProxyUrl>().unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("s3cret"), "{typed}: {error}");
        }
    }
}
