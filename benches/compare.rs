//! What it costs to hold two answers against each other. Measured here: heads alone, bodies that are equal byte for byte,
//! and 10 KB of JSON that differs.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sha2::{Digest as _, Sha256};
use shadowtap::compare::{BodyKnowledge, CompareRules, ComparedResponse, compare};
use shadowtap::exchange::{Digest, Head};

/// As many lines as an answer of a busy site has.
const LINES: &str = "Date: Sat, 21 Nov 2026 20:15:00 GMT\r\nServer: nginx\r\nContent-Type: application/json\r\n\
     Connection: keep-alive\r\nVary: Accept-Encoding\r\nCache-Control: public, max-age=60\r\n\
     ETag: \"6955b900-d05\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nX-Request-Id: 0123456789abcdef\r\n\
     Strict-Transport-Security: max-age=31536000\r\nX-Content-Type-Options: nosniff\r\nVia: 1.1 varnish\r\nAge: 12\r\n\
     Set-Cookie: sid=0123456789abcdef; Path=/; HttpOnly\r\n";

struct Answer {
    head: Head,
    body: Vec<u8>,
    sha256: Digest,
}

fn answer(body: String) -> Answer {
    let head = Head::new(format!("HTTP/1.1 200 OK\r\n{LINES}Content-Length: {}\r\n\r\n", body.len()).into_bytes());
    let sha256 = Sha256::digest(&body).into();
    Answer { head, body: body.into_bytes(), sha256 }
}

impl Answer {
    fn side(&self) -> ComparedResponse<'_> {
        ComparedResponse {
            status: 200,
            head: Some(&self.head),
            body_len: self.body.len() as u64,
            body_sha256: Some(&self.sha256),
            body: Some(&self.body),
            authorities: [b"tv.example", b"", b""],
        }
    }
}

/// 10 KB of programmes; one in ten has another title in another edition.
fn programmes(edition: usize) -> String {
    let mut text = String::from("{\"programmes\":[");
    let mut n = 0;
    while text.len() < 10_000 {
        let title = if n % 10 == 0 { n + edition } else { n };
        let comma = if n == 0 { "" } else { "," };
        write!(
            text,
            "{comma}{{\"id\":{n},\"at\":\"20:15\",\"channel\":{},\"title\":\"Harbour Stories {title}\",\"hd\":true,\
             \"score\":0.{:02},\"about\":\"Recorded in one take in the old turbine hall.\"}}",
            n % 40,
            n % 100
        )
        .ok();
        n += 1;
    }
    text.push_str("]}");
    text
}

fn all(criterion: &mut Criterion) {
    let rules = CompareRules::default();
    let mut with_paths = CompareRules::default();
    for rule in ["json:$.generatedAt", "json:$..updatedAt", "json:$.programmes[*].score"] {
        with_paths.ignore(rule).expect("the rules of the benchmark are rules");
    }
    let (one, same, other) = (answer(programmes(0)), answer(programmes(0)), answer(programmes(1000)));
    let mut group = criterion.benchmark_group("compare");
    group.bench_function("status and headers", |bencher| {
        bencher
            .iter(|| compare(&rules, b"HEAD", black_box(&one.side()), black_box(&same.side()), BodyKnowledge::Whole));
    });
    group.bench_function("equal bodies", |bencher| {
        bencher.iter(|| compare(&rules, b"GET", black_box(&one.side()), black_box(&same.side()), BodyKnowledge::Whole));
    });
    group.bench_function("10 KB of JSON that differs", |bencher| {
        bencher
            .iter(|| compare(&rules, b"GET", black_box(&one.side()), black_box(&other.side()), BodyKnowledge::Whole));
    });
    group.bench_function("the same under rules", |bencher| {
        bencher.iter(|| {
            compare(&with_paths, b"GET", black_box(&one.side()), black_box(&other.side()), BodyKnowledge::Whole)
        });
    });
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
