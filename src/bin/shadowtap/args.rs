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
    Shadow(ShadowCommand),
    Replay(ReplayCommand),
    Record(RecordCommand),
    Inspect(InspectCommand),
    Report(ReportCommand),
    Filters(FiltersCommand),
    Interfaces(InterfacesCommand),
    Demo(DemoCommand),
}

/// Make the report of a run again, from the results that it wrote; or tell what production did, by route, from a capture
/// or a recording.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap replay evening.pcap --to http://staging:8080 --results run.jsonl
  shadowtap report run.jsonl
  shadowtap report peak.gor.zst")]
pub(crate) struct ReportCommand {
    /// Results of a run (--results), a capture, or a recording
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
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

/// Show the whole path on this machine: a bundled capture, a staging server that is wrong on purpose, the report.
///
/// Takes ten seconds, needs no right, and uses no network but loopback.
#[derive(Debug, Args)]
pub(crate) struct DemoCommand {
    /// Write the summary (one JSON object) to FILE
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) summary: Option<PathBuf>,
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

Exit codes: 0 done; 2 a mistake on the command line, a right that is missing, a file that cannot be written, or not
one request could be delivered.")]
pub(crate) struct ShadowCommand {
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    send: ReplayArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    middleware: MiddlewareArgs,
    /// Send writes too: every method but GET, HEAD and OPTIONS. A POST that is replayed is a second order
    #[arg(long, help_heading = "Requests")]
    allow_writes: bool,
    #[command(flatten)]
    recording: RecordingArgs,
    #[command(flatten)]
    running: RunningArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// Record live traffic: requests and responses to .gor or .jsonl, or frames to .pcap or .pcapng.
///
/// Filters, sample and rewrites come before the recording, so that what must not be stored never reaches the disk; all
/// methods are recorded. Nothing is sent. Files are never overwritten, and belong to the user that shadowtap runs as.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo shadowtap record -p 80 -o peak.gor.zst --duration 1h
  sudo shadowtap record -i eth0 -p 80 -o '%Y-%m-%d/%H.jsonl.gz' --remove-header Authorization
  sudo shadowtap record -p 80 -o frames.pcap.zst --rotate-size 1G

Exit codes: 0 done; 2 a mistake on the command line, a right that is missing, or a file that cannot be written.")]
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
    report: ReportArgs,
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
    pace: PaceArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    middleware: MiddlewareArgs,
    /// Send writes too: every method but GET, HEAD and OPTIONS. A POST that is replayed is a second order
    #[arg(long, help_heading = "Requests")]
    allow_writes: bool,
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
    /// What the sample keeps together: request, connection, client-ip, header:NAME, cookie:NAME, param:NAME or
    /// path-segment:N (from 1); a request that lacks it is sampled by itself [default: request]
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

/// What is changed in requests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct MiddlewareArgs {
    /// Do to requests what this chain file says, see docs/filters.md; repeatable, in the order given, before the other
    /// flags. NAME=FILE: only on the way to the target of that name, after everything else
    #[arg(long = "filters", value_name = "FILE")]
    filters: Vec<PathBuf>,
    /// Send no more than this of what is in the sample, such as 500/s (or /m, /h); the rest is counted as rate limited
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    limit: Option<String>,
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
    /// After all that, pass requests through this program and take what it gives back: it speaks GoReplay's protocol,
    /// see docs/middleware.md. Split into words as a shell does it, such as 'python3 my.py'
    #[arg(long, value_name = "COMMAND")]
    middleware: Option<String>,
    /// Run so many of it; requests of one connection go to the same [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    middleware_workers: Option<String>,
    /// How long a request waits to be given back; then it is left out, and counted [default: 5s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    middleware_timeout: Option<String>,
}

/// When to send.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct PaceArgs {
    /// Pace beside the captured one: 2x is twice as fast, max as fast as answers come [default: 1x]
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    speed: Option<String>,
    /// An even pace instead of the captured one, such as 500/s (or /m, /h): of the capture's requests, before filters
    /// and sample take theirs
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<String>,
}

