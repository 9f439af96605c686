//! Events as records.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::exchange::{Body, Event, ExchangeId, Framing, Head, Request, RequestState, Response, Timestamp};
use crate::recording::recent::Recent;
use crate::recording::unsupported::{Unsupported, damage_shows};

use super::SEPARATOR;

/// Requests whose response may still come. Past it the response of one of the oldest is left out (`late_response`).
const MAX_UNANSWERED: usize = 1 << 17;

static SEPARATES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(without_line_end()));

/// The separator without its last byte: a message that ends in it would end at the wrong place as well.
fn without_line_end() -> &'static [u8] {
    SEPARATOR.strip_suffix(b"\n").unwrap_or(SEPARATOR)
}

type HexId = [u8; 24];

/// Encodes events as records. A request is written at once, its response when it comes.
///
/// Only what may be replayed is written as a request, for that is what GoReplay would do with it: malformed and
/// incomplete ones are left out and counted. A damaged response is written as its head alone, where that says that more
/// was to come; a reader sees the status, and that it is not whole.
#[derive(Debug)]
pub(crate) struct GorWriter {
    /// The id of each request; none where it was left out.
    ids: Recent<ExchangeId, Option<HexId>>,
    /// Counts requests, so that ids are unique on a connection too. Begins with the time of the first one in
    /// microseconds, so that a recorder that is started anew does not repeat itself.
    sequence: Option<u32>,
    left_out: Unsupported,
}

impl Default for GorWriter {
    fn default() -> Self {
        Self { ids: Recent::new(MAX_UNANSWERED), sequence: None, left_out: Unsupported::new() }
    }
}

impl GorWriter {
    /// Appends the record of an event, if it has one; returns when its last byte was captured.
    pub(crate) fn event(&mut self, event: &Event, into: &mut Vec<u8>) -> Option<Timestamp> {
        match event {
            Event::Request(request) => {
                let written = self.request(request, into);
                self.ids.insert(request.id, written.ok());
                self.counted(written.map(|_| request.last_byte))
            }
            Event::Response { of, response } => {
                let written = match self.ids.remove(of) {
                    Some(Some(id)) => answer(id, response, into),
                    // That its request was left out was counted.
                    Some(None) => return None,
                    None => Err("late_response"),
                };
                self.counted(written.map(|()| response.last_byte))
            }
            Event::Damaged { of, .. } => {
                self.ids.remove(of);
                None
            }
            Event::Orphan { .. } => self.counted(Err("orphan")),
            Event::Opened { .. } | Event::Closed { .. } => None,
        }
    }

    /// Returns the records left out, by reason.
    pub(crate) const fn left_out(&self) -> &Unsupported {
        &self.left_out
    }

    fn counted(&mut self, written: Result<Timestamp, &'static str>) -> Option<Timestamp> {
        written.map_err(|why| *self.left_out.entry(why).or_default() += 1).ok()
    }

    fn request(&mut self, request: &Request, into: &mut Vec<u8>) -> Result<HexId, &'static str> {
        match request.state {
            RequestState::Whole => {}
            RequestState::Malformed(_) => return Err("malformed"),
            RequestState::Incomplete(_) => return Err("incomplete"),
        }
        #[expect(clippy::cast_possible_truncation, reason = "where counting begins is of no matter")]
        let sequence = self.sequence.unwrap_or((request.first_byte.nanos() / 1000) as u32);
        let id = id_of(request.client, request.server, sequence);
        record(b'1', &id, request.first_byte, request.last_byte, (&request.head, Some(&request.body)), into)?;
        self.sequence = Some(sequence.wrapping_add(1));
        Ok(id)
    }
}

fn answer(id: HexId, response: &Response, into: &mut Vec<u8>) -> Result<(), &'static str> {
    if !damage_shows(response.body.framing, response.damage) {
        return Err("response_damaged");
    }
    let kept = response.body.wire.is_some() || response.body.framing == Framing::None || response.body.len == 0;
    if !kept && !damage_shows(response.body.framing, Some(crate::exchange::Damage::Cut)) {
        return Err("response_body_limit");
    }
    let body = (response.damage.is_none() && kept).then_some(&response.body);
    record(b'2', &id, response.first_byte, response.last_byte, (&response.head, body), into)
}

