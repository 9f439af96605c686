//! Arguments for the part of the files to replay, the number of passes, and the number of copies of each session.

use clap::Args;
use shadowtap::config::typed;

/// Range, passes and amplification of a replay of files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct RangeArgs {
    /// Begin at this point of the capture: 90s or 10m after its start, a time of day in UTC such as 20:15:00, or an
    /// instant such as 2026-11-21T20:15:00Z
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    from: Option<String>,
    /// End before this point of the capture. Takes the same forms as --from
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    until: Option<String>,
    /// Replay the files this many times, one pass after the other [default: 1]
    #[arg(long = "loop", value_name = "N", allow_hyphen_values = true)]
    passes: Option<String>,
    /// Multiply sessions: 3x sends each three times over connections of its own, 1.5x copies every second one. Copies
    /// come up to a second later and carry the header x-shadowtap
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    amplify: Option<String>,
}

impl From<RangeArgs> for typed::Range {
    fn from(args: RangeArgs) -> Self {
        Self { from: args.from, until: args.until, passes: args.passes, amplify: args.amplify }
    }
}
