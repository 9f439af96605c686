//! What is demanded of a run.

use clap::Args;
use shadowtap::config::typed;

/// What is demanded of a run.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Gates")]
pub(crate) struct GateArgs {
    /// End with exit code 1 if this is so; repeatable. 'status-diff>0.1%', 'p99>1.2*production', 'errors>0.5%',
    /// 'body-diff{route="/v2/*"}>0', 'lost>0'; see docs/gates.md
    #[arg(long, value_name = "GATE", allow_hyphen_values = true)]
    fail_if: Vec<String>,
    /// Fewest deliveries on which a gate can hold: on fewer it fails [default: 30]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    min_samples: Option<String>,
}

impl From<GateArgs> for typed::Gates {
    fn from(args: GateArgs) -> Self {
        Self { fail_if: args.fail_if, min_samples: args.min_samples }
    }
}
