//! Command line as typed: text that nothing has validated yet.

use std::path::PathBuf;

/// Capture files and filters on them.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Capture files; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Lists of ports, `80,8080`.
    pub ports: Vec<String>,
    /// A filter in libpcap's language.
    pub bpf: Option<String>,
    /// Lists of tunnels, `vxlan:4788,gre`.
    pub tunnels: Vec<String>,
    /// `512M`.
    pub max_memory: Option<String>,
}

/// Interfaces and filters of a live capture, and the privileges it keeps.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Interfaces, or lists of them; `any`.
    pub interfaces: Vec<String>,
    /// Lists of ports, `80,8080`.
    pub ports: Vec<String>,
    /// A filter in libpcap's language.
    pub bpf: Option<String>,
    /// Lists of tunnels, `vxlan,gre`.
    pub tunnels: Vec<String>,
    /// `in`, `out` or `both`.
    pub direction: Option<String>,
    /// `64M`.
    pub buffer: Option<String>,
    /// A whole number of bytes.
    pub snaplen: Option<String>,
    /// True when only frames addressed to this machine are captured.
    pub no_promiscuous: bool,
    /// Whether interfaces are waited for.
    pub wait_interface: bool,
    /// `512M`.
    pub max_memory: Option<String>,
    /// User to run as: a name or a number.
    pub user: Option<String>,
}

/// Selection of requests.
#[derive(Clone, Debug, Default)]
pub struct Select {
    /// `50%`.
    pub sample: Option<String>,
    /// `client-ip`, `header:NAME`, ...
    pub sample_by: Option<String>,
    /// A whole number.
    pub seed: Option<String>,
    /// Methods, or lists of them.
    pub allow_methods: Vec<String>,
    /// Regular expressions.
    pub allow_paths: Vec<String>,
    /// Regular expressions.
    pub deny_paths: Vec<String>,
    /// Host names.
    pub allow_hosts: Vec<String>,
}

/// Changes to requests.
#[derive(Clone, Debug, Default)]
pub struct Middleware {
    /// Chain files.
    pub filters: Vec<PathBuf>,
    /// `500/s`.
    pub limit: Option<String>,
    /// True when writes are sent.
    pub allow_writes: bool,
    /// `Name: value`.
    pub set_headers: Vec<String>,
    /// Header names.
    pub remove_headers: Vec<String>,
    /// `name=value`.
    pub set_cookies: Vec<String>,
    /// Cookie names.
    pub remove_cookies: Vec<String>,
    /// A command line.
    pub middleware: Option<String>,
    /// A whole number.
    pub middleware_workers: Option<String>,
    /// `5s`.
    pub middleware_timeout: Option<String>,
}

/// Target, timing and client settings.
#[derive(Clone, Debug, Default)]
pub struct Send {
    /// `http://staging:8080`, one or several.
    pub to: Vec<String>,
    /// `2x`, `max`.
    pub speed: Option<String>,
    /// `500/s`.
    pub rate: Option<String>,
    /// `10s`.
    pub max_gap: Option<String>,
    /// `30s`.
    pub timeout: Option<String>,
    /// `5m`.
    pub max_time: Option<String>,
    /// A whole number.
    pub max_in_flight: Option<String>,
    /// `wire`, `reqwest`.
    pub client: Option<String>,
    /// True when HTTP/2 is requested.
    pub http2: bool,
    /// `http://proxy:3128`.
    pub proxy: Option<String>,
    /// `10.0.0.7:443`, `new=unix:/run/app.sock`.
    pub connect_to: Vec<String>,
    /// `www.example.com`, `new=www.example.com`.
    pub sni: Vec<String>,
    /// `pooled`, `mirrored`.
    pub connections: Option<String>,
    /// A whole number.
    pub max_connections: Option<String>,
    /// `64M`.
    pub max_response: Option<String>,
    /// `30s`.
    pub resolve_every: Option<String>,
    /// A file in PEM.
    pub ca: Option<PathBuf>,
    /// A file in PEM.
    pub cert: Option<PathBuf>,
    /// A file in PEM.
    pub key: Option<PathBuf>,
    /// True when the captured Host header is kept.
    pub keep_host: bool,
    /// True when any certificate is accepted.
    pub insecure: bool,
    /// `5s`.
    pub drain: Option<String>,
}

/// Range, passes and amplification of a replay of files.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// `10m`, `20:15`, an instant.
    pub from: Option<String>,
    /// The same.
    pub until: Option<String>,
    /// A whole number.
    pub passes: Option<String>,
    /// `3x`.
    pub amplify: Option<String>,
}

/// Rules of comparison.
#[derive(Clone, Debug, Default)]
pub struct Compare {
    /// `header:NAME`, `json:PATH`, `body`.
    pub ignore: Vec<String>,
    /// `json:PATH`.
    pub ignore_order: Vec<String>,
    /// Header names.
    pub compare_headers: Vec<String>,
    /// A file of rules.
    pub file: Option<PathBuf>,
    /// `256K`.
    pub max_body: Option<String>,
    /// `http://old-stack:8080`.
    pub baseline: Option<String>,
    /// `1%`.
    pub self_check: Option<String>,
}

