//! What a report is made by.

use std::io::Write;
use std::sync::Arc;

use crate::compare;
use crate::report::collect::inputs::Started;
use crate::report::collect::observe::ObserveRule;
use crate::report::collect::patterns::RoutePatterns;
use crate::report::schema::request::RunRequest;
use crate::report::threshold::Thresholds;

/// Settings of the report.
pub struct ReportSettings {
    /// The command: `replay`, `demo`, ...
    pub command: &'static str,
    /// The targets' URLs, in the order in which deliveries number them; no two are the same.
    pub targets: Vec<String>,
    /// The share that the sample is asked for, from 0 to 1.
    pub sample: f64,
    /// Output for a line of JSON on each ended delivery; buffered by its maker.
    pub results: Option<Box<dyn Write + Send>>,
    /// Start of the run.
    pub started: Started,
    /// Patterns that name routes; without any, routes are named by their shape.
    pub patterns: Arc<RoutePatterns>,
    /// True when the summary has routes, difference groups and times.
    pub evidence: bool,
    /// Rules for what counts as a difference.
    pub compare: compare::CompareRules,
    /// Bytes of kept bodies that may wait for their other half.
    pub kept_bytes: usize,
    /// Bytes that may be taken to remember what responses were counted as, in case they are taken back.
    pub recent_bytes: usize,
    /// The URL of the baseline, where there is one.
    pub baseline: Option<String>,
    /// Thresholds that the run has to meet.
    pub demands: Thresholds,
    /// What it was asked for.
    pub asked: RunRequest,
    /// The server line of HAProxy that is played through, where one is.
    pub observe: Option<ObserveRule>,
}
