//! A captured request becomes the bytes that go out: those that were captured, but for what must differ.
//!
//! What must differ: Host names the target unless it is to be kept; lines of the captured connection go where
//! connections are shared (see [`crate::replay::hop`]); and the line that frames the body is made true where
//! middleware changed the body. Everything else, blanks, case, order and line ends included, is as it was on the wire.

use std::borrow::Cow;

use bytes::Bytes;

use super::via_proxy::ProxyKind;
use crate::exchange::{Framing, Head, HeaderLine, Request, path_and_query};
use crate::head::KnownHeader;
use crate::http1::RequestContext;
use crate::replay::hop::{HopByHop, without_offer};
use crate::replay::{ConnectionMode, SendSettings};

/// Bodies up to this many bytes are copied behind their head and go out with one plain write.
const MAX_COPIED_BODY: usize = 16 << 10;

/// Rewrite rules that depend on the target, and on the use of its connections.
#[derive(Clone, Debug)]
pub(super) struct RewriteRules {
    /// Value of Host, unless the captured one is kept.
    pub(super) authority: String,
    /// Prefix of every path; mostly empty. For a proxy that reads requests it begins with scheme and authority.
    pub(super) prefix: String,
    pub(super) keep_host: bool,
    /// Lines of the captured connection are left out.
    pub(super) shared: bool,
}

/// Returns what comes before each path: a proxy that reads requests is told scheme and authority, too.
fn prefix(settings: &SendSettings) -> String {
    let target = &settings.target;
    match settings.proxy.as_ref().map(|proxy| ProxyKind::of(proxy, target.is_tls())) {
        Some(ProxyKind::Forwards) => format!("http://{}{}", target.authority(), target.prefix()),
        _ => target.prefix().to_owned(),
    }
}

impl RewriteRules {
    /// The rules for the target of `settings`.
    pub(super) fn of(settings: &SendSettings) -> Self {
        Self {
            authority: settings.target.authority(),
            prefix: prefix(settings),
            keep_host: settings.keep_host,
            shared: settings.connections == ConnectionMode::Pooled,
        }
    }
}

/// A request ready to be written.
#[derive(Debug)]
pub(super) struct EncodedRequest {
    /// The head, and the body where it is short and need not wait.
    pub(super) head: Vec<u8>,
    /// The rest of the body.
    pub(super) body: Bytes,
    /// The body waits for a 100 (RFC 9110, 10.1.1).
    pub(super) expects: bool,
    /// The request says that its connection ends with it.
    pub(super) closes: bool,
    /// It may go out once more (RFC 9110, 9.2.1).
    pub(super) changes_nothing: bool,
    pub(super) asked: RequestContext,
}

/// Encodes `request` to bytes; `None` where its body is not the one that its framing describes.
pub(super) fn encode(request: &Request, terms: &RewriteRules) -> Option<EncodedRequest> {
    let wire = body(request)?;
    let room = terms.authority.len() + terms.prefix.len() + wire.len().min(MAX_COPIED_BODY);
    // Most Connection lines name nothing that is not left out anyway: they are only looked up where one does.
    let (edit, lines) = match edited(request, terms, HopRules::presumed(terms), room) {
        Some(edited) => edited,
        None => edited(request, terms, HopRules::Read(HopByHop::of(&request.head)), room)?,
    };
    let old = request.version() == b"1.0";
    let expects = lines.expects && !old && !wire.is_empty();
    let closes = lines.closes;
    let mut head = edit.finish(lines.missing().as_deref());
    let body = if expects || wire.len() > MAX_COPIED_BODY {
        wire
    } else {
        head.extend_from_slice(&wire);
        Bytes::new()
    };
    let asked = RequestContext { head_only: request.method() == b"HEAD", old };
    let changes_nothing = request.changes_nothing();
    Some(EncodedRequest { head, body, expects, closes, changes_nothing, asked })
}

impl EncodedRequest {
    /// The head alone, where the body that follows it has `body` bytes.
    pub(super) fn into_head(mut self, body: usize) -> Vec<u8> {
        let copied = if self.body.is_empty() { body } else { 0 };
        self.head.truncate(self.head.len() - copied.min(self.head.len()));
        self.head
    }
}

