//! From addresses to an open connection: tried in order, the next one early where one is slow, TLS on top.
//!
//! In goes nothing but the wish, out comes a [`UpstreamConn`](super::upstream::UpstreamConn) or the kind of the failure. No byte of a request is written here,
//! so that any number of addresses may be tried.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::addresses::{AddressEntry, Addresses};
use super::attempt::{ConnectThrottle, ThrottlePermit};
use super::conn_stats::ConnStats;
use super::failure;
use super::tls_setup::TlsSetup;
use super::transport::Transport;
use super::upstream::{UpstreamConn, UpstreamStream};
use super::via_proxy::ViaProxy;
use crate::exchange::FailureKind;
use crate::replay::{Reason, SendError};

/// Time that an address has before the next one is tried in parallel (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Makes connections to one target.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) addresses: Arc<Addresses>,
    pub(super) attempts: ConnectThrottle,
    pub(super) proxy: Option<ViaProxy>,
    pub(super) tls: Option<TlsSetup>,
    pub(super) ledger: Arc<ConnStats>,
    /// Limit for setting up a connection.
    pub(super) timeout: Duration,
}

impl Connector {
    /// A new connection, for a request that was begun then. TCP has a time limit of its own, so that it is known what took
    /// too long; the caller sets that of TLS by dropping the future.
    pub(super) async fn connect(&self, begun: Instant) -> Result<UpstreamConn, SendError> {
        let order = self.addresses.in_order().await?;
        let turn = self.attempts.turn().await;
        let started = Instant::now();
        let connecting = async {
            match order.as_slice() {
                [only] => {
                    let connected = self.attempts.connect(&only.peer, turn).await;
                    Ok((Arc::clone(only), connected.map_err(|error| failed(only, &error))?))
                }
                _ => race(order.clone(), &self.attempts, turn).await,
            }
        };
        let Ok(connected) = tokio::time::timeout_at(begun + within(self.timeout), connecting).await else {
            for address in &order {
                address.fails(Instant::now());
            }
            return Err(unanswered(self.timeout));
        };
        let (address, transport) = connected?;
        if let Transport::Tcp(tcp) = &transport
            && let Err(error) = tcp.set_nodelay(true)
        {
            tracing::debug!(%error, "cannot switch Nagle's algorithm off");
        }
        let open = self.ledger.open();
        let stream = self.session(transport).await.inspect_err(|error| {
            address.fails(Instant::now());
            tracing::debug!(address = %address.peer, %error, "connected, and no way to speak");
        })?;
        address.works();
        self.ledger.set_up(started.elapsed());
        Ok(UpstreamConn::new(stream, address, open))
    }

    /// What requests are written to: through the proxy, and with TLS, where there are such.
    async fn session(&self, connected: Transport) -> Result<UpstreamStream, SendError> {
        let transport = match &self.proxy {
            None => connected,
            Some(proxy) => proxy.reach(connected).await?,
        };
        let Some(tls) = &self.tls else { return Ok(UpstreamStream::Plain(transport)) };
        let session = tls.connector.connect(tls.name.clone(), transport).await;
        session.map(|session| UpstreamStream::Tls(Box::new(session))).map_err(|error| failure::of_handshake(&error))
    }
}

/// Connects to the first address that accepts. Addresses that had their head start and did not connect are set aside.
async fn race(
    order: Vec<Arc<AddressEntry>>,
    attempts: &ConnectThrottle,
    mut turn: ThrottlePermit,
) -> Result<(Arc<AddressEntry>, Transport), SendError> {
    let mut order = order.into_iter();
    let mut running = FuturesUnordered::new();
    let mut started: Vec<Arc<AddressEntry>> = Vec::new();
    let mut begin = true;
    let mut last = FailureKind::Connect.into();
    loop {
        if std::mem::take(&mut begin)
            && let Some(address) = order.next()
        {
            started.push(Arc::clone(&address));
            let turn = turn.take();
            running.push(async move {
                let result = attempts.connect(&address.peer, turn).await;
                (address, result)
            });
        }
        if running.is_empty() {
            return Err(last);
        }
        tokio::select! {
            biased;
            Some((address, result)) = running.next() => match result {
                Ok(transport) => {
                    let now = Instant::now();
                    let slow = started.iter().filter(|other| !Arc::ptr_eq(other, &address));
                    slow.for_each(|other| other.fails(now));
                    return Ok((address, transport));
                }
                Err(error) => {
                    last = failed(&address, &error);
                    started.retain(|other| !Arc::ptr_eq(other, &address));
                    begin = true;
                }
            },
            () = tokio::time::sleep(HEAD_START), if order.len() > 0 => begin = true,
        }
    }
}

fn failed(address: &AddressEntry, error: &io::Error) -> SendError {
    tracing::debug!(address = %address.peer, %error, "cannot connect");
    let failed = failure::of_connecting(&address.peer, error);
    // What this machine lacks is not held against the address.
    if failed.kind().is_some() {
        address.fails(Instant::now());
    }
    failed
}

/// Returns the part of the time for a whole response that a connection may take: a little less than all, so that its
/// timeout comes first.
fn within(timeout: Duration) -> Duration {
    timeout.saturating_sub((timeout / 50).min(Duration::from_millis(100)))
}

fn unanswered(timeout: Duration) -> SendError {
    let reason = Reason::new("no answer in time").with(format_args!("--timeout is {timeout:?}"));
    SendError::failed(FailureKind::ConnectTimeout, reason)
}
