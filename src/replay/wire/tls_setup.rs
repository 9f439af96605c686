//! TLS to a target, or to the proxy before it: who is asked for, and how.

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

/// TLS settings for a target.
pub(super) struct TlsSetup {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl std::fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}
