//! How a run is watched while it goes on.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// How a run is watched while it goes on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Watching")]
pub(crate) struct WatchingArgs {
    /// Show the run at ADDRESS:PORT, such as 127.0.0.1:9184: a live page at /, metrics for Prometheus at /metrics, probes
    /// at /healthz and /readyz. Where ADDRESS is not of this machine alone, the page asks for the word of
    /// --control-token-file, and is not there without one
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<String>,
    /// Let only those steer the run from that page who know the word in FILE; without it the page steers where ADDRESS is
    /// of this machine alone, and nowhere else
    #[arg(long, value_name = "FILE")]
    control_token_file: Option<PathBuf>,
    /// Let only those read the metrics and the probes who know the word in FILE (Authorization: Bearer WORD)
    #[arg(long, value_name = "FILE")]
    metrics_token: Option<PathBuf>,
    /// What lines on standard error are: text, or json for an object each [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
    /// Tell only warnings on the way, and the report at the end
    #[arg(short, long)]
    quiet: bool,
}

impl From<WatchingArgs> for typed::Watching {
    fn from(args: WatchingArgs) -> Self {
        Self {
            metrics: args.metrics,
            control_token_file: args.control_token_file,
            metrics_token: args.metrics_token,
            log_format: args.log_format,
            quiet: args.quiet,
        }
    }
}
