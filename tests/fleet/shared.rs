//! Replayers that share a recording, and are lost.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::merged;
use crate::origin::{Origin, ask};
use crate::programs::{Ended, Tap, until};
use crate::server::Nats;

/// Requests that are recorded, over as many connections.
const CONNECTIONS: usize = 32;
const EACH: usize = 25;
pub(crate) const ALL: u64 = (CONNECTIONS * EACH) as u64;

/// A recording of all that was asked for.
pub(crate) fn recorded(nats: &Nats, name: &str) -> (String, BTreeMap<String, u64>) {
    let (production, url) = (Origin::start(), nats.url(name));
    let port = production.port;
    let node = Tap::start(&["record", "-i", "lo", "-p", &port.to_string(), "-o", &url, "--user", "root"]);
    let clients: Vec<_> =
        (0..CONNECTIONS).map(|n| thread::spawn(move || ask(port, &format!("c{n}"), EACH, 20))).collect();
    for client in clients {
        client.join().unwrap();
    }
    until("all to be captured", || node.said().contains(&format!("{ALL} recorded")));
    let ended = node.end("INT");
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), ALL), "{}", ended.said);
    (url, production.seen())
}

/// Starts a replayer; `pace` says how fast.
pub(crate) fn replayer(url: &str, to: &Origin, pace: &[&str]) -> Tap {
    let target = to.url();
    let arguments = [&["replay", url, "--to", &target, "--allow-writes", "--allow-empty"], pace].concat();
    Tap::launch(&mut Tap::program(), &arguments)
}

