//! The `--summary` object: what a run amounts to, for scripts and for every report made of it.
//!
//! These are the words of the contract and nothing else: names, nesting and units are relied upon by others. Fields
//! may be added, but never inside a block whose numbers have to add up. Durations are whole microseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::middleware::context::UnreadableCounts;

use super::access_log::AccessLogSummary;
use super::by_route::RouteSummary;
pub use super::capture::{FileFrame, Frames, MaxGap, Streams, Tcp};
use super::counts::{CountMap, LatencySummary, sum};
use super::curves::Curves;
use super::diff_groups::DiffGroups;
pub use super::fleet::FleetEnd;
use super::gates::GateResult;
use super::histograms::Histograms;
use super::merged::MergedRuns;
use super::middleware::MiddlewareCounts;
use super::noise::{FieldRow, NoiseRow, UnlearntNoise};
use super::observe::ObserveSummary;
use super::recording::{DISK, RecordingSummary, STORE};
use super::reference::{Baseline, SelfChecks};
use super::request::RunRequest;
use super::spoe::SpoeSummary;
use super::steps::RampStep;
use super::target::TargetSummary;
use super::telemetry::TelemetrySummary;
use super::timeline::Timeline;
use super::verdict::Verdict;

/// Version of the object's shape; it changes only when something is taken away or changes its meaning.
pub(crate) const SCHEMA: u32 = 1;

/// One run, whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// `SCHEMA`.
    pub schema: u32,
    /// The version of shadowtap that ran.
    pub version: String,
    /// The command: `replay`, `inspect`, ...
    pub command: String,
    /// Start of the run: wall time, UTC, RFC 3339 with nanoseconds.
    pub started: String,
    /// Length of the run, in seconds.
    pub duration_s: f64,
    /// What it came to; `None` while it goes on, and in summaries of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What it was asked for; `None` in summaries of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<RunRequest>,
    /// What was read of access logs, where requests come from some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLogSummary>,
    /// What HAProxy told of its requests, where it is the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoe: Option<SpoeSummary>,
    /// Counts of frames.
    pub frames: Frames,
    /// Counts of reassembly.
    pub tcp: Tcp,
    /// Counts of connections by protocol.
    pub streams: Streams,
    /// Ledger of requests.
    pub requests: Requests,
    /// Ledgers of deliveries, by the target's URL.
    pub targets: BTreeMap<String, TargetSummary>,
    /// Results of the baseline, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Results of requests sent to targets a second time, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_check: Option<SelfChecks>,
    /// Fields that differ whatever the stack, and are left out of `differences`; the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noise: Vec<NoiseRow>,
    /// Other fields that differ, by route and field; the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldRow>,
    /// Targets of which it is not known everywhere what of that is noise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noise_unlearnt: Vec<UnlearntNoise>,
    /// Responses of production.
    pub production: ProductionSide,
    /// Time from the last byte of a request on the wire until it was handed to its targets, of a live capture: what the
    /// capture itself takes, in the ring and the queue. It is in no latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_delay_us: Option<LatencySummary>,
    /// Shares that the sample reached.
    pub sample: SampleSummary,
    /// Totals of the recording, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingSummary>,
    /// Counts of external processes, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub middleware: Option<MiddlewareCounts>,
    /// What was sent to other systems on the way, where anything was to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetrySummary>,
    /// Bodies that were to be redacted and could not be looked into, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redaction: Option<UnreadableCounts>,
    /// Counts over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
    /// Latency by percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<Curves>,
    /// The durations behind the figures; `None` while it goes on, and in summaries of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histograms: Option<Histograms>,
    /// Counts of each route, the busiest first; the row of the remaining routes comes last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSummary>,
    /// Groups of differences, with examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<DiffGroups>,
    /// Changes of the share during the run, in order: see [`crate::report::collect::steps::RampSteps`] for the number
    /// that is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<RampStep>,
    /// Position of the ramp at the end, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<RampEnd>,
    /// What HAProxy would have done with the targets (`--observe`), where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<ObserveSummary>,
    /// What a limit on the capture's silences did (`--max-gap`), where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_gap: Option<MaxGap>,
    /// What is known of all replayers of the recording, where several may share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetEnd>,
    /// The runs that this one was added up from, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<MergedRuns>,
    /// Thresholds of the run, and their results.
    pub gates: Vec<GateResult>,
    /// Warnings, in words for people.
    pub warnings: Vec<String>,
    /// Inputs that could not be read to their end, in the same words: what stands here is about what was read before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// True when the results could not be written to their end; among the `warnings` too.
    #[serde(skip)]
    pub results_failed: bool,
}

/// The ledger of requests: `seen` = `offered` + `in_flight` + all of `ended`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requests {
    /// Requests that were seen.
    pub seen: u64,
    /// Requests offered to at least one target.
    pub offered: u64,
    /// Requests on their way to either end.
    pub in_flight: u64,
    /// Requests that ended before any target.
    pub ended: Ended,
}

