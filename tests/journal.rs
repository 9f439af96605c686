//! Recordings, end to end: what is written is read again, by the library and by the program.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;
#[path = "support/server.rs"]
mod server;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use server::{Server, answer};
use shadowtap::capture::{FileSource, Halt, Settings};
use shadowtap::exchange::{Damage, Event, Framing, RequestState, Timestamp};
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::pipeline;
use shadowtap::recording::record::FLUSH_EVERY;
use shadowtap::recording::{ExchangeJoin, JoinedExchange};
use shadowtap::recording::{Origin, OutputPath, Recorder, Rotation};
use tempfile::TempDir;

const KEEP: BodyPolicies = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };

fn shadowtap(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.env_remove("SHADOWTAP_LOG").stdin(Stdio::null()).args(arguments).output().unwrap()
}

fn testdata(name: &str) -> String {
    format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The small captures, one behavior each.
fn captures() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(testdata("")).unwrap().map(|entry| entry.unwrap().path());
    let mut captures: Vec<_> =
        folder.filter(|file| file.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng")).collect();
    captures.sort();
    assert!(captures.len() > 10);
    captures
}

/// Records the exchanges of a capture.
fn record(capture: &Path, to: &Path) -> shadowtap::recording::Recorded {
    let mut recorder = Recorder::new(OutputPath::new(to).unwrap(), Rotation::default());
    let source = FileSource::open(capture, &Halt::default()).unwrap();
    pipeline::inspect(source, &Settings::default(), KEEP, &mut |event| {
        recorder.event(event);
        true
    })
    .unwrap();
    let result = recorder.finish();
    assert_eq!(recorder.take_notices(), Vec::<String>::new());
    result
}

/// The exchanges of captures or recordings, and what went wrong.
fn read(files: &[PathBuf]) -> (Vec<JoinedExchange>, Vec<String>) {
    let settings = Settings { files: files.to_vec(), ..Settings::default() };
    let origin: Origin = shadowtap::recording::open(&settings).unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut exchanges = ExchangeJoin::default();
    let mut ended = Vec::new();
    let engine = pipeline::inspect(origin, &settings, KEEP, &mut |event| {
        exchanges.take(event, |exchange| ended.push(exchange));
        true
    })
    .unwrap();
    exchanges.finish(|exchange| ended.push(exchange));
    (ended, engine.warnings)
}

/// What a format that holds bytes and times has of an exchange: all but ids and addresses.
fn held(exchange: &JoinedExchange) -> String {
    let mut held = String::new();
    let JoinedExchange { request, response } = exchange;
    let body = |body: &shadowtap::exchange::Body| {
        format!("{:?} {} {:?} {:?}", body.framing, body.len, body.sha256, body.wire.as_deref().unwrap_or_default())
    };
    write!(held, "{:?} {} {}-{}", request.head, body(&request.body), request.first_byte, request.last_byte).unwrap();
    match response {
        Ok(response) => {
            let (first, last) = (response.first_byte, response.last_byte);
            write!(held, " -> {} {:?} {} {first}-{last}", response.status, response.head, body(&response.body))
                .unwrap();
            write!(held, " {:?} {}", response.damage, response.opaque).unwrap();
        }
        Err(why) => write!(held, " -> {why}").unwrap(),
    }
    held
}

#[test]
fn lines_of_every_capture_are_read_back_to_the_same_lines() {
    let folder = TempDir::new().unwrap();
    for capture in captures() {
        let once = shadowtap(&["inspect", capture.to_str().unwrap(), "--json", "--full"]).stdout;
        let file = folder.path().join("once.jsonl");
        std::fs::write(&file, &once).unwrap();
        let again = shadowtap(&["inspect", file.to_str().unwrap(), "--json", "--full"]);
        assert!(!once.is_empty() && again.status.success());
        assert_eq!(text(&again.stdout), text(&once), "{}", capture.display());
    }
}

#[test]
fn what_the_recorder_writes_as_lines_is_what_inspect_prints() {
    let folder = TempDir::new().unwrap();
    for capture in captures() {
        for ending in ["jsonl", "jsonl.gz", "jsonl.zst"] {
            let file = folder.path().join(format!("{}.{ending}", capture.file_stem().unwrap().display()));
            record(&capture, &file);
            let arguments = |file: &Path| shadowtap(&["inspect", file.to_str().unwrap(), "--json", "--full"]).stdout;
            assert_eq!(text(&arguments(&file)), text(&arguments(&capture)), "{}", capture.display());
        }
    }
}

#[test]
fn gor_holds_whole_exchanges_to_the_nanosecond_and_counts_the_rest() {
    let folder = TempDir::new().unwrap();
    for capture in captures() {
        let file = folder.path().join(format!("{}.gor.zst", capture.file_stem().unwrap().display()));
        let result = record(&capture, &file);
        let (mut expected, _) = read(std::slice::from_ref(&capture));
        let seen = expected.len();
        expected.retain(|exchange| exchange.request.state == RequestState::Whole);
        let (found, warnings) = read(&[file]);
        assert_eq!(warnings, Vec::<String>::new());
        let damaged = result.left_out.get("response_damaged").copied().unwrap_or_default();
        let left_out = result.left_out.values().sum::<u64>() - damaged;
        assert_eq!(found.len(), expected.len(), "{}", capture.display());
        assert_eq!(left_out, (seen - expected.len()) as u64, "{}: {:?}", capture.display(), result.left_out);
        for exchange in &mut expected {
            match &mut exchange.response {
                // The head is what is held of a damaged one.
                Ok(response) if response.damage.is_some() && response.body.framing == Framing::UntilClose => {
                    exchange.response = Err(Damage::NoResponse);
                }
                Ok(response) if response.damage.is_some() => {
                    response.damage = Some(Damage::Cut);
                    (response.body.len, response.body.sha256, response.body.wire) = (0, None, None);
                }
                Err(why) => *why = Damage::NoResponse,
                Ok(_) => {}
            }
        }
        let mut expected: Vec<_> = expected.iter().map(held).collect();
        let mut found: Vec<_> = found.iter().map(held).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{}", capture.display());
    }
}

#[test]
fn pipelined_requests_keep_their_responses() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pipelined.gor");
    record(Path::new(&testdata("pipelined.pcap")), &file);
    let lines = text(&shadowtap(&["inspect", file.to_str().unwrap()]).stdout);
    let of = |line: &str| line.split_whitespace().skip(3).map(str::to_owned).collect::<Vec<_>>();
    let capture = text(&shadowtap(&["inspect", &testdata("pipelined.pcap")]).stdout);
    assert_eq!(lines.lines().map(of).collect::<Vec<_>>(), capture.lines().map(of).collect::<Vec<_>>());
}

