//! The pacer of live traffic, which two threads share.
//!
//! What was captured is due at once, so the capture thread passes it on itself: to wake another thread would take longer
//! than the work. Where that work is not done in time, since a chain takes long, events go by the queue instead, and the
//! pacing thread passes them on beside the capture. Events that are queued go first: the order stays.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Select, TryRecvError};

use super::stage::ChainEnd;
use super::{Pacer, PacerMode, Stopped};
use crate::exchange::Event;
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::QueuedEvent;
use crate::pipeline::wakeups::wake_in_time;

/// Facts for which the report has to have room, so that whoever passes events on does not wait for it.
const LEAST_ROOM: usize = 4096;

/// The pacer, until the run is over. Clones are one and the same.
#[derive(Clone)]
pub(in crate::pipeline) struct SharedPacer(Arc<Mutex<Option<Pacer>>>);

/// The work of the pacing thread.
pub(in crate::pipeline) enum PacingThread {
    /// It has the pacer to itself.
    Alone(Box<Pacer>),
    /// It does what the capture thread does not do itself.
    Beside { pacer: SharedPacer, events: Receiver<QueuedEvent>, stopped: Receiver<()> },
}

impl PacingThread {
    /// Works until the events end or the run is stopped; returns what the chain has to say at the end.
    pub(in crate::pipeline) fn run(self) -> ChainEnd {
        let (pacer, events, stopped) = match self {
            Self::Alone(pacer) => return pacer.run(),
            Self::Beside { pacer, events, stopped } => (pacer, events, stopped),
        };
        wake_in_time();
        while pacer.pass_queued_on().is_ok() {
            let mut either = Select::new();
            either.recv(&stopped);
            either.recv(&events);
            either.ready();
        }
        let pacer = pacer.lock().take();
        pacer.map(Pacer::finish).unwrap_or_default()
    }
}

impl SharedPacer {
    /// Passes on events that have just been captured, and takes them out of `events`; false where the pacing thread has
    /// work, or the run is over: then they have to be queued.
    pub(in crate::pipeline) fn pass_on(&self, events: &mut Vec<Event>) -> bool {
        let Ok(mut shared) = self.0.try_lock() else { return false };
        let Some(pacer) = shared.as_mut().filter(|pacer| pacer.is_idle()) else { return false };
        for event in events.drain(..) {
            let upcoming =
                pacer.upcoming(QueuedEvent { event, part: PassTag::default(), held: None, permille: u64::MAX });
            // Where nobody takes facts any more, the run is over.
            if pacer.event(upcoming.queued.event, upcoming.queued.part, upcoming.due).is_err() {
                break;
            }
        }
        true
    }

    /// Passes on what is queued; an error once nothing more will be, or the run was stopped.
    fn pass_queued_on(&self) -> Result<(), Stopped> {
        let mut shared = self.lock();
        let pacer = shared.as_mut().ok_or(Stopped)?;
        loop {
            if pacer.is_stopped() {
                return Err(Stopped);
            }
            match pacer.channels.events.try_recv() {
                Ok(queued) => {
                    let upcoming = pacer.upcoming(queued);
                    let step = pacer.step(upcoming);
                    pacer.take_step(step)?;
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Stopped),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pacer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pacer {
    /// Divides the work: what is due at once is shared with the capture thread, which is given its share.
    pub(in crate::pipeline) fn divide(self) -> (PacingThread, Option<SharedPacer>) {
        if !self.is_live() || !matches!(self.settings.mode, PacerMode::Plain) {
            return (PacingThread::Alone(Box::new(self)), None);
        }
        let (events, stopped) = (self.channels.events.clone(), self.channels.stopped.clone());
        let pacer = SharedPacer(Arc::new(Mutex::new(Some(self))));
        (PacingThread::Beside { pacer: pacer.clone(), events, stopped }, Some(pacer))
    }

    /// Returns whether nothing is queued, and nothing would have to wait.
    fn is_idle(&self) -> bool {
        self.channels.events.is_empty() && self.channels.facts.capacity() >= LEAST_ROOM && !self.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Sender;
    use tokio::sync::mpsc;

    use super::super::Timing;
    use super::super::testing::pacer_of;
    use super::*;
    use crate::exchange::ConnectionId;
    use crate::report::ReportEvent;
    use crate::testing;

    /// A pacer that is shared, the rest of its work, and what goes in and out.
    struct SharedFixture {
        shared: SharedPacer,
        thread: PacingThread,
        events: Sender<QueuedEvent>,
        stop: Sender<()>,
        reported: mpsc::Receiver<ReportEvent>,
        _runtime: tokio::runtime::Runtime,
    }

    fn fixture() -> SharedFixture {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (pacer, events, stop, reported) = pacer_of(&runtime, PacerMode::Plain, Timing::Live, 8);
        let (thread, shared) = pacer.divide();
        SharedFixture { shared: shared.unwrap(), thread, events, stop, reported, _runtime: runtime }
    }

    /// An event that is reported, whatever came before it.
    fn orphan() -> Event {
        Event::Orphan { connection: ConnectionId(1), response: testing::response(200) }
    }

    fn queued() -> QueuedEvent {
        QueuedEvent { event: orphan(), part: PassTag::default(), held: None, permille: 0 }
    }

    impl SharedFixture {
        fn reported(&mut self) -> usize {
            std::iter::from_fn(|| self.reported.try_recv().ok()).count()
        }
    }

    #[test]
    fn what_is_captured_is_passed_on_at_once() {
        let mut rig = fixture();
        let mut events = vec![orphan(), orphan()];
        assert!(rig.shared.pass_on(&mut events));
        assert_eq!((events.len(), rig.reported()), (0, 2));
    }

    #[test]
    fn nothing_overtakes_what_is_queued() {
        let mut rig = fixture();
        rig.events.send(queued()).unwrap();
        let mut events = vec![orphan()];
        assert!(!rig.shared.pass_on(&mut events));
        assert_eq!((events.len(), rig.reported()), (1, 0));
        assert!(rig.shared.pass_queued_on().is_ok());
        assert!(rig.shared.pass_on(&mut events));
        assert_eq!(rig.reported(), 2);
    }

    #[test]
    fn what_would_wait_for_the_report_is_queued() {
        let mut rig = fixture();
        let many = 8192 - LEAST_ROOM;
        for _ in 0..=many {
            assert!(rig.shared.pass_on(&mut vec![orphan()]));
        }
        assert!(!rig.shared.pass_on(&mut vec![orphan()]));
        assert_eq!(rig.reported(), many + 1);
        assert!(rig.shared.pass_on(&mut vec![orphan()]));
    }

    #[test]
    fn at_the_end_the_thread_passes_on_what_is_queued_and_nobody_else_anything() {
        let SharedFixture { shared, thread, events, stop, mut reported, _runtime } = fixture();
        (0..3).for_each(|_| events.send(queued()).unwrap());
        drop(events);
        thread.run();
        assert_eq!(std::iter::from_fn(|| reported.try_recv().ok()).count(), 3);
        assert!(!shared.pass_on(&mut vec![orphan()]));
        drop(stop);
    }

    #[test]
    fn a_run_that_is_stopped_passes_nothing_on() {
        let mut rig = fixture();
        drop(rig.stop);
        assert!(!rig.shared.pass_on(&mut vec![orphan()]));
        assert!(rig.shared.pass_queued_on().is_err());
        drop(rig.events);
        rig.thread.run();
        assert!(rig.reported.try_recv().is_err());
    }
}