/// Outcomes of requests that ended before any target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ended {
    /// There was nothing to send them to (inspect, record).
    pub kept: u64,
    /// A filter kept them back, by rule.
    pub filtered: CountMap,
    /// They were not in the sample.
    pub sampled_out: u64,
    /// A rate limit kept them back.
    pub rate_limited: u64,
    /// They break a rule of HTTP/1 that servers disagree on.
    pub malformed: u64,
    /// Bytes of them are missing, by reason; every reason is listed.
    pub incomplete: CountMap,
    /// They were thrown away, by place.
    pub shed: CountMap,
}

impl Default for Ended {
    fn default() -> Self {
        Self {
            kept: 0,
            filtered: CountMap::new(),
            sampled_out: 0,
            rate_limited: 0,
            malformed: 0,
            incomplete: crate::exchange::Incomplete::ALL.map(|why| (why.key().to_owned(), 0)).into(),
            shed: CountMap::new(),
        }
    }
}

/// Position of a ramp at the end. Shares are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RampEnd {
    /// The ramp, as it was asked for.
    pub plan: String,
    /// The step at which it stood at the end, from 1.
    pub step: usize,
    /// Number of steps.
    pub steps: usize,
    /// The share of that step.
    pub share: f64,
    /// The lowest share that did not hold, if one did not.
    pub past: Option<f64>,
    /// Reason that it did not, in words for people.
    pub reason: Option<String>,
}

/// Responses of production to the requests that were offered (to all requests where nothing is sent): so that its
/// figures and the targets' are about the same requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProductionSide {
    /// Final statuses.
    pub statuses: CountMap,
    /// Responses among them that were captured in part, by the damage: their status is known all the same.
    #[serde(default)]
    pub damaged: CountMap,
    /// Last byte of the request to first byte of the final response.
    pub latency_us: LatencySummary,
    /// Requests whose production response is not known, and responses without request, by reason.
    pub unjoined: CountMap,
}

/// Shares that the sample reached, from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SampleSummary {
    /// The share that was asked for.
    pub asked: f64,
    /// Requests that the sample decided upon: whole ones that no filter had ended. What the share of requests is of.
    #[serde(default)]
    pub decided: u64,
    /// The share of these requests that passed; `None` where there were none.
    pub requests: Option<f64>,
    /// The share of keys that passed: of those with a request in the sample, at any share that it had. `None` where
    /// requests were sampled one by one.
    pub keys: Option<f64>,
    /// The share of bytes (heads and body content) that passed.
    pub bytes: Option<f64>,
    /// The largest share of connections that the kernel let through to the capture: all that is counted is of these.
    /// `None` where it let all through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<f64>,
}

impl Ended {
    /// Returns the sum of the block.
    #[must_use]
    pub fn total(&self) -> u64 {
        let plain = self.kept + self.sampled_out + self.rate_limited + self.malformed;
        plain + sum(&self.filtered) + sum(&self.incomplete) + sum(&self.shed)
    }
}

impl Summary {
    /// Returns whether both sums of the ledger hold: that of requests, and that of every target.
    #[must_use]
    pub fn balances(&self) -> bool {
        let requests = &self.requests;
        requests.seen == requests.offered + requests.in_flight + requests.ended.total()
            && self.targets.values().all(|target| target.offered == target.in_flight + target.ended.total())
    }

    /// Returns the name that a target was given, else its URL.
    #[must_use]
    pub fn name_of<'a>(&'a self, url: &'a str) -> &'a str {
        self.asked.as_ref().and_then(|asked| asked.names.get(url)).map_or(url, String::as_str)
    }

    /// Returns whether the kernel let fewer connections through for a part of the run than the largest share says: the
    /// share has risen, or this is of several runs.
    #[must_use]
    pub(crate) fn is_kernel_share_a_maximum(&self) -> bool {
        // The share with its rounding; that of a pause and of a stop is no share of the kernel's.
        let is_below = |first: &RampStep| self.sample.kernel.is_some_and(|share| first.from < share - 1e-6);
        let first = self.steps.iter().find(|step| step.what.is_of_sample());
        self.merged.is_some() || first.is_some_and(is_below)
    }

    /// Returns each target by its name, where it was given one, and its URL.
    #[must_use]
    pub fn named_targets(&self) -> Vec<(Option<String>, String)> {
        let names = self.asked.as_ref().map(|asked| &asked.names);
        let name = |url: &String| names.and_then(|names| names.get(url).cloned());
        self.targets.keys().map(|url| (name(url), url.clone())).collect()
    }

    /// Returns the name that a target was given with its URL behind it, else its URL.
    #[must_use]
    pub(crate) fn name_and_url(&self, url: &str) -> String {
        let name = self.name_of(url);
        if name == url { url.to_owned() } else { format!("{name} ({url})") }
    }

