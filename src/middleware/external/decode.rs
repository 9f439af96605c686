//! Decoder of a process's output: bytes to messages.

use data_encoding::HEXLOWER_PERMISSIVE;

use super::{MessageId, MessageType};
use crate::exchange::{Body, Head, Malformed, Request};
use crate::http1::{MAX_HEAD_BYTES, MAX_KEPT_BODY, read_request, read_response};

/// Largest decoded message, in bytes: the largest that is ever sent, and room for one that grew. A longer one is a
/// decode error; no more than this is held of it.
pub(crate) const MAX_MESSAGE_BYTES: usize = MAX_KEPT_BODY + 4 * MAX_HEAD_BYTES;

/// Reason why a line is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DecodeError {
    /// Something other than hexadecimal digits.
    #[error("it is not hexadecimal")]
    NotHex,
    /// Half a byte at its end.
    #[error("it has an odd number of digits")]
    OddLength,
    /// More than [`MAX_MESSAGE_BYTES`].
    #[error("it is longer than any message")]
    TooLong,
    /// No `TYPE ID` line before the message.
    #[error("it does not begin with a line of a type and an id")]
    NoMeta,
    /// The process ended within it.
    #[error("it has no end")]
    NoEnd,
}

/// A message that a process wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncomingMessage {
    /// Type of the message.
    pub kind: MessageType,
    /// Id of the message.
    pub id: MessageId,
    /// The HTTP message.
    pub payload: Vec<u8>,
}

impl IncomingMessage {
    /// Reads a line that was decoded: fields past the second, and how many there are, make no difference.
    fn read(message: Vec<u8>) -> Result<Self, DecodeError> {
        let end = memchr::memchr(b'\n', &message).ok_or(DecodeError::NoMeta)?;
        let meta = message.get(..end).unwrap_or_default();
        let mut fields = meta.split(|byte| *byte == b' ');
        let kind = fields.next().and_then(MessageType::of).ok_or(DecodeError::NoMeta)?;
        let id = fields.next().and_then(MessageId::said).ok_or(DecodeError::NoMeta)?;
        let mut payload = message;
        payload.drain(..=end);
        Ok(Self { kind, id, payload })
    }

    /// Returns whether the message equals `request`.
    #[must_use]
    pub(crate) fn is(&self, request: &Request) -> bool {
        let (head, body) = (request.head.as_bytes(), request.body.wire.as_deref().unwrap_or_default());
        self.payload.strip_prefix(head) == Some(body)
    }

    /// Head and body of the request that it is, or the rule that it breaks.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub(crate) fn request(&self) -> Result<(Head, Body), Malformed> {
        read_request(&self.payload)
    }

    /// Status, head and body of the response that it is, of one without a body where HEAD asked, or the rule that it breaks.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub(crate) fn response(&self, is_head: bool) -> Result<(u16, Head, Body), Malformed> {
        read_response(&self.payload, is_head)
    }
}

/// Splits what a process writes into lines, and reads each. A line that cannot be a message any more is not held.
#[derive(Debug)]
pub(crate) struct MessageDecoder {
    /// Bytes that a message may have.
    limit: usize,
    message: Vec<u8>,
    /// The first digit of a byte whose second one has not come.
    half: Option<u8>,
    garbage: Option<DecodeError>,
}

impl Default for MessageDecoder {
    fn default() -> Self {
        Self::with_limit(MAX_MESSAGE_BYTES)
    }
}

impl MessageDecoder {
    const fn with_limit(limit: usize) -> Self {
        Self { limit, message: Vec::new(), half: None, garbage: None }
    }

