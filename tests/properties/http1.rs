//! However a conversation is cut into chunks, it is understood in the same way; and in the right one.

use proptest::prelude::*;
use proptest::sample::Index;
use shadowtap::exchange::{Close, ConnectionId, Event, Request, RequestState, Response, Timestamp};
use shadowtap::flow::{Chunk, Side, Slot};
use shadowtap::http1::{BodyPolicies, BodyPolicy, Http1, StreamStats};
use shadowtap::invariants::EventInvariants;

use crate::packets::{CLIENT, SERVER, ends};

/// A body and how it is framed.
#[derive(Clone, Debug)]
enum Framed {
    No,
    Length(Vec<u8>),
    Chunks { chunks: Vec<Vec<u8>>, extension: bool, trailer: bool },
}

#[derive(Clone, Debug)]
struct Ask {
    method: &'static str,
    target: &'static str,
    version: &'static str,
    body: Framed,
    /// Line ends are a line feed alone.
    bare: bool,
    /// Blank lines before it.
    blank: usize,
    /// Header lines besides those of the framing.
    lines: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    body: Framed,
    bare: bool,
    interim: usize,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    ProxyV1,
    ProxyV2,
}

/// How it goes on after its exchanges.
#[derive(Clone, Debug)]
enum After {
    Nothing,
    /// An answer that ends with the connection.
    UntilClose(Vec<u8>),
    Upgrade(Vec<u8>),
    Connect(Vec<u8>),
}

/// Exchanges whose requests are sent before the first of them is answered.
type Batch = Vec<(Ask, Answer)>;

#[derive(Clone, Debug)]
struct Talk {
    before: Before,
    batches: Vec<Batch>,
    after: After,
    /// The answer to a batch's last request comes while its body is still being sent.
    early: bool,
}

/// What one side says at once.
struct Run {
    side: Side,
    bytes: Vec<u8>,
    /// Where the messages in it end.
    messages: Vec<usize>,
}

impl Framed {
    fn header(&self) -> Option<String> {
        match self {
            Self::No => None,
            Self::Length(content) => Some(format!("Content-Length: {}", content.len())),
            Self::Chunks { .. } => Some("Transfer-Encoding: chunked".to_owned()),
        }
    }

    fn content(&self) -> Vec<u8> {
        match self {
            Self::No => Vec::new(),
            Self::Length(content) => content.clone(),
            Self::Chunks { chunks, .. } => chunks.concat(),
        }
    }

    fn wire(&self, bare: bool) -> Vec<u8> {
        let Self::Chunks { chunks, extension, trailer } = self else { return self.content() };
        let end = if bare { "\n" } else { "\r\n" };
        let mut wire = Vec::new();
        for chunk in chunks {
            let extension = if *extension { ";name=\"value\"" } else { "" };
            wire.extend(format!("{:X}{extension}{end}", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(end.bytes());
        }
        wire.extend(
            format!("0{end}{}{end}", if *trailer { format!("Check: sum{end}") } else { String::new() }).bytes(),
        );
        wire
    }
}

fn head(first: &str, lines: &[&str], body: &Framed, bare: bool) -> Vec<u8> {
    let end = if bare { "\n" } else { "\r\n" };
    let lines = lines.iter().map(|line| (*line).to_owned()).chain(body.header());
    let text: String = std::iter::once(first.to_owned()).chain(lines).map(|line| line + end).collect();
    (text + end).into_bytes()
}

impl Ask {
    /// Where the head ends, and all of it.
    fn wire(&self) -> (usize, Vec<u8>) {
        let first = format!("{} {} HTTP/{}", self.method, self.target, self.version);
        let mut wire = "\r\n".repeat(self.blank).into_bytes();
        wire.extend(head(&first, &self.lines, &self.body, self.bare));
        let end_of_head = wire.len();
        wire.extend(self.body.wire(self.bare));
        (end_of_head, wire)
    }
}

impl Answer {
    /// What is sent in answer to `method`: to HEAD, and with some statuses, no body whatever the head says.
    fn wire(&self, method: &str) -> Vec<u8> {
        let mut wire = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(self.interim);
        let body = if self.body.header().is_none() { &Framed::Length(Vec::new()) } else { &self.body };
        wire.extend(head(&format!("HTTP/1.1 {} Because", self.status), &["Server: s"], body, self.bare));
        if self.has_body(method) {
            wire.extend(self.body.wire(self.bare));
        }
        wire
    }

    fn has_body(&self, method: &str) -> bool {
        method != "HEAD" && !matches!(self.status, 204 | 304)
    }
}

impl Talk {
    fn runs(&self) -> Vec<Run> {
        let mut runs = vec![Run::of(CLIENT, [self.before.wire()])];
        for batch in &self.batches {
            let mut asked: Vec<Vec<u8>> = batch.iter().map(|(ask, _)| ask.wire().1).collect();
            let answers = batch.iter().map(|(ask, answer)| answer.wire(ask.method));
            let held_back = batch.last().filter(|_| self.early).and_then(|(ask, _)| {
                let (head, wire) = ask.wire();
                let from = head + (wire.len() - head) / 2;
                (from < wire.len()).then(|| wire[from..].to_vec())
            });
            if let (Some(held_back), Some(last)) = (&held_back, asked.last_mut()) {
                last.truncate(last.len() - held_back.len());
            }
            runs.push(Run::of(CLIENT, asked));
            runs.push(Run::of(SERVER, answers));
            runs.push(Run::of(CLIENT, held_back));
        }
        runs.extend(self.after.runs());
        runs
    }
}

impl Before {
    fn wire(self) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::ProxyV1 => b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n".to_vec(),
            Self::ProxyV2 => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x9c\x40\0\x50".to_vec(),
        }
    }
}

