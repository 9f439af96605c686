//! Other systems that are told of a run: a collector of traces, and a webhook, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "what breaks here fails its test"
)]

#[path = "support/server.rs"]
mod server;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use server::{Server, answer};

/// Takes requests, and answers each with a status; with 0 never.
struct Receiver {
    port: u16,
    /// Path and body of each request.
    taken: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    fn start(status: impl Fn(usize) -> u16 + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::<Mutex<Vec<_>>>::default();
        let notes = Arc::clone(&taken);
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some((path, body)) = read_request(&mut stream) else { continue };
                let number = {
                    let mut notes = notes.lock().unwrap();
                    notes.push((path, body));
                    notes.len()
                };
                match status(number) {
                    0 => held.push(stream),
                    status => {
                        let response =
                            format!("HTTP/1.1 {status} x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
                        stream.write_all(response.as_bytes()).unwrap();
                    }
                }
            }
        });
        Self { port, taken }
    }

    fn taken(&self) -> Vec<(String, Value)> {
        self.taken.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 8192]);
    loop {
        let read = stream.read(&mut piece).ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&piece[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let len =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
        if bytes.len() >= end + 4 + len {
            let path = String::from_utf8_lossy(&bytes).split(' ').nth(1).unwrap().to_owned();
            return Some((path, serde_json::from_slice(&bytes[end + 4..]).unwrap()));
        }
    }
}

