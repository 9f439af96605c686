//! Arguments for outputs other than the report on standard output.

use std::path::PathBuf;

/// Files written besides the report on standard output.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Output"))]
pub struct Report {
    /// Write the summary (one JSON object) to FILE, or to standard output with -; the report then goes to standard
    /// error
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub summary: Option<PathBuf>,
    /// Write one line of JSON for each ended request to FILE, or to standard output with -; a row of a table to a name
    /// that ends in .csv or .parquet. .gz or .zst after it compresses
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub results: Option<PathBuf>,
    /// Overwrite the file of --results if it has something in it, and files of --summary and --report that shadowtap did
    /// not write
    #[cfg_attr(feature = "cli", arg(long))]
    pub force: bool,
    /// Write the report as one HTML page to FILE, or as Markdown to a name that ends in .md
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub report: Option<PathBuf>,
    /// Write the gates of --fail-if as test cases to FILE, in the XML of `JUnit`
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub junit: Option<PathBuf>,
    /// Names of routes.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub routes: Routes,
    /// Permissions of files.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub mode: Mode,
}

/// Permissions of the files written.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct Mode {
    /// Permissions of files that are written, such as 0640 to share them with the group [default: 0600]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODE"))]
    pub mode: Option<String>,
}

/// Names of routes.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct Routes {
    /// Group requests by the routes in FILE, one a line, such as GET /v2/channels/{id}/now. The first that matches
    /// counts
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub routes: Option<PathBuf>,
}
