//! Stamps far ahead: what follows tells a silence, which is kept, from a few stamps that are wrong. A stamp a little ahead: the same,
//! where it is the only one. And stamps a little behind: what follows tells a request that was held up in the reassembly from a
//! clock that was set back.

use std::time::Duration;

use tokio::time::Instant;

use super::Pacer;
use super::lag_witness::{LagWitness, beginning, stamp};
use crate::exchange::Timestamp;
use crate::pipeline::queues::{EVENT_QUEUE, QueuedEvent};
use crate::replay::StampLeap;

/// Longest time for which events are read to see whether the capture's clock comes back. A file is read faster than it is
/// sent; whoever captures right now brings what follows a silence when that is over.
const READING: Duration = Duration::from_millis(200);
/// The same to see whether it was set back by little.
const READING_LAG: Duration = Duration::from_millis(20);

impl Pacer {
    /// Where a stamp is far ahead, and a later one is back where the capture was, no time passes between them.
    pub(super) fn heed_leap(&mut self, queued: &QueuedEvent) {
        if let Some(at) = self.stamp(queued)
            && let Some(leap) = self.settings.timing.leap(at)
            && self.comes_back(&leap, queued.part.pass)
        {
            self.settings.timing.set(at);
        }
    }

    fn stamp(&self, queued: &QueuedEvent) -> Option<Timestamp> {
        stamp(&queued.event, queued.part, self.needs_bodies())
    }

    /// Where the stamp of a request is a little ahead, and all that follow go on from the one before it, no time passes between
    /// those: returns that one, by which the request is due.
    pub(super) fn heed_lead(&mut self, queued: &QueuedEvent) -> Option<Timestamp> {
        let (witness, before) = self.settings.timing.lead_of(&queued.event, queued.part, self.needs_bodies())?;
        self.is_set_back(witness, queued.part.pass).then_some(before)
    }

    /// Where a stamp is a little behind, and all that follow go on from there, no time passes between them.
    pub(super) fn heed_lag(&mut self, queued: &QueuedEvent) {
        let Some((of, _)) = beginning(&queued.event, queued.part) else { return };
        let before = self.last_begun.replace(of);
        if let Some((witness, at)) = self.settings.timing.lag_of(&queued.event, queued.part, before)
            && self.is_set_back(witness, queued.part.pass)
        {
            self.settings.timing.set_back(at);
        }
    }

    /// Looks at what follows until that tells.
    fn is_set_back(&mut self, mut witness: LagWitness, pass: u32) -> bool {
        let told = self.look_ahead(READING_LAG, |queued| {
            if queued.part.pass == pass { witness.note(&queued.event, queued.part) } else { None }
        });
        told.unwrap_or_else(|| witness.suffices())
    }

    /// Reads ahead for as long as nothing tells.
    fn comes_back(&mut self, leap: &StampLeap, pass: u32) -> bool {
        let needs_bodies = self.needs_bodies();
        let told = self.look_ahead(READING, |queued| {
            let later = stamp(&queued.event, queued.part, needs_bodies).filter(|_| queued.part.pass == pass);
            later.is_some_and(|later| leap.is_wrong_by(later)).then_some(true)
        });
        told == Some(true)
    }

