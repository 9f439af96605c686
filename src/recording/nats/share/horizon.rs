//! How far ahead of their times events are handed on.
//!
//! What is handed on waits in order. A partition that is taken later begins before what waits by then: so little waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exchange::Timestamp;
use crate::recording::session::ScheduleZero;

/// Time before an event is due from which on it is handed on: a connection may have been opened that long before its request.
const AHEAD: Duration = Duration::from_secs(1);

/// Events that may be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Horizon {
    /// None, before this member holds its share: those who come first do not run ahead.
    Nothing,
    /// Whether they have times is known once the first request has been looked at: no further one before that.
    First,
    /// Those of the capture up to this time.
    Until(Timestamp),
    All,
}

impl Horizon {
    /// Returns whether an event of this time is within it, where so many requests are on their way.
    pub(super) fn has(self, at: Timestamp, on_way: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::First => on_way == 0,
            Self::Until(last) => at <= last,
            Self::All => true,
        }
    }
}

/// What is known of the schedule.
#[derive(Debug, Default)]
enum Known {
    #[default]
    Nothing,
    NoTimes,
    Zero {
        zero: ScheduleZero,
        speed: f64,
        stood_still: Duration,
    },
}

/// The horizon, as the run goes on.
#[derive(Debug, Default)]
pub(super) struct MovingHorizon {
    known: Mutex<Known>,
    is_settled: AtomicBool,
}

impl MovingHorizon {
    /// This member holds its share, or all that is to be had of it.
    pub(super) fn settle(&self) {
        self.is_settled.store(true, Ordering::Relaxed);
    }

    /// The schedule begins there, and the run had stood still for so long by then.
    pub(super) fn goes_by(&self, zero: ScheduleZero, speed: f64, stood_still: Duration) {
        *self.lock() = Known::Zero { zero, speed, stood_still };
    }

    /// Events have no times of their own.
    pub(super) fn is_off(&self) {
        *self.lock() = Known::NoTimes;
    }

    /// Where it is `now`; the run has stood still for so long.
    pub(super) fn at(&self, now: Timestamp, stood_still: Duration) -> Horizon {
        match &*self.lock() {
            _ if !self.is_settled.load(Ordering::Relaxed) => Horizon::Nothing,
            Known::Nothing => Horizon::First,
            Known::NoTimes => Horizon::All,
            Known::Zero { zero, speed, stood_still: before } => {
                let paused = stood_still.saturating_sub(*before);
                let gone = (now.since(zero.wall) + AHEAD).saturating_sub(paused + zero.wall.since(now));
                // A time past all that a capture may have.
                let of_capture = Duration::try_from_secs_f64(gone.as_secs_f64() * speed).unwrap_or(Duration::MAX);
                Horizon::Until(zero.capture.plus(of_capture))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn it_goes_with_the_schedule_and_stands_still_with_it() {
        let horizon = MovingHorizon::default();
        assert_eq!(horizon.at(at(100), Duration::ZERO), Horizon::Nothing);
        horizon.settle();
        assert_eq!(horizon.at(at(100), Duration::ZERO), Horizon::First);
        let second = Duration::from_secs(1);
        horizon.goes_by(ScheduleZero { capture: at(1000), wall: at(100) }, 2.0, second);
        let until = |now, stood_still| match horizon.at(at(now), stood_still) {
            Horizon::Until(until) => until.nanos() / 1_000_000_000,
            other => panic!("{other:?}"),
        };
        assert_eq!([until(100, second), until(103, second), until(103, second * 3)], [1002, 1008, 1004]);
        assert_eq!([until(98, second), until(101, second * 9)], [1000, 1000], "it begins later");
        assert!(Horizon::Until(at(3)).has(at(3), 9) && !Horizon::Until(at(3)).has(at(4), 0));
        assert!(Horizon::First.has(at(9), 0) && !Horizon::First.has(at(9), 1));
        horizon.is_off();
        assert!(horizon.at(at(0), Duration::ZERO).has(at(u64::from(u32::MAX)), 9));
    }
}
