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
