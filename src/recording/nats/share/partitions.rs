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
use crate::recording::session::{Admission, EndTicket, FleetProgress, RequestEnd, ScheduleZero};

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

/// Ends of requests in a partition, since it is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EndCounts {
    all: u64,
    sent: u64,
    left_out: u64,
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
    /// What has ended, and what the store knows of that.
    pub(super) ends: EndCounts,
    pub(super) known: EndCounts,
}

impl Held {
    /// It is held from `began` on.
    pub(super) fn new(tenure: u64, ledger: PartitionLedger, began: Instant) -> Self {
        Self {
            tenure,
            ledger,
            sure: began,
            writes: Vec::new(),
            on_way: 0,
            pending: None,
            is_read: false,
            is_changed: false,
            is_leaving: false,
            ends: EndCounts::default(),
            known: EndCounts::default(),
        }
    }
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
    /// Of partitions that are not held any more: requests that were left out unseen, those that were sent and whose end the
    /// store never learned, and how many ends it did learn, by tenure.
    left_out: u64,
    again: u64,
    known: HashMap<u64, u64>,
    /// Requests that were given up for others.
    given_up: u64,
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

    fn end(&mut self, id: ExchangeId, end: RequestEnd, is_left_out: bool) -> Option<EndTicket> {
        let place = self.on_way.remove(&id)?;
        self.count_end(Instant::now());
        self.given_up += u64::from(end == RequestEnd::GivenUp);
        let Some(held) = self.held(place.partition, place.tenure) else {
            self.again += u64::from(end == RequestEnd::Sent);
            let is_open = end == RequestEnd::Unsent && !is_left_out;
            return is_open.then_some(EndTicket { tenure: place.tenure, number: u64::MAX });
        };
        held.on_way = held.on_way.saturating_sub(1);
        if end == RequestEnd::GivenUp {
            // Whoever has it next may send it.
            held.ledger.withdraw(place.at, place.index);
            held.is_changed = true;
            return None;
        }
        held.ledger.end(place.at, place.index);
        held.is_changed = true;
        held.ends.all += 1;
        held.ends.sent += u64::from(end == RequestEnd::Sent);
        held.ends.left_out += u64::from(is_left_out);
        let ticket = EndTicket { tenure: held.tenure, number: held.ends.all };
        (end == RequestEnd::Unsent && !is_left_out).then_some(ticket)
    }

    fn held(&mut self, partition: u16, tenure: u64) -> Option<&mut Held> {
        self.held.get_mut(&partition).filter(|held| held.tenure == tenure)
    }

