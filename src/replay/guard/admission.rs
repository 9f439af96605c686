//! Admission by a guard: requests to a target come in with their position in the sample, and pass or are held back. A
//! trickle of the held ones passes all the same, as a probe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{GuardSettings, GuardState};
use crate::middleware::{DynamicShare, Share};

/// Of so many requests that would be held back, one probes.
const PROBE_EACH: u64 = 100;
/// And one after this time at the latest, or a tenth of the guard's longest window where that is less: so that there are
/// enough of them in a window.
const PROBE_AFTER: Duration = Duration::from_secs(1);

/// A guard's orders to its admission control. Clones share one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct GuardHandle {
    share: DynamicShare,
    stopped: Arc<AtomicBool>,
    /// Requests held back so far.
    held: Arc<AtomicU64>,
}

impl GuardHandle {
    /// Says what is let in from now on.
    pub(crate) fn set(&self, share: Share, state: GuardState) {
        self.share.set(share);
        self.stopped.store(state == GuardState::Stopped, Ordering::Relaxed);
    }

    /// Returns the number of requests held back so far.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// The gate before one target.
#[derive(Debug)]
pub(crate) struct AdmissionControl {
    valve: GuardHandle,
    probe_after: Duration,
    /// Held back since the last probe, and when that was.
    since_probe: u64,
    probed: Option<Instant>,
}

impl AdmissionControl {
    /// The gate of a guard with these settings.
    #[must_use]
    pub(crate) fn new(valve: GuardHandle, settings: &GuardSettings) -> Self {
        let probe_after = settings.longest().map_or(PROBE_AFTER, |window| (window / 10).min(PROBE_AFTER));
        Self { valve, probe_after, since_probe: 0, probed: None }
    }

    /// Returns whether a request at this position of a sample passes, where `sample` is the share of the sample.
    ///
    /// The positions that pass are the first of those that the sample lets in: so sessions stay whole, and a session
    /// let in at a small share is let in at a larger one, whether the sample or the guard made it small.
    pub(crate) fn lets_in(&mut self, place: u64, sample: Share, at: Instant) -> bool {
        let share = self.valve.share.share().0;
        if share >= 1.0 || u128::from(place) < Share(sample.0 * share).threshold() {
            return true;
        }
        if !self.valve.stopped.load(Ordering::Relaxed) && self.probes(at) {
            return true;
        }
        self.valve.held.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn probes(&mut self, at: Instant) -> bool {
        self.since_probe += 1;
        let is_due = self.probed.is_none_or(|probed| at.saturating_duration_since(probed) >= self.probe_after);
        let probes = is_due || self.since_probe >= PROBE_EACH;
        if probes {
            (self.since_probe, self.probed) = (0, Some(at));
        }
        probes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(share: f64, state: GuardState) -> (AdmissionControl, GuardHandle) {
        let valve = GuardHandle::default();
        valve.set(Share(share), state);
        (AdmissionControl::new(valve.clone(), &GuardSettings::of_shadow()), valve)
    }

    /// Returns which of a thousand evenly spread positions pass at once.
    fn passed(gate: &mut AdmissionControl, sample: Share) -> Vec<bool> {
        let at = Instant::now();
        let passed: Vec<bool> = (0..1000_u64).map(|n| gate.lets_in(n * (u64::MAX / 1000), sample, at)).collect();
        passed
    }

    #[test]
    fn an_open_gate_lets_everything_in_whatever_the_sample() {
        let (mut gate, valve) = gate(1.0, GuardState::Passing);
        assert!(!passed(&mut gate, Share(0.1)).contains(&false));
        assert_eq!(valve.held(), 0);
    }

    #[test]
    fn the_first_places_of_the_sample_go_on() {
        let (mut gate, _) = gate(0.5, GuardState::Throttled);
        let passed = passed(&mut gate, Share(0.4));
        assert!(passed[..201].iter().all(|passed| *passed));
        let probes = passed[201..].iter().filter(|passed| **passed).count();
        assert_eq!(probes, 8, "one at first, then one in a hundred");
    }

    #[test]
    fn a_closed_gate_lets_a_trickle_in_each_second_and_a_stopped_one_nothing() {
        let (mut closed, valve) = gate(0.0, GuardState::Probing);
        let begin = Instant::now();
        let mut passed = |ms| closed.lets_in(0, Share(1.0), begin + Duration::from_millis(ms));
        assert_eq!([0, 1, 999, 1000, 1001].map(&mut passed), [true, false, false, true, false]);
        assert_eq!(valve.held(), 3);
        let (mut stopped, _) = gate(0.0, GuardState::Stopped);
        assert!(!stopped.lets_in(0, Share(1.0), begin));
    }

    #[test]
    fn short_windows_are_probed_more_often() {
        let settings = "errors>5%/200ms".parse().unwrap();
        let valve = GuardHandle::default();
        valve.set(Share(0.0), GuardState::Probing);
        let mut gate = AdmissionControl::new(valve, &settings);
        let begin = Instant::now();
        let mut passed = |ms| gate.lets_in(0, Share(1.0), begin + Duration::from_millis(ms));
        assert_eq!([0, 19, 20, 40].map(&mut passed), [true, false, true, true]);
    }
}
