//! What the pacing thread does next: the event whose turn has come, or what a process outside brings about.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::TryRecvError;
use tokio::time::Instant;

use super::{Pacer, Timing, external, unfit};
use crate::exchange::Event;
use crate::pipeline::QueuedEvent;
use crate::pipeline::passes::PassTag;

/// Events in a row after which a live source counts as busy: some thousands a second.
const BUSY: u64 = 16;
/// How long to nap then: far less than the kernel takes to hand over the next frames.
const NAP: Duration = Duration::from_millis(1);

/// An event that has come from the capture thread, and when it is due; `None` where it has no time of its own.
pub(super) struct Upcoming {
    pub(super) parcel: QueuedEvent,
    pub(super) due: Option<Instant>,
}

/// What there is to do next.
pub(super) enum PacerStep {
    Event(Event, PassTag, Option<Instant>),
    Outside(external::ExternalStep),
}

impl Pacer {
    /// None where there is nothing more to do, or the run was stopped.
    pub(super) fn next(&mut self) -> Option<PacerStep> {
        if self.work.external.is_some() {
            return self.next_of_both();
        }
        if self.ahead.is_some() {
            return self.next_of_ahead();
        }
        let parcel = match self.at_hand() {
            Some(parcel) => parcel,
            None => crossbeam_channel::select_biased! {
                recv(self.ends.stopped) -> _ => None,
                recv(self.ends.events) -> parcel => parcel.ok(),
            }?,
        };
        let upcoming = self.upcoming(parcel);
        Some(self.step(upcoming))
    }

    /// Takes notice of what comes next in the capture: when it is due, and which connections open.
    pub(super) fn upcoming(&mut self, parcel: QueuedEvent) -> Upcoming {
        let (part, needs_bodies) = (parcel.part, self.needs_bodies());
        let timing = &mut self.work.timing;
        timing.reach(part.pass);
        let due = match &parcel.event {
            Event::Request(request) if unfit(request, needs_bodies).is_none() => {
                timing.due(request.last_byte.plus(part.delay))
            }
            Event::Opened { at, .. } | Event::Closed { at, .. } => timing.other(at.plus(part.delay)),
            _ => None,
        };
        if let Event::Opened { connection, .. } = parcel.event {
            let (lane, due) = (part.lane(connection), self.due_or_now(due));
            let outlets = self.ends.outlets.iter_mut().chain(&mut self.work.reference.baseline);
            outlets.for_each(|outlet| outlet.opened(lane, due));
        }
        Upcoming { parcel, due }
    }

    /// The turn of an event has come: its share of the memory is given back.
    pub(super) fn step(&self, Upcoming { parcel, due }: Upcoming) -> PacerStep {
        drop(parcel.held);
        self.ends.progress.read_permille.store(parcel.permille, Ordering::Relaxed);
        self.ends.progress.queued.store(self.ends.events.len() as u64, Ordering::Relaxed);
        PacerStep::Event(parcel.event, parcel.part, due)
    }

    /// An event that is there already. Live, this thread naps after many of them rather than waits: who waits in the queue
    /// is woken for each single event, and that costs more than to handle it.
    fn at_hand(&mut self) -> Option<QueuedEvent> {
        if self.ends.stopped.try_recv() == Err(TryRecvError::Disconnected) {
            return None;
        }
        if let Ok(parcel) = self.ends.events.try_recv() {
            self.in_a_row += 1;
            return Some(parcel);
        }
        let is_live = matches!(self.work.timing, Timing::Live);
        if !is_live || std::mem::take(&mut self.in_a_row) < BUSY {
            return None;
        }
        thread::sleep(NAP);
        self.ends.events.try_recv().ok()
    }

    /// When a connection is due to open or close: now, where the run has not begun or has no schedule.
    pub(super) fn due_or_now(&self, due: Option<Instant>) -> Instant {
        due.map_or_else(Instant::now, |due| self.put_off(due))
    }
}
