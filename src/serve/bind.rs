//! The address at which a run is shown.

use crate::causes::Help;
use std::borrow::Cow;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;

use super::access::{Access, Tokens};
use super::{RunView, connections, http};

/// A bound address; nothing is served before [`Server::start`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    access: Access,
}

/// Errors of binding an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It is no address with a port.
    #[error("`{0}` is no address with a port; write it so: 127.0.0.1:9184")]
    Address(String),
    /// Its name is not known.
    #[error("`{typed}`")]
    Name {
        /// Typed text.
        typed: String,
        /// The system's words.
        source: io::Error,
    },
    /// It cannot be listened at.
    #[error("cannot listen at {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

impl Help for ServeError {
    fn help(&self) -> Option<Cow<'static, str>> {
        let (address, error) = match self {
            Self::Address(_) => return None,
            Self::Name { .. } => return Some("an address such as 127.0.0.1:9184 always works".into()),
            Self::Bind { address, source } => (address, source),
        };
        let port = address.port();
        Some(match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another process does, perhaps another run; take another port, or find it with ss -ltnp sport = :{port}"
            )
            .into(),
            io::ErrorKind::PermissionDenied => {
                format!("port {port} is for root; take one from 1024 on, such as 9184").into()
            }
            io::ErrorKind::AddrNotAvailable => {
                "no interface of this machine has that address; 127.0.0.1 always works".into()
            }
            _ => return None,
        })
    }
}

impl Server {
    /// Listens at `typed`, `ADDRESS:PORT`; port 0 is any that is free. With a token for control only who shows it may
    /// steer the run; without one the page may, where the address is one of this machine alone.
    ///
    /// # Errors
    ///
    /// Where `typed` is no address, its name is not known, or it cannot be listened at.
    pub fn bind(typed: &str, tokens: Tokens) -> Result<Self, ServeError> {
        let no_address = || ServeError::Address(typed.to_owned());
        let (name, port) = typed.rsplit_once(':').ok_or_else(no_address)?;
        if name.is_empty() || port.parse::<u16>().is_err() || (name.contains(':') && !name.starts_with('[')) {
            return Err(no_address());
        }
        let mut found =
            typed.to_socket_addrs().map_err(|source| ServeError::Name { typed: typed.to_owned(), source })?;
        let wanted = found.next().ok_or_else(no_address)?;
        let refused = |source| ServeError::Bind { address: wanted, source };
        let listener = TcpListener::bind(wanted).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, access: Access::new(address, name, tokens) })
    }

    /// Returns the address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns whether anybody may control the run from here.
    #[cfg(test)]
    #[must_use]
    pub(crate) const fn steers(&self) -> bool {
        self.access.steers()
    }

    /// Returns whether anybody may open the page here.
    #[must_use]
    pub const fn shows_page(&self) -> bool {
        self.access.shows_page()
    }

    /// Shows `run` from now on, for as long as the runtime lives. To be called within it.
    ///
    /// # Errors
    ///
    /// Where the runtime cannot watch the listener.
    pub fn start(self, run: Arc<dyn RunView>) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let router = http::router(run, self.access);
        tokio::spawn(connections::serve(listener, router));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Token;

    fn bind(typed: &str) -> Result<Server, ServeError> {
        Server::bind(typed, Tokens::default())
    }

    #[track_caller]
    fn refused(typed: &str, part: &str) {
        let error = crate::help::say(&bind(typed).unwrap_err());
        assert!(error.contains(part), "{typed}: {error}");
    }

    #[test]
    fn what_is_no_address_is_told_with_one() {
        for typed in ["9184", ":9184", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "::1:9184", ""] {
            refused(typed, "write it so: 127.0.0.1:9184");
        }
    }

    #[test]
    fn an_address_that_cannot_be_had_is_told_with_what_helps() {
        let taken = bind("127.0.0.1:0").unwrap();
        refused(&taken.address().to_string(), "another process does");
        refused("192.0.2.1:9184", "127.0.0.1 always works");
    }

    #[test]
    fn names_and_both_kinds_of_addresses_are_taken() {
        for typed in ["localhost:0", "127.0.0.1:0", "[::1]:0"] {
            let server = bind(typed);
            // A machine may have no IPv6.
            if typed != "[::1]:0" {
                assert!(server.unwrap().address().ip().is_loopback(), "{typed}");
            }
        }
    }

    #[test]
    fn only_this_machine_may_steer_and_see_the_page_without_a_token() {
        assert!(bind("127.0.0.1:0").unwrap().shows_page() && !bind("0.0.0.0:0").unwrap().shows_page());
        assert!(bind("127.0.0.1:0").unwrap().steers());
        assert!(!bind("0.0.0.0:0").unwrap().steers());
        assert!(Server::bind("0.0.0.0:0", Tokens { control: Some(Token::random()), metrics: None }).unwrap().steers());
    }
}
