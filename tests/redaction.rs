//! Redaction, end to end: invented personal data in each form is recorded, and searched for in what is on disk.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use packets::{Capture, Talk};
use shadowtap::capture;
use shadowtap::middleware::file::Environment;
use shadowtap::middleware::{ChainFile, ChainSettings};
use shadowtap::pipeline::{self, Feed, Progress, Run};
use shadowtap::recording::{OutputPath, Recorder, Rotation};
use shadowtap::report::Summary;

const CHAIN: &str = r#"
[[link]]
redact = { header = "X-Api-Key", cookie = "sid", param = "mail", json = ["/user/mail", "..token"], how = "mask" }
"#;

type Message = (String, Vec<u8>);

/// A message with this start line, these header lines and this body.
fn message(start: &str, lines: &str, body: &[u8]) -> Message {
    (format!("{start}\r\n{lines}Content-Length: {}\r\n\r\n", body.len()), body.to_vec())
}

fn post(lines: &str, body: impl AsRef<[u8]>) -> (Message, Message) {
    (message("POST /a HTTP/1.1", lines, body.as_ref()), message("HTTP/1.1 204 No Content", "", b""))
}

fn response(lines: &str, body: impl AsRef<[u8]>) -> (Message, Message) {
    (message("GET /a HTTP/1.1", "", b""), message("HTTP/1.1 200 OK", lines, body.as_ref()))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// One block that is stored (RFC 7932, 9.2), and the last one.
fn brotli(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len() - 1).unwrap();
    let head = [0x0b | u8::from(len & 1 == 1) << 7, u8::try_from(len >> 1 & 0xff).unwrap(), 0x80];
    [&head[..], bytes, b"\x03"].concat()
}

