//! Arguments to monitor a run in progress.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// Metrics, live page and log lines of a run in progress.
#[derive(Debug, Args)]
#[command(next_help_heading = "Monitoring")]
pub(crate) struct MonitoringArgs {
    /// Serve a live page at /, Prometheus metrics at /metrics, and /healthz and /readyz, such as on 127.0.0.1:9184. On
    /// an address that is not loopback the page needs --control-token-file
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<String>,
    /// Require the token in FILE for the page and its controls. Without it the controls work on loopback only
    #[arg(long, value_name = "FILE")]
    control_token_file: Option<PathBuf>,
    /// Require the token in FILE for metrics and probes (Authorization: Bearer TOKEN)
    #[arg(long, value_name = "FILE")]
    metrics_token: Option<PathBuf>,
    /// Format of lines on standard error: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
    /// Print only warnings, the report, and where --metrics serves
    #[arg(short, long)]
    pub(super) quiet: bool,
}

impl From<MonitoringArgs> for typed::Monitoring {
    fn from(args: MonitoringArgs) -> Self {
        Self {
            metrics: args.metrics,
            control_token_file: args.control_token_file,
            metrics_token: args.metrics_token,
            log_format: args.log_format,
            quiet: args.quiet,
        }
    }
}
