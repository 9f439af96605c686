//! What else befalls a fleet: nodes that are killed, servers that stand still, are full, cut off, too old or thrown away.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::net::may;
use crate::origin::{Origin, ask, ask_slowly};
use crate::programs::{Tap, until};
use crate::recorded::{node, shadowtap};
use crate::server::Nats;
use crate::shared::{ALL, once, recorded, replayer, report, sent, total};
use crate::sums::{all_ended, sums};

/// What says that the store is back.
const GOES_ON: &str = "recording goes on";
/// What is printed once a replayer is missed.
const TAKEN: &str = "taken from a replayer that is lost";

/// Clients that ask for `each` requests over 8 connections, within so many seconds.
fn clients(port: u16, tag: &'static str, each: usize, seconds: u64) -> Vec<JoinHandle<()>> {
    let pause = Duration::from_secs(seconds) / u32::try_from(each).unwrap();
    (0..8).map(|n| thread::spawn(move || ask_slowly(port, &format!("{tag}{n}"), each, 20, pause))).collect()
}

fn join(clients: Vec<JoinHandle<()>>) {
    for client in clients {
        client.join().unwrap();
    }
}

/// Ends a node that stored all of it, and lost nothing.
#[track_caller]
fn has_all(node: Tap, origin: &Origin) {
    let all = total(&origin.seen());
    until("all to be stored", || node.said().replace(',', "").contains(&format!("{all} recorded")));
    let ended = node.end("INT");
    ended.lost_nothing();
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), all), "{}", ended.said);
}

pub(crate) fn node_is_killed() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (production, other) = (Origin::start(), Origin::start());
    let url = nats.url("lost");
    let nodes = [node(&production, &url, &[]), node(&other, &url, &[])];
    ask(production.port, "killed", 200, 20);
    ask(other.port, "other", 200, 20);
    until("all to be stored", || nodes.iter().all(|node| node.said().contains("200 recorded")));
    let [killed, other_node] = nodes;
    killed.signal("KILL");
    let replayer = replayer(&url, &staging, &["--speed", "max"]);
    has_all(other_node, &other);
    let ended = replayer.ended();
    assert_eq!(ended.said.matches("nodes that did not say that they ended count as lost").count(), 1, "{}", ended.said);
    let expected = production.seen().into_iter().chain(other.seen()).collect();
    assert_eq!(staging.seen(), expected, "each request once");
    all_ended(&url, &[ended], &staging.seen(), &expected);
    assert_eq!(sums(&url).seen, 200, "the other one did not say what it saw");
    let judged = shadowtap(&["report", &url, "--fail-if", "lost>0"]);
    let said = judged.said + &report(&url);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(judged.code, Some(1), "{said}");
    for words in [
        "gate failed: lost>0: what was lost is not known: node 0 (",
        ") was killed or cut off: last heard of 20",
        ") did not say what it saw: what was lost there is not known",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("not ended: what"), "{said}");
}

pub(crate) fn store_stands_still() {
    let (nats, production, staging) = (Nats::start(), Origin::start(), Origin::start());
    let (replayed, expected) = recorded(&nats, "replayed");
    let url = nats.url("still");
    let node = node(&production, &url, &[]);
    let asking = clients(production.port, "held", 100, 22);
    let replayers = [(); 2].map(|()| replayer(&replayed, &staging, &["--rate", "60/s"]));
    until("both to send", || total(&staging.seen()) > 100);
    nats.signal("STOP");
    thread::sleep(Duration::from_secs(20));
    nats.signal("CONT");
    join(asking);
    has_all(node, &production);
    assert_eq!(sums(&url).waiting, 800);
    let ended = replayers.map(Tap::ended);
    all_ended(&replayed, &ended, &staging.seen(), &expected);
}

/// What lacks for a partition of the network.
pub(crate) fn lacks_nft() -> Option<&'static str> {
    if !may("nft", &["add", "table", "ip", "cut"]) {
        return Some("nft, or the right to filter packets");
    }
    may("nft", &["delete", "table", "ip", "cut"]);
    None
}

/// Cuts the way to these addresses of this host, and back.
fn cut(addresses: &str) {
    for rule in [
        "table ip cut".to_owned(),
        "chain ip cut input { type filter hook input priority 0; }".to_owned(),
        format!("rule ip cut input ip daddr {{ {addresses} }} drop"),
        format!("rule ip cut input ip saddr {{ {addresses} }} drop"),
    ] {
        let words: Vec<_> = ["add"].into_iter().chain(rule.split(' ')).collect();
        assert!(may("nft", &words), "{words:?}");
    }
}

