//! `shadowtap report`: what a run came to, made again from its results; or what production did, from a capture or a
//! recording.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use shadowtap::bounded;
use shadowtap::config::{self, Output, typed};
use shadowtap::files::FileMode;
use shadowtap::recording;
use shadowtap::report::collect::observe::{ObserveRule, ObserveRun};
use shadowtap::report::collect::results::{ResultsEnd, TakenBackLines};
use shadowtap::report::merge::fleet::FleetRun;
use shadowtap::report::render::{html, text};
use shadowtap::report::schema::observe::ObserveSummary;
use shadowtap::report::threshold::ThresholdWatch;
use shadowtap::report::{PartialRun, RunDiff, Summary, Verdict};

use crate::advise::Advice;
use crate::args::ReportCommand;
use crate::output::{page_of, print, print_line, print_to_stderr, write_summary, write_text};
use crate::{gates, inspect, merge, terminal};

/// Longest line of results that is looked at, in bytes: the summary at their end has the most, some millions at most.
const MAX_LINE: u64 = 64 << 20;

/// Runs the command.
pub(crate) fn run(args: &ReportCommand) -> anyhow::Result<ExitCode> {
    let outputs = ReportFiles::new(args)?;
    let found = if args.merge { Some(merge::of(args)?) } else { of_run(only(&args.files)?)? };
    let Some(found) = found else { return of_capture(args, &outputs) };
    if args.routes.routes.is_some() {
        bail!("--routes: a run has its routes from when it ran: give it to replay or shadow");
    }
    of_run_found(args, &outputs, found)
}

/// Reports on a run.
fn of_run_found(args: &ReportCommand, outputs: &ReportFiles, found: RunResults) -> anyhow::Result<ExitCode> {
    let RunResults { mut summary, kind } = found;
    let asks = demanded(args, kind, &mut summary)?;
    let observed = observed(args, kind)?;
    if args.against.is_none() && observed.is_some() {
        summary.observe.clone_from(&observed);
    }
    let advice = Advice::of(args, kind == ResultsKind::Lines, &summary)?;
    let (width, color) = outputs.text();
    let (text, html) = match &args.against {
        None => (text::report(&summary, width, color), outputs.page_of(&summary)),
        Some(earlier) => {
            let earlier = of_run_once(earlier)?.with_context(|| format!("{} {NEITHER}", earlier.display()))?;
            let both = RunDiff::of(&earlier.summary, &summary);
            (text::against(&both, width, color), outputs.report.as_ref().map(|_| html::against(&both)))
        }
    };
    outputs.write(&summary, html)?;
    outputs.print(&text)?;
    if let Some(observed) = observed.filter(|_| args.against.is_some()) {
        outputs.print(&text::observed(&observed, width, color))?;
    }
    if let Some(advice) = advice {
        outputs.print(&advice.text(width, color))?;
    }
    // What was demanded of the run itself had its say then.
    Ok(if asks { gates::ending(&summary, false) } else { ExitCode::SUCCESS })
}

/// Message for a file that is expected to belong to a run, and does not.
pub(crate) const NEITHER: &str = "is neither the results nor the summary of a run (--results, --summary)";

/// The one file that is reported on.
fn only(files: &[PathBuf]) -> anyhow::Result<&Path> {
    match files {
        [file] => Ok(file),
        _ => bail!("{} files: a report is of one run; --merge adds several up to one", files.len()),
    }
}

