//! What counts as a difference.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// What counts as a difference.
#[derive(Debug, Args)]
#[command(next_help_heading = "Comparing")]
pub(crate) struct CompareArgs {
    /// Leave this out of the comparison: header:NAME, headers, json:PATH such as json:$.items[*].ts or json:$..updatedAt,
    /// body; repeatable
    #[arg(long, value_name = "WHAT")]
    ignore: Vec<String>,
    /// Let the elements of this array stand in any order, such as json:$.items; repeatable
    #[arg(long, value_name = "json:PATH")]
    ignore_order: Vec<String>,
    /// Compare this header though it is one that never counts (date, server, via, ...); repeatable
    #[arg(long = "compare-header", value_name = "NAME")]
    compare_headers: Vec<String>,
    /// Take such rules from this file too, see docs/compare.md
    #[arg(long = "compare", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Look into bodies up to this size; longer ones are compared by length and hash [default: 256K]
    #[arg(long = "max-compare-body", value_name = "SIZE", allow_hyphen_values = true)]
    max_body: Option<String>,
}

impl From<CompareArgs> for typed::Compare {
    fn from(args: CompareArgs) -> Self {
        Self {
            ignore: args.ignore,
            ignore_order: args.ignore_order,
            compare_headers: args.compare_headers,
            file: args.file,
            max_body: args.max_body,
        }
    }
}
