//! Whether frames come so often that waiting for each single one would cost more than to read it.

use std::time::Duration;

use crate::exchange::Timestamp;

/// Time over which frames are counted.
const WINDOW: Duration = Duration::from_millis(20);
/// Frames in that time from which some are let gather: a thousand a second.
const MANY: u32 = 20;
/// Pause before a read where there are many. It bounds how late a request leaves, and the bundles in which requests leave:
/// what is captured together is sent together. That costs whoever sends less, too.
const NAP: Duration = Duration::from_millis(1);

/// The rate at which frames came last.
#[derive(Debug, Default)]
pub(super) struct FrameRate {
    since: Timestamp,
    frames: u32,
    is_high: bool,
}

impl FrameRate {
    /// Counts frames that were read up to `now`.
    pub(super) fn count(&mut self, frames: u32, now: Timestamp) {
        self.frames = self.frames.saturating_add(frames);
        // Where the clock was set back, the window is over, too.
        if now.since(self.since) >= WINDOW || now < self.since {
            self.is_high = self.frames >= MANY && now.since(self.since) < 2 * WINDOW;
            (self.since, self.frames) = (now, 0);
        }
    }

    /// Returns the pause before the next read where it is better to let some frames gather.
    pub(super) fn nap(&self) -> Option<Duration> {
        self.is_high.then_some(NAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000 + micros * 1_000)
    }

    /// Whether frames are let gather after they came so many microseconds apart, for 50 milliseconds.
    fn gather(apart: u64) -> bool {
        let mut rate = FrameRate::default();
        (1..=50_000 / apart).for_each(|n| rate.count(1, at(n * apart)));
        rate.nap().is_some()
    }

    #[test]
    fn frames_gather_from_a_thousand_a_second() {
        assert!(gather(50) && gather(1_000));
        assert!(!gather(1_120) && !gather(10_000));
    }

    #[test]
    fn a_burst_after_a_silence_is_no_rate() {
        let mut rate = FrameRate::default();
        rate.count(1, at(0));
        rate.count(1_000, at(1_000_000));
        assert_eq!(rate.nap(), None);
    }

    #[test]
    fn silence_and_a_clock_set_back_end_it() {
        for now in [30_000, 1_000_000, 0] {
            let mut rate = FrameRate::default();
            (0..=40_000).step_by(100).for_each(|micros| rate.count(1, at(micros)));
            assert!(rate.nap().is_some());
            rate.count(0, at(40_000 + now));
            rate.count(0, at(if now == 0 { 10 } else { 60_001 + now }));
            assert_eq!(rate.nap(), None, "{now}");
        }
    }
}
