//! The partitions that this member holds: what the thread that reads, those that send, and the one that speaks with the store
//! know of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::bulletin::Bulletin;
use super::horizon::{Horizon, MovingHorizon};
use super::ledger::PartitionLedger;
use crate::exchange::{ExchangeId, Timestamp};
use crate::recording::nats::assemble::WholeBatch;
use crate::recording::session::{Admission, ScheduleZero};

/// Time after the last sign of life in the store for which a partition is taken to be held. Others take it later than that.
pub(super) const SURE: Duration = Duration::from_secs(4);
/// Fewest requests that are on their way at once.
const LEAST_AHEAD: usize = 64;
/// Most of them: what is on its way has to end before a partition can move.
const MOST_AHEAD: usize = 16_384;

/// The place of a request in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: u16,
    /// Which time that this member holds it.
    pub(super) tenure: u64,
    pub(super) at: u64,
    /// Which request of the batch there.
    pub(super) index: u32,
}

/// How far a partition was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadSoFar {
    /// The first place of what is not handed on.
    pub(super) pending: Option<u64>,
    /// The last place that was read.
    pub(super) through: u64,
    /// There is nothing more at the moment, and all was handed on.
    pub(super) is_all: bool,
}

/// A write that waits until the store knows of it.
pub(super) struct WaitingWrite {
    pub(super) at: u64,
    pub(super) place: u32,
    pub(super) answer: oneshot::Sender<Admission>,
}

/// A partition that is held.
pub(super) struct Held {
    pub(super) tenure: u64,
    pub(super) ledger: PartitionLedger,
    /// When the store last knew that it is held.
    pub(super) sure: Instant,
    pub(super) writes: Vec<WaitingWrite>,
    /// Its requests that are on their way.
    pub(super) on_way: usize,
    /// The first place that was read and has not begun.
    pub(super) pending: Option<u64>,
    /// Everything that the store has of it was read and handed on.
    pub(super) is_read: bool,
    pub(super) is_changed: bool,
    /// It is to go to another member once nothing of it is on its way.
    pub(super) is_leaving: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Partitions {
    state: Mutex<PartitionsState>,
    /// Rung when the store is to be told something.
    pub(super) bell: Notify,
    /// The share of all that are not over which this member holds: the bits of a number, 0 before that is known.
    share: AtomicU64,
    /// What is known of all members, and what they are to know of this one.
    pub(super) bulletin: Bulletin,
    /// How far ahead of their times events are handed on.
    pub(super) horizon: MovingHorizon,
    zero: Mutex<Agreement>,
    /// Rung when it is known where the schedule begins.
    agreed: Condvar,
}

/// Where the schedule begins, as this member would have it and as all do.
#[derive(Default)]
struct Agreement {
    proposed: Option<ScheduleZero>,
    agreed: Option<ScheduleZero>,
}

#[derive(Default)]
pub(super) struct PartitionsState {
    pub(super) held: HashMap<u16, Held>,
    pub(super) on_way: HashMap<ExchangeId, Place, foldhash::fast::RandomState>,
    /// Requests that ended in this second, and in the one before.
    ended: [usize; 2],
    second: Option<Instant>,
    /// Every partition is over, and so many requests have ended in them.
    pub(super) is_complete: bool,
    pub(super) ended_in_all: u64,
    /// Requests that were left out unseen.
    pub(super) left_out: u64,
    /// By an order nothing is sent.
    pub(super) is_paused: bool,
    /// The run is over, and what it came to.
    pub(super) is_stopping: bool,
    pub(super) summary: Option<Vec<u8>>,
    pub(super) concluded: Option<Result<(), String>>,
}

impl PartitionsState {
    /// Returns whether more may be handed on: as much as ends in two seconds.
    pub(super) fn has_room(&self) -> bool {
        let recent = self.ended.iter().copied().max().unwrap_or_default();
        self.on_way.len() < (2 * recent).clamp(LEAST_AHEAD, MOST_AHEAD)
    }

    fn count_end(&mut self, now: Instant) {
        let begun = *self.second.get_or_insert(now);
        if now.saturating_duration_since(begun) >= Duration::from_secs(1) {
            self.ended = [0, self.ended[0]];
            self.second = Some(now);
        }
        self.ended[0] += 1;
    }

    fn held(&mut self, partition: u16, tenure: u64) -> Option<&mut Held> {
        self.held.get_mut(&partition).filter(|held| held.tenure == tenure)
    }

    /// Gives a partition up: its requests are somebody else's now.
    pub(super) fn lose(&mut self, partition: u16) {
        let Some(held) = self.held.remove(&partition) else { return };
        for write in held.writes {
            write.answer.send(Admission::Moved).ok();
        }
    }
}

impl Partitions {
    pub(super) fn lock(&self) -> MutexGuard<'_, PartitionsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share of the requests that this member has; 1 before it is known.
    pub(super) fn share(&self) -> f64 {
        let share = f64::from_bits(self.share.load(Ordering::Relaxed));
        if share > 0.0 { share } else { 1.0 }
    }

