//! Arguments for the part of the files to replay, the number of passes, and the number of copies of each session.

/// Range, passes and amplification of a replay of files.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Sending"))]
pub struct Range {
    /// Begin at this point of the capture: 90s or 10m after its start, a time of day in UTC such as 20:15:00, or an
    /// instant such as 2026-11-21T20:15:00Z
    #[cfg_attr(feature = "cli", arg(long, value_name = "MOMENT", allow_hyphen_values = true))]
    pub from: Option<String>,
    /// End before this point of the capture. Takes the same forms as --from
    #[cfg_attr(feature = "cli", arg(long, value_name = "MOMENT", allow_hyphen_values = true))]
    pub until: Option<String>,
    /// Replay the files this many times, one pass after the other; forever until the run is ended [default: 1]
    #[cfg_attr(feature = "cli", arg(long = "loop", value_name = "N", allow_hyphen_values = true))]
    pub passes: Option<String>,
    /// Multiply sessions: 3x sends each three times over connections of its own, 1.5x copies every second one. Copies
    /// come up to a second later and carry the header x-shadowtap
    #[cfg_attr(feature = "cli", arg(long, value_name = "FACTOR", allow_hyphen_values = true))]
    pub amplify: Option<String>,
}
