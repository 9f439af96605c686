//! Join of the production response and the shadow responses of one request.
//!
//! Offers, deliveries and production halves come in; a [`Joined`] comes out once all halves of a request are there, or
//! once it has to make room. Nothing is counted here. A production half without an offered request is dropped at once.

use std::collections::hash_map::{Entry, OccupiedEntry};
use std::collections::{HashMap, VecDeque};

use smallvec::SmallVec;

use crate::exchange::{ExchangeId, Timestamp};
use crate::replay::{Delivery, RetainedResponse, TargetResponse};

use super::inputs::{Production, RequestRecord};
use super::unjoined::Unjoined;

/// Joins that may wait at once: past it the oldest is ended as [`Unjoined::Evicted`].
pub(crate) const MAX_PENDING_JOINS: usize = 65_536;

/// Bytes of methods, targets and heads that waiting joins may hold: past it the oldest is ended as [`Unjoined::Evicted`].
pub(crate) const MAX_PENDING_BYTES: usize = 32 << 20;

/// Joins that may have ended before it is worth the while to forget where they stood.
const FEW: usize = 1024;

/// A request with the responses of both sides.
#[derive(Debug)]
pub struct Joined {
    /// The request.
    pub note: Box<RequestRecord>,
    /// Responses of the targets; not all of them where the join ended early.
    pub deliveries: Deliveries,
    /// Response of production.
    pub production: Result<Production, Unjoined>,
    /// Production's previous response to the same request, where they are still to be compared.
    pub before: Option<Box<Production>>,
}

/// Deliveries of one request: mostly one, in no memory of its own.
pub type Deliveries = SmallVec<[Box<Delivery>; 1]>;

/// Effect of an ended delivery on its join.
#[derive(Debug)]
pub(crate) enum DeliveryJoin {
    /// The join still waits.
    Waiting,
    /// The join is complete.
    Complete(Joined),
    /// The join had ended before, to make room.
    Late(Box<Delivery>),
}

/// Effect of a production half on its join.
#[derive(Debug)]
pub(crate) enum ProductionJoin {
    /// Nobody waits for it: it was not offered, has ended, or has its half.
    Unwanted,
    /// The join still waits.
    Waiting,
    /// The join is complete.
    Complete(Joined),
}

/// A join that waits.
#[derive(Debug)]
struct PendingJoin {
    /// Its place among all that were offered.
    place: u64,
    note: Box<RequestRecord>,
    targets: usize,
    deliveries: Deliveries,
    production: Option<Result<Production, Unjoined>>,
    before: Option<Box<Production>>,
    held: HeldBytes,
}

/// Bytes that a join holds.
#[derive(Clone, Copy, Debug, Default)]
struct HeldBytes {
    /// Of words and heads.
    heads: usize,
    bodies: usize,
}

impl HeldBytes {
    fn of(kept: Option<&RetainedResponse>) -> Self {
        let bodies = kept.and_then(|kept| kept.body.as_ref()).map_or(0, bytes::Bytes::len);
        Self { heads: kept.map_or(0, |kept| kept.head.as_bytes().len()), bodies }
    }

    const fn add(&mut self, other: Self) {
        self.heads += other.heads;
        self.bodies += other.bodies;
    }

    const fn subtract(&mut self, other: Self) {
        self.heads -= other.heads;
        self.bodies -= other.bodies;
    }
}

impl PendingJoin {
    fn is_complete(&self) -> bool {
        self.production.is_some() && self.deliveries.len() >= self.targets
    }

    /// Lets the bodies go, and says how many bytes that were: whether they differ is then known by their hashes alone.
    fn drop_bodies(&mut self) -> usize {
        self.production.iter_mut().flatten().for_each(Production::drop_body);
        self.before = None;
        self.deliveries.iter_mut().filter_map(|delivery| delivery.answer.as_mut()).for_each(TargetResponse::drop_body);
        std::mem::take(&mut self.held.bodies)
    }

    fn end(self, without: Unjoined) -> Joined {
        let production = self.production.unwrap_or(Err(without));
        Joined { note: self.note, deliveries: self.deliveries, production, before: self.before }
    }
}

