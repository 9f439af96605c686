//! A configuration that is read again on SIGHUP: what it says then holds, and where it has a mistake nothing changes.

use std::fs;
use std::path::Path;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, folder, until};
use crate::traffic::curl;

const TARGET: &str = "127.0.0.1:8080";
/// Requests of each kind, each time.
const REQUESTS: usize = 10;

/// What production is asked for, and what of it reaches the target.
struct Shadowed<'a> {
    network: &'a Network,
    tap: &'a Tap,
    target: &'a Nginx,
    seen: usize,
}

impl Shadowed<'_> {
    /// Asks for `/one/` and for `/two/`, waits until the run is through with them, and returns what reached the target.
    #[track_caller]
    fn reached(&mut self) -> Vec<String> {
        let before = self.target.logged().len();
        for name in ["one", "two"] {
            curl(&mut self.network.client("curl"), SERVER, name, REQUESTS);
        }
        self.seen += 2 * REQUESTS;
        self.tap.says(&format!("{} seen, ", self.seen));
        until("nothing to wait", || self.tap.said().lines().last().is_some_and(|line| line.contains(" 0 waiting")));
        let logged = self.target.logged();
        logged[before..].iter().map(|logged| logged.target.clone()).collect()
    }
}

fn all_of(name: &str) -> Vec<String> {
    (0..REQUESTS).map(|n| format!("/{name}/{n}")).collect()
}

/// As an editor does: the new file takes the place of the old one.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, file).unwrap();
}

pub(crate) fn configuration() {
    let (network, folder) = (Network::new(), folder());
    let (_nginx, target) = (Nginx::start(&format!("{SERVER}:80")), Nginx::start(TARGET));
    let file = folder.path().join("x.toml");
    let common = format!("port = 80\ninterface = \"{WIRE}\"\nto = \"http://{TARGET}\"\nmax-in-flight = 1\n");
    let text = |path: &str| format!("{common}allow-path = \"^/{path}/\"\n");
    fs::write(&file, text("one")).unwrap();
    let tap = Tap::start(&["shadow", "--config", file.to_str().unwrap()]);
    let mut shadowed = Shadowed { network: &network, tap: &tap, target: &target, seen: 0 };
    assert_eq!(shadowed.reached(), all_of("one"));

    replace(&file, &text("two"));
    tap.signal("HUP");
    tap.says("read again: the configuration; allow-path changed");
    assert_eq!(shadowed.reached(), all_of("two"));

    // Written over in place, and with mistakes: all of them are told, and none of the rest is taken.
    fs::write(&file, text("one") + "sampel = \"1%\"\nsample = \"many\"\n").unwrap();
    tap.signal("HUP");
    tap.says("the run goes on as it was: mend the file, and send SIGHUP again");
    let said = tap.said();
    for part in [":6: `sampel` is no flag of shadow; did you mean `sample`?", ":7: --sample: `many`"] {
        assert!(said.contains(&format!("error: {}{part}", file.display())), "{said}");
    }
    assert_eq!(shadowed.reached(), all_of("two"));

    // What needs a restart is named; what does not is taken. The share is one of the run's own settings, and no link of its chain.
    replace(&file, &(text("one") + "sample = \"0%\"\ntimeout = \"7s\"\n"));
    tap.signal("HUP");
    tap.says("read again: the configuration; allow-path, sample changed");
    tap.says("warning: read at the start alone, so a restart is needed: timeout");
    assert!(shadowed.reached().is_empty());
    replace(&file, &text("one"));
    tap.signal("HUP");
    tap.says("read again: the configuration; sample changed");
    assert_eq!(shadowed.reached(), all_of("one"));

    fs::remove_file(&file).unwrap();
    tap.signal("HUP");
    tap.says_times("the run goes on as it was: mend the file, and send SIGHUP again", 2);
    assert_eq!(shadowed.reached(), all_of("one"));
    let ended = tap.end("INT");
    assert_eq!((ended.code, ended.of_target("/ended/sent")), (Some(0), 5 * REQUESTS as u64), "{}", ended.said);
}
