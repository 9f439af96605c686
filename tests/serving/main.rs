//! A run that is watched and steered over HTTP while it goes on: by hand, by Prometheus, by a browser.
//!
//! Each trial names what it needs. Where that is not there the trial is ignored, and its name says what it lacks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "../support/files.rs"]
mod files;
#[path = "../support/trials.rs"]
mod trials;

mod browser;
mod open;
mod prometheus;
mod run;
mod steering;

use std::process::Child;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

/// Looks, a tenth of a second apart, before something counts as never to come.
const LOOKS: usize = 600;

fn main() {
    let arguments = Arguments::from_args();
    let driven = ["chromium", "chromedriver"];
    let trials = vec![
        trial("a run is read, turned, paused and stopped over HTTP, and its ledger adds up", &[], steering::steered),
        trial("what comes from elsewhere is refused", &[], steering::refused),
        trial("the page is told of routes and times now and then, and of counts each second", &[], steering::told),
        trial("with --log-format json every line on standard error is an object", &[], steering::as_json),
        trial("at an address that others reach only monitoring is open", &[], open::closed),
        trial("a token for the metrics closes them and the probes", &[], open::metrics_closed),
        trial("half requests, from one client and from many, keep nobody out", &[], open::half_requests),
        trial("who says nothing, or half of it, is let go, and who is told of events is not", &[], open::timed),
        trial("nothing but HTTP/1.1 is spoken", &[], open::one_protocol),
        trial("the metrics of a run and the alerts are as Prometheus asks", &["promtool"], prometheus::checked),
        trial("each alert fires when it has to, in words that help", &["promtool"], prometheus::tested),
        trial(
            "Prometheus scrapes a run, and every picture of the dashboard can be drawn",
            &["prometheus"],
            prometheus::scraped,
        ),
        trial(
            "nothing fires while all is well; a stack that fails is held and fires, and is let in again",
            &["prometheus"],
            prometheus::held,
        ),
        trial(
            "a stack that does not keep up fires for what is late and what is shed",
            &["prometheus"],
            prometheus::shed,
        ),
        trial(
            "a browser draws a run while it goes on, and has nothing to complain about",
            &["chromium"],
            browser::shown,
        ),
        trial("the page's buttons pause, turn and stop a run by mouse", &driven, browser::clicked),
        trial("the page's buttons pause, turn and stop a run by keyboard", &driven, browser::typed),
        trial(
            "at an address that others reach the page shows nothing before it has the word",
            &driven,
            browser::locked,
        ),
        trial("the page does nothing without the word of the token file, and says so", &driven, browser::with_a_word),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, programs: &[&str], run: fn()) -> Trial {
    trials::trial(name, &trials::missing(programs), run)
}

/// Waits until there is something.
#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} never came");
}

/// A program that ends with its trial, whatever becomes of that.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
