//! Whether frames come so often that waiting for each single one would cost more than to read it.

use std::time::Duration;

use crate::exchange::Timestamp;

/// Time over which frames are counted.
const WINDOW: Duration = Duration::from_millis(20);
/// Frames in that time from which the rate is high: four thousand a second.
const MANY: u32 = 80;

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

    /// Returns whether it is better to let some frames gather before they are read.
    pub(super) const fn is_high(&self) -> bool {
        self.is_high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000 + micros * 1_000)
    }

    /// Whether the rate is high after frames came so many microseconds apart, for 50 milliseconds.
    fn is_high(apart: u64) -> bool {
        let mut rate = FrameRate::default();
        (1..=50_000 / apart).for_each(|n| rate.count(1, at(n * apart)));
        rate.is_high()
    }

    #[test]
    fn a_rate_is_high_from_four_thousand_frames_a_second() {
        assert!(is_high(50) && is_high(250));
        assert!(!is_high(280) && !is_high(10_000));
    }

    #[test]
    fn a_burst_after_a_silence_is_no_rate() {
        let mut rate = FrameRate::default();
        rate.count(1, at(0));
        rate.count(1_000, at(1_000_000));
        assert!(!rate.is_high());
    }

    #[test]
    fn silence_and_a_clock_set_back_end_it() {
        for now in [30_000, 1_000_000, 0] {
            let mut rate = FrameRate::default();
            (0..=40_000).step_by(100).for_each(|micros| rate.count(1, at(micros)));
            assert!(rate.is_high());
            rate.count(0, at(40_000 + now));
            rate.count(0, at(if now == 0 { 10 } else { 60_001 + now }));
            assert!(!rate.is_high(), "{now}");
        }
    }
}
