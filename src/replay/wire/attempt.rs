//! One attempt to reach one address.
//!
//! To begin it the system looks for a free port, and where half of them are taken it walks over all of these first: the
//! thread that asks serves nobody else meanwhile. So where it takes long, that is done by threads apart, in turns:
//! connections open a little later then, and requests over those that are open do not wait for it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::transport::Transport;
use crate::replay::PeerAddress;

/// Interval between two tries for a Unix socket whose queue of new connections is full: no event tells that it has room.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// A beginning takes long from here on. Otherwise it is a third of that, with the whole handshake where the target is on
/// this machine, and a tenth where it is not.
const LONG: Duration = Duration::from_micros(150);

/// Attempts of one client.
#[derive(Debug)]
pub(super) struct ConnectThrottle {
    /// True when the last attempt took long to begin.
    long: Arc<AtomicBool>,
    /// As many at once as leave half of the processors to what is sent.
    turns: Arc<Semaphore>,
}

impl Default for ConnectThrottle {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self { long: Arc::default(), turns: Arc::new(Semaphore::new((processors / 2).max(1))) }
    }
}

/// A turn among those that take long to begin; `None` where none do.
pub(super) type ThrottlePermit = Option<OwnedSemaphorePermit>;

impl ConnectThrottle {
    /// Waits until an attempt may begin. It is apart from the attempt, whose time is that of the target.
    pub(super) async fn turn(&self) -> ThrottlePermit {
        if !self.long.load(Ordering::Relaxed) {
            return None;
        }
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// A connection to `address`; who has a turn begins apart.
    pub(super) async fn connect(&self, address: &PeerAddress, turn: ThrottlePermit) -> io::Result<Transport> {
        match address {
            PeerAddress::Tcp(address) => self.connect_tcp(*address, turn).await.map(Transport::Tcp),
            PeerAddress::Unix(path) => connect_unix(path).await.map(Transport::Unix),
        }
    }

    async fn connect_tcp(&self, address: SocketAddr, turn: ThrottlePermit) -> io::Result<TcpStream> {
        let stream = match turn {
            None => begin(address, &self.long)?,
            Some(turn) => {
                let long = Arc::clone(&self.long);
                let begun = move || {
                    let begun = begin(address, &long);
                    drop(turn);
                    begun
                };
                tokio::task::spawn_blocking(begun).await.map_err(io::Error::other)??
            }
        };
        let stream = TcpStream::from_std(stream)?;
        stream.writable().await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(FULL_PAUSE).await,
            connected => return connected,
        }
    }
}

/// Begins a connection, and notes whether that took long.
fn begin(address: SocketAddr, long: &AtomicBool) -> io::Result<std::net::TcpStream> {
    let socket = socket(if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 })?;
    let asked = Instant::now();
    let begun = rustix::net::connect(&socket, &address);
    long.store(asked.elapsed() >= LONG, Ordering::Relaxed);
    match begun {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

/// A socket that never makes its thread wait, and is closed in processes outside.
#[cfg(target_os = "linux")]
fn socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    use rustix::net::SocketFlags;

    rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

#[cfg(not(target_os = "linux"))]
fn socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn attempts_come_to_the_same_wherever_they_begin() {
        let attempts = ConnectThrottle::default();
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host).await else { continue };
            let address = listener.local_addr().unwrap();
            for long in [false, true] {
                attempts.long.store(long, Ordering::Relaxed);
                let turn = attempts.turn().await;
                assert_eq!(turn.is_some(), long);
                let stream = attempts.connect_tcp(address, turn).await.unwrap();
                assert_eq!(listener.accept().await.unwrap().1, stream.local_addr().unwrap());
            }
            drop(listener);
            for long in [false, true] {
                attempts.long.store(long, Ordering::Relaxed);
                let turn = attempts.turn().await;
                let refused = attempts.connect_tcp(address, turn).await.unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            }
        }
        let most = (available_parallelism().unwrap().get() / 2).max(1);
        assert_eq!(attempts.turns.available_permits(), most, "turns are given back");
    }
}