    /// Gives a partition up: its requests are somebody else's now.
    pub(super) fn lose(&mut self, partition: u16) {
        let Some(held) = self.held.remove(&partition) else { return };
        self.left_out += held.known.left_out;
        self.again += held.ends.sent - held.known.sent;
        self.known.insert(held.tenure, held.known.all);
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

    /// A request is about to be handed on.
    pub(super) fn take(&self, id: ExchangeId, place: Place) -> Taking {
        let mut state = self.lock();
        let before = state.on_way.get(&id).map(|place| place.tenure);
        let Some(held) = state.held(place.partition, place.tenure) else { return Taking::Gone };
        if held.is_leaving || held.ledger.is_done(place.at, place.index) {
            return Taking::Gone;
        }
        // Two of it at once would both go out: the store knows them by one name.
        if before.is_some_and(|tenure| tenure != place.tenure) {
            return Taking::Waits;
        }
        held.on_way += 1;
        // An id that comes twice is a mistake of whoever wrote it: the first one stands for both.
        state.on_way.insert(id, place);
        Taking::Taken
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

    /// A request has ended. Returns what to ask with whether that counts, where it was not sent.
    pub(super) fn end(&self, id: ExchangeId, end: RequestEnd) -> Option<EndTicket> {
        self.lock().end(id, end, false)
    }

    /// A request ends unseen: it is of another port, or lies outside what is replayed.
    pub(super) fn leave_out(&self, id: ExchangeId) {
        self.lock().end(id, RequestEnd::Unsent, true);
    }

    /// Returns whether an end counts, once that is known.
    pub(super) fn counts(&self, ticket: EndTicket) -> Option<bool> {
        let mut state = self.lock();
        if let Some(held) = state.held.values().find(|held| held.tenure == ticket.tenure) {
            return (held.known.all >= ticket.number).then_some(true);
        }
        let counts = state.known.get(&ticket.tenure).is_some_and(|known| *known >= ticket.number);
        state.given_up += u64::from(!counts);
        Some(counts)
    }

    /// How the run stands, as far as this member knows.
    pub(super) fn progress(&self) -> FleetProgress {
        let state = self.lock();
        let left_out = state.left_out + state.held.values().map(|held| held.ends.left_out).sum::<u64>();
        let PartitionsState { is_complete, ended_in_all, given_up, again, .. } = *state;
        FleetProgress { over: is_complete, ended: ended_in_all, left_out, given_up, again }
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

/// Answer to whether a request may be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    Taken,
    /// It has ended, or is not this member's any more.
    Gone,
    /// It was handed on before its partition went away and came back, and that has not ended yet.
    Waits,
}

/// Answer to whether a request may go out.
pub(super) enum Asked {
    Known(Admission),
    /// It is asked again in a while: whether the partition is still held is not known, or nothing is to be sent.
    Later,
    /// The store is told first.
    Wait(oneshot::Receiver<Admission>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::nats::names::BatchHeader;

    fn place(tenure: u64, index: u32) -> Place {
        Place { partition: 0, tenure, at: 5, index }
    }

    fn id(n: u32) -> ExchangeId {
        crate::testing::request(n, "GET / HTTP/1.1\r\n\r\n").id
    }

    /// Holds a partition for the first time, or again, and begins its only batch.
    fn hold(partitions: &Partitions, tenure: u64) {
        let held = Held::new(tenure, PartitionLedger::default(), Instant::now());
        partitions.lock().held.insert(0, held);
        let header = BatchHeader { node: 0, batch: 0, first: 0, requests: 9, piece: 0, pieces: 1 };
        assert!(partitions.begin(tenure, &WholeBatch { partition: 0, header, at: 5, packed: Vec::new() }));
    }

    /// The store is told of all that has ended.
    fn tell(partitions: &Partitions) {
        partitions.lock().held.values_mut().for_each(|held| held.known = held.ends);
    }

    #[tokio::test]
    async fn what_is_on_its_way_does_not_go_out_a_second_time_when_its_partition_comes_back() {
        let partitions = Partitions::default();
        hold(&partitions, 1);
        assert_eq!(partitions.take(id(1), place(1, 0)), Taking::Taken);
        partitions.lock().lose(0);
        assert_eq!(partitions.take(id(2), place(1, 1)), Taking::Gone);
        hold(&partitions, 2);
        assert_eq!(partitions.take(id(1), place(2, 0)), Taking::Waits);
        assert!(matches!(partitions.ask(id(1), true), Asked::Known(Admission::Moved)));
        partitions.end(id(1), RequestEnd::GivenUp);
        assert_eq!(partitions.take(id(1), place(2, 0)), Taking::Taken);
    }

    #[tokio::test]
    async fn an_end_that_the_store_never_learned_does_not_count() {
        let partitions = Partitions::default();
        hold(&partitions, 1);
        (0..6).for_each(|n| assert_eq!(partitions.take(id(n), place(1, n)), Taking::Taken));
        let known = partitions.end(id(0), RequestEnd::Unsent).unwrap();
        assert_eq!((partitions.counts(known), partitions.end(id(1), RequestEnd::Sent)), (None, None));
        partitions.leave_out(id(2));
        tell(&partitions);
        assert_eq!(partitions.counts(known), Some(true));
        let unknown = partitions.end(id(3), RequestEnd::Unsent).unwrap();
        partitions.end(id(4), RequestEnd::Sent);
        partitions.lock().lose(0);
        let late = partitions.end(id(5), RequestEnd::Unsent).unwrap();
        assert_eq!([known, unknown, late].map(|ticket| partitions.counts(ticket)), [true, false, false].map(Some));
        let progress = partitions.progress();
        assert_eq!((progress.left_out, progress.given_up, progress.again), (1, 2, 1));
    }
}
