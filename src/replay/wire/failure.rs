//! Errors of an open connection become kinds of failure.

use std::error::Error;
use std::io;

use crate::exchange::FailureKind;

/// The kind of an error that reading or writing met.
pub(super) fn kind(error: &io::Error) -> FailureKind {
    use io::ErrorKind as Kind;
    if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) {
        return FailureKind::Tls;
    }
    match error.kind() {
        Kind::TimedOut => FailureKind::Timeout,
        Kind::InvalidData | Kind::InvalidInput => FailureKind::Protocol,
        // Whatever else ends a connection: reset, aborted, a network that went away.
        _ => FailureKind::Reset,
    }
}
