//! Which part of files is replayed, how often, and how many times each session.

use clap::Args;
use shadowtap::config::typed;

/// What of the files is replayed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct CourseArgs {
    /// Begin at this moment of the capture: 90s or 10m after its beginning, a time of day in UTC such as 20:15:00, or an
    /// instant such as 2026-11-21T20:15:00Z. What was captured before it is left out
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    from: Option<String>,
    /// End before this moment; as --from
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    until: Option<String>,
    /// Replay the files so many times, each pass where the one before it ended [default: 1]
    #[arg(long = "loop", value_name = "N", allow_hyphen_values = true)]
    passes: Option<String>,
    /// Send each session so many times, over connections of its own, up to a second later than the original: 3x, or 1.5x
    /// for a copy of every second one. Copies carry the header x-shadowtap, with the id of the run and their number
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    amplify: Option<String>,
}

impl From<CourseArgs> for typed::Course {
    fn from(args: CourseArgs) -> Self {
        Self { from: args.from, until: args.until, passes: args.passes, amplify: args.amplify }
    }
}
