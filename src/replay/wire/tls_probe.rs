//! Whether a target that is spoken to without TLS speaks nothing else: many servers just close then.
//!
//! It is asked once, over a connection of its own, when a target that never responded closed instead. What comes out is a
//! better reason for the failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::connect::Connector;
use crate::exchange::FailureKind;
use crate::replay::tls_refusal::SPEAKS_TLS;
use crate::replay::{SendError, tls};

/// Longest that a handshake is waited for; the requests that failed meanwhile wait, too.
const LONGEST: Duration = Duration::from_millis(500);
/// The same as a part of a request's time-out: a server that waits for the rest of a request says nothing.
const SHARE_OF_TIMEOUT: u32 = 4;

/// What is known of a target that is spoken to without TLS.
#[derive(Debug)]
pub(super) struct TlsProbe {
    /// Time-out of a request.
    timeout: Duration,
    /// A response came: it is no target that speaks TLS alone.
    responded: AtomicBool,
    speaks_tls: OnceCell<bool>,
}

impl TlsProbe {
    /// Nothing is known yet; requests have so much time.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, responded: AtomicBool::default(), speaks_tls: OnceCell::new() }
    }

    /// A response came.
    pub(super) fn responded(&self) {
        if !self.responded.load(Ordering::Relaxed) {
            self.responded.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the failure of a request that began then, or the one behind it: a connection that was closed by a target which
    /// speaks TLS. A request that has too little time left to wait for that fails as it did.
    pub(super) async fn explain(
        &self,
        error: SendError,
        begun: Instant,
        (connector, host): (&Connector, &str),
    ) -> SendError {
        let is_known = connector.tls.is_some() || connector.proxy.is_some() || self.responded.load(Ordering::Relaxed);
        let most = LONGEST.min(self.timeout / SHARE_OF_TIMEOUT);
        let is_late = begun.elapsed() + 2 * most > self.timeout;
        if is_known || is_late || error.kind() != Some(FailureKind::Reset) {
            return error;
        }
        let asked = self.speaks_tls.get_or_init(|| async {
            tokio::time::timeout(most, speaks_tls(connector, host)).await.ok().flatten().unwrap_or(false)
        });
        if *asked.await { speaks_tls_only() } else { error }
    }
}

/// The failure of a request without TLS to a target that speaks nothing else.
pub(super) fn speaks_tls_only() -> SendError {
    SendError::failed(FailureKind::Tls, SPEAKS_TLS)
}

/// Begins a session with the target; `None` where that cannot be tried.
async fn speaks_tls(connector: &Connector, host: &str) -> Option<bool> {
    let plain = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(plain).ok()?;
    let config = tls::accepting_any().ok()?;
    let order = connector.addresses.in_order().await.ok()?;
    let transport = connector.attempts.connect(&order.first()?.peer, None).await.ok()?;
    let _open = connector.ledger.open();
    Some(match TlsConnector::from(Arc::new(config)).connect(name, transport).await {
        Ok(_) => true,
        // It may want another version or a certificate; it says so in TLS.
        Err(error) => {
            let inner = error.get_ref().and_then(|error| error.downcast_ref());
            matches!(inner, Some(rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_)))
        }
    })
}
