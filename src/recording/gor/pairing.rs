//! Pairing of responses with their requests, by the ids of records.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

use xxhash_rust::xxh3::xxh3_128;

use crate::exchange::{Damage, Event, ExchangeId, Request, Response, Timestamp};
use crate::http1::one_shot::{self, RequestHint};
use crate::http1::{BodyPolicies, BodyPolicy};
use crate::recording::connection_ids::ConnectionIds;
use crate::recording::reorder::ReorderEntry;
use crate::recording::skipped::SkippedRecords;

use super::RecordId;
use super::read::{GorRecord, RecordKind};

/// Number of further requests after which a response may still come. Past it its request has none. Less than the join
/// behind this remembers, so that nothing is evicted there.
const MAX_LATER: usize = 16_384;
/// Bytes of requests that may come before a response does; past it likewise.
const MAX_LATER_BYTES: usize = 32 << 20;
/// Responses that are held because their request has not come. Past it the oldest is reported to have none.
const MAX_EARLY: usize = 1024;
/// Bytes of them; past it likewise.
const MAX_EARLY_BYTES: usize = 32 << 20;

type IdHash = foldhash::fast::RandomState;

/// Makes events of records.
#[derive(Debug)]
pub(in crate::recording) struct RecordPairing {
    interests: BodyPolicies,
    /// Requests without their response by the hash of their id; ids come twice where somebody pipelines.
    waiting: HashMap<u128, VecDeque<(ExchangeId, RequestHint)>, IdHash>,
    /// Requests in the order in which they came, with a response or without, and their bytes.
    order: VecDeque<(u128, ExchangeId, usize)>,
    order_bytes: usize,
    early: HashMap<u128, EarlyResponse, IdHash>,
    /// Ids of responses that were held, in the order in which they came, and when; some were fetched since.
    early_order: VecDeque<(u128, Timestamp)>,
    early_bytes: usize,
    most_early: usize,
}

/// A response whose request has not come.
#[derive(Debug)]
struct EarlyResponse {
    at: Timestamp,
    last: Timestamp,
    connection: Box<[u8]>,
    message: Box<[u8]>,
}

impl Default for RecordPairing {
    fn default() -> Self {
        Self {
            interests: BodyPolicies::default(),
            waiting: HashMap::default(),
            order: VecDeque::new(),
            order_bytes: 0,
            early: HashMap::default(),
            early_order: VecDeque::new(),
            early_bytes: 0,
            most_early: MAX_EARLY_BYTES,
        }
    }
}

impl RecordPairing {
    /// Holds `bytes` bytes of early responses at most.
    pub(in crate::recording) fn set_most(&mut self, bytes: usize) {
        self.most_early = bytes.min(MAX_EARLY_BYTES);
    }

    /// Sets the policies for bodies from now on.
    pub(in crate::recording) const fn set_interests(&mut self, interests: BodyPolicies) {
        self.interests = interests;
    }

    /// Takes a record.
    pub(in crate::recording) fn take(
        &mut self,
        record: &GorRecord<'_>,
        numbers: &mut ConnectionIds,
        (skipped, count): (&mut SkippedRecords, u64),
        sink: &mut dyn FnMut(ReorderEntry),
    ) {
        let read = match record.kind {
            RecordKind::Request => self.request(record, numbers, sink),
            RecordKind::Response => self.response(record, numbers, sink),
            RecordKind::Replayed => Ok(0),
        };
        match read {
            Ok(0) => {}
            Ok(_) => skipped.count("what stands after the end of its message", || format!("in record {count}")),
            Err(why) => skipped.count(why, || format!("is record {count}")),
        }
    }

    /// Ends the recording: everything that waits is emitted.
    pub(in crate::recording) fn finish(&mut self, numbers: &mut ConnectionIds, sink: &mut dyn FnMut(ReorderEntry)) {
        while !self.early_order.is_empty() {
            self.give_up_early(numbers, sink);
        }
        while !self.order.is_empty() {
            self.give_up(sink);
        }
    }

