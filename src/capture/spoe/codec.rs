//! Frames of SPOP, the protocol of HAProxy's SPOE, as `doc/SPOE.txt` of HAProxy has it.
//!
//! A crate reads a frame whole before it gives out its ids. Here the ids alone are read first, so that a frame is
//! acknowledged before anything else is done with it; its payload stays where it was received; and payloads in several
//! frames, which HAProxy sends up to 3.0, are put together.

use bytes::{Buf as _, Bytes, BytesMut};

/// Types of frames.
pub(super) const UNSET: u8 = 0;
pub(super) const HAPROXY_HELLO: u8 = 1;
pub(super) const HAPROXY_DISCONNECT: u8 = 2;
pub(super) const NOTIFY: u8 = 3;
const AGENT_HELLO: u8 = 101;
const AGENT_DISCONNECT: u8 = 102;
const ACK: u8 = 103;

/// Flags of frames: the last of a payload, and one that was given up.
pub(super) const FIN: u32 = 1;
pub(super) const ABORT: u32 = 2;

/// Least and largest frame that is negotiated. A larger one than that ends its connection.
pub(super) const FRAME_SIZES: std::ops::RangeInclusive<u64> = 256..=(16 << 20);

/// The version that is spoken.
const VERSION: &[u8] = b"2.0";

/// Error codes of `doc/SPOE.txt`, 3.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SpopError {
    #[error("frame too big")]
    TooBig = 3,
    #[error("invalid frame")]
    Invalid = 4,
    #[error("unsupported version")]
    Version = 8,
    #[error("max-frame-size too big or too small")]
    FrameSize = 9,
}

/// A frame, its payload not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpopFrame {
    pub(super) kind: u8,
    pub(super) flags: u32,
    pub(super) stream: u64,
    pub(super) number: u64,
    pub(super) payload: Bytes,
}

/// Takes the next frame off the bytes; `None` where it is not whole yet.
pub(super) fn take(bytes: &mut BytesMut, most: usize) -> Result<Option<SpopFrame>, SpopError> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > most {
        return Err(SpopError::TooBig);
    }
    if bytes.len() < 4 + length {
        return Ok(None);
    }
    bytes.advance(4);
    let mut frame = bytes.split_to(length).freeze();
    let (kind, flags, stream, number, left) = header(&frame).ok_or(SpopError::Invalid)?;
    frame.advance(length - left);
    Ok(Some(SpopFrame { kind, flags, stream, number, payload: frame }))
}

/// Type, flags, stream and number of a frame, and the bytes of its payload.
fn header(frame: &[u8]) -> Option<(u8, u32, u64, u64, usize)> {
    let (kind, after) = frame.split_first()?;
    let (flags, mut rest) = after.split_first_chunk::<4>()?;
    let (stream, number) = (varint(&mut rest)?, varint(&mut rest)?);
    Some((*kind, u32::from_be_bytes(*flags), stream, number, rest.len()))
}

/// What HAProxy says first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HaproxyHello {
    pub(super) max_frame_size: u64,
    pub(super) is_healthcheck: bool,
    pipelining: bool,
    fragmentation: bool,
}

impl HaproxyHello {
    /// Reads the payload of a HAPROXY-HELLO.
    pub(super) fn read(payload: &[u8]) -> Result<Self, SpopError> {
        let (mut rest, mut hello) = (payload, Self::default());
        let mut is_known = false;
        while !rest.is_empty() {
            let (key, value) = pair(&mut rest).ok_or(SpopError::Invalid)?;
            match (key, value) {
                (b"supported-versions", SpopValue::Bytes(versions)) => {
                    is_known = list(versions).any(|version| version.starts_with(b"2."));
                }
                (b"max-frame-size", SpopValue::Number(size)) => hello.max_frame_size = size,
                (b"healthcheck", SpopValue::Bool(is)) => hello.is_healthcheck = is,
                (b"capabilities", SpopValue::Bytes(capabilities)) => {
                    hello.pipelining = list(capabilities).any(|one| one == b"pipelining");
                    hello.fragmentation = list(capabilities).any(|one| one == b"fragmentation");
                }
                _ => {}
            }
        }
        match () {
            () if !is_known => Err(SpopError::Version),
            () if hello.max_frame_size < *FRAME_SIZES.start() => Err(SpopError::FrameSize),
            () => Ok(Self { max_frame_size: hello.max_frame_size.min(*FRAME_SIZES.end()), ..hello }),
        }
    }

