//! News for systemd: ready, how it goes, that it is alive, that it ends (`sd_notify(3)`).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;

/// Where the news go; empty where nobody asked for them.
static SOCKET: OnceLock<UnixDatagram> = OnceLock::new();

/// Connects to whoever asked for news. To be called before the process limits itself.
pub(crate) fn open() {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(&name),
    };
    let connected = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A run does not wait for whoever watches it.
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    if let Ok(socket) = connected {
        SOCKET.set(socket).ok();
    }
}

/// Returns whether somebody asked for news.
pub(crate) fn is_open() -> bool {
    SOCKET.get().is_some()
}

/// Sends news. Nobody minds where they are lost.
pub(crate) fn send(news: &str) {
    if let Some(socket) = SOCKET.get() {
        socket.send(news.as_bytes()).ok();
    }
}
