//! What a hostile capture, target, file or other process says never moves a terminal's cursor, and never reads otherwise
//! than it is, whichever command prints it.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;
#[path = "support/packets.rs"]
mod packets;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use files::{OwnedFrame, pcap};
use packets::Talk;
use serde_json::{Value, json};
use shadowtap::capture::LinkType;
use shadowtap::exchange::Timestamp;
use shadowtap::pipeline::{RampState, RunState, TargetState};
use shadowtap::report::TargetGuard;

/// Clears the screen, sets the title, turns text around, hides it, and begins lines of its own.
const HOSTILE: &str = "\x1b[2J\x1b]0;owned\x07\x1b[31m\x08\x7f\u{9b}2J\u{9d}0;owned\u{9c}\u{202e}gnp\u{202c}\u{2066}\u{2069}\
                       \u{200e}\u{200f}\u{61c}\u{200b}\u{feff}\u{2028}\u{2029}\u{2060}\r";
/// The same without what ends a request line before its time.
const IN_TARGET: &str = "\u{9b}2J\u{9d}0;owned\u{9c}\u{202e}gnp\u{202c}\u{2066}\u{2069}\u{200e}\u{61c}\u{200b}\u{2028}";

/// What no terminal may get: listed here anew.
fn is_hostile(c: char) -> bool {
    let code = u32::from(c);
    let is_control = code < 0x20 && c != '\n' || (0x7f..0xa0).contains(&code);
    let ranges = [(0x200b, 0x200f), (0x2028, 0x202e), (0x2060, 0x206f)];
    is_control || [0x61c, 0xfeff].contains(&code) || ranges.iter().any(|(from, to)| (*from..=*to).contains(&code))
}

#[track_caller]
fn fit(output: &Output, what: &str) -> String {
    let mut all = String::new();
    for bytes in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = text.chars().find(|c| is_hostile(*c));
        assert_eq!(found, None, "{what}: {text:?}");
        all.push_str(text);
    }
    all
}

fn shadowtap<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.env("SHADOWTAP_LOG", "trace").stdin(Stdio::null()).args(arguments).output().unwrap()
}

fn body(value: &str) -> String {
    json!({ "same": 1, format!("key{HOSTILE}"): format!("{value}{HOSTILE}") }).to_string().replace("\\u007f", "\x7f")
}

