//! What can be typed. Every value is text here: the library's `config` judges it, so that all mistakes are told at once.

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
use gates::{GateArgs, RunGateArgs};
use monitoring::WatchingArgs;
use output::{ModeArgs, ReportArgs, RoutesArgs};
use protection::SparingArgs;
use range::CourseArgs;
use requests::{MiddlewareArgs, SelectArgs, WritesArgs};
use running::{ControlArgs, RecordingArgs, RunningArgs, SandboxArgs};
use sending::{PaceArgs, ReplayArgs};

/// Rehearse a migration with real traffic: replay captured HTTP against another stack and see what differs.
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
}

impl Command {
    /// What lines on standard error are to be, where the command lets one choose.
    pub(crate) fn log_format(&self) -> Option<&str> {
        let watching = match self {
            Self::Shadow(args) => &args.watching,
            Self::Replay(args) => &args.watching,
            Self::Record(args) => &args.watching,
            _ => return None,
        };
        watching.log_format.as_deref()
    }
}

/// Make the report of a run again, from the results or the summary that it wrote; compare two runs; or tell what
/// production did, by route, from a capture or a recording.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap replay evening.pcap --to http://staging:8080 --results run.jsonl
  shadowtap report run.jsonl --report run.html
  shadowtap report run.jsonl --fail-if 'errors>0.5%'
  shadowtap report --against yesterday.jsonl today.jsonl
  shadowtap report peak.gor.zst

