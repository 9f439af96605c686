//! How production's responses ended, for targets whose response has not.
//!
//! Ends come in as the run reaches them; a target whose response goes on asks for that of its request. Few do: of
//! production's whole responses no more is kept than a mark in a table of a fixed size.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use foldhash::fast::{FixedState, RandomState};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::exchange::ExchangeId;

/// Whole responses that are remembered; of an older one nothing is known any more.
const WHOLE: usize = 1 << 16;
/// Responses without end that are remembered; past it the oldest is forgotten.
const MAX_UNENDED: usize = 1 << 16;

/// How production's response to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductionEnd {
    /// It was whole.
    Whole,
    /// It did not end: its client left, or the capture ended.
    Open {
        /// Content bytes that had come.
        len: u64,
        /// When that is due.
        due: Instant,
    },
    /// Nothing is known of it, and will not be.
    Unknown {
        /// When that became known.
        due: Instant,
    },
}

/// How production's responses ended, those of late.
#[derive(Debug)]
pub struct ProductionEnds {
    /// A mark for each whole response, where its id says; a later one takes its place.
    whole: Box<[AtomicU64]>,
    hasher: FixedState,
    waiting: AtomicUsize,
    others: Mutex<OtherEnds>,
}

#[derive(Debug, Default)]
struct OtherEnds {
    ends: HashMap<ExchangeId, ProductionEnd, RandomState>,
    order: VecDeque<ExchangeId>,
    waiters: HashMap<ExchangeId, Vec<oneshot::Sender<ProductionEnd>>, RandomState>,
    /// When nothing more came.
    over: Option<Instant>,
}

impl Default for ProductionEnds {
    fn default() -> Self {
        Self {
            whole: std::iter::repeat_with(AtomicU64::default).take(WHOLE).collect(),
            hasher: FixedState::default(),
            waiting: AtomicUsize::new(0),
            others: Mutex::default(),
        }
    }
}

impl ProductionEnds {
    /// Production's response to `of` ended like this.
    pub fn note(&self, of: ExchangeId, end: ProductionEnd) {
        if end == ProductionEnd::Whole {
            let mark = self.mark(of);
            if let Some(place) = self.place(of) {
                place.store(mark, Ordering::SeqCst);
            }
            if self.waiting.load(Ordering::SeqCst) == 0 {
                return;
            }
        }
        let mut others = self.others();
        if end != ProductionEnd::Whole && others.ends.insert(of, end).is_none() {
            others.order.push_back(of);
            if others.order.len() > MAX_UNENDED
                && let Some(oldest) = others.order.pop_front()
            {
                others.ends.remove(&oldest);
            }
        }
        for waiter in others.waiters.remove(&of).unwrap_or_default() {
            // Whoever does not wait any more needs no word.
            waiter.send(end).ok();
        }
    }

    /// No more ends come: what is not known is not going to be.
    pub fn finish(&self) {
        let mut others = self.others();
        let due = *others.over.get_or_insert_with(Instant::now);
        for waiter in std::mem::take(&mut others.waiters).into_values().flatten() {
            waiter.send(ProductionEnd::Unknown { due }).ok();
        }
    }

    /// Asks how production's response to `of` ended, or will.
    pub fn ask(self: &Arc<Self>, of: ExchangeId) -> ProductionEndWait {
        let (sender, answer) = oneshot::channel();
        // Before anything is looked at: an end that comes in between is told to the waiter, or seen here.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mark = self.mark(of);
        let is_whole = self.place(of).is_some_and(|place| place.load(Ordering::SeqCst) == mark);
        let mut others = self.others();
        let known = match others.ends.get(&of) {
            Some(end) => Some(*end),
            None if is_whole => Some(ProductionEnd::Whole),
            None => others.over.map(|due| ProductionEnd::Unknown { due }),
        };
        if known.is_none() {
            others.waiters.entry(of).or_default().push(sender);
        }
        drop(others);
        ProductionEndWait { of, known, answer, ends: Arc::clone(self) }
    }

    fn mark(&self, of: ExchangeId) -> u64 {
        // Never that of an empty place.
        self.hasher.hash_one(of) | 1 << 63
    }

