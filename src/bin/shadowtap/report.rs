//! `shadowtap report`: what a run came to, made again from its results; or what production did, from a capture or a
//! recording.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use shadowtap::config::{self, Output, typed};
use shadowtap::files::FileMode;
use shadowtap::recording;
use shadowtap::report::collect::observe::{ObserveRule, ObserveRun};
use shadowtap::report::merge::fleet::FleetRun;
use shadowtap::report::render::{html, text};
use shadowtap::report::schema::observe::ObserveSummary;
use shadowtap::report::threshold::ThresholdWatch;
use shadowtap::report::{RunDiff, Summary, Verdict};

use crate::advise::Advice;
use crate::args::ReportCommand;
use crate::output::{page_of, print, print_line, print_to_stderr, tell_page, write_summary, write_text};
use crate::run_results::{self, Found, ResultsKind, RunResults, for_each_line, is_stdin, taken_back};
use crate::{gates, inspect, merge, terminal};

/// Runs the command.
pub(crate) fn run(args: &ReportCommand) -> anyhow::Result<ExitCode> {
    let outputs = ReportFiles::new(args)?;
    let found = if args.merge {
        merge::of(args)?
    } else {
        let file = only(&args.files)?;
        if is_stdin(file) && args.against.as_deref().is_some_and(is_stdin) {
            bail!(
                "--against: standard input is one run, and cannot be the earlier one as well: write one of them to a file"
            );
        }
        match run_results::find(file)? {
            Found::Run(found) => *found,
            Found::Other(file) => return of_capture(args, &file, &outputs),
        }
    };
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
    let advice = Advice::of(args, kind, &summary)?;
    let (width, color) = outputs.text();
    let (text, html) = match &args.against {
        None => (text::report(&summary, width, color), outputs.page_of(&summary)),
        Some(earlier) => {
            let earlier = run_results::expect(earlier, "--against")?;
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
    outputs.report.iter().for_each(tell_page);
    // What was demanded of the run itself had its say then.
    Ok(if asks { gates::ending(&summary, false) } else { ExitCode::SUCCESS })
}

/// The one file that is reported on.
fn only(files: &[PathBuf]) -> anyhow::Result<&Path> {
    match files {
        [file] => Ok(file),
        _ => bail!("{} files: a report is of one run; --merge adds several up to one", files.len()),
    }
}

/// A capture or a recording has no run to report on; one in a store may have the run of a fleet.
fn of_capture(args: &ReportCommand, file: &Path, outputs: &ReportFiles) -> anyhow::Result<ExitCode> {
    let fleet = config::fleet(file, &args.store)?;
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
            if fleet.is_none() && !is_stdin(file) {
                std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
            }
            return Err(run_results::no_run(args.file(), flag));
        }
    }
    if !outputs.is_stdout_taken() {
        let capture = typed::Capture { files: vec![file.to_owned()], ..typed::Capture::default() };
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

/// Judges the run anew by what is demanded now, if anything is; says whether.
fn demanded(args: &ReportCommand, kind: ResultsKind, summary: &mut Summary) -> anyhow::Result<bool> {
    let demands = config::demands(&args.gates, &summary.named_targets())?;
    if demands.all.is_empty() {
        return Ok(false);
    }
    let urls: Vec<String> = summary.targets.keys().cloned().collect();
    let mut watch = ThresholdWatch::new(demands, &urls);
    if watch.wants() && kind == ResultsKind::Sum {
        bail!("--fail-if: what is demanded of a route is judged by each delivery, and a sum has none: judge each run");
    }
    if watch.wants() {
        kind.require_lines("--fail-if: some of this is only in the results of a run (--results)", args.file())?;
        watch.without(taken_back(args.file())?);
        for_each_line(args.file(), |line| {
            watch.line(line);
            Ok(())
        })?;
    }
    summary.gates = watch.judge(summary);
    // That of the run began with the gates that failed then.
    summary.verdict = Some(Verdict::of(summary));
    Ok(true)
}

/// Plays through what HAProxy would have done, where that was asked for.
fn observed(args: &ReportCommand, kind: ResultsKind) -> anyhow::Result<Option<ObserveSummary>> {
    let Some(typed) = &args.observe else { return Ok(None) };
    let rule: ObserveRule = typed.parse().map_err(|why: String| anyhow::anyhow!("--observe: {why}"))?;
    kind.require_lines("--observe: it is played through over the results of a run (--results)", args.file())?;
    let mut run = ObserveRun::new(rule, taken_back(args.file())?);
    for_each_line(args.file(), |line| {
        run.line(line);
        Ok(())
    })?;
    Ok(Some(run.finish()))
}