pub(crate) fn network_is_cut() {
    let (nats, production, staging) = (Nats::with(&["-js", "-a", "0.0.0.0"]), Origin::start(), Origin::start());
    let (replayed, expected) = recorded(&nats, "replayed");
    let url = nats.url("cut");
    let over = |url: &str, address: &str| url.replace("127.0.0.1", address);
    let node = node(&production, &over(&url, "127.0.0.2"), &[]);
    let asking = clients(production.port, "cut", 100, 17);
    let [first, second] = ["127.0.0.3", "127.0.0.4"];
    let first = replayer(&over(&replayed, first), &staging, &["--rate", "40/s"]);
    let second = replayer(&over(&replayed, second), &staging, &["--rate", "40/s"]);
    until("both to send", || total(&staging.seen()) > 100);
    cut("127.0.0.2, 127.0.0.3");
    thread::sleep(Duration::from_secs(15));
    assert!(may("nft", &["delete", "table", "ip", "cut"]));
    assert!(second.said().contains(TAKEN), "{}", second.said());
    join(asking);
    until("recording to go on", || node.said().contains(GOES_ON));
    has_all(node, &production);
    assert_eq!(sums(&url).waiting, 800);
    all_ended(&replayed, &[first.ended(), second.ended()], &staging.seen(), &expected);
}

pub(crate) fn old_ones_make_way() {
    let (nats, production, staging) = (Nats::start(), Origin::start(), Origin::start());
    let url = nats.url("small");
    let node = node(&production, &format!("{url}?max-bytes=16M&partitions=4"), &[]);
    let port = production.port;
    let asking: Vec<_> = (0..8).map(|n| thread::spawn(move || ask(port, &format!("c{n}"), 100, 150_000))).collect();
    join(asking);
    has_all(node, &production);
    let before = sums(&url);
    assert!((before.published, before.ended) == (800, 0) && before.expired > 100 && before.waiting > 100, "{before:?}");
    let ended = replayer(&url, &staging, &["--speed", "max"]).ended();
    assert_eq!((ended.code, sent(&ended)), (Some(0), before.waiting), "{}", ended.said);
    let told = format!("{} requests of {url} are not there any more", before.expired);
    assert!(ended.summary["warnings"][0].as_str().unwrap().starts_with(&told), "{}", ended.said);
    assert!(staging.seen().iter().all(|(what, times)| *times == 1 && production.seen().contains_key(what)));
    let after = sums(&url);
    assert_eq!((after.ended, after.waiting, after.expired), (before.waiting, 0, before.expired));
}

pub(crate) fn store_is_full() {
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(&config, "jetstream { max_file_store: 40M }\n").unwrap();
    let nats = Nats::with(&["-c", config.path().to_str().unwrap()]);
    let (production, staging) = (Origin::start(), Origin::start());
    let refused = shadowtap(&["record", "-i", "lo", "-o", &nats.url("large"), "--user", "root"]);
    assert!(refused.code == Some(2) && refused.said.contains("max-bytes"), "{}", refused.said);
    let others = r#"{"name":"others","subjects":["others"],"storage":"file","retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"num_replicas":1,"discard":"old"}"#;
    nats.ask("STREAM.CREATE.others", others);
    let url = nats.url("full");
    let node = node(&production, &format!("{url}?max-bytes=16M"), &["--max-memory", "16M"]);
    ask(production.port, "before", 100, 2000);
    until("all to be stored", || node.said().contains("100 recorded"));
    nats.fill("others", 60, 700_000);
    // An eighth of the memory is for what waits: 2 MiB, and these are more.
    ask(production.port, "full", 400, 40_000);
    until("that to be told", || node.said().contains("max_file_store is full"));
    nats.ask("STREAM.PURGE.others", "");
    until("the store to take the rest", || node.said().contains(GOES_ON));
    ask(production.port, "after", 100, 2000);
    until("all to be captured", || node.said().contains("600 seen"));
    let ended = node.end("INT");
    let stored = ended.count("/recording/requests");
    let shed = ended.count("/requests/ended/shed/recording");
    assert_eq!((ended.code, ended.count("/requests/seen")), (Some(2), 600), "{}", ended.said);
    assert_eq!(stored + ended.count("/recording/requests_lost") + shed, 600, "{}", ended.summary["recording"]);
    let before = sums(&url);
    assert_eq!((before.seen, before.published, before.waiting), (600, stored, stored));
    let replay = replayer(&url, &staging, &["--speed", "max"]).ended();
    assert_eq!((replay.code, sent(&replay)), (Some(0), stored), "{}", replay.said);
    assert!(staging.seen().iter().all(|(what, times)| *times == 1 && production.seen().contains_key(what)));
}

