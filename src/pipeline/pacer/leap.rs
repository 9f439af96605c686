//! Stamps far ahead: what follows tells a silence, which is kept, from a few stamps that are wrong. A stamp a little ahead: the same,
//! where it is the only one. And stamps a little behind: what follows tells a request that was held up in the reassembly from a
//! clock that was set back.

use std::time::Duration;

use tokio::time::Instant;

use super::{Pacer, unfit};
use crate::exchange::{ConnectionId, Event, Timestamp};
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::{EVENT_QUEUE, QueuedEvent};
use crate::replay::{LagBehind, StampLeap};

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
        let (of, _) = beginning(queued).filter(|_| matches!(queued.event, Event::Request(_)))?;
        let (lag, before) = self.settings.timing.lead(self.stamp(queued)?)?;
        let witness = LagWitness { ahead: Some(of), ..LagWitness::of(lag) };
        self.is_set_back(witness, queued.part.pass).then_some(before)
    }

    /// Where a stamp is a little behind, and all that follow go on from there, no time passes between them.
    pub(super) fn heed_lag(&mut self, queued: &QueuedEvent) {
        let Some((of, at)) = beginning(queued) else { return };
        let before = self.last_begun.replace((of, at));
        if let Some(lag) = self.settings.timing.lag(at) {
            // Within a connection stamps do not go back.
            let goes_back = before.is_some_and(|(before, _)| before == of);
            let (is_opening, connections) = (is_opening(queued), vec![of]);
            let witness = LagWitness { seen: 1, connections, is_opening, goes_back, ..LagWitness::of(lag) };
            if self.is_set_back(witness, queued.part.pass) {
                self.settings.timing.set_back(at);
            }
        }
    }

    /// Looks at what follows until that tells.
    fn is_set_back(&mut self, mut witness: LagWitness, pass: u32) -> bool {
        let told =
            self.look_ahead(READING_LAG, |queued| if queued.part.pass == pass { witness.note(queued) } else { None });
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

/// What is seen behind a stamp that lags.
struct LagWitness {
    lag: LagBehind,
    /// Stamps so far.
    seen: usize,
    connections: Vec<ConnectionId>,
    /// True when a connection opened among them: that is held up by nothing.
    is_opening: bool,
    /// True when the one before was of the same connection.
    goes_back: bool,
    /// The connection of the stamp that they lag behind, where it is known.
    ahead: Option<ConnectionId>,
}

impl LagWitness {
    /// Stamps in a row that go on from the one that lags, from which on it is believed.
    const ENOUGH: usize = 7;
    /// The same where no more come, or where they have come to where they were.
    const LEAST: usize = 4;

    const fn of(lag: LagBehind) -> Self {
        Self { lag, seen: 0, connections: Vec::new(), is_opening: false, goes_back: false, ahead: None }
    }

    /// Notes a later event; returns whether the clock was set back, once that is known.
    fn note(&mut self, queued: &QueuedEvent) -> Option<bool> {
        let (of, at) = beginning(queued)?;
        if !self.lag.goes_on(at) {
            return Some(false);
        }
        self.seen += 1;
        self.is_opening |= is_opening(queued);
        self.goes_back |= self.ahead == Some(of);
        if !self.connections.contains(&of) {
            self.connections.push(of);
        }
        (self.seen >= Self::ENOUGH || self.lag.has_caught_up()).then(|| self.suffices())
    }

    /// Returns whether it was not one connection that was held up, or a few.
    fn suffices(&self) -> bool {
        let connections = self.connections.len();
        self.seen >= Self::LEAST && (self.goes_back || connections >= 3 || (connections == 2 && self.is_opening))
    }
}

/// The connection and the time of what comes when it is captured, mostly: a connection that opens, or a request.
fn beginning(queued: &QueuedEvent) -> Option<(ConnectionId, Timestamp)> {
    match &queued.event {
        _ if queued.part.copy > 0 => None,
        Event::Opened { connection, at } => Some((*connection, *at)),
        Event::Request(request) => Some((request.id.connection, request.last_byte)),
        _ => None,
    }
}

const fn is_opening(queued: &QueuedEvent) -> bool {
    matches!(queued.event, Event::Opened { .. })
}

/// The time by which an event is due, if it has one. Requests without a whole body have none where bodies are needed.
pub(in crate::pipeline) fn stamp(event: &Event, part: PassTag, needs_bodies: bool) -> Option<Timestamp> {
    let at = match event {
        Event::Request(request) if unfit(request, needs_bodies).is_none() => request.last_byte,
        Event::Opened { at, .. } | Event::Closed { at, .. } => *at,
        _ => return None,
    };
    Some(at.plus(part.delay))
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
