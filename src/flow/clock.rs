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
/// Frames in a row that lag by more than the jitter, after which the clock was set back.
const LAGGING_FRAMES: u32 = 64;
/// Least lag that may be a step back. A program that records on several interfaces writes the frames of each up to a quarter of a
/// second after those of another one.
const LEAST_STEP: Duration = Duration::from_millis(300);
/// Least number of frames in a row that lag, and go on until they come to where the clock was, that show a step back.
const FEWEST_LAGGING: u32 = 4;
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

/// What later frames have to settle.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    /// A stamp that the next frame has to confirm.
    Stamp(Timestamp),
    /// Frames that are late, or a clock that was set back.
    Lag(Lag),
}

/// Frames in a row that lag behind the latest stamp.
#[derive(Clone, Copy, Debug)]
struct Lag {
    /// The stamp of the first one.
    began: Timestamp,
    /// By how much that lags.
    by: Duration,
    /// The highest stamp since.
    highest: Timestamp,
    /// Frames that go on from there.
    frames: u32,
    /// The last ones in a row that lag by more than the jitter.
    far: u32,
}

impl Lag {
    const fn of(at: Timestamp, by: Duration) -> Self {
        Self { began: at, by, highest: at, frames: 0, far: 0 }
    }

    /// Returns whether the next stamp goes on from there: what is late is followed by what is not.
    fn goes_on(&self, at: Timestamp) -> bool {
        at.since(self.highest).max(self.highest.since(at)) < self.by / 2
    }

    /// Notes a stamp that goes on from there, and lags by so much.
    fn note(&mut self, at: Timestamp, by: Duration) {
        self.highest = self.highest.max(at);
        self.frames += 1;
        self.far = if by > JITTER { self.far + 1 } else { 0 };
    }
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
    doubt: Option<Doubt>,
    stretch: Stretch,
    steps: u64,
    /// The stamp of the frame before which the first step was.
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

    /// The stamp of the frame before which the first of them was.
    pub(super) const fn first_step(&self) -> Option<Timestamp> {
        self.first_step
    }

    /// The stamp of the first frame behind what may turn out to be a step.
    pub(super) const fn possible_step(&self) -> Option<Timestamp> {
        if let Some(Doubt::Lag(lag)) = self.doubt { Some(lag.began) } else { None }
    }

    /// When a frame came that was held since `at`.
    pub(super) fn arrival(&self, at: Timestamp) -> Timestamp {
        if self.latest.since(at) <= JITTER { self.latest.max(at) } else { at }
    }

    /// Takes note of the stamp of the next frame; returns its stretch.
    #[inline]
    pub(super) fn tick(&mut self, at: Timestamp) -> Stretch {
        // In nanoseconds: a duration would be made of each difference, for each frame.
        let ahead = at.nanos().saturating_sub(self.latest.nanos());
        let behind = self.latest.nanos().saturating_sub(at.nanos());
        if self.doubt.is_none() && ahead <= nanos(LONGEST_PAUSE) && behind < nanos(LEAST_STEP) {
            self.pass(ahead, at);
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
        match self.doubt.take() {
            Some(Doubt::Stamp(suspect)) if near(suspect) => return self.set(at),
            Some(Doubt::Stamp(_)) if near(self.latest) => return self.tick(at),
            Some(Doubt::Lag(lag)) if ahead <= LONGEST_PAUSE && behind <= LAG => return self.lags(lag, at),
            _ => {}
        }
        if ahead > LONGEST_SILENCE || (behind > LAG && !self.before.is_some_and(near)) {
            self.note_step(at);
            self.doubt = Some(Doubt::Stamp(at));
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
        self.lags(Lag::of(at, behind), at)
    }

    /// Takes note of a frame behind some that lag, or of the first of those.
    fn lags(&mut self, mut lag: Lag, at: Timestamp) -> Stretch {
        let (behind, goes_on) = (self.latest.since(at), lag.goes_on(at));
        if behind.is_zero() {
            if goes_on {
                self.end_lag(lag);
            }
            return self.tick(at);
        }
        if !goes_on {
            if behind < LEAST_STEP {
                return self.tick(at);
            }
            lag = Lag { far: lag.far, ..Lag::of(at, behind) };
        }
        lag.note(at, behind);
        if lag.far > LAGGING_FRAMES {
            self.note_step(lag.began);
            return self.set(at);
        }
        self.doubt = Some(Doubt::Lag(lag));
        self.stretch
    }

    /// Nothing more comes: what lagged until now was behind a step.
    pub(super) fn finish(&mut self) {
        if let Some(Doubt::Lag(lag)) = self.doubt.take() {
            self.end_lag(lag);
        }
    }

    fn end_lag(&mut self, lag: Lag) {
        if lag.frames >= FEWEST_LAGGING {
            self.note_step(lag.began);
        }
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
        (self.latest, self.before) = (at, None);
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

    /// Of frames at these milliseconds, how many steps there are, and which frame is the first one behind one.
    fn steps(milliseconds: &[u64]) -> (u64, Option<usize>) {
        let mut clock = Clock::default();
        let stamps = milliseconds.iter().map(|ms| Timestamp::from_nanos(BEGIN * 1_000_000_000 + ms * 1_000_000));
        let mut possible = None;
        for (place, at) in stamps.enumerate() {
            let before = clock.possible_step();
            clock.tick(at);
            possible = clock.possible_step().filter(|stamp| Some(*stamp) != before).map_or(possible, |_| Some(place));
        }
        clock.finish();
        (clock.steps(), possible.filter(|_| clock.steps() > 0))
    }

    #[test]
    fn a_step_back_by_little_is_told_with_the_frame_behind_it() {
        for (step, every) in [(350, 20), (500, 50), (500, 1), (1_900, 400), (2_100, 10), (5_000, 1_000), (9_900, 100)] {
            let back = |n: u64| 20_000 + n * every - if n >= 100 { step } else { 0 };
            let whole: Vec<u64> = (0..12_000).map(back).collect();
            assert_eq!(steps(&whole), (1, Some(100)), "{step} ms, a frame in {every} ms");
            assert_eq!(steps(&whole[..105]), (1, Some(100)), "{step} ms, and the capture ends");
            assert_eq!(steps(&whole[..102]).0, 0, "{step} ms, and the capture ends at once");
        }
    }

    #[test]
    fn frames_that_are_late_are_no_step() {
        // Of several interfaces, whose frames are written block by block.
        let blocks = |length: u64, frames: u64| -> Vec<u64> {
            let block = |n: u64| (0..2 * frames).map(move |k| n * length + k % frames * length / frames);
            (0..20).flat_map(block).collect()
        };
        assert_eq!(steps(&blocks(250, 100)).0, 0);
        // Some that were held up, among those that were not.
        for (lag, late) in [(400, 3), (1_500, 12), (5_000, 40)] {
            let mut all: Vec<u64> = (0..400).map(|n| 20_000 + 50 * n).collect();
            let held: Vec<u64> = (0..late).map(|n| 30_000 - lag + n).collect();
            all.splice(200..200, held);
            assert_eq!(steps(&all).0, 0, "{late} by {lag} ms");
        }
        // Two clocks, one frame of each or a few.
        for few in [1, 3, 8] {
            let turns: Vec<u64> =
                (0..400).map(|n| 20_000 + 10 * n - if n / few % 2 == 0 { 1_000 } else { 0 }).collect();
            assert_eq!(steps(&turns).0, 0, "{few}");
        }
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
