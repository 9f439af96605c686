//! Where connections to a target go: what its URL or `--connect-to` says becomes a name, an address or a Unix socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// What begins the path of a Unix socket.
const UNIX: &str = "unix:";

/// Where connections to a target go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectTo {
    /// A name to look up, and a port.
    Name(String, u16),
    /// An address, which is never looked up.
    Address(SocketAddr),
    /// A stream socket in the file system.
    Unix(PathBuf),
}

/// One address that connections are made to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A stream socket in the file system.
    Unix(Arc<PathBuf>),
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// Errors of a typed destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectToError {
    /// It is neither a host with a port nor a socket.
    #[error("`{typed}` is no place to connect to; write HOST:PORT, [ADDRESS]:PORT or unix:/PATH")]
    Invalid {
        /// Typed text.
        typed: String,
    },
    /// A socket without a path that begins at the root.
    #[error("`{typed}`: the path of a socket begins with /, such as unix:/run/app.sock")]
    RelativePath {
        /// Typed text.
        typed: String,
    },
    /// An address of one link, of which this machine knows nothing.
    #[error("`{zone}` is no interface of this machine, and {address} is an address on one: see shadowtap interfaces")]
    Zone {
        /// The address without its zone.
        address: String,
        /// The interface.
        zone: String,
    },
}

impl ConnectTo {
    /// The place of `host`, which may be a name or an address, an IPv6 one in brackets or without, with its zone or
    /// without.
    ///
    /// # Errors
    ///
    /// Where the address is in a zone that this machine does not have.
    pub(crate) fn of_host(host: &str, port: u16) -> Result<Self, ConnectToError> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(SocketAddr::new(ip, port)));
        }
        if let Some((address, zone)) = split_zone(bare)
            && let Ok(ip) = address.parse()
        {
            return Ok(Self::Address(SocketAddrV6::new(ip, port, 0, scope_id(address, zone)?).into()));
        }
        Ok(Self::Name(bare.to_owned(), port))
    }

    /// Returns the port, where it has one.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Name(_, port) => Some(*port),
            Self::Address(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

/// Splits an IPv6 address from its zone: `%25` as in a URL (RFC 6874), `%` as everywhere else (RFC 4007, 11.2).
pub(super) fn split_zone(host: &str) -> Option<(&str, &str)> {
    let (address, zone) = host.split_once('%')?;
    let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
    (!zone.is_empty()).then_some((address, zone))
}

/// Returns the number of a zone: of an interface, or as typed.
fn scope_id(address: &str, zone: &str) -> Result<u32, ConnectToError> {
    let unknown = || ConnectToError::Zone { address: address.to_owned(), zone: zone.to_owned() };
    zone.parse().or_else(|_| nix::net::if_::if_nametoindex(zone).map_err(|_| unknown()))
}

/// Returns the path of a Unix socket; `None` where `typed` names none.
pub(super) fn socket_path(typed: &str) -> Option<Result<PathBuf, ConnectToError>> {
    let path = typed.strip_prefix(UNIX)?;
    // As in a URL, further slashes change nothing: unix:///run/app.sock.
    let inner = path.trim_start_matches('/');
    let is_whole = path.starts_with('/') && !inner.trim_end_matches('/').is_empty() && !inner.contains('\0');
    let invalid = || ConnectToError::RelativePath { typed: typed.to_owned() };
    Some(if is_whole { Ok(PathBuf::from(format!("/{inner}"))) } else { Err(invalid()) })
}

impl FromStr for ConnectTo {
    type Err = ConnectToError;

    fn from_str(typed: &str) -> Result<Self, ConnectToError> {
        if let Some(path) = socket_path(typed) {
            return path.map(Self::Unix);
        }
        let invalid = || ConnectToError::Invalid { typed: typed.to_owned() };
        let (host, port) = typed.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(invalid)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_name = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/:[]@?#%".contains(c));
        if !is_name && !is_bracketed {
            return Err(invalid());
        }
        match Self::of_host(host, port)? {
            Self::Name(..) if is_bracketed => Err(invalid()),
            destination => Ok(destination),
        }
    }
}

impl fmt::Display for ConnectTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Address(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_connect_to_are_names_addresses_and_sockets() {
        for (typed, shown) in [
            ("new-lb:8443", "new-lb:8443"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("[::1]:80", "[::1]:80"),
            ("[fe80::1%7]:80", "[fe80::1%7]:80"),
            ("[fe80::1%257]:80", "[fe80::1%7]:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(typed.parse::<ConnectTo>().map(|to| to.to_string()).as_deref(), Ok(shown), "{typed}");
        }
        assert!(matches!("[fe80::1%7]:80".parse(), Ok(ConnectTo::Address(SocketAddr::V6(to))) if to.scope_id() == 7));
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_right_form() {
        for (typed, words) in [
            ("new-lb", "write HOST:PORT"),
            ("http://new-lb:80", "write HOST:PORT"),
            ("::1:80", "write HOST:PORT"),
            ("new-lb:0", "write HOST:PORT"),
            ("[new-lb]:80", "write HOST:PORT"),
            ("unix:app.sock", "begins with /"),
            ("unix:", "begins with /"),
            ("[fe80::1%no-such0]:80", "`no-such0` is no interface of this machine"),
        ] {
            let error = typed.parse::<ConnectTo>().unwrap_err().to_string();
            assert!(error.contains(words), "{typed}: {error}");
        }
    }
}