fn response(value: &str) -> Vec<u8> {
    let body = body(value);
    let kind = format!("application/json; x=\"{IN_TARGET}\"");
    let head = format!("HTTP/1.1 200 {IN_TARGET}\r\nContent-Type: {kind}\r\nX-{value}: {IN_TARGET}\r\n");
    format!("{head}Set-Cookie: a={IN_TARGET}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Exchanges in which everything is hostile that a capture can make so.
fn capture(folder: &Path) -> PathBuf {
    let mut talk = Talk::open();
    for n in 0..40 {
        let path = format!("/v2/{IN_TARGET}/{n}?q{IN_TARGET}={IN_TARGET}");
        let more = format!("User-Agent: {IN_TARGET}\r\nX-{n}: {IN_TARGET}\r\n");
        talk = talk.client(format!("GET {path} HTTP/1.1\r\nHost: {IN_TARGET}\r\n{more}\r\n")).server(response("old"));
    }
    talk = talk.close();
    for line in [format!("GET /{HOSTILE} HTTP/1.1"), format!("G{HOSTILE} / HTTP/1.1"), format!("GET / HTTP/{HOSTILE}")]
    {
        let one = Talk::open().between("10.0.0.9:4000", "10.0.0.2:80");
        talk = talk.then(one.client(format!("{line}\r\nHost: tv\r\n\r\n")).server(response("old")).close());
    }
    let shots = talk.capture().shots;
    let frames: Vec<OwnedFrame> = shots
        .into_iter()
        .map(|shot| OwnedFrame {
            at: Timestamp::from_nanos(shot.at),
            link: LinkType::ETHERNET,
            wire_len: u32::try_from(shot.wire_len).unwrap(),
            data: shot.data,
        })
        .collect();
    let path = folder.join(format!("hostile{}.pcap", HOSTILE.replace('/', "")));
    std::fs::write(&path, pcap(&frames, false, true)).unwrap();
    path
}

/// A target that answers as badly.
fn target() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut from = BufReader::new(stream.try_clone().unwrap());
                let mut line = Vec::new();
                while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    if line == b"\r\n" && (&stream).write_all(&response("new")).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    url
}

#[test]
fn a_hostile_capture_is_shown_by_no_command_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let capture = capture(folder.path());
    let file = |name: &str| folder.path().join(name);
    let capture = capture.as_os_str();
    for view in [&[][..], &["--stats"], &["--forecast"], &["--status", "none"]] {
        let output = shadowtap(
            [&[OsStr::new("inspect"), capture][..], &view.iter().map(OsStr::new).collect::<Vec<_>>()].concat(),
        );
        let all = fit(&output, &format!("inspect {view:?}"));
        assert!(output.status.success(), "{all}");
    }
    let lines = fit(&shadowtap([OsStr::new("inspect"), capture]), "inspect");
    assert!(lines.contains("GET  /v2/\u{fffd}2J\u{fffd}0;owned"), "{lines}");
    // JSON has everything as it was.
    let exact = shadowtap([OsStr::new("inspect"), capture, OsStr::new("--json")]);
    let first: Value = serde_json::from_slice(exact.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(first["target"], format!("/v2/{IN_TARGET}/0?q{IN_TARGET}={IN_TARGET}"));

    let url = target();
    let (summary, results, page) = (file("summary.json"), file("results.jsonl"), file("page.html"));
    let run = |more: &[&OsStr]| {
        let words =
            ["replay", "--to", url.as_str(), "--speed", "max", "--compare-header", "x-new", "--fail-if", "errors>50%"];
        shadowtap([&words.map(OsStr::new)[..], &[capture], more].concat())
    };
    let (results_flag, summary_flag, page_flag) =
        (OsStr::new("--results"), OsStr::new("--summary"), OsStr::new("--report"));
    let output =
        run(&[results_flag, results.as_os_str(), summary_flag, summary.as_os_str(), page_flag, page.as_os_str()]);
    let all = fit(&output, "replay");
    assert!(all.contains("Requests"), "{all}");
    let told: Value = serde_json::from_slice(&std::fs::read(&summary).unwrap()).unwrap();
    assert!(told.to_string().contains("\u{202e}gnp"), "the summary has what was seen");
    fit(&run(&[OsStr::new("--log-format"), OsStr::new("json")]), "replay with a log of JSON");
    fit(&run(&[OsStr::new("--allow-host"), OsStr::new(HOSTILE)]), "a flag");
    for of in [&summary, &results] {
        let all = fit(&shadowtap([OsStr::new("report"), of.as_os_str()]), "report");
        assert!(all.contains("Requests"), "{all}");
    }
    fit(
        &shadowtap([OsStr::new("report"), summary.as_os_str(), OsStr::new("--against"), results.as_os_str()]),
        "against",
    );
    // A summary can be from anybody.
    let spoilt = std::fs::read_to_string(&summary).unwrap().replace(&url, &url.replace("http", &escaped(HOSTILE)));
    std::fs::write(&summary, spoilt.replace("\"replay\"", &format!("\"{}\"", escaped(HOSTILE)))).unwrap();
    fit(&shadowtap([OsStr::new("report"), summary.as_os_str()]), "report of a hostile summary");
}

/// As it stands in a string of JSON.
fn escaped(text: &str) -> String {
    Value::from(text).to_string().trim_matches('"').to_owned()
}

#[test]
fn files_and_words_that_are_hostile_are_told_without_being_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let name = |begin: &str| folder.path().join(format!("{begin}{HOSTILE}"));
    let missing = name("missing");
    let chain = name("chain.toml");
    let quoted = escaped(HOSTILE).replace('\x7f', "\\u007f").replace(|c| ('\u{80}'..'\u{a0}').contains(&c), "\\u009b");
    let text = "[[link]]\nname = \"a\"\ndrop = { path = \"^/a\" }\n";
    let case = format!("[[test]]\nname = \"{quoted}\"\nrequest = \"GET /a\"\noutcome = \"filtered: b\"\n");
    std::fs::write(&chain, format!("{text}{case}")).unwrap();
    let told = fit(&shadowtap([OsStr::new("filters"), OsStr::new("check"), chain.as_os_str()]), "filters check");
    assert!(told.contains("FAILED"), "{told}");
    std::fs::write(&chain, format!("[[link]]\n\"{quoted}\" = \"{quoted}\"\n")).unwrap();
    let told = fit(&shadowtap([OsStr::new("filters"), OsStr::new("check"), chain.as_os_str()]), "filters check");
    assert!(told.contains("1 mistake"), "{told}");
    let missing = missing.as_os_str();
    for words in [
        &["inspect"][..],
        &["report"],
        &["replay", "--to", "http://127.0.0.1:1"],
        &["replay", "x.pcap", "--to"],
        &["replay", "x.pcap", "--to", "http://127.0.0.1:1", "--filters"],
        &["replay", "x.pcap", "--to", "http://127.0.0.1:1", "--compare"],
        &["replay", "x.pcap", "--to", "http://127.0.0.1:1", "--routes"],
        &["replay", "x.pcap", "--to", "http://127.0.0.1:1", "--allow-path"],
        &["control", "status", "--socket"],
        &["control"],
        &[],
        &["inspect", "x.pcap", "--bpf"],
        &["inspect", "x.pcap", "--sample"],
        &["record", "-i", "lo", "-o"],
    ] {
        let output = shadowtap(words.iter().map(OsStr::new).chain([missing]));
        let told = fit(&output, &format!("{words:?}"));
        assert!(!output.status.success() && told.contains('\u{fffd}'), "{words:?}: {told}");
    }
    fit(&shadowtap(["interfaces"]), "interfaces");
    fit(&shadowtap(["replay", "--help"]), "help");
    fit(&shadowtap(["replay", "--help", "all"]), "all help");
    let first = fit(&shadowtap::<&str>([]), "first steps");
    assert!(first.contains("shadowtap demo"), "{first}");
}

