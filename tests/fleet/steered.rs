//! Replayers that share a recording, and are steered together.

use std::process::Output;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::origin::{Origin, ask};
use crate::programs::{Ended, Tap, until};
use crate::server::Nats;
use crate::shared::{ALL, once, recorded, replayer, report, sent, total};

/// Time that an order may take to hold everywhere.
const HOLDS: Duration = Duration::from_secs(2);

/// Gives an order, or looks.
fn control(url: &str, words: &[&str]) -> Output {
    Tap::program().args(["control", "--at", url]).args(words).output().unwrap()
}

/// Gives an order that both replayers have to take up.
#[track_caller]
fn order(url: &str, words: &[&str]) {
    let output = control(url, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("taken up by 2 of 2 replayers"), "{said}");
}

fn status(url: &str) -> Value {
    let output = control(url, &["status", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until both hold half of the partitions and send.
fn both_send(url: &str, staging: &Origin) {
    until("both to hold their share", || {
        let status = status(url);
        let held = |n: usize| status["replayers"][n]["partitions"].as_u64();
        (held(0), held(1)) == (Some(8), Some(8))
    });
    let before = total(&staging.seen());
    until("them to send", || total(&staging.seen()) > before + 20);
}

pub(crate) fn paused() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, expected) = recorded(&nats, "paused");
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "100/s"]));
    both_send(&url, &staging);
    order(&url, &["pause"]);
    thread::sleep(HOLDS);
    let before = total(&staging.seen());
    // Longer than it takes until a replayer that says nothing is missed.
    thread::sleep(Duration::from_secs(8));
    assert_eq!(total(&staging.seen()), before, "nothing is sent");
    let now = status(&url);
    assert_eq!((&now["orders"]["paused"], now["total"]["partitions"].as_u64()), (&true.into(), Some(16)), "{now}");
    let late = replayer(&url, &staging, &["--rate", "100/s"]);
    until("the third to take it up", || status(&url)["replayers"][2]["paused"] == true);
    thread::sleep(HOLDS);
    assert_eq!(total(&staging.seen()), before, "nor by one that joins");
    assert!(control(&url, &["resume"]).status.success());
    let mut ended: Vec<Ended> = replayers.into_iter().map(Tap::ended).collect();
    ended.push(late.ended());
    for ended in &ended {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(ended.said.contains("paused by ") && ended.said.contains("for all replayers"), "{}", ended.said);
    }
    assert_eq!(ended.iter().map(sent).sum::<u64>(), ALL);
    assert_eq!(staging.seen(), expected, "each request once");
}

pub(crate) fn sampled() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, _) = recorded(&nats, "sampled");
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "100/s"]));
    both_send(&url, &staging);
    order(&url, &["sample", "0%"]);
    thread::sleep(HOLDS);
    let before = total(&staging.seen());
    let ended = replayers.map(Tap::ended);
    assert_eq!(total(&staging.seen()), before, "the rest of it is none of the sample");
    let left = ended.iter().map(|ended| ended.count("/requests/ended/sampled_out")).sum::<u64>();
    assert_eq!(ended.iter().map(sent).sum::<u64>() + left, ALL);
    assert!(left > 0 && ended.iter().all(|ended| ended.summary["sample"]["asked"] == 0.0));
}

pub(crate) fn stopped() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, expected) = recorded(&nats, "halted");
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "100/s"]));
    both_send(&url, &staging);
    // Replayers tell how much they sent now and then.
    until("them to tell of it", || status(&url)["total"]["sent"] != 0);
    let now = status(&url);
    let (there, counted) = (&now["total"]["there"], now["total"]["sent"].as_u64().unwrap());
    assert!(*there == 2 && counted > 0 && counted <= total(&staging.seen()), "{now}");
    let text = String::from_utf8(control(&url, &["status"]).stdout).unwrap();
    assert!(text.contains("2 replayers; 16 partitions held") && text.matches("8 partitions;").count() == 2, "{text}");
    order(&url, &["stop"]);
    let ended = replayers.map(Tap::ended);
    let went = ended.iter().map(sent).sum::<u64>();
    assert!(went < ALL && ended.iter().all(|ended| ended.code == Some(0)), "{went}: {}", ended[0].said);
    assert_eq!(went, total(&staging.seen()));
    let now = status(&url);
    assert_eq!(
        (&now["total"]["there"], &now["total"]["ended"], &now["total"]["sent"]),
        (&0.into(), &2.into(), &went.into())
    );
    // What was not sent is there for whoever begins after it.
    let after = replayer(&url, &staging, &["--speed", "max"]).ended();
    assert_eq!((after.code, went + sent(&after)), (Some(0), ALL), "{}", after.said);
    assert_eq!(staging.seen(), expected, "each request once");
}