Exit codes: 0 done, and every --fail-if held; 1 one did not; 2 trouble.")]
pub(crate) struct ReportCommand {
    /// Results or summary of a run (--results, --summary), a capture, or a recording
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Compare with an earlier run: its results or its summary
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

/// List the network interfaces, and whether they can be captured on from here.
///
/// Each is opened for a moment, so that what is said is true; nothing is read, sent or changed.
#[derive(Debug, Args)]
pub(crate) struct InterfacesCommand {
    /// Print JSON: an object an interface
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// Look at chain files: what is done to requests before they are sent.
#[derive(Debug, Args)]
pub(crate) struct FiltersCommand {
    #[command(subcommand)]
    pub(crate) command: FiltersSubcommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FiltersSubcommand {
    Check(FiltersCheck),
}

/// Read chain files, tell every mistake in them, and run the test cases that they carry. Sends nothing.
///
/// Secrets need not be there: in test cases the name of a variable or file stands for what is in it, such as
/// env:PASSWORD. Every name that a route gives counts as a target.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shadowtap filters check filters/*.toml

Exit codes: 0 every case passes; 2 a mistake in a file, or a case that fails.")]
pub(crate) struct FiltersCheck {
    /// Chain files, see docs/filters.md
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Steer a run that goes on: its share, a pause, its end; or ask how it stands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap control status
  shadowtap control sample 25%
  shadowtap control pause
  shadowtap control --socket /run/shadowtap/1000/4711.sock stop

Exit codes: 0 done; 2 there is no such run, several go on, or it refused.")]
pub(crate) struct ControlArguments {
    /// sample SHARE, pause, resume, stop or status
    #[arg(required = true, value_name = "WORD", num_args = 1..)]
    pub(crate) word: Vec<String>,
    /// The socket of the run [default: that of the only run of this user]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print what it answers as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the whole path on this machine: a bundled capture, a staging server that is wrong on purpose, the report.
///
/// Takes ten seconds, needs no right, and uses no network but loopback.
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

/// Shadow live traffic to another stack: each request is sent there as soon as its last byte was on the wire.
///
/// Production is only listened to, and never waited for: what the other stack does not take in time is left out, and
/// counted. Writes (methods other than GET, HEAD and OPTIONS) are left out unless --allow-writes is given. Capturing
/// needs root or `CAP_NET_RAW`; root is given up once the interfaces are open.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo shadowtap shadow -i eth0 -p 80 --to https://new-stack.example.com --sample 50%
  sudo shadowtap shadow -p 80 --to http://staging:8080 --duration 10m --summary run.json
  sudo shadowtap shadow -p 80 --to http://staging:8080 -o peak.gor.zst
  sudo shadowtap shadow -p 80 --to http://staging:8080 --ramp '1%:45s,10%:1m,100%' --guard 'errors>5%/10s'

Exit codes: 0 done, and every --fail-if held; 1 one did not; 2 a mistake on the command line, a right that is missing, a
file that cannot be written, a recording that lost something to the disk, or nothing was sent (see --allow-empty).")]
pub(crate) struct ShadowCommand {
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    send: ReplayArgs,
    #[command(flatten)]
    sparing: SparingArgs,
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
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    compare: CompareArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    pub(crate) gates: RunGateArgs,
    #[command(flatten)]
    watching: WatchingArgs,
}

/// Record live traffic: requests and responses to .gor or .jsonl, or frames to .pcap or .pcapng.
///
/// Filters, sample and rewrites come before the recording, so that what must not be stored never reaches the disk; all
/// methods are recorded. Nothing is sent. Files are never overwritten; they belong to the user that shadowtap runs as, who
/// alone may read them unless --mode shares them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo shadowtap record -p 80 -o peak.gor.zst --duration 1h
  sudo shadowtap record -i eth0 -p 80 -o '%Y-%m-%d/%H.jsonl.gz' --remove-header Authorization
  sudo shadowtap record -p 80 -o frames.pcap.zst --rotate-size 1G

Exit codes: 0 done; 2 a mistake on the command line, a right that is missing, a file that cannot be written, or a
recording that lost something to the disk.")]
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
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    watching: WatchingArgs,
}

/// Replay the requests of capture files against another stack, and report what it answers differently.
///
/// Requests are sent at the pace at which they were captured, whether or not earlier ones have been answered. Writes
/// (methods other than GET, HEAD and OPTIONS) are left out unless --allow-writes is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap replay evening.pcap --to http://staging:8080
  shadowtap replay peak-*.pcap.gz --to https://staging.example.com --speed 2x --sample 50%

Exit codes: 0 done, and every --fail-if held; 1 one did not; 2 a mistake on the command line, a file that
cannot be read or written, or nothing was sent (see --allow-empty).

SIGHUP ends a replay as SIGTERM does; under nohup it goes on.")]
pub(crate) struct ReplayCommand {
    #[command(flatten)]
    capture: CaptureArgs,
    #[command(flatten)]
    send: ReplayArgs,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    course: CourseArgs,
    #[command(flatten)]
    sparing: SparingArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    middleware: MiddlewareArgs,
    #[command(flatten)]
    writes: WritesArgs,
    #[command(flatten)]
    control: ControlArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    compare: CompareArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    pub(crate) gates: RunGateArgs,
    #[command(flatten)]
    watching: WatchingArgs,
}

/// List the HTTP exchanges of capture files, one a line, or what they amount to. Sends nothing.
///
/// What the filters and the sample keep back is not shown, and is counted in the summary under what kept it back;
/// production's statuses and latency there are those of the rest. Writes are shown.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  shadowtap inspect evening.pcap --status 5xx,none
  shadowtap inspect evening.pcap --stats --allow-path '^/v2/'
  shadowtap inspect evening.pcap --forecast
  shadowtap inspect evening.pcap --json | jq 'select(.latency_us > 1000000)'
  shadowtap inspect evening.pcap --summary - | jq .requests

A route of --stats is the method and the path, with {id} for each segment that
looks like an identifier: a number or a date, a UUID, eight or more hex digits,
twenty or more characters of base64.")]
pub(crate) struct InspectCommand {
    #[command(flatten)]
    capture: CaptureArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// Show only these statuses: classes, statuses, none for no response, such as 404,5xx. The summary counts all
    #[arg(long, value_name = "STATUSES", help_heading = "Output")]
    status: Option<String>,
    /// Print a table by route instead: requests, statuses, latency, bytes
    #[arg(long, help_heading = "Output")]
    stats: bool,
    /// Print instead what connections a target will see at 10, 25, 50 and 100 %, of those that carry HTTP/1
    #[arg(long, help_heading = "Output")]
    forecast: bool,
    /// Print JSON: an object an exchange, or a route with --stats, or one object with --forecast
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// With the lines of --json: the messages themselves too, heads and bodies in base64
    #[arg(long, help_heading = "Output")]
    full: bool,
    /// Write the summary (one JSON object) to FILE, - for standard output; where nothing else is asked for, no lines
    /// are printed then
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
            course: args.course.into(),
            select: args.select.into(),
            middleware: args.middleware.with(Some(args.writes)),
            send: args.send.at(args.pace),
            sparing: args.sparing.into(),
            control: args.control.control,
            compare: args.compare.into(),
            gates: args.gates.into(),
            report: args.report.into(),
            watching: args.watching.into(),
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
            sparing: args.sparing.into(),
            compare: args.compare.into(),
            gates: args.gates.into(),
            report: args.report.into(),
            watching: args.watching.into(),
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
            watching: args.watching.into(),
        }
    }
}

impl From<InspectCommand> for typed::Inspect {
    fn from(args: InspectCommand) -> Self {
        Self {
            capture: args.capture.into(),
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