/// The head as it goes out, in one pass over it; `None` where what was presumed of Connection lines is not so.
fn edited<'a>(
    request: &'a Request,
    terms: &'a RewriteRules,
    hop: HopRules<'a>,
    room: usize,
) -> Option<(HeadCopy<'a>, LineTotals<'a>)> {
    let mut edit = HeadCopy::new(&request.head, room);
    if !terms.keep_host || !terms.prefix.is_empty() {
        edit.retarget(terms);
    }
    // A line of any name may have to go only where a Connection line names it.
    let any_may_go = matches!(hop, HopRules::Read(_));
    let mut lines = LineTotals::new(request, terms, hop);
    if any_may_go {
        for line in request.head.lines() {
            edit.take(&line, lines.judge(KnownHeader::of(line.name), &line))?;
        }
    } else {
        for (known, line) in request.head.known_lines() {
            edit.take(&line, lines.judge(Some(known), &line))?;
        }
    }
    Some((edit, lines))
}

/// Rules for lines that belong to the captured connection.
enum HopRules<'a> {
    /// They all stay: connections are not shared.
    Stays,
    /// No Connection line names any besides those that are always left out, as far as is known.
    Presumed,
    Read(HopByHop<'a>),
}

impl HopRules<'_> {
    const fn presumed(terms: &RewriteRules) -> Self {
        if terms.shared { Self::Presumed } else { Self::Stays }
    }

    fn covers(&self, known: Option<KnownHeader>, name: &[u8]) -> bool {
        match self {
            Self::Stays => false,
            Self::Presumed => HopByHop::default().covers_known(known, name),
            Self::Read(hop) => hop.covers_known(known, name),
        }
    }
}

/// The framed body, where it is whole.
pub(super) fn body(request: &Request) -> Option<Bytes> {
    let body = &request.body;
    match body.framing {
        Framing::None | Framing::UntilClose | Framing::Length(0) => Some(Bytes::new()),
        Framing::Length(len) => body.wire.clone().filter(|wire| wire.len() as u64 == len),
        Framing::Chunked => {
            let content: u64 = body.chunks()?.iter().map(|chunk| chunk.len() as u64).sum();
            body.wire.clone().filter(|wire| content == body.len && wire.ends_with(b"\n"))
        }
    }
}

/// Decision on a header line.
enum LineDecision<'a> {
    Keep,
    Drop,
    Value(Cow<'a, str>),
    /// The presumption about Connection lines does not hold.
    LookAgain,
}

/// Running totals of the lines so far.
struct LineTotals<'a> {
    terms: &'a RewriteRules,
    framing: Framing,
    hop: HopRules<'a>,
    found: RequiredLines,
    expects: bool,
    closes: bool,
    /// There is an offer to leave HTTP/1, which is left out.
    offers: bool,
}

/// Lines that every request has to have.
#[derive(Clone, Copy, Debug, Default)]
struct RequiredLines {
    host: bool,
    /// One that frames the body, or says that there is none.
    framing: bool,
}

impl<'a> LineTotals<'a> {
    fn new(request: &Request, terms: &'a RewriteRules, hop: HopRules<'a>) -> Self {
        let framing = match request.body.framing {
            Framing::Length(0) | Framing::UntilClose => Framing::None,
            framing => framing,
        };
        let offers = request.head.may_have("upgrade") && request.head.get("upgrade").is_some();
        Self { terms, framing, hop, found: RequiredLines::default(), expects: false, closes: false, offers }
    }

    fn judge(&mut self, known: Option<KnownHeader>, line: &HeaderLine<'_>) -> LineDecision<'a> {
        match known {
            Some(KnownHeader::Host) => return self.host(),
            Some(KnownHeader::ContentLength) => return self.length(line.value),
            Some(KnownHeader::TransferEncoding) => return self.coding(),
            Some(KnownHeader::Upgrade | KnownHeader::Http2Settings) => return LineDecision::Drop,
            Some(KnownHeader::Expect) => self.expects |= line.value.eq_ignore_ascii_case(b"100-continue"),
            // Trailers go out with their chunks, so what announces them does, too.
            Some(KnownHeader::Trailer) if self.framing == Framing::Chunked => return LineDecision::Keep,
            Some(KnownHeader::Connection) => match self.hop {
                HopRules::Stays => {
                    let mut options = line.value.split(|byte| *byte == b',');
                    self.closes |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
                    if self.offers {
                        return match without_offer(line.value).map(String::from_utf8) {
                            Some(Ok(left)) => LineDecision::Value(Cow::Owned(left)),
                            Some(Err(_)) | None => LineDecision::Drop,
                        };
                    }
                }
                HopRules::Presumed if HopByHop::depends_on(line.value) => return LineDecision::LookAgain,
                HopRules::Presumed | HopRules::Read(_) => {}
            },
            _ => {}
        }
        if self.hop.covers(known, line.name) { LineDecision::Drop } else { LineDecision::Keep }
    }

    fn host(&mut self) -> LineDecision<'a> {
        if self.terms.keep_host {
            LineDecision::Keep
        } else if std::mem::replace(&mut self.found.host, true) {
            LineDecision::Drop
        } else {
            LineDecision::Value(Cow::Borrowed(&self.terms.authority))
        }
    }