    /// What the first of the following events says that says anything, if one comes for as long as `reading`.
    fn look_ahead(&mut self, reading: Duration, mut says: impl FnMut(&QueuedEvent) -> Option<bool>) -> Option<bool> {
        if let Some(told) = self.opening.events().iter().find_map(&mut says) {
            return Some(told);
        }
        let until = Instant::now() + reading;
        while self.opening.events().len() < EVENT_QUEUE {
            let queued = crossbeam_channel::select_biased! {
                recv(self.channels.stopped) -> _ => return None,
                recv(self.channels.events) -> queued => queued,
                default(until.saturating_duration_since(Instant::now())) => return None,
            };
            let queued = queued.ok()?;
            let told = says(&queued);
            self.opening.push(queued);
            if told.is_some() {
                return told;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::chains::RunChains;
    use super::super::lookahead::Lookahead;
    use super::super::testing::{pacer_of, request};
    use super::super::{PacerMode, PacerStep, Timing};
    use crate::middleware::ChainSettings;
    use crate::pipeline::passes::KnownSpan;
    use crate::replay::Pace;

    /// When requests that were captured at these times are due, in milliseconds.
    fn dues(mode: PacerMode, captured: &[u64]) -> Vec<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let timing = Timing::paced(Pace::default(), None, KnownSpan::default());
        let (mut pacer, events, _stop, _) = pacer_of(&runtime, mode, timing, captured.len());
        (1..).zip(captured).for_each(|(n, ms)| events.send(request(n, *ms)).unwrap());
        drop(events);
        let mut dues = Vec::new();
        while let Some(PacerStep::Event(_, _, due)) = pacer.next() {
            dues.push(due.unwrap());
        }
        dues.iter().map(|due| u64::try_from((*due - dues[0]).as_millis()).unwrap()).collect()
    }

    #[test]
    fn a_clock_that_leaps_several_times_comes_back_all_the_same() {
        for ahead in [90_000, 7_200_000, 40_000_000] {
            let later = 2 * ahead + 220;
            let several = [0, 100, ahead + 200, later, later + 30, 240, later + 260, 400];
            assert_eq!(dues(PacerMode::Plain, &several), [0, 100, 100, 100, 130, 240, 240, 400], "{ahead}");
        }
    }

    #[test]
    fn stamps_far_ahead_are_waited_for_where_the_clock_stays_there() {
        let modes: [fn() -> PacerMode; 2] = [
            || PacerMode::Plain,
            || PacerMode::Lookahead(Lookahead::new(RunChains::new(&ChainSettings::default(), 2))),
        ];
        for mode in modes {
            for ahead in [11_000, 90_000, 7_200_000, 86_000_000] {
                let few = [0, 100, ahead + 200, ahead + 250, 400, 900];
                assert_eq!(dues(mode(), &few), [0, 100, 100, 150, 400, 900], "{ahead}");
                let silence = [0, 100, ahead + 200, ahead + 250];
                assert_eq!(dues(mode(), &silence), silence, "{ahead}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_by_little_keeps_the_pace() {
        for step in [300, 500, 2_000, 9_900] {
            let later = (0..30).map(|n| 20_000 + 50 * n).map(|at| at - if at > 20_500 { step } else { 0 });
            let captured: Vec<u64> = later.collect();
            // No time passes where it was set.
            let expected: Vec<u64> = (0..30).map(|n| 50 * if n > 10 { n - 1 } else { n }).collect();
            assert_eq!(dues(PacerMode::Plain, &captured), expected, "{step}");
        }
    }

    #[test]
    fn one_stamp_that_is_a_little_ahead_costs_no_time() {
        for ahead in [250, 1_000, 6_000, 9_900] {
            let captured: Vec<u64> = (0..40).map(|n| 20_000 + 50 * n + if n == 10 { ahead } else { 0 }).collect();
            // That one is due with the one before it.
            let expected: Vec<u64> = (0..40).map(|n| 50 * if n == 10 { 9 } else { n }).collect();
            assert_eq!(dues(PacerMode::Plain, &captured), expected, "{ahead}");
            let silence: Vec<u64> = (0..40).map(|n| 20_000 + 50 * n + if n >= 10 { ahead } else { 0 }).collect();
            let expected: Vec<u64> = silence.iter().map(|at| at - 20_000).collect();
            assert_eq!(dues(PacerMode::Plain, &silence), expected, "{ahead}");
        }
    }

    #[test]
    fn a_few_requests_that_were_held_up_are_late_and_move_no_other() {
        let captured = [20_000, 20_100, 23_000, 20_200, 20_300, 20_400, 23_100, 23_200, 23_300, 23_400, 23_500];
        let expected = [0, 100, 3_000, 200, 300, 400, 3_100, 3_200, 3_300, 3_400, 3_500];
        assert_eq!(dues(PacerMode::Plain, &captured), expected);
    }

    #[test]
    fn two_clocks_that_come_by_turns_are_no_step() {
        let mut captured = Vec::new();
        for n in 0..20 {
            captured.extend([21_000 + 100 * n, 20_010 + 100 * n]);
        }
        let dues = dues(PacerMode::Plain, &captured);
        assert_eq!((dues[38], dues[39]), (1_900, 910), "{dues:?}");
        // Eight of the one and then eight of the other: what was believed once is not believed again.
        let turns = |n: u64| if (n / 8).is_multiple_of(2) { 21_000 + 50 * n } else { 20_000 + 50 * n };
        let captured: Vec<u64> = (0..80).map(turns).collect();
        let dues = super::tests::dues(PacerMode::Plain, &captured);
        for (earlier, later) in [(16, 48), (31, 63), (47, 79)] {
            assert_eq!(dues[later] - dues[earlier], 1_600, "{dues:?}");
        }
    }
}
