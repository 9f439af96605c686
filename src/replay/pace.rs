//! Due times of requests: capture times go in, offsets from the start of the run come out.
//!
//! There is no clock and no wait here: the sender compares the offsets with a clock of its own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::silences::{ShortenedGaps, Silences};
use super::stamp_leap::{LAG, LagBehind, ReturnPoints, SetBack, StampLeap, is_near};
use crate::exchange::Timestamp;

/// Latest offset that a schedule yields: what would be due later (a clock that jumped, a tiny rate) is due then. Far
/// past any run, and small enough to be added to any instant.
pub(crate) const MAX_OFFSET: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A longer silence is none: the clock was set, or a frame stamped wrongly.
const LONGEST_SILENCE: Duration = Duration::from_secs(24 * 3600);

/// Rule that derives the times of sending from the times of capture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As captured, this many times as fast.
    Speed(f64),
    /// As fast as the target takes them: no schedule, no lag.
    Max,
    /// This many requests a second, evenly.
    Rate(f64),
}

impl Default for Pace {
    /// As captured.
    fn default() -> Self {
        Self::Speed(1.0)
    }
}

/// How closely a schedule is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Punctuality {
    /// The thread that paces sleeps until a request is due, and is as late as the system wakes it.
    #[default]
    Normal,
    /// It has a processor to itself, and spins before a request is due.
    Precise,
}

impl FromStr for Punctuality {
    type Err = PaceError;

    fn from_str(typed: &str) -> Result<Self, PaceError> {
        match typed {
            "normal" => Ok(Self::Normal),
            "precise" => Ok(Self::Precise),
            _ => Err(PaceError::Punctuality { typed: typed.to_owned() }),
        }
    }
}

/// Errors of a typed pace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PaceError {
    /// Neither a factor nor `max`.
    #[error("`{typed}` is not a speed; write 2x for twice as fast, 0.5x for half as fast, or max")]
    Speed {
        /// Typed text.
        typed: String,
    },
    /// No number over a unit of time.
    #[error("`{typed}` is not a rate; write 100/s for a hundred requests a second, or 6000/m for as many a minute")]
    Rate {
        /// Typed text.
        typed: String,
    },
    /// Neither of the two.
    #[error(
        "`{typed}` is no way to keep a pace; write precise, which takes a processor, or normal. For a rate there is --rate"
    )]
    Punctuality {
        /// Typed text.
        typed: String,
    },
    /// Zero, negative or endless.
    #[error("`{typed}`: a pace is more than zero, and finite; as fast as possible is --speed max")]
    OutOfRange {
        /// Typed text.
        typed: String,
    },
}

impl Pace {
    /// What `--speed` takes: `0.5x`, `2x`, `max`.
    ///
    /// # Errors
    ///
    /// Where it is none of these, or not above zero.
    pub fn speed(typed: &str) -> Result<Self, PaceError> {
        if typed == "max" {
            return Ok(Self::Max);
        }
        let number = typed.strip_suffix('x').and_then(|number| number.parse().ok());
        let factor = number.ok_or_else(|| PaceError::Speed { typed: typed.to_owned() })?;
        positive(factor, typed).map(Self::Speed)
    }

    /// What `--rate` takes: requests a second (`100/s`), minute (`6000/m`) or hour (`1000/h`).
    ///
    /// # Errors
    ///
    /// Where it is none of these, or not above zero.
    pub fn rate(typed: &str) -> Result<Self, PaceError> {
        let error = || PaceError::Rate { typed: typed.to_owned() };
        let (number, unit) = typed.split_once('/').ok_or_else(error)?;
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(error()),
        };
        let count: f64 = number.parse().map_err(|_| error())?;
        positive(count / seconds, typed).map(Self::Rate)
    }
}

fn positive(number: f64, typed: &str) -> Result<f64, PaceError> {
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err(PaceError::OutOfRange { typed: typed.to_owned() }) }
}

/// A rate where there is a slash, else a speed.
impl FromStr for Pace {
    type Err = PaceError;

