//! shadowtap's own traffic: it is never shadowed again.

use std::process::Command;

use crate::programs::{Ended, Nginx, Tap};
use crate::traffic::curl;

const ADDRESS: &str = "127.0.0.1:80";
const SHADOW: [&str; 7] = ["shadow", "-i", "lo", "-p", "80", "--to", "http://127.0.0.1:80"];
const REQUESTS: usize = 50;

fn end(tap: Tap) -> Ended {
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("is on this machine, behind a port that is captured"), "{}", ended.said);
    ended.lost_nothing();
    ended
}

/// What was asked of the server goes to it once more from each of `shadows`, and never again.
fn check(shadows: usize) {
    let nginx = Nginx::start(ADDRESS);
    let taps: Vec<_> = (0..shadows).map(|_| Tap::start(&SHADOW)).collect();
    curl(&mut Command::new("curl"), ADDRESS, "asked", REQUESTS);
    let all = REQUESTS * (1 + shadows);
    crate::programs::until("every shadow of every request", || nginx.logged().len() >= all);
    for tap in taps {
        let ended = end(tap);
        assert_eq!(ended.of_target("/ended/sent"), REQUESTS as u64);
        let own = ended.count("/requests/ended/filtered/mark");
        assert_eq!(own, (REQUESTS * shadows) as u64, "what it and others sent");
        assert_eq!(ended.count("/requests/seen"), all as u64);
    }
    let logged = nginx.end();
    let mut marks: Vec<_> = logged.iter().filter_map(|logged| logged.mark.clone()).collect();
    marks.sort();
    marks.dedup();
    assert_eq!((logged.len(), marks.len()), (all, shadows), "each run has a mark of its own");
}

pub(crate) fn marked() {
    check(1);
}

pub(crate) fn two() {
    check(2);
}

/// Runs on a machine that is busy with something else, before two servers that are alike are said not to be.
const RUNS: usize = 5;

/// What the capture itself takes is in no latency of the target, and a figure of its own.
pub(crate) fn alike() {
    let words: Vec<String> = std::iter::repeat_with(verdict_on_the_like).take(RUNS).collect();
    assert!(words.iter().any(|word| word == "same"), "{words:?}");
}

/// The verdict on a target that is what production is.
fn verdict_on_the_like() -> String {
    let (production, target) = (Nginx::start(ADDRESS), Nginx::start("127.0.0.1:8080"));
    let tap = Tap::start(&["shadow", "-i", "lo", "-p", "80", "--to", "http://127.0.0.1:8080"]);
    curl(&mut Command::new("curl"), ADDRESS, "asked", REQUESTS);
    crate::programs::until("the shadow of every request", || target.logged().len() >= REQUESTS);
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    ended.lost_nothing();
    assert_eq!((production.end().len(), target.end().len()), (REQUESTS, REQUESTS));
    let delay = &ended.summary["capture_delay_us"];
    assert_eq!(delay["count"], REQUESTS, "{delay}");
    let figure = |name: &str| delay[name].as_u64().unwrap();
    assert!(figure("min") > 0 && figure("min") <= figure("p50") && figure("p95") <= figure("max"), "{delay}");
    ended.summary["verdict"]["word"].as_str().unwrap().to_owned()
}

pub(crate) fn refused() {
    let nginx = Nginx::start(ADDRESS);
    let ended =
        Tap::launch(&mut Command::new(env!("CARGO_BIN_EXE_shadowtap")), &[&SHADOW[..], &["--mark", "off"]].concat())
            .ended();
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("without a mark each request would be sent again for ever"), "{}", ended.said);
    assert!(ended.said.contains("leave out --mark off"), "{}", ended.said);
    assert!(nginx.end().is_empty());
}