/// The joins that wait.
///
/// Invariant: `held` is the sum of their bytes. `order` has each of them, by its position, among some that have ended.
/// None of those whose position is below `bodiless` keeps a body.
#[derive(Debug)]
pub(crate) struct Joins {
    /// In boxes: the table moves what it holds about.
    waiting: HashMap<ExchangeId, Box<PendingJoin>, foldhash::fast::RandomState>,
    order: VecDeque<(u64, ExchangeId)>,
    next: u64,
    held: HeldBytes,
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
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self {
            waiting: HashMap::default(),
            order: VecDeque::new(),
            next: 0,
            held: HeldBytes::default(),
            bodiless: 0,
            limit,
            kept_bytes: usize::MAX,
        }
    }

    /// No joins yet, and room for `bytes` bytes of bodies: past it the oldest joins let theirs go.
    #[must_use]
    pub(crate) fn with_kept_bytes(bytes: usize) -> Self {
        Self { kept_bytes: bytes, ..Self::default() }
    }

    /// A request was offered to `targets` targets. Gives back those that had to make room for it.
    pub(crate) fn offered(&mut self, note: Box<RequestRecord>, targets: usize) -> Vec<Joined> {
        let (id, place) = (note.id, self.next);
        self.next += 1;
        let held = HeldBytes { heads: note.text.len(), bodies: 0 };
        self.held.add(held);
        let (deliveries, production, before) = Default::default();
        let pending = PendingJoin { place, note, targets, deliveries, production, before, held };
        let mut gone = Vec::new();
        // Ids are unique in a run; should one come twice, its first join must not hang on for ever.
        if let Some(old) = self.waiting.insert(id, Box::new(pending)) {
            self.held.subtract(old.held);
            gone.push(old.end(Unjoined::Evicted));
        }
        self.forget_ended();
        self.order.push_back((place, id));
        while self.waiting.len() > self.limit || (self.held.heads > MAX_PENDING_BYTES && self.waiting.len() > 1) {
            let Some((place, oldest)) = self.order.pop_front() else { break };
            if let Entry::Occupied(oldest) = self.waiting.entry(oldest)
                && oldest.get().place == place
            {
                let oldest = oldest.remove();
                self.held.subtract(oldest.held);
                gone.push(oldest.end(Unjoined::Evicted));
            }
        }
        gone
    }

    /// Of a request that was offered so many more deliveries will come.
    pub(crate) fn expect(&mut self, of: ExchangeId, more: usize) {
        if let Some(pending) = self.waiting.get_mut(&of) {
            pending.targets += more;
        }
    }

    /// Returns when the first byte of a request came, while the request waits.
    pub(crate) fn first_byte(&self, of: ExchangeId) -> Option<Timestamp> {
        self.waiting.get(&of).map(|pending| pending.note.at)
    }

    /// A delivery ended.
    pub(crate) fn delivered(&mut self, delivery: Box<Delivery>) -> DeliveryJoin {
        let Entry::Occupied(mut entry) = self.waiting.entry(delivery.id) else { return DeliveryJoin::Late(delivery) };
        let mut more = HeldBytes::of(delivery.answer.as_ref().and_then(|answer| answer.kept.as_deref()));
        more.heads += delivery.sent_as.len();
        entry.get_mut().deliveries.push(delivery);
        if let Some(joined) = grown(entry, more, &mut self.held, self.bodiless) {
            return DeliveryJoin::Complete(joined);
        }
        self.make_room_for_bodies();
        DeliveryJoin::Waiting
    }

    /// Returns the request whose production half is still to come.
    pub(crate) fn awaiting_production(&self, of: ExchangeId) -> Option<&RequestRecord> {
        self.waiting.get(&of).filter(|pending| pending.production.is_none()).map(|pending| &*pending.note)
    }

    /// The production half came, with the one that came `before` to the same request where they are to be compared. A second
    /// half for the same request changes nothing.
    pub(crate) fn production(
        &mut self,
        of: ExchangeId,
        half: Result<Production, Unjoined>,
        before: Option<Box<Production>>,
    ) -> ProductionJoin {
        let Entry::Occupied(mut entry) = self.waiting.entry(of) else { return ProductionJoin::Unwanted };
        let pending = entry.get_mut();
        if pending.production.is_some() {
            return ProductionJoin::Unwanted;
        }
        let mut more = HeldBytes::of(half.as_ref().ok().and_then(|production| production.kept.as_deref()));
        more.add(HeldBytes::of(before.as_ref().and_then(|before| before.kept.as_deref())));
        (pending.production, pending.before) = (Some(half), before);
        if let Some(joined) = grown(entry, more, &mut self.held, self.bodiless) {
            return ProductionJoin::Complete(joined);
        }
        self.make_room_for_bodies();
        ProductionJoin::Waiting
    }

    /// Ends what still waits, oldest first.
    pub(crate) fn finish(mut self) -> impl Iterator<Item = Joined> {
        self.order.into_iter().filter_map(move |(place, id)| match self.waiting.entry(id) {
            Entry::Occupied(entry) if entry.get().place == place => Some(entry.remove().end(Unjoined::Stopped)),
            _ => None,
        })
    }

    /// Has the oldest joins let their bodies go, as many as it takes.
    fn make_room_for_bodies(&mut self) {
        while self.held.bodies > self.kept_bytes {
            let at = self.order.partition_point(|(place, _)| *place < self.bodiless);
            let Some((place, oldest)) = self.order.get(at) else { break };
            self.bodiless = place + 1;
            if let Some(pending) = self.waiting.get_mut(oldest).filter(|pending| pending.place == *place) {
                self.held.bodies -= pending.drop_bodies();
            }
        }
    }

    /// Forgets the places of those that have ended, once they are more than those that wait.
    fn forget_ended(&mut self) {
        if self.order.len() > 2 * self.waiting.len() + FEW {
            let waiting = &self.waiting;
            self.order.retain(|(place, id)| waiting.get(id).is_some_and(|pending| pending.place == *place));
        }
    }
}

