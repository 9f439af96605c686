//! Replays at nginx: how late requests are sent on a schedule, and what they cost without one, beside wrk's figures over
//! as many connections.
//!
//! Both share the machine with nginx, so wrk is asked before and after: what it reached is what the machine had to give
//! then. The same goes for lateness, which stands beside that of a thread that does nothing but sleep.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::time::Instant;

use crate::client::one_answer;
use crate::generate::{self, Shape};
use crate::programs::{Nginx, Tap, folder};
use crate::setting;

const TARGET: &str = "127.0.0.1:8080";
const URL: &str = "http://127.0.0.1:8080";
/// What the generator's requests look like, for wrk.
const MIX: &str = r#"
local n = 0
request = function()
  n = n + 1
  local r = n % 400
  return wrk.format("GET", "/v2/channels/" .. r .. "?page=" .. (r % 9) .. "&from=" .. n, {
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Set-Top/4.2",
    ["Accept"] = "application/json, text/plain, */*", ["Accept-Language"] = "en-GB,en;q=0.8",
    ["Accept-Encoding"] = "gzip, deflate", ["Referer"] = "https://tv.example.com/guide?slot=" .. r,
    ["Cookie"] = "session=u" .. r .. "; theme=dark", ["X-Request-Id"] = string.format("%032x", n) })
end
"#;
/// Bytes of the capture for each exchange: answers of some hundred bytes.
const EACH: u64 = 1_200;
/// How often the thread that only sleeps wakes.
const TICK: Duration = Duration::from_micros(500);

/// `answer` is what each request was answered; made up where it is empty.
pub(crate) fn capture(file: &Path, exchanges: u64, rate: u64, connections: usize, answer: Vec<u8>) {
    let shape = Shape { exchanges, rate, connections, answer, per_connection: 2_000, ..Shape::default() };
    let shape = shape.of_size(exchanges * EACH);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file).unwrap());
    generate::write(&shape, &mut out).unwrap();
    out.flush().unwrap();
}

/// 5,000 requests a second, as captured and at ten times the captured pace.
pub(crate) fn lag() {
    let (seconds, folder, _nginx) = (setting("BENCH_SECONDS", 10), folder(), Nginx::start_busy(TARGET));
    println!("schedule lag, us  sent     p50     p90     p99   p99.9     max | a thread that sleeps: p99   p99.9");
    for (rate, speed) in [(5_000, "1x"), (500, "10x")] {
        let file = folder.path().join(format!("{rate}.pcap"));
        capture(&file, 5_000 * seconds, rate, 64, answer());
        for _ in 0..setting("BENCH_RUNS", 3) {
            let tick = Ticking::begin();
            let run = replay(&["replay", file.to_str().unwrap(), "--to", URL, "--speed", speed]);
            let ticks = tick.end();
            let lag = &target(&run.summary)["schedule_lag_us"];
            let figure = |name: &str| lag[name].as_u64().unwrap();
            println!(
                "{rate:>5}/s at {speed:<4} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} | {:>26} {:>7}",
                figure("count"),
                figure("p50"),
                figure("p90"),
                figure("p99"),
                figure("p99_9"),
                figure("max"),
                ticks.value_at_quantile(0.99),
                ticks.value_at_quantile(0.999)
            );
            assert_eq!(run.count("/requests/seen"), 5_000 * seconds);
        }
    }
}

/// As fast as answers come, over ever more connections: first where nginx answers as production did, then where each answer
/// differs in a few things, as another stack's do, and last in all, which costs the most.
pub(crate) fn fast() {
    let files = getrlimit(Resource::Nofile);
    // For wrk and nginx, too, which take what they are given.
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    let (folder, _nginx) = (folder(), Nginx::start_busy(TARGET));
    let (exchanges, file) = (setting("BENCH_REQUESTS", 1_000_000), folder.path().join("fast.pcap"));
    let most = setting("BENCH_CONNECTIONS", 10_000);
    let lines = "\r\nCache-Control: no-store\r\nVia: 1.1 varnish\r\nX-Cache: HIT\r\n\r\nno";
    let few = replaced(&answer(), "\r\n\r\nok", lines);
    let status = replaced(&few, " 200 OK", " 203 Non-Authoritative Information");
    for (answers, answer) in [("equal", answer()), ("few", few), ("status", status), ("all", Vec::new())] {
        capture(&file, exchanges, 20_000, 64, answer);
        println!(
            "answers  connections  wrk, requests/s  us/request     shadowtap  us/request  share   cost  peak MB  opened"
        );
        for connections in [10, 50, 100, 1_000, 10_000].into_iter().filter(|connections| *connections <= most) {
            (0..setting("BENCH_RUNS", 3)).for_each(|_| beside_wrk(folder.path(), &file, answers, connections));
        }
    }
}

