//! Stamps far ahead: what follows tells a silence, which is kept, from a few stamps that are wrong.

use std::time::Duration;

use tokio::time::Instant;

use super::{Pacer, unfit};
use crate::exchange::{Event, Timestamp};
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::{EVENT_QUEUE, QueuedEvent};
use crate::replay::StampLeap;

/// Longest time for which events are read to see whether the capture's clock comes back. A file is read faster than it is
/// sent; whoever captures right now brings what follows a silence when that is over.
const READING: Duration = Duration::from_millis(200);

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

    /// Reads ahead for as long as nothing tells.
    fn comes_back(&mut self, leap: &StampLeap, pass: u32) -> bool {
        let tells = |pacer: &Self, queued: &QueuedEvent| {
            let later = pacer.stamp(queued).filter(|_| queued.part.pass == pass);
            later.is_some_and(|later| leap.is_wrong_by(later))
        };
        if self.opening.events().iter().any(|queued| tells(self, queued)) {
            return true;
        }
        let until = Instant::now() + READING;
        while self.opening.events().len() < EVENT_QUEUE {
            let queued = crossbeam_channel::select_biased! {
                recv(self.channels.stopped) -> _ => return false,
                recv(self.channels.events) -> queued => queued,
                default(until.saturating_duration_since(Instant::now())) => return false,
            };
            let Ok(queued) = queued else { return false };
            let told = tells(self, &queued);
            self.opening.push(queued);
            if told {
                return true;
            }
        }
        false
    }
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
}