    /// Where the mark of an exchange stands: beside that of the one before on its connection, so that what is written next
    /// is in the caches of the processor. Connections begin as far from each other as their number lets them.
    fn place(&self, of: ExchangeId) -> Option<&AtomicU64> {
        /// 2^64 by the golden ratio: multiples of it are spread evenly.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let connection = of.connection.0 ^ (u64::from(of.copy) << 32) ^ (u64::from(of.pass) << 48);
        let begin = connection.wrapping_mul(SPREAD) >> (u64::BITS - WHOLE.ilog2());
        let place = begin.wrapping_add(of.index.into()) & (WHOLE as u64 - 1);
        self.whole.get(usize::try_from(place).unwrap_or_default())
    }

    fn others(&self) -> MutexGuard<'_, OtherEnds> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end of one response of production.
#[derive(Debug)]
pub struct ProductionEndWait {
    of: ExchangeId,
    known: Option<ProductionEnd>,
    answer: oneshot::Receiver<ProductionEnd>,
    ends: Arc<ProductionEnds>,
}

impl ProductionEndWait {
    /// How it ended, once that is known; else whoever polls is woken then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Option<ProductionEnd> {
        if self.known.is_none()
            && let Poll::Ready(Ok(end)) = std::pin::Pin::new(&mut self.answer).poll(cx)
        {
            self.known = Some(end);
        }
        self.known
    }
}

impl Drop for ProductionEndWait {
    fn drop(&mut self) {
        self.ends.waiting.fetch_sub(1, Ordering::SeqCst);
        if self.known.is_some() {
            return;
        }
        self.answer.close();
        let mut others = self.ends.others();
        if let Some(waiters) = others.waiters.get_mut(&self.of) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                others.waiters.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::exchange::ConnectionId;

    fn id(connection: u64) -> ExchangeId {
        ExchangeId::new(ConnectionId(connection), 1)
    }

    fn poll(wait: &mut ProductionEndWait) -> Option<ProductionEnd> {
        wait.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn ends_are_told_whether_they_come_before_they_are_asked_for_or_after() {
        let ends = Arc::new(ProductionEnds::default());
        let open = ProductionEnd::Open { len: 7, due: Instant::now() };
        for (n, end) in [(1, ProductionEnd::Whole), (2, open), (3, ProductionEnd::Unknown { due: Instant::now() })] {
            ends.note(id(n), end);
            assert_eq!(poll(&mut ends.ask(id(n))), Some(end), "before");
            let (mut one, mut other) = (ends.ask(id(10 + n)), ends.ask(id(10 + n)));
            assert_eq!(poll(&mut one), None);
            ends.note(id(10 + n), end);
            assert_eq!((poll(&mut one), poll(&mut other)), (Some(end), Some(end)), "after, several");
            assert_eq!(poll(&mut one), Some(end), "again");
        }
    }

    #[test]
    fn at_the_end_of_the_capture_what_is_not_known_never_will_be() {
        let ends = Arc::new(ProductionEnds::default());
        let mut waiting = ends.ask(id(1));
        ends.finish();
        assert!(matches!(poll(&mut waiting), Some(ProductionEnd::Unknown { .. })));
        assert!(matches!(poll(&mut ends.ask(id(2))), Some(ProductionEnd::Unknown { .. })));
    }

    #[test]
    fn whoever_gives_up_leaves_nothing_behind_and_ends_are_bounded() {
        let ends = Arc::new(ProductionEnds::default());
        drop((ends.ask(id(1)), ends.ask(id(1))));
        assert!(ends.others().waiters.is_empty());
        assert_eq!(ends.waiting.load(Ordering::SeqCst), 0);
        let due = Instant::now();
        for n in 0..=MAX_UNENDED as u64 {
            ends.note(id(n), ProductionEnd::Open { len: n, due });
        }
        assert_eq!(ends.others().ends.len(), MAX_UNENDED);
        assert_eq!(ends.others().order.len(), MAX_UNENDED);
        assert_eq!(poll(&mut ends.ask(id(0))), None, "the oldest is forgotten");
        assert_eq!(poll(&mut ends.ask(id(1))), Some(ProductionEnd::Open { len: 1, due }));
    }
}
