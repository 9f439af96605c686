//! Due times of captured events, on the clock of this run.

use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::Timestamp;
use crate::pipeline::clock::wall_clock;
use crate::pipeline::passes::KnownSpan;
use crate::replay::{Pace, Schedule, ShortenedGaps};

/// Rule for the due times of requests.
pub(in crate::pipeline) enum Timing {
    /// As their capture times and a pace say.
    Paced {
        schedule: Schedule,
        /// Time of the first request: due times count from here.
        begun: Option<Instant>,
        /// Range of the capture that is replayed.
        span: KnownSpan,
        /// Current pass over the capture.
        pass: u32,
    },
    /// They are due as soon as the capture has them: no event has a time of its own.
    Live,
}

impl Timing {
    /// Due times as `pace` has them.
    pub(in crate::pipeline) const fn paced(pace: Pace, max_gap: Option<Duration>, span: KnownSpan) -> Self {
        Self::Paced { schedule: Schedule::new(pace).shortened(max_gap), begun: None, span, pass: 1 }
    }

    pub(in crate::pipeline) fn due(&mut self, at: Timestamp) -> Option<Instant> {
        match self {
            Self::Paced { schedule, begun, span, .. } => {
                let begun = *begun.get_or_insert_with(|| begin(schedule, span));
                schedule.due(at).map(|offset| begun + offset)
            }
            Self::Live => None,
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

    /// The longest silence of the capture that is kept, where there is such a limit, and what was shortened to it.
    pub(super) fn shortened_gaps(&self) -> Option<(Duration, ShortenedGaps)> {
        match self {
            Self::Paced { schedule, .. } => schedule.shortened_gaps(),
            Self::Live => None,
        }
    }

    /// Returns whether due times are known in advance.
    pub(in crate::pipeline) const fn is_known_ahead(&self) -> bool {
        matches!(self, Self::Paced { schedule, .. } if !schedule.is_max())
    }

    /// Returns whether requests are sent as fast as they are taken.
    pub(in crate::pipeline) const fn is_unscheduled(&self) -> bool {
        matches!(self, Self::Paced { schedule, .. } if schedule.is_max())
    }

    /// Returns the due time of an event at `at` that is not a request; the pace does not change. A run begins with its
    /// first request, and events before that have no due time; but a run that begins at a given instant has begun with
    /// any event after it.
    pub(super) fn other(&mut self, at: Timestamp) -> Option<Instant> {
        match self {
            Self::Paced { schedule, begun, span, .. } => {
                if begun.is_none() && span.get().and_then(|span| span.from).is_some_and(|from| from <= at) {
                    *begun = Some(begin(schedule, span));
                }
                Some((*begun)? + schedule.offset(at)?)
            }
            Self::Live => None,
        }
    }
}

/// The run begins now, at the first instant that is asked for or with the first request.
fn begin(schedule: &mut Schedule, span: &KnownSpan) -> Instant {
    span.get().and_then(|span| span.from).into_iter().for_each(|from| schedule.begin(from));
    Instant::now()
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
