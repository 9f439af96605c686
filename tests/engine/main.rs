//! The capture engine on the hard cases: frames in, exchanges out.
//!
//! Each test states a conversation, what the capture made of it, and the exchanges that must come of it, a line
//! each: `METHOD target "body" [why the request is not whole] -> STATUS "body" [what the response lacks]`. Where no
//! usable response was captured its reason stands there instead of the status. The laws that hold for every capture
//! are checked in every test.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what breaks in a helper fails the test that called it")]
#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "the tests cut bytes of their own")]

mod belief;
mod checksums;
mod clock;
mod frames;
mod holes;
mod http;
mod identity;
#[path = "../support/packets.rs"]
mod packets;
mod pairing;
mod sightings;
#[path = "../support/tap.rs"]
mod tap;
mod tcp;

use sha2::{Digest as _, Sha256};
use shadowtap::exchange::{Body, RequestState, Response};
use shadowtap::http1::{BodyPolicies, BodyPolicy};

use packets::Capture;
use tap::{Exchange, Seen};

/// Longest body that is written out.
const WRITTEN_OUT: u64 = 64;

/// Expects just these exchanges of a capture; orphans follow as `orphan -> STATUS "body"`.
#[track_caller]
fn check<S: AsRef<str>>(capture: &Capture, expected: &[S]) -> Seen {
    check_on(&[], capture, expected)
}

/// The same where the servers' ports are known.
#[track_caller]
fn check_on<S: AsRef<str>>(ports: &[u16], capture: &Capture, expected: &[S]) -> Seen {
    let kept = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
    let seen = tap::run(&mut capture.source(), kept, ports);
    let found: Vec<String> = render(&seen, &content);
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    assert!(found == expected, "expected\n    {}\nand found\n    {}", expected.join("\n    "), found.join("\n    "));
    let counted = tap::run(&mut capture.source(), BodyPolicies::default(), ports);
    let lens = |body: &Body| body.len.to_string();
    assert_eq!(render(&seen, &lens), render(&counted, &lens), "what is asked of bodies changes what is found");
    seen
}

fn render(seen: &Seen, body: &dyn Fn(&Body) -> String) -> Vec<String> {
    let exchanges = seen.exchanges.values().map(|exchange| line(exchange, body));
    exchanges.chain(seen.orphans.iter().map(|orphan| format!("orphan -> {}", answer(orphan, body)))).collect()
}

fn line(exchange: &Exchange, body: &dyn Fn(&Body) -> String) -> String {
    let request = &exchange.request;
    let state = match request.state {
        RequestState::Whole => String::new(),
        RequestState::Incomplete(why) => format!(" [{why}]"),
        RequestState::Malformed(why) => format!(" [malformed: {why}]"),
    };
    let (method, target) = (request.method().escape_ascii(), request.target().escape_ascii());
    let line = format!("{method} {target}{}{state}", body(&request.body));
    match exchange.answer.as_ref().expect("the laws say that each exchange has its last word") {
        Ok(response) => format!("{line} -> {}", answer(response, body)),
        Err(why) => format!("{line} -> {why}"),
    }
}

fn answer(response: &Response, body: &dyn Fn(&Body) -> String) -> String {
    let opaque = if response.opaque { " [opaque]" } else { "" };
    let damage = response.damage.map(|damage| format!(" [{damage}]")).unwrap_or_default();
    format!("{:03}{}{opaque}{damage}", response.status, body(&response.body))
}

/// A body's content, which has to agree with what else is known of the body.
fn content(body: &Body) -> String {
    if body.len == 0 {
        return String::new();
    }
    let content = body.content().expect("it was to be kept");
    if let Some(sha256) = body.sha256 {
        assert_eq!(sha256, <[u8; 32]>::from(Sha256::digest(&content)), "the hash is that of the content");
        assert_eq!(body.len, content.len() as u64, "the length is that of the content");
    }
    if body.len != content.len() as u64 {
        // A gap between chunk lines: what is kept cannot be told apart.
        return format!(" {} bytes", body.len);
    }
    shown(body.len, &content)
}

/// How a body stands in a line.
fn shown(len: u64, content: &[u8]) -> String {
    match len {
        0 => String::new(),
        1..=WRITTEN_OUT => format!(" \"{}\"", content.escape_ascii()),
        _ => format!(" {len} bytes, {:08x}", xxhash_rust::xxh3::xxh3_64(content) >> 32),
    }
}

/// A large body in an expected line.
fn large(content: &[u8]) -> String {
    shown(content.len() as u64, content)
}

/// Bytes without any pattern that a cut could repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn post(target: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.as_ref().len());
    [head.as_bytes(), body.as_ref()].concat()
}

/// A response with Content-Length.
fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    status("200 OK", body)
}

fn status(line: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n", body.as_ref().len());
    [head.as_bytes(), body.as_ref()].concat()
}

/// A response in these chunks.
fn chunked(chunks: &[&str]) -> Vec<u8> {
    let mut all = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in chunks {
        all.extend(format!("{:x}\r\n{chunk}\r\n", chunk.len()).bytes());
    }
    [all, b"0\r\n\r\n".to_vec()].concat()
}