    /// Returns how many bytes stand after the message.
    fn request(
        &mut self,
        record: &GorRecord<'_>,
        numbers: &mut ConnectionIds,
        sink: &mut dyn FnMut(ReorderEntry),
    ) -> Result<usize, &'static str> {
        let single = one_shot::request(record.message, self.interests.request_body).ok_or("it is no HTTP/1 request")?;
        let id = numbers.exchange(connection(record.id));
        let (client, server) = addresses(record.id);
        let asked = RequestHint::by(&single.head);
        let last_byte = record.at.plus(record.latency);
        let request = Request {
            id,
            client,
            server,
            head: single.head,
            body: single.body,
            first_byte: record.at,
            last_byte,
            state: single.state,
        };
        sink(ReorderEntry { request: Some(Box::new(request)), end: None, at: last_byte });
        let key = xxh3_128(record.id);
        if !self.is_answered_early(key, id, asked, record.at, sink) {
            self.waiting.entry(key).or_default().push_back((id, asked));
            self.order.push_back((key, id, record.message.len()));
            self.order_bytes += record.message.len();
            while self.order.len() > MAX_LATER || (self.order_bytes > MAX_LATER_BYTES && self.order.len() > 1) {
                self.give_up(sink);
            }
        }
        Ok(single.rest)
    }

    /// Emits the response to a request where it came before the request; returns whether it did.
    fn is_answered_early(
        &mut self,
        key: u128,
        of: ExchangeId,
        asked: RequestHint,
        at: Timestamp,
        sink: &mut dyn FnMut(ReorderEntry),
    ) -> bool {
        // An id that comes again after a long time is another exchange: no response comes before its request.
        if self.early.get(&key).is_none_or(|early| early.at < at) {
            return false;
        }
        let Some(early) = self.take_early(key) else { return false };
        match self.read(&early.message, asked, early.at, early.last) {
            Ok((response, _)) => {
                sink(ReorderEntry {
                    request: None,
                    at: response.last_byte,
                    end: Some(Event::Response { of, response }),
                });
                true
            }
            Err(_) => false,
        }
    }

    fn response(
        &mut self,
        record: &GorRecord<'_>,
        numbers: &mut ConnectionIds,
        sink: &mut dyn FnMut(ReorderEntry),
    ) -> Result<usize, &'static str> {
        let key = xxh3_128(record.id);
        let first = self.waiting.get(&key).and_then(VecDeque::front).copied();
        let Some((of, asked)) = first else {
            self.hold(key, record, numbers, sink);
            return Ok(0);
        };
        if is_interim(record.message) && one_shot::response(record.message, asked, BodyPolicy::Count).is_none() {
            return Ok(0);
        }
        let (response, rest) = self.read(record.message, asked, record.at, record.at.plus(record.latency))?;
        self.answered(key);
        sink(ReorderEntry { request: None, at: response.last_byte, end: Some(Event::Response { of, response }) });
        Ok(rest)
    }

    fn read(
        &self,
        message: &[u8],
        asked: RequestHint,
        first_byte: Timestamp,
        last_byte: Timestamp,
    ) -> Result<(Box<Response>, usize), &'static str> {
        let single = one_shot::response(message, asked, self.interests.response_body);
        let single = single.ok_or("it is no HTTP/1 response")?;
        let one_shot::ResponseTraits { status, damage, opaque } = single.state;
        let (head, body) = (single.head, single.body);
        let untimed = false;
        Ok((
            Box::new(Response { status, head, body, first_byte, last_byte, damage, opaque, untimed, left: false }),
            single.rest,
        ))
    }

    /// The first request of that id has its response.
    fn answered(&mut self, key: u128) {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.pop_front();
            if waiting.is_empty() {
                self.waiting.remove(&key);
            }
        }
    }

    /// The oldest request makes room; if it still waits, its response never came.
    fn give_up(&mut self, sink: &mut dyn FnMut(ReorderEntry)) {
        let Some((key, of, bytes)) = self.order.pop_front() else { return };
        self.order_bytes -= bytes;
        let first = self.waiting.get(&key).and_then(VecDeque::front);
        if first.is_some_and(|(id, _)| *id == of) {
            self.answered(key);
            let end = Some(Event::Damaged { of, why: Damage::NoResponse });
            sink(ReorderEntry { request: None, end, at: Timestamp::default() });
        }
    }

    fn hold(
        &mut self,
        key: u128,
        record: &GorRecord<'_>,
        numbers: &mut ConnectionIds,
        sink: &mut dyn FnMut(ReorderEntry),
    ) {
        if is_interim(record.message)
            && one_shot::response(record.message, RequestHint::UNKNOWN, BodyPolicy::Count).is_none()
        {
            return;
        }
        if let Some(before) = self.take_early(key) {
            self.orphan(&before, numbers, sink);
        }
        let early = EarlyResponse {
            at: record.at,
            last: record.at.plus(record.latency),
            connection: connection(record.id).into(),
            message: record.message.into(),
        };
        self.early_bytes += early.message.len();
        self.early_order.push_back((key, early.at));
        self.early.insert(key, early);
        while self.early_order.len() > MAX_EARLY || self.early_bytes > self.most_early {
            self.give_up_early(numbers, sink);
        }
    }

    fn take_early(&mut self, key: u128) -> Option<EarlyResponse> {
        let early = self.early.remove(&key)?;
        self.early_bytes -= early.message.len();
        Some(early)
    }

    /// The oldest response that was held makes room: its request never came.
    fn give_up_early(&mut self, numbers: &mut ConnectionIds, sink: &mut dyn FnMut(ReorderEntry)) {
        let Some((key, at)) = self.early_order.pop_front() else { return };
        if self.early.get(&key).is_some_and(|early| early.at == at)
            && let Some(early) = self.take_early(key)
        {
            self.orphan(&early, numbers, sink);
        }
    }

    fn orphan(&self, early: &EarlyResponse, numbers: &mut ConnectionIds, sink: &mut dyn FnMut(ReorderEntry)) {
        if let Ok((response, _)) = self.read(&early.message, RequestHint::UNKNOWN, early.at, early.last) {
            let connection = numbers.connection(&early.connection);
            let end = Some(Event::Orphan { connection, response });
            sink(ReorderEntry { request: None, end, at: early.last });
        }
    }
}

