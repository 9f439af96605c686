//! What is done to a request right before it is sent, when it is its turn.

use std::fmt::Debug;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Destination;
use crate::exchange::{Outcome, Request};
use crate::middleware::carry_set::CarrySet;

/// Prepares requests for a destination. It is asked on the threads that send, so it must not block.
pub(crate) trait BeforeSend: Debug + Send + Sync {
    /// Changes what `rules` say. `waited` is how long the request has waited for that already, where it has.
    fn prepare(&self, to: Destination, request: &mut Request, rules: CarrySet, waited: Option<Duration>) -> Prepared;
}

/// What becomes of a request that is about to be sent.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// It goes out as it is now.
    Ready,
    /// Something is to be known first: asked again after `changed`, or after this time.
    Waits { changed: oneshot::Receiver<()>, at_most: Duration },
    /// It is not sent.
    Ended(Outcome),
}
