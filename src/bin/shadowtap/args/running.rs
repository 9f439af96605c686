//! Arguments for the control and the recording of a live run.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// Recording: its files and their rotation.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RecordingArgs {
    /// Record to FILE. Its end sets the format: .gor, .jsonl, .pcap or .pcapng, and .gz or .zst to compress. strftime
    /// fields are filled in, in UTC: %Y-%m-%d/%H.gor.zst
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Begin a new file at this size, such as 100M or 1G
    #[arg(long, value_name = "SIZE")]
    rotate_size: Option<String>,
    /// Begin a new file at this age, such as 10m or 1h. The time in a name is then that of its first record
    #[arg(long, value_name = "TIME")]
    rotate_every: Option<String>,
}

impl From<RecordingArgs> for typed::Recording {
    fn from(args: RecordingArgs) -> Self {
        Self { output: args.output, rotate_size: args.rotate_size, rotate_every: args.rotate_every }
    }
}

/// Control socket of a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct ControlArgs {
    /// Unix socket for `shadowtap control`, in a folder that only the user of the run may write to. off: none [default:
    /// live runs open one in that user's folder and print its path]
    #[arg(long, value_name = "PATH")]
    pub(super) control: Option<PathBuf>,
}

/// Confinement of a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct SandboxArgs {
    /// Do not confine the run to its own files, ports and system calls. When confined, programs of --middleware and
    /// --guard-command read the system's files and those beside their own, and write to the folders of outputs and
    /// temporary files
    #[arg(long)]
    pub(crate) no_sandbox: bool,
}

/// Rehearsal of a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct DryRunArgs {
    /// Send and write nothing. Print what would go where, by method and route, and the first requests as they would go
    /// out. A live run listens for 5 s, or for --duration
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Limits and control of a live run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunningArgs {
    /// End after this time, such as 10m or 7h [default: on Ctrl-C]
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// End after this many requests were taken
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    count: Option<String>,
    /// Header that marks shadowtap's own requests, a name or a whole line. Requests that carry it are never taken. off:
    /// no mark [default: x-shadowtap, with the id of the run]
    #[arg(long, value_name = "HEADER")]
    mark: Option<String>,
    #[command(flatten)]
    control: ControlArgs,
}

impl From<RunningArgs> for typed::Running {
    fn from(args: RunningArgs) -> Self {
        Self { duration: args.duration, count: args.count, mark: args.mark, control: args.control.control }
    }
}
