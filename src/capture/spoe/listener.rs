//! Where HAProxy is listened for: a TCP address, or a Unix socket.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::Mode;

use crate::files::{self, Folder, is_open_to_others};
use crate::priority::Priority;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoeAddress {
    /// Over TCP.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl SpoeAddress {
    /// Returns whether others than this machine may reach it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }
}

impl FromStr for SpoeAddress {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        if let Some(path) = typed.strip_prefix("unix:").or_else(|| typed.starts_with('/').then_some(typed)) {
            return if path.is_empty() {
                Err("unix: needs a path, such as unix:/run/tap.sock".to_owned())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let found = typed.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        found.map(Self::Tcp).ok_or_else(|| {
            format!("`{typed}` is no address to listen on; write 127.0.0.1:9100 or unix:/run/shadowtap/spoe.sock")
        })
    }
}

impl fmt::Display for SpoeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why nobody can listen at an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for HAProxy at {address}: {source}")]
pub struct SpoeError {
    address: SpoeAddress,
    source: io::Error,
}

/// An address that is listened on; nobody is answered yet.
#[derive(Debug)]
pub struct SpoeListener {
    address: SpoeAddress,
    pub(super) socket: SpoeSocket,
    pub(super) priority: Priority,
}

#[derive(Debug)]
pub(super) enum SpoeSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl SpoeListener {
    /// Listens. A Unix socket is for its user and group: HAProxy's user has to be in that group.
    ///
    /// # Errors
    ///
    /// Where the address is taken or not to be had.
    pub fn bind(address: SpoeAddress) -> Result<Self, SpoeError> {
        let socket = match &address {
            SpoeAddress::Tcp(tcp) => TcpListener::bind(tcp).and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(SpoeSocket::Tcp(listener))
            }),
            SpoeAddress::Unix(path) => unix(path).map(SpoeSocket::Unix),
        };
        match socket {
            Ok(socket) => Ok(Self { address, socket, priority: Priority::take() }),
            Err(source) => Err(SpoeError { address, source }),
        }
    }

    /// The address; with the port that the system chose, where none was asked for.
    #[must_use]
    pub fn address(&self) -> SpoeAddress {
        match &self.socket {
            SpoeSocket::Tcp(listener) => listener.local_addr().map_or_else(|_| self.address.clone(), SpoeAddress::Tcp),
            SpoeSocket::Unix(_) => self.address.clone(),
        }
    }
}

impl Drop for SpoeListener {
    fn drop(&mut self) {
        if let (SpoeAddress::Unix(path), SpoeSocket::Unix(_)) = (&self.address, &self.socket) {
            // Where that is not allowed any more, the next run replaces it.
            files::remove(path).ok();
        }
    }
}

/// Listens on a Unix socket. One that nobody listens on any more is replaced.
fn unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        files::remove(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let (folder, name) = Folder::of(path, None)?;
    // Elsewhere somebody could put another file in its place.
    if folder.is_trusted() && !is_open_to_others(&folder.stat()?) {
        folder.allow_entry(name, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP)?;
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_tcp_or_paths() {
        for (typed, shown, is_open) in [
            ("127.0.0.1:9100", "127.0.0.1:9100", false),
            ("[::1]:9100", "[::1]:9100", false),
            ("0.0.0.0:9100", "0.0.0.0:9100", true),
            ("unix:/run/x.sock", "unix:/run/x.sock", false),
            ("/run/x.sock", "unix:/run/x.sock", false),
        ] {
            let address: SpoeAddress = typed.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_open()), (shown, is_open));
        }
        for typed in ["9100", "", "unix:", "host"] {
            assert!(typed.parse::<SpoeAddress>().is_err(), "{typed}");
        }
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let address = SpoeAddress::Unix(folder.path().join("s"));
        let first = SpoeListener::bind(address.clone()).unwrap();
        let error = SpoeListener::bind(address.clone()).unwrap_err().to_string();
        assert!(error.starts_with("cannot listen for HAProxy at unix:"), "{error}");
        let SpoeListener { socket, .. } = &first;
        assert!(matches!(socket, SpoeSocket::Unix(_)));
        drop(first);
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap());
        assert!(SpoeListener::bind(address).is_ok());
    }
}
