//! Arguments that protect the targets: ramp and guard.

/// Protection of the targets.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Protection"))]
pub struct Protection {
    /// Raise the share in steps, in place of --sample: '1%:45s,5%:45s,10%:1m,50%:1m,100%'. A session that is in at one
    /// step stays in at the next. A tripped guard goes back a step
    #[cfg_attr(feature = "cli", arg(long, value_name = "STEPS", allow_hyphen_values = true))]
    pub ramp: Option<String>,
    /// Limits for each target over sliding windows, such as 'errors>5%/10s,p99>800ms/30s'. Errors are 5xx and missing
    /// responses; percentiles are of the service time. off: none [default: shadow pauses a target that fails everything
    /// for 30s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "LIMITS", allow_hyphen_values = true))]
    pub guard: Option<String>,
    /// What happens past a limit. step-down: halve the traffic until it holds. hold: no more than now. pause: a trickle
    /// at once. stop: nothing from then on. All but stop climb back [default: step-down]
    #[cfg_attr(feature = "cli", arg(long, value_name = "ACTION"))]
    pub on_guard: Option<String>,
    /// Run this command as a guard: exit code 0 lets traffic pass, any other reduces it. Split into words as a shell
    /// does
    #[cfg_attr(feature = "cli", arg(long, value_name = "COMMAND"))]
    pub guard_command: Option<String>,
    /// Time between two runs of --guard-command [default: 10s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", allow_hyphen_values = true))]
    pub guard_every: Option<String>,
    /// A number of another system as a limit for every target, asked for each second:
    /// `redis://host:6379/connected_clients>20000` (a field of INFO), `prometheus://host:9090{query}>100`,
    /// `http://host/stats#$.queue.length>100` (JSON). Repeatable
    #[cfg_attr(feature = "cli", arg(long, value_name = "LIMIT"))]
    pub dependency: Vec<String>,
    /// What a dependency does that does not answer. hold: the share does not rise. ignore: it counts as well [default:
    /// hold]
    #[cfg_attr(feature = "cli", arg(long, value_name = "ACTION"))]
    pub on_unknown: Option<String>,
}
