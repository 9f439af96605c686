//! Arguments for the control and the recording of a live run.

use std::path::PathBuf;

/// Recording: its files and their rotation.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Recording"))]
pub struct Recording {
    /// Record to FILE. Its end sets the format: .gor, .jsonl, .pcap or .pcapng, and .gz or .zst to compress. strftime
    /// fields are filled in, in UTC: %Y-%m-%d/%H.gor.zst; %i is the number of the file. - prints .gor records.
    /// `nats://HOST/NAME` records on NATS, for a fleet: see docs/fleet.md
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "FILE"))]
    pub output: Option<PathBuf>,
    /// Format of the recording, whatever its name ends in: gor, jsonl, pcap or pcapng
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORMAT"))]
    pub format: Option<String>,
    /// Begin a new file at this size, such as 100M or 1G
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE"))]
    pub rotate_size: Option<String>,
    /// Begin a new file at this age, such as 10m or 1h. The time in a name is then that of its first record
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    pub rotate_every: Option<String>,
    /// Begin a new file with this many records: requests and responses
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    pub rotate_count: Option<String>,
    /// Keep what has no room in memory while the store is away in FILE, for nats://. What a node leaves there that was killed
    /// is sent by its next start
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub nats_spool: Option<PathBuf>,
    /// Largest size of that file: past it exchanges are left out, and counted [default: 1G]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE"))]
    pub nats_spool_size: Option<String>,
    /// Go on in a file that is there, behind what is in it [default: a new file, with a number where the name is taken]
    #[cfg_attr(feature = "cli", arg(long))]
    pub append: bool,
}

/// Dashcam: the last minutes of a recording, written out when it is asked for.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Recording"))]
pub struct Dashcam {
    /// Keep the last minutes in a ring of files beside the output, such as 10m, and write them to --output on SIGUSR1 or
    /// `shadowtap control save`
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    pub keep: Option<String>,
    /// Largest size of the ring: past it less time is kept [default: 2G]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE"))]
    pub keep_size: Option<String>,
    /// Time after that which is written out too [default: 30s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    pub then: Option<String>,
    /// Write the last minutes out when this begins to hold of production's responses: 'production.5xx>2%/30s',
    /// production.p99>1s/1m, production.errors. Several stand between commas
    #[cfg_attr(feature = "cli", arg(long, value_name = "CONDITION", allow_hyphen_values = true))]
    pub save_if: Option<String>,
}

/// Control socket of a run.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Running"))]
pub struct Control {
    /// Unix socket for `shadowtap control`, in a folder that only the user of the run may write to. off: none [default:
    /// live runs open one in that user's folder and print its path]
    #[cfg_attr(feature = "cli", arg(long, value_name = "PATH"))]
    pub control: Option<PathBuf>,
}

/// File with flags.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Running"))]
pub struct ConfigFile {
    /// Read flags from this file (TOML): their names without hyphens before them, such as sample = "10%". A flag that is
    /// typed wins, then one in the environment (`SHADOWTAP_SAMPLE`). See docs/service.md
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub config: Option<PathBuf>,
}

/// Longest time of a replay.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Running"))]
pub struct Ending {
    /// End after this time, such as 10m or 7h, whatever is left of the files [default: at their end]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    pub duration: Option<String>,
}

/// Confinement of a run.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Running"))]
pub struct Sandbox {
    /// Do not confine the run to its own files, ports and system calls. When confined, programs of --middleware and
    /// --guard-command read the system's files and those beside their own, and write to the folders of outputs and
    /// temporary files
    #[cfg_attr(feature = "cli", arg(long))]
    pub no_sandbox: bool,
}

/// Rehearsal of a run.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Running"))]
pub struct DryRun {
    /// Send and write nothing. Print what would go where, by method and route, and the first requests as they would go
    /// out. A live run listens for 5 s, or for --duration
    #[cfg_attr(feature = "cli", arg(long))]
    pub dry_run: bool,
}

/// Limits and control of a live run.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Running"))]
pub struct Running {
    /// End after this time, such as 10m or 7h [default: on Ctrl-C]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    pub duration: Option<String>,
    /// End after this many requests were taken
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    pub count: Option<String>,
    /// Header that marks shadowtap's own requests, a name or a whole line. Requests that carry it are never taken. off:
    /// no mark [default: x-shadowtap, with the id of the run]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HEADER"))]
    pub mark: Option<String>,
    /// Control socket.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub control: Control,
}