impl After {
    fn runs(&self) -> Vec<Run> {
        let (ask, answer, rest): (&[u8], &[u8], &[u8]) = match self {
            Self::Nothing => return Vec::new(),
            Self::UntilClose(body) => (b"GET /last HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n", body),
            Self::Upgrade(rest) => (
                b"GET /last HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
                rest,
            ),
            Self::Connect(rest) => (b"CONNECT last:443 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", rest),
        };
        vec![Run::of(CLIENT, [ask.to_vec()]), Run::of(SERVER, [answer.to_vec(), rest.to_vec()])]
    }
}

impl Run {
    fn of(side: Side, messages: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut run = Self { side, bytes: Vec::new(), messages: Vec::new() };
        for message in messages {
            run.bytes.extend(message);
            run.messages.push(run.bytes.len());
        }
        run
    }
}

/// What was understood: every event in words, the requests, the responses, and what the connection spoke.
struct Understood {
    events: Vec<String>,
    requests: Vec<Request>,
    responses: Vec<Response>,
    speaks: StreamStats,
}

/// Hands the runs over in pieces that end where `cuts` says.
fn understand(runs: &[Run], cuts: impl Fn(&Run) -> Vec<usize>) -> Understood {
    let all = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
    let mut http1 = Http1::new(all);
    let mut laws = EventInvariants::default();
    let (mut events, mut requests, mut responses) = (Vec::new(), Vec::new(), Vec::new());
    let mut see = |event: Event| {
        laws.see(&event);
        events.push(format!("{event:?}"));
        match event {
            Event::Request(request) => requests.push(*request),
            Event::Response { response, .. } => responses.push(*response),
            _ => {}
        }
    };
    let (slot, at) = (Slot(0), Timestamp::from_nanos);
    let (ends, server) = (ends(5000), Some((SERVER, true)));
    http1.take(Chunk::Opened { slot, connection: ConnectionId(1), at: at(0), ends, server }, &mut see);
    let mut next = [1u64 << 32; 2];
    for (run, now) in runs.iter().zip(1..) {
        let mut from = 0;
        for to in cuts(run).into_iter().chain([run.bytes.len()]) {
            let bytes = &run.bytes[from..to.max(from)];
            let (offset, received) = (*run.side.of(&next), *run.side.other().of(&next));
            if !bytes.is_empty() {
                http1.take(
                    Chunk::Data { slot, side: run.side, at: at(now), stretch: 0, offset, received, bytes },
                    &mut see,
                );
            }
            *run.side.of_mut(&mut next) += bytes.len() as u64;
            from = to.max(from);
        }
    }
    for side in [SERVER, CLIENT] {
        http1.take(Chunk::End { slot, side, at: at(1000) }, &mut see);
    }
    http1.take(Chunk::Closed { slot, at: at(1000), how: Close::Fin }, &mut see);
    laws.finish();
    Understood { events, requests, responses, speaks: http1.stats().clone() }
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let nasty = prop::sample::select(vec![
        &b"GET /not HTTP/1.1\r\n\r\n"[..],
        b"HTTP/1.1 500 Not\r\n\r\n",
        b"\r\n\r\n",
        b"\n\n",
        b"0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]);
    let part = prop_oneof![nasty.prop_map(<[u8]>::to_vec), prop::collection::vec(any::<u8>(), 0..40)];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn framed() -> impl Strategy<Value = Framed> {
    let chunk = content().prop_filter("only the last chunk is empty", |chunk| !chunk.is_empty());
    let chunks = (prop::collection::vec(chunk, 0..4), any::<bool>(), any::<bool>());
    prop_oneof![
        Just(Framed::No),
        content().prop_map(Framed::Length),
        chunks.prop_map(|(chunks, extension, trailer)| Framed::Chunks { chunks, extension, trailer }),
    ]
}

fn exchange() -> impl Strategy<Value = (Ask, Answer)> {
    let line = prop::sample::select(vec!["Accept: */*", "X-Odd: a\r\n  folded", "Host: h", "Cookie: a=b; c=\"d e\""]);
    let ask = (
        prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "M-SEARCH", "X"]),
        prop::sample::select(vec!["/", "/a/b?c=d&e", "*", "http://h/x", "/%20/'\"<>"]),
        prop::sample::select(vec!["1.0", "1.1"]),
        framed(),
        any::<bool>(),
        0..3usize,
        prop::collection::vec(line, 0..4),
    );
    let answer =
        (prop::sample::select(vec![200, 201, 204, 206, 304, 404, 503, 999]), framed(), any::<bool>(), 0..2usize);
    (ask, answer).prop_map(
        |((method, target, version, body, bare, blank, lines), (status, body_back, bare_back, interim))| {
            // HTTP/1.0 has no chunks (RFC 9112, 6.1).
            let version = if matches!(body, Framed::Chunks { .. }) { "1.1" } else { version };
            (
                Ask { method, target, version, body, bare, blank, lines },
                Answer { status, body: body_back, bare: bare_back, interim },
            )
        },
    )
}

fn talk() -> impl Strategy<Value = Talk> {
    let before = prop_oneof![4 => Just(Before::Nothing), 1 => Just(Before::ProxyV1), 1 => Just(Before::ProxyV2)];
    let after = prop_oneof![
        3 => Just(After::Nothing),
        1 => content().prop_map(After::UntilClose),
        1 => content().prop_map(After::Upgrade),
        1 => content().prop_map(After::Connect),
    ];
    let batches = prop::collection::vec(prop::collection::vec(exchange(), 1..4), 1..4);
    (before, batches, after, any::<bool>()).prop_map(|(before, batches, after, early)| Talk {
        before,
        batches,
        after,
        early,
    })
}

/// The requests and responses are those that were said.
fn understood_right(talk: &Talk, understood: &Understood) -> Result<(), TestCaseError> {
    let said: Vec<&(Ask, Answer)> = talk.batches.iter().flatten().collect();
    let last = usize::from(!matches!(talk.after, After::Nothing));
    prop_assert_eq!(understood.requests.len(), said.len() + last);
    prop_assert_eq!(understood.responses.len(), said.len() + last);
    for (request, (ask, _)) in understood.requests.iter().zip(&said) {
        prop_assert_eq!(request.state, RequestState::Whole);
        prop_assert_eq!(request.method(), ask.method.as_bytes());
        prop_assert_eq!(request.target(), ask.target.as_bytes());
        prop_assert_eq!(request.body.content().unwrap_or_default().to_vec(), ask.body.content());
    }
    for (response, (ask, answer)) in understood.responses.iter().zip(&said) {
        prop_assert_eq!((response.status, response.damage), (answer.status, None));
        let content = if answer.has_body(ask.method) { answer.body.content() } else { Vec::new() };
        prop_assert_eq!(response.body.content().unwrap_or_default().to_vec(), content);
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn a_conversation_is_understood_alike_however_it_is_cut(
        talk in talk(),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let runs = talk.runs();
        let by_message = understand(&runs, |run| run.messages.clone());
        understood_right(&talk, &by_message)?;
        let anywhere = understand(&runs, |run| {
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(run.bytes.len() + 1)).collect();
            places.sort_unstable();
            places
        });
        prop_assert_eq!(&by_message.events, &anywhere.events);
        let by_byte = understand(&runs, |run| (1..run.bytes.len()).collect());
        prop_assert_eq!(&by_message.events, &by_byte.events);
        prop_assert_eq!(&by_message.speaks, &by_byte.speaks);
    }

    #[test]
    fn what_is_not_http1_is_recognized_alike_however_it_is_cut(
        begin in prop::sample::select(vec![
            &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n",
            b"\0\0\0\x01binary",
        ]),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let runs = [Run::of(CLIENT, [begin.to_vec()]), Run::of(SERVER, [b"\x16\x03\x03 anything".to_vec()])];
        let at_once = understand(&runs, |run| run.messages.clone());
        let in_pieces = understand(&runs, |run| {
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(run.bytes.len() + 1)).collect();
            places.sort_unstable();
            places
        });
        prop_assert_eq!(at_once.events, in_pieces.events);
        prop_assert_eq!(at_once.speaks, in_pieces.speaks);
    }
}
