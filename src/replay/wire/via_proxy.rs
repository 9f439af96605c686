//! The way through a proxy: a connection to the proxy becomes one to the target, or one whose requests the proxy reads.
//!
//! An HTTP proxy reads requests to a target without TLS in absolute-form (RFC 9112, 3.2.2) and gives a tunnel to one with
//! TLS (RFC 9110, 9.3.6). A SOCKS proxy gives a tunnel to any (RFC 1928).

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tower::Service;

use super::addresses::Resolve;
use super::failure;
use super::tls_setup::TlsSetup;
use super::transport::Transport;
use crate::exchange::FailureKind;
use crate::replay::{ProxyUrl, Reason, SendError};

/// A proxy on the way to one target.
#[derive(Debug)]
pub(super) struct ViaProxy {
    pub(super) kind: ProxyKind,
    /// TLS to the proxy itself.
    pub(super) tls: Option<TlsSetup>,
    /// The host of the target, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) resolver: Arc<dyn Resolve>,
}

/// What a proxy does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    /// It reads each request and sends it on.
    Forwards,
    /// It tunnels after CONNECT.
    Connects,
    /// It tunnels by SOCKS 5, and looks the target's name up.
    SocksByName,
    /// The same, to an address that is looked up here.
    SocksByAddress,
}

impl ProxyKind {
    /// Returns what `proxy` does for a target with TLS or without.
    pub(super) fn of(proxy: &ProxyUrl, is_target_tls: bool) -> Self {
        match (proxy.tunnels_all(), is_target_tls) {
            (true, _) if proxy.looks_names_up() => Self::SocksByName,
            (true, _) => Self::SocksByAddress,
            (false, true) => Self::Connects,
            (false, false) => Self::Forwards,
        }
    }
}

impl ViaProxy {
    /// Makes of a connection to the proxy what requests can be written to.
    ///
    /// # Errors
    ///
    /// Where the proxy gives no TLS session or no tunnel.
    pub(super) async fn reach(&self, connected: Transport) -> Result<Transport, SendError> {
        let transport = match (&self.tls, connected) {
            (Some(tls), Transport::Tcp(tcp)) => {
                let session = tls.connector.connect(tls.name.clone(), tcp).await;
                let session = session.map_err(|error| failure::of_handshake(&error))?;
                Transport::ProxyTls(Box::new(session))
            }
            (_, transport) => transport,
        };
        let tunneled = match self.kind {
            ProxyKind::Forwards => return Ok(transport),
            ProxyKind::Connects => {
                let mut tunnel = Tunnel::new(Uri::default(), Connected::new(transport));
                tunnel.call(uri(&self.host, self.port)?).await.map_err(|error| refused(&error))
            }
            ProxyKind::SocksByName | ProxyKind::SocksByAddress => {
                let host = if self.kind == ProxyKind::SocksByName { self.host.clone() } else { self.address().await? };
                let mut socks = SocksV5::new(Uri::default(), Connected::new(transport));
                socks.call(uri(&host, self.port)?).await.map_err(|error| refused(&error))
            }
        };
        tunneled.map(TokioIo::into_inner)
    }

    /// Looks the target's name up.
    async fn address(&self) -> Result<String, SendError> {
        let unknown =
            |why: String| SendError::failed(FailureKind::Dns, Reason::new("the name cannot be looked up").with(why));
        let found = self.resolver.lookup(&self.host, self.port).await.map_err(|error| unknown(error.to_string()))?;
        found.first().map(|address| address.ip().to_string()).ok_or_else(|| unknown("it has no address".to_owned()))
    }
}

fn uri(host: &str, port: u16) -> Result<Uri, SendError> {
    let text = if host.contains(':') { format!("http://[{host}]:{port}") } else { format!("http://{host}:{port}") };
    text.parse().map_err(|error| refused(&error))
}

fn refused(error: &dyn fmt::Display) -> SendError {
    SendError::failed(FailureKind::Connect, Reason::new("no way through the proxy").with(error))
}

/// A connector whose connection is made already.
struct Connected(Option<TokioIo<Transport>>);

impl Connected {
    fn new(transport: Transport) -> Self {
        Self(Some(TokioIo::new(transport)))
    }
}

impl Service<Uri> for Connected {
    type Response = TokioIo<Transport>;
    type Error = io::Error;
    type Future = Ready<Result<TokioIo<Transport>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
