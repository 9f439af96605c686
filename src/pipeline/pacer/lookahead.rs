//! Lookahead: events read before they are due, so that mirrored connections open when the captured ones did.
//!
//! Over many connections nothing is ever sent, and those must not be opened. So the events of a file that is replayed
//! on schedule wait in a queue here, and the first request that would be sent over a connection, as far as that can be
//! known, opens it. The outcome of a request is decided when it is due, as everywhere: a connection that carries
//! nothing after all closes with the captured one.
//!
//! A client that was given an opening time keeps to it: where the run is paused after that, it opens by as much too
//! early.

use std::collections::VecDeque;

use crossbeam_channel::TryRecvError;
use tokio::time::Instant;

use super::pause::Stopped;
use super::{Pacer, PacerStep, RunChains, Upcoming};
use crate::exchange::{Event, Request, Timestamp};
use crate::middleware::ChainSettings;
use crate::pipeline::queues::{EVENT_QUEUE, QueuedEvent};
use crate::replay::ConnKey;
use crate::report::TargetSet;

/// Events that are looked at for each one that is handled, where there is no time to wait: the look ahead grows, and what is
/// due is hardly later for it.
const AT_ONCE: usize = 4;

/// Events read before they are due.
pub(super) struct Lookahead {
    /// In the order in which it was read, with its shares of the memory. Where this is full, the rest stays in the channel.
    events: VecDeque<Upcoming>,
    preview: RunChains,
}

impl Lookahead {
    /// Nothing so far. `preview` is what the chains of the run are, but for limits.
    pub(super) const fn new(preview: RunChains) -> Self {
        Self { events: VecDeque::new(), preview }
    }

    /// Goes by these settings from now on.
    pub(super) fn replace(&mut self, settings: &ChainSettings) {
        self.preview.replace(&settings.without_limits());
    }

    fn has_room(&self) -> bool {
        self.events.len() < EVENT_QUEUE
    }

    /// A request as the chain leaves it, and its targets, where it passes. Limits and guards are asked when it is due.
    fn passed(&mut self, request: &Request, clock: Timestamp) -> Option<(Request, TargetSet)> {
        let mut request = request.clone();
        self.preview.all.apply_at(&mut request, clock).ok()?;
        Some((request, self.preview.targets()))
    }
}

impl Pacer {
    /// The next event; none where there are no more or the run was stopped.
    pub(super) fn next_of_ahead(&mut self) -> Option<PacerStep> {
        if self.channels.stopped.try_recv() == Err(TryRecvError::Disconnected) {
            return None;
        }
        let mut looks = AT_ONCE;
        while looks > 0
            && self.may_look()
            && let Some(queued) = self.at_hand()
        {
            self.look_at(queued);
            looks -= 1;
        }
        if let Some(upcoming) = self.settings.mode.ahead_mut()?.events.pop_front() {
            return Some(self.step(upcoming));
        }
        let queued = match self.opening.pop() {
            Some(queued) => queued,
            None => self.waited_for()?,
        };
        self.look_at(queued);
        let upcoming = self.settings.mode.ahead_mut()?.events.pop_front()?;
        Some(self.step(upcoming))
    }

