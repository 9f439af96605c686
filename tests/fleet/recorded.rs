//! What nodes record into a store, and what is read of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use crate::origin::{Origin, ask};
use crate::programs::{Ended, Tap, folder, until};
use crate::server::Nats;

/// Starts a node that records what reaches `origin`.
pub(crate) fn node(origin: &Origin, url: &str, more: &[&str]) -> Tap {
    let port = origin.port.to_string();
    Tap::start(&[&["record", "-i", "lo", "-p", &port, "-o", url, "--user", "root"], more].concat())
}

/// Runs another command to its end.
pub(crate) fn shadowtap(arguments: &[&str]) -> Ended {
    Tap::launch(&mut Tap::program(), arguments).ended()
}

/// All of it, replayed at once.
fn replayed(url: &str, to: &Origin) -> Ended {
    let target = to.url();
    shadowtap(&["replay", url, "--to", &target, "--speed", "max", "--allow-writes"])
}

pub(crate) fn by_two_nodes() {
    let (nats, production, other, staging) = (Nats::start(), Origin::start(), Origin::start(), Origin::start());
    let url = nats.url("evening");
    let nodes = [node(&production, &url, &[]), node(&other, &url, &[])];
    let ports = [production.port, other.port];
    let clients: Vec<_> = (0..8).map(|n| thread::spawn(move || ask(ports[n % 2], &format!("c{n}"), 100, 20))).collect();
    for client in clients {
        client.join().unwrap();
    }
    for node in nodes {
        until("all to be captured", || node.said().contains("400 recorded"));
        let ended = node.end("INT");
        ended.lost_nothing();
        assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), 400), "{}", ended.said);
    }
    let read = shadowtap(&["inspect", &url]);
    assert_eq!((read.code, read.count("/requests/seen")), (Some(0), 800), "{}", read.said);
    let replay = replayed(&url, &staging);
    assert_eq!((replay.code, replay.of_target("/ended/sent")), (Some(0), 800), "{}", replay.said);
    let expected = production.seen().into_iter().chain(other.seen()).collect();
    assert_eq!(staging.seen(), expected);
}

pub(crate) fn large_bodies() {
    let (nats, production, staging) = (Nats::start(), Origin::start(), Origin::start());
    let url = nats.url("large");
    let node = node(&production, &url, &[]);
    ask(production.port, "big", 8, 9 << 20);
    until("all to be captured", || node.said().contains("8 recorded"));
    let ended = node.end("INT");
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), 8), "{}", ended.said);
    let replay = replayed(&url, &staging);
    assert_eq!((replay.code, replay.of_target("/ended/sent")), (Some(0), 8), "{}", replay.said);
    assert_eq!(staging.seen(), production.seen());
}

pub(crate) fn over_a_restart() {
    let (mut nats, production, staging) = (Nats::start(), Origin::start(), Origin::start());
    let url = nats.url("restart");
    let node = node(&production, &url, &[]);
    ask(production.port, "before", 200, 20);
    until("all to be captured", || node.said().contains("200 recorded"));
    nats.kill();
    ask(production.port, "away", 200, 20);
    until("the store to be missed", || node.said().contains("cannot store in"));
    nats.start_again();
    until("the store to be there again", || node.said().contains("recording goes on"));
    ask(production.port, "after", 200, 20);
    until("all to be stored", || node.said().contains("600 recorded"));
    let ended = node.end("INT");
    ended.lost_nothing();
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), 600), "{}", ended.said);
    let replay = replayed(&url, &staging);
    assert_eq!((replay.code, replay.of_target("/ended/sent")), (Some(0), 600), "{}", replay.said);
    assert_eq!(staging.seen(), production.seen());
}

pub(crate) fn store_stays_away() {
    let (mut nats, production) = (Nats::start(), Origin::start());
    let url = nats.url("away");
    let node = node(&production, &url, &["--max-memory", "16M"]);
    ask(production.port, "before", 100, 20);
    until("all to be captured", || node.said().contains("100 recorded"));
    nats.kill();
    // An eighth of the memory is for this: 2 MiB, and these are more.
    ask(production.port, "away", 400, 40_000);
    until("the store to be missed", || node.said().contains("cannot store in"));
    let ended = node.end("INT");
    let (seen, stored, lost) =
        (ended.count("/requests/seen"), ended.count("/recording/requests"), ended.count("/recording/requests_lost"));
    // What did not even find room on its way to the thread that records: the memory for that is as small.
    let shed = ended.count("/requests/ended/shed/recording");
    assert_eq!((ended.code, seen, stored), (Some(2), 500, 100), "{}", ended.said);
    assert_eq!(stored + lost + shed, seen, "{}", ended.summary["recording"]);
}

