//! What is kept of answers until they are compared: heads, and bodies as far as somebody may read them.
//!
//! Answers of both sides come in, and leave trimmed, each with its share of the memory that kept bodies may take.
//! A body that finds no room is not waited for: whether it differs is then known by its hash alone.

use std::sync::Arc;

use super::budget::Budget;
use crate::exchange::{FailureKind, Framing, Head, Request, Response};
use crate::http1::content;
use crate::replay::{Answer, Client, Connections, Kept, Turn, Wanted};
use crate::report::compare::{MAX_COMPARED_HEAD, Rules};

/// KiB of chunk framing that are captured beside the content of a body; a body with more of it is not kept.
const FRAMING: u16 = 16;

/// How much of an answer is kept.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    room: Budget,
    /// Bytes of a body that are kept at most; none, where bodies are not looked into.
    most: usize,
}

impl Keeping {
    /// What these rules ask for; nothing where nothing but statuses and hashes counts.
    pub(super) fn new(rules: &Rules, room: usize) -> Option<Self> {
        let most = if rules.bodies() { rules.max_body() } else { 0 };
        (rules.headers() || most > 0).then(|| Self { room: Budget::new(room), most })
    }

    /// KiB of a captured body that are kept at most, framing included; `None` where none is.
    pub(super) fn captured(rules: &Rules) -> Option<u16> {
        let most = u16::try_from(rules.max_body().div_ceil(1024)).unwrap_or(u16::MAX);
        (rules.bodies() && most > 0).then(|| most.saturating_add(FRAMING))
    }

    /// What is kept of production's answer.
    pub(super) fn production(&self, response: &Response) -> Kept {
        let fits = response.damage.is_none() && response.body.len <= self.most as u64;
        let body = if fits { response.body.wire.as_ref() } else { None };
        let content = body.and_then(|wire| match response.body.framing {
            Framing::Chunked => response.body.content().map(|content| content.into_owned().into()),
            _ => Some(wire.clone()),
        });
        let mut kept = Kept::new(Head::new(beginning(&response.head)), content);
        self.weigh(&mut kept);
        kept
    }

    /// Lets a body go that nobody will read, or for which there is no room.
    fn weigh(&self, kept: &mut Kept) {
        if kept.head.as_bytes().len() > MAX_COMPARED_HEAD + 1 {
            kept.head = Head::new(beginning(&kept.head));
        }
        let Some(body) = &kept.body else { return };
        let held = if content::of(&kept.head).may_be_read() { self.room.try_hold(body.len()).ok() } else { None };
        match held {
            Some(held) => kept.held = held.map(Arc::new),
            None => kept.let_body_go(),
        }
    }
}

/// A head, as much of it as tells that it is too long to be compared.
fn beginning(head: &Head) -> Vec<u8> {
    let raw = head.as_bytes();
    raw.get(..raw.len().min(MAX_COMPARED_HEAD + 1)).unwrap_or_default().to_vec()
}

/// A client that keeps of its answers what is compared.
pub(super) struct Weighed<C> {
    pub(super) client: Arc<C>,
    pub(super) keeping: Option<Keeping>,
}

impl<C: Client> Client for Weighed<C> {
    fn refuses(&self, request: &Request) -> Option<&'static str> {
        self.client.refuses(request)
    }

    async fn send(&self, turn: Turn, request: Request, wanted: Wanted) -> Result<Answer, FailureKind> {
        let Some(keeping) = &self.keeping else { return self.client.send(turn, request, wanted).await };
        let mut answer = self.client.send(turn, request, Wanted { kept: Some(keeping.most), ..wanted }).await?;
        if let Some(kept) = &mut answer.kept {
            keeping.weigh(kept);
        }
        Ok(answer)
    }

    fn connections(&self) -> Connections {
        self.client.connections()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::exchange::{Body, Damage, Timestamp};

    fn response(head: &str, body: &'static [u8], framing: Framing) -> Response {
        let (first_byte, last_byte) = (Timestamp::default(), Timestamp::default());
        let head = Head::new(format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes());
        let body = Body { framing, len: 5, sha256: None, wire: Some(Bytes::from_static(body)) };
        Response { status: 200, head, body, first_byte, last_byte, damage: None, opaque: false }
    }

    fn keeping(room: usize) -> Keeping {
        Keeping::new(&Rules::default(), room).unwrap()
    }

    #[test]
    fn production_keeps_content_that_can_be_read() {
        let keeping = keeping(1 << 20);
        let plain = response("Content-Type: text/plain\r\n", b"hello", Framing::Length(5));
        assert_eq!(keeping.production(&plain).body.as_deref(), Some(&b"hello"[..]));
        let chunked = response("", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", Framing::Chunked);
        assert_eq!(keeping.production(&chunked).body.as_deref(), Some(&b"hello"[..]));
        let film = response("Content-Type: video/mp4\r\n", b"hello", Framing::Length(5));
        assert_eq!(keeping.production(&film).body, None);
        let damaged = Response { damage: Some(Damage::Gap), ..plain };
        assert_eq!(keeping.production(&damaged).body, None);
    }

    #[test]
    fn a_body_without_room_goes_and_its_head_stays() {
        let keeping = keeping(1024);
        let plain = response("", b"hello", Framing::Length(5));
        let first = keeping.production(&plain);
        let second = keeping.production(&plain);
        assert_eq!((first.body.is_some(), second.body.is_some()), (true, false));
        assert_eq!(second.head, plain.head);
        drop(first);
        assert!(keeping.production(&plain).body.is_some());
    }

    #[test]
    fn nothing_is_kept_where_nothing_in_it_counts() {
        let mut rules = Rules::default();
        rules.ignore("body").unwrap();
        assert_eq!((Keeping::captured(&rules), Keeping::new(&rules, 1).unwrap().most), (None, 0));
        rules.ignore("headers").unwrap();
        assert!(Keeping::new(&rules, 1).is_none());
        assert_eq!(Keeping::captured(&Rules::default()), Some(256 + FRAMING));
    }
}