/// What nginx answers to everything, but for the time.
pub(crate) fn answer() -> Vec<u8> {
    one_answer(&mut TcpStream::connect(TARGET).unwrap())
}

/// `answer` with another text in the place of `old`.
fn replaced(answer: &[u8], old: &str, new: &str) -> Vec<u8> {
    let answer = std::str::from_utf8(answer).unwrap();
    assert!(answer.contains(old), "{answer}");
    answer.replacen(old, new, 1).into_bytes()
}

/// A replay of `file` over so many connections, with wrk before and after it.
fn beside_wrk(folder: &Path, file: &Path, answers: &str, connections: u64) {
    let before = wrk(folder, URL, connections);
    let most = connections.to_string();
    let begun = Instant::now();
    let run = Measured::of(&[
        "replay",
        file.to_str().unwrap(),
        "--to",
        URL,
        "--speed",
        "max",
        "--max-connections",
        &most,
        "--max-in-flight",
        &most,
    ]);
    let took = begun.elapsed().as_secs_f64();
    let after = wrk(folder, URL, connections);
    let reference = f64::midpoint(before.rate, after.rate);
    let wrk_us = f64::midpoint(before.processor_us, after.processor_us);
    let sent = run.ended.of_target("/ended/sent");
    assert_eq!(sent, run.ended.count("/requests/seen"), "{}", run.ended.summary["targets"]);
    let differing = run.ended.of_target("/differences/any");
    assert_eq!(differing, if answers == "equal" { 0 } else { sent }, "{}", run.ended.summary["targets"]);
    let (rate, each_us) = (sent as f64 / took, run.processor_us as f64 / sent as f64);
    println!(
        "{answers:<7}  {connections:>11}  {reference:>15.0}  {wrk_us:>10.1} {rate:>13.0}  {each_us:>10.1} {:>5.0}% {:>5.0}% {:>8} {:>7}",
        100.0 * rate / reference,
        100.0 * each_us / wrk_us,
        run.peak_mb,
        run.ended.of_target("/connections_opened")
    );
}

pub(crate) fn target(summary: &Value) -> &Value {
    summary["targets"].as_object().unwrap().values().next().unwrap()
}

fn replay(arguments: &[&str]) -> crate::programs::Ended {
    Measured::of(arguments).ended
}

/// A run, and what it cost.
pub(crate) struct Measured {
    pub(crate) ended: crate::programs::Ended,
    pub(crate) processor_us: u64,
    peak_mb: u64,
}

impl Measured {
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let tap = Tap::launch(&mut Tap::program(), arguments);
        let (ended, processor_us, peak_mb) = tap.watched();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        Self { ended, processor_us, peak_mb }
    }
}

/// What wrk makes of the same mix.
pub(crate) struct WrkRun {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Processor time of a request.
    processor_us: f64,
}

pub(crate) fn wrk(folder: &Path, url: &str, connections: u64) -> WrkRun {
    let script = folder.join("mix.lua");
    std::fs::write(&script, MIX).unwrap();
    let before = time_of_ended();
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), "-d3", "-s", script.to_str().unwrap(), url])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let took = time_of_ended() - before;
    let mut lines = said.lines().map(str::trim);
    let made = lines.clone().find_map(|line| line.split_once(" requests in ")?.0.parse::<u64>().ok());
    let rate = lines.find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    let (Some(made), Some(rate)) = (made, rate) else { panic!("{said}") };
    WrkRun { rate, processor_us: took as f64 / made as f64 }
}

/// Processor time of the children that have ended, in microseconds.
fn time_of_ended() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, the 14th and 15th, in hundredths of a second: proc(5).
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[13..15].iter().map(|ticks| ticks.parse::<u64>().unwrap() * 10_000).sum()
}

/// A thread that wakes often, and keeps how late that was.
struct Ticking {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Histogram<u64>>,
}

impl Ticking {
    fn begin() -> Self {
        let over = Arc::<AtomicBool>::default();
        let ends = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut late = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
            while !ends.load(Ordering::Relaxed) {
                let due = Instant::now() + TICK;
                thread::sleep(TICK);
                late.saturating_record(u64::try_from(due.elapsed().as_micros()).unwrap());
            }
            late
        });
        Self { over, thread }
    }

    fn end(self) -> Histogram<u64> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