    /// Takes the next bytes, and hands each line that ends in them to `sink`.
    pub(crate) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Result<IncomingMessage, DecodeError>)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.digits(rest.get(..end).unwrap_or_default());
            sink(self.line());
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        self.digits(rest);
    }

    /// The process wrote its last byte. A line without its end may lack anything, so it is none.
    pub(crate) fn finish(&mut self) -> Option<DecodeError> {
        let begun = !self.message.is_empty() || self.half.is_some() || self.garbage.is_some();
        *self = Self::with_limit(self.limit);
        begun.then_some(DecodeError::NoEnd)
    }

    fn digits(&mut self, digits: &[u8]) {
        if self.garbage.is_some() || digits.is_empty() {
            return;
        }
        if let Err(why) = self.decode(digits) {
            *self = Self { garbage: Some(why), ..Self::with_limit(self.limit) };
        }
    }

    fn decode(&mut self, mut digits: &[u8]) -> Result<(), DecodeError> {
        if let (Some(first), [second, rest @ ..]) = (self.half, digits) {
            digits = rest;
            self.half = None;
            self.pairs(&[first, *second])?;
        }
        let pairs = digits.get(..digits.len() & !1).unwrap_or_default();
        self.pairs(pairs)?;
        self.half = digits.get(pairs.len()).copied().or(self.half);
        Ok(())
    }

    fn pairs(&mut self, digits: &[u8]) -> Result<(), DecodeError> {
        let (start, len) = (self.message.len(), digits.len() / 2);
        if start + len > self.limit {
            return Err(DecodeError::TooLong);
        }
        self.message.resize(start + len, 0);
        let into = self.message.get_mut(start..).unwrap_or_default();
        HEXLOWER_PERMISSIVE.decode_mut(digits, into).map_err(|_| DecodeError::NotHex)?;
        Ok(())
    }

    fn line(&mut self) -> Result<IncomingMessage, DecodeError> {
        let fresh = Self::with_limit(self.limit);
        let Self { message, half, garbage, .. } = std::mem::replace(self, fresh);
        match (garbage, half) {
            (Some(why), _) => Err(why),
            (None, Some(half)) if half.is_ascii_hexdigit() => Err(DecodeError::OddLength),
            (None, Some(_)) => Err(DecodeError::NotHex),
            (None, None) => IncomingMessage::read(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::{HEXLOWER, HEXUPPER};

    use super::super::super::testing;
    use super::super::OutgoingMessage;
    use super::*;

    /// Decodes bytes that arrive `step` at a time.
    fn lines(bytes: &[u8], step: usize) -> Vec<Result<IncomingMessage, DecodeError>> {
        let (mut decoder, mut all) = (MessageDecoder::default(), Vec::new());
        for piece in bytes.chunks(step) {
            decoder.feed(piece, &mut |line| all.push(line));
        }
        all.extend(decoder.finish().map(Err));
        all
    }

    fn said(message: &str) -> Result<IncomingMessage, DecodeError> {
        lines(format!("{}\n", HEXLOWER.encode(message.as_bytes())).as_bytes(), 7).remove(0)
    }

    #[test]
    fn what_was_told_is_understood_however_it_is_cut() {
        let request = testing::with_body("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n", "ok");
        let mut line = Vec::new();
        OutgoingMessage::request(&request).encode(&mut line);
        OutgoingMessage::request(&request).encode(&mut line);
        for step in [1, 2, 3, 64, 10_000] {
            let all = lines(&line, step);
            assert_eq!(all.len(), 2, "{step}");
            for said in all {
                let said = said.unwrap();
                assert_eq!((said.kind, said.id.exchange()), (MessageType::Request, Some(request.id)));
                assert!(said.is(&request));
            }
        }
    }

    #[test]
    fn fields_past_the_id_and_capitals_make_no_difference() {
        for meta in ["1 x", "1 x 2", "1 x 2 3 4"] {
            assert_eq!(said(&format!("{meta}\nGET / HTTP/1.1\r\n\r\n")).unwrap().payload, b"GET / HTTP/1.1\r\n\r\n");
        }
        let capitals = format!("{}\n", HEXUPPER.encode(b"2 jj\n\xff\xfe"));
        assert_eq!(lines(capitals.as_bytes(), 5)[0].as_ref().unwrap().payload, b"\xff\xfe");
    }

    #[test]
    fn a_changed_payload_is_not_what_was_told() {
        let request = testing::with_body("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n", "ok");
        let changed = said("1 x\nPOST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert!(!changed.is(&request));
        assert_eq!(changed.request().unwrap().1.wire.as_deref(), Some(&b"no"[..]));
        assert_eq!(said("1 x\nhello").unwrap().request().unwrap_err(), Malformed::RequestLine);
    }

    #[test]
    fn garbage_is_told_by_its_kind_and_costs_its_own_line_only() {
        let good = HEXLOWER.encode(b"1 x\n");
        let text = format!("hello\n{good}\n\nabc\n{}\n{}\n{}\n{good}\r\nzz", "31", "3120", "392078200a");
        let kinds: Vec<_> = lines(text.as_bytes(), 3).into_iter().map(Result::err).collect();
        assert_eq!(
            kinds,
            [
                Some(DecodeError::NotHex),
                None,
                Some(DecodeError::NoMeta),
                Some(DecodeError::OddLength),
                Some(DecodeError::NoMeta),
                Some(DecodeError::NoMeta),
                Some(DecodeError::NoMeta),
                Some(DecodeError::NotHex),
                Some(DecodeError::NoEnd),
            ]
        );
    }

    #[test]
    fn a_line_of_any_length_is_held_up_to_the_bound_and_no_further() {
        let mut decoder = MessageDecoder::with_limit(1000);
        for _ in 0..20 {
            let piece = [b'a'; 101];
            decoder.feed(&piece, &mut |line| panic!("{line:?}"));
        }
        assert_eq!(decoder.message.capacity(), 0, "nothing is held of what cannot be a message");
        let mut all = Vec::new();
        decoder.feed(b"\n", &mut |line| all.push(line));
        assert_eq!(all, [Err(DecodeError::TooLong)]);
    }
}
