//! What the last responses were counted as, by the connection that they came over: so that they can be taken back.
//!
//! A response that comes without a request says that those before it on its connection may have been those of other
//! requests. Deliveries come in as they are counted; those of a connection leave when it turns out so. Requests and
//! responses of a connection go one after another: one response too many shifts all that follow it, and nothing in a
//! response says to which request it belongs. So every earlier one on the connection is in doubt, and leaves.
//!
//! As many are remembered as there is room for, the oldest make room: these stand as they were counted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::compare::ResponseDiff;
use crate::exchange::{ExchangeId, FailureKind, Outcome};
use crate::replay::{ConnNumber, Delivery, Destination, Reason};

use super::inputs::Production;
use super::route_name::RouteName;

/// Desynchronised connections that are remembered, for responses on them that are told later than that.
const MAX_DESYNCHRONISED: usize = 1 << 14;

/// Why a response does not count that came before.
const DOUBTED: Reason =
    Reason::new("another response came without a request on its connection: whose it is cannot be told");

/// A response, and what it was counted as.
#[derive(Clone, Debug)]
pub(crate) struct CountedDelivery {
    pub(crate) connection: ConnNumber,
    pub(crate) id: ExchangeId,
    pub(crate) destination: Destination,
    pub(crate) status: u16,
    pub(crate) service: Option<Duration>,
    pub(crate) response: Option<Duration>,
    /// When it ended, since the run began.
    pub(crate) at: Duration,
    /// None where its request is not known any more.
    pub(crate) route: Option<RouteName>,
    pub(crate) production: Option<KnownProduction>,
    /// How it compares; `None` where it could not be compared.
    pub(crate) compared: Option<CountedComparison>,
    /// The demands on routes that it was counted for, by their numbers.
    pub(crate) demands: u32,
}

/// What production did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownProduction {
    pub(crate) status: u16,
    pub(crate) latency: Option<Duration>,
}

/// How two responses compare: places without their values, unless these are shared.
#[derive(Clone, Debug)]
pub(crate) struct CountedComparison {
    pub(crate) found: Arc<ResponseDiff>,
    /// Whether it was among the comparisons that tell what is noise.
    pub(crate) tells_noise: bool,
}

impl CountedComparison {
    pub(crate) fn new(mut found: Arc<ResponseDiff>, tells_noise: bool) -> Self {
        if let Some(found) = Arc::get_mut(&mut found) {
            for difference in &mut found.differences {
                (difference.production, difference.shadow) = (Value::Null, Value::Null);
            }
        }
        Self { found, tells_noise }
    }
}

impl KnownProduction {
    pub(crate) fn of(production: &Production) -> Self {
        Self { status: production.status, latency: production.latency }
    }
}

impl CountedDelivery {
    /// What it counts as once it was taken back.
    pub(crate) fn failed(&self) -> Delivery {
        let mut failed = Delivery::unsent(self.id, self.destination, Outcome::Sent);
        failed.doubt();
        failed
    }

    /// Bytes that it holds.
    fn weight(&self) -> usize {
        size_of::<Option<Remembered>>() + self.compared.as_ref().map_or(0, |compared| compared.found.weight())
    }
}

/// The last responses.
#[derive(Debug)]
pub(crate) struct RecentDeliveries {
    /// In the order in which they were counted; none in the place of one that was taken back.
    all: VecDeque<Option<Remembered>>,
    /// How many there were before the first of `all`.
    gone: u64,
    /// The number of the last one of each connection.
    last: HashMap<ConnNumber, u64, foldhash::fast::RandomState>,
    bytes: usize,
    max_bytes: usize,
    /// Deliveries that there is room for, whatever else they hold.
    places: usize,
    desynchronised: HashSet<ConnNumber, foldhash::fast::RandomState>,
    /// In the order in which they became so.
    order: VecDeque<ConnNumber>,
}

#[derive(Debug)]
struct Remembered {
    delivery: CountedDelivery,
    /// The number of the one before on its connection.
    before: Option<u64>,
}

