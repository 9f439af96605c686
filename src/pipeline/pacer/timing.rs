//! Due times of captured events, on the clock of this run.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::Timestamp;
use crate::pipeline::clock::wall_clock;
use crate::pipeline::passes::KnownSpan;
use crate::recording::{ScheduleZero, StoreSession};
use crate::replay::pace::MAX_OFFSET;
use crate::replay::{LagBehind, Pace, Schedule, ShortenedGaps, StampLeap};

/// Rule for the due times of requests.
pub(in crate::pipeline) enum Timing {
    /// As their capture times and a pace say.
    Paced {
        schedule: Box<Schedule>,
        /// Time of the first request: due times count from here.
        begun: Option<Instant>,
        /// Range of the capture that is replayed.
        span: KnownSpan,
        /// Current pass over the capture.
        pass: u32,
        /// What the run is in the store that it shares with others.
        fleet: Option<Arc<dyn StoreSession>>,
        /// When the next request came, where it had to be waited for.
        waited: Option<Instant>,
    },
    /// They are due as soon as the capture has them: no event has a time of its own.
    Live,
}

impl Timing {
    /// Due times as `pace` has them.
    pub(in crate::pipeline) fn paced(pace: Pace, max_gap: Option<Duration>, span: KnownSpan) -> Self {
        let schedule = Box::new(Schedule::new(pace).shortened(max_gap));
        Self::Paced { schedule, begun: None, span, pass: 1, fleet: None, waited: None }
    }

    /// The same, with others who keep the same schedule: they begin together, and an even pace is that of all.
    pub(in crate::pipeline) fn together(mut self, with: Option<Arc<dyn StoreSession>>) -> Self {
        if let Self::Paced { fleet, .. } = &mut self {
            *fleet = with;
        }
        self
    }

    pub(in crate::pipeline) fn due(&mut self, at: Timestamp) -> Option<Instant> {
        match self {
            Self::Paced { schedule, begun, span, fleet, waited, .. } => {
                let fleet = fleet.as_deref();
                let begun = begun.get_or_insert_with(|| begin(schedule, span, fleet, at));
                if let Some(fleet) = fleet {
                    schedule.take_share(fleet.share());
                }
                let due = *begun + schedule.due(at)?;
                let came = waited.take().filter(|_| fleet.is_some() && schedule.is_even());
                let late = came.map_or(Duration::ZERO, |came| came.saturating_duration_since(due));
                *begun += late;
                Some(due + late)
            }
            Self::Live => None,
        }
    }

    /// Nothing was there to be paced until this instant, pauses left out. Out of a store, where the recording may go on, or
    /// the server have been away, an even pace goes on from there: nothing is made up for faster than was asked.
    pub(super) const fn waited_until(&mut self, now: Instant) {
        if let Self::Paced { waited, .. } = self {
            *waited = Some(now);
        }
    }

    /// Returns when a request is due that leaves for its targets, and how long the capture took to bring it there. Live it
    /// is due now: what the capture takes is nothing that a user of the target would feel.
    pub(super) fn leave(&self, at: Timestamp, due: Option<Instant>) -> (Option<Instant>, Option<Duration>) {
        match self {
            Self::Paced { .. } => (due, None),
            Self::Live => (Some(Instant::now()), Some(wall_clock().since(at))),
        }
    }

    /// Moves on to this pass, where it is later than the current one.
    pub(in crate::pipeline) fn reach(&mut self, of: u32) {
        if let Self::Paced { schedule, span, pass, .. } = self
            && *pass < of
        {
            schedule.next_pass(span.get().and_then(|span| span.until));
            *pass = of;
        }
    }

    /// Returns the leap where `at` is far ahead, and later ones may show that the capture's clock was wrong.
    /// Members of a fleet go by the stamps as they are.
    pub(in crate::pipeline) fn leap(&mut self, at: Timestamp) -> Option<StampLeap> {
        match self {
            Self::Paced { schedule, fleet: None, span, .. } => {
                if let Some(from) = span.get().and_then(|span| span.from) {
                    schedule.begin(from);
                }
                schedule.leap(at)
            }
            Self::Paced { .. } | Self::Live => None,
        }
    }

    /// Returns by how much `at` is behind, where later stamps may show that the capture's clock was set back by little.
    pub(super) fn lag(&self, at: Timestamp) -> Option<LagBehind> {
        match self {
            Self::Paced { schedule, fleet: None, .. } => schedule.lag(at),
            Self::Paced { .. } | Self::Live => None,
        }
    }

