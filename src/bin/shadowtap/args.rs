//! Arguments of the command line. Every value is text here: the library's `config` checks it, so that all mistakes are
//! reported at once.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use shadowtap::config::typed;

/// Rehearse a migration with real traffic: send captured HTTP to another stack and see what differs.
#[derive(Debug, Parser)]
#[command(version = version(), max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Start with `shadowtap demo`. The --help of each command has examples; --help all has every flag."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Returns the version, with the commit where the build was told it (`SHADOWTAP_COMMIT`), and the features.
fn version() -> String {
    let features = [
        ("jemalloc", cfg!(feature = "jemalloc")),
        ("nats", cfg!(feature = "nats")),
        ("parquet", cfg!(feature = "parquet")),
    ];
    let features: Vec<&str> = features.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
    let commit = option_env!("SHADOWTAP_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!("commit {commit}, ")).unwrap_or_default();
    format!("{} ({commit}features: {features})", env!("CARGO_PKG_VERSION"))
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, moved once; how large it is changes with every flag")]
pub(crate) enum Command {
    Shadow(typed::Shadow),
    Replay(typed::Replay),
    Record(typed::Record),
    Inspect(typed::Inspect),
    Report(ReportCommand),
    Filters(FiltersCommand),
    Interfaces(InterfacesCommand),
    Control(ControlArguments),
    Doctor(typed::Doctor),
    Demo(DemoCommand),
    Gor(GorCommand),
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

    /// Returns whether flags are taken from the environment.
    pub(crate) const fn is_configured(&self) -> bool {
        self.monitoring().is_some()
    }

    const fn monitoring(&self) -> Option<&typed::Monitoring> {
        match self {
            Self::Shadow(args) => Some(&args.monitoring),
            Self::Replay(args) => Some(&args.monitoring),
            Self::Record(args) => Some(&args.monitoring),
            _ => None,
        }
    }
}

/// Print the report of an earlier run, compare two runs, add several up, or show production by route.
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
  shadowtap report --merge node-a.json node-b.json --summary all.json
  shadowtap report peak.gor.zst

Exit codes: 0 done; 1 a --fail-if condition holds; 2 a file cannot be read or written, or a flag is wrong.")]
pub(crate) struct ReportCommand {
    /// Results or summary of a run (--results, --summary), a capture, or a recording; several with --merge
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Add the runs up to one: counts are summed, and latencies merged before their percentiles are taken
    #[arg(long)]
    pub(crate) merge: bool,
    /// Compare with this earlier run: its results or its summary
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Say what HAProxy would have done with a target as its server, such as 'error-limit 10, on-error mark-down, rise 2,
    /// fall 3, inter 2s, p99>800ms/10s'. See docs/haproxy.md
    #[arg(long, value_name = "RULE")]
    pub(crate) observe: Option<String>,
    #[command(flatten)]
    pub(crate) advise: AdviseArguments,
    /// Write the summary (one JSON object) to FILE; - is standard output
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) summary: Option<PathBuf>,
    /// Write the report as one page of HTML to FILE
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) routes: typed::Routes,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) mode: typed::Mode,
    #[command(flatten)]
    pub(crate) store: typed::Store,
    #[command(flatten)]
    pub(crate) gates: typed::Gates,
}

impl ReportCommand {
    /// Returns the file, or the first of several.
    pub(crate) fn file(&self) -> &Path {
        self.files.first().map_or(Path::new(""), PathBuf::as_path)
    }
}

