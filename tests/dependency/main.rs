//! Dependencies of a target as a guard's condition: a real Redis that runs full, one that goes and comes back, a real
//! Prometheus, a document in JSON.
//!
//! Of each the other side is looked at, too: what Redis itself says that it had to refuse.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "../support/programs.rs"]
mod programs;
#[path = "../support/trials.rs"]
mod trials;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use programs::{Running, until};
use serde_json::Value;
use tokio::time::Instant;
use trials::{missing, trial};

fn main() {
    let arguments = Arguments::from_args();
    let trial = |name: &str, programs: &[&str], run: fn()| -> Trial { trial(name, &missing(programs), run) };
    let trials = vec![
        trial("the share goes down before a Redis takes no more clients", &["redis-server"], guarded),
        trial("without a guard the same traffic has Redis refuse clients", &["redis-server"], unguarded),
        trial("a Redis that is killed is unknown, and the ramp waits until it is back", &["redis-server"], killed),
        trial("a field that INFO lacks is a mistake at the start", &["redis-server"], misspelled),
        trial("what is unknown may be ignored", &[], ignored),
        trial("a query of a Prometheus is a limit", &["prometheus"], prometheus),
        trial("a place in a JSON document is a limit", &[], json),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a Redis that keeps nothing, and takes this many clients.
fn redis(port: u16, clients: usize) -> Running {
    let mut command = Command::new("redis-server");
    let options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"];
    command.args(options).args(["--port", &port.to_string(), "--maxclients", &clients.to_string()]);
    let started = command.current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let running = Running(started);
    until("Redis to listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    running
}

/// A field of what a Redis says of itself.
fn info(port: u16, field: &str) -> u64 {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(b"INFO\r\nQUIT\r\n").unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().parse().unwrap()
}

/// A target that answers 200, and does this for each request.
fn target(work: impl Fn() + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let work = Arc::new(work);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, work) = (stream.unwrap(), Arc::clone(&work));
            thread::spawn(move || {
                let (mut lines, mut to) = (BufReader::new(stream.try_clone().unwrap()), stream);
                let mut head = String::new();
                while lines.read_line(&mut head).is_ok_and(|read| read > 0) {
                    if head.ends_with("\r\n\r\n") {
                        head.clear();
                        work();
                        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                    }
                }
            });
        }
    });
    url
}

/// An access log of so many requests in each of so many seconds, all of clients of their own.
fn log(folder: &Path, seconds: u32, rate: u32) {
    let mut text = String::new();
    for second in 0..seconds {
        for n in 0..rate {
            let (minute, rest) = (second / 60, second % 60);
            let client = second * rate + n;
            let [_, a, b, c] = client.to_be_bytes();
            writeln!(
                text,
                "10.{a}.{b}.{c} - - [21/Nov/2026:20:{minute:02}:{rest:02} +0000] \"GET /{client} HTTP/1.1\" 200 2"
            )
            .unwrap();
        }
    }
    fs::write(folder.join("access.log"), text).unwrap();
}

fn misspelled() {
    let at = port();
    let _redis = redis(at, 100);
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), 1, 1);
    let dependency = format!("redis://127.0.0.1:{at}/conected_clients>20");
    let arguments = ["replay", "access.log", "--format", "combined", "--to", "http://127.0.0.1:9"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.current_dir(folder.path()).args(arguments).args(["--dependency", &dependency]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("INFO has no field conected_clients; near it: connected_clients"), "{told}");
    assert!(told.contains(&format!("guard: {dependency}; past it")), "{told}");
}

/// A replay of the log in the time that it took.
struct Replay {
    folder: tempfile::TempDir,
    process: Running,
}

impl Replay {
    fn start(url: &str, (seconds, rate): (u32, u32), arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), seconds, rate);
        let process = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
            .env_remove("SHADOWTAP_LOG")
            .args(["replay", "access.log", "--format", "common", "--to", url, "--summary", "summary.json"])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        Self { folder, process: Running(process) }
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("errors")).unwrap()
    }

    /// The summary, once it has ended by itself or is interrupted.
    fn end(mut self, interrupt: bool) -> Value {
        if interrupt {
            Command::new("kill").args(["-INT", &self.process.0.id().to_string()]).status().unwrap();
        }
        until("the replay to end", || self.process.0.try_wait().unwrap().is_some());
        let text = fs::read(self.folder.path().join("summary.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{}", self.errors()))
    }
}