    /// Returns by how much the latest stamp is behind `at`, where later stamps may show that `at` is wrong; and that stamp.
    pub(super) fn lead(&self, at: Timestamp) -> Option<(LagBehind, Timestamp)> {
        match self {
            Self::Paced { schedule, fleet: None, .. } => Some((schedule.lead(at)?, schedule.latest())),
            Self::Paced { .. } | Self::Live => None,
        }
    }

    /// The capture's clock was set back by little, to `at`.
    pub(in crate::pipeline) fn set_back(&mut self, at: Timestamp) {
        if let Self::Paced { schedule, .. } = self {
            schedule.set_back(at);
        }
    }

    /// The capture's clock was set to `at`.
    pub(in crate::pipeline) fn set(&mut self, at: Timestamp) {
        if let Self::Paced { schedule, .. } = self {
            schedule.set(at);
        }
    }

    /// The longest silence of the capture that is kept, where there is such a limit, and what was shortened to it.
    pub(super) fn shortened_gaps(&self) -> Option<(Duration, ShortenedGaps)> {
        match self {
            Self::Paced { schedule, .. } => schedule.shortened_gaps(),
            Self::Live => None,
        }
    }

    /// Returns a schedule to try out what comes first, where there is one and nothing was due yet.
    pub(super) fn trial(&self) -> Option<Schedule> {
        match self {
            Self::Paced { schedule, begun: None, span, .. } => {
                let mut trial = Schedule::clone(schedule);
                if let Some(from) = span.get().and_then(|span| span.from) {
                    trial.begin(from);
                }
                Some(trial)
            }
            _ => None,
        }
    }

    /// Returns when the run began, where it has a schedule and has begun.
    pub(in crate::pipeline) const fn begun(&self) -> Option<Instant> {
        match self {
            Self::Paced { begun, .. } => *begun,
            Self::Live => None,
        }
    }

    /// Returns whether due times are known in advance.
    pub(in crate::pipeline) fn is_known_ahead(&self) -> bool {
        matches!(self, Self::Paced { schedule, .. } if !schedule.is_max())
    }

    /// Returns whether requests are sent as fast as they are taken.
    pub(in crate::pipeline) fn is_unscheduled(&self) -> bool {
        matches!(self, Self::Paced { schedule, .. } if schedule.is_max())
    }

    /// Returns the due time of an event at `at` that is not a request; the pace does not change. A run begins with its
    /// first request, and events before that have no due time; but a run that begins at a given instant has begun with
    /// any event after it.
    pub(super) fn other(&mut self, at: Timestamp) -> Option<Instant> {
        match self {
            Self::Paced { schedule, begun, span, fleet, .. } => {
                if begun.is_none() && span.get().and_then(|span| span.from).is_some_and(|from| from <= at) {
                    *begun = Some(begin(schedule, span, fleet.as_deref(), at));
                }
                Some((*begun)? + schedule.offset(at)?)
            }
            Self::Live => None,
        }
    }
}

/// The run begins, at the first instant that is asked for or else `at` its first request: now, or when the members of its
/// fleet have agreed that this is due.
fn begin(schedule: &mut Schedule, span: &KnownSpan, fleet: Option<&dyn StoreSession>, at: Timestamp) -> Instant {
    let from = span.get().and_then(|span| span.from).unwrap_or(at);
    schedule.begin(from);
    let Some(fleet) = fleet else { return Instant::now() };
    // Pauses put off what is due from here on, and those of before are over.
    let stood_still = fleet.stood_still();
    let before = |begun: Instant| begun.checked_sub(stood_still).unwrap_or(begun);
    let Some(speed) = schedule.plain_speed() else {
        fleet.begins_without_times();
        return before(Instant::now());
    };
    let zero = fleet.agree(ScheduleZero { capture: from, wall: wall_clock() }, speed);
    let (begun, now) = (Instant::now(), wall_clock());
    match since_begun(zero, from, now, speed) {
        Ok(passed) => before(begun.checked_sub(passed).unwrap_or(begun)),
        Err(ahead) => before(begun + ahead),
    }
}