    /// The AGENT-HELLO that answers it.
    pub(super) fn answer(self) -> Vec<u8> {
        let mut payload = Vec::new();
        text(&mut payload, b"version");
        payload.push(8);
        text(&mut payload, VERSION);
        text(&mut payload, b"max-frame-size");
        payload.push(3);
        put_varint(&mut payload, self.max_frame_size);
        text(&mut payload, b"capabilities");
        payload.push(8);
        let capabilities = [(self.pipelining, &b"pipelining"[..]), (self.fragmentation, b"fragmentation")];
        let wanted: Vec<&[u8]> = capabilities.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        text(&mut payload, &wanted.join(&b','));
        frame(AGENT_HELLO, FIN, 0, 0, &payload)
    }
}

/// Adds an ACK without actions; with `ABORT` where a payload is given up.
pub(super) fn ack(out: &mut Vec<u8>, frame: &SpopFrame, flags: u32) {
    out.extend_from_slice(&self::frame(ACK, flags, frame.stream, frame.number, &[]));
}

/// The AGENT-DISCONNECT that ends a connection; without an error the usual one.
pub(super) fn disconnect(error: Option<SpopError>) -> Vec<u8> {
    let mut payload = Vec::new();
    text(&mut payload, b"status-code");
    payload.push(3);
    put_varint(&mut payload, error.map_or(0, |error| error as u64));
    text(&mut payload, b"message");
    payload.push(8);
    text(&mut payload, error.map_or_else(|| "normal".to_owned(), |error| error.to_string()).as_bytes());
    frame(AGENT_DISCONNECT, FIN, 0, 0, &payload)
}

fn frame(kind: u8, flags: u32, stream: u64, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, kind];
    out.extend_from_slice(&flags.to_be_bytes());
    put_varint(&mut out, stream);
    put_varint(&mut out, number);
    out.extend_from_slice(payload);
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    if let Some(begin) = out.first_chunk_mut::<4>() {
        *begin = length.to_be_bytes();
    }
    out
}

/// A value as SPOP types it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpopValue<'a> {
    /// Nothing: HAProxy had no such sample.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number, negative ones as their two's complement.
    Number(u64),
    /// An address.
    Address(std::net::IpAddr),
    /// Text or binary data.
    Bytes(&'a [u8]),
}

/// A message of a NOTIFY: named values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpoeMessage<'a> {
    /// Values by name, in order.
    pub(crate) arguments: Vec<(&'a [u8], SpopValue<'a>)>,
}

impl<'a> SpoeMessage<'a> {
    /// The value of this name; none where it is missing or null.
    pub(crate) fn get(&self, name: &str) -> Option<SpopValue<'a>> {
        let found = self.arguments.iter().find(|(key, _)| *key == name.as_bytes());
        found.map(|(_, value)| *value).filter(|value| *value != SpopValue::Null)
    }

    /// The bytes of this name.
    pub(crate) fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        match self.get(name)? {
            SpopValue::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of this name.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            SpopValue::Number(number) => Some(number),
            _ => None,
        }
    }
}

/// Reads the messages of a NOTIFY; `None` where the payload is not well formed.
pub(crate) fn messages(payload: &[u8]) -> Option<Vec<SpoeMessage<'_>>> {
    let (mut rest, mut messages) = (payload, Vec::new());
    while !rest.is_empty() {
        string(&mut rest)?;
        let (count, after) = rest.split_first()?;
        rest = after;
        let mut arguments = Vec::with_capacity(usize::from(*count).min(32));
        for _ in 0..*count {
            arguments.push(pair(&mut rest)?);
        }
        messages.push(SpoeMessage { arguments });
    }
    Some(messages)
}

fn pair<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], SpopValue<'a>)> {
    Some((string(rest)?, value(rest)?))
}

fn value<'a>(rest: &mut &'a [u8]) -> Option<SpopValue<'a>> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    Some(match kind & 0x0f {
        0 => SpopValue::Null,
        1 => SpopValue::Bool(kind & 0x10 != 0),
        2..=5 => SpopValue::Number(varint(rest)?),
        6 => SpopValue::Address(std::net::IpAddr::from(*fixed::<4>(rest)?)),
        7 => SpopValue::Address(std::net::IpAddr::from(*fixed::<16>(rest)?)),
        8 | 9 => SpopValue::Bytes(string(rest)?),
        _ => return None,
    })
}

