//! Where the production response and the shadow responses of one request meet.
//!
//! Offers, deliveries and production halves come in; a [`Joined`] leaves once all halves of a request are there, or
//! once it has to make room. Nothing is counted here. A production half of what was not offered is dropped at once.

use std::collections::{BTreeMap, HashMap};

use crate::exchange::{Damage, ExchangeId};
use crate::replay::{Answer, Delivery, Kept};

use super::{Production, RequestNote};

/// Joins that may wait at once: past it the oldest is ended as [`Unjoined::Evicted`].
pub const MAX_PENDING_JOINS: usize = 65_536;

/// Bytes of methods, targets and heads that waiting joins may hold: past it the oldest is ended as [`Unjoined::Evicted`].
pub const MAX_PENDING_BYTES: usize = 32 << 20;

/// Why a join has no production side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjoined {
    /// The capture has no usable response.
    Damage(Damage),
    /// It had to make room for later ones before the response came.
    Evicted,
    /// The run ended first.
    Stopped,
}

impl Unjoined {
    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Damage(why) => why.key(),
            Self::Evicted => "evicted",
            Self::Stopped => "stopped",
        }
    }
}

/// A request with what both sides answered.
#[derive(Debug)]
pub struct Joined {
    /// The request.
    pub note: Box<RequestNote>,
    /// What the targets answered; not all of them where the join ended early.
    pub deliveries: Vec<Delivery>,
    /// What production answered.
    pub production: Result<Production, Unjoined>,
}

/// What an ended delivery brought about.
#[derive(Debug)]
pub enum Arrival {
    /// The join goes on waiting.
    Waiting,
    /// The join is complete.
    Complete(Joined),
    /// The join had ended before, to make room.
    Late(Delivery),
}

/// A join that waits.
#[derive(Debug)]
struct Pending {
    note: Box<RequestNote>,
    targets: usize,
    deliveries: Vec<Delivery>,
    production: Option<Result<Production, Damage>>,
}

impl Pending {
    fn is_complete(&self) -> bool {
        self.production.is_some() && self.deliveries.len() >= self.targets
    }

    fn weight(&self) -> usize {
        let heads = self.kept().map(|kept| kept.head.as_bytes().len()).sum::<usize>();
        self.note.words.len() + heads
    }

    /// Bytes of the bodies that it keeps.
    fn bodies(&self) -> usize {
        self.kept().filter_map(|kept| kept.body.as_ref()).map(bytes::Bytes::len).sum()
    }

    fn kept(&self) -> impl Iterator<Item = &Kept> {
        let production = self.production.iter().flatten().filter_map(|production| production.kept.as_deref());
        let answers = self.deliveries.iter().filter_map(|delivery| delivery.answer.as_ref()?.kept.as_deref());
        production.chain(answers)
    }

    /// Lets the bodies go: whether they differ is then known by their hashes alone.
    fn let_bodies_go(&mut self) {
        self.production.iter_mut().flatten().for_each(Production::let_body_go);
        self.deliveries.iter_mut().filter_map(|delivery| delivery.answer.as_mut()).for_each(Answer::let_body_go);
    }

    fn end(self, without: Unjoined) -> Joined {
        let production = match self.production {
            Some(half) => half.map_err(Unjoined::Damage),
            None => Err(without),
        };
        Joined { note: self.note, deliveries: self.deliveries, production }
    }
}

/// The joins that wait, in the order in which they were offered.
///
/// Invariant: `places` and `waiting` hold the same joins; `bytes` is the sum of their weights, and `bodies` that of the
/// bodies they keep. Of those that were offered before `bodiless` none keeps a body.
#[derive(Debug)]
pub struct Joins {
    /// In boxes: the tree moves what it holds about.
    waiting: BTreeMap<u64, Box<Pending>>,
    places: HashMap<ExchangeId, u64, foldhash::fast::RandomState>,
    next: u64,
    bytes: usize,
    bodies: usize,
    bodiless: u64,
    limit: usize,
    kept_bytes: usize,
}

impl Default for Joins {
    fn default() -> Self {
        Self::with_limit(MAX_PENDING_JOINS)
    }
}