#[test]
fn a_run_that_answers_with_escape_sequences_is_shown_without() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut guard = TargetGuard::default();
    (guard.held_share, guard.reason) = (0.5, Some(HOSTILE.to_owned()));
    let ramp = RampState { step: 1, steps: 2, held: Some(HOSTILE.to_owned()) };
    let target = |guard| TargetState { target: HOSTILE.to_owned(), guard, waits_for: Some(HOSTILE.to_owned()) };
    let state = RunState {
        share: 1.0,
        paused: true,
        stopping: false,
        ramp: Some(ramp),
        targets: vec![target(Some(guard)), target(None)],
        saves: None,
    };
    let state = serde_json::to_string(&state).unwrap();
    let answers = [state, json!({ "error": HOSTILE }).to_string(), HOSTILE.to_owned()];
    let server = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_to_string(&mut String::new()).unwrap();
            stream.write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
    });
    let ask = || shadowtap([OsStr::new("control"), OsStr::new("status"), OsStr::new("--socket"), socket.as_os_str()]);
    let told = fit(&ask(), "control");
    assert!(told.contains("share 100%") && told.contains("; last: \u{fffd}[2J"), "{told}");
    assert_eq!(told.lines().count(), 3, "{told}");
    let told = fit(&ask(), "a refusal");
    assert!(told.contains("\u{fffd}[2J"), "{told}");
    fit(&ask(), "nonsense");
    server.join().unwrap();
}