/// Outputs besides the report on standard output.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// A file, or `-`.
    pub summary: Option<PathBuf>,
    /// A file, or `-`.
    pub results: Option<PathBuf>,
    /// A file, or `-`.
    pub report: Option<PathBuf>,
    /// A file of routes.
    pub routes: Option<PathBuf>,
    /// `0640`.
    pub mode: Option<String>,
    /// Whether results may be written over others.
    pub force: bool,
}

/// Gates of a run.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    /// `errors>0.5%`.
    pub fail_if: Vec<String>,
    /// A whole number.
    pub min_samples: Option<String>,
}

/// Protection of the targets.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// `1%:45s,5%:45s,100%`.
    pub ramp: Option<String>,
    /// `errors>5%/10s`, or `off`.
    pub guard: Option<String>,
    /// `step-down`, `hold`, `pause`, `stop`.
    pub on_guard: Option<String>,
    /// A command line.
    pub guard_command: Option<String>,
    /// `10s`.
    pub guard_every: Option<String>,
}

/// Limits and control of a live run.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// `10m`.
    pub duration: Option<String>,
    /// A whole number.
    pub count: Option<String>,
    /// A header name, a whole header line, or `off`.
    pub mark: Option<String>,
    /// A path, or `off`.
    pub control: Option<PathBuf>,
}

/// Monitoring of a run.
#[derive(Clone, Debug, Default)]
pub struct Monitoring {
    /// `127.0.0.1:9184`.
    pub metrics: Option<String>,
    /// A file with a word in it.
    pub control_token_file: Option<PathBuf>,
    /// A file with the word of who may read the metrics.
    pub metrics_token: Option<PathBuf>,
    /// `text`, `json`.
    pub log_format: Option<String>,
    /// True when only warnings are printed during the run.
    pub quiet: bool,
}

/// Recording: its files and their rotation.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// A file name, or a pattern of one.
    pub output: Option<PathBuf>,
    /// `100M`.
    pub rotate_size: Option<String>,
    /// `1h`.
    pub rotate_every: Option<String>,
}

/// `shadowtap shadow`.
#[derive(Clone, Debug, Default)]
pub struct Shadow {
    /// Live capture.
    pub live: Live,
    /// Selection of requests.
    pub select: Select,
    /// Protection of the targets.
    pub protection: Protection,
    /// Changes to requests.
    pub middleware: Middleware,
    /// Targets and client settings.
    pub send: Send,
    /// Recording made at the same time.
    pub recording: Recording,
    /// Limits and control of the run.
    pub running: Running,
    /// Rules of comparison.
    pub compare: Compare,
    /// Outputs.
    pub report: Report,
    /// Monitoring of the run.
    pub monitoring: Monitoring,
    /// Gates of the run.
    pub gates: Gates,
}

/// `shadowtap record`.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Live capture.
    pub live: Live,
    /// Selection of requests.
    pub select: Select,
    /// Changes to requests.
    pub middleware: Middleware,
    /// Files of the recording.
    pub recording: Recording,
    /// Limits and control of the run.
    pub running: Running,
    /// Outputs.
    pub report: Report,
    /// Monitoring of the run.
    pub monitoring: Monitoring,
}

/// `shadowtap replay`.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Capture files.
    pub capture: Capture,
    /// Range of the capture to replay, and the number of repeats.
    pub range: Range,
    /// Selection of requests.
    pub select: Select,
    /// Protection of the targets.
    pub protection: Protection,
    /// Changes to requests.
    pub middleware: Middleware,
    /// Targets and client settings.
    pub send: Send,
    /// Rules of comparison.
    pub compare: Compare,
    /// A path, or `off`.
    pub control: Option<PathBuf>,
    /// Outputs.
    pub report: Report,
    /// Monitoring of the run.
    pub monitoring: Monitoring,
    /// Gates of the run.
    pub gates: Gates,
}

/// `shadowtap inspect`.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Inspect {
    /// Capture files.
    pub capture: Capture,
    /// Chain files.
    pub filters: Vec<PathBuf>,
    /// Selection of requests.
    pub select: Select,
    /// `5xx`, `404,none`.
    pub status: Option<String>,
    /// True for a table by route instead of lines.
    pub stats: bool,
    /// True for the forecast instead of lines.
    pub forecast: bool,
    /// True for output as JSON.
    pub json: bool,
    /// True for lines that include the messages.
    pub full: bool,
    /// A file, or `-`.
    pub summary: Option<PathBuf>,
    /// A file of routes.
    pub routes: Option<PathBuf>,
    /// `0640`.
    pub mode: Option<String>,
}
