//! Events as bytes, for stores: what is written is read back as it was, ids and all.
//!
//! ```text
//! record    kind u8, length u32 of what follows, connection u64, index u32, then by kind:
//! 1 request   client, server, first byte u64, last byte u64, the message as on the wire
//! 2 response  what it answers u8 (1 HEAD, 2 CONNECT, 0 else), flags u8, damage u8, first byte u64, last byte u64,
//!             length of the content u64, the message as on the wire, or its head where flag 1 is not set
//! 3 none      why u8
//! address     4 or 6, the address, port u16
//! ```
//!
//! Numbers are little-endian, times are nanoseconds since 1970. Nothing read here is believed: messages are parsed anew, and what
//! does not fit is an error that names its place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::exchange::{
    Body, ConnectionId, Damage, Event, ExchangeId, Framing, Request, RequestState, Response, Timestamp,
};
use crate::http1::BodyPolicies;
use crate::http1::one_shot::{self, RequestHint};

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const NONE: u8 = 3;

/// The body stands behind the head.
const HAS_BODY: u8 = 1;
const UNTIMED: u8 = 2;
const LEFT: u8 = 4;
const OPAQUE: u8 = 8;

/// Bytes that are no events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(super) struct CodecError {
    what: &'static str,
    at: usize,
}

/// Appends a request, with all of its body. Only a whole one can be written: false where it is not.
pub(super) fn request(request: &Request, into: &mut Vec<u8>) -> bool {
    let body = match (request.state, request.body.framing, &request.body.wire) {
        (RequestState::Whole, Framing::None, _) => &[][..],
        (RequestState::Whole, _, Some(wire)) => wire,
        _ => return false,
    };
    record(REQUEST, request.id, into, |into| {
        address(request.client, into);
        address(request.server, into);
        into.extend_from_slice(&request.first_byte.nanos().to_le_bytes());
        into.extend_from_slice(&request.last_byte.nanos().to_le_bytes());
        into.extend_from_slice(request.head.as_bytes());
        into.extend_from_slice(body);
    });
    true
}

/// Appends the response to a request.
pub(super) fn response(of: ExchangeId, asked: RequestHint, response: &Response, into: &mut Vec<u8>) {
    let wire = response.body.wire.as_deref().or((response.body.len == 0).then_some(&[][..]));
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(wire.is_some(), HAS_BODY)
        | flag(response.untimed, UNTIMED)
        | flag(response.left, LEFT)
        | flag(response.opaque, OPAQUE);
    record(RESPONSE, of, into, |into| {
        into.extend_from_slice(&[asked.code(), flags, response.damage.map_or(0, code)]);
        into.extend_from_slice(&response.first_byte.nanos().to_le_bytes());
        into.extend_from_slice(&response.last_byte.nanos().to_le_bytes());
        into.extend_from_slice(&response.body.len.to_le_bytes());
        into.extend_from_slice(response.head.as_bytes());
        into.extend_from_slice(wire.unwrap_or_default());
    });
}

/// Appends that there is no response to a request, and why.
pub(super) fn no_response(of: ExchangeId, why: Damage, into: &mut Vec<u8>) {
    record(NONE, of, into, |into| into.push(code(why)));
}

/// The number of a reason, from 1; 0 is none.
fn code(why: Damage) -> u8 {
    let index = Damage::ALL.iter().position(|one| *one == why).unwrap_or_default();
    u8::try_from(index + 1).unwrap_or(1)
}

fn record(kind: u8, id: ExchangeId, into: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    into.push(kind);
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&id.connection.0.to_le_bytes());
    into.extend_from_slice(&id.index.to_le_bytes());
    fill(into);
    let len = u32::try_from(into.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = into.get_mut(start..start + 4) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

fn address(address: SocketAddr, into: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => {
            into.push(4);
            into.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            into.push(6);
            into.extend_from_slice(&ip.octets());
        }
    }
    into.extend_from_slice(&address.port().to_le_bytes());
}

/// Reads events, one after another; one that is wrong ends it.
pub(super) struct EventReader<'a> {
    bytes: &'a [u8],
    at: usize,
    interests: BodyPolicies,
}

