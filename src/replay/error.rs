//! Errors of setting up a client: reported before anything is sent.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::causes::Help;

/// Errors of setting up a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The system has no root certificates to trust.
    #[error("cannot verify the certificate of {url}: {why}")]
    Roots {
        /// The target.
        url: String,
        /// The verifier's words.
        why: String,
    },
    /// A file of certificates or a key that cannot be used.
    #[error("{flag} {}: {why}", path.display())]
    Pem {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Fault of the file.
        why: String,
    },
    /// Anything else.
    #[error("cannot set up the client for {url}: {why}")]
    Setup {
        /// The target.
        url: String,
        /// The client's words.
        why: String,
    },
}

impl Help for ClientError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Roots { .. } => Some(
                "install the system's root certificates (on Debian the package ca-certificates), name the one to trust \
                 with --ca, or accept any with --insecure"
                    .into(),
            ),
            Self::Pem { .. } => Some("give a file in PEM, which begins with -----BEGIN".into()),
            Self::Setup { .. } => None,
        }
    }
}