pub(crate) fn not_heard() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, _) = recorded(&nats, "silent");
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "50/s"]));
    both_send(&url, &staging);
    replayers[0].signal("STOP");
    let output = control(&url, &["sample", "50%"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("taken up by 1 of 2 replayers"), "{said}");
    let named = format!("(process {})", replayers[0].id());
    assert!(said.contains("not taken up within 5 s by ") && said.contains(&named), "{said}");
    replayers[0].signal("CONT");
    until("it to take the order up, late", || status(&url)["replayers"][0]["share"] == 0.5);
    order(&url, &["stop"]);
    for replayer in replayers {
        assert_eq!(replayer.ended().code, Some(0));
    }
}

pub(crate) fn overtaken() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, _) = recorded(&nats, "twice");
    let nobody = control(&url, &["resume"]);
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(nobody.status.code() == Some(1) && said.contains("nobody takes it up"), "{said}");
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "50/s"]));
    both_send(&url, &staging);
    replayers[0].signal("STOP");
    let first = {
        let url = url.clone();
        thread::spawn(move || control(&url, &["pause"]))
    };
    until("the first order to stand", || status(&url)["orders"]["number"] == 2);
    let second = {
        let url = url.clone();
        thread::spawn(move || control(&url, &["resume"]))
    };
    until("the second order to stand", || status(&url)["orders"]["number"] == 3);
    replayers[0].signal("CONT");
    let [first, second] = [first, second].map(|order| order.join().unwrap());
    let said = String::from_utf8(first.stderr).unwrap();
    assert!(said.contains("pause (order 2 of run 1): overtaken by resume (order 3)"), "{said}");
    assert_eq!((first.status.code(), second.status.code()), (Some(1), Some(0)), "{said}");
    order(&url, &["stop"]);
    for replayer in replayers {
        assert_eq!(replayer.ended().code, Some(0));
    }
}

/// A replayer of a target that it reaches at this origin, with this much more.
fn guarded(url: &str, at: &Origin, more: &[&str]) -> Tap {
    let to = ["replay", url, "--to", "http://staging", "--connect-to", &format!("127.0.0.1:{}", at.port)];
    let arguments = [&to, ["--allow-writes", "--allow-empty", "--rate", "100/s"].as_slice(), more].concat();
    Tap::launch(&mut Tap::program(), &arguments)
}

pub(crate) fn guards() {
    let (nats, good, bad) = (Nats::start(), Origin::start(), Origin::failing());
    let (url, _) = recorded(&nats, "guards");
    let guard = ["--guard", "errors>20%/4s", "--on-guard", "stop"];
    let replayers = [guarded(&url, &good, &guard), guarded(&url, &bad, &guard)];
    let [well, ill] = replayers.map(Tap::ended);
    // Half of what all see are errors: the one whose own are none goes down with the other.
    for (ended, target) in [(&well, &good), (&ill, &bad)] {
        let guard = ended.summary["targets"].as_object().unwrap().values().next().unwrap()["guard"].clone();
        assert_eq!(guard["state"], "stopped", "{guard}: {}\n{}", ended.said, ill.said);
        assert_eq!(sent(ended), total(&target.seen()), "{}", ended.said);
    }
    assert!(sent(&well) + sent(&ill) < ALL, "both went on");
    assert_eq!(well.of_target("/statuses/503"), 0);
    let told = |ended: &Ended| ended.said.contains("at other replayers") || ended.said.contains(" decided: errors ");
    assert!(told(&well), "it has to say whose errors they are: {}", well.said);
}

/// The step of each replayer's ramp.
fn steps(url: &str) -> Vec<u64> {
    let status = status(url);
    let replayers = status["replayers"].as_array().unwrap();
    replayers.iter().filter_map(|one| one["step"].as_u64()).collect()
}

