//! A warning when something begins to be lost, with what helps against it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shadowtap::pipeline::Progress;
use shadowtap::report::units::counted;
use tokio::time::Instant;

/// Time before the same kind of loss is warned of again.
const AGAIN: Duration = Duration::from_secs(60);

/// Losses that were warned of: how many there were then, and when.
#[derive(Default)]
pub(super) struct Losses {
    frames_dropped: ReportedLosses,
    shed: ReportedLosses,
    held_up: ReportedLosses,
    unrecorded: ReportedLosses,
    lost_to_disk: ReportedLosses,
    gaps: ReportedLosses,
}

#[derive(Default)]
struct ReportedLosses {
    count: u64,
    at: Option<Instant>,
}

impl ReportedLosses {
    /// Returns the count if it is worth a warning: it grew, and the last warning is old enough.
    fn news(&mut self, counter: &AtomicU64, now: Instant) -> Option<u64> {
        let count = counter.load(Relaxed);
        let again = self.at.is_none_or(|at| now.duration_since(at) >= AGAIN);
        if count <= self.count || !again {
            return None;
        }
        *self = Self { count, at: Some(now) };
        Some(count)
    }
}

impl Losses {
    pub(super) fn warnings(&mut self, progress: &Progress, now: Instant) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(count) = self.frames_dropped.news(&progress.frames_dropped, now) {
            let frames = counted(count, "frame");
            all.push(format!(
                "{frames} dropped before shadowtap could read them: requests are being lost; a larger --buffer \
                 helps against bursts, a narrower -p or -f against too much traffic"
            ));
        }
        if let Some(count) = self.gaps.news(&progress.gaps, now) {
            all.push(format!(
                "{} in captured streams: segments did not reach this interface, or were dropped; the requests \
                 concerned are counted as incomplete",
                counted(count, "gap")
            ));
        }
        if let Some(count) = self.shed.news(&progress.shed, now) {
            all.push(format!(
                "{} shed: the target does not keep up; send less (--sample 10%), or let more wait for their response at \
                 once (--max-in-flight and --max-connections)",
                counted(count, "request")
            ));
        }
        if let Some(count) = self.held_up.news(&progress.held_up, now) {
            all.push(format!(
                "{} shed: on their mirrored connection an earlier one had no whole response within --timeout; more \
                 connections do not help, but --connections pooled waits for no earlier one",
                counted(count, "request")
            ));
        }
        if let Some(count) = self.unrecorded.news(&progress.unrecorded, now) {
            all.push(format!(
                "{} not recorded: no room on their way to where they are stored; record less (--sample), or to a faster place",
                counted(count, "record")
            ));
        }
        if let Some(count) = self.lost_to_disk.news(&progress.lost_to_disk, now) {
            all.push(format!(
                "{} not recorded: the disk does not take them; make room, and recording goes on",
                counted(count, "record")
            ));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_warned_of_when_it_begins_and_not_again_for_a_while() {
        let progress = Progress::default();
        let mut losses = Losses::default();
        let begin = Instant::now();
        assert!(losses.warnings(&progress, begin).is_empty());
        progress.frames_dropped.store(3, Relaxed);
        let warnings = losses.warnings(&progress, begin);
        assert!(warnings.len() == 1 && warnings[0].starts_with("3 frames dropped") && warnings[0].contains("--buffer"));
        progress.frames_dropped.store(9, Relaxed);
        assert!(losses.warnings(&progress, begin + AGAIN / 2).is_empty());
        assert_eq!(losses.warnings(&progress, begin + AGAIN).len(), 1);
        assert!(losses.warnings(&progress, begin + AGAIN * 3).is_empty(), "no more were lost since");
    }

    #[test]
    fn each_loss_has_its_own_advice() {
        let progress = Progress::default();
        for (counter, advice) in [
            (&progress.shed, "--sample"),
            (&progress.held_up, "--connections pooled"),
            (&progress.unrecorded, "faster place"),
            (&progress.gaps, "incomplete"),
        ] {
            let mut losses = Losses::default();
            counter.store(1, Relaxed);
            let warnings = losses.warnings(&progress, Instant::now());
            assert!(warnings.iter().any(|warning| warning.contains(advice)), "{warnings:?}");
        }
    }
}
