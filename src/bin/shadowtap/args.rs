//! What can be typed. Every value is text here: the library's `config` judges it, so that all mistakes are told at once.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use shadowtap::config::typed;

/// Rehearse a migration with real traffic: replay captured HTTP against another stack and see what differs.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, and it is moved once")]
pub(crate) enum Command {
    Replay(ReplayCommand),
    Inspect(InspectCommand),
    Demo(DemoCommand),
}

/// Show the whole path on this machine: a bundled capture, a staging server that is wrong on purpose, the report.
///
/// Takes ten seconds, needs no right, and uses no network but loopback.
#[derive(Debug, Args)]
pub(crate) struct DemoCommand {
    /// Write the summary (one JSON object) to FILE
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) summary: Option<PathBuf>,
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

Exit codes: 0 done; 2 a mistake on the command line, a file that cannot be read or written, or not one
request could be delivered.")]
pub(crate) struct ReplayCommand {
    #[command(flatten)]
    capture: CaptureArgs,
    #[command(flatten)]
    send: ReplayArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    middleware: MiddlewareArgs,
    #[command(flatten)]
    report: ReportArgs,
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
}

/// What to read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(crate) struct CaptureArgs {
    /// Captures (pcap, pcapng) or recordings (.gor, JSON lines), plain, gzip or zstd; - is standard input. Several are
    /// merged by time
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Ports of the servers, such as 80,8080 [default: every TCP connection]
    #[arg(short, long = "port", value_name = "PORTS", allow_hyphen_values = true)]
    ports: Vec<String>,
    /// A filter in tcpdump's language, such as 'host 10.0.0.7'
    #[arg(short = 'f', long, value_name = "FILTER")]
    bpf: Option<String>,
    /// What following connections may take in memory, such as 256M or 2G; past it the oldest and largest are given up,
    /// and counted [default: 512M]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
}

/// What to capture live, and with which rights.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(crate) struct LiveArgs {
    /// Interfaces, such as eth0,eth1, or any for all at once; `shadowtap interfaces` lists them [default: those that
    /// carry the ports]
    #[arg(short, long = "interface", value_name = "NAMES")]
    interfaces: Vec<String>,
    /// Ports of the servers, such as 80,8080, with VLAN tags or without [default: every TCP connection]
    #[arg(short, long = "port", value_name = "PORTS", allow_hyphen_values = true)]
    ports: Vec<String>,
    /// A filter in tcpdump's language, such as 'host 10.0.0.7'; it runs in the kernel
    #[arg(short = 'f', long, value_name = "FILTER")]
    bpf: Option<String>,
    /// Look into these tunnels for mirrored traffic: vxlan, geneve, gre (ERSPAN too)
    #[arg(long = "tunnel", value_name = "TUNNELS")]
    tunnels: Vec<String>,
    /// What the kernel may hold of frames that wait to be read, over all interfaces; past it frames are dropped, and
    /// counted [default: 64M]
    #[arg(long, value_name = "SIZE")]
    buffer: Option<String>,
    /// Bytes of a frame that are captured; a request that is cut is never sent [default: 256K]
    #[arg(long, value_name = "SIZE")]
    snaplen: Option<String>,
    /// Leave the interfaces out of promiscuous mode: then a mirror port shows nothing
    #[arg(long)]
    no_promiscuous: bool,
    /// What following connections may take in memory, such as 256M or 2G; past it the oldest and largest are given up,
    /// and counted [default: 512M]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
    /// Who to run as once the interfaces are open: a name or a number [default: the user behind sudo, else nobody]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

/// Which requests: of those that are captured, the ones that are sent, shown or counted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct SelectArgs {
    /// Share of the requests that is taken, such as 50% or 0.5% [default: 100%]
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    sample: Option<String>,
    /// What the sample keeps together: request, connection, client-ip, header:NAME, cookie:NAME or param:NAME; a request
    /// without that header, cookie or parameter is sampled by itself [default: request]
    #[arg(long, value_name = "KEY")]
    sample_by: Option<String>,
    /// Chooses another sample of the same size; the same seed always chooses the same [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    /// Take these methods only, such as GET,HEAD
    #[arg(long = "allow-method", value_name = "METHODS")]
    allow_methods: Vec<String>,
    /// Take only what has a path and query that matches this regular expression, such as '^/v2/'; repeatable
    #[arg(long = "allow-path", value_name = "RE", allow_hyphen_values = true)]
    allow_paths: Vec<String>,
    /// Never take what has a path and query that matches this regular expression; repeatable
    #[arg(long = "deny-path", value_name = "RE", allow_hyphen_values = true)]
    deny_paths: Vec<String>,
    /// Take only what was asked of this host, named without its port; repeatable
    #[arg(long = "allow-host", value_name = "HOST")]
    allow_hosts: Vec<String>,
}

