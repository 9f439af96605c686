//! `shadowtap report --merge`: several runs added up to one.

use anyhow::{Context as _, bail};
use shadowtap::recording::place;
use shadowtap::report::merge::MergedRun;

use crate::args::ReportCommand;
use crate::report::{NEITHER, ResultsKind, RunResults, of_run_once};

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
    let mut merged = MergedRun::default();
    for file in &args.files {
        let name = file.display().to_string();
        if place::is_store(file) {
            bail!("--merge: {name} is a recording, whose report adds its replayers up by itself: leave --merge out");
        }
        let found = of_run_once(file)?;
        let found = found.with_context(|| format!("--merge: {name} {NEITHER}"))?;
        merged.add(&name, found.summary).context("cannot add the runs up")?;
    }
    Ok(RunResults { summary: merged.finish(), kind: ResultsKind::Sum })
}
