//! What spares the targets: ramp and guard.

use clap::Args;
use shadowtap::config::typed;

/// What spares the targets.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sparing the target")]
pub(crate) struct SparingArgs {
    /// Raise the share in steps in place of --sample, such as '1%:45s,5%:45s,10%:1m,50%:1m,100%'; what is in at one step
    /// is in at the next. Where a guard finds the target past its limits, it goes back a step
    #[arg(long, value_name = "STEPS", allow_hyphen_values = true)]
    ramp: Option<String>,
    /// Limits of each target over sliding windows, such as 'errors>5%/10s,p99>800ms/30s'. Errors are 5xx and answers that
    /// never came, percentiles those of the service time. off: no guard [default: for shadow a target that fails
    /// everything for 30s is paused]
    #[arg(long, value_name = "LIMITS", allow_hyphen_values = true)]
    guard: Option<String>,
    /// Past its limits a target gets half of what it got, down to a trickle (step-down), what it got and no more (hold), a
    /// trickle at once (pause), or nothing any more (stop). It climbs back once all is well [default: step-down]
    #[arg(long, value_name = "ACTION")]
    on_guard: Option<String>,
    /// Ask this program, too, whether the targets bear it: exit code 0 goes on, any other brakes. Split into words as a
    /// shell does it
    #[arg(long, value_name = "COMMAND")]
    guard_command: Option<String>,
    /// How often to ask it [default: 10s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    guard_every: Option<String>,
}

impl From<SparingArgs> for typed::Sparing {
    fn from(args: SparingArgs) -> Self {
        Self {
            ramp: args.ramp,
            guard: args.guard,
            on_guard: args.on_guard,
            guard_command: args.guard_command,
            guard_every: args.guard_every,
        }
    }
}
