//! Silences of a capture that are shortened, and those that turn out to be none.

use std::time::Duration;

use crate::exchange::Timestamp;

/// Silences of the capture that a schedule shortened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShortenedGaps {
    /// How many.
    pub count: u64,
    /// How much shorter all of them are together, on the capture's clock.
    pub left_out: Duration,
}

/// A silence that was shortened just now.
#[derive(Clone, Copy, Debug)]
struct LastSilence {
    from: Timestamp,
    to: Timestamp,
    /// True once a stamp came that is within it: the one that ended it was wrong, or this one is late.
    is_doubted: bool,
}

/// The silences of one schedule.
#[derive(Clone, Debug, Default)]
pub(super) struct Silences {
    /// Longer ones are shortened to this.
    longest: Option<Duration>,
    shortened: ShortenedGaps,
    last: Option<LastSilence>,
}

impl Silences {
    pub(super) const fn up_to(longest: Option<Duration>) -> Self {
        Self { longest, shortened: ShortenedGaps { count: 0, left_out: Duration::ZERO }, last: None }
    }

    /// The longest one that is kept, where there is such a limit.
    pub(super) const fn longest(&self) -> Option<Duration> {
        self.longest
    }

    /// Those that were shortened so far.
    pub(super) const fn shortened(&self) -> ShortenedGaps {
        self.shortened
    }

    /// How long a silence is in the run.
    pub(super) fn in_run(&self, silence: Duration) -> Duration {
        self.longest.map_or(silence, |longest| silence.min(longest))
    }

    /// Returns how much of the time up to `at` passes in the run, and takes note of it.
    pub(super) fn pass(&mut self, latest: Timestamp, at: Timestamp) -> Duration {
        let doubted = self.last.take_if(|last| at >= last.to).filter(|last| last.is_doubted);
        let silence = at.since(latest);
        if self.in_run(silence) == silence {
            return silence;
        }
        // Back at the end of one that seemed to be none: what came within it was late.
        let (from, passed) = doubted.map_or((latest, silence), |last| (last.from, at.since(last.to)));
        let whole = at.since(from);
        self.shortened.count += 1;
        self.shortened.left_out += whole.saturating_sub(self.in_run(whole));
        self.last = Some(LastSilence { from, to: at, is_doubted: false });
        self.in_run(passed)
    }

    /// Returns whether a stamp shows, as the first one, that the silence that was shortened last was none.
    pub(super) fn is_none_by(&mut self, at: Timestamp) -> bool {
        let Some(last) = self.last.as_mut().filter(|last| at > last.from && at < last.to) else { return false };
        if last.is_doubted {
            // Nor is what ended it the place to which the capture comes back.
            self.last = None;
            return false;
        }
        last.is_doubted = true;
        let silence = last.to.since(last.from);
        self.shortened.count -= 1;
        self.shortened.left_out -= silence.saturating_sub(self.in_run(silence));
        true
    }

    /// The capture's clock was set, or comes anew.
    pub(super) const fn forget(&mut self) {
        self.last = None;
    }
}
