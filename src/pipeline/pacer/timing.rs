//! When what was captured is due, on the clock of this run.

use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::Timestamp;
use crate::pipeline::clock::wall_clock;
use crate::pipeline::passes::KnownSpan;
use crate::replay::{Pace, Schedule, ShortenedGaps};

/// When requests are due.
pub(in crate::pipeline) enum Timing {
    /// As their capture times and a pace say.
    Paced {
        schedule: Schedule,
        /// When the first request came: due times count from here.
        begun: Option<Instant>,
        /// Which part of the capture is replayed.
        span: KnownSpan,
        /// Which pass over it this is.
        pass: u32,
    },
    /// They were due when their last byte was on the wire.
    Live,
}

impl Timing {
    /// Due times as `pace` has them.
    pub(in crate::pipeline) const fn paced(pace: Pace, max_gap: Option<Duration>, span: KnownSpan) -> Self {
        Self::Paced { schedule: Schedule::new(pace).shortened(max_gap), begun: None, span, pass: 1 }
    }

    pub(super) fn due(&mut self, at: Timestamp) -> Option<Instant> {
        match self {
            Self::Paced { schedule, begun, span, .. } => {
                let begun = *begun.get_or_insert_with(|| begin(schedule, span));
                schedule.due(at).map(|offset| begun + offset)
            }
            Self::Live => Some(live(at)),
        }
    }

    /// What comes from now on is of this pass, where it is a later one.
    pub(super) fn reach(&mut self, of: u32) {
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

    /// Whether it is known before its time when something is due.
    pub(in crate::pipeline) const fn is_known_ahead(&self) -> bool {
        matches!(self, Self::Paced { schedule, .. } if !schedule.is_max())
    }

    /// Whether requests are sent as fast as they are taken.
    pub(in crate::pipeline) const fn is_unscheduled(&self) -> bool {
        matches!(self, Self::Paced { schedule, .. } if schedule.is_max())
    }

    /// When something at `at` is due that is no request; it changes nothing about the pace. A run begins with its first
    /// request, and what comes before that has no time of its own; but one that begins at a given instant has begun with
    /// whatever comes after it.
    pub(super) fn other(&mut self, at: Timestamp) -> Option<Instant> {
        match self {
            Self::Paced { schedule, begun, span, .. } => {
                if begun.is_none() && span.get().and_then(|span| span.from).is_some_and(|from| from <= at) {
                    *begun = Some(begin(schedule, span));
                }
                Some((*begun)? + schedule.offset(at)?)
            }
            Self::Live => Some(live(at)),
        }
    }
}

/// The run begins now, at the first instant that is asked for or with the first request.
fn begin(schedule: &mut Schedule, span: &KnownSpan) -> Instant {
    span.get().and_then(|span| span.from).into_iter().for_each(|from| schedule.begin(from));
    Instant::now()
}

/// The instant at which the wire was at `at`.
fn live(at: Timestamp) -> Instant {
    let now = Instant::now();
    now.checked_sub(wall_clock().since(at)).unwrap_or(now)
}

/// How late this thread is to be woken at most, in nanoseconds: the system would take 50 µs otherwise, to save power, and
/// these were lag of every request.
#[cfg(target_os = "linux")]
const TIMER_SLACK: std::num::NonZeroU64 = std::num::NonZeroU64::new(1_000).expect("it is not zero");

/// Asks the system to wake this thread when it is time; where it does not, requests are as much later.
pub(super) fn wake_in_time() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK)) {
        tracing::debug!(%error, "cannot have the pacing thread woken in time");
    }
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
