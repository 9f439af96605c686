//! Whether a target that is spoken to without TLS speaks nothing else: many servers just close then.
//!
//! It is asked once, over a connection of its own, when a target that never responded closed instead. What comes out is a
//! better reason for the failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::connect::Connector;
use crate::exchange::FailureKind;
use crate::replay::{Reason, SendError, tls};

/// Longest that a handshake is waited for; the requests that failed meanwhile wait, too.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is known of a target that is spoken to without TLS.
#[derive(Debug, Default)]
pub(super) struct TlsProbe {
    /// A response came: it is no target that speaks TLS alone.
    responded: AtomicBool,
    speaks_tls: OnceCell<bool>,
}

impl TlsProbe {
    /// A response came.
    pub(super) fn responded(&self) {
        if !self.responded.load(Ordering::Relaxed) {
            self.responded.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the failure, or the one behind it: a connection that was closed by a target which speaks TLS.
    pub(super) async fn explain(&self, error: SendError, connector: &Connector, host: &str) -> SendError {
        let is_known = connector.tls.is_some() || connector.proxy.is_some() || self.responded.load(Ordering::Relaxed);
        if is_known || error.kind() != Some(FailureKind::Reset) {
            return error;
        }
        let asked = self.speaks_tls.get_or_init(|| async {
            tokio::time::timeout(TIMEOUT, speaks_tls(connector, host)).await.ok().flatten().unwrap_or(false)
        });
        if *asked.await { speaks_tls_only() } else { error }
    }
}

/// The failure of a request without TLS to a target that speaks nothing else.
pub(super) fn speaks_tls_only() -> SendError {
    SendError::failed(FailureKind::Tls, Reason::new("the target speaks TLS; is it https://?"))
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
