//! The block `asked` of the summary: what a run was asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a run was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunRequest {
    /// The command line, as a shell takes it, without secrets; empty where there was none.
    pub command_line: String,
    /// Captures and recordings that were read.
    pub inputs: Vec<String>,
    /// Chain files.
    pub filters: Vec<String>,
    /// The seed of the sample, as text: not every reader of JSON has numbers that large.
    pub seed: String,
    /// Names of targets, by URL; those without a name are not in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}