/// What is changed in requests, and whether those that change something are sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct MiddlewareArgs {
    /// Send writes too: every method but GET, HEAD and OPTIONS. A POST that is replayed is a second order
    #[arg(long)]
    allow_writes: bool,
    /// Set a header line, such as 'X-Shadow: 1'; repeatable
    #[arg(long = "set-header", value_name = "NAME: VALUE", allow_hyphen_values = true)]
    set_headers: Vec<String>,
    /// Remove header lines of this name; repeatable
    #[arg(long = "remove-header", value_name = "NAME")]
    remove_headers: Vec<String>,
    /// Set a cookie, such as theme=dark; repeatable
    #[arg(long = "set-cookie", value_name = "NAME=VALUE", allow_hyphen_values = true)]
    set_cookies: Vec<String>,
    /// Remove the cookie of this name; repeatable
    #[arg(long = "remove-cookie", value_name = "NAME")]
    remove_cookies: Vec<String>,
}

/// Where, when and how to send.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct ReplayArgs {
    // Not a doc comment: rustdoc would have the address marked up.
    #[arg(
        long,
        value_name = "URL",
        help = "Where to send (required): scheme, host and port, such as http://staging:8080"
    )]
    to: Option<String>,
    /// Pace beside the captured one: 2x is twice as fast, max as fast as answers come [default: 1x]
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    speed: Option<String>,
    /// An even pace instead of the captured one, such as 500/s (or /m, /h): of the capture's requests, before filters
    /// and sample take theirs
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Longest wait for a whole answer, from the send: 500ms, 30s, 2m [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// Most requests that await their answer at once; more of them wait, which shows as lag [default: 1024]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_in_flight: Option<String>,
    /// Keep the captured Host header instead of naming the target
    #[arg(long)]
    keep_host: bool,
    /// Do not check the target's certificate: whoever answers at its address gets the requests
    #[arg(long)]
    insecure: bool,
    /// How long a run that is stopped (Ctrl-C) waits for what is in flight [default: 5s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    drain: Option<String>,
}

/// What is written besides the report on standard output.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ReportArgs {
    /// Write the summary (one JSON object) to FILE, - for standard output; the report then goes to standard error
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Write a line of JSON to FILE for each request that ended, - for standard output
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

impl From<ReplayCommand> for typed::Replay {
    fn from(args: ReplayCommand) -> Self {
        let report = typed::Report { summary: args.report.summary, results: args.report.results };
        Self {
            capture: args.capture.into(),
            select: args.select.into(),
            middleware: args.middleware.into(),
            send: args.send.into(),
            report,
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
        }
    }
}

impl From<CaptureArgs> for typed::Capture {
    fn from(args: CaptureArgs) -> Self {
        Self { files: args.files, ports: args.ports, bpf: args.bpf, max_memory: args.max_memory }
    }
}

impl From<LiveArgs> for typed::Live {
    fn from(args: LiveArgs) -> Self {
        Self {
            interfaces: args.interfaces,
            ports: args.ports,
            bpf: args.bpf,
            tunnels: args.tunnels,
            buffer: args.buffer,
            snaplen: args.snaplen,
            no_promiscuous: args.no_promiscuous,
            max_memory: args.max_memory,
            user: args.user,
        }
    }
}

impl From<SelectArgs> for typed::Select {
    fn from(args: SelectArgs) -> Self {
        Self {
            sample: args.sample,
            sample_by: args.sample_by,
            seed: args.seed,
            allow_methods: args.allow_methods,
            allow_paths: args.allow_paths,
            deny_paths: args.deny_paths,
            allow_hosts: args.allow_hosts,
        }
    }
}

impl From<MiddlewareArgs> for typed::Middleware {
    fn from(args: MiddlewareArgs) -> Self {
        Self {
            allow_writes: args.allow_writes,
            set_headers: args.set_headers,
            remove_headers: args.remove_headers,
            set_cookies: args.set_cookies,
            remove_cookies: args.remove_cookies,
        }
    }
}

impl From<ReplayArgs> for typed::Send {
    fn from(args: ReplayArgs) -> Self {
        Self {
            to: args.to,
            speed: args.speed,
            rate: args.rate,
            timeout: args.timeout,
            max_in_flight: args.max_in_flight,
            keep_host: args.keep_host,
            insecure: args.insecure,
            drain: args.drain,
        }
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
        for name in ["replay", "inspect"] {
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
        assert_eq!((typed.select.sample.as_deref(), typed.send.to.as_deref()), (Some("-5%"), Some("http://h")));
    }
}