    /// A length that is true stays as it was written.
    fn length(&mut self, value: &[u8]) -> LineDecision<'a> {
        let expected = match self.framing {
            Framing::Length(len) => len,
            Framing::Chunked => return LineDecision::Drop,
            Framing::None | Framing::UntilClose => 0,
        };
        let says = |part: &[u8]| std::str::from_utf8(part.trim_ascii()).ok()?.parse::<u64>().ok();
        let first = !std::mem::replace(&mut self.found.framing, true);
        if value.split(|byte| *byte == b',').all(|part| says(part) == Some(expected)) {
            LineDecision::Keep
        } else if first {
            LineDecision::Value(Cow::Owned(expected.to_string()))
        } else {
            LineDecision::Drop
        }
    }

    fn coding(&mut self) -> LineDecision<'a> {
        if self.framing == Framing::Chunked {
            self.found.framing = true;
            LineDecision::Keep
        } else {
            LineDecision::Drop
        }
    }

    /// The lines that are not there and must be.
    fn missing(&self) -> Option<String> {
        let host = (!self.terms.keep_host && !self.found.host).then(|| format!("Host: {}\r\n", self.terms.authority));
        let framing = match self.framing {
            Framing::Length(len) if !self.found.framing => Some(format!("Content-Length: {len}\r\n")),
            Framing::Chunked if !self.found.framing => Some("Transfer-Encoding: chunked\r\n".to_owned()),
            _ => None,
        };
        match (host, framing) {
            (Some(host), Some(framing)) => Some(host + &framing),
            (host, framing) => host.or(framing),
        }
    }
}

/// A head that is copied in order, but for some places.
struct HeadCopy<'a> {
    head: &'a Head,
    out: Vec<u8>,
    /// Offset up to which the head has been copied or passed over.
    at: usize,
}

impl<'a> HeadCopy<'a> {
    fn new(head: &'a Head, room: usize) -> Self {
        Self { head, out: Vec::with_capacity(head.as_bytes().len() + room + 32), at: 0 }
    }

    /// Applies a decision to a line; `None` where the decision is not known yet.
    fn take(&mut self, line: &HeaderLine<'_>, verdict: LineDecision<'_>) -> Option<()> {
        match verdict {
            LineDecision::Keep => {}
            LineDecision::Drop => self.drop_line(line),
            LineDecision::Value(value) => self.set_value(line, value.as_bytes()),
            LineDecision::LookAgain => return None,
        }
        Some(())
    }

    /// Absolute-form loses scheme and authority, which name another server (RFC 9112, 3.2.1); the prefix comes before a
    /// path. `*` is nothing to a proxy that reads requests: it is told the authority alone (RFC 9112, 3.2.4).
    fn retarget(&mut self, terms: &RewriteRules) {
        let prefix = terms.prefix.as_bytes();
        let (method, target, _) = self.head.request_line();
        let is_path = target.starts_with(b"/");
        let is_for_proxy = target == b"*" && memchr::memmem::find(prefix, b"://").is_some();
        if (is_path && prefix.is_empty())
            || (!is_path && !is_for_proxy && memchr::memmem::find(target, b"://").is_none())
        {
            return;
        }
        let after = self.head.as_bytes().get(method.len()..).unwrap_or_default();
        let start = method.len() + after.iter().take_while(|byte| **byte == b' ').count();
        self.copy_to(start);
        if is_for_proxy {
            self.out.extend_from_slice(b"http://");
            self.out.extend_from_slice(terms.authority.as_bytes());
            self.at = start + target.len();
            return;
        }
        let path = path_and_query(target);
        self.out.extend_from_slice(prefix);
        if path.starts_with(b"?") {
            self.out.push(b'/');
        }
        self.out.extend_from_slice(path);
        self.at = start + target.len();
    }

    fn drop_line(&mut self, line: &HeaderLine<'_>) {
        self.copy_to(line.span().start);
        self.at = line.span().end;
    }

    fn set_value(&mut self, line: &HeaderLine<'_>, value: &[u8]) {
        let span = line.value_span();
        self.copy_to(span.start);
        self.out.extend_from_slice(value);
        self.at = span.end;
    }