/// Returns the part of an id that all exchanges of a connection share; the whole id where that is unknown.
fn connection(id: &[u8]) -> &[u8] {
    if RecordId(id).ends().is_some() { id.get(..16).unwrap_or(id) } else { id }
}

/// Returns the addresses of client and server, as far as an id has them. No id has the server's address.
fn addresses(id: &[u8]) -> (SocketAddr, SocketAddr) {
    let (client, server, address) = RecordId(id).ends().unwrap_or_default();
    (SocketAddr::from((Ipv4Addr::from(address), client)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, server)))
}

/// Returns whether a message begins with an interim response, which some recorders give a record of its own.
fn is_interim(message: &[u8]) -> bool {
    message.starts_with(b"HTTP/1") && message.get(9) == Some(&b'1')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::RequestState;

    const ONE: &str = "c8220050c000020700000001";
    const GET: &str = "GET / HTTP/1.1\r\n\r\n";
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// Returns the events that records of `kind id time message` lead to, in short.
    fn told(records: &[(RecordKind, &str, u64, &str)]) -> Vec<String> {
        let (mut pairing, mut numbers, mut skipped) =
            (RecordPairing::default(), ConnectionIds::default(), SkippedRecords::default());
        let mut told = Vec::new();
        let mut sink = |entry: ReorderEntry| {
            let event = entry.request.map(Event::Request).or(entry.end).unwrap();
            told.push(match event {
                Event::Request(request) => format!("{}?", request.id),
                Event::Response { of, response } => format!("{of} {} {}", response.status, response.body.len),
                Event::Damaged { of, why } => format!("{of} {why}"),
                Event::Orphan { connection, response } => format!("{connection} orphan {}", response.status),
                other => panic!("{other:?}"),
            });
        };
        for (count, (kind, id, at, message)) in (1..).zip(records) {
            let record = GorRecord {
                kind: *kind,
                id: id.as_bytes(),
                at: Timestamp::from_nanos(*at),
                latency: std::time::Duration::ZERO,
                message: message.as_bytes(),
            };
            pairing.take(&record, &mut numbers, (&mut skipped, count), &mut sink);
        }
        pairing.finish(&mut numbers, &mut sink);
        assert!(pairing.waiting.is_empty() && pairing.order_bytes == 0);
        assert!(pairing.early.is_empty() && pairing.early_bytes == 0);
        told.extend(skipped.words("f", "record"));
        told
    }

    #[test]
    fn a_response_answers_the_first_request_of_its_id_that_waits() {
        use RecordKind::{Request as Ask, Response as Tell};
        let other = "c8230050c000020700000001";
        assert_eq!(
            told(&[
                (Ask, ONE, 1, GET),
                (Ask, other, 2, GET),
                (Ask, ONE, 3, GET),
                (Tell, ONE, 4, OK),
                (Tell, ONE, 5, OK)
            ]),
            ["1.1?", "2.1?", "1.2?", "1.1 200 2", "1.2 200 2", "2.1 no response"]
        );
    }

    #[test]
    fn a_response_may_stand_before_its_request_but_not_be_older() {
        use RecordKind::{Request as Ask, Response as Tell};
        assert_eq!(told(&[(Tell, ONE, 5, OK), (Ask, ONE, 1, GET)]), ["1.1?", "1.1 200 2"]);
        assert_eq!(told(&[(Tell, ONE, 5, OK), (Ask, ONE, 6, GET)]), ["1.1?", "1 orphan 200", "1.1 no response"]);
        assert_eq!(told(&[(Tell, ONE, 5, OK)]), ["1 orphan 200"]);
    }

    #[test]
    fn the_request_says_whether_its_response_has_a_body_and_interim_ones_are_passed_over() {
        use RecordKind::{Request as Ask, Response as Tell};
        let (head, long) = ("HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
        assert_eq!(told(&[(Ask, ONE, 1, head), (Tell, ONE, 2, long)]), ["1.1?", "1.1 200 0"]);
        let interim = "HTTP/1.1 100 \r\n\r\n";
        assert_eq!(told(&[(Ask, ONE, 1, GET), (Tell, ONE, 2, interim), (Tell, ONE, 3, OK)]), ["1.1?", "1.1 200 2"]);
    }

    #[test]
    fn what_is_no_message_is_counted_with_its_place() {
        use RecordKind::{Request as Ask, Response as Tell};
        let told = told(&[
            (Ask, "a", 1, "nonsense"),
            (Ask, "b", 2, GET),
            (Tell, "b", 3, "nonsense"),
            (Ask, "c", 4, &format!("{GET}rest")),
        ]);
        assert_eq!(
            told,
            [
                "1.1?",
                "2.1?",
                "1.1 no response",
                "2.1 no response",
                "f: a record was passed over (it is no HTTP/1 request): is record 1",
                "f: a record was passed over (it is no HTTP/1 response): is record 3",
                "f: a record was passed over (what stands after the end of its message): in record 4",
            ]
        );
    }

    #[test]
    fn a_request_waits_for_a_bounded_number_of_later_ones() {
        let get = (RecordKind::Request, "x", 1, GET);
        let told = told(&vec![get; MAX_LATER + 5]);
        let first = told.iter().position(|one| one.ends_with("no response")).unwrap();
        assert_eq!((first, told[first].as_str()), (MAX_LATER + 1, "1.1 no response"));
        assert_eq!(told.len(), 2 * (MAX_LATER + 5));
    }

    #[test]
    fn ids_say_who_asked_as_far_as_they_do() {
        let (client, server) = addresses(ONE.as_bytes());
        assert_eq!((client.to_string(), server.to_string()), ("192.0.2.7:51234".into(), "0.0.0.0:80".into()));
        assert_eq!(addresses(b"older").0.to_string(), "0.0.0.0:0");
    }

    #[test]
    fn a_cut_request_is_told_as_that() {
        let single =
            one_shot::request(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort", BodyPolicy::Count).unwrap();
        assert!(matches!(single.state, RequestState::Incomplete(_)));
    }
}
