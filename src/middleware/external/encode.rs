//! Messages as lines.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;

use super::{MessageId, MessageType};
use crate::exchange::{Head, Request, Response, Timestamp};

/// Something that a process is told.
#[derive(Clone, Debug)]
pub struct OutgoingMessage {
    /// What it is about.
    pub kind: MessageType,
    /// What it is called.
    pub id: MessageId,
    /// When it began: first byte of the message on the wire, or, of a target's answer, when the request was sent.
    pub at: Timestamp,
    /// First to last byte; of a target's answer, how long the whole exchange took.
    pub latency: Duration,
    /// The head.
    pub head: Head,
    /// The body as framed on the wire, where there is one.
    pub body: Option<Bytes>,
}

impl OutgoingMessage {
    /// A request as it is now.
    #[must_use]
    pub fn request(request: &Request) -> Self {
        Self {
            kind: MessageType::Request,
            id: MessageId::of(request.id),
            at: request.first_byte,
            latency: request.last_byte.since(request.first_byte),
            head: request.head.clone(),
            body: request.body.wire.clone(),
        }
    }

    /// What production answered to the request called `id`; `None` where not all of it is there.
    #[must_use]
    pub fn response(id: MessageId, response: &Response) -> Option<Self> {
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
    pub fn bytes(&self) -> usize {
        self.head.as_bytes().len() + self.body.as_ref().map_or(0, Bytes::len)
    }

    /// Appends its line.
    pub fn encode(&self, into: &mut Vec<u8>) {
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

/// The head of an answer whose body is given without its chunks: the lines that frame it are made true.
#[must_use]
pub fn framed_by_length(mut head: Head, body: &[u8]) -> Head {
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