    /// Looks at what is read until `end`.
    pub(super) fn look_ahead_until(&mut self, end: Instant) -> Result<(), Stopped> {
        while self.may_look() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if let Some(queued) = self.opening.pop() {
                self.look_at(queued);
                continue;
            }
            let queued = crossbeam_channel::select_biased! {
                recv(self.channels.stopped) -> _ => return Err(Stopped),
                recv(self.channels.events) -> queued => queued,
                default(left) => return Ok(()),
            };
            let Ok(queued) = queued else { break };
            self.look_at(queued);
        }
        self.sleep_until(end)
    }

    fn may_look(&self) -> bool {
        self.settings.mode.ahead().is_some_and(Lookahead::has_room) && !self.settings.control.is_paused()
    }

    fn look_at(&mut self, queued: QueuedEvent) {
        let upcoming = self.upcoming(queued);
        if let (Event::Request(request), Some(due)) = (&upcoming.queued.event, upcoming.due) {
            self.preview(request, self.put_off(due));
        }
        if let Some(ahead) = self.settings.mode.ahead_mut() {
            ahead.events.push_back(upcoming);
        }
    }

    /// Has the connection opened over which a request would be sent.
    fn preview(&mut self, request: &Request, due: Instant) {
        let conn = ConnKey::from(request.id);
        let mut dispatchers = self.channels.dispatchers.iter().chain(&self.settings.reference.baseline);
        // One that is due already has its connection opened when it is sent.
        if !dispatchers.any(|dispatcher| dispatcher.may_open(conn))
            || due <= Instant::now()
            || self.marked(request).is_err()
        {
            return;
        }
        let clock = self.clock(request, Some(due));
        let Some(ahead) = self.settings.mode.ahead_mut() else { return };
        let Some((request, targets)) = ahead.passed(request, clock) else { return };
        for target in targets.iter() {
            let Some(dispatcher) = self.channels.dispatchers.get_mut(target) else { continue };
            let Some(chain) = ahead.preview.of_target(target) else {
                dispatcher.open_for(&request);
                continue;
            };
            let mut copy = request.clone();
            if chain.apply_at(&mut copy, clock).is_ok() {
                dispatcher.open_for(&copy);
            }
        }
        if !targets.is_empty()
            && let Some(baseline) = self.settings.reference.baseline_for(&request)
        {
            baseline.open_for(&request);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::Sender;

    use super::super::testing::pacer_of;
    use super::super::{PacerMode, Timing};
    use super::*;
    use crate::exchange::ConnectionId;
    use crate::pipeline::passes::{KnownSpan, PassTag};
    use crate::replay::Pace;

    /// A pacer that looks ahead, what hands it events, and what stops it.
    fn pacer(runtime: &tokio::runtime::Runtime, events: usize) -> (Pacer, Sender<QueuedEvent>, Sender<()>) {
        let ahead = Lookahead::new(RunChains::new(&ChainSettings::default(), 0));
        let timing = Timing::paced(Pace::default(), None, KnownSpan::default());
        let (pacer, events, stop, _) = pacer_of(runtime, PacerMode::Lookahead(ahead), timing, events);
        (pacer, events, stop)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn opened(connection: usize) -> QueuedEvent {
        let event = Event::Opened { connection: ConnectionId(connection as u64), at: Timestamp::default() };
        QueuedEvent { event, part: PassTag::default(), held: None, permille: 0 }
    }

    fn connection(step: Option<PacerStep>) -> Option<usize> {
        match step? {
            PacerStep::Event(Event::Opened { connection, .. }, ..) => usize::try_from(connection.0).ok(),
            _ => None,
        }
    }

    fn waiting(pacer: &Pacer) -> usize {
        pacer.settings.mode.ahead().unwrap().events.len()
    }

    #[test]
    fn events_keep_their_order_and_no_more_are_taken_ahead_than_there_is_room() {
        let (all, runtime) = (3 * EVENT_QUEUE, runtime());
        let (mut pacer, events, _stop) = pacer(&runtime, all);
        (0..all).for_each(|number| events.send(opened(number)).unwrap());
        drop(events);
        let mut most = 0;
        for number in 0..all {
            assert_eq!(connection(pacer.next_of_ahead()), Some(number));
            most = most.max(waiting(&pacer));
            // The one that was handed out is no longer there.
            assert!(most < EVENT_QUEUE && pacer.channels.events.len() + waiting(&pacer) == all - number - 1);
        }
        assert_eq!(most, EVENT_QUEUE - 1);
        assert!(pacer.next_of_ahead().is_none());
    }

    #[test]
    fn nothing_is_looked_at_once_something_is_due_or_the_run_was_stopped() {
        let runtime = runtime();
        let (mut pacer, events, stop) = pacer(&runtime, 2);
        events.send(opened(1)).unwrap();
        let now = Instant::now();
        assert!(pacer.look_ahead_until(now).is_ok());
        drop(stop);
        assert!(pacer.look_ahead_until(now + Duration::from_secs(3600)).is_err());
        assert_eq!(waiting(&pacer), 0);
        assert!(pacer.next_of_ahead().is_none());
    }

    #[test]
    fn while_a_run_is_paused_nothing_is_looked_at() {
        let runtime = runtime();
        let (mut pacer, events, _stop) = pacer(&runtime, 8);
        (0..8).for_each(|number| events.send(opened(number)).unwrap());
        pacer.settings.control.pause();
        assert_eq!((connection(pacer.next_of_ahead()), waiting(&pacer)), (Some(0), 0));
        pacer.settings.control.resume();
        assert_eq!((connection(pacer.next_of_ahead()), waiting(&pacer)), (Some(1), AT_ONCE - 1));
    }
}