    /// The demands that did not hold.
    pub fn failed_gates(&self) -> impl Iterator<Item = &GateResult> {
        self.gates.iter().filter(|gate| !gate.held)
    }

    /// Returns whether the disk did not take all of a recording, or nothing of it got there.
    #[must_use]
    pub fn recording_failed(&self) -> bool {
        self.recording.as_ref().is_some_and(|recording| {
            let is_lost = |place| recording.lost.get(place).is_some_and(|lost| *lost > 0);
            let unsaved = recording.saved.as_ref().is_some_and(|saved| saved.failed > 0);
            let to_disk = is_lost(DISK) || is_lost(STORE) || recording.unfinished > 0 || unsaved;
            to_disk || (recording.records == 0 && sum(&recording.lost) > 0)
        })
    }

    /// Returns the number of recorded requests, of those that were only to be recorded: lost ones are not counted.
    /// `None` where that is not known, as with frames.
    #[must_use]
    pub(crate) fn requests_recorded(&self) -> Option<u64> {
        Some(self.recording.as_ref()?.requests?.min(self.requests.ended.kept))
    }

    /// Returns whether requests were offered and no target responded to a single one.
    #[must_use]
    pub fn nothing_delivered(&self) -> bool {
        self.requests.offered > 0 && self.targets.values().all(|target| target.ended.sent == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pointers to what every summary has.
    const KEYS: &[&str] = &[
        "/schema",
        "/version",
        "/command",
        "/started",
        "/duration_s",
        "/frames/received",
        "/frames/kernel_dropped",
        "/frames/interface_dropped",
        "/frames/decoded",
        "/frames/skipped",
        "/tcp/connections",
        "/tcp/peak_open",
        "/tcp/retransmitted_bytes",
        "/tcp/gaps",
        "/tcp/gap_bytes",
        "/tcp/evicted",
        "/streams/http1",
        "/streams/tls",
        "/streams/http2",
        "/streams/upgraded",
        "/streams/unknown",
        "/requests/seen",
        "/requests/offered",
        "/requests/in_flight",
        "/requests/ended/kept",
        "/requests/ended/filtered",
        "/requests/ended/sampled_out",
        "/requests/ended/rate_limited",
        "/requests/ended/malformed",
        "/requests/ended/incomplete/gap",
        "/requests/ended/incomplete/cut",
        "/requests/ended/incomplete/end_of_capture",
        "/requests/ended/incomplete/unproven",
        "/requests/ended/shed",
        "/production/statuses",
        "/production/damaged",
        "/production/latency_us/p99_9",
        "/production/unjoined",
        "/sample/asked",
        "/sample/requests",
        "/sample/keys",
        "/sample/bytes",
        "/gates",
    ];
    /// Pointers to what it has of every target.
    const TARGET_KEYS: &[&str] = &[
        "/offered",
        "/in_flight",
        "/ended/sent",
        "/ended/filtered",
        "/ended/sampled_out",
        "/ended/rate_limited",
        "/ended/guard_held",
        "/ended/shed",
        "/ended/failed/dns",
        "/ended/failed/connect",
        "/ended/failed/tls",
        "/ended/failed/timeout",
        "/ended/failed/reset",
        "/ended/failed/protocol",
        "/ended/failed/too_large",
        "/statuses",
        "/connections_opened",
        "/peak_connections",
        "/peak_in_flight",
        "/latency_us/connect/count",
        "/latency_us/service/min",
        "/latency_us/response/max",
        "/schedule_lag_us",
        "/matrix",
        "/differences/compared",
        "/differences/status",
        "/differences/headers",
        "/differences/body",
    ];

    #[test]
    fn an_empty_summary_has_every_key_of_the_contract() {
        let mut summary = Summary { schema: SCHEMA, ..Summary::default() };
        summary.targets.insert("http://t".into(), TargetSummary::default());
        let json = serde_json::to_value(&summary).unwrap();
        for path in KEYS {
            assert!(json.pointer(path).is_some(), "{path}");
        }
        let target = &json["targets"]["http://t"];
        for path in TARGET_KEYS {
            assert!(target.pointer(path).is_some(), "{path}");
        }
    }

    #[test]
    fn a_ledger_that_lost_a_request_does_not_balance() {
        let mut summary = Summary::default();
        assert!(summary.balances());
        summary.requests.seen = 1;
        assert!(!summary.balances());
        summary.requests.ended.incomplete.insert("gap".into(), 1);
        assert!(summary.balances());
        summary.targets.insert("t".into(), TargetSummary { offered: 1, ..TargetSummary::default() });
        assert!(!summary.balances());
    }

    #[test]
    fn a_summary_can_be_read_back() {
        let mut summary = Summary::default();
        summary.targets.insert(
            "t".into(),
            TargetSummary { schedule_lag_us: Some(LatencySummary::default()), ..TargetSummary::default() },
        );
        let text = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
    }
}
