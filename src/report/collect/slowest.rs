//! The slowest requests of a route at a target: three of each, as long as there is room for what they ask.

use std::cmp::Reverse;
use std::time::Duration;

use crate::exchange::{ExchangeId, Timestamp};
use crate::replay::{Delivery, SentAs};
use crate::report::schema::by_route::SlowRequest;

use super::diff_groups::shown_request;
use super::histogram::micros;
use super::inputs::{Production, RequestRecord};
use super::request_text::RequestText;

/// Requests that are kept of a route at a target.
pub(crate) const MAX_SLOWEST: usize = 3;

/// Bytes of requests that are kept of all routes: past it a route keeps those that it has.
pub(crate) const MAX_SLOWEST_BYTES: usize = 1 << 20;

/// The slowest requests so far, the slowest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slowest(Vec<SlowTally>);

#[derive(Clone, Debug)]
struct SlowTally {
    response: Duration,
    service: Option<Duration>,
    production: Option<Duration>,
    status: Option<u16>,
    id: ExchangeId,
    at: Timestamp,
    text: RequestText,
    sent_as: SentAs,
    body_len: u64,
}

impl SlowTally {
    /// Bytes of what it asks.
    fn len(&self) -> usize {
        self.text.len() + self.sent_as.len()
    }
}

impl Slowest {
    /// Keeps a request where it is among the slowest; `room` is what is left for all of them.
    pub(crate) fn take(
        &mut self,
        note: &RequestRecord,
        delivery: &Delivery,
        production: Option<&Production>,
        room: &mut usize,
    ) {
        let Some(response) = delivery.response else { return };
        // Of those that took as long the first one stays, whichever came first.
        let before = |known: &SlowTally| (Reverse(known.response), known.id) < (Reverse(response), note.id);
        let at = self.0.partition_point(before);
        if at >= MAX_SLOWEST {
            return;
        }
        let freed = self.0.get(MAX_SLOWEST - 1).map_or(0, SlowTally::len);
        let Some(left) = (*room + freed).checked_sub(note.text.len() + delivery.sent_as.len()) else { return };
        *room = left;
        self.0.truncate(MAX_SLOWEST - 1);
        let slow = SlowTally {
            response,
            service: delivery.service,
            production: production.and_then(|production| production.latency),
            status: delivery.answer.as_ref().map(|answer| answer.status),
            id: note.id,
            at: note.at,
            text: note.text.clone(),
            sent_as: delivery.sent_as.clone(),
            body_len: note.body_len,
        };
        self.0.insert(at, slow);
    }

    /// Forgets a request whose response is nobody's after all; says how much room that makes.
    pub(crate) fn take_back(&mut self, id: ExchangeId) -> usize {
        let at = self.0.iter().position(|known| known.id == id);
        at.map_or(0, |at| self.0.remove(at).len())
    }

    /// What they asked, and how long it took, for a target at `url`.
    pub(crate) fn shown(&self, url: &str) -> Vec<SlowRequest> {
        let shown = |slow: &SlowTally| {
            let (request, curl) = shown_request(&slow.text, &slow.sent_as, slow.body_len, url)?;
            Some(SlowRequest {
                id: slow.id.to_string(),
                at: slow.at.to_string(),
                status: slow.status,
                production_us: slow.production.map(micros),
                service_us: slow.service.map(micros),
                response_us: micros(slow.response),
                request,
                curl,
            })
        };
        self.0.iter().filter_map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{delivery, note, production};
    use super::*;
    use crate::exchange::Outcome;

    fn slow(n: u32, ms: u64) -> Delivery {
        Delivery { response: Some(Duration::from_millis(ms)), ..delivery(n, Outcome::Sent, Some(200)) }
    }

    fn ids(slowest: &Slowest) -> Vec<String> {
        slowest.shown("http://t").into_iter().map(|slow| slow.id).collect()
    }

    #[test]
    fn the_three_slowest_stay_and_give_back_what_they_held() {
        let (mut slowest, mut room) = (Slowest::default(), 10_000);
        let each = note(1).text.len();
        for (n, ms) in [(1, 10), (2, 30), (3, 20), (4, 5), (5, 40), (6, 30)] {
            slowest.take(&note(n), &slow(n, ms), Some(&production(200)), &mut room);
        }
        assert_eq!(ids(&slowest), ["1.5", "1.2", "1.6"]);
        assert_eq!(room, 10_000 - 3 * each);
        let first = &slowest.shown("http://t")[0];
        assert_eq!((first.response_us, first.production_us, first.status), (40_000, Some(1_500), Some(200)));
        assert_eq!(
            (first.curl.as_str(), first.request.target.as_str()),
            ("curl -sSig --path-as-is 'http://t/a'", "/a")
        );
        slowest.take(&note(7), &Delivery { response: None, ..slow(7, 0) }, None, &mut room);
        assert_eq!(ids(&slowest).len(), 3);
        assert_eq!((slowest.take_back(note(2).id), slowest.take_back(note(2).id)), (each, 0));
        assert_eq!(ids(&slowest), ["1.5", "1.6"]);
    }

    #[test]
    fn without_room_those_stay_that_are_there() {
        let mut slowest = Slowest::default();
        let mut room = note(1).text.len();
        for n in 1..4 {
            slowest.take(&note(n), &slow(n, n.into()), None, &mut room);
        }
        assert_eq!((ids(&slowest), room), (vec!["1.1".to_owned()], 0));
    }
}