pub(crate) fn store_does_not_keep_up() {
    let (nats, production) = (Nats::start(), Origin::start());
    let url = nats.url("slow");
    let node = node(&production, &url, &["--max-memory", "16M"]);
    ask(production.port, "before", 100, 20);
    until("all to be captured", || node.said().contains("100 recorded"));
    nats.signal("STOP");
    // An eighth of the memory is for this: 2 MiB, and these are more.
    ask(production.port, "held", 400, 40_000);
    until("that to be told", || node.said().contains("does not keep up"));
    nats.signal("CONT");
    until("the store to take the rest", || node.said().contains("recording goes on"));
    ask(production.port, "after", 100, 20);
    until("all to be captured", || node.said().contains("600 seen"));
    let ended = node.end("INT");
    let count = |pointer: &str| ended.count(pointer);
    assert_eq!((ended.code, count("/requests/seen")), (Some(2), 600), "{}", ended.said);
    let (shed, recording) = (count("/requests/ended/shed/recording"), &ended.summary["recording"]);
    assert_eq!(count("/recording/requests") + count("/recording/requests_lost") + shed, 600, "{recording}");
    // A request that found no room on its way to the thread that records is one of those in the queue; its response is none.
    let lost = count("/recording/lost/store") + count("/recording/lost/queue");
    assert_eq!(count("/recording/records") + lost, 1200 - shed, "{recording}");
    for words in ["does not keep up", "recording goes on"] {
        assert_eq!(ended.said.matches(words).count(), 1, "{words}: {}", ended.said);
    }
    assert!(!ended.said.contains("disk"), "{}", ended.said);
}

/// What doctor finds of a store, as `state check: says`, and its exit code.
fn looked_at(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Tap::program().arg("doctor").args(arguments).args(["--json", "--listen", "1s"]).output().unwrap();
    let all: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = all["findings"].as_array().unwrap().iter();
    let word = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let lines = findings.map(|one| ["state", "check", "says", "mend"].map(|key| word(one, key)).join(" | "));
    (output.status.code(), lines.collect::<Vec<_>>().join("\n"))
}

pub(crate) fn looked_at_by_doctor() {
    let nats = Nats::start();
    let url = nats.url("looked");
    let (code, said) = looked_at(&[&url]);
    assert!(
        code == Some(2) && said.contains("ok | store | ") && said.contains("problem | recording | there is no"),
        "{said}"
    );
    let record = ["-i", "lo", "-p", "80", "-o", &url];
    let (_, said) = looked_at(&record);
    assert!(said.contains("ok | recording | looked is not there yet; there is room"), "{said}");
    assert!(said.contains("ok | store clock | "), "{said}");
    let large = format!("{url}?max-bytes=900000G");
    let (code, said) = looked_at(&["-i", "lo", "-p", "80", "-o", &large]);
    assert!(code == Some(2) && said.contains("problem | recording | ") && said.contains("max-bytes"), "{said}");
    assert!(!nats.ask("STREAM.NAMES", "").to_string().contains("looked"), "something of it stayed");
    let staging = Origin::start();
    let (url, _) = crate::shared::recorded(&nats, "whole");
    let (code, said) = looked_at(&[&url, "--to", &staging.url()]);
    assert!(code == Some(0) && said.contains("ok | recording | whole has "), "{said}");
    let replayed = crate::shared::replayer(&url, &staging, &["--speed", "max"]).ended();
    assert_eq!(replayed.code, Some(0), "{}", replayed.said);
    let (code, said) = looked_at(&[&url]);
    assert!(code == Some(2) && said.contains("all of whole was replayed") && said.contains("?run=2"), "{said}");
    let without = Nats::with(&[]);
    let (code, said) = looked_at(&[&without.url("any")]);
    assert!(code == Some(2) && said.contains("JetStream") && said.contains("problem | "), "{said}");
    drop(without);
    let closed = Nats::with(&["-js", "--user", "a", "--pass", "b"]);
    let (code, said) = looked_at(&[&closed.url("any")]);
    assert!(code == Some(2) && said.contains("--nats-credentials FILE"), "{said}");
}

pub(crate) fn refused() {
    let said = |arguments: &[&str]| {
        let ended = shadowtap(arguments);
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        ended.said
    };
    let open = Nats::start();
    let missing = said(&["inspect", &open.url("none")]);
    assert!(missing.contains("there is no recording none on 127.0.0.1:"), "{missing}");
    let closed = Nats::with(&["-js", "--auth", "s3cret"]);
    let file = closed.folder().join("token");
    let named = file.to_str().unwrap();
    let denied = said(&["inspect", &closed.url("x")]);
    assert!(denied.contains("refuses the credentials: it was given none; give a file"), "{denied}");
    fs::write(&file, "wrong\n").unwrap();
    let denied = said(&["inspect", &closed.url("x"), "--nats-credentials", named]);
    assert!(denied.contains("refuses the credentials"), "{denied}");
    fs::write(&file, "s3cret\n").unwrap();
    let there = said(&["inspect", &closed.url("x"), "--nats-credentials", named]);
    assert!(there.contains("there is no recording x"), "{there}");
    let plain = Nats::with(&[]);
    let without = said(&["inspect", &plain.url("x")]);
    assert!(without.contains("JetStream"), "{without}");
}