/// A capture or a recording has no run to report on; one in a store may have the run of a fleet.
fn of_capture(args: &ReportCommand, outputs: &ReportFiles) -> anyhow::Result<ExitCode> {
    let file = args.file().to_owned();
    let fleet = config::fleet(&file, &args.store)?;
    let judges = !args.gates.fail_if.is_empty();
    let of_runs = [("--summary", args.summary.is_some()), ("--report", args.report.is_some()), ("--fail-if", judges)];
    let of_results = [
        ("--against", args.against.is_some()),
        ("--observe", args.observe.is_some()),
        ("--advise", args.advise.advise.is_some()),
    ];
    let asks = of_runs.iter().any(|(_, given)| *given);
    for (flag, given) in of_results.into_iter().chain(of_runs.into_iter().filter(|_| fleet.is_none())) {
        if given {
            if fleet.is_none() {
                std::fs::File::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
            }
            bail!("{flag}: {} {NEITHER}", file.display());
        }
    }
    if !outputs.is_stdout_taken() {
        let capture = typed::Capture { files: vec![file], ..typed::Capture::default() };
        let (routes, store) = (args.routes.clone(), args.store.clone());
        let ended = inspect::run(typed::Inspect { capture, store, stats: true, routes, ..typed::Inspect::default() })?;
        if fleet.is_none() {
            return Ok(ended);
        }
    }
    let Some((url, access)) = fleet else { return Ok(ExitCode::SUCCESS) };
    let FleetRun { sums, summary, remarks } = FleetRun::of(&recording::fleet_account(&url, &access)?);
    if let Some(summary) = summary {
        return of_run_found(args, outputs, RunResults { summary, kind: ResultsKind::Sum });
    }
    let (width, color) = outputs.text();
    outputs.print(&text::fleet(&sums, width, color))?;
    for words in &remarks {
        print_line(&format!("warning: {words}"));
    }
    if asks {
        bail!("no replayer of run {} has said what it came to: there is no summary to write or to judge", sums.run);
    }
    Ok(ExitCode::SUCCESS)
}

/// Files that are written beside the report in text.
struct ReportFiles {
    summary: Option<Output>,
    report: Option<Output>,
    mode: FileMode,
}

impl ReportFiles {
    /// Nothing is written over what the report is made of, nor over what shadowtap did not write.
    fn new(args: &ReportCommand) -> anyhow::Result<Self> {
        let mode = config::file_mode(args.mode.mode.as_deref())?;
        let sources = || args.files.iter().chain(&args.against);
        for (flag, path) in [("--summary", &args.summary), ("--report", &args.report)] {
            if let Some(real) = path.as_ref().and_then(|path| path.canonicalize().ok())
                && sources().any(|source| source.canonicalize().is_ok_and(|source| source == real))
            {
                bail!("{flag}: {} is what the report is made of: it would be overwritten", real.display());
            }
            if let Some(Err(why)) = path.clone().map(|path| config::may_overwrite(&Output::File(path))) {
                bail!("{flag}: {why}");
            }
        }
        if args.report.is_some() && args.report == args.summary {
            bail!("--report and --summary cannot both go to one file");
        }
        if args.report.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            bail!("--report -: the report in text goes to standard output: give the page a file");
        }
        let is_stdout = |path: &PathBuf| path.as_os_str() == "-";
        let output = |path: PathBuf| if is_stdout(&path) { Output::Stdout } else { Output::File(path) };
        Ok(Self { summary: args.summary.clone().map(output), report: args.report.clone().map(Output::File), mode })
    }

    /// Returns whether the summary goes to standard output.
    fn is_stdout_taken(&self) -> bool {
        self.summary == Some(Output::Stdout)
    }

    /// The width of the report in text, and whether it has colors.
    fn text(&self) -> (usize, bool) {
        if self.is_stdout_taken() {
            return (terminal::or_default(terminal::width_of_stderr()), terminal::color_on_stderr());
        }
        (terminal::or_default(terminal::width_of_stdout()), terminal::color_on_stdout())
    }

    /// Prints it: to standard output, unless the summary goes there.
    fn print(&self, text: &str) -> anyhow::Result<()> {
        let printed = if self.is_stdout_taken() { print_to_stderr(text) } else { print(text) };
        printed.context("cannot write the report")
    }

    /// The page of one run, as the name of the file says.
    fn page_of(&self, summary: &Summary) -> Option<String> {
        self.report.as_ref().map(|output| page_of(output, summary))
    }

    fn write(&self, summary: &Summary, html: Option<String>) -> anyhow::Result<()> {
        if let Some(output) = &self.summary {
            write_summary(output, self.mode, summary)?;
        }
        let (Some(output), Some(html)) = (&self.report, html) else { return Ok(()) };
        write_text(output, self.mode, &html)
    }
}