impl RecentDeliveries {
    /// None yet, and room for so many bytes of them.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            all: VecDeque::new(),
            gone: 0,
            last: HashMap::default(),
            bytes: 0,
            max_bytes,
            places: max_bytes / size_of::<Option<Remembered>>(),
            desynchronised: HashSet::default(),
            order: VecDeque::new(),
        }
    }

    /// Remembers one that was counted.
    pub(crate) fn remember(&mut self, delivery: CountedDelivery) {
        if self.all.capacity() == 0 {
            // As it grows by itself it would take up to twice the room.
            self.all.reserve_exact(self.places + 1);
        }
        self.bytes += delivery.weight();
        let number = self.gone + self.all.len() as u64;
        let before = self.last.insert(delivery.connection, number).filter(|before| *before >= self.gone);
        self.all.push_back(Some(Remembered { delivery, before }));
        while (self.bytes > self.max_bytes || self.all.len() > self.places) && self.forget_first() {}
    }

    /// A response came without a request on this connection: gives back what was counted of it, in order.
    pub(crate) fn desynchronised(&mut self, connection: ConnNumber) -> Vec<CountedDelivery> {
        if self.desynchronised.insert(connection) {
            self.order.push_back(connection);
        }
        if self.order.len() > MAX_DESYNCHRONISED
            && let Some(oldest) = self.order.pop_front()
        {
            self.desynchronised.remove(&oldest);
        }
        let mut next = self.last.remove(&connection);
        let mut found = Vec::new();
        while let Some(one) = next.and_then(|number| self.take(number)) {
            self.bytes -= one.delivery.weight();
            next = one.before;
            found.push(one.delivery);
        }
        found.reverse();
        found
    }

    /// Whether a delivery is in doubt, because it came over a connection of which that is known.
    pub(crate) fn doubts(&self, delivery: &Delivery) -> bool {
        !self.desynchronised.is_empty()
            && delivery.outcome == Outcome::Sent
            && delivery
                .answer
                .as_ref()
                .and_then(|answer| answer.connection)
                .is_some_and(|connection| self.desynchronised.contains(&connection))
    }

    fn take(&mut self, number: u64) -> Option<Remembered> {
        let at = usize::try_from(number.checked_sub(self.gone)?).ok()?;
        self.all.get_mut(at)?.take()
    }

    fn forget_first(&mut self) -> bool {
        let Some(first) = self.all.pop_front() else { return false };
        if let Some(Remembered { delivery, .. }) = first {
            self.bytes -= delivery.weight();
            if self.last.get(&delivery.connection) == Some(&self.gone) {
                self.last.remove(&delivery.connection);
            }
        }
        self.gone += 1;
        true
    }
}

impl Delivery {
    /// The same delivery, whose response counts as nobody's.
    pub(crate) fn doubt(&mut self) {
        self.outcome = Outcome::Failed(FailureKind::Desynchronised);
        self.reason = Some(Box::new(DOUBTED));
        (self.answer, self.service, self.response) = (None, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, delivery};
    use super::*;
    use crate::compare::Difference;

    fn counted(connection: ConnNumber, n: u32) -> CountedDelivery {
        CountedDelivery { connection, ..testing::counted(n) }
    }

    fn ids(found: &[CountedDelivery]) -> Vec<u32> {
        found.iter().map(|one| one.id.index).collect()
    }

    #[test]
    fn all_of_a_connection_come_back_once_and_none_of_another() {
        let mut recent = RecentDeliveries::new(1 << 20);
        let [one, other] = [ConnNumber::next(), ConnNumber::next()];
        for n in 1..=6 {
            recent.remember(counted(if n % 2 == 0 { one } else { other }, n));
        }
        assert_eq!(ids(&recent.desynchronised(one)), [2, 4, 6]);
        assert!(recent.desynchronised(one).is_empty());
        assert_eq!(ids(&recent.desynchronised(other)), [1, 3, 5]);
        assert_eq!(recent.bytes, 0);
    }

    #[test]
    fn the_oldest_make_room_and_stand() {
        let mut recent = RecentDeliveries::new(10 * size_of::<Option<Remembered>>());
        let one = ConnNumber::next();
        for n in 1..=1000 {
            recent.remember(counted(ConnNumber::next(), n));
            recent.remember(counted(one, 1000 + n));
        }
        assert_eq!((recent.all.len(), recent.last.len()), (10, 6));
        assert_eq!(ids(&recent.desynchronised(one)), [1996, 1997, 1998, 1999, 2000]);
        for n in 1..=10 {
            recent.remember(counted(ConnNumber::next(), n));
        }
        assert_eq!((recent.all.len(), recent.bytes), (10, 10 * size_of::<Option<Remembered>>()));
    }

    #[test]
    fn what_differs_counts_by_its_places_alone() {
        let long = "x".repeat(1000);
        let difference = Difference {
            place: crate::compare::DifferencePart::Body,
            path: "$.a".to_owned(),
            kind: crate::compare::DifferenceKind::Value,
            production: long.clone().into(),
            shadow: long.into(),
        };
        let found = ResponseDiff { differences: vec![difference], body_unknown: None };
        let compared = Some(CountedComparison::new(Arc::new(found), false));
        let one = CountedDelivery { compared, ..counted(ConnNumber::next(), 1) };
        assert!(one.weight() < 1000 && one.weight() > size_of::<Option<Remembered>>() + size_of::<Difference>());
    }

    #[test]
    fn a_delivery_is_in_doubt_where_its_connection_is_and_a_bounded_number_of_these_is_known() {
        let mut recent = RecentDeliveries::new(1 << 20);
        let mut one = delivery(1, Outcome::Sent, Some(200));
        assert!(!recent.doubts(&one));
        let connection = ConnNumber::next();
        recent.desynchronised(connection);
        assert!(!recent.doubts(&one), "it is not known over which connection it came");
        one.answer.as_mut().unwrap().connection = Some(connection);
        assert!(recent.doubts(&one));
        one.doubt();
        assert!(!recent.doubts(&one) && one.answer.is_none());
        one = delivery(1, Outcome::Sent, Some(200));
        one.answer.as_mut().unwrap().connection = Some(connection);
        (0..MAX_DESYNCHRONISED).for_each(|_| drop(recent.desynchronised(ConnNumber::next())));
        assert!(!recent.doubts(&one) && recent.desynchronised.len() == MAX_DESYNCHRONISED);
    }
}
