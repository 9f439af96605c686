//! Figures of the progress lines, as numbers.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use shadowtap::pipeline::Progress;
use shadowtap::report::collect::status::StatusClass;
use shadowtap::report::schema::counts::LatencySummary;
use shadowtap::report::schema::target::{PairedLatency, TargetSummary};
use shadowtap::report::{CountMap, Snapshot};

use super::ProgressKind;

/// Row of a matrix for requests whose production response is not known.
const NONE: &str = "none";
/// Column for those that the target did not answer.
const FAILED: &str = "failed";

/// Figures of the progress lines. With `--log-format json`, each line has them as JSON.
#[derive(Debug, Serialize)]
pub(super) struct ProgressFigures {
    #[serde(skip)]
    pub(super) about: ProgressKind,
    /// Fraction of the capture that was read, from 0 to 1.
    pub(super) read: Option<f64>,
    pub(super) seen: u64,
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) waiting: u64,
    /// The share that the sample lets in now, from 0 to 1.
    pub(super) share: Option<f64>,
    pub(super) paused: bool,
    /// Targets that a guard spares just now.
    pub(super) guarded: u64,
    /// Whole requests; frames where frames are recorded.
    pub(super) recorded: u64,
    pub(super) records_frames: bool,
    pub(super) recorded_bytes: u64,
    /// Frames dropped, gaps, sheds, and records that are not on the disk.
    pub(super) lost: u64,
    /// Of what is lost, records: of an exchange there are two, its request and its response.
    pub(super) lost_records: u64,
    /// 99th percentile of the send lag in microseconds, of the target where it is highest.
    pub(super) lag_us: Option<u64>,
    /// 99th percentile of the time from the wire to the targets in microseconds, of a live capture.
    pub(super) capture_delay_us: Option<u64>,
    pub(super) production: Option<ProgressSide>,
    /// The slowest target, and of the requests whose production response is known, where any is.
    pub(super) shadow: Option<ProgressSide>,
    /// Name or URL of that target, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    /// Number of targets.
    pub(super) targets: usize,
}

/// Responses of one side.
#[derive(Debug, Default, Serialize)]
pub(super) struct ProgressSide {
    /// By class: `2xx`.
    pub(super) statuses: BTreeMap<&'static str, u64>,
    pub(super) p50_us: u64,
    pub(super) p95_us: u64,
    pub(super) p99_us: u64,
}

impl ProgressFigures {
    pub(super) fn new(about: ProgressKind, progress: &Progress, seen: Option<&Snapshot>) -> Self {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let permille = of(&progress.read_permille);
        let lost = [&progress.frames_dropped, &progress.gaps, &progress.shed, &progress.held_up, &progress.unconnected];
        let records = [&progress.unrecorded, &progress.lost_to_disk, &progress.lost_to_store];
        let lost_records = records.into_iter().map(of).sum::<u64>();
        // Captured connections are counted by the report alone where a file is read.
        let gaps = seen.map_or(0, |seen| seen.summary.tcp.gaps).saturating_sub(of(&progress.gaps));
        let targets = || seen.into_iter().flat_map(|seen| seen.summary.targets.values());
        Self {
            about,
            read: (permille <= 1000).then(|| permille as f64 / 1000.0),
            seen: of(&progress.seen),
            sent: of(&progress.sent),
            failed: of(&progress.failed),
            waiting: of(&progress.in_flight),
            share: seen.map(|seen| seen.live.share),
            paused: seen.is_some_and(|seen| seen.live.paused),
            guarded: targets()
                .filter(|target| target.guard.as_ref().is_some_and(|guard| guard.held_share > 0.0))
                .count() as u64,
            recorded: of(&progress.recorded),
            records_frames: progress.records_frames.load(Relaxed),
            recorded_bytes: of(&progress.recorded_bytes),
            lost: lost.into_iter().map(of).sum::<u64>() + gaps + lost_records,
            lost_records,
            lag_us: targets().filter_map(|target| target.schedule_lag_us.as_ref()).map(|lag| lag.p99).max(),
            capture_delay_us: seen.and_then(|seen| seen.summary.capture_delay_us.as_ref()).map(|delay| delay.p99),
            production: seen.and_then(production),
            shadow: seen.and_then(shadow),
            target: seen.and_then(named),
            targets: targets().count(),
        }
    }
}

/// Returns the figures of production; `None` before its first response. They are of the requests whose response of the
/// slowest target is known, too, as soon as there are any: others were not sent, or wait.
fn production(seen: &Snapshot) -> Option<ProgressSide> {
    let side = &seen.summary.production;
    let latency = pairs(seen).map_or(&side.latency_us, |pairs| &pairs.production);
    let statuses = match slowest_target(seen).map(both_known) {
        Some((production, _)) if !production.is_empty() => production,
        _ => classes(&side.statuses),
    };
    (latency.count > 0).then(|| progress_side(statuses, latency))
}