impl<'a> EventReader<'a> {
    /// Reads `bytes`, and keeps of bodies what is asked for.
    pub(super) const fn new(bytes: &'a [u8], interests: BodyPolicies) -> Self {
        Self { bytes, at: 0, interests }
    }

    /// The next event; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Event>, CodecError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let kind = self.number::<1>().map(|[kind]| kind)?;
        let len = usize::try_from(u32::from_le_bytes(self.number()?)).unwrap_or(usize::MAX);
        let from = self.at;
        let inner = self.take(len)?;
        let mut inner = EventReader { bytes: inner, at: 0, interests: self.interests };
        let event = inner.event(kind).map_err(|error| CodecError { at: from + error.at, ..error })?;
        Ok(Some(event))
    }

    fn event(&mut self, kind: u8) -> Result<Event, CodecError> {
        let connection = ConnectionId(u64::from_le_bytes(self.number()?));
        let of = ExchangeId::new(connection, u32::from_le_bytes(self.number()?));
        match kind {
            REQUEST => self.request(of).map(|request| Event::Request(Box::new(request))),
            RESPONSE => self.response(of).map(|response| Event::Response { of, response: Box::new(response) }),
            NONE => {
                let [why] = self.number::<1>()?;
                Ok(Event::Damaged { of, why: damage(why).unwrap_or(Damage::NoResponse) })
            }
            _ => Err(self.wrong("a record of a kind that is not known")),
        }
    }

    fn request(&mut self, id: ExchangeId) -> Result<Request, CodecError> {
        let (client, server) = (self.address()?, self.address()?);
        let (first_byte, last_byte) = (self.time()?, self.time()?);
        let message = self.take(self.bytes.len() - self.at)?;
        let read = one_shot::request(message, self.interests.request_body).filter(|read| read.rest == 0);
        let read = read.ok_or_else(|| self.wrong("a request that is none"))?;
        Ok(Request {
            id,
            client,
            server,
            head: read.head,
            body: read.body,
            first_byte,
            last_byte: last_byte.max(first_byte),
            state: read.state,
        })
    }

    fn response(&mut self, _of: ExchangeId) -> Result<Response, CodecError> {
        let [asked, flags, why] = self.number::<3>()?;
        let (asked, why) = (RequestHint::of_code(asked), damage(why));
        let (first_byte, last_byte) = (self.time()?, self.time()?);
        let len = u64::from_le_bytes(self.number()?);
        let message = self.take(self.bytes.len() - self.at)?;
        let read = one_shot::response(message, asked, self.interests.response_body);
        let read = read.ok_or_else(|| self.wrong("a response that is none"))?;
        let has_body = flags & HAS_BODY != 0;
        let body = if has_body { read.body } else { Body { len, wire: None, sha256: None, ..read.body } };
        // Who saw the stream knows what is missing; a message that does not end here is damaged whatever was said.
        let damage = why.or(read.state.damage.filter(|_| has_body));
        Ok(Response {
            status: read.state.status,
            head: read.head,
            body,
            first_byte,
            last_byte,
            damage,
            opaque: flags & OPAQUE != 0,
            untimed: flags & UNTIMED != 0,
            left: flags & LEFT != 0,
        })
    }

    fn address(&mut self) -> Result<SocketAddr, CodecError> {
        let ip: IpAddr = match self.number::<1>()? {
            [4] => Ipv4Addr::from(self.number::<4>()?).into(),
            [6] => Ipv6Addr::from(self.number::<16>()?).into(),
            _ => return Err(self.wrong("an address of a kind that is not known")),
        };
        Ok(SocketAddr::new(ip, u16::from_le_bytes(self.number()?)))
    }

    fn time(&mut self) -> Result<Timestamp, CodecError> {
        self.number().map(|nanos| Timestamp::from_nanos(u64::from_le_bytes(nanos)))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let error = self.wrong("a record that ends early");
        self.take(N)?.try_into().map_err(|_| error)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..len));
        let taken = taken.ok_or_else(|| self.wrong("a record that ends early"))?;
        self.at += len;
        Ok(taken)
    }

    const fn wrong(&self, what: &'static str) -> CodecError {
        CodecError { what, at: self.at }
    }
}