    fn finish(mut self, missing: Option<&str>) -> Vec<u8> {
        if let Some(missing) = missing {
            self.copy_to(self.head.end_of_lines());
            self.out.extend_from_slice(missing.as_bytes());
        }
        self.copy_to(usize::MAX);
        self.out
    }

    fn copy_to(&mut self, end: usize) {
        let raw = self.head.as_bytes();
        let end = end.min(raw.len());
        self.out.extend_from_slice(raw.get(self.at..end).unwrap_or_default());
        self.at = self.at.max(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Body, ConnectionId, ExchangeId, RequestState, Timestamp};

    const POOLED: &str = "new:81";

    fn terms(keep_host: bool, shared: bool) -> RewriteRules {
        RewriteRules { authority: POOLED.to_owned(), prefix: String::new(), keep_host, shared }
    }

    fn request(head: &str, framing: Framing, wire: &[u8]) -> Request {
        let mut body = Body { framing, len: 0, sha256: None, wire: Some(Bytes::copy_from_slice(wire)) };
        body.len = body.content().unwrap().len() as u64;
        Request {
            id: ExchangeId::new(ConnectionId(1), 1),
            client: "10.0.0.1:5000".parse().unwrap(),
            server: "10.0.0.2:80".parse().unwrap(),
            head: Head::new(head.as_bytes().to_vec()),
            body,
            first_byte: Timestamp::from_nanos(0),
            last_byte: Timestamp::from_nanos(0),
            state: RequestState::Whole,
        }
    }

    fn sent(request: &Request, terms: &RewriteRules) -> String {
        let outgoing = encode(request, terms).unwrap();
        String::from_utf8([outgoing.head, outgoing.body.to_vec()].concat()).unwrap()
    }

    /// `head` of a request with this body goes out as `expected` over a shared connection.
    fn check(head: &str, framing: Framing, wire: &str, expected: &str) {
        let found = sent(&request(head, framing, wire.as_bytes()), &terms(false, true));
        assert_eq!(found, expected, "{head}");
    }

    #[test]
    fn only_host_and_the_lines_of_the_connection_differ() {
        check(
            "GET /a/../b//c'?<x> HTTP/1.1\r\nx-A:1\r\nhost:  old \r\nConnection: close, X-Hop\r\nX-hop: 1\r\nX-a : 2\r\n\r\n",
            Framing::None,
            "",
            "GET /a/../b//c'?<x> HTTP/1.1\r\nx-A:1\r\nhost:  new:81 \r\nX-a : 2\r\n\r\n",
        );
    }

    #[test]
    fn mirrored_and_with_its_host_kept_a_request_is_what_it_was() {
        let head = "GET http://h/%zz HTTP/1.0\nHost: h\nConnection: keep-alive\nTE: trailers\nFold: a\n b\n\n";
        assert_eq!(sent(&request(head, Framing::None, b""), &terms(true, false)), head);
    }

    #[test]
    fn a_second_host_goes_and_a_missing_one_is_added() {
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nHost: b\r\n\r\n",
            Framing::None,
            "",
            "GET / HTTP/1.1\r\nHost: new:81\r\nX: y\r\n\r\n",
        );
        check("GET / HTTP/1.0\r\n\r\n", Framing::None, "", "GET / HTTP/1.0\r\nHost: new:81\r\n\r\n");
        check("GET / HTTP/1.1\r\nHost:\r\n\r\n", Framing::None, "", "GET / HTTP/1.1\r\nHost:new:81\r\n\r\n");
    }

    #[test]
    fn a_target_in_absolute_form_names_the_new_server_by_host_alone() {
        check(
            "GET http://old/a HTTP/1.1\r\nHost: old\r\n\r\n",
            Framing::None,
            "",
            "GET /a HTTP/1.1\r\nHost: new:81\r\n\r\n",
        );
        check(
            "GET http://old?q HTTP/1.1\r\nHost: old\r\n\r\n",
            Framing::None,
            "",
            "GET /?q HTTP/1.1\r\nHost: new:81\r\n\r\n",
        );
        check(
            "OPTIONS * HTTP/1.1\r\nHost: old\r\n\r\n",
            Framing::None,
            "",
            "OPTIONS * HTTP/1.1\r\nHost: new:81\r\n\r\n",
        );
    }

