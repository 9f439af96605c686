//! HTTP archives, end to end: what is written is read again, and what browsers write is replayed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "what breaks here fails its test"
)]

#[path = "support/server.rs"]
mod server;

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use server::{Server, answer};

fn shadowtap(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.env_remove("SHADOWTAP_LOG").stdin(Stdio::null()).args(arguments).output().unwrap()
}

/// The exchanges of a file as `inspect` has them, but for what an archive does not hold.
fn exchanges(file: &str) -> Vec<Value> {
    let output = shadowtap(&["inspect", file, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut all: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    for exchange in &mut all {
        let exchange = exchange.as_object_mut().unwrap();
        for key in ["id", "headers", "response_headers", "response_body_len", "response_body_sha256"] {
            exchange.remove(key);
        }
        // Milliseconds have a remainder as a fraction.
        let latency = exchange.remove("latency_us").unwrap();
        exchange.insert("ms".to_owned(), json!(latency.as_u64().map(|us| us / 1000)));
    }
    all.sort_by_key(|exchange| (exchange["at"].to_string(), exchange["client"].to_string(), exchange.to_string()));
    all
}

#[test]
fn an_archive_has_every_exchange_of_the_capture_and_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.har");
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/demo.pcap.zst");
    let written = shadowtap(&["inspect", capture, "--har", path.to_str().unwrap()]);
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    let archive: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let entries = archive["log"]["entries"].as_array().unwrap();
    for key in ["startedDateTime", "time", "request", "response", "cache", "timings"] {
        assert!(entries.iter().all(|entry| !entry[key].is_null()), "{key} is demanded by the format");
    }
    let (before, after) = (exchanges(capture), exchanges(path.to_str().unwrap()));
    assert_eq!((before.len(), entries.len()), (after.len(), before.len()));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    let again = shadowtap(&["inspect", capture, "--har", path.to_str().unwrap(), "--status", "404"]);
    assert!(again.status.success(), "its own file is written over");
    assert!(exchanges(path.to_str().unwrap()).iter().all(|exchange| exchange["status"] == 404));
}

/// What a browser writes: HTTP/2, what it had in its cache, a body in base64, and what is no request at all.
fn of_a_browser() -> Value {
    let entry = |method: &str, path: &str, more: Value| {
        let mut entry = json!({
            "_initiator": { "type": "other" },
            "_priority": "VeryHigh",
            "startedDateTime": "2026-11-21T20:15:00.123+01:00",
            "time": 12.5,
            "request": {
                "method": method, "url": format!("https://shop.example.com{path}"), "httpVersion": "http/2.0",
                "headers": [
                    { "name": ":authority", "value": "shop.example.com" }, { "name": ":method", "value": method },
                    { "name": ":path", "value": path }, { "name": ":scheme", "value": "https" },
                    { "name": "cookie", "value": "a=1; b=2" },
                ],
                "queryString": [], "cookies": [], "headersSize": -1, "bodySize": 0,
            },
            "response": {
                "status": 200, "statusText": "", "httpVersion": "http/2.0", "cookies": [],
                "headers": [{ "name": "content-encoding", "value": "br" }, { "name": "set-cookie", "value": "c=3\nd=4" }],
                "content": { "size": 2, "mimeType": "text/plain", "text": "b2s=", "encoding": "base64" },
                "redirectURL": "", "headersSize": -1, "bodySize": -1, "_transferSize": 90,
            },
            "cache": {}, "timings": { "blocked": 1.5, "dns": -1, "ssl": -1, "connect": -1, "send": 0.1, "wait": 10.0, "receive": 0.9 },
            "serverIPAddress": "[2001:db8::1]", "connection": "443", "pageref": "page_1",
        });
        for (pointer, value) in more.as_object().unwrap() {
            match entry.pointer_mut(pointer) {
                Some(place) => *place = value.clone(),
                None => drop(entry.as_object_mut().unwrap().insert(pointer[1..].to_owned(), value.clone())),
            }
        }
        entry
    };
    let post = json!({ "mimeType": "application/json", "text": "{\"café\":1}" });
    let mut posted = entry("POST", "/cart", json!({ "/request/bodySize": 11 }));
    posted["request"]["postData"] = post;
    json!({ "log": {
        "version": "1.2", "creator": { "name": "WebInspector", "version": "537.36" },
        "pages": [{ "id": "page_1", "title": "\"entries\":[", "startedDateTime": "2026-11-21T19:15:00.000Z", "pageTimings": {} }],
        "entries": [
            entry("GET", "/a?q=1#top", json!({})),
            entry("GET", "/cached", json!({ "/_fromCache": "disk" })),
            posted,
            entry("GET", "/x", json!({ "/request/url": "data:image/png;base64,AAAA" })),
            entry("GET", "/blocked", json!({ "/response/status": 0 })),
        ],
    } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_wrote_is_replayed_as_it_was_sent() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.har");
    std::fs::write(&path, format!("\u{feff}{:#}", of_a_browser())).unwrap();
    let output = shadowtap(&[
        "replay",
        path.to_str().unwrap(),
        "--to",
        &server.url("http"),
        "--speed",
        "max",
        "--allow-writes",
        "--summary",
        "-",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(summary["requests"]["seen"], 3, "{said}");
    let warnings = summary["warnings"].to_string();
    for part in ["browser's cache", "no HTTP request"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    let mut sent = server.requests();
    sent.sort();
    let starts: Vec<&str> = sent.iter().map(|request| request.lines().next().unwrap()).collect();
    assert_eq!(starts, ["GET /a?q=1 HTTP/1.1", "GET /blocked HTTP/1.1", "POST /cart HTTP/1.1"]);
    assert!(sent.iter().all(|request| request.contains("cookie: a=1; b=2") && !request.contains(":authority")));
    assert!(sent[2].contains("Content-Length: 11") && sent[2].ends_with("{\"café\":1}"), "{}", sent[2]);
    let target = &summary["targets"].as_object().unwrap().values().next().unwrap();
    assert_eq!(target["outcomes"]["sent"].as_u64().or(target["offered"].as_u64()), Some(3), "{target:#}");
}

#[test]
fn what_is_no_archive_to_the_end_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.har");
    let text = of_a_browser().to_string();
    for (text, code, part) in [
        (&text[..text.len() / 2], 2, "ends inside a request"),
        ("{\"log\":{\"version\":\"1.2\"}}", 2, "without `log.entries`"),
        ("{\"log\":{\"entries\":[]}}", 0, "0 exchanges"),
        ("{\"log\":{\"entries\":[{},,[1],{},null,\"x\"]}}", 0, "4 requests were passed over (it is no exchange)"),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = shadowtap(&["inspect", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(part) && output.status.code() == Some(code), "{text}: {said} {output:?}");
    }
}