/// Steps of the share by this cause, each with its shares and its reason.
fn steps(summary: &Value, what: &str) -> Vec<(f64, f64, String)> {
    let all = summary["steps"].as_array().cloned().unwrap_or_default();
    let of_cause = all.iter().filter(|step| step["what"] == what);
    of_cause
        .map(|step| {
            let share = |key: &str| step[key].as_f64().unwrap();
            (share("from"), share("to"), step["reason"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// Clients that a Redis takes here: 25,000, or an eighth of what one process may open.
fn most_clients() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(25_000);
    usize::try_from(limit / 8).unwrap().min(25_000)
}

/// Seconds for which the target holds what it opened for a request.
const HELD: u32 = 10;
/// Requests a second.
const RATE: u32 = 30;

/// A stack whose requests hold connections to its Redis for a while: at half of the traffic it takes three fifths of the
/// clients that there may be, at all of it more than there may be.
fn stack(redis: u16, clients: usize) -> String {
    let held = Arc::new(Mutex::new(VecDeque::<(Instant, Vec<TcpStream>)>::new()));
    let each = clients * 12 / 10 / (RATE * HELD) as usize;
    target(move || {
        let open = (0..each).filter_map(|_| TcpStream::connect(("127.0.0.1", redis)).ok()).collect();
        let mut held = held.lock().unwrap();
        let now = Instant::now();
        while held.front().is_some_and(|(since, _)| now.duration_since(*since) > Duration::from_secs(HELD.into())) {
            held.pop_front();
        }
        held.push_back((now, open));
    })
}

fn guarded() {
    let (port, clients) = (port(), most_clients());
    let _redis = redis(port, clients);
    let url = stack(port, clients);
    let dependency = format!("redis://127.0.0.1:{port}/connected_clients>{}", clients * 8 / 10);
    let replay = Replay::start(&url, (60, RATE), &["--ramp", "20%:3s,50%:12s,100%", "--dependency", &dependency]);
    until("the ramp to go back", || replay.errors().contains("more than"));
    // What was let in before is still held: it is now that most are connected.
    thread::sleep(Duration::from_secs(u64::from(HELD) / 2));
    let (refused, connected) = (info(port, "rejected_connections"), info(port, "connected_clients"));
    let summary = replay.end(true);
    let ramp = steps(&summary, "ramp");
    let down = ramp.iter().find(|(from, to, _)| to < from);
    let (from, to, reason) = down.unwrap_or_else(|| panic!("{ramp:?}"));
    assert_eq!((*from, *to), (1.0, 0.5), "{reason}");
    let said = format!("redis://127.0.0.1:{port}/connected_clients is ");
    assert!(reason.starts_with(&said) && reason.ends_with(&format!(", more than {}", clients * 8 / 10)), "{reason}");
    assert_eq!(refused, 0, "{connected} connected of {clients}");
}

fn unguarded() {
    let (port, clients) = (port(), most_clients());
    let _redis = redis(port, clients);
    let url = stack(port, clients);
    let replay = Replay::start(&url, (60, RATE), &["--ramp", "20%:3s,50%:12s,100%"]);
    // Where it takes no more, it says so and closes.
    until("Redis to refuse clients", || {
        let mut text = String::new();
        let connection = TcpStream::connect(("127.0.0.1", port));
        connection.is_ok_and(|mut connection| {
            connection.write_all(b"QUIT\r\n").is_err()
                || connection.read_to_string(&mut text).is_err()
                || text.contains("max number of clients")
        })
    });
    let summary = replay.end(true);
    assert!(steps(&summary, "ramp").iter().all(|(from, to, _)| to > from), "{summary}");
}

fn killed() {
    let port = port();
    let first = redis(port, 100);
    let url = target(|| ());
    let dependency = format!("redis://127.0.0.1:{port}/connected_clients>80");
    let replay = Replay::start(&url, (60, 10), &["--ramp", "25%:4s,100%", "--dependency", &dependency]);
    until("Redis to be asked", || info(port, "connected_clients") >= 2);
    drop(first);
    until("it to be unknown", || replay.errors().contains("is unknown: "));
    // The ramp would have climbed in this time.
    thread::sleep(Duration::from_secs(6));
    assert!(!replay.errors().contains("25% -> 100%"), "{}", replay.errors());
    let _second = redis(port, 100);
    until("the ramp to go on", || replay.errors().contains("25% -> 100%"));
    let summary = replay.end(true);
    let told = steps(&summary, "dependency");
    assert_eq!(told.len(), 2, "{told:?}");
    let named = format!("redis://127.0.0.1:{port}/connected_clients is ");
    assert!(told[0].2.starts_with(&format!("{named}unknown: ")) && told[0].2.ends_with("; the share does not rise"));
    assert!(told[1].2.starts_with(&format!("{named}known again: ")), "{told:?}");
    assert!(told.iter().all(|(from, to, _)| (*from, *to) == (0.25, 0.25)), "the share stays: {told:?}");
    let kinds: Vec<&str> = summary["steps"].as_array().unwrap().iter().map(|s| s["what"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["dependency", "dependency", "ramp"]);
}

fn ignored() {
    let url = target(|| ());
    let dependency = format!("redis://127.0.0.1:{}/connected_clients>80", port());
    let arguments = ["--ramp", "25%:2s,100%", "--dependency", &dependency, "--on-unknown", "ignore"];
    let replay = Replay::start(&url, (30, 10), &arguments);
    until("the ramp to climb", || replay.errors().contains("25% -> 100%"));
    let told = steps(&replay.end(true), "dependency");
    assert!(told.len() == 1 && told[0].2.ends_with("; ignored"), "{told:?}");
}

fn prometheus() {
    let (port, folder, url) = (port(), tempfile::tempdir().unwrap(), target(|| ()));
    fs::write(folder.path().join("prometheus.yml"), "scrape_configs: []\n").unwrap();
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.path().join("errors")).unwrap())
        .spawn()
        .unwrap();
    let _prometheus = Running(started);
    until("Prometheus to be ready", || ready(port));
    let limits = [
        format!("prometheus://127.0.0.1:{port}{{vector(7) > 1 or vector(3)}}>5"),
        format!("prometheus://127.0.0.1:{port}{{absent_metric}}>5"),
        format!("prometheus://127.0.0.1:{port}{{sum(}}>5"),
    ];
    let [first, second, third] = &limits;
    let arguments = ["--dependency", first, "--dependency", second, "--dependency", third];
    let replay = Replay::start(&url, (30, 10), &arguments);
    until("the guard to throttle", || replay.errors().contains("100% -> 50%"));
    until("both others to be unknown", || replay.errors().matches("is unknown: ").count() == 2);
    let summary = replay.end(true);
    let guard = &steps(&summary, "guard")[0];
    assert_eq!((guard.0, guard.1), (1.0, 0.5));
    assert_eq!(guard.2, format!("prometheus://127.0.0.1:{port}{{vector(7) > 1 or vector(3)}} is 7, more than 5"));
    let told: Vec<String> = steps(&summary, "dependency").into_iter().map(|(.., reason)| reason).collect();
    assert!(told.iter().any(|why| why.contains("{absent_metric} is unknown: the query finds nothing")), "{told:?}");
    assert!(
        told.iter().any(|why| why.contains("{sum(} is unknown: it answered 400") && why.contains("parse error")),
        "{told:?}"
    );
}

fn ready(port: u16) -> bool {
    let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = String::new();
    let asked = connection.write_all(b"GET /-/ready HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n");
    asked.is_ok() && connection.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

fn json() {
    // The queue is long until the share went down, and short from then on.
    let long = Arc::new(Mutex::new(true));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stats = format!("http://{}/stats#$.pools[*].waiting>=100", listener.local_addr().unwrap());
    let seen = Arc::clone(&long);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut buffer) = (stream.unwrap(), [0; 4096]);
            let is_long = *seen.lock().unwrap();
            let body =
                format!("{{\"pools\":[{{\"waiting\":3}},{{\"waiting\":\"{}\"}}]}}", if is_long { 100 } else { 5 });
            if stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        }
    });
    let replay = Replay::start(&target(|| ()), (60, 10), &["--dependency", &stats]);
    until("the guard to throttle", || replay.errors().contains("100% -> 50%"));
    *long.lock().unwrap() = false;
    until("the guard to let everything in again", || replay.errors().contains("50% -> 100%"));
    let guard = steps(&replay.end(true), "guard");
    assert!(guard[0].2.contains("/stats#$.pools[*].waiting is 100, at least 100"), "{guard:?}");
    assert_eq!((guard.last().unwrap().1, guard[0].1), (1.0, 0.5));
}
