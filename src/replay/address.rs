//! The address of a target: what was typed becomes scheme, authority and prefix, or an error that says how to write it.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A stack to send to: scheme and authority, and what comes before each path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl(pub Url);

impl TargetUrl {
    /// Host and port as a Host header has them: the port only where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Returns the prefix of each request's path: empty, or a path without a slash at its end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }

    /// Returns whether the target is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// Without a slash at the end: `http://localhost:8080`.
impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme(), self.authority(), self.prefix())
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
        let url = Url::parse(typed).map_err(|error| match error {
            url::ParseError::EmptyHost => TargetUrlError::NoHost { typed: own() },
            error => TargetUrlError::Invalid { typed: own(), why: error.to_string() },
        })?;
        Self::checked(url, typed)
    }
}

impl TargetUrl {
    fn checked(url: Url, typed: &str) -> Result<Self, TargetUrlError> {
        let credentials = !url.username().is_empty() || url.password().is_some();
        let more = url.query().is_some() || url.fragment().is_some();
        let target = Self(url);
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
        ] {
            let target: TargetUrl = typed.parse().unwrap();
            assert_eq!((target.to_string().as_str(), target.authority().as_str()), (shown, authority), "{typed}");
        }
        assert!("https://h".parse::<TargetUrl>().unwrap().is_tls());
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