pub(crate) fn ramps() {
    let (nats, good, bad) = (Nats::start(), Origin::start(), Origin::failing());
    let (url, _) = recorded(&nats, "ramps");
    let ramp = ["--ramp", "40%:6s,60%:30s,100%", "--guard", "errors>45%/4s", "--rate", "40/s"];
    let first = Tap::launch(
        &mut Tap::program(),
        &[&["replay", &url, "--to", &good.url(), "--allow-writes"], ramp.as_slice()].concat(),
    );
    until("the first to climb", || steps(&url) == [2]);
    let second = Tap::launch(
        &mut Tap::program(),
        &[&["replay", &url, "--to", &bad.url(), "--allow-writes"], ramp.as_slice()].concat(),
    );
    until("the second to be where the first is", || steps(&url) == [2, 2]);
    until("a fall of one to be one of both", || steps(&url) == [1, 1]);
    order(&url, &["stop"]);
    let [first, second] = [first, second].map(Tap::ended);
    assert!(first.said.contains(" decided: errors "), "{}", first.said);
    assert!(second.said.contains(" decided: 40% held"), "{}", second.said);
}

pub(crate) fn store_is_not_heard() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, expected) = recorded(&nats, "unheard");
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "60/s"]));
    both_send(&url, &staging);
    nats.signal("STOP");
    for replayer in &replayers {
        replayer.says("nothing is sent until it is");
    }
    let before = total(&staging.seen());
    thread::sleep(HOLDS);
    assert_eq!(total(&staging.seen()), before);
    nats.signal("CONT");
    let ended = replayers.map(Tap::ended);
    for ended in &ended {
        assert_eq!((ended.code, ended.said.matches("sending goes on").count() > 0), (Some(0), true), "{}", ended.said);
    }
    let uncertain = ended.iter().map(|ended| ended.of_target("/ended/shed/uncertain")).sum();
    once(&staging.seen(), &expected, uncertain);
}

pub(crate) fn limited() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, _) = recorded(&nats, "limited");
    // 800 requests at 100 a second, of which 40 a second pass.
    let limit = ["--rate", "100/s", "--limit", "40/s"];
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &limit));
    let ended = replayers.map(Tap::ended);
    let (passed, kept) = (
        ended.iter().map(sent).sum::<u64>(),
        ended.iter().map(|one| one.count("/requests/ended/rate_limited")).sum::<u64>(),
    );
    assert_eq!(passed + kept, ALL);
    // What passes at once at the beginning comes on top: a second of it for each, until they know of each other.
    assert!((ALL * 3 / 10..=ALL * 6 / 10).contains(&passed), "{passed} of {ALL} passed");
}

pub(crate) fn follow_limited() {
    let (nats, staging) = (Nats::start(), Origin::start());
    let (url, _) = recorded(&nats, "backlog");
    let to = staging.url();
    let replayer = Tap::launch(
        &mut Tap::program(),
        &["replay", &url, "--follow", "--limit", "40/s", "--to", &to, "--allow-writes"],
    );
    until("all of it to be read", || report(&url).contains(&format!("{ALL} published = {ALL} ended")));
    assert!(control(&url, &["stop"]).status.success());
    let ended = replayer.ended();
    let (sent, seconds) = (sent(&ended), ended.summary["duration_s"].as_f64().unwrap());
    assert_eq!(sent + ended.count("/requests/ended/rate_limited"), ALL, "{}", ended.said);
    // A second's worth of requests may come at once.
    assert!(sent >= 40 && (sent as f64) <= 40.0 * (seconds + 2.0), "{sent} in {seconds} s");
}

pub(crate) fn follow_paused() {
    let (nats, production, staging) = (Nats::start(), Origin::start(), Origin::start());
    let (url, port, to) = (nats.url("followed"), production.port, staging.url());
    let node = Tap::start(&["record", "-i", "lo", "-p", &port.to_string(), "-o", &url, "--user", "root"]);
    let follow = ["replay", &url, "--follow", "--to", &to, "--allow-writes"];
    let replayers = [(); 2].map(|()| Tap::launch(&mut Tap::program(), &follow));
    until("both to take part", || status(&url)["total"]["partitions"] == 16 && status(&url)["total"]["there"] == 2);
    let ask_all = |tag: &str| (0..8).for_each(|n| ask(port, &format!("{tag}{n}"), 25, 20));
    ask_all("before");
    until("them to send", || total(&staging.seen()) == 200);
    order(&url, &["pause"]);
    ask_all("paused");
    thread::sleep(HOLDS);
    assert_eq!(total(&staging.seen()), 200, "nothing is sent");
    order(&url, &["resume"]);
    until("the rest to be sent", || total(&staging.seen()) == 400);
    order(&url, &["stop"]);
    for ended in replayers.map(Tap::ended) {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
    assert_eq!(staging.seen(), production.seen(), "each request once");
    assert_eq!(node.end("INT").code, Some(0));
}