/// What `report` says of the fleet.
pub(crate) fn report(url: &str) -> String {
    let output = Tap::program().args(["report", url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn sent(ended: &Ended) -> u64 {
    ended.of_target("/ended/sent")
}

pub(crate) fn total(seen: &BTreeMap<String, u64>) -> u64 {
    seen.values().sum()
}

/// No write came twice, and everything came that did not end as uncertain.
#[track_caller]
pub(crate) fn once(seen: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>, uncertain: u64) {
    let twice: Vec<_> = seen.iter().filter(|(what, times)| what.starts_with("POST") && **times > 1).collect();
    assert!(twice.is_empty(), "writes that came twice: {twice:?}");
    let missing: Vec<_> = expected.keys().filter(|what| !seen.contains_key(*what)).collect();
    assert!(missing.len() as u64 <= uncertain, "{uncertain} are uncertain, and these did not come: {missing:?}");
    assert!(missing.iter().all(|what| what.starts_with("POST")), "reads that did not come: {missing:?}");
}

pub(crate) fn by_two() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, expected) = recorded(&nats, "shared");
    let first = replayer(&url, &staging, &["--rate", "100/s"]);
    until("the first to send", || total(&staging.seen()) > 50);
    let second = replayer(&url, &staging, &["--rate", "100/s"]);
    let ended = [first.ended(), second.ended()];
    for ended in &ended {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(sent(ended) > ALL / 8, "one had nothing to do: {}", ended.said);
    }
    assert_eq!(ended.iter().map(sent).sum::<u64>(), ALL);
    assert_eq!(staging.seen(), expected, "each request once");
    let sums = report(&url);
    assert!(sums.contains(&format!("{ALL} seen = 0 ended there + {ALL} published")), "{sums}");
    assert!(sums.contains(&format!("{ALL} published = {ALL} ended + 0 waiting + 0 expired; 2 replayers")), "{sums}");
    let again = replayer(&url, &staging, &["--speed", "max"]).ended();
    assert!(again.code == Some(2) && again.said.contains("all of shared was replayed"), "{}", again.said);
    let node = Tap::start(&["record", "-i", "lo", "-p", &staging.port.to_string(), "-o", &url, "--user", "root"]);
    ask(staging.port, "late", 7, 0);
    until("those to be captured", || node.said().contains("7 recorded"));
    assert_eq!(node.end("INT").code, Some(0));
    let sums = report(&url).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(sums.contains("7 of those that wait came after this run was over"), "{sums}");
    let again = replayer(&url, &staging, &["--speed", "max"]).ended();
    assert!(again.code == Some(2) && again.said.contains("and 7 that came later wait"), "{}", again.said);
    let anew = replayer(&format!("{url}?run=2"), &staging, &["--speed", "max"]).ended();
    assert_eq!((anew.code, sent(&anew)), (Some(0), ALL + 7), "{}", anew.said);
}

pub(crate) fn one_is_killed() {
    let (nats, staging) = (Nats::start(), Origin::slow(Duration::from_millis(20)));
    let (url, expected) = recorded(&nats, "killed");
    let first = replayer(&url, &staging, &["--rate", "60/s"]);
    let second = replayer(&url, &staging, &["--rate", "60/s"]);
    until("both to send", || total(&staging.seen()) > 200);
    first.signal("KILL");
    let ended = second.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let taken = |words: &&serde_json::Value| {
        words.as_str().is_some_and(|words| words.contains("taken from a replayer that is lost"))
    };
    assert_eq!(ended.summary["warnings"].as_array().unwrap().iter().filter(taken).count(), 1, "{}", ended.said);
    assert!(!ended.said.contains("open anew"), "connections are not mirrored: {}", ended.said);
    once(&staging.seen(), &expected, ended.of_target("/ended/shed/uncertain"));
    merged::without_one(&url);
}

pub(crate) fn one_stands_still() {
    let (nats, staging) = (Nats::start(), Origin::slow(Duration::from_millis(5)));
    let (url, expected) = recorded(&nats, "still");
    let pace = ["--rate", "60/s", "--sample", "60%"];
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &pace));
    let [first, second] = replayers;
    until("both to send", || total(&staging.seen()) > 150);
    first.signal("STOP");
    until("the other to take over", || second.said().contains("taken from a replayer that is lost"));
    first.signal("CONT");
    let ended = [first.ended(), second.ended()];
    let twice = staging.seen().into_iter().filter(|(_, times)| *times > 1).map(|(what, _)| what).collect::<Vec<_>>();
    assert!(twice.iter().all(|what| what.starts_with("GET")), "writes that came twice: {twice:?}");
    assert!(staging.seen().keys().all(|what| expected.contains_key(what)));
    assert!(ended[0].count("/fleet/given_up") > 0, "it let nothing go: {}", ended[0].said);
    merged::each_once(&url, &ended, total(&staging.seen()), twice.len() as u64);
}

pub(crate) fn store_is_killed() {
    let (mut nats, staging) = (Nats::start(), Origin::start());
    let (url, expected) = recorded(&nats, "store");
    let first = replayer(&url, &staging, &["--rate", "60/s"]);
    let second = replayer(&url, &staging, &["--rate", "60/s"]);
    until("both to send", || total(&staging.seen()) > 200);
    nats.kill();
    thread::sleep(Duration::from_secs(2));
    nats.start_again();
    let ended = [first.ended(), second.ended()];
    for ended in &ended {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
    let uncertain = ended.iter().map(|ended| ended.of_target("/ended/shed/uncertain")).sum();
    once(&staging.seen(), &expected, uncertain);
}

pub(crate) fn one_is_stopped() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, expected) = recorded(&nats, "stopped");
    let first = replayer(&url, &staging, &["--rate", "100/s"]);
    until("it to send", || total(&staging.seen()) > 100);
    let before = first.end("INT");
    let sums = report(&url);
    let (went, left) = (sent(&before), ALL - sent(&before));
    assert!(sums.contains(&format!("{ALL} published = {went} ended + {left} waiting + 0 expired")), "{went}: {sums}");
    let after = replayer(&url, &staging, &["--speed", "max"]).ended();
    assert_eq!((after.code, sent(&before) + sent(&after)), (Some(0), ALL), "{}", after.said);
    assert_eq!(staging.seen(), expected, "each request once");
}