/// How long ago, or else how far ahead, what was captured at `from` is due where a schedule of this speed begins at `zero`.
fn since_begun(zero: ScheduleZero, from: Timestamp, now: Timestamp, speed: f64) -> Result<Duration, Duration> {
    let in_run = |of_capture: Duration| {
        Duration::try_from_secs_f64(of_capture.as_secs_f64() / speed).unwrap_or(MAX_OFFSET).min(MAX_OFFSET)
    };
    // Of each pair one is zero.
    let passed = now.since(zero.wall) + in_run(zero.capture.since(from));
    let ahead = zero.wall.since(now) + in_run(from.since(zero.capture));
    passed.checked_sub(ahead).ok_or_else(|| ahead.saturating_sub(passed).min(MAX_OFFSET))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::replay::range::CaptureSpan;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000 + milliseconds * 1_000_000)
    }

    #[test]
    fn what_the_capture_takes_is_no_part_of_what_a_request_waits() {
        let hour = Duration::from_hours(1);
        let stamped = Timestamp::from_nanos(wall_clock().nanos() - u64::try_from(hour.as_nanos()).unwrap());
        let before = Instant::now();
        let (due, delay) = Timing::Live.leave(stamped, None);
        assert!(due.unwrap() >= before, "it is due when it leaves");
        assert!(delay.unwrap() >= hour, "{delay:?}");
        let paced = Timing::paced(Pace::default(), None, KnownSpan::default());
        assert_eq!(paced.leave(stamped, Some(before)), (Some(before), None));
    }

    #[test]
    fn members_of_a_fleet_keep_one_schedule() {
        let ms = Duration::from_millis;
        let zero = ScheduleZero { capture: at(50), wall: at(7_000) };
        // What was captured an hour on, or just after, or before; and a clock that is behind that of another member.
        for (speed, captured, now, expected) in [
            (1.0, 3_600_050, 7_020, Err(ms(3_599_980))),
            (2.0, 3_600_050, 7_020, Err(ms(1_799_980))),
            (1.0, 60, 7_020, Ok(ms(10))),
            (1.0, 20, 7_020, Ok(ms(50))),
            (0.5, 20, 6_990, Ok(ms(50))),
            (1.0, 60, 6_990, Err(ms(20))),
            (1.0, 50, 7_000, Ok(ms(0))),
            (f64::MIN_POSITIVE, 60, 7_000, Err(MAX_OFFSET)),
        ] {
            assert_eq!(since_begun(zero, at(captured), at(now), speed), expected, "{speed} {captured} {now}");
        }
    }

    /// Two members of a fleet of which this one has a quarter of the requests.
    struct Quarter;

    impl StoreSession for Quarter {
        fn share(&self) -> f64 {
            0.25
        }

        fn conclude(&self, _: Vec<u8>) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn an_even_pace_is_that_of_all_members() {
        let timing = Timing::paced("100/s".parse().unwrap(), None, KnownSpan::default());
        let mut timing = timing.together(Some(Arc::new(Quarter)));
        let first = timing.due(at(0)).unwrap();
        assert_eq!(timing.due(at(0)), Some(first + Duration::from_millis(40)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_even_pace_makes_up_for_nothing_that_a_store_did_not_have() {
        for (of_store, moves) in [(true, true), (false, false)] {
            let timing = Timing::paced("100/s".parse().unwrap(), None, KnownSpan::default());
            let mut timing = timing.together(of_store.then(|| Arc::new(Quarter) as Arc<dyn StoreSession>));
            let apart = if of_store { 40 } else { 10 };
            let first = timing.due(at(0)).unwrap();
            tokio::time::advance(Duration::from_secs(10)).await;
            assert_eq!(timing.due(at(0)), Some(first + Duration::from_millis(apart)), "it was there in time");
            timing.waited_until(Instant::now());
            let moved = if moves { Instant::now() } else { first + Duration::from_millis(2 * apart) };
            assert_eq!(timing.due(at(0)), Some(moved));
            assert_eq!(timing.due(at(0)), Some(moved + Duration::from_millis(apart)));
        }
    }

    #[test]
    fn what_comes_before_the_first_request_has_no_time_unless_the_run_begins_at_an_instant() {
        let mut timing = Timing::paced(Pace::default(), None, KnownSpan::default());
        assert_eq!(timing.other(at(0)), None);
        let begun = timing.due(at(70)).unwrap();
        assert_eq!(timing.other(at(30)), Some(begun), "it was due by then");

        let span = KnownSpan::default();
        span.set(CaptureSpan { from: Some(at(10)), until: None }).unwrap();
        let mut timing = Timing::paced(Pace::default(), None, span);
        assert_eq!(timing.other(at(9)), None, "it is long past perhaps");
        let opened = timing.other(at(30)).unwrap();
        assert_eq!(timing.due(at(70)), Some(opened + Duration::from_millis(40)));
    }
}
