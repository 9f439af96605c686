//! What a run may still do once it goes on: the real program, and this one from within.
//!
//! Where the kernel has no Landlock or no seccomp, a trial that needs it is ignored, and its name says so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "../support/files.rs"]
mod files;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/trials.rs"]
mod trials;

mod inside;
mod runs;

use libtest_mimic::{Arguments, Trial};
use trials::trial;

fn main() {
    if inside::is_asked() {
        return inside::report();
    }
    let lacks = inside::lacks();
    let lacks: Vec<&str> = lacks.iter().map(String::as_str).collect();
    let root = if rustix_is_root() { vec![] } else { vec!["root"] };
    let rooted = [lacks.as_slice(), root.as_slice()].concat();
    let all: Vec<Trial> = vec![
        trial("from within: files, programs and calls that a run has no use for are refused", &lacks, inside::refused),
        trial("from within: what a run needs is there", &lacks, inside::served),
        trial("a replay is limited, tells so, and keeps of root's rights those of files", &rooted, runs::limited),
        trial("--no-sandbox leaves it out, and says so", &[], runs::left_out),
        trial("a middleware is limited with its run, started again, and does its work", &rooted, runs::middleware),
        trial("a guard command is limited with its run, and heard", &rooted, runs::guard),
        trial("SIGHUP reads files that were replaced, and maps elsewhere", &rooted, runs::reread),
        trial("that SIGHUP will not read a file again is told at the start", &rooted, runs::unreadable),
        trial("certificates are read, and TLS is spoken", &lacks, runs::encrypted),
        trial("a target is looked up by its name", &lacks, runs::named),
    ];
    libtest_mimic::run(&Arguments::from_args(), all).exit();
}

fn rustix_is_root() -> bool {
    rustix::process::geteuid().is_root()
}
