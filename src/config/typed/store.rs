//! Arguments for recordings in a store.

use std::path::PathBuf;

/// Access to a recording on NATS.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Store"))]
pub struct Store {
    /// Credentials for nats://, in a file: a .creds file, or one line with USER:PASSWORD, a token or an NKey's seed
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub nats_credentials: Option<PathBuf>,
    /// Trust the certificates in this file (PEM), too, for nats+tls://
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub nats_ca: Option<PathBuf>,
}

/// Whether a replay goes on as long as nodes record.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Store"))]
pub struct Follow {
    /// Send each request of a recording on NATS as soon as it is there, at no pace, and go on until the replay is stopped
    #[cfg_attr(feature = "cli", arg(long))]
    pub follow: bool,
}
