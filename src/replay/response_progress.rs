//! How far a response has come: its client notes it, and whoever waits for it says when enough of it has come.
//!
//! Both are polled by one task, so that nobody has to be woken for what the other says.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Poll;

use tokio::time::Instant;

use crate::exchange::Head;

/// A response whose head has come, and whose body may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BegunResponse {
    /// When its head was whole.
    pub at: Instant,
    /// Content bytes that its head announces; `None` where only its end tells.
    pub length: Option<u64>,
    /// Its type says that it goes on until somebody closes it, such as server-sent events.
    pub is_stream: bool,
}

/// Why a response was closed before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedEarly {
    /// Production's ended there.
    ProductionEnded,
    /// It went on for as long as a whole response may take.
    MaxTime,
    /// The run ended.
    RunEnded,
}

impl ClosedEarly {
    const ALL: [Self; 3] = [Self::ProductionEnded, Self::MaxTime, Self::RunEnded];

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::ProductionEnded => "production_ended",
            Self::MaxTime => "max_time",
            Self::RunEnded => "run_ended",
        }
    }

    /// Whether the response may have less than production's for no fault of its target.
    #[must_use]
    pub(crate) const fn may_be_short(self) -> bool {
        !matches!(self, Self::ProductionEnded)
    }
}

/// How far one response has come.
#[derive(Debug, Default)]
pub struct ResponseProgress {
    begun: OnceLock<BegunResponse>,
    /// Its head, where that is wanted before the body has ended.
    head: OnceLock<Head>,
    received: AtomicU64,
    /// Why it is to be closed, as a number from 1; 0 while it may go on.
    closing: AtomicU8,
    /// Its connection does not count among those that the target may have.
    is_beside: std::sync::atomic::AtomicBool,
}

impl ResponseProgress {
    /// Notes that so many content bytes have come; `begun` is asked the first time.
    pub fn note(&self, begun: impl FnOnce() -> BegunResponse, received: u64) {
        self.begun.get_or_init(begun);
        self.received.store(received, Ordering::Relaxed);
    }

    /// Notes the head of a response whose body is on its way.
    pub(crate) fn note_head(&self, head: impl FnOnce() -> Head) {
        self.head.get_or_init(head);
    }

    /// The head's lines, once they have come, where they were wanted early and the body takes longer.
    #[must_use]
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.get()
    }

    /// How it began, once its head has come.
    #[must_use]
    pub fn begun(&self) -> Option<&BegunResponse> {
        self.begun.get()
    }

    /// Content bytes so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Asks the client to hand over what it has, and to close the connection.
    pub fn close(&self, why: ClosedEarly) {
        self.closing.store(why as u8 + 1, Ordering::Relaxed);
    }

    /// Why the client is to read no further, where it is not to.
    #[must_use]
    pub fn closing(&self) -> Option<ClosedEarly> {
        let number = self.closing.load(Ordering::Relaxed);
        ClosedEarly::ALL.into_iter().find(|why| *why as u8 + 1 == number)
    }

    /// Takes the connection out of those that the target may have.
    pub(crate) fn step_aside(&self) {
        self.is_beside.store(true, Ordering::Relaxed);
    }

    /// Whether the connection does not count any more among those that the target may have.
    #[must_use]
    pub(crate) fn is_beside(&self) -> bool {
        self.is_beside.load(Ordering::Relaxed)
    }

    /// Returns what `reading` yields.
    ///
    /// # Errors
    ///
    /// Why the response is to be closed, where that comes first.
    pub(crate) async fn unless_closing<T>(&self, reading: impl Future<Output = T>) -> Result<T, ClosedEarly> {
        let mut reading = std::pin::pin!(reading);
        std::future::poll_fn(|cx| match (self.closing(), reading.as_mut().poll(cx)) {
            (_, Poll::Ready(read)) => Poll::Ready(Ok(read)),
            (Some(why), Poll::Pending) => Poll::Ready(Err(why)),
            (None, Poll::Pending) => Poll::Pending,
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_reads_is_told_why_it_is_to_read_no_further() {
        let progress = ResponseProgress::default();
        assert_eq!(progress.unless_closing(async { 1 }).await, Ok(1));
        for why in ClosedEarly::ALL {
            progress.close(why);
            assert_eq!(progress.closing(), Some(why));
            assert_eq!(progress.unless_closing(std::future::pending::<()>()).await, Err(why));
            assert_eq!(progress.unless_closing(async { 2 }).await, Ok(2), "what has come is taken all the same");
        }
    }
}
