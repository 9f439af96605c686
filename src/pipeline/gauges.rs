//! Gauges of a run, sampled for the report's timeline.
//!
//! The report thread asks for them a few times a second: a handful of counters are read, and nothing else is touched.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::observer::TargetProbe;
use super::{Control, Progress};
use crate::replay::{Client as _, ConnNumber};
use crate::report::{RunGauges, Started};

/// Time between two looks. A point of the report is a second wide or more and keeps the last one, so that one is near
/// its end.
const EVERY: Duration = Duration::from_millis(250);

/// Looks at one run.
pub(super) struct GaugeReader {
    progress: Arc<Progress>,
    control: Control,
    targets: Vec<TargetProbe>,
    /// Frames dropped and gaps already reported.
    lost: u64,
    due: Instant,
}

impl GaugeReader {
    pub(super) fn new(started: Started, progress: &Arc<Progress>, control: &Control, targets: &[TargetProbe]) -> Self {
        Self {
            progress: Arc::clone(progress),
            control: control.clone(),
            targets: targets.to_vec(),
            lost: 0,
            due: started.clock + EVERY,
        }
    }

    /// Returns the instant of the next sample.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Samples the gauges, when a sample is due.
    pub(super) fn look(&mut self) -> Option<RunGauges> {
        let now = Instant::now();
        if now < self.due {
            return None;
        }
        // Looks that were missed are not made up for.
        self.due = (self.due + EVERY).max(now);
        let share = if self.control.is_paused() { 0.0 } else { self.control.share().0 };
        let open = self.progress.open.load(Ordering::Relaxed);
        Some(RunGauges {
            lost: self.newly_lost(),
            share: Some(share),
            connections: (open < u64::MAX).then_some(open),
            targets: self.targets.iter().map(TargetProbe::level).collect(),
        })
    }

    /// The connections to targets on which a response came without a request since the last look.
    pub(super) fn desynchronised(&self) -> Vec<ConnNumber> {
        let clients = self.targets.iter().filter_map(|target| target.client.upgrade());
        clients.flat_map(|client| client.desynchronised()).collect()
    }

    /// Returns the losses since the last sample. The other gauges are zero by then.
    pub(super) fn last(&mut self) -> RunGauges {
        RunGauges { lost: self.newly_lost(), ..RunGauges::default() }
    }

    fn newly_lost(&mut self) -> u64 {
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let lost = of(&self.progress.frames_dropped) + of(&self.progress.gaps);
        lost.saturating_sub(std::mem::replace(&mut self.lost, lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::Share;

    #[tokio::test(start_paused = true)]
    async fn each_look_tells_what_there_is_now_and_what_was_lost_since() {
        let (progress, control) = (Arc::new(Progress::default()), Control::default());
        control.set_share(Share(0.25));
        let mut levels = GaugeReader::new(Started::now(), &progress, &control, &[]);
        assert_eq!(levels.look(), None);

        progress.frames_dropped.store(3, Ordering::Relaxed);
        tokio::time::advance(EVERY).await;
        let level = RunGauges { lost: 3, share: Some(0.25), connections: None, targets: Vec::new() };
        assert_eq!(levels.look(), Some(level));
        assert_eq!(levels.look(), None);

        progress.gaps.store(2, Ordering::Relaxed);
        progress.open.store(7, Ordering::Relaxed);
        control.pause();
        tokio::time::advance(EVERY * 9).await;
        let level = RunGauges { lost: 2, share: Some(0.0), connections: Some(7), targets: Vec::new() };
        assert_eq!(levels.look(), Some(level));

        progress.gaps.store(3, Ordering::Relaxed);
        assert_eq!(levels.last(), RunGauges { lost: 1, ..RunGauges::default() });
    }
}
