//! Arguments for gates: conditions that fail a run.

/// Gates of a run.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Gates"))]
pub struct Gates {
    /// Exit with code 1 if this holds: 'status-diff>0.1%', 'p99>1.2*production', 'errors>0.5%',
    /// 'body-diff{route="/v2/*"}>0', 'lost>0'. Repeatable. See docs/gates.md
    #[cfg_attr(feature = "cli", arg(long, value_name = "GATE", allow_hyphen_values = true))]
    pub fail_if: Vec<String>,
    /// Deliveries that a gate needs. With fewer it fails [default: 30]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    pub min_samples: Option<String>,
}

/// Permission to send or record nothing.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Gates"))]
pub struct Empty {
    /// Exit with code 0 although nothing was sent or recorded: no request was found, or all were kept back [default:
    /// code 2]
    #[cfg_attr(feature = "cli", arg(long))]
    pub allow_empty: bool,
}
