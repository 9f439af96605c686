//! Retention of responses until they are compared: heads, and bodies up to the length that is compared.
//!
//! Responses of both sides come in, and leave trimmed, each with its share of the memory for retained bodies. A body
//! that finds no room is dropped without waiting: its hash alone then shows whether it differs.

use std::borrow::Cow;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Budget;
use super::carry::Carry;
use super::spans::TargetSpans;
use crate::compare::{self, CompareRules, MAX_COMPARED_HEAD};
use crate::exchange::{Framing, Head, Request, Response, digest, digest_of_whole};
use crate::http1::content;
use crate::middleware::carry::{IssuedResponse, ResponsePart};
use crate::replay::{
    Client, ConnCounters, ConnNumber, Destination, ResponseOptions, ResponseProgress, RetainedResponse, SendError,
    TargetResponse, Ticket,
};

/// KiB of chunked framing captured in addition to the content of a body; a body with more framing is not kept.
const FRAMING: u16 = 16;

/// Bytes of a body that are exempt from the memory budget: they are no longer than the head before them, and bounded
/// like heads by the number of responses in progress.
const UNWEIGHED: usize = 256;

/// Bytes of heads that are not weighed either: of a longer one without room nothing is kept, and its lines are not compared.
const UNWEIGHED_HEAD: usize = 4 << 10;

/// Rules for the parts of a response to keep.
#[derive(Clone, Debug)]
pub(super) struct RetentionRules {
    room: Budget,
    /// Bytes of a body that are kept at most; none, where bodies are not looked into.
    most: usize,
}

impl RetentionRules {
    /// Builds the retention that the comparison `rules` need; `None` where nothing but statuses and hashes counts.
    pub(super) fn new(rules: &CompareRules, room: usize) -> Option<Self> {
        let most = if rules.bodies() { rules.max_body() } else { 0 };
        (rules.headers() || most > 0).then(|| Self { room: Budget::new(room), most })
    }

    /// Bytes of a target's body that are kept at most.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// Trims a target's response to what is kept of it.
    pub(super) fn of_target(&self, mut answer: TargetResponse) -> TargetResponse {
        if let Some(kept) = &mut answer.kept {
            let gone = self.weigh(kept);
            answer.body_sha256 = answer.body_sha256.or_else(|| digest_of_whole(&gone?, answer.body_len));
        }
        answer
    }

    /// KiB of a captured body that are kept at most, framing included; `None` where none is.
    pub(super) fn captured(rules: &CompareRules) -> Option<u16> {
        let most = u16::try_from(rules.max_body().div_ceil(1024)).unwrap_or(u16::MAX);
        (rules.bodies() && most > 0).then(|| most.saturating_add(FRAMING))
    }

    /// What is kept of production's answer: taken out of `response`, or a copy where that `goes_on`. A body that is not
    /// kept has its digest in `response`. Of one that had not ended its beginning is kept.
    pub(super) fn production(&self, response: &mut Response, goes_on: bool) -> RetainedResponse {
        let is_open = response.is_open();
        let fits = response.damage.is_none() && response.body.len <= self.most as u64;
        let mut content: Option<Bytes> = match (fits || is_open, response.body.framing) {
            (false, _) => None,
            (true, Framing::Chunked) => response.body.content().map(|content| content.into_owned().into()),
            (true, _) if goes_on => response.body.wire.clone(),
            (true, _) => response.body.wire.take(),
        };
        if let Some(content) = &mut content {
            content.truncate(self.most);
        }
        let head = if goes_on { response.head.clone() } else { std::mem::take(&mut response.head) };
        let body = &mut response.body;
        if content.is_none() && response.damage.is_none() && body.framing != Framing::Chunked {
            body.sha256 = body.sha256.or_else(|| digest(body.wire.as_deref()?));
        }
        let mut kept = RetainedResponse::new(head, content);
        let gone = self.weigh(&mut kept);
        body.sha256 = body.sha256.or_else(|| digest_of_whole(&gone?, body.len));
        kept
    }

