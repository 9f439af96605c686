//! shadowtap between real programs: nginx, curl, wrk and tcpdump, on loopback.
//!
//! Each trial names what it needs. Where that is not there the trial is ignored, and its name says what it lacks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "support/files.rs"]
mod files;
#[path = "../src/bin/shadowtap/demo/site.rs"]
#[allow(dead_code, unused_imports, reason = "staging uses what this does not, and its tests run there")]
mod site;
#[path = "support/tcpdump.rs"]
mod tcpdump;
#[path = "support/trials.rs"]
mod trials;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use files::testdata;
use shadowtap::capture::{self, FileSource};
use shadowtap::exchange::Event;
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::pipeline;
use tcpdump::{Recording, Running, may_capture};

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial(
            "a recorded evening replayed at the stack that it was recorded from differs in nothing",
            &["nginx"],
            false,
            same_stack,
        ),
        trial(
            "what tcpdump records of curl and wrk is what nginx logged",
            &["nginx", "curl", "wrk", "tcpdump"],
            true,
            as_logged,
        ),
        trial("a replay recorded again carries the same requests", &["nginx", "tcpdump"], true, recorded_again),
        trial(
            "a mirrored replay recorded again is the recording, byte for byte",
            &["nginx", "tcpdump"],
            true,
            mirrored,
        ),
        python_trial("DuckDB reads the tables of results", "duckdb", tables),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// A trial that needs these programs, and the right to capture where it says so.
fn trial(name: &str, programs: &[&str], captures: bool, run: fn()) -> Trial {
    let mut lacks = trials::missing(programs);
    if captures && lacks.is_empty() && !may_capture() {
        lacks.push("the right to capture on lo");
    }
    trials::trial(name, &lacks, run)
}

/// A trial that needs a module of Python.
fn python_trial(name: &str, module: &'static str, run: fn()) -> Trial {
    let mut lacks = trials::missing(&["nginx", "python3"]);
    let has_module = || python(&format!("import {module}")).status().is_ok_and(|status| status.success());
    if lacks.is_empty() && !has_module() {
        lacks.push(module);
    }
    trials::trial(name, &lacks, run)
}

