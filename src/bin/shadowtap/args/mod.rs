//! Arguments of the command line. Every value is text here: the library's `config` checks it, so that all mistakes are
//! reported at once.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use shadowtap::config::typed;

mod capture;
mod compare;
mod gates;
mod monitoring;
mod output;
mod protection;
mod range;
mod requests;
mod running;
mod sending;

use capture::{CaptureArgs, LiveArgs};
use compare::CompareArgs;
use gates::{EmptyArgs, GateArgs, RunGateArgs};
use monitoring::MonitoringArgs;
use output::{ModeArgs, ReportArgs, RoutesArgs};
use protection::ProtectionArgs;
use range::RangeArgs;
use requests::{MiddlewareArgs, SelectArgs, WritesArgs};
use running::{ControlArgs, DryRunArgs, RecordingArgs, RunningArgs, SandboxArgs};
use sending::{PaceArgs, ReplayArgs};

/// Rehearse a migration with real traffic: send captured HTTP to another stack and see what differs.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, moved once; how large it is changes with every flag")]
pub(crate) enum Command {
    Shadow(ShadowCommand),
    Replay(ReplayCommand),
    Record(RecordCommand),
    Inspect(InspectCommand),
    Report(ReportCommand),
    Filters(FiltersCommand),
    Interfaces(InterfacesCommand),
    Control(ControlArguments),
    Demo(DemoCommand),
    Completions(CompletionsCommand),
    Man(ManCommand),
}

impl Command {
    /// Returns the format of log lines on standard error, for commands that have a choice.
    pub(crate) fn log_format(&self) -> Option<&str> {
        self.monitoring()?.log_format.as_deref()
    }

    /// Returns whether only warnings and the report are printed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.monitoring().is_some_and(|monitoring| monitoring.quiet)
    }

    const fn monitoring(&self) -> Option<&MonitoringArgs> {
        match self {
            Self::Shadow(args) => Some(&args.monitoring),
            Self::Replay(args) => Some(&args.monitoring),
            Self::Record(args) => Some(&args.monitoring),
            _ => None,
        }
    }
}

/// Print the report of an earlier run, compare two runs, or show production by route.
///
/// Reads the results or the summary of a run (--results, --summary). From a capture or a recording it prints what
/// production did, by route.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap replay evening.pcap --to http://staging:8080 --results run.jsonl
  shadowtap report run.jsonl --report run.html
  shadowtap report run.jsonl --fail-if 'errors>0.5%'
  shadowtap report --against yesterday.jsonl today.jsonl
  shadowtap report peak.gor.zst

Exit codes: 0 done; 1 a --fail-if condition holds; 2 a file cannot be read or written, or a flag is wrong.")]
pub(crate) struct ReportCommand {
    /// Results or summary of a run (--results, --summary), a capture, or a recording
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Compare with this earlier run: its results or its summary
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Write the report as one page of HTML to FILE
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) routes: RoutesArgs,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) mode: ModeArgs,
    #[command(flatten)]
    pub(crate) gates: GateArgs,
}

