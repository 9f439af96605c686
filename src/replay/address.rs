//! The address of a target: what was typed becomes scheme, authority and prefix, or an error that says how to write it.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::connect_to::{ConnectTo, ConnectToError, socket_path, split_zone};

/// What stands between a target's URL and where it is, where that is elsewhere.
pub(crate) const VIA: &str = " via ";

/// The URL of a target behind a Unix socket: what Host names, as curl and container runtimes have it.
const OF_A_SOCKET: &str = "http://localhost";

/// A stack to send to: scheme and authority, and what comes before each path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    /// Without the zone of an address, which is nothing to the target (RFC 6874, 3).
    url: Url,
    /// The link on which an IPv6 address is, as typed.
    zone: Option<String>,
    connect_to: ConnectTo,
    /// True when connections go elsewhere than the URL says.
    is_elsewhere: bool,
}

impl TargetUrl {
    /// Host and port as a Host header has them: the port only where it is not the scheme's own. `localhost` for a Unix
    /// socket.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.host();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Returns the host: a name, or an address, which is in brackets where it is IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Returns the port, the scheme's own where none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    /// Returns where connections go.
    #[must_use]
    pub const fn connect_to(&self) -> &ConnectTo {
        &self.connect_to
    }

    /// The same target, reached elsewhere than its URL says. Host and the name for TLS stay the URL's.
    #[must_use]
    pub fn at(self, connect_to: ConnectTo) -> Self {
        Self { is_elsewhere: connect_to != self.connect_to, connect_to, ..self }
    }

    /// Returns whether its URL alone does not lead to it, for a client that connects by URL or for a proxy: it is a Unix
    /// socket, an address on one link, or elsewhere than the URL says.
    #[must_use]
    pub(crate) const fn is_off_url(&self) -> bool {
        self.is_elsewhere || self.zone.is_some() || matches!(self.connect_to, ConnectTo::Unix(_))
    }

    /// Returns the URL as a client that sends by URL needs it.
    pub(super) fn base(&self) -> String {
        format!("{}://{}{}", self.url.scheme(), self.authority(), self.prefix())
    }

    /// Returns the prefix of each request's path: empty, or a path without a slash at its end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// Returns whether the target is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }
}

/// Without a slash at the end: `http://localhost:8080`. With where it is where the URL does not say so:
/// `https://www.example.com via 10.0.0.7:443`.
impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.connect_to, &self.zone) {
            (to, _) if self.is_elsewhere => write!(f, "{}{VIA}{to}", self.base()),
            (to @ ConnectTo::Unix(_), _) => to.fmt(f),
            (_, Some(zone)) => {
                let authority = self.authority().replacen(']', &format!("%{zone}]"), 1);
                write!(f, "{}://{authority}{}", self.url.scheme(), self.prefix())
            }
            (_, None) => f.write_str(&self.base()),
        }
    }
}

/// Errors of a typed target URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetUrlError {
    /// There is no `://`.
    #[error("`{typed}` has no scheme; write http://{host} or https://{host}")]
    NoScheme {
        /// Typed text.
        typed: String,
        /// The host and port in it.
        host: String,
    },
    /// A scheme that no request can be sent with.
    #[error("`{typed}`: requests can be sent by http and https, not by `{scheme}`")]
    Scheme {
        /// Typed text.
        typed: String,
        /// The scheme.
        scheme: String,
    },
    /// There is no host.
    #[error("`{typed}` has no host; write it as http://localhost:8080")]
    NoHost {
        /// Typed text.
        typed: String,
    },
    /// A query or fragment, which would be lost: each request brings its own.
    #[error("`{typed}` has a query or fragment, which would be lost since each request brings its own; write {origin}")]
    MoreThanAPath {
        /// Typed text.
        typed: String,
        /// URL without the query or fragment.
        origin: String,
    },
    /// User name or password.
    #[error(
        "the address of {origin} has a user name in it, which would end up in reports; \
         write --to {origin} and, where it is needed, --set-header 'Authorization: Basic ...'"
    )]
    Credentials {
        /// URL without the credentials.
        origin: String,
    },
    /// A Unix socket without a whole path, or an address on an interface that is not there.
    #[error(transparent)]
    ConnectTo(#[from] ConnectToError),
    /// No address at all.
    #[error("`{typed}` is not an address: {why}")]
    Invalid {
        /// Typed text.
        typed: String,
        /// The parser's words.
        why: String,
    },
}

impl FromStr for TargetUrl {
    type Err = TargetUrlError;

    fn from_str(typed: &str) -> Result<Self, TargetUrlError> {
        let own = || typed.to_owned();
        if let Some(path) = socket_path(typed) {
            let url = Url::parse(OF_A_SOCKET).map_err(|error| invalid(typed, error))?;
            return Ok(Self { url, zone: None, connect_to: ConnectTo::Unix(path?), is_elsewhere: false });
        }
        let Some((scheme, rest)) = typed.split_once("://") else {
            return Err(TargetUrlError::NoScheme { typed: own(), host: host_part(typed).to_owned() });
        };
        if !["http", "https"].iter().any(|known| scheme.trim_start().eq_ignore_ascii_case(known)) {
            return Err(TargetUrlError::Scheme { typed: own(), scheme: scheme.to_owned() });
        }
        // The parser would skip further slashes and take what follows for the host.
        if host_part(rest).is_empty() {
            return Err(TargetUrlError::NoHost { typed: own() });
        }
        let (without_zone, zone) = unzoned(typed);
        let url = Url::parse(&without_zone).map_err(|error| invalid(typed, error))?;
        Self::checked(url, zone, typed)
    }
}