/// Python, which finds what `.ci/django` and `.ci/duckdb` install.
fn python(code: &str) -> Command {
    let mut python = Command::new("python3");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("python");
    python
        .args(["-c", code])
        .env("PYTHONPATH", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    python
}

/// The counts of a table, by a database that knows nothing of shadowtap, are those of the lines.
fn tables() {
    let production = Production::start();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", production.port);
    let replay = |name: &str| {
        let path = folder.path().join(name);
        let mut program = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
        program.args(["replay", &testdata("demo.pcap.zst").display().to_string(), "--to", &url, "--speed", "max"]);
        let output = program.arg("--results").arg(&path).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path.display().to_string()
    };
    let [lines, parquet, csv] = ["r.jsonl", "r.parquet", "r.csv.gz"].map(replay);
    let code = format!(
        "import duckdb, json
def counts(table, status, at):
    rows = duckdb.sql(f'select method, outcome, {{status}}, count(*) from {{table}} group by all').fetchall()
    days = duckdb.sql(f'select min({{at}}), max({{at}}) from {{table}}').fetchall()
    return sorted(map(str, rows)), days
from collections import Counter
lines = [json.loads(line) for line in open('{lines}')][:-1]
expected = Counter((l['method'], l['outcome'], l['production'] and l['production']['status']) for l in lines)
expected = sorted(str((*key, count)) for key, count in expected.items())
rows, days = counts(\"read_parquet('{parquet}')\", 'production_status', '\"at\"')
assert rows == expected, (rows, expected)
kind = duckdb.execute('select typeof(\"at\"), typeof(lag_us) from read_parquet(?) limit 1', ['{parquet}']).fetchall()
assert kind == [('TIMESTAMP WITH TIME ZONE', 'BIGINT')], kind
assert str(days[0][0].year) == lines[0]['at'][:4], days
csv_rows, csv_days = counts(\"read_csv('{csv}')\", 'production_status', '\"at\"')
assert csv_rows == expected, (csv_rows, expected)
"
    );
    let output = python(&code).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// nginx on the pages that the demo's capture was recorded from.
struct Production {
    running: Running,
    port: u16,
    folder: tempfile::TempDir,
}

impl Production {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("site");
        std::fs::create_dir(&root).unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(site::MODIFIED);
        for (name, page) in site::files() {
            std::fs::write(root.join(&name), page).unwrap();
            std::fs::File::options().append(true).open(root.join(&name)).unwrap().set_modified(modified).unwrap();
        }
        readable(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = std::fs::read_to_string(testdata("production.conf")).unwrap();
        let at = folder.path().display().to_string();
        let config = config
            .replace("@ROOT@", &at)
            .replace("@LISTEN@", &format!("listen 127.0.0.1:{port};"))
            .replace("@KEEPALIVE@", "75s")
            .replace("access_log off;", &format!("access_log {at}/access.log combined;"));
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("nginx")
            .args(["-p", &at, "-c", file.to_str().unwrap(), "-g", "daemon off;"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let production = Self { running: Running(child), port, folder };
        production.await_answer();
        production
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn await_answer(&self) {
        for _ in 0..100 {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nginx does not answer on port {}", self.port);
    }

    /// Ends nginx in order and returns its access log, the request of [`Production::await_answer`] left out.
    fn stop(mut self) -> Vec<String> {
        self.running.end("QUIT");
        let log = std::fs::read_to_string(self.folder.path().join("access.log")).unwrap();
        log.lines().skip(1).map(str::to_owned).collect()
    }
}

/// nginx's workers are nobody where we are root.
fn readable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn shadowtap(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_shadowtap")).args(arguments).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

fn summary(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn same_stack() {
    let production = Production::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.json");
    let capture = testdata("demo.pcap.zst");
    let (code, said) = shadowtap(&[
        "replay",
        capture.to_str().unwrap(),
        "--to",
        &production.url(),
        "--speed",
        "max",
        // nginx takes 512 connections here.
        "--max-in-flight",
        "64",
        "--allow-writes",
        "--keep-host",
        "--summary",
        file.to_str().unwrap(),
    ]);
    assert_eq!(code, Some(0), "{said}");
    let summary = summary(&file);
    let target = &summary["targets"][production.url()];
    assert_eq!(target["ended"]["sent"], 1839, "{said}");
    assert_eq!(target["differences"]["compared"], 1839, "{said}");
    assert_eq!((&target["differences"]["status"], &target["differences"]["body"]), (&0.into(), &0.into()), "{said}");
    assert_eq!(production.stop().len(), 1839);
}

fn as_logged() {
    let production = Production::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.pcap");
    let recording = Recording::start(&file, production.port).unwrap();
    let url = production.url();
    let quiet = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program} {arguments:?}: {status}");
    };
    for round in 0..5 {
        quiet("curl", &["-s", &format!("{url}/v2/channels/{}", round + 1), &format!("{url}/v2/search?q=jazz")]);
        quiet("curl", &["-s", "--http1.0", "-I", &format!("{url}/v2/channels")]);
        quiet("curl", &["-s", "-d", "event=play", &format!("{url}/v2/events")]);
    }
    // A pause before each request: the trial is about what is on the wire, not about how fast tcpdump is.
    let pause = folder.path().join("pause.lua");
    std::fs::write(&pause, "function delay() return 2 end").unwrap();
    quiet("wrk", &["-t1", "-c4", "-d1s", "-s", pause.to_str().unwrap(), &format!("{url}/v2/channels/3")]);
    let dropped = recording.stop();
    let logged = production.stop();
    let (exchanges, engine) = files::inspect_files(&[file]);
    assert_eq!(dropped, 0, "tcpdump lost packets: this machine is too busy for the trial");
    assert!(engine.warnings.is_empty(), "{engine:?}");
    // wrk goes away in the middle of its last requests: nginx does not log what it could not answer.
    let answered = exchanges.iter().filter(|exchange| exchange.response.is_ok()).count();
    let open = exchanges.len() - answered;
    assert!(open <= 4, "{open} without an answer");
    let gone = logged.iter().filter(|line| line.contains("\" 499 ")).count();
    assert_eq!(answered, logged.len() - gone, "{engine:?}");
}

/// Every request by connection, in order: head and body as they were on the wire. Connections in the order of their bytes,
/// since they may begin in another one.
fn by_connection(file: &Path) -> Vec<Vec<Vec<u8>>> {
    let source = FileSource::open(file, &capture::Halt::default()).unwrap();
    let interests = BodyPolicies { request_body: BodyPolicy::Keep, ..BodyPolicies::default() };
    let mut connections: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    pipeline::inspect(Box::new(source), &capture::Settings::default(), interests, &mut |event| {
        if let Event::Request(request) = event {
            let body = request.body.wire.as_deref().unwrap_or_default();
            let bytes = [request.head.as_bytes(), body].concat();
            connections.entry(request.id.connection.0).or_default().push(bytes);
        }
        true
    })
    .unwrap();
    let mut connections: Vec<_> = connections.into_values().collect();
    connections.sort();
    connections
}

fn mirrored() {
    let production = Production::start();
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("again.pcap");
    let recording = Recording::start(&again, production.port).unwrap();
    let capture = testdata("demo.pcap.zst");
    let arguments = ["--speed", "4x", "--keep-host", "--allow-writes", "--connections", "mirrored", "--to"];
    let (code, said) =
        shadowtap(&[&["replay", capture.to_str().unwrap()], &arguments[..], &[&production.url()]].concat());
    assert_eq!(code, Some(0), "{said}");
    let dropped = recording.stop();
    production.stop();
    assert_eq!(dropped, 0, "tcpdump lost packets: this machine is too busy for the trial");
    let (found, expected) = (by_connection(&again), by_connection(&capture));
    assert_eq!(found.len(), expected.len(), "connections\n{said}");
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert_eq!(String::from_utf8_lossy(found), String::from_utf8_lossy(expected));
    }
    assert!(found == expected);
}

fn recorded_again() {
    let production = Production::start();
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("again.pcap");
    let recording = Recording::start(&again, production.port).unwrap();
    let capture = testdata("keep-alive.pcap");
    let url = production.url();
    let (code, said) = shadowtap(&["replay", capture.to_str().unwrap(), "--to", &url, "--speed", "max", "--keep-host"]);
    assert_eq!(code, Some(0), "{said}");
    recording.stop();
    production.stop();
    // Target, method and Host arrive as they were captured, each request once.
    let requests = |file: PathBuf| {
        let mut lines: Vec<String> = files::inspect_files(&[file])
            .0
            .iter()
            .filter(|exchange| exchange.request.method() != b"POST")
            .map(|exchange| {
                let host = String::from_utf8_lossy(exchange.request.head.get("host").unwrap()).into_owned();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                format!("{} {} {host}", text(exchange.request.method()), text(exchange.request.target()))
            })
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(requests(again), requests(capture));
}
