//! Each request with its response, as lines of JSON and views of exchanges need them.
//!
//! [`Event`]s come in, [`JoinedExchange`]s leave. Nothing is read, written or counted here.

use std::collections::{BTreeMap, HashMap};

use crate::exchange::{Damage, Event, ExchangeId, Request, Response};

/// Requests that may await their response at once: past it the oldest is handed on as [`Damage::PairingLost`].
pub(crate) const MAX_WAITING: usize = 65_536;

/// Bytes of requests that may await their response at once: past it the oldest is handed on likewise.
pub(crate) const MAX_WAITING_BYTES: u64 = 128 << 20;

/// A request, and its response or why there is none.
#[derive(Debug)]
pub struct JoinedExchange {
    /// The request.
    pub request: Box<Request>,
    /// Its final response.
    pub response: Result<Box<Response>, Damage>,
}

/// Joins each request with its response. Exchanges leave in the order in which they end.
///
/// Invariant: `waiting` and `places` hold the same requests, and `bytes` is the sum of their sizes.
#[derive(Debug, Default)]
pub struct ExchangeJoin {
    waiting: BTreeMap<u64, Box<Request>>,
    places: HashMap<ExchangeId, u64, foldhash::fast::RandomState>,
    next: u64,
    bytes: u64,
    given_up: u64,
}

impl ExchangeJoin {
    /// Returns an empty join that continues counting evicted exchanges from here.
    pub(super) fn after(given_up: u64) -> Self {
        Self { given_up, ..Self::default() }
    }

    /// Takes one event and hands on the exchanges that it ends: mostly none or one.
    pub fn take(&mut self, event: Event, mut ended: impl FnMut(JoinedExchange)) {
        match event {
            Event::Request(request) => self.wait(request, &mut ended),
            Event::Response { of, response } => self.end(of, Ok(response), &mut ended),
            Event::Damaged { of, why } => self.end(of, Err(why), &mut ended),
            Event::Opened { .. } | Event::Orphan { .. } | Event::Closed { .. } => {}
        }
    }

    /// Hands on what still waits, oldest first: the events ended before their time.
    pub fn finish(self, ended: impl FnMut(JoinedExchange)) {
        let lone = |request| JoinedExchange { request, response: Err(Damage::NoResponse) };
        self.waiting.into_values().map(lone).for_each(ended);
    }

    /// Exchanges handed on before their response was known, because too much waited.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    fn wait(&mut self, request: Box<Request>, ended: &mut impl FnMut(JoinedExchange)) {
        let place = self.next;
        self.next += 1;
        self.bytes += weight(&request);
        if let Some(old) = self.places.insert(request.id, place) {
            self.release(old, Err(Damage::PairingLost), ended);
        }
        self.waiting.insert(place, request);
        while self.waiting.len() > MAX_WAITING || (self.bytes > MAX_WAITING_BYTES && self.waiting.len() > 1) {
            let Some((oldest, id)) = self.waiting.iter().next().map(|(place, request)| (*place, request.id)) else {
                break;
            };
            self.places.remove(&id);
            self.given_up += 1;
            self.release(oldest, Err(Damage::PairingLost), ended);
        }
    }

    fn end(&mut self, of: ExchangeId, response: Result<Box<Response>, Damage>, ended: &mut impl FnMut(JoinedExchange)) {
        if let Some(place) = self.places.remove(&of) {
            self.release(place, response, ended);
        }
    }

    fn release(&mut self, place: u64, response: Result<Box<Response>, Damage>, ended: &mut impl FnMut(JoinedExchange)) {
        if let Some(request) = self.waiting.remove(&place) {
            self.bytes -= weight(&request);
            ended(JoinedExchange { request, response });
        }
    }
}

/// Returns the bytes of memory that a waiting request holds: its head, and its body where that was kept.
fn weight(request: &Request) -> u64 {
    request.head.as_bytes().len() as u64 + request.body.wire.as_ref().map_or(0, |wire| wire.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::ConnectionId;
    use crate::testing::{request, response};

    const GET: &str = "GET / HTTP/1.1\r\n\r\n";

    fn id(n: u32) -> ExchangeId {
        ExchangeId::new(ConnectionId(1), n)
    }

    fn answer(n: u32, status: u16) -> Event {
        Event::Response { of: id(n), response: response(status) }
    }

    fn order(events: Vec<Event>) -> Vec<(u32, Option<u16>)> {
        let mut exchanges = ExchangeJoin::default();
        let mut seen = Vec::new();
        let mut see =
            |e: JoinedExchange| seen.push((e.request.id.index, e.response.ok().map(|response| response.status)));
        for event in events {
            exchanges.take(event, &mut see);
        }
        exchanges.finish(&mut see);
        seen
    }

    #[test]
    fn exchanges_leave_in_the_order_of_their_ends() {
        let events = vec![
            Event::Request(request(1, GET)),
            Event::Request(request(2, GET)),
            Event::Damaged { of: id(2), why: Damage::Gap },
            answer(1, 200),
        ];
        assert_eq!(order(events), [(2, None), (1, Some(200))]);
    }

    #[test]
    fn what_has_no_end_leaves_at_the_end_and_a_stray_response_is_no_exchange() {
        assert_eq!(order(vec![answer(7, 200), Event::Request(request(1, GET))]), [(1, None)]);
    }

    #[test]
    fn requests_that_wait_are_bounded_in_bytes() {
        let mut exchanges = ExchangeJoin::default();
        let mut gone = 0;
        for n in 0..140 {
            let mut large = request(n, GET);
            large.body.wire = Some(vec![0; 1 << 20].into());
            exchanges.take(Event::Request(large), |e| {
                assert_eq!(e.response.unwrap_err(), Damage::PairingLost);
                gone += 1;
            });
        }
        assert!(gone >= 12 && exchanges.bytes <= MAX_WAITING_BYTES, "{gone}");
    }
}
