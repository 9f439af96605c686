//! How late requests are at the target, by what tcpdump saw there, beside what the replay says of itself.
//!
//! nginx and tcpdump have the first processor to themselves but for what is left to the replay, whose pacing is on the last.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::programs::{Nginx, Running, Tap, folder, until};
use crate::replay::{answer, capture};
use crate::setting;

const TARGET: &str = "127.0.0.1:8080";
const URL: &str = "http://127.0.0.1:8080";
/// Bytes of a packet that tell that it carries a request.
const SNAPLEN: &str = "96";
/// Time after which tcpdump has been handed all that was captured: a second, where the buffer is not full before.
const DRAINED: Duration = Duration::from_millis(1500);

/// At each rate, with the pace kept as it always is, and precisely.
pub(crate) fn on_time() {
    let (seconds, folder, nginx) = (setting("BENCH_SECONDS", 10), folder(), Nginx::start_busy(TARGET));
    pin(nginx.id());
    println!(
        "rate     pace     requests | lag it reports, us: p50  p99  p99.9  max | at the target: p50  p99  p99.9  max"
    );
    for rate in [5_000, 20_000] {
        let file = folder.path().join(format!("{rate}.pcap"));
        capture(&file, rate * seconds, rate, 64, answer());
        for pace in ["normal", "precise"] {
            (0..setting("BENCH_RUNS", 3)).for_each(|_| measure(folder.path(), &file, rate, pace));
        }
    }
}

fn measure(folder: &Path, file: &Path, rate: u64, pace: &str) {
    let seen = folder.join("seen.pcap");
    let mut packets = Running(tcpdump(&seen));
    pin(packets.0.id());
    let each = format!("{rate}/s");
    let arguments = ["replay", file.to_str().unwrap(), "--to", URL, "--rate", &each, "--pace", pace];
    let run = Tap::launch(&mut Tap::program(), &arguments).watched().0;
    assert_eq!(run.code, Some(0), "{}", run.said);
    thread::sleep(DRAINED);
    packets.signal("INT");
    packets.wait();
    let sent = run.of_target("/ended/sent");
    let own = &crate::replay::target(&run.summary)["schedule_lag_us"];
    let own = ["p50", "p99", "p99_9", "max"].map(|name| own[name].as_u64().unwrap());
    let lag = lag(&requests(&seen), rate);
    let there = [0.5, 0.99, 0.999, 1.0].map(|quantile| lag.value_at_quantile(quantile));
    println!(
        "{rate:>6}/s {pace:<8} {:>8} | {:>22} {:>4} {:>6} {:>4} | {:>18} {:>4} {:>6} {:>4}",
        lag.len(),
        own[0],
        own[1],
        own[2],
        own[3],
        there[0],
        there[1],
        there[2],
        there[3]
    );
    assert_eq!(lag.len(), sent, "tcpdump lost packets: this machine is too busy for the bench");
}

/// Keeps a process to the first processor, where there are several.
fn pin(process: u32) {
    let done = Command::new("taskset").args(["-apc", "0", &process.to_string()]).stdout(Stdio::null()).status();
    assert!(done.is_ok_and(|status| status.success()), "cannot keep process {process} to a processor");
}

/// Captures what carries data to the target.
fn tcpdump(file: &Path) -> std::process::Child {
    let filter = "tcp dst port 8080 and tcp[tcpflags] & tcp-push != 0";
    let child = Command::new("tcpdump")
        .args(["-i", "lo", "-s", SNAPLEN, "--time-stamp-precision=nano", "-B", "65536", "-Z", "root", "-w"])
        .arg(file)
        .arg(filter)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = child.unwrap();
    until("tcpdump to begin", || file.exists());
    thread::sleep(Duration::from_millis(200));
    child
}

/// When each packet was seen, in nanoseconds.
fn requests(capture: &Path) -> Vec<u64> {
    let mut bytes = Vec::new();
    File::open(capture).unwrap().read_to_end(&mut bytes).unwrap();
    let mut rest = &bytes[24..];
    let mut seen = Vec::new();
    while let Some((header, data)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        seen.push(u64::from(word(0)) * 1_000_000_000 + u64::from(word(4)));
        rest = data.get(usize::try_from(word(8)).unwrap()..).unwrap_or_default();
    }
    seen.sort_unstable();
    seen
}

/// How late each was, in microseconds. The schedule is that of the packet that was the earliest on it: were it that of the
/// first one, a late beginning would make all others early.
fn lag(seen: &[u64], rate: u64) -> Histogram<u64> {
    let each = 1_000_000_000 / i128::from(rate);
    let offsets = || seen.iter().zip(0..).map(|(at, number)| i128::from(*at) - number * each);
    let earliest = offsets().min().unwrap();
    let mut lag = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
    for offset in offsets() {
        lag.saturating_record(u64::try_from((offset - earliest) / 1000).unwrap());
    }
    lag
}
