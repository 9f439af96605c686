//! Arguments that protect the targets: ramp and guard.

use clap::Args;
use shadowtap::config::typed;

/// Protection of the targets.
#[derive(Debug, Args)]
#[command(next_help_heading = "Protection")]
pub(crate) struct ProtectionArgs {
    /// Raise the share in steps, in place of --sample: '1%:45s,5%:45s,10%:1m,50%:1m,100%'. A session that is in at one
    /// step stays in at the next. A tripped guard goes back a step
    #[arg(long, value_name = "STEPS", allow_hyphen_values = true)]
    ramp: Option<String>,
    /// Limits for each target over sliding windows, such as 'errors>5%/10s,p99>800ms/30s'. Errors are 5xx and missing
    /// responses; percentiles are of the service time. off: none [default: shadow pauses a target that fails everything
    /// for 30s]
    #[arg(long, value_name = "LIMITS", allow_hyphen_values = true)]
    guard: Option<String>,
    /// What happens past a limit. step-down: halve the traffic until it holds. hold: no more than now. pause: a trickle
    /// at once. stop: nothing from then on. All but stop climb back [default: step-down]
    #[arg(long, value_name = "ACTION")]
    on_guard: Option<String>,
    /// Run this command as a guard: exit code 0 lets traffic pass, any other reduces it. Split into words as a shell
    /// does
    #[arg(long, value_name = "COMMAND")]
    guard_command: Option<String>,
    /// Time between two runs of --guard-command [default: 10s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    guard_every: Option<String>,
}

impl From<ProtectionArgs> for typed::Protection {
    fn from(args: ProtectionArgs) -> Self {
        Self {
            ramp: args.ramp,
            guard: args.guard,
            on_guard: args.on_guard,
            guard_command: args.guard_command,
            guard_every: args.guard_every,
        }
    }
}
