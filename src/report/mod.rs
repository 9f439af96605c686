//! What became of every request, for people and for machines.
//!
//! [`ReportEvent`]s come in while a run goes on, one [`Summary`] leaves at its end; lines of results leave on the way.
//! Nothing is sent or read here. The rooms depend one way:
//!
//! ```text
//! schema <- collect <- threshold <- reporter
//!        <- verdict <-----------------/
//!                   <- render -> threshold
//!                   <- merge -> collect
//! ```
//!
//! `merge` adds summaries up, `reporter` takes the events, `collect` counts, `threshold` judges (`--fail-if`, and what is ready for a step), `verdict` says what a summary comes to,
//! `render` writes text and HTML for people, and `schema` has the types of the summary, which know none of the others.

mod authority;
pub mod collect;
pub mod merge;
pub mod render;
pub mod reporter;
pub mod schema;
pub mod threshold;
pub mod units;
pub mod verdict;

pub use collect::comparer::ComparedExchange;

pub(crate) use authority::authority;
pub(crate) use collect::comparer::{Comparer, ComparisonTask};
pub use collect::inputs::{
    CaptureStats, Production, RepeatKey, RequestRecord, RunGauges, RunTotals, Started, TargetGauges, TargetSet,
    TargetTotals,
};
pub(crate) use collect::inputs::{MAX_NOTED_HEAD, UnreportedSheds};
pub use collect::partial::PartialRun;
pub use collect::patterns::RoutePatterns;
pub use collect::request_text::RequestText;
pub use collect::status::StatusChoice;
pub use collect::steps::RampSteps;
pub use collect::unjoined::Unjoined;
pub use render::listing::Listing;
pub use render::run_diff::RunDiff;
pub use reporter::snapshot::{Snapshot, SnapshotRequest};
pub use reporter::{ReportEvent, ReportSettings, Reporter};
pub use schema::access_log::AccessLogSummary;
pub use schema::counts::{CountMap, LatencySummary};
pub use schema::failures::{DesynchronisedSummary, FailureReason};
pub use schema::gates::{GateResult, GateState};
pub use schema::middleware::MiddlewareCounts;
pub use schema::recording::RecordingSummary;
pub use schema::reference::{Baseline, SelfChecks};
pub use schema::spoe::SpoeSummary;
pub use schema::steps::{RampStep, StepCause};
pub use schema::summary::{
    Ended, FileFrame, FleetEnd, Frames, MaxGap, ProductionSide, RampEnd, Requests, SampleSummary, Streams, Summary, Tcp,
};
pub use schema::target::{Differences, TargetEnded, TargetGuard, TargetLatency, TargetSummary};
pub use schema::verdict::{FindingKind, Verdict};
pub use verdict::no_request;
