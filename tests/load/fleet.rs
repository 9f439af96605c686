//! What one store between one node and one replayer gives: recording beside a file, reading, replaying, and both at once.
//!
//! Everything shares the machine, nginx and the client included: rates are those of all of it together, processor time is each
//! one's own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tokio::time::Instant;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Ended, Nginx, Running, Tap, folder, until};
use crate::{load, outcome, setting, trials};

const TARGET: &str = "127.0.0.1:8080";
const URL: &str = "http://127.0.0.1:8080";

/// A server with its own folder.
struct Store {
    server: Running,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Store {
    fn start() -> Self {
        let (folder, port) = (folder(), free_port());
        let server = Command::new("nats-server")
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("nats-server to listen", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { server: Running(server), port, _folder: folder }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}/bench?max-bytes=2G", self.port)
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Processor time of each process, in microseconds for each request.
#[derive(Clone, Copy, Default)]
struct Each {
    requests: u64,
    seconds: f64,
    node: u64,
    store: u64,
    replayer: u64,
    target: u64,
}

impl Each {
    fn print(self, number: u64, what: &str, more: &str) {
        let each = |took: u64| match took {
            0 => "-".to_owned(),
            took => format!("{:.1}", took as f64 / self.requests as f64),
        };
        println!(
            "{number:>3}  {what:<18} {:>8} {:>11.0} {:>9} {:>9} {:>9} {:>9}  {more}",
            self.requests,
            self.requests as f64 / self.seconds,
            each(self.node),
            each(self.store),
            each(self.replayer),
            each(self.target)
        );
    }
}

pub(crate) fn run() {
    let lacking = trials::missing(&["nats-server"]);
    assert!(lacking.is_empty(), "lacks {lacking:?}");
    println!("run  what               requests    a second   node us  store us  replay us  nginx us");
    for number in 1..=setting("BENCH_RUNS", 3) {
        let file = into_a_file(number);
        through_a_store(number, file);
    }
}

/// Asks for as much as is asked for, while a node records it.
fn recorded(
    output: &str,
    network: &Network,
    nginx: &Nginx,
    store: Option<&Store>,
    meanwhile: impl FnOnce(),
) -> (Each, Ended) {
    let (seconds, rate) = (setting("BENCH_SECONDS", 10), setting("BENCH_RATE", 15_000));
    let node = Tap::start(&["record", "-i", WIRE, "-p", "80", "-o", output, "--user", "root"]);
    let now =
        || [node.processor_time(), store.map_or(0, |store| store.server.processor_time()), nginx.processor_time()];
    let (before, begun) = (now(), Instant::now());
    let client: Child = load(network, rate, seconds);
    meanwhile();
    outcome(client);
    let (after, seconds) = (now(), begun.elapsed().as_secs_f64());
    let [took, stored, answered] = [0, 1, 2].map(|which| after[which] - before[which]);
    let ended = node.end("INT");
    let requests = ended.count("/recording/requests");
    assert_eq!((ended.code, requests), (Some(0), ended.count("/requests/seen")), "{}", ended.said);
    (Each { requests, seconds, node: took, store: stored, replayer: 0, target: answered }, ended)
}

/// Microseconds that a node takes for a request that goes into a file.
fn into_a_file(number: u64) -> f64 {
    let (network, folder) = (Network::new(), folder());
    let nginx = Nginx::start_busy(&format!("{SERVER}:80"));
    let file = folder.path().join("all.gor");
    let (each, _) = recorded(file.to_str().unwrap(), &network, &nginx, None, || ());
    each.print(number, "record, .gor", "");
    each.node as f64 / each.requests as f64
}

fn through_a_store(number: u64, file: f64) {
    let (network, store) = (Network::new(), Store::start());
    let nginx = Nginx::start_busy(&format!("{SERVER}:80"));
    let url = store.url();
    let (each, ended) = recorded(&url, &network, &nginx, Some(&store), || ());
    let node = each.node as f64 / each.requests as f64;
    let more = format!("{:+.1} us a request, {:.2} of a file's", node - file, node / file);
    each.print(number, "record, store", &more);
    read(number, &store, ended.count("/recording/bytes"));
    replayed(number, &store, each.requests);
    drop(store);
    at_once(number, &network, &nginx);
}

/// Reads all of it.
fn read(number: u64, store: &Store, bytes: u64) {
    let (before, begun) = (store.server.processor_time(), Instant::now());
    let tap = Tap::launch(&mut Tap::program(), &["inspect", &store.url()]);
    let (ended, took, _) = tap.watched();
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let requests = ended.count("/requests/seen");
    let stored = store.server.processor_time() - before;
    let each = Each { requests, seconds, replayer: took, store: stored, ..Each::default() };
    each.print(number, "inspect", &format!("{:.0} MB/s", bytes as f64 / 1e6 / seconds));
}

/// Sends all of it, as fast as answers come.
fn replayed(number: u64, store: &Store, expected: u64) {
    let target = Nginx::start_busy(TARGET);
    let (before, begun) = ([store.server.processor_time(), target.processor_time()], Instant::now());
    let tap = Tap::launch(&mut Tap::program(), &["replay", &store.url(), "--to", URL, "--speed", "max"]);
    let (ended, took, _) = tap.watched();
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!((ended.code, ended.of_target("/ended/sent")), (Some(0), expected), "{}", ended.said);
    let (stored, answered) = (store.server.processor_time() - before[0], target.processor_time() - before[1]);
    let each = Each { requests: expected, seconds, replayer: took, store: stored, target: answered, ..Each::default() };
    each.print(number, "replay", "");
}

/// Records, and replays what comes.
fn at_once(number: u64, network: &Network, nginx: &Nginx) {
    let (store, target) = (Store::start(), Nginx::start_busy(TARGET));
    let url = store.url();
    let mut replayer = None;
    let (mut each, _) = recorded(&url, network, nginx, Some(&store), || {
        replayer = Some(Tap::launch(&mut Tap::program(), &["replay", &url, "--to", URL, "--speed", "max"]));
    });
    let (ended, took, _) = replayer.unwrap().watched();
    assert_eq!((ended.code, ended.of_target("/ended/sent")), (Some(0), each.requests), "{}", ended.said);
    (each.replayer, each.target) = (took, target.processor_time());
    each.print(number, "both at once", "");
}
