//! Arguments that define a difference.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// Rules of comparison.
#[derive(Debug, Args)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct CompareArgs {
    /// Ignore a part of responses: header:NAME, headers, body, or json:PATH, such as json:$.items[*].ts or
    /// json:$..updatedAt. Repeatable
    #[arg(long, value_name = "WHAT")]
    ignore: Vec<String>,
    /// Ignore the order of the elements of this array, such as json:$.items. Repeatable
    #[arg(long, value_name = "json:PATH")]
    ignore_order: Vec<String>,
    /// Compare this header although it is ignored by default (date, server, via, ...). Repeatable
    #[arg(long = "compare-header", value_name = "NAME")]
    compare_headers: Vec<String>,
    /// Read rules from this file. See docs/compare.md
    #[arg(long = "compare", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Compare bodies up to this size in detail, longer ones by length and hash [default: 256K]
    #[arg(long = "max-compare-body", value_name = "SIZE", allow_hyphen_values = true)]
    max_body: Option<String>,
    /// Send each request to this known good stack too. A field that differs there as often as at the target is noise.
    /// Writes go there only with --allow-writes
    #[arg(long, value_name = "URL")]
    baseline: Option<String>,
    /// Send this share of GET, HEAD and OPTIONS requests to the target twice, such as 1%. A field in which the two
    /// responses differ is noise
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    self_check: Option<String>,
}

impl From<CompareArgs> for typed::Compare {
    fn from(args: CompareArgs) -> Self {
        Self {
            ignore: args.ignore,
            ignore_order: args.ignore_order,
            compare_headers: args.compare_headers,
            file: args.file,
            max_body: args.max_body,
            baseline: args.baseline,
            self_check: args.self_check,
        }
    }
}
