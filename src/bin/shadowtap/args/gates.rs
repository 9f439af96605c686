//! Arguments for gates: conditions that fail a run.

use clap::Args;
use shadowtap::config::typed;

/// Gates of a run.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Gates")]
pub(crate) struct GateArgs {
    /// Exit with code 1 if this holds: 'status-diff>0.1%', 'p99>1.2*production', 'errors>0.5%',
    /// 'body-diff{route="/v2/*"}>0', 'lost>0'. Repeatable. See docs/gates.md
    #[arg(long, value_name = "GATE", allow_hyphen_values = true)]
    fail_if: Vec<String>,
    /// Deliveries that a gate needs. With fewer it fails [default: 30]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    min_samples: Option<String>,
}

/// Gates of a run that sends, and permission to send nothing.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Gates")]
pub(crate) struct RunGateArgs {
    #[command(flatten)]
    gates: GateArgs,
    #[command(flatten)]
    pub(crate) empty: EmptyArgs,
}

/// Permission to send or record nothing.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Gates")]
pub(crate) struct EmptyArgs {
    /// Exit with code 0 although nothing was sent or recorded: no request was found, or all were kept back [default:
    /// code 2]
    #[arg(long)]
    pub(crate) allow_empty: bool,
}

impl From<RunGateArgs> for typed::Gates {
    fn from(args: RunGateArgs) -> Self {
        args.gates.into()
    }
}

impl From<GateArgs> for typed::Gates {
    fn from(args: GateArgs) -> Self {
        Self { fail_if: args.fail_if, min_samples: args.min_samples }
    }
}
