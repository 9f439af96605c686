//! A guard of one replayer among several: what the others see counts as well, and what one decides goes for all.

use std::time::Duration;

use tokio::time::Instant;

use super::{Guard, GuardChange, GuardState};
use crate::fleet::OutcomeCounts;
use crate::middleware::Share;

/// Time after a change for which what others say is of before it: they speak each second, of the second before.
const SETTLES: Duration = Duration::from_secs(2);

impl Guard {
    /// Takes notice of how deliveries of other replayers ended, unless they were sent before the last change.
    pub(crate) fn take_others(&mut self, at: Instant, others: &OutcomeCounts) {
        let is_settled = at.saturating_duration_since(self.changed) >= SETTLES;
        if is_settled || self.trips == 0 {
            self.windows.iter_mut().for_each(|window| window.take_others(at, others));
        }
    }

    /// Does what another replayer has decided; what was seen before counts no more.
    pub(crate) fn follow(
        &mut self,
        at: Instant,
        (state, share): (GuardState, Share),
        trips: u64,
        reason: &str,
    ) -> Option<GuardChange> {
        let (from, before) = (self.share(), self.state);
        // Nothing that is over for good begins again.
        if before == GuardState::Stopped || (before, from) == (state, share) {
            return None;
        }
        // More was let in: if that proves too early, all wait longer.
        self.climbed = share.0 > from.0;
        (self.state, self.share) = (state, share.0.clamp(0.0, 1.0));
        self.trips = self.trips.max(trips);
        self.reason = Some(reason.to_owned());
        self.begin_anew(at);
        Some(GuardChange { from, to: self.share(), reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::guard::{GuardVerdict, Observation};

    fn counts(good: u64, bad: u64, ms: u64) -> OutcomeCounts {
        let mut counts = OutcomeCounts::default();
        let service = Some(Duration::from_millis(ms));
        (0..good).for_each(|_| counts.take(false, false, Some(200), service));
        (0..bad).for_each(|_| counts.take(true, false, Some(503), service));
        counts
    }

    fn guard(typed: &str, at: Instant) -> Guard {
        Guard::new(&typed.parse().unwrap(), Duration::from_secs(10), at)
    }

    fn past(guard: &mut Guard, at: Instant) -> Option<String> {
        match guard.judge(at) {
            GuardVerdict::Past(why) => Some(why),
            _ => None,
        }
    }

    #[test]
    fn what_others_see_is_judged_with_what_this_one_sees_and_said_so() {
        let begin = Instant::now();
        let mut guard = guard("errors>20%/10s", begin);
        let at = begin + Duration::from_secs(6);
        let good = Observation { status: Some(200), ..Observation::default() };
        (0..60).for_each(|_| guard.take(at, good));
        assert_eq!(guard.judge(at), GuardVerdict::Good);
        guard.take_others(at, &counts(20, 40, 5));
        let why = past(&mut guard, at).unwrap();
        assert_eq!(why, "errors 33.3% of 120 in 10s, more than 20%; 60 of them at other replayers");
    }

    #[test]
    fn percentiles_and_statuses_of_others_count_too() {
        let begin = Instant::now();
        let at = begin + Duration::from_secs(6);
        for (typed, others) in [("p90>100ms/10s", counts(40, 0, 400)), ("503>10%/10s", counts(30, 10, 5))] {
            let mut guard = guard(typed, begin);
            guard.take_others(at, &others);
            assert!(past(&mut guard, at).is_some_and(|why| why.ends_with("all of them at other replayers")), "{typed}");
        }
        let mut fast = guard("p90>100ms/10s", begin);
        fast.take_others(at, &counts(40, 0, 50));
        assert_eq!(fast.judge(at), GuardVerdict::Good);
    }

    #[test]
    fn what_was_sent_before_a_change_says_nothing_about_it() {
        let begin = Instant::now();
        let mut guard = guard("errors>20%/10s", begin);
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(guard.follow(at(6), (GuardState::Throttled, Share(0.5)), 1, "errors").is_some());
        guard.take_others(at(7), &counts(0, 99, 5));
        assert_eq!(guard.judge(at(12)), GuardVerdict::Unknown);
        guard.take_others(at(9), &counts(0, 99, 5));
        assert!(past(&mut guard, at(12)).is_some());
    }

    #[test]
    fn a_decision_of_others_is_taken_over_but_what_is_stopped_stays_so() {
        let begin = Instant::now();
        let mut guard = guard("errors>20%/10s", begin);
        let change = guard.follow(begin, (GuardState::Throttled, Share(0.5)), 3, "why").unwrap();
        assert_eq!((change.from, change.to, guard.trips()), (Share(1.0), Share(0.5), 3));
        assert!(guard.follow(begin, (GuardState::Throttled, Share(0.5)), 3, "why").is_none());
        guard.follow(begin, (GuardState::Stopped, Share(0.0)), 4, "why");
        assert!(guard.follow(begin, (GuardState::Passing, Share(1.0)), 4, "well").is_none());
        assert_eq!(guard.state(), GuardState::Stopped);
    }
}
