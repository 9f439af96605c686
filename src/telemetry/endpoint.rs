//! The address of another system. Its path may be a secret, and is never shown.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// An address that telemetry is sent to.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Error of an address that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}; write an address such as http://collector:4318")]
pub struct EndpointError {
    why: String,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(typed: &str) -> Result<Self, EndpointError> {
        let error = |why: &str| EndpointError { why: why.to_owned() };
        let url = Url::parse(typed.trim()).map_err(|why| error(&format!("it is no URL: {why}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(error(&format!("`{}` is neither http nor https", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(error("it names no host"));
        }
        Ok(Self(url))
    }
}

impl Endpoint {
    /// The address itself, with this path where it has none.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        if url.path() == "/" {
            url.set_path(path);
        }
        url
    }

    /// Returns whether it speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The port that is connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }
}

/// Without what may be a secret in it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let endpoint: Endpoint = "https://user:hush@hooks.example.com:8443/services/T0/secret?token=x".parse().unwrap();
        assert_eq!(format!("{endpoint} {endpoint:?}"), "https://hooks.example.com:8443 https://hooks.example.com:8443");
        assert_eq!((endpoint.port(), endpoint.is_tls()), (8443, true));
        let plain: Endpoint = "http://collector:4318".parse().unwrap();
        assert_eq!(plain.url("/v1/traces").as_str(), "http://collector:4318/v1/traces");
        assert_eq!(endpoint.url("/x").path(), "/services/T0/secret");
        for (typed, part) in
            [("collector:4318", "neither http"), ("x", "no URL"), ("ftp://h/", "neither http"), ("http://", "no URL")]
        {
            let told = typed.parse::<Endpoint>().unwrap_err().to_string();
            assert!(told.contains(part) && told.contains("such as http://collector:4318"), "{told}");
        }
    }
}
