//! Messages as lines.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;

use super::{MessageId, MessageType};
use crate::exchange::{Head, Request, Response, Timestamp};

/// A message to an external process.
#[derive(Clone, Debug)]
pub(crate) struct OutgoingMessage {
    /// Type of the message.
    pub kind: MessageType,
    /// Id of the message.
    pub id: MessageId,
    /// Start time: first byte of the message on the wire; for a target's response, the time at which the request was
    /// sent.
    pub at: Timestamp,
    /// Time from first to last byte; for a target's response, the duration of the whole exchange.
    pub latency: Duration,
    /// The head.
    pub head: Head,
    /// The body as framed on the wire, where there is one.
    pub body: Option<Bytes>,
}

impl OutgoingMessage {
    /// A request as it is now.
    #[must_use]
    pub(crate) fn request(request: &Request) -> Self {
        Self {
            kind: MessageType::Request,
            id: MessageId::of(request.id),
            at: request.first_byte,
            latency: request.last_byte.since(request.first_byte),
            head: request.head.clone(),
            body: request.body.wire.clone(),
        }
    }

    /// Builds the message for production's response to the request `id`; `None` where parts of it are missing.
    #[must_use]
    pub(crate) fn response(id: MessageId, response: &Response) -> Option<Self> {
        let whole = response.damage.is_none() && (response.body.len == 0 || response.body.wire.is_some());
        whole.then(|| Self {
            kind: MessageType::Response,
            id,
            at: response.first_byte,
            latency: response.last_byte.since(response.first_byte),
            head: response.head.clone(),
            body: response.body.wire.clone(),
        })
    }

    /// Bytes that it holds.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.head.as_bytes().len() + self.body.as_ref().map_or(0, Bytes::len)
    }

    /// Appends its line.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let mut meta = vec![self.kind.digit(), b' '];
        meta.extend_from_slice(self.id.as_bytes());
        // Writing to memory cannot fail.
        writeln!(meta, " {} {}", self.at.nanos(), self.latency.as_nanos()).ok();
        let body = self.body.as_deref().unwrap_or_default();
        into.reserve(2 * (meta.len() + self.bytes()) + 1);
        for part in [&meta, self.head.as_bytes(), body] {
            let start = into.len();
            into.resize(start + 2 * part.len(), 0);
            HEXLOWER.encode_mut(part, into.get_mut(start..).unwrap_or_default());
        }
        into.push(b'\n');
    }
}

/// Returns the head of a response whose body is given without its chunks, with framing lines to match.
#[must_use]
pub(crate) fn framed_by_length(mut head: Head, body: &[u8]) -> Head {
    if head.remove("Transfer-Encoding") > 0 {
        head.set("Content-Length", body.len().to_string().as_bytes());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;
    use super::*;

    fn line(told: &OutgoingMessage) -> String {
        let mut line = Vec::new();
        told.encode(&mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        String::from_utf8(HEXLOWER.decode(&line).unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_its_bytes_behind_a_line_of_four_fields() {
        let mut request = testing::with_body("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n");
        request.first_byte = Timestamp::from_nanos(1_700_000_000_000_000_001);
        request.last_byte = Timestamp::from_nanos(1_700_000_000_000_000_043);
        assert_eq!(
            line(&OutgoingMessage::request(&request)),
            "1 000000000000000100000001 1700000000000000001 42\n\
             POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        );
    }

    #[test]
    fn a_response_is_told_whole_or_not_at_all() {
        use crate::exchange::Damage;
        use crate::testing::response;
        let id = || MessageId::said(b"x").unwrap();
        let text = line(&OutgoingMessage::response(id(), &response(503)).unwrap());
        assert!(text.starts_with("2 x ") && text.contains("\nHTTP/1.1 503 X\r\n") && text.ends_with("ok"), "{text}");
        let mut cut = response(200);
        cut.damage = Some(Damage::Cut);
        assert!(OutgoingMessage::response(id(), &cut).is_none());
        let mut not_kept = response(200);
        not_kept.body.wire = None;
        assert!(OutgoingMessage::response(id(), &not_kept).is_none());
    }

    #[test]
    fn an_answer_without_its_chunks_says_its_length() {
        let head = |text: &str| Head::new(text.as_bytes().to_vec());
        let chunked = head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n");
        assert_eq!(
            framed_by_length(chunked, b"hello").as_bytes(),
            b"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 5\r\n\r\n"
        );
        let plain = head("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
        assert_eq!(framed_by_length(plain.clone(), b""), plain, "the answer to HEAD");
    }
}