/// An exchange for each form in which personal data travels.
#[expect(clippy::too_many_lines, reason = "a table: one row for each form")]
fn forms() -> Vec<(&'static str, String, (Message, Message))> {
    const JSON: &str = "Content-Type: application/json\r\n";
    let coded = |coding: &str| format!("{JSON}Content-Encoding: {coding}\r\n");
    let names = [
        "header",
        "cookie",
        "query",
        "referer",
        "json",
        "bom",
        "ndjson",
        "in-string",
        "broken",
        "latin-1",
        "form",
        "multipart",
        "gzip",
        "br",
        "deflate",
        "zstd",
        "not-gzip",
        "xml",
        "csv",
        "response",
        "response-gzip",
        "response-br",
        "response-deflate",
        "response-zstd",
        "response-twice",
        "response-ndjson",
        "response-form",
        "response-jsonp",
        "response-page",
        "set-cookie",
        "response-header",
        "location",
    ];
    let all = names.into_iter().map(|name| {
        let secret = format!("jo.{name}@invented.example");
        let json = format!("{{\"user\":{{\"mail\":\"{secret}\"}},\"list\":[{{\"token\":\"{secret}\"}}]}}");
        let bytes = json.as_bytes();
        let exchange = match name {
            "header" => post(&format!("X-Api-Key: {secret}\r\n"), ""),
            "cookie" => post(&format!("Cookie: a=1; sid={secret}\r\n"), ""),
            "query" => (
                message(&format!("GET /a?mail={secret}&b=1 HTTP/1.1"), "", b""),
                message("HTTP/1.1 204 No Content", "", b""),
            ),
            "referer" => post(&format!("Referer: http://h/?mail={secret}\r\n"), ""),
            "json" => post(JSON, &json),
            "bom" => post(JSON, format!("\u{feff}{json}")),
            "ndjson" => post("Content-Type: application/x-ndjson\r\n", format!("{{}}\n{json}\n")),
            "in-string" => {
                let inner = format!("{{\"token\":\"{secret}\"}}");
                post(JSON, serde_json::json!({ "Type": "Notification", "Message": inner }).to_string())
            }
            "broken" => post(JSON, format!("{json},")),
            "latin-1" => post(JSON, [&b"{\"a\":\"\xf6\",\"token\":\""[..], secret.as_bytes(), b"\"}"].concat()),
            "form" => post("Content-Type: application/x-www-form-urlencoded\r\n", format!("a=1&mail={secret}")),
            "multipart" => post(
                "Content-Type: multipart/form-data; boundary=b\r\n",
                format!("--b\r\nContent-Disposition: form-data; name=\"mail\"\r\n\r\n{secret}\r\n--b--\r\n"),
            ),
            "gzip" => post(&coded("gzip"), gzip(bytes)),
            "br" => post(&coded("br"), brotli(bytes)),
            "deflate" => post(&coded("deflate"), zlib(bytes)),
            "zstd" => post(&coded("zstd"), zstd::encode_all(bytes, 3).unwrap()),
            "not-gzip" => post(&coded("gzip"), &json),
            "xml" => post("Content-Type: text/xml\r\n", format!("<mail>{secret}</mail>")),
            "csv" => post("Content-Type: text/csv\r\n", format!("id,mail\r\n7,{secret}\r\n")),
            "response" => response(JSON, &json),
            "response-gzip" => response(&coded("gzip"), gzip(bytes)),
            "response-br" => response(&coded("br"), brotli(bytes)),
            "response-deflate" => response(&coded("deflate"), zlib(bytes)),
            "response-zstd" => response(&coded("zstd"), zstd::encode_all(bytes, 3).unwrap()),
            "response-twice" => response(&coded("br, gzip"), gzip(&brotli(bytes))),
            "response-ndjson" => response("Content-Type: text/plain\r\n", format!("\u{feff}{{}}\n{json}\n")),
            "response-form" => {
                response("Content-Type: application/x-www-form-urlencoded\r\n", format!("a=1&mail={secret}"))
            }
            "response-jsonp" => response("Content-Type: application/javascript\r\n", format!("/**/cb({json});")),
            "response-page" => {
                response("Content-Type: text/html\r\n", format!("<script>window.u = {{ mail: '{secret}' }}</script>"))
            }
            "set-cookie" => response(&format!("Set-Cookie: sid={secret}; Path=/\r\n"), ""),
            "response-header" => response(&format!("X-Api-Key: {secret}\r\n"), ""),
            _ => response(&format!("Location: /next?mail={secret}\r\n"), ""),
        };
        (name, secret, exchange)
    });
    all.collect()
}

/// Every exchange on a connection of its own.
fn capture() -> Capture {
    let talks = forms().into_iter().enumerate().map(|(n, (_, _, (request, response)))| {
        Talk::open()
            .between(&format!("10.1.0.{n}:5000"), "10.0.0.1:80")
            .numbered(1_000_000 * u32::try_from(n + 1).unwrap(), 77_000_000 * u32::try_from(n + 1).unwrap())
            .client([request.0.into_bytes(), request.1].concat())
            .server([response.0.into_bytes(), response.1].concat())
            .close()
            .capture()
    });
    talks.reduce(Capture::with).unwrap()
}

/// Records all of it through these chains; returns what the file holds too.
fn record(chains: &[&str], to: &Path) -> (Summary, Vec<u8>) {
    let files =
        chains.iter().map(|text| ChainFile::parse(text, Path::new("chain.toml"), &Environment::for_checks()).unwrap());
    let run = Run {
        command: "record",
        feed: Feed::Live(Box::new(capture().source())),
        middleware: ChainSettings { allow_writes: true, files: files.collect(), ..ChainSettings::default() },
        recorder: Some(Box::new(Recorder::new(OutputPath::new(to).unwrap(), Rotation::default()))),
        ..Run::of_files(Box::new(capture::MemorySource::new()))
    };
    // Asked to end before it has begun: what is captured by then is recorded all the same.
    let summary = pipeline::run(run, &Arc::new(Progress::default()), std::future::ready(())).unwrap();
    assert!(summary.balances(), "{summary:#?}");
    (summary, std::fs::read(to).unwrap())
}