    #[test]
    fn a_true_length_stays_as_it_was_written_and_another_is_made_true() {
        let head = |lines: &str| format!("POST / HTTP/1.1\r\n{lines}Host: new:81\r\n\r\n");
        let length = |lines: &str, expected: &str| {
            let expected = head(expected) + "hello";
            check(&head(lines), Framing::Length(5), "hello", &expected);
        };
        length("content-length:  005\r\n", "content-length:  005\r\n");
        length("Content-Length: 5, 5\r\n", "Content-Length: 5, 5\r\n");
        length("Content-Length: 9\r\nContent-Length: 9\r\n", "Content-Length: 5\r\n");
        length("Transfer-Encoding: chunked\r\nContent-Length: 9\r\n", "Content-Length: 5\r\n");
        check(&head("Content-Length: 9\r\n"), Framing::None, "", &head("Content-Length: 0\r\n"));
        check(&head("Content-Length: 0\r\n"), Framing::None, "", &head("Content-Length: 0\r\n"));
        check(
            "POST / HTTP/1.1\r\nHost: h\r\n\r\n",
            Framing::Length(5),
            "hello",
            "POST / HTTP/1.1\r\nHost: new:81\r\nContent-Length: 5\r\n\r\nhello",
        );
    }

    #[test]
    fn chunks_go_with_their_extensions_trailers_and_coding() {
        let wire = "5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n";
        let head = "PUT / HTTP/1.1\r\nHost: new:81\r\nTrailer: T\r\ntransfer-encoding:  Chunked\r\n\r\n";
        check(head, Framing::Chunked, wire, &format!("{head}{wire}"));
        check(
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n",
            Framing::Chunked,
            wire,
            &format!("PUT / HTTP/1.1\r\nHost: new:81\r\nTransfer-Encoding: chunked\r\n\r\n{wire}"),
        );
    }

    #[test]
    fn an_offer_to_leave_http_is_left_out_over_either_kind_of_connection() {
        for (lines, mirrored) in [
            ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAE\r\n", ""),
            ("Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.2\r\n", "Connection: keep-alive\r\n"),
            ("Upgrade:\r\nConnection: close\r\n", "Connection: close\r\n"),
        ] {
            let offered = request(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}X: 1\r\n\r\n"), Framing::None, b"");
            assert_eq!(
                sent(&offered, &terms(true, false)),
                format!("GET / HTTP/1.1\r\nHost: h\r\n{mirrored}X: 1\r\n\r\n")
            );
            assert_eq!(sent(&offered, &terms(true, true)), "GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n");
        }
    }

    #[test]
    fn a_prefix_comes_before_each_path_and_changes_nothing_else_of_it() {
        for (target, expected) in [
            ("/a%2Fb/c?d=%2F", "/v2/a%2Fb/c?d=%2F"),
            ("/", "/v2/"),
            ("//twice//x", "/v2//twice//x"),
            ("http://shop.example/abs?y=2", "/v2/abs?y=2"),
            ("http://shop.example?y", "/v2/?y"),
            ("*", "*"),
        ] {
            for keep_host in [true, false] {
                let terms = RewriteRules { prefix: "/v2".to_owned(), ..terms(keep_host, true) };
                let request =
                    request(&format!("OPTIONS {target} HTTP/1.1\r\nHost: new:81\r\n\r\n"), Framing::None, b"");
                assert_eq!(sent(&request, &terms), format!("OPTIONS {expected} HTTP/1.1\r\nHost: new:81\r\n\r\n"));
            }
        }
    }

    #[test]
    fn a_body_that_is_not_whole_is_not_sent() {
        let head = "PUT / HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut short = request(head, Framing::Length(5), b"hello");
        short.body.framing = Framing::Length(6);
        assert!(encode(&short, &terms(true, true)).is_none());
        let cut = request(head, Framing::Chunked, b"5\r\nhello");
        assert!(encode(&cut, &terms(true, true)).is_none());
        let mut unkept = request(head, Framing::Chunked, b"0\r\n\r\n");
        unkept.body.wire = None;
        assert!(encode(&unkept, &terms(true, true)).is_none());
    }

    #[test]
    fn a_body_waits_where_its_head_says_so_and_it_can() {
        let expects = |head: &str, wire: &str| {
            let request = request(head, Framing::Length(wire.len() as u64), wire.as_bytes());
            let outgoing = encode(&request, &terms(true, true)).unwrap();
            assert_eq!(outgoing.head.ends_with(b"\r\n\r\n"), outgoing.expects || wire.is_empty());
            outgoing.expects
        };
        assert!(expects("PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "x"));
        assert!(!expects("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "x"));
        assert!(!expects("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", ""));
    }
}
