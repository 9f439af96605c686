//! What was typed, as it was typed: text that nobody has judged yet.

use std::path::PathBuf;

/// What to read.
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

/// What to capture, and with which rights.
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
    /// Whether only frames are wanted that are addressed to this machine.
    pub no_promiscuous: bool,
    /// Whether interfaces are waited for.
    pub wait_interface: bool,
    /// `512M`.
    pub max_memory: Option<String>,
    /// Who to run as; a name or a number.
    pub user: Option<String>,
}

/// Which requests.
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

/// What is done to requests.
#[derive(Clone, Debug, Default)]
pub struct Middleware {
    /// Chain files.
    pub filters: Vec<PathBuf>,
    /// `500/s`.
    pub limit: Option<String>,
    /// Whether writes pass.
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

/// Where, when and how to send.
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
    /// Whether HTTP/2 is wanted.
    pub http2: bool,
    /// `http://proxy:3128`.
    pub proxy: Option<String>,
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
    /// Whether the captured Host header is kept.
    pub keep_host: bool,
    /// Whether any certificate is accepted.
    pub insecure: bool,
    /// `5s`.
    pub drain: Option<String>,
}

/// What of files is replayed.
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

/// What counts as a difference.
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

/// What is written.
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

/// What is demanded of a run.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    /// `errors>0.5%`.
    pub fail_if: Vec<String>,
    /// A whole number.
    pub min_samples: Option<String>,
}

/// What spares the targets.
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

/// How a live run goes on.
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

/// How a run is watched.
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
    /// Whether only warnings are told on the way.
    pub quiet: bool,
}

/// What is recorded.
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
    /// What to capture.
    pub live: Live,
    /// Which requests.
    pub select: Select,
    /// What spares the targets.
    pub protection: Protection,
    /// What is done to them.
    pub middleware: Middleware,
    /// Where to send them.
    pub send: Send,
    /// What is recorded beside it.
    pub recording: Recording,
    /// How the run goes on.
    pub running: Running,
    /// What counts as a difference.
    pub compare: Compare,
    /// What is written.
    pub report: Report,
    /// How it is watched.
    pub monitoring: Monitoring,
    /// What is demanded of it.
    pub gates: Gates,
}

/// `shadowtap record`.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What to capture.
    pub live: Live,
    /// Which requests.
    pub select: Select,
    /// What is done to them.
    pub middleware: Middleware,
    /// Where they are recorded.
    pub recording: Recording,
    /// How the run goes on.
    pub running: Running,
    /// What is written.
    pub report: Report,
    /// How it is watched.
    pub monitoring: Monitoring,
}

/// `shadowtap replay`.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// What to read.
    pub capture: Capture,
    /// What of it is replayed, and how often.
    pub range: Range,
    /// Which requests.
    pub select: Select,
    /// What spares the targets.
    pub protection: Protection,
    /// What is done to them.
    pub middleware: Middleware,
    /// Where to send them.
    pub send: Send,
    /// What counts as a difference.
    pub compare: Compare,
    /// A path, or `off`.
    pub control: Option<PathBuf>,
    /// What is written.
    pub report: Report,
    /// How it is watched.
    pub monitoring: Monitoring,
    /// What is demanded of it.
    pub gates: Gates,
}

/// `shadowtap inspect`.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Inspect {
    /// What to read.
    pub capture: Capture,
    /// Which requests.
    pub select: Select,
    /// `5xx`, `404,none`.
    pub status: Option<String>,
    /// Whether a table by route takes the place of lines.
    pub stats: bool,
    /// Whether the forecast does.
    pub forecast: bool,
    /// Whether what is printed is JSON.
    pub json: bool,
    /// Whether lines carry the messages.
    pub full: bool,
    /// A file, or `-`.
    pub summary: Option<PathBuf>,
    /// A file of routes.
    pub routes: Option<PathBuf>,
    /// `0640`.
    pub mode: Option<String>,
}
