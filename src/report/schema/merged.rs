//! The block `merged` of the summary: the runs that it was added up from.

use serde::{Deserialize, Serialize};

/// Runs that were added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MergedRuns {
    /// Each of them, in the order in which they were given.
    pub runs: Vec<MergedRunPart>,
    /// Parts of their summaries that cannot be added up and are not in this one, in words for people.
    pub left_out: Vec<String>,
}

/// One of the runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MergedRunPart {
    /// The file, or the replayer, that it came from.
    pub name: String,
    /// Start of the run.
    pub started: String,
    /// Length of the run, in seconds.
    pub duration_s: f64,
    /// Requests that it saw.
    pub seen: u64,
    /// Its command line, without secrets; empty where there was none.
    pub command_line: String,
}
