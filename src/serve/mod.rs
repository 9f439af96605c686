//! The HTTP server of a run: metrics for Prometheus, a page for people, and the controls on it.
//!
//! A [`RunView`] run comes in, HTTP goes out at one address, on the runtime of that run. A run without viewers pays
//! nothing. Nothing is counted here: the content is a [`Snapshot`]. The access rules are in [`access`].

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::report::Snapshot;

pub mod access;
mod bind;
mod connection_limit;
mod connections;
pub mod control;
mod http;
pub mod metrics;
mod page;
mod token;

pub use access::Tokens;
pub use bind::{ServeError, Server};
use control::ControlCommand;
pub(crate) use token::Token;
pub use token::TokenError;

/// A run that is shown, and steered.
pub trait RunView: Send + Sync + 'static {
    /// Returns the state of the run: a new snapshot once a second at most, with routes and the like where `evidence` is
    /// wanted. `None` before it has begun.
    fn look(&self, evidence: bool) -> BoxFuture<'_, Option<Arc<Snapshot>>>;

    /// Whether it has ended; what is shown of the end is waited for as long as anybody holds this, for a moment.
    fn ended(&self) -> watch::Receiver<bool>;

    /// Does what a viewer asks for.
    fn steer(&self, command: ControlCommand);
}
