//! When a request is due: capture times go in, offsets from the start of the run come out.
//!
//! There is no clock and no wait here: whoever sends compares the offsets with a clock of their own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::exchange::Timestamp;

/// Latest offset that a schedule yields: what would be due later (a clock that jumped, a tiny rate) is due then. Far
/// past any run, and small enough to be added to any instant.
pub const MAX_OFFSET: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How the times of sending follow from the times of capture.
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

/// Why something typed is no pace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaceError {
    /// Neither a factor nor `max`.
    #[error("`{typed}` is not a speed; write 2x for twice as fast, 0.5x for half as fast, or max")]
    Speed {
        /// What was typed.
        typed: String,
    },
    /// No number over a unit of time.
    #[error("`{typed}` is not a rate; write 100/s for a hundred requests a second, or 6000/m for as many a minute")]
    Rate {
        /// What was typed.
        typed: String,
    },
    /// Zero, negative or endless.
    #[error("`{typed}`: a pace is more than zero, and finite; as fast as possible is --speed max")]
    OutOfRange {
        /// What was typed.
        typed: String,
    },
}

impl Pace {
    /// What `--speed` takes: `0.5x`, `2x`, `max`.
    pub fn speed(typed: &str) -> Result<Self, PaceError> {
        if typed == "max" {
            return Ok(Self::Max);
        }
        let number = typed.strip_suffix('x').and_then(|number| number.parse().ok());
        let factor = number.ok_or_else(|| PaceError::Speed { typed: typed.to_owned() })?;
        positive(factor, typed).map(Self::Speed)
    }

    /// What `--rate` takes: requests a second (`100/s`), minute (`6000/m`) or hour (`1000/h`).
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
    /// The latest that was seen of this pass.
    latest: Timestamp,
    /// How long the passes before this one took, on the capture's clock.
    before: Duration,
    count: u64,
}

impl Schedule {
    /// A schedule that has seen no request yet.
    #[must_use]
    pub const fn new(pace: Pace) -> Self {
        Self { pace, first: None, latest: Timestamp::from_nanos(0), before: Duration::ZERO, count: 0 }
    }

    /// Whether nothing is ever due: requests are sent as fast as they are taken.
    #[must_use]
    pub const fn is_max(&self) -> bool {
        matches!(self.pace, Pace::Max)
    }

    /// The run begins with this instant, and not with the first request.
    pub fn begin(&mut self, at: Timestamp) {
        self.first.get_or_insert(at);
    }

    /// The same capture comes again: its first instant follows the last one that was seen, or `end` where that is later.
    pub fn next_pass(&mut self, end: Option<Timestamp>) {
        let Some(first) = self.first else { return };
        self.before += end.map_or(self.latest, |end| end.max(self.latest)).since(first);
        self.latest = first;
    }

    /// When the next request, captured `at`, is due, counted from the start of the run; `None` where there is no
    /// schedule. The first one is due at once, and so is what was captured before it.
    pub fn due(&mut self, at: Timestamp) -> Option<Duration> {
        self.first.get_or_insert(at);
        let offset = self.offset(at);
        self.count += 1;
        offset
    }

    /// When something captured `at` is due that is no request, and so changes nothing of the pace: a connection's
    /// opening or end. `None` where there is no schedule, or none yet.
    pub fn offset(&mut self, at: Timestamp) -> Option<Duration> {
        self.latest = self.latest.max(at);
        let seconds = match self.pace {
            Pace::Speed(factor) => (self.before + at.since(self.first?)).as_secs_f64() / factor,
            Pace::Rate(rate) => self.count as f64 / rate,
            Pace::Max => return None,
        };
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(MAX_OFFSET).min(MAX_OFFSET))
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
