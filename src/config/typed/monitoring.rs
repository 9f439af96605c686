//! Arguments to monitor a run in progress.

use std::path::PathBuf;

/// Metrics, live page and log lines of a run in progress.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Monitoring"))]
pub struct Monitoring {
    /// Serve a live page at /, Prometheus metrics at /metrics, and /healthz and /readyz, such as on 127.0.0.1:9184. On
    /// an address that is not loopback the page needs --control-token-file
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDRESS:PORT"))]
    pub metrics: Option<String>,
    /// Require the token in FILE for the page and its controls. Without it the controls work on loopback only
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub control_token_file: Option<PathBuf>,
    /// Require the token in FILE for metrics and probes (Authorization: Bearer TOKEN)
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub metrics_token: Option<PathBuf>,
    /// Send a span of each delivery to this OpenTelemetry collector, such as `http://collector:4318`: OTLP over HTTP, as
    /// JSON. It links production's span where the request has a traceparent
    #[cfg_attr(feature = "cli", arg(long, value_name = "URL"))]
    pub otlp: Option<String>,
    /// Post JSON to this address when a guard trips, and when it recovers. Its path is not shown anywhere
    #[cfg_attr(feature = "cli", arg(long, value_name = "URL"))]
    pub webhook: Option<String>,
    /// Format of lines on standard error: text or json [default: text]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORMAT"))]
    pub log_format: Option<String>,
    /// Print only warnings, the report, and where --metrics serves
    #[cfg_attr(feature = "cli", arg(short, long))]
    pub quiet: bool,
}
