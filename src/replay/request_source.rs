//! Where requests come from that are made when somebody can send them.

/// Makes requests on the threads that send; they come in the queues of their targets.
pub(crate) trait RequestSource: Send + Sync {
    /// Makes the next few, and never waits.
    fn pull(&self) -> Pulled;
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