/// Where and how to send.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct ReplayArgs {
    // Not a doc comment: rustdoc would have the address marked up.
    #[arg(
        long,
        value_name = "URL",
        help = "Where to send (required): scheme, host and port, such as http://staging:8080; repeatable, each target \
                gets every request"
    )]
    to: Vec<String>,
    /// Longest wait for a whole answer, from the send: 500ms, 30s, 2m [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// Most requests that await their answer at once; more of them wait, which shows as lag [default: 1024]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_in_flight: Option<String>,
    /// pooled: requests share connections, as behind a load balancer. mirrored: one for each captured connection, opened,
    /// kept and closed as that was, its requests in their order [default: pooled]
    #[arg(long, value_name = "MODE")]
    connections: Option<String>,
    /// Most connections that are open at once; requests wait for one, which shows as lag [default: 256 pooled; mirrored as
    /// many as the limit on open files allows]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_connections: Option<String>,
    /// What speaks to the target: wire sends requests byte for byte as captured, reqwest normalises targets and headers
    /// [default: wire]
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// Longest body of an answer, such as 64M or 1G; a longer one is cut, and its request fails [default: 256M]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    max_response: Option<String>,
    /// How often the target's name is looked up again: a balancer's addresses change [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    resolve_every: Option<String>,
    /// Keep the captured Host header instead of naming the target
    #[arg(long)]
    keep_host: bool,
    /// Trust the certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Show this certificate (PEM, with its chain) to a target that asks for one
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The private key of --cert (PEM) [default: in the file of --cert]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Do not check the target's certificate: whoever answers at its address gets the requests
    #[arg(long)]
    insecure: bool,
    /// How long a run that is stopped (Ctrl-C) waits for what is in flight [default: 5s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    drain: Option<String>,
}

/// What is recorded, and in which files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RecordingArgs {
    /// Record what passes to FILE: its end says how, .gor, .jsonl, .pcap or .pcapng, with .gz or .zst after it to
    /// compress. Fields of strftime are filled in, in UTC: %Y-%m-%d/%H.gor.zst
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Begin a new file when one is this large, such as 100M or 1G
    #[arg(long, value_name = "SIZE")]
    rotate_size: Option<String>,
    /// Begin a new file when one is this old, such as 10m or 1h
    #[arg(long, value_name = "TIME")]
    rotate_every: Option<String>,
}

/// How a live run goes on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunningArgs {
    /// End after this time, such as 10m or 7h [default: when interrupted (Ctrl-C)]
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// End after this many requests were taken
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    count: Option<String>,
    /// The header that marks what shadowtap sends, a name or a whole line; requests that carry it are never taken. off:
    /// no mark [default: x-shadowtap, with the id of the run]
    #[arg(long, value_name = "HEADER")]
    mark: Option<String>,
    /// Tell only warnings on the way, and the report at the end
    #[arg(short, long)]
    quiet: bool,
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
        let PaceArgs { speed, rate } = args.pace;
        Self {
            capture: args.capture.into(),
            select: args.select.into(),
            middleware: middleware(args.middleware, args.allow_writes),
            send: typed::Send { speed, rate, ..args.send.into() },
            report: args.report.into(),
        }
    }
}

impl From<ShadowCommand> for typed::Shadow {
    fn from(args: ShadowCommand) -> Self {
        Self {
            live: args.live.into(),
            select: args.select.into(),
            middleware: middleware(args.middleware, args.allow_writes),
            send: args.send.into(),
            recording: args.recording.into(),
            running: args.running.into(),
            report: args.report.into(),
        }
    }
}

impl From<RecordCommand> for typed::Record {
    fn from(args: RecordCommand) -> Self {
        Self {
            live: args.live.into(),
            select: args.select.into(),
            middleware: middleware(args.middleware, true),
            recording: args.recording.into(),
            running: args.running.into(),
            report: args.report.into(),
        }
    }
}

impl From<RecordingArgs> for typed::Recording {
    fn from(args: RecordingArgs) -> Self {
        Self { output: args.output, rotate_size: args.rotate_size, rotate_every: args.rotate_every }
    }
}

impl From<RunningArgs> for typed::Running {
    fn from(args: RunningArgs) -> Self {
        Self { duration: args.duration, count: args.count, mark: args.mark, quiet: args.quiet }
    }
}

impl From<ReportArgs> for typed::Report {
    fn from(args: ReportArgs) -> Self {
        Self { summary: args.summary, results: args.results }
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

impl From<ReportCommand> for typed::Inspect {
    fn from(args: ReportCommand) -> Self {
        let capture = typed::Capture { files: vec![args.file], ..typed::Capture::default() };
        Self { capture, stats: true, ..Self::default() }
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

fn middleware(args: MiddlewareArgs, allow_writes: bool) -> typed::Middleware {
    typed::Middleware {
        filters: args.filters,
        limit: args.limit,
        allow_writes,
        set_headers: args.set_headers,
        remove_headers: args.remove_headers,
        set_cookies: args.set_cookies,
        remove_cookies: args.remove_cookies,
        middleware: args.middleware,
        middleware_workers: args.middleware_workers,
        middleware_timeout: args.middleware_timeout,
    }
}

impl From<ReplayArgs> for typed::Send {
    fn from(args: ReplayArgs) -> Self {
        Self {
            to: args.to,
            speed: None,
            rate: None,
            timeout: args.timeout,
            max_in_flight: args.max_in_flight,
            client: args.client,
            connections: args.connections,
            max_connections: args.max_connections,
            max_response: args.max_response,
            resolve_every: args.resolve_every,
            ca: args.ca,
            cert: args.cert,
            key: args.key,
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
        for name in ["shadow", "replay", "record", "inspect", "report", "interfaces"] {
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