/// What the next step of a migration is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Advice")]
pub(crate) struct AdviseArguments {
    /// Say which steps of a ramp are ready on each route of --map, and print the lines that take the next one. haproxy: lines
    /// of its runtime API and of its map. Changes nothing. See docs/haproxy.md
    #[arg(long, value_name = "PROXY")]
    pub(crate) advise: Option<String>,
    /// The routes: a file as HAProxy's `map_reg` reads it
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,
    /// The name by which HAProxy knows the map [default: FILE of --map]
    #[arg(long, value_name = "NAME")]
    pub(crate) map_name: Option<String>,
    /// Servers of the new stack, in the backends that the map names: traffic goes over by weights
    #[arg(long, value_name = "SERVERS", value_delimiter = ',')]
    pub(crate) new_servers: Vec<String>,
    /// Servers of the old stack in the same backends
    #[arg(long, value_name = "SERVERS", value_delimiter = ',')]
    pub(crate) old_servers: Vec<String>,
    /// The backend of the new stack: traffic goes over by the value of the map, a whole route at a time
    #[arg(long, value_name = "BACKEND")]
    pub(crate) new_backend: Option<String>,
    /// Steps, such as 1%,10%,50%,100% [default: those of the run's --ramp, else 1%,5%,10%,25%,50%,100%]
    #[arg(long, value_name = "STEPS", allow_hyphen_values = true)]
    pub(crate) steps: Option<String>,
    /// Share that the new servers get now: the step after it comes next [default: 0%]
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    pub(crate) now: Option<String>,
    /// Connections that the new stack takes at most
    #[arg(long, value_name = "N")]
    pub(crate) connection_limit: Option<u64>,
    /// The target that is meant, by its name or URL, where a run had several
    #[arg(long, value_name = "TARGET")]
    pub(crate) of: Option<String>,
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

/// Run GoReplay's command line: print the command of shadowtap that does the same, then do it.
///
/// Takes the flags of GoReplay 2.0.0, or refuses them by name and says what to use instead. --print only prints. Under the
/// name `gor` (a link to shadowtap) it takes them directly.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap gor --print --input-raw :8080 --output-http 'https://app|5%'
  sudo shadowtap gor --input-raw :8080 --output-http 'https://app|5%'
  shadowtap gor --input-file 'requests.gor|200%' --output-http http://staging:8080

docs/from-goreplay.md has every flag, and what becomes of it.")]
pub(crate) struct GorCommand {
    /// Flags of GoReplay, and --print
    #[arg(value_name = "FLAG", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<std::ffi::OsString>,
}

/// Print a completion script for your shell.
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

/// Write manual pages: one for the program, and one for each command.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shadowtap man ~/.local/share/man/man1")]
pub(crate) struct ManCommand {
    /// Directory to write to. It is created if it is missing
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

/// Control a run: show its status, change its sample, pause, resume or stop it; save what a dashcam keeps.
///
/// With --at all replayers of a recording on NATS at once: see docs/fleet.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shadowtap control status
  shadowtap control sample 25%
  shadowtap control pause
  shadowtap control --socket /run/shadowtap/1000/4711.sock stop
  shadowtap control --at nats://10.0.0.5/evening sample 25%

Exit codes: 0 done; 1 a replayer did not take up the order within 5 s (--at); 2 no such
run, several runs, or the run refused.")]
pub(crate) struct ControlArguments {
    /// sample SHARE, pause, resume, stop, save or status
    #[arg(required = true, value_name = "WORD", num_args = 1..)]
    pub(crate) word: Vec<String>,
    /// Socket of the run [default: that of the only run of this user]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// All replayers of a recording on NATS at once: URL is what they replay
    #[arg(long, value_name = "URL", conflicts_with = "socket")]
    pub(crate) at: Option<PathBuf>,
    /// Print the reply as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: typed::Store,
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
    pub(crate) mode: typed::Mode,
    #[command(flatten)]
    pub(crate) gates: typed::Gates,
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
    fn the_version_comes_first_and_the_features_follow() {
        let version = Cli::command().render_version();
        assert!(version.starts_with(concat!("shadowtap ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
        assert!(version.contains("features: "), "{version}");
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
        assert_eq!((args.select.sample.as_deref(), args.send.to), (Some("-5%"), vec!["http://h".to_owned()]));
    }
}
