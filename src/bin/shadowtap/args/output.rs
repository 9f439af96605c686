//! What is written besides the report on standard output.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

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
    /// Write the report as one page of HTML to FILE: verdict, routes, differences with examples, latency, all over time
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    routes: RoutesArgs,
    #[command(flatten)]
    mode: ModeArgs,
}

/// Who may read what is written.
#[derive(Debug, Args)]
pub(crate) struct ModeArgs {
    /// Permissions of the files that are written, such as 0640 to let their group read them, too [default: 0600]
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
}

/// What routes are called.
#[derive(Debug, Args)]
pub(crate) struct RoutesArgs {
    /// Group requests by the routes in FILE, one a line, such as GET /v2/channels/{id}/now; the first that matches counts
    #[arg(long, value_name = "FILE")]
    pub(crate) routes: Option<PathBuf>,
}

impl From<ReportArgs> for typed::Report {
    fn from(args: ReportArgs) -> Self {
        Self {
            summary: args.summary,
            results: args.results,
            report: args.report,
            routes: args.routes.routes,
            mode: args.mode.mode,
        }
    }
}
