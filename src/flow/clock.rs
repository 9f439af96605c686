//! The clock that the engine runs on: it only goes forward, by what is plausible.
//!
//! Stamps are data. A recorder's clock is set back and forth, single frames are stamped years ahead, files are joined in
//! the wrong order. None of that may expire a connection or give up a hole, so time passes here by the differences
//! between stamps, where these can be right. A pause may be a clock that was set forward by as much: no timeout of a hole
//! ends by one alone.

use std::time::Duration;

use crate::exchange::Timestamp;

/// Tolerated lag of a frame's time behind the latest one, without a step of the clock: queues of a network card, two
/// recorders.
const JITTER: Duration = Duration::from_secs(2);
/// Tolerated lag for some frames in a row: recorders whose clocks differ. A greater lag is a step of the clock.
const LAG: Duration = Duration::from_secs(10);
/// Frames in a row that lag, after which the clock was set back.
const LAGGING_FRAMES: u32 = 64;
/// Most time that passes between two frames. A longer silence cannot be distinguished from a clock that was set
/// forward.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Least time without a frame that is a pause. What is shorter counts in full: clocks are hardly set by so little.
const SHORTEST_PAUSE: Duration = Duration::from_millis(600);
/// Pauses that are doubted: the last ones, of which a frame that is stamped wrongly makes one. Those before count in full, so
/// where frames are rare, the third one after a hole gives it up.
const DOUBTED: usize = 2;
/// A silence from which on nobody is believed to have waited for a response: the clock may have been set forward as well.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// A stamp this far ahead is not believed before the next frame confirms it.
const LONGEST_SILENCE: Duration = Duration::from_secs(24 * 3600);

/// Number of a stretch of the capture's clock: only timestamps of one stretch can be compared.
pub(crate) type Stretch = u32;
/// The stretch of a stamp that nothing confirms.
pub(crate) const FALSE_STAMP: Stretch = u32::MAX;

/// An instant that does not come.
pub(super) const NEVER: Timestamp = Timestamp::from_nanos(u64::MAX);

const fn nanos(duration: Duration) -> u64 {
    duration.as_secs() * 1_000_000_000 + duration.subsec_nanos() as u64
}

/// Time that passed between two frames, or a step of the clock.
#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    /// The engine's time at its end.
    end: Timestamp,
    length: Duration,
}

/// The engine's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Timestamp,
    /// The last few pauses, the latest one last.
    pauses: [Pause; DOUBTED],
    /// The latest stamp that is believed.
    latest: Timestamp,
    /// The one before the last long silence, to which the clock may return.
    before: Option<Timestamp>,
    /// A stamp that the next frame has to confirm.
    suspect: Option<Timestamp>,
    lagging: u32,
    stretch: Stretch,
    steps: u64,
    /// The stamp at which the first step was seen.
    first_step: Option<Timestamp>,
    begun: bool,
}

impl Clock {
    /// The time of the engine.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns whether a timeout that began at `since` is over, even if the last pauses were none.
    pub(super) fn is_over(&self, since: Timestamp, timeout: Duration) -> bool {
        let passed = self.now.since(since);
        if passed <= timeout {
            return false;
        }
        let pauses = self.pauses.iter().filter(|pause| pause.end > since);
        passed.saturating_sub(pauses.map(|pause| pause.length).sum()) > timeout
    }

    /// The latest stamp that is believed: what is shown of the time.
    pub(super) const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Times the capture's clock was set, or a frame stamped wrongly.
    pub(super) const fn steps(&self) -> u64 {
        self.steps
    }

    /// The stamp at which the first of them was seen.
    pub(super) const fn first_step(&self) -> Option<Timestamp> {
        self.first_step
    }

    /// Takes note of the stamp of the next frame; returns its stretch.
    #[inline]
    pub(super) fn tick(&mut self, at: Timestamp) -> Stretch {
        // In nanoseconds: a duration would be made of each difference, for each frame.
        let ahead = at.nanos().saturating_sub(self.latest.nanos());
        let behind = self.latest.nanos().saturating_sub(at.nanos());
        if self.suspect.is_none() && ahead <= nanos(LONGEST_PAUSE) && behind <= nanos(JITTER) {
            self.pass(ahead, at);
            self.lagging = 0;
            return self.stretch;
        }
        self.odd(at)
    }

    /// Takes note that it is `at` and no frame came.
    pub(super) fn idle(&mut self, at: Timestamp) {
        let ahead = at.nanos().saturating_sub(self.latest.nanos());
        if self.begun && ahead <= nanos(LONGEST_PAUSE) {
            self.pass(ahead, at);
        }
    }

    /// Lets so many nanoseconds pass up to `at`.
    #[inline]
    fn pass(&mut self, ahead: u64, at: Timestamp) {
        self.now = Timestamp::from_nanos(self.now.nanos().saturating_add(ahead));
        if ahead >= nanos(SHORTEST_PAUSE) {
            self.note_pause(Duration::from_nanos(ahead));
        }
        self.latest = self.latest.max(at);
    }