#[test]
fn a_recording_of_goreplay_is_inspected() {
    let output = shadowtap(&["inspect", &testdata("goreplay.gor.gz")]);
    insta::assert_snapshot!(text(&output.stdout), @"
    20:00:00.000 1.1    192.0.2.7          200   130ms     0B     5B  GET  /v2/channels
    20:00:00.200 3.1    0.0.0.0            304  50.0ms     0B     0B  GET  /v2/epg
    20:00:00.100 2.1    192.0.2.8          202   158ms    11B     0B  POST /v2/events
    20:00:00.300 1.2    192.0.2.7            -       -     0B      -  HEAD /v2/poster.jpg  [no-response]
    ");
    let said = text(&output.stderr).replace("\n  ", " ");
    assert!(said.starts_with("4 exchanges\n"), "{said}");
    assert!(said.contains("a record was passed over (responses of a replay, type 3): is record 4"), "{said}");
    let stats = text(&shadowtap(&["inspect", &testdata("goreplay.gor.gz"), "--stats"]).stdout);
    assert!(stats.contains("/v2/channels") && stats.contains("/v2/poster.jpg"), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_goreplay_is_replayed_in_its_order_and_not_before_its_time() {
    let server = Server::start(|_| vec![answer("200 OK", "hello")]).await;
    let (url, folder) = (server.url("http"), TempDir::new().unwrap());
    let summary = folder.path().join("run.json");
    let to_file = format!("--summary={}", summary.display());
    let run = move || {
        let file = testdata("goreplay.gor.gz");
        shadowtap(&["replay", &file, "--to", &url, "--allow-writes", "--max-in-flight=1", &to_file])
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<_> = server.requests().iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    let expected = [
        "GET /v2/channels HTTP/1.1",
        "POST /v2/events HTTP/1.1",
        "GET /v2/epg HTTP/1.1",
        "HEAD /v2/poster.jpg HTTP/1.1",
    ];
    assert_eq!(lines, expected);
    let summary: Value = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    assert_eq!((&summary["requests"]["seen"], &summary["requests"]["offered"]), (&4.into(), &4.into()));
    // The last request was asked 300 ms after the first.
    assert!(summary["duration_s"].as_f64().unwrap() >= 0.3, "{summary}");
    let matrix = &summary["targets"].as_object().unwrap().values().next().unwrap()["matrix"];
    assert_eq!((&matrix["304"]["200"], &matrix["none"]["200"]), (&1.into(), &1.into()), "{matrix}");
}

#[test]
fn several_recordings_are_one_and_a_response_finds_its_request_in_the_file_before() {
    let folder = TempDir::new().unwrap();
    let whole = folder.path().join("whole.gor");
    record(Path::new(&testdata("keep-alive.pcap")), &whole);
    let bytes = std::fs::read(&whole).unwrap();
    // Cut between the first request and its response.
    let cut = bytes.windows(3).position(|three| three == b"\n2 ").unwrap() + 1;
    let first = files::write(&folder, "first.gor", &bytes[..cut]);
    let second = files::write(&folder, "second.gor", &bytes[cut..]);
    let expected: Vec<_> = read(&[whole]).0.iter().map(held).collect();
    assert!(expected.len() > 1);
    // In whichever order they are named.
    let found: Vec<_> = read(&[second, first]).0.iter().map(held).collect();
    assert_eq!(found, expected);
}

#[test]
fn connections_of_several_machines_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let (one, other) = (folder.path().join("one.jsonl"), folder.path().join("other.jsonl"));
    record(Path::new(&testdata("keep-alive.pcap")), &one);
    record(Path::new(&testdata("ipv6.pcap")), &other);
    let count = |files: &[PathBuf]| {
        let (exchanges, warnings) = read(files);
        assert_eq!(warnings, Vec::<String>::new());
        let ids: std::collections::BTreeSet<_> = exchanges.iter().map(|exchange| exchange.request.id).collect();
        assert_eq!(ids.len(), exchanges.len(), "ids are unique");
        let connections: std::collections::BTreeSet<_> = ids.iter().map(|id| id.connection).collect();
        (exchanges.len(), connections.len())
    };
    let (a, b) = (count(std::slice::from_ref(&one)), count(std::slice::from_ref(&other)));
    assert_eq!(count(&[one, other]), (a.0 + b.0, a.1 + b.1));
}

#[test]
fn a_file_that_was_cut_says_so_and_gives_what_is_whole_before() {
    let folder = TempDir::new().unwrap();
    for ending in ["gor", "jsonl"] {
        let whole = folder.path().join(format!("whole.{ending}"));
        record(Path::new(&testdata("keep-alive.pcap")), &whole);
        let bytes = std::fs::read(&whole).unwrap();
        let cut = files::write(&folder, &format!("cut.{ending}"), &bytes[..bytes.len() - 12]);
        let ((exchanges, warnings), (all, _)) = (read(&[cut]), read(&[whole]));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("what wrote it was stopped, or still writes; "), "{warnings:?}");
        // Of .gor the last record is a response.
        assert_eq!(exchanges.len(), if ending == "gor" { all.len() } else { all.len() - 1 });
    }
}

#[test]
fn what_a_recorder_wrote_that_was_killed_is_read() {
    let folder = TempDir::new().unwrap();
    for ending in ["gor", "gor.gz", "gor.zst", "jsonl", "jsonl.gz", "jsonl.zst"] {
        let file = folder.path().join(format!("a.{ending}"));
        let mut recorder = Recorder::new(OutputPath::new(&file).unwrap(), Rotation::default());
        let source = FileSource::open(Path::new(&testdata("keep-alive.pcap")), &Halt::default()).unwrap();
        let (mut ended, mut last) = (0, Timestamp::default());
        pipeline::inspect(source, &Settings::default(), KEEP, &mut |event| {
            if let Event::Response { response, .. } = &event {
                last = response.last_byte;
                ended += 1;
            }
            recorder.event(event);
            true
        })
        .unwrap();
        recorder.tick(last.plus(FLUSH_EVERY));
        // As it is now: a recorder that goes ends its file.
        let killed = folder.path().join(format!("killed.{ending}"));
        std::fs::copy(&file, &killed).unwrap();
        let (exchanges, warnings) = read(&[killed]);
        assert!(ended > 10 && exchanges.len() == ended, "{ending}: {} of {ended}", exchanges.len());
        assert!(exchanges.iter().all(|exchange| exchange.response.is_ok()));
        let said = warnings.iter().filter(|words| words.contains("ends before its compression does")).count();
        assert_eq!((said, warnings.len()), if ending.contains('.') { (1, 1) } else { (0, 0) }, "{warnings:?}");
    }
}

#[test]
fn bad_records_and_lines_are_passed_over_with_their_place_and_the_rest_is_read() {
    let folder = TempDir::new().unwrap();
    let lines = folder.path().join("whole.jsonl");
    record(Path::new(&testdata("keep-alive.pcap")), &lines);
    let good = std::fs::read(&lines).unwrap();
    let all = read(&[lines]).0.len();
    let mut bytes = good.clone();
    bytes.extend_from_slice(b"{\"kind\":\"summary\"}\n\nnonsense\n");
    bytes.extend_from_slice(text(&good).lines().next().unwrap().replace("\"complete\"", "\"fine\"").as_bytes());
    bytes.push(b'\n');
    let (exchanges, warnings) = read(&[files::write(&folder, "bad.jsonl", &bytes)]);
    assert_eq!(exchanges.len(), all);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let first =
        format!("3 lines were passed over (it is no exchange), the first is line {}: missing field `id`", all + 1);
    assert!(warnings[0].contains(&first), "{warnings:?}");

    let separator = "\n\u{1f435}\u{1f648}\u{1f649}\n";
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let gor = format!(
        "1 a 1000000 0\n{get}{separator}1 b\n{get}{separator}1 c 2000000 0\n\x16\x03\x01{separator}1 d 3000000\n{get}{separator}"
    );
    let (exchanges, warnings) = read(&[files::write(&folder, "bad.gor", gor.as_bytes())]);
    assert_eq!(exchanges.len(), 2);
    assert!(warnings[0].contains("(it is no HTTP/1 request): is record 3"), "{warnings:?}");
    assert!(warnings[1].contains("(its first line is not `TYPE ID TIME [LATENCY]`): is record 2"), "{warnings:?}");
}

/// Checks that a command line is refused with this mistake.
#[track_caller]
fn refused(arguments: &[&str], mistake: &str) {
    let output = shadowtap(arguments);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), format!("error: {mistake}\n")));
}

