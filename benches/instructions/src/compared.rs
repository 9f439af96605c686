//! Two responses held against each other.

use std::fmt::Write as _;
use std::hint::black_box;

use shadowtap::compare::{BodyKnowledge, CompareRules, ComparedResponse, compare};
use shadowtap::exchange::Head;

use super::Work;

/// Comparisons of one count.
const TIMES: usize = 200;

const DATE: &str = "Date: Sat, 21 Nov 2026 20:15:00 GMT";
const SERVER: &str = "Server: nginx";
const ETAG: &str = "ETag: \"6955b900-d05\"";
const AGE: &str = "X-Cache-Ttl: 12";

/// As many lines as a response of a busy site has.
const LINES: [&str; 14] = [
    DATE,
    SERVER,
    "Content-Type: application/json",
    "Connection: keep-alive",
    "Vary: Accept-Encoding",
    "Cache-Control: public, max-age=60",
    ETAG,
    "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
    "X-Request-Id: 0123456789abcdef",
    "Strict-Transport-Security: max-age=31536000",
    "X-Content-Type-Options: nosniff",
    "Via: 1.1 varnish",
    AGE,
    "Set-Cookie: sid=0123456789abcdef; Path=/; HttpOnly",
];

/// A response to be compared.
#[derive(Clone)]
struct Response {
    status: u16,
    head: Head,
    body: Vec<u8>,
}

impl Response {
    /// A response with some of the header lines changed.
    fn new(status: u16, body: String, changed: &[(&str, &str)]) -> Self {
        let mut head = format!("HTTP/1.1 {status} OK\r\n");
        for line in LINES {
            let other = changed.iter().find(|(from, _)| *from == line);
            write!(head, "{}\r\n", other.map_or(line, |(_, to)| to)).expect("memory takes it");
        }
        write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect("memory takes it");
        Self { status, head: Head::new(head.into_bytes()), body: body.into_bytes() }
    }

    fn side(&self) -> ComparedResponse<'_> {
        ComparedResponse {
            status: self.status,
            head: Some(&self.head),
            body_len: self.body.len() as u64,
            body_sha256: None,
            body: Some(&self.body),
            authorities: [b"tv.example", b"", b""],
        }
    }
}

/// Prepares the comparison of this name.
pub(crate) fn prepare(name: &str) -> Option<Work> {
    let one = |body| Response::new(200, body, &[]);
    let (production, shadow) = match name {
        "compare_equal" => (one(text("one")), one(text("one"))),
        "compare_date" => {
            (one(text("one")), Response::new(200, text("one"), &[(DATE, "Date: Sat, 21 Nov 2026 20:15:01 GMT")]))
        }
        "compare_headers_and_line" => {
            let changed = [(SERVER, "Server: envoy"), (ETAG, "ETag: W/\"8855b900\""), (AGE, "X-Cache-Ttl: 60")];
            (one(text("one")), Response::new(200, text("two"), &changed))
        }
        "compare_status" => (one(text("one")), Response::new(503, text("two"), &[])),
        "compare_json" => (one(programmes("one")), one(programmes("two"))),
        _ => return None,
    };
    Some(Work::new(TIMES, move || {
        let rules = CompareRules::default();
        let compare = || {
            let (production, shadow) = (black_box(production.side()), black_box(shadow.side()));
            compare(&rules, b"GET", &production, &shadow, BodyKnowledge::Whole).differences.len() as u64
        };
        (0..TIMES).map(|_| compare()).sum()
    }))
}

/// 1 KB of text with this word in one of its lines.
fn text(word: &str) -> String {
    let line = "Recorded in one take in the old turbine hall, and never shown since.\n";
    format!("{}This is the {word} that counts.\n{}", line.repeat(7), line.repeat(7))
}

/// 10 KB of JSON with this word in one of its fields.
fn programmes(word: &str) -> String {
    let mut text = String::from("{\"programmes\":[");
    for n in 0..70 {
        let (comma, title) = (if n == 0 { "" } else { "," }, if n == 35 { word } else { "one" });
        write!(
            text,
            "{comma}{{\"id\":{n},\"at\":\"20:15\",\"channel\":{},\"title\":\"Harbour Stories {title}\",\"hd\":true,\
             \"score\":0.{:02},\"about\":\"Recorded in one take in the old turbine hall.\"}}",
            n % 40,
            n % 100
        )
        .expect("memory takes it");
    }
    text + "]}"
}