    pub(super) fn set_share(&self, share: f64) {
        self.share.store(share.to_bits(), Ordering::Relaxed);
    }

    /// How far ahead events are handed on now.
    pub(super) fn horizon(&self, now: Timestamp) -> Horizon {
        self.horizon.at(now, self.bulletin.lock().stood_still())
    }

    /// Asks where the schedule begins, and waits until that is known, or for so long; `None` where it is not known then.
    pub(super) fn agree(&self, proposed: ScheduleZero, patience: Duration) -> Option<ScheduleZero> {
        let mut zero = self.zero.lock().unwrap_or_else(PoisonError::into_inner);
        zero.proposed = Some(proposed);
        self.bell.notify_one();
        let waited = self.agreed.wait_timeout_while(zero, patience, |zero| zero.agreed.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.agreed
    }

    /// Where this member would have the schedule begin, as long as that is not known.
    pub(super) fn proposed(&self) -> Option<ScheduleZero> {
        let zero = self.zero.lock().unwrap_or_else(PoisonError::into_inner);
        zero.proposed.filter(|_| zero.agreed.is_none())
    }

    /// It is known where the schedule begins.
    pub(super) fn begins_at(&self, agreed: ScheduleZero) {
        self.zero.lock().unwrap_or_else(PoisonError::into_inner).agreed = Some(agreed);
        self.agreed.notify_all();
    }

    /// A batch is about to be handed on; false where it is done, or not this member's any more.
    pub(super) fn begin(&self, tenure: u64, batch: &WholeBatch) -> bool {
        let mut state = self.lock();
        let Some(held) = state.held(batch.partition, tenure) else { return false };
        held.is_changed = true;
        held.is_read = false;
        held.ledger.begin(batch)
    }

    /// A request is handed on; false where it has ended, or is not this member's any more.
    pub(super) fn take(&self, id: ExchangeId, place: Place) -> bool {
        let mut state = self.lock();
        let Some(held) = state.held(place.partition, place.tenure) else { return false };
        if held.is_leaving || held.ledger.is_done(place.at, place.index) {
            return false;
        }
        held.on_way += 1;
        // An id that comes twice is a mistake of whoever wrote it: the first one stands for both.
        state.on_way.insert(id, place);
        true
    }

    /// What was read of a partition by now.
    pub(super) fn read(&self, partition: u16, tenure: u64, read: ReadSoFar, expired: u64) {
        let mut state = self.lock();
        if let Some(held) = state.held(partition, tenure) {
            held.is_changed = true;
            (held.pending, held.is_read) = (read.pending, read.is_all);
            held.ledger.read(read.through);
            held.ledger.expire(expired);
        }
    }

    /// Of a batch that is damaged what cannot be read has ended.
    pub(super) fn end_unread(&self, tenure: u64, batch: &WholeBatch, from: u32) {
        let mut state = self.lock();
        if let Some(held) = state.held(batch.partition, tenure) {
            (from..batch.header.requests).for_each(|place| held.ledger.end(batch.at, place));
        }
    }

    /// A request has ended; where not `for_good`, it was given up unsent.
    pub(super) fn end(&self, id: ExchangeId, for_good: bool) {
        let mut state = self.lock();
        let Some(place) = state.on_way.remove(&id) else { return };
        state.count_end(Instant::now());
        if let Some(held) = state.held(place.partition, place.tenure) {
            held.on_way = held.on_way.saturating_sub(1);
            if for_good {
                held.ledger.end(place.at, place.index);
                held.is_changed = true;
            }
        }
    }

    /// A request ends unseen: it is of another port, or lies outside what is replayed.
    pub(super) fn leave_out(&self, id: ExchangeId) {
        self.lock().left_out += 1;
        self.end(id, true);
    }

    /// Asks whether a request may go out now: the answer, or where to wait for it.
    pub(super) fn ask(&self, id: ExchangeId, is_write: bool) -> Asked {
        let mut state = self.lock();
        let Some(place) = state.on_way.get(&id).copied() else { return Asked::Known(Admission::Send) };
        if state.is_paused {
            return Asked::Later;
        }
        let Some(held) = state.held(place.partition, place.tenure) else { return Asked::Known(Admission::Moved) };
        if !is_write {
            let is_sure = held.sure.elapsed() < SURE;
            return if is_sure { Asked::Known(Admission::Send) } else { Asked::Later };
        }
        if held.ledger.is_uncertain(place.at, place.index) {
            return Asked::Known(Admission::Uncertain);
        }
        let (answer, wait) = oneshot::channel();
        held.writes.push(WaitingWrite { at: place.at, place: place.index, answer });
        drop(state);
        self.bell.notify_one();
        Asked::Wait(wait)
    }
}

/// Answer to whether a request may go out.
pub(super) enum Asked {
    Known(Admission),
    /// It is asked again in a while: whether the partition is still held is not known, or nothing is to be sent.
    Later,
    /// The store is told first.
    Wait(oneshot::Receiver<Admission>),
}