/// Results that are available of a run.
pub(crate) struct RunResults {
    pub(crate) summary: Summary,
    pub(crate) kind: ResultsKind,
}

/// What a summary comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultsKind {
    /// A line for each delivery.
    Lines,
    /// Nothing.
    Summary,
    /// Nothing: it is the sum of several runs.
    Sum,
}

/// The summary of a run, from its results or alone; `None` where the file is neither.
pub(crate) fn of_run(path: &Path) -> anyhow::Result<Option<RunResults>> {
    Ok(match of_summary(path)? {
        Some(summary) => Some(RunResults { summary, kind: ResultsKind::Summary }),
        None => of_results(path)?.map(|summary| RunResults { summary, kind: ResultsKind::Lines }),
    })
}

/// The same of whatever can be read, once: of a pipe, or of standard input as `-`, a summary, or results that end with one.
pub(crate) fn of_run_once(path: &Path) -> anyhow::Result<Option<RunResults>> {
    let is_stdin = path.as_os_str() == "-";
    if !is_stdin && path.metadata().is_ok_and(|meta| meta.is_file()) {
        return of_run(path);
    }
    if !is_stdin {
        path.metadata().with_context(|| format!("cannot open {}", path.display()))?;
    }
    let limit = usize::try_from(MAX_LINE).unwrap_or(usize::MAX);
    let what = "a summary that comes through a pipe";
    let text = if is_stdin { bounded::rest(io::stdin().lock(), what, limit) } else { bounded::read(path, what, limit) };
    let text = text.with_context(|| format!("cannot use {}", path.display()))?;
    if let Some(summary) = whole_summary(&text) {
        return Ok(Some(RunResults { summary, kind: ResultsKind::Summary }));
    }
    let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let ends = serde_json::from_slice::<ResultsEnd<Summary>>(last).ok().filter(ResultsEnd::is_summary);
    Ok(ends.map(|last| RunResults { summary: last.summary, kind: ResultsKind::Lines }))
}

/// The summary that is all of `text`, on however many lines.
fn whole_summary(text: &[u8]) -> Option<Summary> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let is_summary = value.get("schema").is_some() && value.get("requests").is_some() && value.get("kind").is_none();
    is_summary.then(|| serde_json::from_value(value).ok()).flatten()
}

/// A summary alone, as `--summary` writes it, an object over several lines; or on one line.
fn of_summary(path: &Path) -> anyhow::Result<Option<Summary>> {
    // A pipe is not opened here: what is read of it is gone.
    if !path.metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut lines = BufReader::new(file);
    let mut text = Vec::new();
    let read = |error| anyhow::Error::new(error).context(format!("cannot read {}", path.display()));
    read_line(&mut lines, &mut text).map_err(read)?;
    if text.trim_ascii() != b"{" {
        let is_one_line = text.starts_with(b"{") && lines.fill_buf().is_ok_and(|more| more.trim_ascii().is_empty());
        return Ok(if is_one_line { whole_summary(&text) } else { None });
    }
    let left = usize::try_from(MAX_LINE).unwrap_or(usize::MAX).saturating_sub(text.len());
    let more = bounded::rest(&mut lines, "a summary", left);
    text.extend(more.with_context(|| format!("cannot use {}", path.display()))?);
    let summary = serde_json::from_slice(&text);
    summary.map(Some).with_context(|| format!("{} is no summary of a run, or was cut", path.display()))
}