/// A recording of requests of which every second names a span of production.
fn recording(folder: &std::path::Path, requests: usize) -> String {
    let mut text = String::new();
    for n in 0..requests {
        let parent = if n % 2 == 0 { format!("traceparent: 00-{n:032x}-{n:016x}-01\r\n") } else { String::new() };
        let parent = parent.replacen("00-0", "00-f", 1).replacen(&format!("-{n:016x}"), &format!("-a{n:015x}"), 1);
        let at = 1_795_291_200_000_000_000_u64 + n as u64 * 1_000_000;
        let head = format!("GET /a/{n}?token=hush HTTP/1.1\r\nHost: h\r\n{parent}\r\n");
        text.push_str(&format!("1 {n:024x} {at} 0\n{head}\n🐵🙈🙉\n"));
    }
    let path = folder.join("x.gor");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn replay(file: &str, to: &str, more: &[&str]) -> (Value, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.args(["replay", file, "--to", to, "--summary", "-"]).args(more);
    let output = command.env_remove("SHADOWTAP_LOG").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (serde_json::from_slice(&output.stdout).unwrap_or_default(), said, output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_is_a_span_that_links_production() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let collector = Receiver::start(|number| if number == 1 { 503 } else { 200 });
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", collector.port);
    let more = ["--otlp", &url, "--speed", "max"];
    let (summary, said, code) = replay(&recording(folder.path(), 1200), &server.url("http"), &more);
    assert_eq!(code, Some(0), "{said}");
    let traces = &summary["telemetry"]["traces"];
    assert_eq!(
        (&traces["sent"], &traces["failed"], &traces["dropped"]),
        (&1200.into(), &0.into(), &0.into()),
        "{said}"
    );
    // The first batch was refused once, and came again.
    let taken = collector.taken();
    assert!(taken.iter().all(|(path, _)| path == "/v1/traces"));
    assert_eq!(taken[0].1, taken[1].1);
    let spans: Vec<&Value> = taken[1..]
        .iter()
        .flat_map(|(_, body)| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap())
        .collect();
    assert_eq!(spans.len(), 1200);
    let mut links = 0;
    let mut ids = std::collections::HashSet::new();
    for span in &spans {
        assert!(ids.insert((span["traceId"].clone(), span["spanId"].clone())));
        let attributes = span["attributes"].as_array().unwrap();
        let value = |key: &str| {
            attributes.iter().find(|one| one["key"] == key).map(|one| one["value"].clone()).unwrap_or_default()
        };
        assert_eq!(value("http.response.status_code")["intValue"], "200");
        assert_eq!(value("url.query")["stringValue"], "token=***", "a secret goes nowhere");
        let number: usize =
            value("url.path")["stringValue"].as_str().unwrap().strip_prefix("/a/").unwrap().parse().unwrap();
        match span["links"].as_array().unwrap().as_slice() {
            [] => assert_eq!(number % 2, 1),
            [link] => {
                links += 1;
                assert!(link["traceId"].as_str().unwrap().ends_with(&format!("{number:x}")));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(links, 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_no_run_and_is_counted() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let collector = Receiver::start(|_| 0);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", collector.port);
    let more = ["--otlp", &url, "--speed", "max"];
    let (summary, said, code) = replay(&recording(folder.path(), 50), &server.url("http"), &more);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(server.requests().len(), 50);
    let traces = &summary["telemetry"]["traces"];
    let lost = traces["failed"].as_u64().unwrap() + traces["dropped"].as_u64().unwrap();
    assert_eq!((traces["sent"].as_u64(), lost), (Some(0), 50), "{traces}");
    assert!(summary["warnings"].to_string().contains("50 of 50 spans did not get to http://127.0.0.1:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_that_a_guard_trips_and_its_path_is_told_nobody() {
    let server = Server::start(|_| vec![answer("500 Broken", "no")]).await;
    let hook = Receiver::start(|number| if number == 1 { 500 } else { 204 });
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://user:hush@127.0.0.1:{}/services/hush", hook.port);
    let more = ["--webhook", &url, "--rate", "200/s", "--guard", "errors>10%/500ms", "--on-guard", "stop"];
    let (summary, said, _) = replay(&recording(folder.path(), 2000), &server.url("http"), &more);
    let taken = hook.taken();
    assert_eq!(taken.len(), 3, "once, again since it was refused, and that the run ends for it: {said}");
    assert_eq!((&taken[0].1, &taken[2].1["event"]), (&taken[1].1, &"run_stopped".into()));
    let (path, word) = &taken[1];
    assert_eq!(
        (path.as_str(), &word["event"], &word["recovered"]),
        ("/services/hush", &"guard_tripped".into(), &false.into())
    );
    assert!(word["text"].as_str().unwrap().starts_with("shadowtap replay: guard of http://127.0.0.1:"), "{word}");
    assert!(word["reason"].as_str().unwrap().contains("errors 100% of"), "{word}");
    assert_eq!(summary["telemetry"]["webhook"]["sent"], 2);
    let steps = summary["steps"].as_array().unwrap().iter().filter(|step| step["what"] == "guard").count();
    assert_eq!(steps, 2, "{}", summary["steps"]);
    assert!(!summary.to_string().contains("hush") && !said.contains("hush"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_that_a_target_is_well_again_and_delays_nobody_while_it_hangs() {
    /// Requests that another target gets while the webhook does not answer.
    const MEANWHILE: usize = 100;
    let told = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&told);
    let failing =
        Server::start(move |_| vec![answer(if is_well.load(Ordering::Relaxed) { "200 OK" } else { "500 Broken" }, "")])
            .await;
    let well = Arc::new(Server::start(|_| vec![answer("200 OK", "ok")]).await);
    let (well_url, beside) = (well.url("http"), Arc::clone(&well));
    // It takes the first word, and answers only once the run has gone on. Were the run to wait for it, it would be asked again.
    let hook = Receiver::start(move |number| {
        if number == 1 {
            told.store(true, Ordering::Relaxed);
            let enough = beside.requests().len() + MEANWHILE;
            while beside.requests().len() < enough {
                thread::sleep(Duration::from_millis(1));
            }
        }
        204
    });
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}/", hook.port);
    let guard = ["--guard", "errors>20%/200ms", "--on-guard", "pause"];
    let more = [&["--webhook", &url, "--rate", "500/s", "--to", &well_url], &guard[..]].concat();
    let (summary, said, _) = replay(&recording(folder.path(), 3000), &failing.url("http"), &more);
    let (words, steps) = (hook.taken(), summary["steps"].as_array().unwrap());
    assert_eq!(words.len(), steps.len(), "each step once: {words:#?} {steps:#?}");
    for ((_, word), step) in words.iter().zip(steps) {
        for key in ["at", "target", "from", "to", "reason"] {
            assert_eq!(word[key], step[key], "{key}");
        }
        assert_eq!(step["target"], failing.url("http"));
    }
    let (trip, recovery) = words.split_first().unwrap();
    assert_eq!((&trip.1["event"], &trip.1["to"]), (&"guard_tripped".into(), &0.0.into()));
    let recovered: Vec<bool> = recovery.iter().map(|(_, word)| word["recovered"].as_bool().unwrap()).collect();
    assert!(recovery.iter().all(|(_, word)| word["event"] == "guard_recovering"), "{words:#?}");
    assert_eq!(recovered, [false, false, false, true], "an eighth, a quarter, a half, all: {said}");
    let webhook = &summary["telemetry"]["webhook"];
    assert_eq!((&webhook["sent"], &webhook["failed"], &webhook["dropped"]), (&5.into(), &0.into(), &0.into()));
    assert_eq!(well.requests().len(), 3000);
}