/// Returns the figures of the slowest target; `None` before the first response.
fn shadow(seen: &Snapshot) -> Option<ProgressSide> {
    let target = slowest_target(seen)?;
    let slowest = pairs(seen).map(|pairs| &pairs.response);
    let slowest = slowest.unwrap_or(&target.latency_us.response);
    let statuses = match both_known(target) {
        (production, shadow) if !production.is_empty() => shadow,
        _ => classes(&target.statuses),
    };
    (slowest.count > 0).then(|| progress_side(statuses, slowest))
}

/// Latencies of the same requests in production and at the slowest target.
fn pairs(seen: &Snapshot) -> Option<&PairedLatency> {
    slowest_target(seen)?.paired_latency_us.as_ref().filter(|pairs| pairs.production.count > 0)
}

fn slowest_target(seen: &Snapshot) -> Option<&TargetSummary> {
    slowest(seen).map(|(_, target)| target)
}

fn slowest(seen: &Snapshot) -> Option<(&String, &TargetSummary)> {
    seen.summary.targets.iter().max_by_key(|(_, target)| target.latency_us.response.p95)
}

/// The name of the slowest target, where there are others.
fn named(seen: &Snapshot) -> Option<String> {
    let (url, _) = slowest(seen).filter(|_| seen.summary.targets.len() > 1)?;
    Some(seen.summary.name_of(url).to_owned())
}

/// Statuses of the requests that went to a target and whose response of production is known: of both sides, by class.
fn both_known(target: &TargetSummary) -> (BTreeMap<&'static str, u64>, BTreeMap<&'static str, u64>) {
    let (mut production, mut shadow) = (CountMap::default(), CountMap::default());
    for (before, row) in target.matrix.iter().filter(|(status, _)| *status != NONE) {
        for (after, count) in row {
            *production.entry(before.clone()).or_default() += count;
            if after != FAILED {
                *shadow.entry(after.clone()).or_default() += count;
            }
        }
    }
    (classes(&production), classes(&shadow))
}

const fn progress_side(statuses: BTreeMap<&'static str, u64>, latency: &LatencySummary) -> ProgressSide {
    ProgressSide { statuses, p50_us: latency.p50, p95_us: latency.p95, p99_us: latency.p99 }
}

fn classes(all: &CountMap) -> BTreeMap<&'static str, u64> {
    let mut classes = BTreeMap::new();
    for (status, count) in all {
        *classes.entry(StatusClass::of(status.parse().ok()).key()).or_default() += count;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_of_the_same_requests_and_of_the_slowest_target() {
        let figures = |count, us| {
            let mut figures = LatencySummary::default();
            (figures.count, figures.p50, figures.p95, figures.p99) = (count, us, 2 * us, 3 * us);
            figures
        };
        let target = |production, response| {
            let mut target = TargetSummary::default();
            target.latency_us.response = figures(90, response + 7);
            let mut paired = PairedLatency::default();
            (paired.production, paired.service) = (figures(60, production), figures(60, response - 1));
            paired.response = figures(60, response);
            target.paired_latency_us = Some(paired);
            target
        };
        let mut seen = Snapshot::default();
        seen.summary.production.latency_us = figures(100, 5_000);
        assert_eq!(production(&seen).unwrap().p95_us, 10_000, "there is no target yet");
        seen.summary.targets.insert("http://quick".into(), target(100, 200));
        seen.summary.targets.insert("http://slow".into(), target(300, 900));
        let (before, after) = (production(&seen).unwrap(), shadow(&seen).unwrap());
        assert_eq!((before.p50_us, before.p95_us, before.p99_us), (300, 600, 900));
        assert_eq!((after.p50_us, after.p95_us, after.p99_us), (900, 1_800, 2_700));
    }

    #[test]
    fn statuses_are_of_the_same_requests_of_one_target() {
        let row = |cells: &[(&str, u64)]| cells.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect();
        let mut seen = Snapshot::default();
        for (url, p95) in [("http://slow", 9), ("http://quick", 1)] {
            let mut target = TargetSummary::default();
            target.latency_us.response.count = 10;
            target.latency_us.response.p95 = p95;
            target.statuses = row(&[("200", 7), ("503", 2)]);
            target.matrix.insert("200".into(), row(&[("200", 6), ("503", 2), ("failed", 1)]));
            target.matrix.insert("none".into(), row(&[("200", 1)]));
            seen.summary.targets.insert(url.into(), target);
        }
        seen.summary.production.latency_us.count = 100;
        seen.summary.production.statuses = row(&[("200", 100)]);
        let (before, after) = (production(&seen).unwrap().statuses, shadow(&seen).unwrap().statuses);
        assert_eq!(before, BTreeMap::from([("2xx", 9)]), "those that were held back are not among them");
        assert_eq!(after, BTreeMap::from([("2xx", 6), ("5xx", 2)]), "those of the other target are not among them");
        assert_eq!(named(&seen).as_deref(), Some("http://slow"));
        seen.summary.targets.remove("http://quick");
        assert_eq!(named(&seen), None);
    }
}
