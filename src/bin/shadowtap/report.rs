//! `shadowtap report`: what a run came to, made again from its results; or what production did, from a capture or a
//! recording.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use shadowtap::config::{self, typed};
use shadowtap::report::gate::Watch;
use shadowtap::report::results::Last;
use shadowtap::report::{Summary, text};

use crate::args::ReportCommand;
use crate::{gates, inspect, terminal};

/// Longest line of results that is looked at, in bytes. A summary has some thousands.
const MAX_LINE: u64 = 16 << 20;

/// Runs the command.
pub(crate) fn run(args: ReportCommand) -> anyhow::Result<ExitCode> {
    match of_results(&args.file)? {
        Some(mut summary) => {
            let asks = demanded(&args, &mut summary)?;
            let width = terminal::or_default(terminal::width_of_stdout());
            let text = text::report(&summary, width, terminal::colour_on_stdout());
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("cannot write the report")?;
            // What was demanded of the run itself had its say then.
            Ok(if asks { gates::ending(&summary, false) } else { ExitCode::SUCCESS })
        }
        None if !typed::Gates::from(args.gates.clone()).fail_if.is_empty() => {
            bail!("--fail-if: {} holds no results of a run (--results) that could be judged", args.file.display())
        }
        None => inspect::run(args.into()),
    }
}

/// Judges the run anew by what is demanded now, if anything is; says whether.
fn demanded(args: &ReportCommand, summary: &mut Summary) -> anyhow::Result<bool> {
    let urls: Vec<String> = summary.targets.keys().cloned().collect();
    let targets: Vec<_> = urls.iter().map(|url| (None, url.clone())).collect();
    let demands = config::demands(&args.gates.clone().into(), &targets)?;
    if demands.all.is_empty() {
        return Ok(false);
    }
    let mut watch = Watch::new(demands, &urls);
    if watch.wants() {
        let cannot = || format!("cannot read {}", args.file.display());
        let mut lines = BufReader::new(File::open(&args.file).with_context(cannot)?);
        let mut line = Vec::new();
        while read_line(&mut lines, &mut line).with_context(cannot)? > 0 {
            watch.line(&line);
        }
    }
    summary.gates = watch.judge(summary);
    Ok(true)
}

/// The summary at the end of a file of results; `None` where the file is none.
fn of_results(path: &Path) -> anyhow::Result<Option<Summary>> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    let mut is_results = false;
    let mut last = Vec::new();
    while read_line(&mut lines, &mut line).with_context(|| format!("cannot read {}", path.display()))? > 0 {
        // Results name how a delivery ended, or are the summary alone; what anything else is, others know.
        is_results = is_results || line.starts_with(b"{") && has_outcome(&line);
        if !is_results {
            return Ok(None);
        }
        std::mem::swap(&mut last, &mut line);
    }
    if !is_results {
        return Ok(None);
    }
    match serde_json::from_slice::<Last<Summary>>(&last) {
        Ok(last) if last.is_summary() => Ok(Some(last.summary)),
        _ => bail!("{} ends without its summary: the run that wrote it was killed, or still goes on", path.display()),
    }
}

fn has_outcome(line: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(line)
        .is_ok_and(|line| line.get("outcome").is_some() || line.get("kind").is_some_and(|kind| kind == "summary"))
}

fn read_line(from: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    io::Read::take(from, MAX_LINE).read_until(b'\n', line)
}
