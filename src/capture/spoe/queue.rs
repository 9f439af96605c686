//! The way from the thread that acknowledges to the one that reads: bounded in number and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::exchange::Timestamp;

/// Notices that may wait to be read. Past it they are shed, and counted.
const MAX_WAITING: usize = 16_384;

/// What HAProxy told of one event.
#[derive(Debug)]
pub(crate) struct SpoeNotice {
    /// When it came.
    pub(crate) at: Timestamp,
    /// Its messages, not read.
    pub(crate) payload: Bytes,
    /// Largest frame of its connection.
    pub(crate) max_frame_size: usize,
}

/// Counts of the agent.
#[derive(Debug, Default)]
pub(crate) struct SpoeCounts {
    /// Connections of HAProxy that said hello, but for health checks.
    pub(crate) connections: AtomicU64,
    /// Health checks.
    pub(crate) health_checks: AtomicU64,
    /// Notices that were acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// Notices of them that found no room.
    pub(crate) shed: AtomicU64,
    /// Connections that were ended because what came was not well formed.
    pub(crate) malformed: AtomicU64,
    /// Bytes that wait to be read.
    waiting_bytes: AtomicUsize,
}

/// The end at the agent.
#[derive(Clone, Debug)]
pub(super) struct SpoeSender {
    to: Sender<SpoeNotice>,
    pub(super) counts: Arc<SpoeCounts>,
    most_bytes: usize,
}

/// The end at the reader.
#[derive(Debug)]
pub(crate) struct SpoeReceiver {
    from: Receiver<SpoeNotice>,
    pub(crate) counts: Arc<SpoeCounts>,
}

/// A queue of so many bytes at most.
pub(super) fn queue(most_bytes: usize) -> (SpoeSender, SpoeReceiver) {
    let (to, from) = crossbeam_channel::bounded(MAX_WAITING);
    let counts = Arc::<SpoeCounts>::default();
    (SpoeSender { to, counts: Arc::clone(&counts), most_bytes }, SpoeReceiver { from, counts })
}

impl SpoeSender {
    /// Hands a notice on, or sheds it. False where nobody reads any more.
    pub(super) fn hand_on(&self, notice: SpoeNotice) -> bool {
        let (counts, len) = (&self.counts, notice.payload.len());
        counts.acknowledged.fetch_add(1, Ordering::Relaxed);
        let room = counts.waiting_bytes.load(Ordering::Relaxed) + len <= self.most_bytes;
        if room {
            counts.waiting_bytes.fetch_add(len, Ordering::Relaxed);
            match self.to.try_send(notice) {
                Ok(()) => return true,
                Err(error) => {
                    counts.waiting_bytes.fetch_sub(len, Ordering::Relaxed);
                    if matches!(error, TrySendError::Disconnected(_)) {
                        return false;
                    }
                }
            }
        }
        counts.shed.fetch_add(1, Ordering::Relaxed);
        true
    }
}

impl SpoeReceiver {
    /// The next notice; none within this time. An error where there will be none.
    pub(crate) fn next(&self, within: Duration) -> Result<Option<SpoeNotice>, RecvTimeoutError> {
        match self.from.recv_timeout(within) {
            Ok(notice) => {
                self.counts.waiting_bytes.fetch_sub(notice.payload.len(), Ordering::Relaxed);
                Ok(Some(notice))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.from.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(len: usize) -> SpoeNotice {
        SpoeNotice { at: Timestamp::default(), payload: vec![0; len].into(), max_frame_size: 0 }
    }

    #[test]
    fn what_finds_no_room_is_shed_and_counted() {
        let (sender, receiver) = queue(1000);
        let counts =
            || (receiver.counts.acknowledged.load(Ordering::Relaxed), receiver.counts.shed.load(Ordering::Relaxed));
        assert!(sender.hand_on(notice(600)) && sender.hand_on(notice(600)));
        assert_eq!(counts(), (2, 1));
        assert!(receiver.next(Duration::ZERO).unwrap().is_some() && receiver.is_empty());
        for _ in 0..=MAX_WAITING {
            assert!(sender.hand_on(notice(0)));
        }
        assert_eq!(counts().1, 2);
        drop(receiver);
        assert!(!sender.hand_on(notice(0)));
    }
}