    /// Lets a body go that nobody will read, or for which there is no room, and gives it back: its digest is to be left.
    fn weigh(&self, kept: &mut RetainedResponse) -> Option<Bytes> {
        if kept.head.as_bytes().len() > MAX_COMPARED_HEAD + 1 {
            kept.head = Head::new(beginning(&kept.head));
        }
        let mut gone = None;
        let head = Some(kept.head.as_bytes().len()).filter(|len| *len > UNWEIGHED_HEAD).unwrap_or_default();
        let mut body = kept.body.as_ref().map(Bytes::len).filter(|len| *len > UNWEIGHED).unwrap_or_default();
        if body > content::SMALL && !compare::reads(&kept.head, kept.body.as_deref()) {
            (gone, body) = (kept.let_body_go(), 0);
        }
        if let Ok(held) = self.room.try_hold(head + body) {
            kept.held = held.map(Arc::new);
            return gone;
        }
        if head > 0 {
            kept.head = Head::default();
        }
        gone.or_else(|| kept.let_body_go())
    }
}

// What a target may send is compared.
const _: () = assert!(MAX_COMPARED_HEAD >= crate::replay::wire::MAX_HEAD_BYTES);

/// Returns the beginning of a head: enough to show that it is too long to be compared.
fn beginning(head: &Head) -> Vec<u8> {
    let raw = head.as_bytes();
    raw.get(..raw.len().min(MAX_COMPARED_HEAD + 1)).unwrap_or_default().to_vec()
}

/// A client that retains the parts of its responses that are compared.
pub(super) struct RetainingClient<C> {
    pub(super) client: Arc<C>,
    pub(super) retention: Option<RetentionRules>,
    /// Values that its responses issue, and from where, where they are carried into later requests.
    pub(super) carry: Option<(Arc<Carry>, Destination)>,
    /// Makes a span of each delivery, where that was asked for.
    pub(super) spans: Option<TargetSpans>,
}

impl<C> RetainingClient<C> {
    /// Keeps of a response what is compared.
    fn retained(&self, answer: TargetResponse) -> TargetResponse {
        match &self.retention {
            Some(retention) => retention.of_target(answer),
            None => answer,
        }
    }
}

/// Returns what `sending` yields; the response's head goes to `take` as soon as it has come, where the rest has not.
async fn with_head<T>(
    mut sending: Pin<&mut impl Future<Output = T>>,
    progress: &ResponseProgress,
    take: impl FnOnce(&Head),
) -> T {
    let mut take = Some(take);
    std::future::poll_fn(|cx| {
        let polled = sending.as_mut().poll(cx);
        if polled.is_pending()
            && let Some(head) = progress.head()
            && let Some(take) = take.take()
        {
            take(head);
        }
        polled
    })
    .await
}

impl<C: Client> Client for RetainingClient<C> {
    fn refuses(&self, request: &Request) -> Option<&'static str> {
        self.client.refuses(request)
    }

    async fn send(
        &self,
        turn: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, SendError> {
        if self.spans.is_none() && (self.carry.is_none() || wanted.carried.is_empty()) {
            let most = self.retention.as_ref().map(|retention| retention.most);
            let wanted = ResponseOptions { kept: most.or(wanted.kept), ..wanted };
            return self.client.send(turn, request, wanted, progress).await.map(|answer| self.retained(answer));
        }
        // In a place of its own: deliveries without spans and values are to be no larger for these.
        Box::pin(async {
            let span = self.spans.as_ref().map(|spans| spans.begin(&request));
            let result = self.send_carrying(turn, request, wanted, progress).await;
            if let Some(span) = span {
                span.end(&result);
            }
            result
        })
        .await
    }

    fn connections(&self) -> ConnCounters {
        self.client.connections()
    }

    fn desynchronised(&self) -> Vec<ConnNumber> {
        self.client.desynchronised()
    }
}