impl TargetUrl {
    fn checked(url: Url, zone: Option<String>, typed: &str) -> Result<Self, TargetUrlError> {
        let credentials = !url.username().is_empty() || url.password().is_some();
        let more = url.query().is_some() || url.fragment().is_some();
        let host = url.host_str().unwrap_or_default().trim_end_matches(']');
        let zoned = zone.as_ref().map_or_else(|| host.to_owned(), |zone| format!("{host}%{zone}"));
        let zoned = zoned.trim_start_matches('[');
        let connect_to = ConnectTo::of_host(zoned, url.port_or_known_default().unwrap_or(80))?;
        let target = Self { url, zone, connect_to, is_elsewhere: false };
        let origin = target.to_string();
        if credentials {
            return Err(TargetUrlError::Credentials { origin });
        }
        if more {
            return Err(TargetUrlError::MoreThanAPath { typed: typed.to_owned(), origin });
        }
        Ok(target)
    }
}

/// A URL without the zone of the address in it, which the parser does not know, and the zone.
fn unzoned(typed: &str) -> (String, Option<String>) {
    let Some((before, rest)) = typed.split_once("://[") else { return (typed.to_owned(), None) };
    let Some((host, after)) = rest.split_once(']') else { return (typed.to_owned(), None) };
    let Some((address, zone)) = split_zone(host) else { return (typed.to_owned(), None) };
    (format!("{before}://[{address}]{after}"), Some(zone.to_owned()))
}

fn invalid(typed: &str, error: url::ParseError) -> TargetUrlError {
    match error {
        url::ParseError::EmptyHost => TargetUrlError::NoHost { typed: typed.to_owned() },
        error => TargetUrlError::Invalid { typed: typed.to_owned(), why: error.to_string() },
    }
}

fn host_part(rest: &str) -> &str {
    rest.trim().split(['/', '\\', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_origins() {
        for (typed, shown, authority) in [
            ("http://localhost:8080", "http://localhost:8080", "localhost:8080"),
            ("http://localhost:80/", "http://localhost", "localhost"),
            ("https://staging.example.com:443", "https://staging.example.com", "staging.example.com"),
            ("https://staging.example.com:80", "https://staging.example.com:80", "staging.example.com:80"),
            ("HTTP://10.0.0.1", "http://10.0.0.1", "10.0.0.1"),
            ("http://[::1]:81", "http://[::1]:81", "[::1]:81"),
            ("http://h/v2/", "http://h/v2", "h"),
            ("http://h:81/a/b", "http://h:81/a/b", "h:81"),
            ("unix:/run/app.sock", "unix:/run/app.sock", "localhost"),
            // Host has no zone, which is nothing to the target.
            ("http://[fe80::1%257]:80", "http://[fe80::1%7]", "[fe80::1]"),
            ("http://[fe80::1%7]:81/v2", "http://[fe80::1%7]:81/v2", "[fe80::1]:81"),
        ] {
            let target: TargetUrl = typed.parse().unwrap();
            assert_eq!((target.to_string().as_str(), target.authority().as_str()), (shown, authority), "{typed}");
        }
        assert!("https://h".parse::<TargetUrl>().unwrap().is_tls());
        let zoned: TargetUrl = "http://[fe80::1%257]".parse().unwrap();
        assert_eq!(zoned.connect_to().to_string(), "[fe80::1%7]:80");
        assert!(zoned.is_off_url());
        let elsewhere = "https://h/v2".parse::<TargetUrl>().unwrap().at("10.0.0.7:8443".parse().unwrap());
        assert_eq!(elsewhere.to_string(), "https://h/v2 via 10.0.0.7:8443");
        assert_eq!((elsewhere.authority().as_str(), elsewhere.is_off_url()), ("h", true));
    }

    #[test]
    fn what_is_no_origin_is_refused_with_advice() {
        for (typed, words) in [
            ("localhost:8080", "`localhost:8080` has no scheme; write http://localhost:8080"),
            ("staging/v2", "`staging/v2` has no scheme; write http://staging"),
            ("ftp://h", "not by `ftp`"),
            ("http://", "has no host"),
            ("http:///x", "has no host"),
            ("http://?q", "has no host"),
            ("http://h/v2?q", "which would be lost since each request brings its own; write http://h/v2"),
            ("http://h:81?q=1", "write http://h:81"),
            ("http://h/#top", "write http://h"),
            ("http://h:99999", "is not an address: invalid port number"),
            ("http://a b", "is not an address"),
            ("http://[fe80::1%25no-such0]", "`no-such0` is no interface of this machine"),
            ("unix:app.sock", "begins with /"),
        ] {
            let error = typed.parse::<TargetUrl>().unwrap_err().to_string();
            assert!(error.contains(words), "{typed}: {error}");
        }
    }

    #[test]
    fn credentials_are_refused_without_repeating_them() {
        let error = "https://me:secret@h".parse::<TargetUrl>().unwrap_err().to_string();
        assert!(error.contains("--set-header") && error.contains("https://h"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