    #[cold]
    fn odd(&mut self, at: Timestamp) -> Stretch {
        if !self.begun {
            (self.begun, self.now, self.latest) = (true, at, at);
            return self.stretch;
        }
        let near = |stamp: Timestamp| at.since(stamp) <= LONGEST_PAUSE && stamp.since(at) <= JITTER;
        let (ahead, behind) = (at.since(self.latest), self.latest.since(at));
        if let Some(suspect) = self.suspect.take() {
            if near(suspect) {
                return self.set(at);
            }
            if near(self.latest) {
                return self.tick(at);
            }
        }
        if ahead > LONGEST_SILENCE || (behind > LAG && !self.before.is_some_and(near)) {
            self.note_step(at);
            self.suspect = Some(at);
            return FALSE_STAMP;
        }
        if behind > LAG {
            // Back to where it was before it went ahead.
            self.note_step(at);
            return self.set(at);
        }
        if ahead > LONGEST_PAUSE {
            self.before = Some(self.latest);
            self.now = self.now.plus(LONGEST_PAUSE);
            self.note_pause(LONGEST_PAUSE);
            self.latest = at;
            self.stretch += u32::from(ahead > LONGEST_WAIT);
            return self.stretch;
        }
        self.lagging += 1;
        if self.lagging > LAGGING_FRAMES {
            self.note_step(at);
            return self.set(at);
        }
        self.now = self.now.plus(ahead);
        self.latest = self.latest.max(at);
        self.stretch
    }

    /// Notes a pause that ends now.
    #[cold]
    fn note_pause(&mut self, length: Duration) {
        self.pauses.rotate_left(1);
        if let Some(last) = self.pauses.last_mut() {
            *last = Pause { end: self.now, length };
        }
    }

    fn note_step(&mut self, at: Timestamp) {
        self.steps += 1;
        self.first_step.get_or_insert(at);
    }

    /// The clock was set: what comes now is counted from here.
    fn set(&mut self, at: Timestamp) -> Stretch {
        (self.latest, self.before, self.lagging) = (at, None, 0);
        self.stretch += 1;
        self.stretch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: u64 = 1_795_291_200;

    /// Seconds that passed, stretches, and steps, of frames at these seconds.
    fn run(seconds: &[i64]) -> (u64, Vec<Stretch>, u64) {
        let mut clock = Clock::default();
        let stamp = |at: i64| Timestamp::from_nanos(BEGIN.saturating_add_signed(at) * 1_000_000_000);
        let stretches = seconds.iter().map(|at| clock.tick(stamp(*at))).collect();
        (clock.now().since(stamp(seconds[0])).as_secs(), stretches, clock.steps())
    }

    #[test]
    fn time_passes_as_frames_are_stamped() {
        assert_eq!(run(&[0, 1, 3, 2, 10]), (10, vec![0; 5], 0));
    }

    #[test]
    fn a_clock_that_is_set_back_or_far_ahead_is_one_step() {
        assert_eq!(run(&[0, 1, -3600, -3599, -3598]), (2, vec![0, 0, FALSE_STAMP, 1, 1], 1));
        assert_eq!(run(&[0, 1, 60_000_000, 60_000_001, 60_000_002]), (2, vec![0, 0, FALSE_STAMP, 1, 1], 1));
        assert_eq!(run(&[0, 1, -600, 2, 3]).2, 1);
    }

    #[test]
    fn one_false_stamp_costs_no_other_frame_its_time() {
        assert_eq!(run(&[0, 1, 400_000_000, 2, 3]), (3, vec![0, 0, FALSE_STAMP, 0, 0], 1));
        assert_eq!(run(&[0, 1, -400_000, 2, 3]), (3, vec![0, 0, FALSE_STAMP, 0, 0], 1));
    }

    #[test]
    fn a_long_silence_is_none_but_lets_little_time_pass() {
        assert_eq!(run(&[0, 1, 601, 602]), (62, vec![0; 4], 0));
        assert_eq!(run(&[0, 1, 1201, 1202]), (62, vec![0, 0, 1, 1], 0));
        assert_eq!(run(&[0, 1, 3601, 3602, 3, 4]), (63, vec![0, 0, 1, 1, 2, 2], 1));
    }

    #[test]
    fn recorders_that_differ_are_no_steps_and_a_clock_that_stays_behind_is_one() {
        let differ: Vec<i64> = (0..200).map(|n| n / 10 - if n % 2 == 0 { 7 } else { 0 }).collect();
        assert_eq!(run(&differ).2, 0);
        let back: Vec<i64> = (0..2000).map(|n| n / 100 - if n < 1000 { 0 } else { 8 }).collect();
        assert_eq!(run(&back).2, 1);
    }

    #[test]
    fn no_timeout_ends_by_a_pause_alone_but_by_a_few_of_them() {
        let over = |seconds: &[u64], timeout| {
            let mut clock = Clock::default();
            let stamp = |at: u64| Timestamp::from_nanos((BEGIN + at) * 1_000_000_000);
            for at in seconds {
                clock.tick(stamp(*at));
            }
            clock.is_over(stamp(seconds[0]), Duration::from_millis(timeout))
        };
        for timeout in [200, 3000] {
            assert!(!over(&[0, 50], timeout));
            assert!(!over(&[0, 3600], timeout));
            assert!(!over(&[0, 50, 100], timeout));
            assert!(over(&[0, 50, 100, 150], timeout));
        }
        assert!(!over(&[0, 1, 2, 3, 63], 4000));
        assert!(over(&[0, 1, 2, 3, 63, 64, 65], 4000));
        assert!(!over(&[0, 1, 2, 3, 4, 5], 3000));
        assert!(over(&[0, 1, 2, 3, 4, 5, 6], 3000));
        assert!(!over(&[0, 60, 120, 180, 240, 300, 360], 300_000));
        assert!(over(&[0, 60, 120, 180, 240, 300, 360, 420, 480], 300_000));
    }
}
