//! Replayed range of a capture, number of passes, and number of copies of each session.
//!
//! There is no clock here and no event: a [`CaptureWindow`] and the beginning of a capture make a [`CaptureSpan`], a
//! number of a connection makes copies and their delays.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::exchange::Timestamp;

/// Most sessions that one may become: past it a capture with more users in it is what is wanted.
pub(crate) const MAX_AMPLIFY: f64 = 1000.0;
/// Longest delay of copies after the original, on the capture's clock: long enough that a response made for the
/// original has left most short caches, short enough that copies meet the load of the same moment.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(1);
/// Longest time before a capture's beginning at which a time of day still counts as one of the same day.
const SAME_DAY: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Replayed part of a capture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplayRange {
    /// Window of the capture.
    pub window: CaptureWindow,
    /// Number of passes: 1 for once. At least 1.
    pub passes: u32,
    /// Number of copies of each session.
    pub amplify: Amplify,
    /// True where all connections of a client are one session, and their copies shift together.
    pub by_client: bool,
}

impl Default for ReplayRange {
    /// All of it, once.
    fn default() -> Self {
        Self { window: CaptureWindow::default(), passes: 1, amplify: Amplify::default(), by_client: false }
    }
}

/// A moment in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This long after its beginning.
    After(Duration),
    /// This instant.
    At(Timestamp),
    /// This time of day in UTC, counted from midnight.
    OfDay(Duration),
}

/// A part of a capture, as it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureWindow {
    /// Its first moment.
    pub from: Option<Moment>,
    /// The first moment after it.
    pub until: Option<Moment>,
}

/// A part of a capture whose beginning is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureSpan {
    /// Its first instant; none where it begins with the capture.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
}

impl CaptureWindow {
    /// The part of a capture that began then. A time of day is the first one from an hour before the beginning on, or,
    /// for the end, the first one after the part's own beginning.
    #[must_use]
    pub fn of(self, began: Timestamp) -> CaptureSpan {
        let earliest = Timestamp::from_nanos(began.nanos().saturating_sub(nanos(SAME_DAY)));
        let from = self.from.map(|moment| moment.of(began, earliest));
        let until = self.until.map(|moment| moment.of(began, from.unwrap_or(began)));
        // What lies before the capture is not waited for.
        CaptureSpan { from: from.filter(|from| *from > began), until }
    }

    /// Returns whether the window is empty, as far as that is known without the capture.
    #[must_use]
    pub fn is_empty(self) -> bool {
        match (self.from, self.until) {
            (Some(Moment::After(from)), Some(Moment::After(until))) => until <= from,
            (Some(Moment::At(from)), Some(Moment::At(until))) => until <= from,
            (_, Some(Moment::After(until))) => until.is_zero(),
            _ => false,
        }
    }
}

impl Moment {
    /// The instant in a capture that began then; a time of day is the first one after `earliest`.
    fn of(self, began: Timestamp, earliest: Timestamp) -> Timestamp {
        match self {
            Self::After(offset) => began.plus(offset),
            Self::At(instant) => instant,
            Self::OfDay(time) => {
                let midnight = Timestamp::from_nanos(earliest.nanos() - earliest.nanos() % nanos(DAY));
                let today = midnight.plus(time);
                if today > earliest { today } else { today.plus(DAY) }
            }
        }
    }
}

impl CaptureSpan {
    /// Returns the position of an instant.
    #[must_use]
    pub fn side(&self, at: Timestamp) -> SpanPosition {
        if self.from.is_some_and(|from| at < from) {
            SpanPosition::Before
        } else if self.until.is_some_and(|until| at >= until) {
            SpanPosition::After
        } else {
            SpanPosition::Within
        }
    }
}

/// Position of an instant relative to a [`CaptureSpan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanPosition {
    /// Before it.
    Before,
    /// In it.
    Within,
    /// After it.
    After,
}

/// Number of sessions that one becomes; with 1.5 half of them become two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amplify(f64);

impl Default for Amplify {
    /// Each stays one.
    fn default() -> Self {
        Self(1.0)
    }
}

impl Amplify {
    /// Returns whether there are no copies.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 <= 1.0
    }

    /// Returns the number of copies of this session, the original not included. A session with a copy at 1.5x has it at
    /// 1.7x, too.
    #[must_use]
    pub fn copies(self, session: u64) -> u32 {
        let copies = self.0 - 1.0;
        let rest = share(session, 0) < copies.fract();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most MAX_AMPLIFY, not negative"
        )]
        let whole = copies as u32;
        whole + u32::from(rest)
    }

    /// Returns the delay of a whole copy after its original, on the capture's clock: up to `MAX_DELAY`, and always
    /// the same for the same copy of the same session.
    #[must_use]
    pub fn delay(session: u64, copy: u32) -> Duration {
        MAX_DELAY.mul_f64(share(session, u64::from(copy)))
    }
}

