//! Read scheduling: no connection reads for long at a time, and those with very much to read take turns.
//!
//! A target that sends without end would otherwise keep the threads that send to all targets busy. The amount read
//! before others have their turn is bounded; the speed of a single connection is not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one connection reads before it lets others go first.
pub(super) const READ_PER_TURN: usize = 64 << 10;

/// The turns of one client's connections, for those with more to read than [`READ_PER_TURN`].
#[derive(Clone, Debug)]
pub(super) struct ReadTurns(Arc<Semaphore>);

impl Default for ReadTurns {
    /// As many at once as leave three quarters of the processors to whatever else there is to do.
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new((processors / 4).max(1))))
    }
}

type Acquire = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// Permission of a connection to read.
pub(super) enum ReadTurn {
    /// It has read little so far.
    Free { left: usize },
    /// It has read much, and waits until others have had their turn.
    Waiting(Acquire),
    /// It has a turn.
    Taken { left: usize, _permit: Option<OwnedSemaphorePermit> },
}

impl Default for ReadTurn {
    fn default() -> Self {
        Self::Free { left: READ_PER_TURN }
    }
}

impl ReadTurn {
    /// Ready when the connection may read.
    pub(super) fn poll(&mut self, turns: &ReadTurns, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Free { left: 0 } | Self::Taken { left: 0, .. } => {
                // The turn goes back first: who waits already comes before this one.
                *self = Self::default();
                let turns = Arc::clone(&turns.0);
                *self = Self::Waiting(Box::pin(async move { turns.acquire_owned().await.ok() }));
                self.wait(cx)
            }
            Self::Waiting(_) => self.wait(cx),
            Self::Free { .. } | Self::Taken { .. } => Poll::Ready(()),
        }
    }

    /// Never ready: who gets a turn takes it behind all others that can do something now.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Waiting(acquire) = self
            && let Poll::Ready(permit) = acquire.as_mut().poll(cx)
        {
            *self = Self::Taken { left: READ_PER_TURN, _permit: permit };
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The connection has read so many bytes.
    pub(super) fn read(&mut self, bytes: usize) {
        if let Self::Free { left } | Self::Taken { left, .. } = self {
            *left = left.saturating_sub(bytes);
        }
    }

    /// Gives the turn back: there is nothing to read now, and others need not wait for this connection. A connection
    /// that has read much continues in turns: a target that sends without end sends no faster than it can, and is no
    /// less of a flood for that.
    pub(super) fn drained(&mut self) {
        if matches!(self, Self::Taken { .. }) {
            *self = Self::Free { left: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Reads as much as it may in one poll, of an endless stream, in pieces of `size` bytes.
    fn one_poll(turn: &mut ReadTurn, turns: &ReadTurns, size: usize) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = 0;
        while turn.poll(turns, &mut cx).is_ready() {
            turn.read(size);
            read += size;
        }
        read
    }

    #[test]
    fn a_flood_is_read_in_turns_of_a_bounded_size() {
        let turns = ReadTurns(Arc::new(Semaphore::new(1)));
        let mut turn = ReadTurn::default();
        for _ in 0..10 {
            let read = one_poll(&mut turn, &turns, 64 << 10);
            assert!(read <= READ_PER_TURN, "{read} bytes");
        }
    }

    #[test]
    fn of_many_floods_one_is_read_at_a_time_and_all_come_round() {
        let turns = ReadTurns(Arc::new(Semaphore::new(1)));
        let mut floods: Vec<_> = (0..8).map(|_| ReadTurn::default()).collect();
        // The first turn of each is free.
        for turn in &mut floods {
            assert_eq!(one_poll(turn, &turns, READ_PER_TURN), READ_PER_TURN);
        }
        let mut totals = [0; 8];
        for _ in 0..64 {
            let mut reading = 0;
            for (turn, total) in floods.iter_mut().zip(&mut totals) {
                let read = one_poll(turn, &turns, READ_PER_TURN);
                reading += usize::from(read > 0);
                *total += read;
            }
            assert!(reading <= 2, "{reading} of 8 were read in one round");
        }
        assert!(totals.iter().all(|total| *total > 0), "{totals:?}");
    }

    #[test]
    fn who_has_nothing_to_read_holds_up_nobody() {
        let turns = ReadTurns(Arc::new(Semaphore::new(1)));
        let mut turn = ReadTurn::default();
        one_poll(&mut turn, &turns, READ_PER_TURN);
        assert_eq!(turns.0.available_permits(), 0);
        turn.drained();
        assert_eq!(turns.0.available_permits(), 1);
    }
}
