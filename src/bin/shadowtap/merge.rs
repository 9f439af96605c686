//! `shadowtap report --merge`: several runs added up to one.

use anyhow::{Context as _, bail};
use shadowtap::recording::place;
use shadowtap::report::merge::MergedRun;

use crate::args::ReportCommand;
use crate::run_results::{self, ResultsKind, RunResults, is_stdin, source_name};

/// Adds the runs up.
pub(crate) fn of(args: &ReportCommand) -> anyhow::Result<RunResults> {
    let given = [
        ("--against", args.against.is_some(), "write the sum with --summary FILE, and compare that"),
        ("--observe", args.observe.is_some(), "it is played through over the results of one run"),
        ("--advise", args.advise.advise.is_some(), "it goes through the results of one run"),
    ];
    if let Some((flag, _, instead)) = given.into_iter().find(|(_, given, _)| *given) {
        bail!("{flag} does not go with --merge: {instead}");
    }
    if args.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        bail!("--merge: standard input is one run, and stands there twice: write one of them to a file");
    }
    let mut found = Vec::new();
    for file in &args.files {
        if place::is_store(file) {
            let name = file.display();
            bail!("--merge: {name} is a recording, whose report adds its replayers up by itself: leave --merge out");
        }
        found.push((source_name(file), run_results::expect(file, "--merge")?));
    }
    // What unfinished runs add up to is one as well.
    let is_unfinished = |(_, run): &&(String, RunResults)| run.kind == ResultsKind::Unfinished;
    if let Some((name, _)) = found.iter().find(is_unfinished).filter(|_| !found.iter().all(|run| is_unfinished(&run))) {
        bail!(
            "--merge: {name} has results without the summary at their end: the run that wrote it was killed, or still goes on: \
             wait for its end, or leave it out; `shadowtap report {name}` shows its part"
        );
    }
    let mut merged = MergedRun::default();
    for (name, run) in found {
        merged.add(&name, run.summary).context("cannot add the runs up")?;
    }
    Ok(RunResults { summary: merged.finish(), kind: ResultsKind::Sum })
}