fn fixed<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (begin, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(begin)
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (begin, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(begin)
}

/// A number in the encoding of HAProxy's peers (`doc/SPOE.txt`, 3.1).
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let (first, mut after) = rest.split_first()?;
    let mut number = u64::from(*first);
    if *first >= 240 {
        let mut shift = 4;
        loop {
            let (next, behind) = after.split_first()?;
            after = behind;
            number = number.checked_add(u64::from(*next).checked_shl(shift).filter(|_| shift < 60)?)?;
            shift += 7;
            if *next < 128 {
                break;
            }
        }
    }
    *rest = after;
    Some(number)
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    let low = |number: u64| u8::try_from(number & 0xff).unwrap_or_default();
    if number < 240 {
        out.push(low(number));
        return;
    }
    out.push(low(number | 0xf0));
    number = (number - 240) >> 4;
    while number >= 128 {
        out.push(low(number | 128));
        number = (number - 128) >> 7;
    }
    out.push(low(number));
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for number in [0, 239, 240, 241, 2287, 2288, 264_431, 264_432, 33_818_863, 33_818_864, 4_328_786_160, 1 << 40] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            let mut rest = &*out;
            assert_eq!((varint(&mut rest), rest.len()), (Some(number), 0), "{out:?}");
        }
        for wrong in [&[][..], &[240], &[255, 128], &[255; 40]] {
            assert_eq!(varint(&mut &*wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole_however_it_is_cut() {
        let whole = frame(NOTIFY, FIN, 300, 7, b"payload");
        for cut in 0..whole.len() {
            let mut bytes = BytesMut::from(&whole[..cut]);
            assert_eq!(take(&mut bytes, 100), Ok(None), "{cut}");
            bytes.extend_from_slice(&whole[cut..]);
            let taken = take(&mut bytes, 100).unwrap().unwrap();
            assert_eq!(
                (taken.kind, taken.flags, taken.stream, taken.number, &*taken.payload),
                (NOTIFY, FIN, 300, 7, &b"payload"[..])
            );
            assert!(bytes.is_empty());
        }
        assert_eq!(take(&mut BytesMut::from(&whole[..]), 3), Err(SpopError::TooBig));
        assert_eq!(take(&mut BytesMut::from(&[0, 0, 0, 1, 3][..]), 100), Err(SpopError::Invalid));
    }

    #[test]
    fn a_hello_is_answered_with_what_both_can() {
        let mut payload = Vec::new();
        for (key, value) in [("supported-versions", "2.0"), ("capabilities", "pipelining, async")] {
            text(&mut payload, key.as_bytes());
            payload.push(8);
            text(&mut payload, value.as_bytes());
        }
        assert_eq!(HaproxyHello::read(&payload), Err(SpopError::FrameSize));
        text(&mut payload, b"max-frame-size");
        payload.push(3);
        put_varint(&mut payload, 16_380);
        text(&mut payload, b"healthcheck");
        payload.push(0x11);
        let hello = HaproxyHello::read(&payload).unwrap();
        assert!(hello.is_healthcheck && hello.max_frame_size == 16_380);
        let answer = hello.answer();
        let taken = take(&mut BytesMut::from(&*answer), 1000).unwrap().unwrap();
        assert!(taken.kind == AGENT_HELLO && taken.payload.ends_with(b"\x0apipelining"), "{taken:?}");
        assert_eq!(HaproxyHello::read(b""), Err(SpopError::Version));
        assert_eq!(HaproxyHello::read(b"\xff"), Err(SpopError::Invalid));
    }

    #[test]
    fn messages_are_read_with_every_type_and_refused_where_they_are_cut() {
        let mut payload = Vec::new();
        text(&mut payload, b"m");
        payload.push(5);
        for (name, value) in
            [("n", &[0][..]), ("b", &[0x11]), ("u", &[3, 7]), ("a", &[6, 10, 0, 0, 7]), ("s", b"\x08\x02ab")]
        {
            text(&mut payload, name.as_bytes());
            payload.extend_from_slice(value);
        }
        let read = messages(&payload).unwrap();
        assert_eq!((read[0].get("n"), read[0].number("u"), read[0].bytes("s")), (None, Some(7), Some(&b"ab"[..])));
        assert_eq!(read[0].get("a"), Some(SpopValue::Address("10.0.0.7".parse().unwrap())));
        for cut in 1..payload.len() {
            assert_eq!(messages(&payload[..cut]), None, "{cut}");
        }
    }
}
