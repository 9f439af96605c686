//! A run at full rate for each way to use shadowtap: what is missing, and what it costs.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, folder};
use crate::traffic::{gor, unpacked};
use crate::{load, outcome, setting};

const TARGET: &str = "127.0.0.1:8080";
const URL: &str = "http://127.0.0.1:8080";

/// A way to use it, or none.
#[derive(Clone, Copy, Debug)]
enum Way {
    Alone,
    Record,
    Shadow(&'static str),
    /// A tenth of the connections, taken in the kernel: what it costs is over all requests, too.
    Sampled,
}

pub(crate) fn run() {
    let runs = setting("BENCH_RUNS", 10);
    println!(
        "run  what             logged  accounted  missing  us/request  frames  peak MB  client p50  p99 us  wire to send p50  p99 us"
    );
    let mut missing = 0;
    for number in 1..=runs {
        for way in [Way::Alone, Way::Record, Way::Shadow("wire"), Way::Sampled] {
            missing += measure(number, way);
        }
    }
    assert_eq!(missing, 0, "requests are missing");
}

/// Prints a line, and returns how many requests are missing.
fn measure(number: u64, way: Way) -> u64 {
    let (seconds, rate) = (setting("BENCH_SECONDS", 10), setting("BENCH_RATE", 20_000));
    let (network, folder) = (Network::new(), folder());
    let (nginx, target) = (Nginx::start_busy(&format!("{SERVER}:80")), Nginx::start_busy(TARGET));
    let file = folder.path().join("all.gor");
    let tap = start(way, &file);
    let before = tap.as_ref().map(Tap::processor_time);
    let asked = outcome(load(&network, rate, seconds));
    let (p50, p99) = (&asked["p50_us"], &asked["p99_us"]);
    let logged: HashSet<_> = nginx.end().into_iter().map(|logged| logged.target).collect();
    let what = format!("{way:?}");
    let Some(tap) = tap else {
        println!(
            "{number:>3}  {what:<15} {:>7}  {:>9}  {:>7}  {:>10}  {:>6}  {:>7}  {p50:>10}  {p99:>6}",
            logged.len(),
            "-",
            "-",
            "-",
            "-",
            "-"
        );
        return 0;
    };
    let (took, peak) = (tap.processor_time() - before.unwrap(), tap.most_memory());
    let ended = tap.end("INT");
    let found: Vec<_> = match way {
        Way::Record => gor(&unpacked(&file)).0,
        _ => target.end().into_iter().map(|reached| reached.target).collect(),
    };
    let distinct: HashSet<_> = found.iter().cloned().collect();
    let missing = match way {
        // Which connections are in is held by other tests.
        Way::Sampled => 0,
        _ => logged.difference(&distinct).count() as u64,
    };
    let twice = found.len() - distinct.len();
    let each = took as f64 / logged.len() as f64;
    let frames = ended.summary["frames"]["received"].as_u64().unwrap_or_default() as f64 / logged.len() as f64;
    let to_send = |figure: &str| match way {
        Way::Shadow(_) | Way::Sampled => {
            wire_to_send(&ended.summary, figure).map_or_else(|| "-".to_owned(), |us| us.to_string())
        }
        _ => "-".to_owned(),
    };
    println!(
        "{number:>3}  {what:<15} {:>7}  {:>9}  {missing:>7}  {each:>10.1}  {frames:>6.1}  {peak:>7}  {p50:>10}  {p99:>6}  {:>16}  {:>6}",
        logged.len(),
        found.len(),
        to_send("p50"),
        to_send("p99")
    );
    if missing > 0 {
        println!(
            "     {}",
            ended.said.lines().filter(|line| line.starts_with("warning")).collect::<Vec<_>>().join("\n     ")
        );
        println!("     {} {} {}", ended.summary["frames"], ended.summary["requests"], ended.summary["tcp"]);
    }
    assert_eq!(twice, 0, "{twice} are there twice");
    missing
}

/// Starts what is measured, if anything; a recording goes to `file`.
fn start(way: Way, file: &Path) -> Option<Tap> {
    match way {
        Way::Alone => None,
        Way::Record => Some(Tap::start(&["record", "-i", WIRE, "-p", "80", "-o", file.to_str().unwrap()])),
        Way::Shadow(client) => Some(Tap::start(&["shadow", "-i", WIRE, "-p", "80", "--to", URL, "--client", client])),
        Way::Sampled => Some(Tap::start(
            &[&["shadow", "-i", WIRE, "-p", "80", "--to", URL][..], &["--sample", "10%", "--sample-by", "connection"]]
                .concat(),
        )),
    }
}

/// Microseconds from the last byte of a request on the wire until it was sent: no less than what is so for both parts of
/// that way at once. `None` of a build that does not tell them apart.
fn wire_to_send(summary: &Value, figure: &str) -> Option<u64> {
    let lag = &summary["targets"].as_object().unwrap().values().next().unwrap()["schedule_lag_us"];
    Some(summary["capture_delay_us"][figure].as_u64()? + lag[figure].as_u64()?)
}
