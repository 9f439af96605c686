//! Arguments for outputs other than the report on standard output.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// Files written besides the report on standard output.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ReportArgs {
    /// Write the summary (one JSON object) to FILE, or to standard output with -; the report then goes to standard
    /// error
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Write one line of JSON for each ended request to FILE, or to standard output with -
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Overwrite the file of --results if it has something in it, and files of --summary and --report that shadowtap did
    /// not write
    #[arg(long)]
    force: bool,
    /// Write the report as one HTML page to FILE
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    routes: RoutesArgs,
    #[command(flatten)]
    mode: ModeArgs,
}

/// Permissions of the files written.
#[derive(Debug, Args)]
pub(crate) struct ModeArgs {
    /// Permissions of files that are written, such as 0640 to share them with the group [default: 0600]
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
}

/// Names of routes.
#[derive(Debug, Args)]
pub(crate) struct RoutesArgs {
    /// Group requests by the routes in FILE, one a line, such as GET /v2/channels/{id}/now. The first that matches
    /// counts
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
            force: args.force,
        }
    }
}
