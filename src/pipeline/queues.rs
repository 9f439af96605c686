//! The bounds of the channels between the stages, and what travels over the first of them.

use std::time::Duration;

use super::budget::BudgetShare;
use super::passes::PassTag;
use crate::exchange::Event;

/// Events between the capture thread and the pacing thread. When it is full, a file waits and a live source sheds.
pub(super) const EVENT_QUEUE: usize = 4096;
/// The same without a schedule, where nothing is gained by reading far ahead: what is on its way is to fit the caches of
/// the processors. With eight times as many a request costs a fifth more.
pub(super) const UNSCHEDULED_EVENT_QUEUE: usize = 512;
/// The same, live: a burst must fit.
pub(super) const LIVE_EVENT_QUEUE: usize = 32_768;
/// Facts on their way to the report. When it is full, their senders wait: counting is cheaper than sending.
pub(super) const FACT_QUEUE: usize = 65_536;
/// Pause of a file reader where a queue is full: far shorter than the queue takes to empty. A sleep in the queue itself
/// would be woken for every free slot, which costs more than to read the next frame.
pub(super) const FULL_PAUSE: Duration = Duration::from_millis(1);
/// Requests that are due and wait for a place among those in flight, for each target. When it is full, `--speed max`
/// waits; otherwise a request is shed (`target_queue`).
pub(super) const TARGET_QUEUE: usize = 16_384;

/// An event on its way to the pacing thread, with its share of the memory that such may take.
pub(super) struct QueuedEvent {
    pub(super) event: Event,
    pub(super) part: PassTag,
    pub(super) held: BudgetShare,
    /// How far the source had been read; see [`super::Progress::read_permille`].
    pub(super) permille: u64,
}