impl Joins {
    /// No joins yet, and room for `limit` of them.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            places: HashMap::default(),
            next: 0,
            bytes: 0,
            bodies: 0,
            bodiless: 0,
            limit,
            kept_bytes: usize::MAX,
        }
    }

    /// No joins yet, and room for `bytes` bytes of bodies: past it the oldest joins let theirs go.
    #[must_use]
    pub fn with_kept_bytes(bytes: usize) -> Self {
        Self { kept_bytes: bytes, ..Self::default() }
    }

    /// A request was offered to `targets` targets. Gives back those that had to make room for it.
    pub fn offered(&mut self, note: Box<RequestNote>, targets: usize) -> Vec<Joined> {
        let pending = Pending { note, targets, deliveries: Vec::with_capacity(targets.min(8)), production: None };
        let place = self.next;
        self.next += 1;
        self.bytes += pending.weight();
        let mut gone = Vec::new();
        // Ids are unique in a run; should one come twice, its first join must not hang on for ever.
        if let Some(old) = self.places.insert(pending.note.id, place)
            && let Some(old) = self.waiting.remove(&old)
        {
            self.bytes -= old.weight();
            self.bodies -= old.bodies();
            gone.push(old.end(Unjoined::Evicted));
        }
        self.waiting.insert(place, Box::new(pending));
        while self.waiting.len() > self.limit || (self.bytes > MAX_PENDING_BYTES && self.waiting.len() > 1) {
            let Some(oldest) = self.waiting.keys().next().copied() else { break };
            gone.extend(self.take(oldest).map(|oldest| oldest.end(Unjoined::Evicted)));
        }
        gone
    }

    /// Of a request that was offered so many more deliveries will come.
    pub fn expect(&mut self, of: ExchangeId, more: usize) {
        if let Some((_, pending)) = self.find(of) {
            pending.targets += more;
        }
    }

    /// A delivery ended.
    pub fn delivered(&mut self, delivery: Delivery) -> Arrival {
        let Some((place, pending)) = self.find(delivery.id) else { return Arrival::Late(delivery) };
        let before = (pending.weight(), pending.bodies());
        pending.deliveries.push(delivery);
        self.grown(place, before);
        match self.take_if_complete(place) {
            Some(joined) => Arrival::Complete(joined),
            None => Arrival::Waiting,
        }
    }

    /// Whether the production half of a request is still waited for.
    #[must_use]
    pub fn await_production(&self, of: ExchangeId) -> bool {
        let pending = self.places.get(&of).and_then(|place| self.waiting.get(place));
        pending.is_some_and(|pending| pending.production.is_none())
    }

    /// The production half came. A second one for the same request changes nothing.
    pub fn production(&mut self, of: ExchangeId, half: Result<Production, Damage>) -> Option<Joined> {
        let (place, pending) = self.find(of)?;
        let before = (pending.weight(), pending.bodies());
        pending.production.get_or_insert(half);
        self.grown(place, before);
        self.take_if_complete(place)
    }

    /// Ends what still waits, oldest first.
    pub fn finish(self) -> impl Iterator<Item = Joined> {
        self.waiting.into_values().map(|pending| pending.end(Unjoined::Stopped))
    }

    /// Follows what a join holds, which was `before`, and makes room for it.
    fn grown(&mut self, place: u64, before: (usize, usize)) {
        let Some(pending) = self.waiting.get(&place) else { return };
        self.bytes = self.bytes - before.0 + pending.weight();
        self.bodies = self.bodies - before.1 + pending.bodies();
        if place < self.bodiless
            && let Some(pending) = self.waiting.get_mut(&place)
        {
            self.bodies -= pending.bodies();
            pending.let_bodies_go();
        }
        while self.bodies > self.kept_bytes {
            let Some((oldest, pending)) = self.waiting.range_mut(self.bodiless..).next() else { break };
            self.bodies -= pending.bodies();
            pending.let_bodies_go();
            self.bodiless = oldest + 1;
        }
    }

    fn find(&mut self, id: ExchangeId) -> Option<(u64, &mut Pending)> {
        let place = *self.places.get(&id)?;
        self.waiting.get_mut(&place).map(|pending| (place, &mut **pending))
    }

    fn take_if_complete(&mut self, place: u64) -> Option<Joined> {
        if !self.waiting.get(&place)?.is_complete() {
            return None;
        }
        self.take(place).map(|pending| pending.end(Unjoined::Stopped))
    }

    fn take(&mut self, place: u64) -> Option<Box<Pending>> {
        let pending = self.waiting.remove(&place)?;
        self.places.remove(&pending.note.id);
        self.bytes -= pending.weight();
        self.bodies -= pending.bodies();
        debug_assert_eq!(self.waiting.len(), self.places.len());
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Words;
    use super::super::testing::{delivery, id, note, production};
    use bytes::Bytes;

    use super::*;
    use crate::exchange::{Head, Outcome, digest};

    fn sent(n: u32) -> Delivery {
        delivery(n, Outcome::Sent, Some(200))
    }

    #[test]
    fn the_halves_may_come_in_either_order() {
        let mut joins = Joins::default();
        assert!(joins.offered(note(1), 1).is_empty());
        assert!(joins.production(id(1), Ok(production(200))).is_none());
        let Arrival::Complete(joined) = joins.delivered(sent(1)) else { panic!("still waits") };
        assert_eq!(joined.production.unwrap().status, 200);

        joins.offered(note(2), 1);
        assert!(matches!(joins.delivered(sent(2)), Arrival::Waiting));
        let joined = joins.production(id(2), Err(Damage::Gap)).unwrap();
        assert_eq!(joined.production.unwrap_err(), Unjoined::Damage(Damage::Gap));
        assert_eq!(joins.finish().count(), 0);
    }

    #[test]
    fn a_join_waits_for_every_target() {
        let mut joins = Joins::default();
        joins.offered(note(1), 2);
        joins.production(id(1), Ok(production(200)));
        assert!(matches!(joins.delivered(sent(1)), Arrival::Waiting));
        let Arrival::Complete(joined) = joins.delivered(sent(1)) else { panic!("still waits") };
        assert_eq!(joined.deliveries.len(), 2);
    }

    #[test]
    fn production_of_what_was_not_offered_is_dropped() {
        let mut joins = Joins::default();
        assert!(joins.production(id(9), Ok(production(200))).is_none());
        assert_eq!(joins.finish().count(), 0);
    }

    #[test]
    fn when_full_the_oldest_makes_room_and_its_delivery_comes_late() {
        let mut joins = Joins::with_limit(2);
        joins.offered(note(1), 1);
        joins.offered(note(2), 1);
        let gone = joins.offered(note(3), 1);
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].note.id, id(1));
        assert_eq!(*gone[0].production.as_ref().unwrap_err(), Unjoined::Evicted);
        assert!(matches!(joins.delivered(sent(1)), Arrival::Late(_)));
        assert!(matches!(joins.delivered(sent(2)), Arrival::Waiting));
    }

    #[test]
    fn long_targets_count_against_a_limit_of_bytes() {
        let mut joins = Joins::default();
        let mut gone = 0;
        for n in 0..40 {
            let mut long = note(n);
            long.words = Words::new(b"GET", &vec![b'a'; 1 << 20], b"", b"");
            gone += joins.offered(long, 1).len();
        }
        assert!(gone >= 8, "{gone}");
        assert!(joins.bytes <= MAX_PENDING_BYTES);
    }

    #[test]
    fn past_the_limit_the_oldest_bodies_go_and_their_hashes_stay() {
        let body = |bytes: &'static [u8]| Some(Box::new(Kept::new(Head::default(), Some(Bytes::from_static(bytes)))));
        for known in [None, digest(b"hello")] {
            let mut joins = Joins::with_kept_bytes(9);
            for n in 1..=2 {
                joins.offered(note(n), 1);
                let half = Production { body_sha256: known, kept: body(b"hello"), ..production(200) };
                assert!(joins.production(id(n), Ok(half)).is_none());
            }
            assert_eq!(joins.bodies, 5);
            let mut late = sent(1);
            let answer = late.answer.as_mut().unwrap();
            (answer.body_sha256, answer.kept) = (known, body(b"hello"));
            let Arrival::Complete(joined) = joins.delivered(late) else { panic!("still waits") };
            let production = joined.production.unwrap();
            let answer = joined.deliveries[0].answer.as_ref().unwrap();
            assert_eq!((production.body_sha256, answer.body_sha256), (digest(b"hello"), digest(b"hello")));
            assert!([&production.kept, &answer.kept].iter().all(|kept| kept.as_ref().unwrap().body.is_none()));
            assert_eq!(joins.bodies, 5);
        }
    }

    #[test]
    fn an_id_offered_twice_does_not_leave_its_first_join_behind() {
        let mut joins = Joins::default();
        joins.offered(note(1), 1);
        assert_eq!(joins.offered(note(1), 1).len(), 1);
        assert_eq!(joins.finish().count(), 1);
    }
}
