//! Arguments that define a difference.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help of the command line, where a path is plain text"
)]

use std::path::PathBuf;

/// Rules of comparison.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Comparison"))]
pub struct Compare {
    /// Ignore a part of responses: header:NAME, headers, body, or json:PATH, such as json:$.items[*].ts or
    /// json:$..updatedAt. Repeatable
    #[cfg_attr(feature = "cli", arg(long, value_name = "WHAT"))]
    pub ignore: Vec<String>,
    /// Ignore the order of the elements of this array, such as json:$.items. Repeatable
    #[cfg_attr(feature = "cli", arg(long, value_name = "json:PATH"))]
    pub ignore_order: Vec<String>,
    /// Compare this header although it is ignored by default (date, server, via, ...). Repeatable
    #[cfg_attr(feature = "cli", arg(long = "compare-header", value_name = "NAME"))]
    pub compare_headers: Vec<String>,
    /// Read rules from this file. See docs/compare.md
    #[cfg_attr(feature = "cli", arg(long = "compare", value_name = "FILE"))]
    pub file: Option<PathBuf>,
    /// Compare bodies up to this size in detail, longer ones by length and hash [default: 256K]
    #[cfg_attr(feature = "cli", arg(long = "max-compare-body", value_name = "SIZE", allow_hyphen_values = true))]
    pub max_body: Option<String>,
    /// Send each request to this known good stack too. A field that differs there as often as at the target is noise.
    /// Writes go there only with --allow-writes
    #[cfg_attr(feature = "cli", arg(long, value_name = "URL"))]
    pub baseline: Option<String>,
    /// Send this share of GET, HEAD and OPTIONS requests to the target twice, such as 1%. A field in which the two
    /// responses differ is noise
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE", allow_hyphen_values = true))]
    pub self_check: Option<String>,
    /// Say in the report what HAProxy would have done with each target as its server, such as 'error-limit 10, on-error
    /// mark-down, rise 2, fall 3, inter 2s, p99>800ms/10s'. See docs/haproxy.md
    #[cfg_attr(feature = "cli", arg(long, value_name = "RULE"))]
    pub observe: Option<String>,
}