/// What is on disk, and all that comes out of it: compressed files, base64 in lines, and bodies behind their coding, be they
/// in lines or behind the heads of a `.gor`.
fn unpacked(file: &[u8]) -> Vec<u8> {
    let mut all = file.to_vec();
    if let Ok(plain) = zstd::decode_all(file) {
        all.extend(plain);
    }
    let lines =
        all.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let parts = lines.flat_map(|line| {
        let part = |at: &str| {
            let text = line.pointer(at).and_then(|part| part.as_str().map(str::to_owned));
            data_encoding::BASE64.decode(text.unwrap_or_default().as_bytes()).unwrap_or_default()
        };
        ["/request/head", "/request/body", "/response/head", "/response/body"].map(part)
    });
    let mut parts: Vec<Vec<u8>> = parts.collect();
    let plain: Vec<usize> = memchr::memmem::find_iter(&all, b"\r\n\r\n").collect();
    parts.extend(plain.into_iter().map(|at| all[at + 4..].to_vec()));
    for part in parts {
        let mut plain = Vec::new();
        // What is not in that coding gives nothing.
        flate2::read::GzDecoder::new(&part[..]).read_to_end(&mut plain).ok();
        flate2::read::ZlibDecoder::new(&part[..]).read_to_end(&mut plain).ok();
        // Something else may stand behind it.
        if let Ok(coded) = zstd::Decoder::new(&part[..]) {
            coded.single_frame().read_to_end(&mut plain).ok();
        }
        all.extend(plain);
        all.extend(part);
    }
    all
}

fn leaks(file: &[u8]) -> Vec<&'static str> {
    let all = unpacked(file);
    let has = |secret: &str| memchr::memmem::find(&all, secret.as_bytes()).is_some();
    forms().into_iter().filter(|(_, secret, _)| has(secret)).map(|(name, ..)| name).collect()
}

/// Forms of which the body cannot be looked into.
const UNREADABLE: [&str; 6] = ["broken", "not-gzip", "xml", "csv", "response-jsonp", "response-page"];

#[test]
fn personal_data_in_any_form_is_nowhere_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<_> = forms().into_iter().map(|(name, ..)| name).collect();
    let (_, open) = record(&[], &folder.path().join("open.jsonl"));
    assert_eq!(leaks(&open), names, "the search finds what is there");
    let (_, open) = record(&[], &folder.path().join("open.gor"));
    assert_eq!(leaks(&open), names, "in a .gor, too");
    for name in ["a.jsonl", "a.jsonl.zst", "a.gor"] {
        let (summary, file) = record(&[CHAIN], &folder.path().join(name));
        assert_eq!(leaks(&file), Vec::<&str>::new(), "{name}");
        assert_eq!(summary.requests.seen, names.len() as u64);
        let redaction = summary.redaction.unwrap();
        assert_eq!((redaction.body_dropped, redaction.dropped, redaction.kept), (6, 0, 0), "{UNREADABLE:?}");
        let told = "6 bodies were dropped because redact cannot look into them";
        assert!(summary.warnings.iter().any(|warning| warning.starts_with(told)), "{:?}", summary.warnings);
    }
}

#[test]
fn what_cannot_be_looked_into_is_dropped_whole_or_kept_where_a_chain_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let chain = |what: &str| CHAIN.replace("how = ", &format!("on-unknown = \"{what}\", how = "));
    let (summary, file) = record(&[&chain("drop")], &folder.path().join("drop.jsonl"));
    assert_eq!((leaks(&file), summary.redaction.unwrap().dropped), (Vec::new(), 6));
    // Of responses the request stays.
    assert_eq!(summary.requests.ended.filtered.get("redact"), Some(&4));
    let (summary, file) = record(&[&chain("keep")], &folder.path().join("keep.jsonl"));
    assert_eq!((leaks(&file), summary.redaction.unwrap().kept), (UNREADABLE.to_vec(), 6));
}