/// A part of a recording is thrown away while a node records, and while two replay it.
fn part_is_deleted(part: &str, words: &str) {
    let (nats, production, staging) = (Nats::start(), Origin::start(), Origin::start());
    let (replayed, expected) = recorded(&nats, "replayed");
    let url = nats.url("recorded");
    let node = node(&production, &url, &[]);
    ask(production.port, "before", 100, 20);
    until("all to be stored", || node.said().contains("100 recorded"));
    let replayers = [(); 2].map(|()| replayer(&replayed, &staging, &["--rate", "60/s"]));
    until("both to send", || total(&staging.seen()) > 100);
    for name in ["recorded", "replayed"] {
        nats.ask(&format!("STREAM.DELETE.{part}shadowtap-{name}"), "");
    }
    until("that to be told", || node.said().contains(words));
    ask(production.port, "after", 100, 20);
    until("all to be captured", || node.said().contains("200 seen"));
    let ended = node.end("INT");
    assert_eq!((ended.code, ended.count("/requests/seen")), (Some(2), 200), "{}", ended.said);
    let accounted = ended.count("/recording/requests") + ended.count("/recording/requests_lost");
    assert_eq!((accounted, ended.count("/recording/requests_lost")), (200, 100), "{}", ended.summary["recording"]);
    let ended = replayers.map(Tap::ended);
    for ended in &ended {
        assert!(ended.code == Some(2) && ended.said.contains(words), "{}", ended.said);
        assert!(!ended.said.contains("taken from"), "{}", ended.said);
    }
    let (went, seen) = (ended.iter().map(sent).sum::<u64>(), staging.seen());
    assert!(went == total(&seen) && went < ALL, "{went}");
    once(&seen, &seen.keys().map(|what| (what.clone(), 1)).collect(), 0);
    assert!(seen.keys().all(|what| expected.contains_key(what)));
}

pub(crate) fn stream_is_deleted() {
    part_is_deleted("", "the recording is not there any more");
}

pub(crate) fn bucket_is_deleted() {
    part_is_deleted("KV_", "its bucket of keys is not there any more");
}

pub(crate) fn made_anew() {
    let (nats, production, staging) = (Nats::start(), Origin::start(), Origin::start());
    let (other, url) = (Origin::start(), nats.url("anew"));
    let old = node(&production, &url, &[]);
    ask(production.port, "before", 100, 20);
    until("all to be stored", || old.said().contains("100 recorded"));
    nats.ask("STREAM.DELETE.shadowtap-anew", "");
    nats.ask("STREAM.DELETE.KV_shadowtap-anew", "");
    let new = node(&other, &url, &[]);
    until("that to be told", || old.said().contains("(was it thrown away?)"));
    // Both have the number 0: what one of them sends would stand in the way of what the other does.
    ask(production.port, "after", 100, 20);
    ask(other.port, "new", 100, 20);
    until("all to be captured", || old.said().contains("200 seen"));
    let ended = old.end("INT");
    assert_eq!((ended.code, ended.count("/recording/requests_lost")), (Some(2), 100), "{}", ended.said);
    has_all(new, &other);
    let replay = replayer(&url, &staging, &["--speed", "max"]).ended();
    all_ended(&url, &[replay], &staging.seen(), &other.seen());
}

pub(crate) fn server_is_old() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        // It says who it is, and nothing else ever.
        let mut all = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let info = r#"{"server_id":"X","version":"2.2.0","proto":1,"headers":true,"jetstream":true,"max_payload":1048576,"host":"127.0.0.1","port":4222}"#;
            write!(stream, "INFO {info}\r\nPONG\r\n").ok();
            all.push(stream);
        }
    });
    let (url, origin) = (format!("nats://127.0.0.1:{port}/x"), Origin::start());
    let target = origin.url();
    let record = ["record", "-i", "lo", "-p", "1", "-o", &url, "--user", "root"];
    for arguments in [&["inspect", &url][..], &record, &["replay", &url, "--to", &target]] {
        let ended = shadowtap(arguments);
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains("is NATS 2.2.0: a recording needs 2.9 or later"), "{}", ended.said);
    }
}

/// A store that stands still while a replayer is killed, and a node records.
pub(crate) fn two_at_once() {
    let (nats, production) = (Nats::start(), Origin::start());
    let staging = Origin::slow(Duration::from_millis(5));
    let url = nats.url("both");
    let node = node(&production, &url, &[]);
    let asking = clients(production.port, "c", 100, 12);
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "50/s"]));
    until("both to send", || total(&staging.seen()) > 100);
    nats.signal("STOP");
    thread::sleep(Duration::from_secs(2));
    let [first, second] = replayers;
    first.signal("KILL");
    // Long enough for what was asked to be given up: all that comes late then.
    thread::sleep(Duration::from_secs(7));
    nats.signal("CONT");
    join(asking);
    has_all(node, &production);
    let ended = second.ended();
    assert!(ended.said.contains(TAKEN), "{}", ended.said);
    all_ended(&url, &[ended], &staging.seen(), &production.seen());
}