/// Follows what a join holds, with `more` now, in what `all` hold; ends it where it is complete.
fn grown(
    mut entry: OccupiedEntry<'_, ExchangeId, Box<PendingJoin>>,
    more: HeldBytes,
    all: &mut HeldBytes,
    bodiless: u64,
) -> Option<Joined> {
    let pending = entry.get_mut();
    pending.held.add(more);
    all.add(more);
    if pending.place < bodiless {
        all.bodies -= pending.drop_bodies();
    }
    if !pending.is_complete() {
        return None;
    }
    let pending = entry.remove();
    all.subtract(pending.held);
    Some(pending.end(Unjoined::Stopped))
}

#[cfg(test)]
mod tests {
    use super::super::request_text::RequestText;
    use super::super::testing::{delivery, id, note, production};
    use bytes::Bytes;

    use super::*;
    use crate::exchange::{Damage, Head, Outcome, digest};

    fn sent(n: u32) -> Box<Delivery> {
        Box::new(delivery(n, Outcome::Sent, Some(200)))
    }

    #[test]
    fn the_halves_may_come_in_either_order() {
        let mut joins = Joins::default();
        assert!(joins.offered(note(1), 1).is_empty());
        assert!(matches!(joins.production(id(1), Ok(production(200)), None), ProductionJoin::Waiting));
        let DeliveryJoin::Complete(joined) = joins.delivered(sent(1)) else { panic!("still waits") };
        assert_eq!(joined.production.unwrap().status, 200);

        joins.offered(note(2), 1);
        assert!(matches!(joins.delivered(sent(2)), DeliveryJoin::Waiting));
        let ProductionJoin::Complete(joined) = joins.production(id(2), Err(Damage::Gap.into()), None) else {
            panic!("still waits")
        };
        assert_eq!(joined.production.unwrap_err(), Unjoined::Damage(Damage::Gap));
        assert_eq!(joins.finish().count(), 0);
    }

    #[test]
    fn a_join_waits_for_every_target() {
        let mut joins = Joins::default();
        joins.offered(note(1), 2);
        joins.production(id(1), Ok(production(200)), None);
        assert!(matches!(joins.delivered(sent(1)), DeliveryJoin::Waiting));
        let DeliveryJoin::Complete(joined) = joins.delivered(sent(1)) else { panic!("still waits") };
        assert_eq!(joined.deliveries.len(), 2);
    }

    #[test]
    fn production_of_what_was_not_offered_is_dropped() {
        let mut joins = Joins::default();
        assert!(matches!(joins.production(id(9), Ok(production(200)), None), ProductionJoin::Unwanted));
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
        assert!(matches!(joins.delivered(sent(1)), DeliveryJoin::Late(_)));
        assert!(matches!(joins.delivered(sent(2)), DeliveryJoin::Waiting));
    }

    #[test]
    fn long_targets_count_against_a_limit_of_bytes() {
        let mut joins = Joins::default();
        let mut gone = 0;
        for n in 0..40 {
            let mut long = note(n);
            long.text = RequestText::new(b"GET", &vec![b'a'; 1 << 20], b"", b"");
            gone += joins.offered(long, 1).len();
        }
        assert!(gone >= 8, "{gone}");
        assert!(joins.held.heads <= MAX_PENDING_BYTES);
    }

    #[test]
    fn past_the_limit_the_oldest_bodies_go_and_their_hashes_stay() {
        let body = |bytes: &'static [u8]| {
            Some(Box::new(RetainedResponse::new(Head::default(), Some(Bytes::from_static(bytes)))))
        };
        for known in [None, digest(b"hello")] {
            let mut joins = Joins::with_kept_bytes(9);
            for n in 1..=2 {
                joins.offered(note(n), 1);
                let half = Production { body_sha256: known, kept: body(b"hello"), ..production(200) };
                assert!(matches!(joins.production(id(n), Ok(half), None), ProductionJoin::Waiting));
            }
            assert_eq!(joins.held.bodies, 5);
            let mut late = sent(1);
            let answer = late.answer.as_mut().unwrap();
            (answer.body_sha256, answer.kept) = (known, body(b"hello"));
            let DeliveryJoin::Complete(joined) = joins.delivered(late) else { panic!("still waits") };
            let production = joined.production.unwrap();
            let answer = joined.deliveries[0].answer.as_ref().unwrap();
            assert_eq!((production.body_sha256, answer.body_sha256), (digest(b"hello"), digest(b"hello")));
            assert!([&production.kept, &answer.kept].iter().all(|kept| kept.as_ref().unwrap().body.is_none()));
            assert_eq!(joins.held.bodies, 5);
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