impl<C: Client> RetainingClient<C> {
    /// Sends one request, and takes the values that its response issues.
    async fn send_carrying(
        &self,
        turn: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, SendError> {
        let most = self.retention.as_ref().map(|retention| retention.most);
        let carry = self.carry.as_ref().filter(|_| !wanted.carried.is_empty());
        let read = carry.map(|(carry, _)| carry.bytes_read());
        let (id, rules) = (request.id, wanted.carried);
        let wanted = ResponseOptions { kept: most.max(read).or(wanted.kept), ..wanted };
        // In one place: it is large, and is moved about with every request otherwise.
        let sending = pin!(self.client.send(turn, request, wanted, progress));
        let Some((carry, from)) = carry else { return Ok(self.retained(sending.await?)) };
        let mut parts = ResponsePart::ALL.as_slice();
        let answered = with_head(sending, progress, |head| {
            carry.answered_head(*from, id, rules, head);
            parts = &[ResponsePart::Body];
        });
        let mut answer = answered.await?;
        let kept = answer.kept.as_deref();
        let (none, body) = (Head::default(), kept.and_then(|kept| kept.body.as_deref()).map(Cow::Borrowed));
        let response = IssuedResponse::new(kept.map_or(&none, |kept| &kept.head), body);
        carry.answered(*from, id, (rules, parts), &response);
        if answer.kept.as_ref().is_some_and(|kept| kept.body.as_ref().map(Bytes::len) > most) {
            answer.drop_body();
        }
        if self.retention.is_none() {
            answer.kept = None;
        }
        Ok(self.retained(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Body, Damage};
    use crate::testing;

    fn response(head: &str, body: impl Into<Bytes>, framing: Framing) -> Response {
        let head = Head::new(format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes());
        let wire = body.into();
        let body = Body { framing, len: wire.len() as u64, sha256: None, wire: Some(wire) };
        Response { head, body, ..*testing::response(200) }
    }

    fn retention(room: usize) -> RetentionRules {
        RetentionRules::new(&CompareRules::default(), room).unwrap()
    }

    #[test]
    fn production_keeps_content_that_can_be_read() {
        let retention = retention(1 << 20);
        let mut plain = response("Content-Type: text/plain\r\n", "hello", Framing::Length(5));
        for goes_on in [true, false] {
            let kept = retention.production(&mut plain, goes_on);
            assert_eq!(
                (kept.body.as_deref(), kept.head.get("content-type")),
                (Some(&b"hello"[..]), Some(&b"text/plain"[..]))
            );
        }
        assert!(plain.body.wire.is_none() && plain.head.as_bytes().is_empty(), "taken, not copied");
        let mut chunked = response("", &b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"[..], Framing::Chunked);
        assert_eq!(retention.production(&mut chunked, true).body.as_deref(), Some(&b"hello"[..]));
        let mut film = response("Content-Type: video/mp4\r\n", vec![0; 10_000], Framing::Length(10_000));
        assert_eq!(retention.production(&mut film, true).body, None);
        let mut damaged = Response { damage: Some(Damage::Gap), ..response("", "hello", Framing::Length(5)) };
        assert_eq!(retention.production(&mut damaged, true).body, None);
        let endless = vec![b'a'; CompareRules::default().max_body() + 100];
        let mut open = Response { damage: Some(Damage::Closed), ..response("", endless.clone(), Framing::UntilClose) };
        let beginning = retention.production(&mut open, false).body.unwrap();
        assert_eq!((beginning.len(), open.body.sha256), (endless.len() - 100, None));
    }

    #[test]
    fn a_body_without_room_goes_and_its_head_stays() {
        let retention = retention(1024);
        let mut plain = response("", vec![b'a'; 1000], Framing::Length(1000));
        let first = retention.production(&mut plain, true);
        let second = retention.production(&mut plain, true);
        assert_eq!((first.body.is_some(), second.body.is_some()), (true, false));
        assert_eq!(second.head, plain.head);
        let mut small = response("", "hello", Framing::Length(5));
        assert!(retention.production(&mut small, true).body.is_some(), "it weighs nothing");
        drop(first);
        assert!(retention.production(&mut plain, true).body.is_some());
    }

    #[test]
    fn nothing_is_kept_where_nothing_in_it_counts() {
        let mut rules = CompareRules::default();
        rules.ignore("body").unwrap();
        assert_eq!((RetentionRules::captured(&rules), RetentionRules::new(&rules, 1).unwrap().most), (None, 0));
        rules.ignore("headers").unwrap();
        assert!(RetentionRules::new(&rules, 1).is_none());
        assert_eq!(RetentionRules::captured(&CompareRules::default()), Some(256 + FRAMING));
    }

    #[test]
    fn a_long_head_has_its_share_of_the_room() {
        let retention = retention(32 << 10);
        let mut long = response(&format!("A: {}\r\n", "a".repeat(20_000)), "hello", Framing::Length(5));
        let first = retention.production(&mut long, true);
        assert_eq!((&first.head, first.body.as_deref()), (&long.head, Some(&b"hello"[..])));
        let second = retention.production(&mut long, true);
        assert!(second.head.as_bytes().is_empty() && second.body.is_none());
        assert_eq!(long.body.sha256, digest(b"hello"));
        drop(first);
        assert_eq!(retention.production(&mut long, true).head, long.head);
    }
}