/// List network interfaces and whether you may capture on them.
///
/// Opens each for a moment. Reads, sends and changes nothing.
#[derive(Debug, Args)]
pub(crate) struct InterfacesCommand {
    /// Print JSON: one object per interface
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// Print what your shell completes shadowtap's commands and flags with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap completions bash > ~/.local/share/bash-completion/completions/shadowtap
  shadowtap completions fish > ~/.config/fish/completions/shadowtap.fish")]
pub(crate) struct CompletionsCommand {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    pub(crate) shell: clap_complete::Shell,
}

/// Write manual pages: one of the program, and one of each command.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shadowtap man ~/.local/share/man/man1")]
pub(crate) struct ManCommand {
    /// Directory that they are written to; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// Check chain files, which select and change requests.
#[derive(Debug, Args)]
pub(crate) struct FiltersCommand {
    #[command(subcommand)]
    pub(crate) command: FiltersSubcommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FiltersSubcommand {
    Check(FiltersCheck),
}

/// Check chain files: report every mistake, and run the test cases in them. Sends nothing.
///
/// Secrets need not exist. In test cases the reference stands for its value, such as env:PASSWORD. Every target named
/// by a route is taken to exist.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shadowtap filters check filters/*.toml

Exit codes: 0 every case passes; 2 a file has a mistake, or a case fails.")]
pub(crate) struct FiltersCheck {
    /// Chain files, see docs/filters.md
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Control a run: show its status, change its sample, pause, resume or stop it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap control status
  shadowtap control sample 25%
  shadowtap control pause
  shadowtap control --socket /run/shadowtap/1000/4711.sock stop

Exit codes: 0 done; 2 no such run, several runs, or the run refused.")]
pub(crate) struct ControlArguments {
    /// sample SHARE, pause, resume, stop or status
    #[arg(required = true, value_name = "WORD", num_args = 1..)]
    pub(crate) word: Vec<String>,
    /// Socket of the run [default: that of the only run of this user]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print the reply as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Replay a bundled capture against a staging server that is wrong on purpose, and print the report.
///
/// Takes ten seconds. Needs no rights, and no network but loopback.
#[derive(Debug, Args)]
pub(crate) struct DemoCommand {
    /// Write the summary (one JSON object) to FILE
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) summary: Option<PathBuf>,
    /// Write the report as one page of HTML to FILE
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) mode: ModeArgs,
    #[command(flatten)]
    pub(crate) gates: GateArgs,
}

/// Shadow live traffic: send each request to another stack as soon as it was captured.
///
/// Production is only listened to. Requests that the target cannot absorb are dropped whole and counted (`shed`). Writes
/// (methods other than GET, HEAD and OPTIONS) are not sent unless you give --allow-writes. Capturing needs root or
/// `CAP_NET_RAW`; root is given up once the interfaces are open.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo shadowtap shadow -i eth0 -p 80 --to https://new-stack.example.com --sample 50%
  sudo shadowtap shadow -p 80 --to http://staging:8080 --duration 10m --summary run.json
  sudo shadowtap shadow -p 80 --to http://staging:8080 -o peak.gor.zst
  sudo shadowtap shadow -p 80 --to http://staging:8080 --ramp '1%:45s,10%:1m,100%' --guard 'errors>5%/10s'

Exit codes: 0 done; 1 a --fail-if condition holds; 2 a flag is wrong, a right is missing, a file cannot be written, the
recording is incomplete, or nothing was sent (see --allow-empty).")]
pub(crate) struct ShadowCommand {
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    send: ReplayArgs,
    #[command(flatten)]
    protection: ProtectionArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    middleware: MiddlewareArgs,
    #[command(flatten)]
    writes: WritesArgs,
    #[command(flatten)]
    recording: RecordingArgs,
    #[command(flatten)]
    running: RunningArgs,
    #[command(flatten)]
    pub(crate) dry_run: DryRunArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    compare: CompareArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    pub(crate) gates: RunGateArgs,
    #[command(flatten)]
    monitoring: MonitoringArgs,
}

/// Record live traffic: exchanges to .gor or .jsonl, or frames to .pcap or .pcapng. Sends nothing.
///
/// Filters, sample and rewrites run before the recording: what must not be stored never reaches the disk. All methods are
/// recorded. Files are never overwritten. They belong to the user that shadowtap runs as; only that user may read them,
/// unless you give --mode.
#[derive(Debug, Args)]
#[command(mut_arg("filters", |filters| filters.help("\
Run this chain file on each request. Files run in the order given, before the other flags. See docs/filters.md. Repeatable")))]
#[command(after_help = "\
Examples:
  sudo shadowtap record -p 80 -o peak.gor.zst --duration 1h
  sudo shadowtap record -i eth0 -p 80 -o '%Y-%m-%d/%H.jsonl.gz' --remove-header Authorization
  sudo shadowtap record -p 80 -o frames.pcap.zst --rotate-size 1G

Exit codes: 0 done; 2 a flag is wrong, a right is missing, a file cannot be written, the recording is incomplete, or
nothing was recorded (see --allow-empty).")]
pub(crate) struct RecordCommand {
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    recording: RecordingArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    middleware: MiddlewareArgs,
    #[command(flatten)]
    running: RunningArgs,
    #[command(flatten)]
    pub(crate) dry_run: DryRunArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    pub(crate) empty: EmptyArgs,
    #[command(flatten)]
    monitoring: MonitoringArgs,
}

/// Replay captured requests against another stack, and report which responses differ.
///
/// Requests go out at the captured pace, whether or not earlier responses have arrived. Writes (methods other than GET,
/// HEAD and OPTIONS) are not sent unless you give --allow-writes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap replay evening.pcap --to http://staging:8080
  shadowtap replay evening.pcap --to http://staging:8080 --dry-run
  shadowtap replay peak-*.pcap.gz --to https://staging.example.com --speed 2x --sample 50%

Exit codes: 0 done; 1 a --fail-if condition holds; 2 a flag is wrong, a file cannot be read or written, or nothing was
sent (see --allow-empty).

SIGHUP ends a replay as SIGTERM does. Under nohup it goes on.")]
pub(crate) struct ReplayCommand {
    #[command(flatten)]
    capture: CaptureArgs,
    #[command(flatten)]
    send: ReplayArgs,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    protection: ProtectionArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    middleware: MiddlewareArgs,
    #[command(flatten)]
    writes: WritesArgs,
    #[command(flatten)]
    control: ControlArgs,
    #[command(flatten)]
    pub(crate) dry_run: DryRunArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    compare: CompareArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    pub(crate) gates: RunGateArgs,
    #[command(flatten)]
    monitoring: MonitoringArgs,
}

/// List the HTTP exchanges of capture files, one a line, or sum them up. Sends nothing.
///
/// Requests that filters or the sample keep back are not listed. The summary counts them by reason; its statuses and
/// latency are those of the rest. Writes are listed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  shadowtap inspect evening.pcap --status 5xx,none
  shadowtap inspect evening.pcap --stats --allow-path '^/v2/'
  shadowtap inspect evening.pcap --filters canary.toml --stats
  shadowtap inspect evening.pcap --forecast
  shadowtap inspect evening.pcap --json | jq 'select(.latency_us > 1000000)'
  shadowtap inspect evening.pcap --summary - | jq .requests

A route of --stats is the method and the path, with {id} for each segment that
looks like an identifier: a number or a date, a UUID, eight or more hex digits,
twenty or more characters of base64.")]
pub(crate) struct InspectCommand {
    #[command(flatten)]
    capture: CaptureArgs,
    /// Run this chain file on each request, before the other flags, and show what passes. Says at which link the others
    /// end. Changes are made for the links that follow, and not shown. Repeatable
    #[arg(long = "filters", value_name = "FILE", help_heading = "Requests")]
    filters: Vec<PathBuf>,
    #[command(flatten)]
    select: SelectArgs,
    /// List only exchanges with these statuses, such as 404,5xx; none is for no response. The summary counts all
    #[arg(long, value_name = "STATUSES", help_heading = "Output")]
    status: Option<String>,
    /// Print a table by route: requests, statuses, latency, bytes
    #[arg(long, help_heading = "Output")]
    stats: bool,
    /// Print the HTTP/1 connections that a target will see at 10, 25, 50 and 100 %
    #[arg(long, help_heading = "Output")]
    forecast: bool,
    /// Print JSON: one object per exchange; per route with --stats; one in all with --forecast
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Add the messages to the lines of --json, heads and bodies in base64
    #[arg(long, help_heading = "Output")]
    full: bool,
    /// Write the summary (one JSON object) to FILE, or to standard output with -. Alone it prints no lines
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    summary: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Output")]
    routes: RoutesArgs,
    #[command(flatten, next_help_heading = "Output")]
    mode: ModeArgs,
}

impl From<ReplayCommand> for typed::Replay {
    fn from(args: ReplayCommand) -> Self {
        Self {
            capture: args.capture.into(),
            range: args.range.into(),
            select: args.select.into(),
            middleware: args.middleware.with(Some(args.writes)),
            send: args.send.at(args.pace),
            protection: args.protection.into(),
            control: args.control.control,
            compare: args.compare.into(),
            gates: args.gates.into(),
            report: args.report.into(),
            monitoring: args.monitoring.into(),
        }
    }
}

impl From<ShadowCommand> for typed::Shadow {
    fn from(args: ShadowCommand) -> Self {
        Self {
            live: args.live.into(),
            select: args.select.into(),
            middleware: args.middleware.with(Some(args.writes)),
            send: args.send.into(),
            recording: args.recording.into(),
            running: args.running.into(),
            protection: args.protection.into(),
            compare: args.compare.into(),
            gates: args.gates.into(),
            report: args.report.into(),
            monitoring: args.monitoring.into(),
        }
    }
}

impl From<RecordCommand> for typed::Record {
    fn from(args: RecordCommand) -> Self {
        Self {
            live: args.live.into(),
            select: args.select.into(),
            middleware: args.middleware.with(None),
            recording: args.recording.into(),
            running: args.running.into(),
            report: args.report.into(),
            monitoring: args.monitoring.into(),
        }
    }
}

impl From<InspectCommand> for typed::Inspect {
    fn from(args: InspectCommand) -> Self {
        Self {
            capture: args.capture.into(),
            filters: args.filters,
            select: args.select.into(),
            status: args.status,
            stats: args.stats,
            forecast: args.forecast,
            json: args.json,
            full: args.full,
            summary: args.summary,
            routes: args.routes.routes,
            mode: args.mode.mode,
        }
    }
}

impl From<ReportCommand> for typed::Inspect {
    fn from(args: ReportCommand) -> Self {
        let capture = typed::Capture { files: vec![args.file], ..typed::Capture::default() };
        Self { capture, stats: true, routes: args.routes.routes, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_80_columns() {
        for name in ["shadow", "replay", "record", "inspect", "report", "interfaces", "control"] {
            let mut command = Cli::command().term_width(80);
            let help = command.find_subcommand_mut(name).unwrap().clone().term_width(80).render_long_help().to_string();
            let widest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(widest.chars().count() <= 80, "{name}: {widest}");
        }
    }

    #[test]
    fn values_that_begin_with_a_hyphen_are_left_to_the_configuration() {
        let cli = Cli::try_parse_from(["shadowtap", "replay", "-", "--to", "http://h", "--sample", "-5%"]).unwrap();
        let Command::Replay(args) = cli.command else { panic!("another command") };
        let typed = typed::Replay::from(args);
        assert_eq!((typed.select.sample.as_deref(), typed.send.to), (Some("-5%"), vec!["http://h".to_owned()]));
    }
}
