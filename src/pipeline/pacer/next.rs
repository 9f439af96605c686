//! Choice of the pacing thread's next step: the event whose turn has come, or a result of an external process.

use std::sync::atomic::Ordering;

use crossbeam_channel::TryRecvError;
use tokio::time::Instant;

use super::{Pacer, PacerMode, unfit};
use crate::exchange::Event;
use crate::pipeline::external::WorkerMessage;
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::QueuedEvent;

/// An event that has come from the capture thread, and when it is due; `None` where it has no time of its own.
pub(super) struct Upcoming {
    pub(super) queued: QueuedEvent,
    pub(super) due: Option<Instant>,
}

/// Next step of the pacer.
pub(super) enum PacerStep {
    Event(Event, PassTag, Option<Instant>),
    Outside(ExternalStep),
}

/// Something that processes brought about.
pub(super) enum ExternalStep {
    Back(WorkerMessage),
    /// The time of something that is owed is up.
    Late,
}

impl Pacer {
    /// None where there is nothing more to do, or the run was stopped.
    pub(super) fn next(&mut self) -> Option<PacerStep> {
        match self.settings.mode {
            PacerMode::Plain => self.next_of_events(),
            PacerMode::Lookahead(_) => self.next_of_ahead(),
            PacerMode::External(_) => self.next_of_both(),
        }
    }

    fn next_of_events(&mut self) -> Option<PacerStep> {
        let queued = match self.at_hand() {
            Some(queued) => queued,
            None => self.waited_for()?,
        };
        let queued = self.opened(queued).ok()?;
        let upcoming = self.upcoming(queued);
        Some(self.step(upcoming))
    }

    /// The next event, once it has come.
    pub(super) fn waited_for(&mut self) -> Option<QueuedEvent> {
        let queued = crossbeam_channel::select_biased! {
            recv(self.channels.stopped) -> _ => None,
            recv(self.channels.events) -> queued => queued.ok(),
        };
        self.settings.timing.waited_until(self.settings.control.clock());
        queued
    }

    /// Takes notice of what comes next in the capture: when it is due, and which connections open.
    pub(super) fn upcoming(&mut self, queued: QueuedEvent) -> Upcoming {
        let (part, needs_bodies) = (queued.part, self.needs_bodies());
        self.settings.timing.reach(part.pass);
        self.heed_leap(&queued);
        let before = self.heed_lead(&queued);
        self.heed_lag(&queued);
        let timing = &mut self.settings.timing;
        let due = match &queued.event {
            Event::Request(request) if unfit(request, needs_bodies).is_none() => {
                timing.due(before.unwrap_or_else(|| request.last_byte.plus(part.delay)))
            }
            Event::Opened { at, .. } | Event::Closed { at, .. } => timing.other(at.plus(part.delay)),
            // A response that did not end is closed when production's was.
            Event::Response { response, .. } if response.left || response.damage.is_some() => {
                timing.other(response.last_byte.plus(part.delay))
            }
            _ => None,
        };
        if let Event::Opened { connection, .. } = queued.event {
            let (conn, due) = (part.conn(connection), self.due_or_now(due));
            let dispatchers = self.channels.dispatchers.iter_mut().chain(&mut self.settings.reference.baseline);
            dispatchers.for_each(|dispatcher| dispatcher.opened(conn, due));
        }
        Upcoming { queued, due }
    }

    /// The turn of an event has come: its share of the memory is given back.
    pub(super) fn step(&self, Upcoming { queued, due }: Upcoming) -> PacerStep {
        drop(queued.held);
        self.channels.progress.read_permille.store(queued.permille, Ordering::Relaxed);
        self.channels.progress.queued.store(self.channels.events.len() as u64, Ordering::Relaxed);
        PacerStep::Event(queued.event, queued.part, due)
    }

    /// An event that is there already.
    pub(super) fn at_hand(&mut self) -> Option<QueuedEvent> {
        if self.is_stopped() {
            return None;
        }
        self.opening.pop().or_else(|| self.channels.events.try_recv().ok())
    }

    /// Returns whether the run was stopped, and what was captured is not to be sent any more.
    pub(in crate::pipeline) fn is_stopped(&self) -> bool {
        self.channels.stopped.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Returns the instant at which a connection is due to open or close: now, where the run has not begun or has no
    /// schedule.
    pub(super) fn due_or_now(&self, due: Option<Instant>) -> Instant {
        due.map_or_else(Instant::now, |due| self.put_off(due))
    }
}
