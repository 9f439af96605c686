//! Command line as typed: text that nothing has validated yet.
//!
//! Each option is written here once. With the feature `cli` it is what the program takes, and its comment is what `--help`
//! says.

use std::path::PathBuf;

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
mod store;

pub use capture::{Capture, Live};
pub use compare::Compare;
pub use gates::{Empty, Gates};
pub use monitoring::Monitoring;
pub use output::{Mode, Report, Routes};
pub use protection::Protection;
pub use range::Range;
pub use requests::{Middleware, Select, Writes};
pub use running::{ConfigFile, Control, Dashcam, DryRun, Ending, Recording, Running, Sandbox};
pub use sending::{Pace, Send};
pub use store::{Follow, Store};

/// Shadow live traffic: send each request to another stack as soon as it was captured.
///
/// Production is only listened to. Requests that the target cannot absorb are dropped whole and counted (`shed`). Writes
/// (methods other than GET, HEAD and OPTIONS) are not sent unless you give --allow-writes. Capturing needs root or
/// `CAP_NET_RAW`; root is given up once the interfaces are open.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(after_help = "\
Examples:
  sudo shadowtap shadow -p 80 --to https://new.example.com --sample 1%
  sudo shadowtap shadow -i eth0 -p 80 --to http://staging:8080 --duration 10m
  sudo shadowtap shadow -p 80 --to http://staging:8080 -o peak.gor.zst
  sudo shadowtap shadow -p 80 --to http://staging:8080 --ramp '1%:45s,10%:1m,100%' --guard 'errors>5%/10s'

Exit codes: 0 done; 1 a --fail-if condition holds; 2 a flag is wrong, a right is missing, a file cannot be written, the
recording is incomplete, or nothing was sent (see --allow-empty).")
)]
pub struct Shadow {
    /// Live capture.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub live: Live,
    /// Targets and client settings.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub send: Send,
    /// Protection of the targets.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub protection: Protection,
    /// Selection of requests.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub select: Select,
    /// Changes to requests.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub middleware: Middleware,
    /// Permission to send writes.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub writes: Writes,
    /// Files of the recording.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub recording: Recording,
    /// Access to a recording in a store.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub store: Store,
    /// Limits and control of the run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub running: Running,
    /// File with flags.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub file: ConfigFile,
    /// Whether it is only rehearsed.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub dry_run: DryRun,
    /// Whether it is confined.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub sandbox: Sandbox,
    /// Rules of comparison.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub compare: Compare,
    /// Outputs besides the report.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub report: Report,
    /// Gates of the run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub gates: Gates,
    /// Whether it may come to nothing.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub empty: Empty,
    /// Monitoring of the run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub monitoring: Monitoring,
}

/// Record live traffic: exchanges to .gor or .jsonl, or frames to .pcap or .pcapng. Sends nothing.
///
/// Filters, sample and rewrites run before the recording: what must not be stored never reaches the disk. All methods are
/// recorded. Files are never overwritten. They belong to the user that shadowtap runs as; only that user may read them,
/// unless you give --mode.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(mut_arg("filters", |filters| filters.help("\
Run this chain file on each request. Files run in the order given, before the other flags. See docs/filters.md. Repeatable"))))]
#[cfg_attr(
    feature = "cli",
    command(after_help = "\
Examples:
  sudo shadowtap record -p 80 -o peak.gor.zst --duration 1h
  sudo shadowtap record -p 80 -o '%d/%H.gor.gz' --remove-header Authorization
  sudo shadowtap record -p 80 -o incident.pcap.zst --keep 10m --save-if 'production.5xx>2%/30s'
  sudo shadowtap record -p 80 -o frames.pcap.zst --rotate-size 1G

Exit codes: 0 done; 2 a flag is wrong, a right is missing, a file cannot be written, the recording is incomplete, or
nothing was recorded (see --allow-empty).")
)]
pub struct Record {
    /// Live capture.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub live: Live,
    /// Files of the recording.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub recording: Recording,
    /// Access to a recording in a store.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub store: Store,
    /// The last minutes alone.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub dashcam: Dashcam,
    /// Selection of requests.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub select: Select,
    /// Changes to requests.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub middleware: Middleware,
    /// Limits and control of the run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub running: Running,
    /// File with flags.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub file: ConfigFile,
    /// Whether it is only rehearsed.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub dry_run: DryRun,
    /// Whether it is confined.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub sandbox: Sandbox,
    /// Outputs besides the report.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub report: Report,
    /// Whether it may come to nothing.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub empty: Empty,
    /// Monitoring of the run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub monitoring: Monitoring,
}

/// Replay captured requests against another stack, and report which responses differ.
///
/// Requests go out at the captured pace, whether or not earlier responses have arrived. Writes (methods other than GET,
/// HEAD and OPTIONS) are not sent unless you give --allow-writes.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(after_help = "\
Examples:
  shadowtap replay evening.pcap --to http://staging:8080
  shadowtap replay evening.pcap --to http://staging:8080 --dry-run
  shadowtap replay *.pcap.gz --to https://new.example.com --speed 2x

Exit codes: 0 done; 1 a --fail-if condition holds; 2 a flag is wrong, a file cannot be read or written, or nothing was
sent (see --allow-empty).