fn damage(code: u8) -> Option<Damage> {
    Damage::ALL.get(usize::from(code).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::BodyPolicy;
    use crate::testing;

    const KEEP: BodyPolicies = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
    const POST: &str = "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\n";

    fn post() -> Box<Request> {
        let mut request = testing::request(3, POST);
        request.body = Body {
            framing: Framing::Length(5),
            len: 5,
            sha256: None,
            wire: Some(bytes::Bytes::from_static(b"a\0b\nc")),
        };
        request
    }

    fn read(bytes: &[u8]) -> Result<Vec<Event>, CodecError> {
        let mut reader = EventReader::new(bytes, KEEP);
        let mut all = Vec::new();
        while let Some(event) = reader.next()? {
            all.push(event);
        }
        Ok(all)
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        let one = post();
        assert!(request(&one, &mut bytes));
        response(one.id, RequestHint::by(&one.head), &testing::response(503), &mut bytes);
        no_response(ExchangeId::new(ConnectionId(1 << 40), 7), Damage::Gap, &mut bytes);
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (one, all) = (post(), read(&written()).unwrap());
        let [Event::Request(request), Event::Response { of, response }, Event::Damaged { of: other, why }] = &all[..]
        else {
            panic!("{all:?}");
        };
        assert_eq!((request.id, request.client, request.server), (one.id, one.client, one.server));
        assert_eq!((request.first_byte, request.last_byte, request.state), (one.first_byte, one.last_byte, one.state));
        assert_eq!((request.head.as_bytes(), request.body.wire.as_deref()), (POST.as_bytes(), Some(&b"a\0b\nc"[..])));
        let answer = testing::response(503);
        assert_eq!((*of, response.status, response.damage), (one.id, 503, None));
        assert_eq!((response.first_byte, response.last_byte), (answer.first_byte, answer.last_byte));
        assert_eq!((other.to_string().as_str(), *why), ("1099511627776.7", Damage::Gap));
    }

    #[test]
    fn every_reason_is_read_back() {
        for why in Damage::ALL {
            let (mut bytes, id) = (Vec::new(), post().id);
            no_response(id, why, &mut bytes);
            let mut damaged = testing::response(200);
            damaged.damage = Some(why);
            response(id, RequestHint::by(&post().head), &damaged, &mut bytes);
            let all = read(&bytes).unwrap();
            let [Event::Damaged { why: read, .. }, Event::Response { response, .. }] = &all[..] else {
                panic!("{all:?}")
            };
            assert_eq!((*read, response.damage), (why, Some(why)));
        }
    }

    #[test]
    fn a_request_without_its_body_is_not_written() {
        let mut lacks = post();
        lacks.body.wire = None;
        let mut cut = post();
        cut.state = RequestState::Incomplete(crate::exchange::Incomplete::Gap);
        let mut bytes = Vec::new();
        assert!(!request(&lacks, &mut bytes) && !request(&cut, &mut bytes) && bytes.is_empty());
    }

    #[test]
    fn a_response_without_its_body_has_its_length() {
        let mut large = testing::response(200);
        large.body = Body { framing: Framing::Length(9 << 30), len: 9 << 30, sha256: None, wire: None };
        large.damage = Some(Damage::Cut);
        let mut bytes = Vec::new();
        response(post().id, RequestHint::UNKNOWN, &large, &mut bytes);
        let all = read(&bytes).unwrap();
        let [Event::Response { response, .. }] = &all[..] else { panic!("{all:?}") };
        assert_eq!(
            (response.body.len, response.body.wire.as_ref(), response.damage),
            (9 << 30, None, Some(Damage::Cut))
        );
    }

    #[test]
    fn no_bytes_at_all_do_harm() {
        let whole = written();
        for cut in 0..whole.len() {
            read(&whole[..cut]).ok();
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                read(&changed).ok();
            }
        }
        assert!(read(&[9, 0, 0, 0, 0]).is_err() && read(&[1, 255, 255, 255, 255]).is_err());
    }

    #[test]
    fn a_request_with_more_behind_it_is_refused() {
        let mut one = post();
        one.body.wire = Some(bytes::Bytes::from_static(b"abcdeGET /smuggled HTTP/1.1\r\n\r\n"));
        let mut bytes = Vec::new();
        assert!(request(&one, &mut bytes));
        assert!(read(&bytes).unwrap_err().to_string().contains("a request that is none"));
    }
}