    fn from_str(typed: &str) -> Result<Self, PaceError> {
        if typed.contains('/') { Self::rate(typed) } else { Self::speed(typed) }
    }
}

/// As typed, rates by the second.
impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Speed(factor) => write!(f, "{factor}x"),
            Self::Max => f.write_str("max"),
            Self::Rate(rate) => write!(f, "{rate}/s"),
        }
    }
}

/// Yields the due offset of one request after another.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    first: Option<Timestamp>,
    /// The latest that was seen of this pass and believed.
    latest: Timestamp,
    /// Time since the first one: the clock may have been set in between.
    elapsed: Duration,
    /// An instant that the next one has to confirm.
    suspect: Option<Timestamp>,
    /// The latest before the clock was set, and `elapsed` then.
    returns: ReturnPoints,
    /// The clock was set back by little, and has not come to where it was.
    set_back: Option<SetBack>,
    /// Stamps of two clocks come by turns: a lag says nothing.
    are_mixed: bool,
    silences: Silences,
    /// The latest position of what is no request in this pass.
    others: Duration,
    /// Length of the passes before this one, on the capture's clock.
    before: Duration,
    even: EvenPace,
}

/// How far an even pace has come.
#[derive(Clone, Copy, Debug)]
struct EvenPace {
    /// The share of it that is this schedule's.
    share: f64,
    /// When it had that, in seconds.
    since: f64,
    /// Requests since.
    count: u64,
}

impl EvenPace {
    /// When the next request is due at this rate of all, in seconds.
    fn next(&self, rate: f64) -> f64 {
        self.since + self.count as f64 / (rate * self.share)
    }
}