SIGHUP ends a replay as SIGTERM does. Under nohup it goes on.")
)]
pub struct Replay {
    /// Capture files.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub capture: Capture,
    /// Access to a recording in a store.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub store: Store,
    /// Whether it goes on as long as nodes record.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub follow: Follow,
    /// Targets and client settings.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub send: Send,
    /// When requests are sent.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub pace: Pace,
    /// The part that is replayed, and how often.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub range: Range,
    /// Protection of the targets.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub protection: Protection,
    /// Selection of requests.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub select: Select,
    /// Changes to requests.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub middleware: Middleware,
    /// Permission to send writes.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub writes: Writes,
    /// Longest time of the run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub ending: Ending,
    /// Control socket.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub control: Control,
    /// File with flags.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub file: ConfigFile,
    /// Whether it is only rehearsed.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub dry_run: DryRun,
    /// Whether it is confined.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub sandbox: Sandbox,
    /// Rules of comparison.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub compare: Compare,
    /// Outputs besides the report.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub report: Report,
    /// Gates of the run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub gates: Gates,
    /// Whether it may come to nothing.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub empty: Empty,
    /// Monitoring of the run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub monitoring: Monitoring,
}

/// Check what would go wrong with a run: each finding with the line that mends it.
///
/// Looks at rights, interfaces, the traffic of two seconds, limits, disk and stores, and asks each target for /. Changes nothing.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(after_help = "\
Examples:
  sudo shadowtap doctor -p 80
  sudo shadowtap doctor -p 80 --to https://new.example.com
  sudo shadowtap doctor -i eth0 -p 80 -o peak.gor.zst --duration 7h
  shadowtap doctor nats://10.0.0.5/evening --to https://new.example.com

Exit codes: 0 nothing would go wrong; 2 there is a problem, or a flag is wrong.")
)]
pub struct Doctor {
    /// Recording on NATS that is to be replayed, such as `nats://10.0.0.5/evening`: nothing is captured then
    #[cfg_attr(feature = "cli", arg(value_name = "URL"))]
    pub input: Option<PathBuf>,
    /// Live capture.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub live: Live,
    /// Targets and client settings.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub send: Send,
    /// Access to recordings in a store.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub store: Store,
    /// Look whether there is room for this recording
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "FILE", help_heading = "Recording"))]
    pub output: Option<PathBuf>,
    /// Length of the run for which there has to be room, such as 7h [default: 1h]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", help_heading = "Running"))]
    pub duration: Option<String>,
    /// Count the traffic for this time, such as 10s [default: 2s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", help_heading = "Running"))]
    pub listen: Option<String>,
    /// Print JSON: one object with all findings
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Output"))]
    pub json: bool,
}

/// List the HTTP exchanges of capture files, one a line, or sum them up. Sends nothing.
///
/// Requests that filters or the sample keep back are not listed. The summary counts them by reason; its statuses and
/// latency are those of the rest. Writes are listed.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(after_help = "\
Examples:
  shadowtap inspect evening.pcap --status 5xx,none
  shadowtap inspect evening.pcap --stats --allow-path '^/v2/'
  shadowtap inspect evening.pcap --filters canary.toml --stats
  shadowtap inspect evening.pcap --forecast
  shadowtap inspect evening.pcap --json | jq 'select(.latency_us > 1000000)'
  shadowtap inspect evening.pcap --summary - | jq .requests

A route of --stats is the method and the path, with {id} for each segment that
looks like an identifier: a number or a date, a UUID, eight or more hex digits,
twenty or more characters of base64.")
)]
pub struct Inspect {
    /// Capture files.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub capture: Capture,
    /// Access to a recording in a store.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub store: Store,
    /// Run this chain file on each request, before the other flags, and show what passes. Says at which link the others
    /// end. Changes are made for the links that follow, and not shown. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "filters", value_name = "FILE", help_heading = "Requests"))]
    pub filters: Vec<PathBuf>,
    /// Selection of requests.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub select: Select,
    /// List only exchanges with these statuses, such as 404,5xx; none is for no response. The summary counts all
    #[cfg_attr(feature = "cli", arg(long, value_name = "STATUSES", help_heading = "Output"))]
    pub status: Option<String>,
    /// Write the exchanges to FILE as an HTTP archive (HAR), for the developer tools of a browser. - is standard output
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Output"))]
    pub har: Option<PathBuf>,
    /// Print a table by route: requests, statuses, latency, bytes
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Output"))]
    pub stats: bool,
    /// Print the HTTP/1 connections that a target will see at 10, 25, 50 and 100 %
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Output"))]
    pub forecast: bool,
    /// Print JSON: one object per exchange; per route with --stats; one in all with --forecast
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Output"))]
    pub json: bool,
    /// Add the messages to the lines of --json, heads and bodies in base64
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Output"))]
    pub full: bool,
    /// Write the summary (one JSON object) to FILE, or to standard output with -. Alone it prints no lines
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Output"))]
    pub summary: Option<PathBuf>,
    /// Names of routes.
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Output"))]
    pub routes: Routes,
    /// Permissions of files.
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Output"))]
    pub mode: Mode,
}