/// A recording of one partition, of which only a part is read ahead: one client's requests, each fourth of which fills a batch.
fn long(nats: &Nats, name: &str) -> (String, BTreeMap<String, u64>) {
    let (production, url) = (Origin::start(), nats.url(name));
    let (port, one) = (production.port, format!("{url}?partitions=1"));
    let node = Tap::start(&["record", "-i", "lo", "-p", &port.to_string(), "-o", &one, "--user", "root"]);
    ask(port, "long", 1000, 60_000);
    until("all to be captured", || node.said().contains("1,000 recorded"));
    let ended = node.end("INT");
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), 1000), "{}", ended.said);
    (url, production.seen())
}

/// Replays a long recording at a pace, with something that happens to the store on the way.
fn at_a_pace(name: &str, happens: impl FnOnce(&mut Nats)) {
    let (mut nats, staging) = (Nats::start(), Origin::start());
    let (url, expected) = long(&nats, name);
    let replayer = replayer(&url, &staging, &["--rate", "200/s"]);
    until("it to send", || total(&staging.seen()) > 100);
    happens(&mut nats);
    let ended = replayer.ended();
    assert_eq!((ended.code, sent(&ended)), (Some(0), 1000), "{}", ended.said);
    assert_eq!(staging.seen(), expected, "each request once");
}

pub(crate) fn store_is_started_again() {
    at_a_pace("again", |nats| {
        nats.stop();
        nats.start_again();
    });
}

pub(crate) fn rate_is_kept_after_a_silence() {
    let (mut nats, staging) = (Nats::start(), Origin::start());
    let (url, expected) = long(&nats, "silence");
    let replayer = replayer(&url, &staging, &["--rate", "200/s"]);
    until("it to send", || total(&staging.seen()) > 100);
    nats.stop();
    let mut before = 0;
    until("all that was read ahead to be sent", || {
        thread::sleep(Duration::from_millis(500));
        std::mem::replace(&mut before, total(&staging.seen())) == before
    });
    // As much as it would send of what is left.
    let left = 1000 - before;
    let of_rate = Duration::from_secs(left) / 200;
    thread::sleep(of_rate);
    nats.start_again();
    let begun = Instant::now();
    let ended = replayer.ended();
    assert!(left > 200 && begun.elapsed() > of_rate * 9 / 10, "{left} of 200/s in {:?}", begun.elapsed());
    assert_eq!((ended.code, sent(&ended)), (Some(0), 1000), "{}", ended.said);
    assert_eq!(staging.seen(), expected, "each request once");
}

pub(crate) fn reader_is_forgotten() {
    at_a_pace("forgotten", |nats| nats.forget_readers("forgotten"));
}

pub(crate) fn one_has_nothing() {
    let (nats, production, staging) = (Nats::start(), Origin::start(), Origin::start());
    let (url, port, target) = (nats.url("one"), production.port, staging.url());
    let node = Tap::start(&["record", "-i", "lo", "-p", &port.to_string(), "-o", &url, "--user", "root"]);
    ask(port, "only", 1, 0);
    let replayers = [(); 2].map(|()| Tap::launch(&mut Tap::program(), &["replay", &url, "--to", &target]));
    until("both to take part", || report(&url).contains("2 replayers"));
    until("the request to come", || total(&staging.seen()) == 1);
    assert_eq!(node.end("INT").code, Some(0));
    let ended = replayers.map(Tap::ended);
    let (busy, idle): (Vec<_>, Vec<_>) = ended.iter().partition(|ended| sent(ended) == 1);
    assert_eq!((busy.len(), idle.len()), (1, 1));
    for ended in &ended {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_eq!((&ended.summary["fleet"]["over"], ended.count("/fleet/ended")), (&true.into(), 1));
    }
    assert!(idle[0].said.contains("other replayers had all requests of this run"), "{}", idle[0].said);
}
