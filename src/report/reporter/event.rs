//! What the stages report.

use std::time::Duration;

use super::snapshot::SnapshotRequest;
use crate::exchange::{Damage, ExchangeId, Outcome};
use crate::replay::{ConnNumber, Delivery};
use crate::report::collect::inputs::{Production, RequestRecord, RunGauges, TargetSet};

/// Event that a stage reports, in any order that a run brings about.
#[derive(Debug)]
pub enum ReportEvent {
    /// A request was seen, and ended before any target. Counts as seen.
    Ended {
        /// The request.
        note: Box<RequestRecord>,
        /// Outcome of the request.
        outcome: Outcome,
    },
    /// A request was seen and recorded; there is no target. Counts as seen.
    Kept {
        /// The request.
        note: Box<RequestRecord>,
    },
    /// A request was seen and offered to `targets`; a delivery follows for each. Counts as seen.
    Offered {
        /// The request.
        note: Box<RequestRecord>,
        /// Targets it was offered to.
        targets: TargetSet,
        /// Time from its last byte on the wire until it was handed to them, of a live capture.
        capture_delay: Option<Duration>,
    },
    /// An offered request goes to the baseline in addition to its targets, or to some of them a second time; deliveries
    /// follow.
    Beside {
        /// The request.
        of: ExchangeId,
        /// True when it goes to the baseline.
        baseline: bool,
        /// Targets it goes to a second time.
        checks: TargetSet,
    },
    /// A delivery ended.
    Delivered(Box<Delivery>),
    /// The production side of an exchange.
    Production {
        /// The request it belongs to.
        of: ExchangeId,
        /// Response of production, or the reason that it is not known.
        production: Result<Production, Damage>,
    },
    /// Connections to targets on which a response came without a request: those before it are nobody's.
    Desynchronised(Vec<ConnNumber>),
    /// A production response whose request was not captured.
    Orphan,
    /// Gauges of the run, sampled at intervals.
    Level(Box<RunGauges>),
    /// Somebody asks how the run goes.
    Look(SnapshotRequest),
}

impl From<RunGauges> for ReportEvent {
    fn from(level: RunGauges) -> Self {
        Self::Level(Box::new(level))
    }
}