/// Appends one record, or nothing and why not.
fn record(
    kind: u8,
    id: &HexId,
    first: Timestamp,
    last: Timestamp,
    (head, body): (&Head, Option<&Body>),
    into: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let wire = body.and_then(|body| body.wire.as_deref()).unwrap_or_default();
    if body.is_some_and(|body| body.len > 0 && body.wire.is_none()) {
        return Err("body_limit");
    }
    let start = into.len();
    into.extend_from_slice(&[kind, b' ']);
    into.extend_from_slice(id);
    // Writing to memory cannot fail.
    write!(into, " {} {}", first.nanos(), last.nanos().saturating_sub(first.nanos())).ok();
    let message = into.len();
    into.push(b'\n');
    into.extend_from_slice(head.as_bytes());
    into.extend_from_slice(wire);
    if SEPARATES.find(into.get(message..).unwrap_or_default()).is_some() {
        into.truncate(start);
        return Err("separator");
    }
    into.extend_from_slice(SEPARATOR);
    Ok(())
}

fn id_of(client: SocketAddr, server: SocketAddr, sequence: u32) -> HexId {
    let address = match client.ip() {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    let ports = [client.port().to_be_bytes(), server.port().to_be_bytes()];
    let numbers = ports.as_flattened().iter().chain(&address).copied().chain(sequence.to_be_bytes());
    let mut id = [b'0'; 24];
    for (place, byte) in id.chunks_exact_mut(2).zip(numbers) {
        place.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    id
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{ConnectionId, Damage, Incomplete};
    use crate::testing::{request, response};

    const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

    fn written(events: &[Event]) -> (String, Unsupported) {
        let mut writer = GorWriter::default();
        let mut bytes = Vec::new();
        for event in events {
            writer.event(event, &mut bytes);
        }
        (String::from_utf8(bytes).unwrap(), writer.left_out)
    }

    fn id(n: u32) -> ExchangeId {
        ExchangeId::new(ConnectionId(1), n)
    }

    #[test]
    fn a_request_and_its_response_share_an_id_and_no_other_has_it() {
        let (text, left_out) = written(&[
            Event::Request(request(1, GET)),
            Event::Request(request(2, GET)),
            Event::Response { of: id(2), response: response(200) },
        ]);
        // 51234, 80, 10.0.0.7, microseconds.
        insta::assert_snapshot!(text, @"
        1 c82200500a000007ce407240 1795291200123456789 43211
        GET /a HTTP/1.1
        Host: h


        🐵🙈🙉
        1 c82200500a000007ce407241 1795291200123456789 43211
        GET /a HTTP/1.1
        Host: h


        🐵🙈🙉
        2 c82200500a000007ce407241 1795291200124750000 250000
        HTTP/1.1 200 X
        A: 1
        B: 2

        ok
        🐵🙈🙉
        ");
        assert!(left_out.is_empty());
    }

    #[test]
    fn what_must_not_be_replayed_or_cannot_be_held_is_left_out_by_reason() {
        let mut incomplete = request(1, GET);
        incomplete.state = RequestState::Incomplete(Incomplete::Gap);
        let separates = request(2, "GET / HTTP/1.1\r\nA: \n🐵🙈🙉\r\n\r\n");
        let mut ends_in_it = request(3, GET);
        ends_in_it.body.wire = Some("\n🐵🙈🙉".into());
        let mut not_kept = request(4, GET);
        not_kept.body.len = 5;
        let (text, left_out) = written(&[
            Event::Request(incomplete),
            Event::Response { of: id(1), response: response(200) },
            Event::Request(separates),
            Event::Request(ends_in_it),
            Event::Request(not_kept),
            Event::Response { of: id(9), response: response(200) },
            Event::Orphan { connection: ConnectionId(1), response: response(200) },
        ]);
        // Only a line of its own separates: with a CR after it this is none, but not every reader may know.
        assert_eq!(text, "");
        let reasons: Vec<_> = left_out.into_iter().collect();
        assert_eq!(
            reasons,
            [("body_limit", 1), ("incomplete", 1), ("late_response", 1), ("orphan", 1), ("separator", 2)]
        );
    }

    #[test]
    fn a_damaged_response_is_its_head_where_that_says_that_more_was_to_come() {
        let mut short = response(200);
        short.damage = Some(Damage::Gap);
        let mut endless = response(200);
        endless.body.framing = Framing::UntilClose;
        endless.damage = Some(Damage::Gap);
        let (text, left_out) = written(&[
            Event::Request(request(1, GET)),
            Event::Response { of: id(1), response: short },
            Event::Request(request(2, GET)),
            Event::Response { of: id(2), response: endless },
        ]);
        assert!(text.contains("B: 2\r\n\r\n\n🐵") && !text.contains("ok"), "{text}");
        assert_eq!(left_out, [("response_damaged", 1)].into());
    }
}
