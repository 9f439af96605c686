//! Ten minutes of shadowing, recorded beside it, at a fixed rate.

use std::thread;
use std::time::Duration;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, each_once, folder};
use crate::{load, outcome, setting};

const TARGET: &str = "127.0.0.1:8080";
/// Time between two looks at the memory.
const LOOK: Duration = Duration::from_secs(10);
/// The share of the time after which memory is what it is.
const WARM_UP: u64 = 5;
/// What memory may grow by from then on, in kilobytes: pieces of the allocator, not a leak of bytes for each request.
const MARGIN: u64 = 8 << 10;

pub(crate) fn run() {
    let (seconds, rate) = (setting("SOAK_SECONDS", 600), setting("SOAK_RATE", 2000));
    let (network, folder) = (Network::new(), folder());
    let (nginx, target) = (Nginx::start_busy(&format!("{SERVER}:80")), Nginx::start_busy(TARGET));
    let (url, file) = (format!("http://{TARGET}"), folder.path().join("soak.gor.zst"));
    let tap = Tap::start(&["shadow", "-i", WIRE, "-p", "80", "--to", &url, "-o", file.to_str().unwrap()]);
    let mut client = load(&network, rate, seconds);
    let (mut elapsed, mut memory) = (0, Vec::new());
    while client.try_wait().unwrap().is_none() {
        thread::sleep(LOOK);
        elapsed += LOOK.as_secs();
        memory.push(tap.memory());
        println!("{elapsed:>5} s  {:>7} kB", memory.last().unwrap());
        assert!(elapsed < seconds * 2 + 60, "the client does not end");
    }
    let asked = outcome(client);
    let (took, peak) = (tap.processor_time(), tap.most_memory());
    let logged = nginx.end();
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    ended.lost_nothing();
    let reached = target.end();
    each_once("the target", &logged, reached.iter().map(|reached| &*reached.target), 0);
    let requests = logged.len() as u64;
    assert_eq!(ended.count("/requests/seen"), requests);
    assert_eq!(ended.of_target("/ended/sent"), requests, "{}", ended.summary["targets"]);
    assert_eq!((ended.count("/recording/records"), ended.count("/recording/lost")), (2 * requests, 0));
    // The last look may come as all is over.
    let warm = memory[memory.len() / usize::try_from(WARM_UP).unwrap()];
    let last = memory[memory.len().saturating_sub(2)];
    println!("client: {asked}");
    println!(
        "{requests} requests, none missing; {:.1} us of processor time a request; {warm} kB after warm-up, {last} kB at \
         the end, {peak} MB at most",
        took as f64 / requests as f64
    );
    assert!(last <= warm + MARGIN, "memory grows: {warm} kB after warm-up, {last} kB at the end");
}
