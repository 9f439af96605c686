//! Where requests come from that are made when somebody can send them.

/// Makes requests on the threads that send; they come in the queues of their targets.
pub(crate) trait RequestSource: Send + Sync {
    /// Makes the next few. Waits for nothing but a thread that makes some just now.
    fn pull(&self) -> Pulled;

    /// Makes the next few, unless another thread does just now.
    fn pull_ahead(&self);
}

/// What pulling brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// There may be more in the queues now.
    Queued,
    /// Nothing may be made now: there is no room, or the run is paused.
    Later,
    /// Nothing more comes.
    Over,
}
