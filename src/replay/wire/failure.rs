//! Mapping of system and TLS errors to kinds of failure, with the reason in words; a shortage on this machine is kept
//! apart from failures of the target.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::io::Errno;

use crate::exchange::{FailureKind, Shed};
use crate::replay::{PeerAddress, Reason, SendError, tls};

/// Maps an error of reading or writing an open connection.
pub(super) fn of_connection(error: &io::Error) -> SendError {
    use io::ErrorKind as Kind;
    if let Some(error) = tls_error(error) {
        return SendError::failed(FailureKind::Tls, tls::reason(error));
    }
    let (kind, what) = match error.kind() {
        Kind::TimedOut => (FailureKind::Timeout, "the connection timed out"),
        Kind::InvalidData | Kind::InvalidInput => (FailureKind::Protocol, "what came cannot be read"),
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => {
            (FailureKind::Reset, "connection reset by the target")
        }
        Kind::UnexpectedEof => (FailureKind::Reset, "connection closed without the end of TLS"),
        // A network that went away, and whatever else ends a connection.
        _ => return SendError::failed(FailureKind::Reset, Reason::new("the connection broke").with(error)),
    };
    SendError::failed(kind, Reason::new(what))
}

/// Maps an error of connecting to `address`.
pub(super) fn of_connecting(address: &PeerAddress, error: &io::Error) -> SendError {
    use io::ErrorKind as Kind;
    if let Some(place) = local_limit(address, error) {
        return SendError::Shed(place);
    }
    let (kind, reason) = match error.kind() {
        Kind::ConnectionRefused => (FailureKind::Connect, Reason::new("refused: nothing listens there").with(address)),
        Kind::TimedOut => (FailureKind::ConnectTimeout, Reason::new("the connection was not answered").with(address)),
        Kind::NotFound => (FailureKind::Connect, Reason::new("no socket is there").with(address)),
        Kind::PermissionDenied => (FailureKind::Connect, Reason::new("not permitted to connect").with(address)),
        Kind::HostUnreachable => (FailureKind::Connect, Reason::new("no route to the host").with(address)),
        Kind::NetworkUnreachable => (FailureKind::Connect, Reason::new("no route to the network").with(address)),
        Kind::ConnectionReset => {
            (FailureKind::Connect, Reason::new("connection reset while it was made").with(address))
        }
        _ => (FailureKind::Connect, Reason::new("cannot connect").with(format_args!("{address}: {error}"))),
    };
    SendError::failed(kind, reason)
}

/// Maps an error of a TLS handshake.
pub(super) fn of_handshake(error: &io::Error) -> SendError {
    let reason = match tls_error(error) {
        Some(error) => tls::reason(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Reason::new("connection closed during the handshake"),
        None => Reason::new("the handshake broke").with(error),
    };
    SendError::failed(FailureKind::Tls, reason)
}

/// Returns the local resource that has run out, where that is the reason for the failed connection.
pub(super) fn local_limit(address: &PeerAddress, error: &io::Error) -> Option<Shed> {
    match Errno::from_io_error(error)? {
        // This process, or the whole machine, has as many files open as it may; or no memory for more sockets.
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Some(Shed::OpenFiles),
        // Either every local port is taken, or there is no address to send from at all.
        Errno::ADDRNOTAVAIL => match address {
            PeerAddress::Tcp(address) if has_source(*address) => Some(Shed::LocalPorts),
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether this process, or the whole machine, has as many files open as it may.
pub(super) fn lacks_files() -> bool {
    let refused = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err();
    matches!(refused.as_ref().and_then(Errno::from_io_error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS))
}

/// Returns whether this machine has an address from which `address` can be reached. A UDP socket, which has ports of
/// its own, is connected for it, which sends nothing.
fn has_source(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    match UdpSocket::bind(any).and_then(|socket| socket.connect(address)) {
        Ok(()) => true,
        // Not even that can be asked: this machine lacks something else.
        Err(error) => matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS)),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner: &(dyn Error + Send + Sync + 'static) = error.get_ref()?;
    inner.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

    fn connecting(errno: Errno, address: SocketAddr) -> SendError {
        of_connecting(&address.into(), &errno.into())
    }

    #[test]
    fn what_this_machine_lacks_is_told_apart_from_what_the_target_does() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(connecting(errno, LOOPBACK), SendError::Shed(Shed::OpenFiles), "{errno:?}");
        }
        assert_eq!(connecting(Errno::ADDRNOTAVAIL, LOOPBACK), SendError::Shed(Shed::LocalPorts));
        // Of this address it is not said on which link it is: there is no way to it, whatever the ports.
        let nowhere = "[fe80::1]:80".parse().unwrap();
        assert_eq!(connecting(Errno::ADDRNOTAVAIL, nowhere).kind(), Some(FailureKind::Connect));
        assert_eq!(
            connecting(Errno::CONNREFUSED, LOOPBACK).to_string(),
            "connect: refused: nothing listens there: 127.0.0.1:80"
        );
        assert_eq!(connecting(Errno::TIMEDOUT, LOOPBACK).kind(), Some(FailureKind::ConnectTimeout));
    }
}