#[test]
fn what_cannot_be_asked_of_a_recording_is_refused_with_advice() {
    let folder = TempDir::new().unwrap();
    let gor = testdata("goreplay.gor.gz");
    refused(
        &["inspect", &gor, "--port", "80"],
        &format!("--port: {gor} does not say which server a request was sent to: choose with --allow-host"),
    );
    refused(
        &["inspect", &gor, "--bpf", "port 80"],
        &format!("--bpf: {gor} has requests, no packets: choose with --allow-host, --allow-path and the like"),
    );
    refused(
        &["inspect", &gor, "--forecast"],
        "--forecast: a recording does not say when connections began and ended: ask a capture",
    );
    let capture = testdata("keep-alive.pcap");
    refused(
        &["inspect", &gor, &capture],
        &format!("{capture} is a capture and {gor} is a recording of requests: read them one after the other"),
    );
    let brief = shadowtap(&["inspect", &capture, "--json"]).stdout;
    let brief = files::write(&folder, "brief.jsonl", &brief);
    let brief = brief.to_str().unwrap();
    refused(
        &["inspect", brief],
        &format!("{brief} has exchanges without their messages: write it with inspect --json --full, or record it"),
    );
    let results = files::write(&folder, "results.jsonl", b"{\"id\":\"1.1\",\"outcome\":\"sent\"}\n");
    let results = results.to_str().unwrap();
    refused(
        &["replay", results, "--to", "http://127.0.0.1:9"],
        &format!("{results} has the results of a run, not a recording: requests are in what that run read"),
    );
}

#[test]
fn lines_can_be_chosen_by_the_port_of_their_server() {
    let folder = TempDir::new().unwrap();
    let lines = folder.path().join("a.jsonl");
    record(Path::new(&testdata("keep-alive.pcap")), &lines);
    let lines = lines.to_str().unwrap();
    let count = |port: &str| text(&shadowtap(&["inspect", lines, "-p", port]).stdout).lines().count();
    assert!(count("18081") > 1);
    assert_eq!(count("81"), 0);
}

#[test]
fn standard_input_is_read_as_well() {
    let folder = TempDir::new().unwrap();
    let gor = folder.path().join("a.gor.gz");
    record(Path::new(&testdata("keep-alive.pcap")), &gor);
    let mut child = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
        .args(["inspect", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(&gor).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), text(&shadowtap(&["inspect", gor.to_str().unwrap()]).stdout));
    assert!(!output.stdout.is_empty());
}