/// Judges the run anew by what is demanded now, if anything is; says whether.
fn demanded(args: &ReportCommand, kind: ResultsKind, summary: &mut Summary) -> anyhow::Result<bool> {
    let urls: Vec<String> = summary.targets.keys().cloned().collect();
    let targets: Vec<_> = urls.iter().map(|url| (None, url.clone())).collect();
    let demands = config::demands(&args.gates, &targets)?;
    if demands.all.is_empty() {
        return Ok(false);
    }
    let mut watch = ThresholdWatch::new(demands, &urls);
    if watch.wants() && kind == ResultsKind::Sum {
        bail!("--fail-if: what is demanded of a route is judged by each delivery, and a sum has none: judge each run");
    }
    if watch.wants() && kind != ResultsKind::Lines {
        bail!(
            "--fail-if: some of this is only in the results of a run (--results), and {} is its summary",
            args.file().display()
        );
    }
    if watch.wants() {
        let cannot = || format!("cannot read {}", args.file().display());
        watch.without(taken_back(args.file())?);
        let mut lines = BufReader::new(File::open(args.file()).with_context(cannot)?);
        let mut line = Vec::new();
        while read_line(&mut lines, &mut line).with_context(cannot)? > 0 {
            watch.line(&line);
        }
    }
    summary.gates = watch.judge(summary);
    if kind == ResultsKind::Sum {
        summary.verdict = Some(Verdict::of(summary));
    }
    Ok(true)
}

/// Plays through what HAProxy would have done, where that was asked for.
fn observed(args: &ReportCommand, kind: ResultsKind) -> anyhow::Result<Option<ObserveSummary>> {
    let Some(typed) = &args.observe else { return Ok(None) };
    let rule: ObserveRule = typed.parse().map_err(|why: String| anyhow::anyhow!("--observe: {why}"))?;
    if kind != ResultsKind::Lines {
        bail!(
            "--observe: it is played through over the results of a run (--results), and {} is its summary",
            args.file().display()
        );
    }
    let cannot = || format!("cannot read {}", args.file().display());
    let mut run = ObserveRun::new(rule, taken_back(args.file())?);
    let mut lines = BufReader::new(File::open(args.file()).with_context(cannot)?);
    let mut line = Vec::new();
    while read_line(&mut lines, &mut line).with_context(cannot)? > 0 {
        run.line(&line);
    }
    Ok(Some(run.finish()))
}

/// The summary at the end of a file of results, or what its lines add up to where the run that wrote it was killed; `None`
/// where the file is none.
fn of_results(path: &Path) -> anyhow::Result<Option<Summary>> {
    if !path.metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let Ok(file) = File::open(path) else { return Ok(None) };
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
    match serde_json::from_slice::<ResultsEnd<Summary>>(&last) {
        Ok(last) if last.is_summary() => Ok(Some(last.summary)),
        _ => of_part(path),
    }
}

/// Builds a summary from result lines that have none.
fn of_part(path: &Path) -> anyhow::Result<Option<Summary>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut lines = BufReader::new(File::open(path).with_context(cannot)?);
    let (mut partial, mut line) = (PartialRun::default(), Vec::new());
    partial.without(taken_back(path)?);
    while read_line(&mut lines, &mut line).with_context(cannot)? > 0 {
        partial.line(&line);
    }
    Ok(partial.finish())
}

/// The lines that later lines of the same results take back.
pub(crate) fn taken_back(path: &Path) -> anyhow::Result<TakenBackLines> {
    let cannot = || format!("cannot read {}", path.display());
    let mut lines = BufReader::new(File::open(path).with_context(cannot)?);
    let (mut found, mut line) = (TakenBackLines::default(), Vec::new());
    while read_line(&mut lines, &mut line).with_context(cannot)? > 0 {
        found.look(&line).with_context(|| format!("cannot use {}", path.display()))?;
    }
    Ok(found)
}

fn has_outcome(line: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(line)
        .is_ok_and(|line| line.get("outcome").is_some() || line.get("kind").is_some_and(|kind| kind == "summary"))
}

/// Reads a line of results into `line`; returns its length, 0 at the end.
pub(crate) fn read_line(from: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    io::Read::take(from, MAX_LINE).read_until(b'\n', line)
}