/// Something between 0 and 1 that looks random, and is the same wherever it is asked for.
fn share(session: u64, which: u64) -> f64 {
    xxh3_64_with_seed(&session.to_le_bytes(), which) as f64 / 2f64.powi(64)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Error of a typed factor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{typed}` is no factor for sessions; write 3x for three of each, or 1.5x for one more of every second; at most \
     {MAX_AMPLIFY}x"
)]
pub struct AmplifyError {
    typed: String,
}

/// `3x`, `1.5x`.
impl FromStr for Amplify {
    type Err = AmplifyError;

    fn from_str(typed: &str) -> Result<Self, AmplifyError> {
        let number = typed.strip_suffix('x').and_then(|number| number.parse::<f64>().ok());
        let factor = number.filter(|factor| (1.0..=MAX_AMPLIFY).contains(factor));
        factor.map(Self).ok_or_else(|| AmplifyError { typed: typed.to_owned() })
    }
}

impl fmt::Display for Amplify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(typed: &str) -> Timestamp {
        format!("{typed}Z").parse().unwrap()
    }

    fn of_day(hours: u64, minutes: u64) -> Moment {
        Moment::OfDay(Duration::from_secs(hours * 3600 + minutes * 60))
    }

    /// The span of a capture that began then, as instants; empty where there is no bound.
    fn check(window: CaptureWindow, began: &str, from: &str, until: &str) {
        let bound = |typed: &str| (!typed.is_empty()).then(|| at(typed));
        assert_eq!(window.of(at(began)), CaptureSpan { from: bound(from), until: bound(until) }, "{window:?}");
    }

    #[test]
    fn a_window_is_counted_from_the_beginning_or_by_the_clock() {
        let began = "2026-11-21T19:58:00";
        let minutes = |n: u64| Some(Moment::After(Duration::from_secs(n * 60)));
        check(CaptureWindow::default(), began, "", "");
        check(
            CaptureWindow { from: minutes(10), until: minutes(12) },
            began,
            "2026-11-21T20:08:00",
            "2026-11-21T20:10:00",
        );
        let instant = Some(Moment::At(at("2026-11-21T20:00:00")));
        check(CaptureWindow { from: instant, until: None }, began, "2026-11-21T20:00:00", "");
        check(
            CaptureWindow { from: Some(of_day(20, 0)), until: Some(of_day(21, 0)) },
            began,
            "2026-11-21T20:00:00",
            "2026-11-21T21:00:00",
        );
    }

    #[test]
    fn a_time_of_day_is_of_the_night_in_which_the_capture_was_made() {
        let began = "2026-11-21T22:30:00";
        check(
            CaptureWindow { from: Some(of_day(23, 0)), until: Some(of_day(0, 30)) },
            began,
            "2026-11-21T23:00:00",
            "2026-11-22T00:30:00",
        );
        check(
            CaptureWindow { from: Some(of_day(1, 0)), until: Some(of_day(2, 0)) },
            began,
            "2026-11-22T01:00:00",
            "2026-11-22T02:00:00",
        );
        check(CaptureWindow { from: Some(of_day(22, 0)), until: None }, began, "", "");
    }

    #[test]
    fn a_window_that_nothing_can_be_in_is_known() {
        let after = |s| Some(Moment::After(Duration::from_secs(s)));
        assert!(CaptureWindow { from: after(5), until: after(5) }.is_empty());
        assert!(CaptureWindow { from: None, until: after(0) }.is_empty());
        assert!(!CaptureWindow { from: after(5), until: after(6) }.is_empty());
        assert!(!CaptureWindow { from: Some(of_day(23, 0)), until: Some(of_day(1, 0)) }.is_empty());
    }

    #[test]
    fn whole_factors_copy_every_session_and_fractions_some() {
        let copies = |typed: &str| -> Vec<u32> {
            let amplify: Amplify = typed.parse().unwrap();
            (1..=10_000).map(|n| amplify.copies(n)).collect()
        };
        assert!(copies("1x").iter().all(|copies| *copies == 0));
        assert!(copies("3x").iter().all(|copies| *copies == 2));
        let (half, more) = (copies("1.5x"), copies("1.7x"));
        let sum: u32 = half.iter().sum();
        assert!((4_800..5_200).contains(&sum), "{sum}");
        assert!(half.iter().zip(&more).all(|(half, more)| half <= more), "what has a copy keeps it");
        assert!(copies("2.5x").iter().all(|copies| (1..=2).contains(copies)));
    }

    #[test]
    fn copies_come_later_each_by_a_time_of_its_own() {
        let delays: Vec<Duration> = (1..=50).map(|copy| Amplify::delay(7, copy)).collect();
        assert!(delays.iter().all(|delay| *delay < MAX_DELAY));
        let early = delays.iter().filter(|delay| **delay < MAX_DELAY / 2).count();
        assert!((15..35).contains(&early), "{early}");
        assert_eq!(delays[0], Amplify::delay(7, 1));
    }

    #[test]
    fn what_is_no_factor_is_refused() {
        for typed in ["", "3", "0.5x", "x", "-1x", "NaNx", "infx", "1001x"] {
            assert!(typed.parse::<Amplify>().unwrap_err().to_string().contains("write 3x"), "{typed}");
        }
        assert_eq!("1.5x".parse::<Amplify>().unwrap().to_string(), "1.5x");
    }
}