impl Schedule {
    /// A schedule that has seen no request yet.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let latest = Timestamp::from_nanos(0);
        let (elapsed, others, before) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let even = EvenPace { share: 1.0, since: 0.0, count: 0 };
        let (first, suspect, returns, silences) = (None, None, ReturnPoints::none(), Silences::default());
        let (set_back, are_mixed) = (None, false);
        Self { pace, first, latest, elapsed, suspect, returns, set_back, are_mixed, silences, others, before, even }
    }

    /// With silences longer than `max_gap` shortened to that.
    #[must_use]
    pub fn shortened(mut self, max_gap: Option<Duration>) -> Self {
        self.silences = Silences::up_to(max_gap);
        self
    }

    /// The longest silence that is kept, where there is such a limit, and what was shortened to it so far. An even pace,
    /// and none, have no silences.
    #[must_use]
    pub(crate) fn shortened_gaps(&self) -> Option<(Duration, ShortenedGaps)> {
        let longest = self.silences.longest().filter(|_| matches!(self.pace, Pace::Speed(_)))?;
        Some((longest, self.silences.shortened()))
    }

    /// Returns whether requests are sent as fast as they are taken, with no due times.
    #[must_use]
    pub(crate) const fn is_max(&self) -> bool {
        matches!(self.pace, Pace::Max)
    }

    /// From the next request on an even pace is divided: this share of it, above 0 up to 1, is this schedule's.
    pub(crate) fn take_share(&mut self, share: f64) {
        if let Pace::Rate(rate) = self.pace
            && share.to_bits() != self.even.share.to_bits()
            && share > 0.0
        {
            // The last one keeps its distance to the one before; the next one has a new distance to that.
            let last = EvenPace { count: self.even.count.saturating_sub(1), ..self.even };
            self.even = EvenPace { share, since: last.next(rate), count: self.even.count.min(1) };
        }
    }

    /// Returns whether requests are evenly spaced, whatever their times.
    #[must_use]
    pub(crate) const fn is_even(&self) -> bool {
        matches!(self.pace, Pace::Rate(_))
    }

    /// How many times as fast as captured it is, where it goes by the capture's clock and all silences are kept.
    pub(crate) fn plain_speed(&self) -> Option<f64> {
        match self.pace {
            Pace::Speed(factor) if self.silences.longest().is_none() => Some(factor),
            _ => None,
        }
    }

    /// The run begins with this instant, and not with the first request.
    pub fn begin(&mut self, at: Timestamp) {
        if self.first.is_none() {
            (self.first, self.latest) = (Some(at), at);
        }
    }

    /// The same capture comes again: its first instant follows the last one that was seen, or `end` where that is later.
    pub(crate) fn next_pass(&mut self, end: Option<Timestamp>) {
        let Some(first) = self.first else { return };
        let seen = self.elapsed.max(self.others);
        self.before += end.map_or(seen, |end| end.since(first).max(seen));
        (self.latest, self.elapsed, self.suspect, self.returns) = (first, Duration::ZERO, None, ReturnPoints::none());
        (self.set_back, self.others) = (None, Duration::ZERO);
        self.silences.forget();
    }

    /// Returns the due time of the next request, captured `at`, counted from the start of the run; `None` where there
    /// is no schedule. The first request is due at once, and so is every request captured before it.
    pub fn due(&mut self, at: Timestamp) -> Option<Duration> {
        self.begin(at);
        self.heed_mixed(at);
        let position = self.position(at);
        let offset = self.in_run(position);
        self.even.count += 1;
        offset
    }

    /// Returns the due time of an event captured `at` that is not a request, and so does not change the pace: a
    /// connection's opening or end. `None` where there is no schedule, or none yet.
    pub fn offset(&mut self, at: Timestamp) -> Option<Duration> {
        self.first?;
        let position = self.position_of_other(at);
        self.others = self.others.max(position);
        self.in_run(position)
    }

    /// When what stands there in this pass is due.
    fn in_run(&self, position: Duration) -> Option<Duration> {
        let seconds = match self.pace {
            Pace::Speed(factor) => (self.before + position).as_secs_f64() / factor,
            Pace::Rate(rate) => self.even.next(rate),
            Pace::Max => return None,
        };
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(MAX_OFFSET).min(MAX_OFFSET))
    }

    /// Returns the leap where `at` is so far ahead that only later stamps can tell a silence from a stamp that is wrong.
    #[must_use]
    pub(crate) fn leap(&self, at: Timestamp) -> Option<StampLeap> {
        if self.first.is_none() || self.suspect.is_some() || !matches!(self.pace, Pace::Speed(_)) {
            return None;
        }
        let leap = StampLeap::of(self.latest, at)?;
        let may_be = at.since(self.latest) <= LONGEST_SILENCE && !self.returns.has(at);
        may_be.then(|| self.returns.widen(leap))
    }

    /// Returns by how much `at` is behind, where that may be a clock that was set back by little.
    #[must_use]
    pub(crate) fn lag(&self, at: Timestamp) -> Option<LagBehind> {
        let may_be = self.first.is_some() && self.suspect.is_none() && self.set_back.is_none() && !self.are_mixed;
        (may_be && matches!(self.pace, Pace::Speed(_))).then(|| LagBehind::of(self.latest, at))?
    }

    /// Returns by how much the latest stamp is behind `at`, where that may be a stamp that is wrong by little.
    pub(crate) fn lead(&self, at: Timestamp) -> Option<LagBehind> {
        let may_be = self.first.is_some() && self.suspect.is_none() && !self.are_mixed;
        (may_be && matches!(self.pace, Pace::Speed(_))).then(|| LagBehind::of(at, self.latest))?
    }

    /// The latest stamp of a request that is believed.
    pub(crate) const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// The capture's clock was set back by little, to `at`: no time has passed.
    pub(crate) fn set_back(&mut self, at: Timestamp) {
        self.set_back = Some(SetBack { latest: self.latest, elapsed: self.elapsed, lag: self.latest.since(at) });
        self.latest = at;
        self.silences.forget();
    }

    /// Where a stamp is back at once where the clock was before it was set back, it was not: two clocks come by turns.
    fn heed_mixed(&mut self, at: Timestamp) {
        let Some(back) = self.set_back.take_if(|back| at >= back.latest) else { return };
        if back.is_left_at_once(self.latest, at) {
            self.are_mixed = true;
            self.elapsed = self.elapsed.max(back.elapsed);
            self.latest = back.latest;
        }
    }

    /// The capture's clock was set to `at`: no time has passed.
    pub(crate) fn set(&mut self, at: Timestamp) {
        self.returns.add(self.latest, self.elapsed);
        self.latest = at;
        self.silences.forget();
    }

    /// Returns the time between the first instant of this pass and this one. Where the capture's clock was set, it continues from
    /// the instant before; a single stamp never causes a wait, and what follows a few goes on from before them.
    fn position(&mut self, at: Timestamp) -> Duration {
        if self.suspect.take().is_some_and(|suspect| is_near(at, suspect)) {
            self.set(at);
            return self.elapsed;
        }
        let (ahead, behind) = (at.since(self.latest), self.latest.since(at));
        if (ahead > LAG || behind > LAG)
            && let Some((stamp, elapsed)) = self.returns.take(at)
        {
            self.latest = at.max(stamp);
            self.elapsed = self.elapsed.max(elapsed + at.since(stamp));
            return self.elapsed;
        }
        if behind > LAG || ahead > LONGEST_SILENCE {
            self.suspect = Some(at);
            return self.elapsed;
        }
        if self.silences.is_none_by(at) {
            // No time passes: it has, up to the stamp that was ahead.
            self.latest = at;
            return self.elapsed;
        }
        if ahead > Duration::ZERO {
            self.elapsed += self.silences.pass(self.latest, at);
            self.latest = at;
            self.returns.expire(self.elapsed);
        }
        self.elapsed.saturating_sub(behind)
    }

    /// The same for what is no request: it takes the clock along nowhere.
    fn position_of_other(&self, at: Timestamp) -> Duration {
        let (ahead, behind) = (at.since(self.latest), self.latest.since(at));
        if ahead > LAG || behind > LAG {
            if let Some((stamp, elapsed)) = self.returns.at(at) {
                return self.elapsed.max(elapsed + at.since(stamp));
            }
            if behind > LAG || ahead > LONGEST_SILENCE {
                return self.elapsed;
            }
        }
        (self.elapsed + self.silences.in_run(ahead)).saturating_sub(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(pace: &str, at_ms: &[u64]) -> Vec<Option<u128>> {
        let mut schedule = Schedule::new(pace.parse().unwrap());
        at_ms
            .iter()
            .map(|ms| schedule.due(Timestamp::from_nanos(1_795_291_200_000_000_000 + ms * 1_000_000)))
            .map(|due| due.map(|due| due.as_micros()))
            .collect()
    }

    #[test]
    fn a_speed_divides_the_time_since_the_first_request() {
        let at = [1000, 1100, 1350, 900, 61_000];
        assert_eq!(dues("1x", &at), [0, 100_000, 350_000, 0, 60_000_000].map(Some));
        assert_eq!(dues("2x", &at), [0, 50_000, 175_000, 0, 30_000_000].map(Some));
        assert_eq!(dues("0.5x", &at), [0, 200_000, 700_000, 0, 120_000_000].map(Some));
    }

    #[test]
    fn a_rate_spaces_requests_evenly_whatever_their_times() {
        assert_eq!(dues("100/s", &[0, 0, 9000, 1]), [0, 10_000, 20_000, 30_000].map(Some));
        assert_eq!(dues("6000/m", &[0, 0]), [0, 10_000].map(Some));
        assert_eq!(dues("0.5/s", &[0, 0, 0]), [0, 2_000_000, 4_000_000].map(Some));
    }

    #[test]
    fn shares_of_an_even_pace_are_the_whole_together() {
        let mut dues: Vec<u128> = Vec::new();
        let shares = [[0.25, 0.5], [0.75, 0.5]];
        for [first, then] in shares {
            let mut schedule = Schedule::new("100/s".parse().unwrap());
            schedule.take_share(first);
            while let Some(due) = schedule.due(Timestamp::from_nanos(1)).filter(|due| due.as_secs() < 20) {
                dues.push(due.as_millis());
                schedule.take_share(if due.as_secs() < 8 { first } else { then });
                schedule.take_share(0.0);
            }
        }
        for second in 0..20 {
            let count = dues.iter().filter(|due| **due / 1000 == second).count();
            assert!((99..=101).contains(&count), "{count} in second {second}");
        }
    }

    #[test]
    fn what_is_no_request_is_due_by_the_same_clock_and_changes_nothing() {
        let at = |ms: u64| Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000);
        let mut schedule = Schedule::new("2x".parse().unwrap());
        assert_eq!(schedule.offset(at(0)), None);
        schedule.due(at(0));
        assert_eq!(schedule.offset(at(100)), Some(Duration::from_millis(50)));
        let mut even = Schedule::new("10/s".parse().unwrap());
        even.due(at(0));
        assert_eq!(even.offset(at(5)), Some(Duration::from_millis(100)));
        assert_eq!(even.due(at(9)), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_clock_that_is_set_keeps_the_pace() {
        for step in [-63_000_000_000, -3_600_000, -600_000, 90_000_000, 63_000_000_000_i64] {
            let set = |ms: u64| (100_000_000_000 + ms).saturating_add_signed(step);
            let at = [100_000_000_000, 100_000_000_100, set(200), set(300), set(400)];
            assert_eq!(dues("1x", &at), [0, 100_000, 100_000, 100_000, 200_000].map(Some), "{step}");
        }
    }

    #[test]
    fn a_longer_silence_than_is_wanted_is_shortened() {
        let at = |seconds: u64| Timestamp::from_nanos((1_000_000 + seconds) * 1_000_000_000);
        let mut schedule = Schedule::new("2x".parse().unwrap()).shortened(Some(Duration::from_secs(10)));
        let dues: Vec<_> =
            [0, 4, 3600, 3604, 40_000].map(|seconds| schedule.due(at(seconds)).unwrap().as_secs()).into();
        assert_eq!(dues, [0, 2, 7, 9, 14]);
        let left_out = Duration::from_secs(3600 - 4 - 10 + 40_000 - 3604 - 10);
        assert_eq!(schedule.shortened_gaps(), Some((Duration::from_secs(10), ShortenedGaps { count: 2, left_out })));
    }

    #[test]
    fn a_silence_that_was_none_is_not_shortened_and_what_follows_keeps_its_pace() {
        let check = |stamps: &[u64], expected: &[u64], count| {
            let mut schedule = Schedule::new(Pace::default()).shortened(Some(Duration::from_secs(1)));
            let at = |ms: &u64| Timestamp::from_nanos((1_000_000_000 + ms) * 1_000_000);
            let dues: Vec<u128> = stamps.iter().map(|ms| schedule.due(at(ms)).unwrap().as_millis()).collect();
            assert_eq!(dues, expected.iter().map(|ms| u128::from(*ms)).collect::<Vec<_>>(), "{stamps:?}");
            assert_eq!(schedule.shortened_gaps().unwrap().1.count, count, "{stamps:?}");
        };
        // One stamp that is wrong, 8 s ahead.
        check(&[0, 500, 8_500, 1_000, 1_500, 2_000, 9_000], &[0, 500, 1_500, 1_500, 2_000, 2_500, 3_500], 1);
        // One that was held up, behind a silence.
        check(&[0, 500, 8_500, 600, 8_600, 8_700], &[0, 500, 1_500, 1_500, 1_600, 1_700], 1);
        // Two clocks by turns.
        check(&[0, 3_000, 100, 3_100, 200, 3_200, 300], &[0, 1_000, 1_000, 1_100, 1_100, 1_200, 1_200], 0);
    }

    #[test]
    fn what_is_no_request_takes_the_clock_along_nowhere() {
        let at = |ms: u64| Timestamp::from_nanos(1_000_000_000_000 + ms * 1_000_000);
        let ms = |ms| Some(Duration::from_millis(ms));
        let mut schedule = Schedule::new(Pace::default());
        schedule.due(at(0));
        assert_eq!((schedule.offset(at(8_000)), schedule.offset(at(100))), (ms(8_000), ms(100)));
        assert_eq!((schedule.due(at(200)), schedule.offset(at(150))), (ms(200), ms(150)));
        schedule.next_pass(None);
        assert_eq!(schedule.due(at(0)), ms(8_000), "a pass is as long as all that is in it");
    }

    #[test]
    fn a_step_of_the_clock_and_an_even_pace_shorten_nothing() {
        let at = |seconds: u64| Timestamp::from_nanos((1_000_000 + seconds) * 1_000_000_000);
        let limit = Some(Duration::from_secs(10));
        let mut schedule = Schedule::new(Pace::default()).shortened(limit);
        for seconds in [0, 4, 200_000, 200_004] {
            schedule.due(at(seconds));
        }
        assert_eq!(schedule.shortened_gaps().unwrap().1, ShortenedGaps::default());
        for (pace, limit) in [("100/s", limit), ("max", limit), ("1x", None)] {
            let mut schedule = Schedule::new(pace.parse().unwrap()).shortened(limit);
            for seconds in [0, 3600] {
                schedule.due(at(seconds));
            }
            assert_eq!(schedule.shortened_gaps(), None, "{pace}");
        }
    }

    #[test]
    fn one_false_stamp_is_not_waited_for() {
        for false_one in [31_536_000_000, 315_360_000_000, 0] {
            let at = [100_000_000, 100_000_100, false_one, 100_000_200, 100_000_300].map(|ms| ms + 50_000_000);
            assert_eq!(dues("1x", &at), [0, 100_000, 100_000, 200_000, 300_000].map(Some), "{false_one}");
        }
    }

    #[test]
    fn a_few_false_stamps_are_not_waited_for() {
        for step in [-20_000, -3_600_000, 100_000_000, -100_000_000_i64] {
            let set = |ms: u64| (500_000_000 + ms).saturating_add_signed(step);
            let at = [500_000_000, 500_000_100, set(200), set(250), set(300), 500_000_400, 500_000_900];
            assert_eq!(dues("1x", &at), [0, 100_000, 100_000, 100_000, 150_000, 400_000, 900_000].map(Some), "{step}");
        }
    }

    #[test]
    fn a_clock_that_is_wrong_in_several_ways_comes_back() {
        let hour = 3_600_000;
        let at = [0, 100, hour + 200, hour + 250, 2 * hour + 300, 4 * hour, 4 * hour + 50, 400, 900];
        let mut schedule = Schedule::new(Pace::default());
        let found = at.map(|ms| {
            let at = Timestamp::from_nanos(1_795_291_200_000_000_000 + ms * 1_000_000);
            if schedule.leap(at).is_some() {
                schedule.set(at);
            }
            schedule.due(at).unwrap().as_millis()
        });
        assert_eq!(found, [0, 100, 100, 150, 150, 150, 200, 400, 900]);
        let at = |ms: i64| 500_000_000_u64.saturating_add_signed(ms);
        let (ahead, back) = (100_000_000, -3_600_000);
        let steps = [0, 100, ahead, ahead + 10, back, back + 20, 400, 900].map(at);
        assert_eq!(dues("1x", &steps), [0, 100, 100, 100, 100, 100, 400, 900].map(|ms| Some(ms * 1000)));
    }

    #[test]
    fn a_leap_is_a_silence_unless_the_clock_comes_back() {
        let at = |ms: u64| Timestamp::from_nanos(1_795_291_200_000_000_000 + ms * 1_000_000);
        let mut schedule = Schedule::new(Pace::default());
        assert!(schedule.leap(at(0)).is_none(), "it has not begun");
        schedule.due(at(0));
        schedule.due(at(100));
        assert!(schedule.leap(at(10_050)).is_none() && schedule.leap(at(90_000_000)).is_none());
        let leap = schedule.leap(at(7_200_200)).unwrap();
        for (later, comes_back) in
            [(300, true), (40_000, true), (7_200_300, false), (7_195_000, false), (61_000, false)]
        {
            assert_eq!(leap.is_wrong_by(at(later)), comes_back, "{later}");
        }
        schedule.set(at(7_200_200));
        let dues = [7_200_200, 7_200_250, 300, 500].map(|ms| schedule.due(at(ms)).unwrap().as_millis());
        assert_eq!(dues, [100, 150, 300, 500]);
        assert!([Pace::Max, Pace::Rate(5.0)].iter().all(|pace| Schedule::new(*pace).leap(at(7_200_200)).is_none()));
    }

    #[test]
    fn a_second_pass_begins_where_the_first_ended() {
        let at = |ms: u64| Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000);
        let ms = |ms| Some(Duration::from_millis(ms));
        let mut schedule = Schedule::new("2x".parse().unwrap());
        assert_eq!((schedule.due(at(100)), schedule.due(at(300)), schedule.offset(at(500))), (ms(0), ms(100), ms(200)));
        schedule.next_pass(None);
        assert_eq!((schedule.due(at(100)), schedule.due(at(300))), (ms(200), ms(300)));
        schedule.next_pass(Some(at(1100)));
        assert_eq!(schedule.due(at(100)), ms(200 + 500));
    }

    #[test]
    fn a_run_that_begins_before_its_first_request_waits_for_it() {
        let at = |ms: u64| Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000);
        let mut schedule = Schedule::new(Pace::default());
        schedule.begin(at(0));
        assert_eq!(schedule.due(at(70)), Some(Duration::from_millis(70)));
    }

    #[test]
    fn the_highest_speed_has_no_schedule() {
        assert_eq!(dues("max", &[0, 5]), [None, None]);
    }

    #[test]
    fn rounding_does_not_add_up() {
        let mut schedule = Schedule::new(Pace::Rate(3.0));
        for _ in 0..3_000_000 {
            schedule.due(Timestamp::from_nanos(0));
        }
        assert_eq!(schedule.due(Timestamp::from_nanos(0)), Some(Duration::from_secs(1_000_000)));
    }

    #[test]
    fn absurd_offsets_stop_at_the_limit() {
        let mut schedule = Schedule::new(Pace::Speed(f64::MIN_POSITIVE));
        assert_eq!(schedule.due(Timestamp::from_nanos(0)), Some(Duration::ZERO));
        assert_eq!(schedule.due(Timestamp::from_nanos(1)), Some(MAX_OFFSET));
        assert_eq!(schedule.due(Timestamp::from_nanos(u64::MAX)), Some(MAX_OFFSET));
    }

    #[test]
    fn paces_are_read_and_printed() {
        for (typed, pace) in [
            ("1x", Pace::Speed(1.0)),
            ("0.5x", Pace::Speed(0.5)),
            ("max", Pace::Max),
            ("100/s", Pace::Rate(100.0)),
            ("0.5/s", Pace::Rate(0.5)),
        ] {
            assert_eq!(typed.parse(), Ok(pace));
            assert_eq!(pace.to_string(), typed);
        }
        assert_eq!("6000/m".parse(), Ok(Pace::Rate(100.0)));
    }

    #[test]
    fn what_is_no_pace_is_refused_with_advice() {
        for typed in ["2", "x", "", "50%", "fast", "MAX"] {
            assert!(Pace::speed(typed).unwrap_err().to_string().contains("write 2x"), "{typed}");
        }
        for typed in ["100", "100/", "/s", "a/s", "100/day", "2x"] {
            assert!(Pace::rate(typed).unwrap_err().to_string().contains("write 100/s"), "{typed}");
        }
        for typed in ["0x", "-1x", "infx", "NaNx", "0/s", "-5/s", "1e999/s"] {
            assert!(typed.parse::<Pace>().unwrap_err().to_string().contains("more than zero"), "{typed}");
        }
    }
}