pub(crate) fn spool_is_checked_first() {
    let (nats, files) = (Nats::start(), folder());
    let spool = files.path().join("not-there").join("spool");
    let arguments = ["record", "-i", "lo", "-o", &nats.url("early"), "--user", "root", "--nats-spool"];
    let refused = shadowtap(&[arguments.as_slice(), &[spool.to_str().unwrap()]].concat());
    assert!(refused.code == Some(2) && refused.said.contains("not-there"), "{}", refused.said);
    let streams = nats.ask("STREAM.NAMES", "").to_string();
    assert!(!streams.contains("early"), "a recording was made for nothing: {streams}");
}

pub(crate) fn spooled() {
    let (nats, production, staging, files) = (Nats::start(), Origin::start(), Origin::start(), folder());
    let (url, spool) = (nats.url("spooled"), files.path().join("spool"));
    let node = node(&production, &url, &["--max-memory", "32M", "--nats-spool", spool.to_str().unwrap()]);
    ask(production.port, "before", 100, 20);
    until("all to be captured", || node.said().contains("100 recorded"));
    // The server stands still: what was sent to it may arrive yet.
    nats.signal("STOP");
    // An eighth of the memory is for this: 4 MiB, and these are 12.
    ask(production.port, "away", 600, 100_000);
    until("the store to be missed", || node.said().contains("cannot store in"));
    let is_kept = || fs::metadata(&spool).is_ok_and(|file| file.len() > 4 << 20);
    until("the file to have what has no room in memory", is_kept);
    assert_eq!(fs::metadata(&spool).unwrap().permissions().mode() & 0o777, 0o600);
    nats.signal("CONT");
    until("the store to be there again", || node.said().contains("recording goes on"));
    ask(production.port, "after", 100, 20);
    until("all to be stored", || node.said().contains("800 recorded"));
    let ended = node.end("INT");
    ended.lost_nothing();
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), 800), "{}", ended.said);
    assert!(!spool.exists(), "nothing is left for it");
    let replay = replayed(&url, &staging);
    assert_eq!((replay.code, replay.of_target("/ended/sent")), (Some(0), 800), "{}", replay.said);
    assert_eq!(staging.seen(), production.seen());
}

/// The number before these words.
fn number_before(said: &str, words: &str) -> Option<u64> {
    said.split_once(words)?.0.rsplit(' ').next()?.replace(',', "").parse().ok()
}

pub(crate) fn spool_of_a_killed_node() {
    let (mut nats, production, staging, files) = (Nats::start(), Origin::start(), Origin::start(), folder());
    let (url, spool) = (nats.url("left"), files.path().join("spool"));
    let flags = ["--max-memory", "64M", "--nats-spool", spool.to_str().unwrap()];
    let first = node(&production, &url, &flags);
    ask(production.port, "before", 100, 20);
    until("all to be captured", || first.said().contains("100 recorded"));
    nats.kill();
    ask(production.port, "away", 500, 100_000);
    until("the file to have some of it", || fs::metadata(&spool).is_ok_and(|file| file.len() > 6 << 20));
    first.end("KILL");
    nats.start_again();

    // The file is of this recording alone.
    let other = nats.url("other");
    let port = production.port.to_string();
    let refused =
        shadowtap(&[&["record", "-i", "lo", "-p", &port, "-o", &other, "--user", "root"], &flags[..]].concat());
    assert!(refused.code == Some(2) && refused.said.contains("holds what was recorded for `left`"), "{}", refused.said);

    let second = node(&production, &url, &flags);
    until("what was left to be stored", || second.said().contains("stored what an earlier start left in"));
    let left = number_before(&second.said(), " requests that an earlier start of this node left").unwrap();
    assert!((1..=500).contains(&left), "{}", second.said());
    ask(production.port, "after", 100, 20);
    until("all to be captured", || second.said().contains("100 recorded"));
    let ended = second.end("INT");
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), 100), "{}", ended.said);
    assert!(!spool.exists(), "nothing is left for it");
    let replay = replayed(&url, &staging);
    assert_eq!((replay.code, replay.of_target("/ended/sent")), (Some(0), 100 + left + 100), "{}", replay.said);
    let (seen, expected) = (staging.seen(), production.seen());
    assert!(
        seen.iter().all(|(what, times)| *times == 1 && expected.contains_key(what)),
        "something came twice, or changed"
    );
    for tag in ["before", "after"] {
        assert_eq!(seen.keys().filter(|what| what.contains(tag)).count(), 100, "{tag}");
    }
}
