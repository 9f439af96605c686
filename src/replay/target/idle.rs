//! Workers that have nothing to send, and are given what comes next: a new task for each request would cost more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::prepared::{PreparedJob, SendPlace};

/// Most workers that wait for something to send. Each has a task of some kilobytes.
const MAX_IDLE: usize = 256;

/// Way to a worker that waits, which gets it back with what it is to send.
pub(super) type WorkerInbox = mpsc::Sender<Handed>;

/// Something to send, the place for it among the requests in flight, and the worker's own inbox.
pub(super) struct Handed {
    pub(super) job: PreparedJob,
    pub(super) place: SendPlace,
    pub(super) inbox: WorkerInbox,
}

/// The workers that wait, the last that was busy on top; none once the target has ended.
pub(super) struct IdleWorkers(Mutex<Option<Vec<WorkerInbox>>>);

impl Default for IdleWorkers {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

/// Ends the workers that wait when it is dropped.
pub(super) struct EndsIdle<'a>(&'a IdleWorkers);

impl Drop for EndsIdle<'_> {
    fn drop(&mut self) {
        self.0.inboxes().take();
    }
}

impl IdleWorkers {
    /// Has the workers that wait end when the target does, and those that would wait then.
    pub(super) const fn end_when_dropped(&self) -> EndsIdle<'_> {
        EndsIdle(self)
    }

    /// Gives a job to a worker that waits; gives it back where there is none.
    pub(super) fn give(&self, job: PreparedJob, place: SendPlace) -> Option<(PreparedJob, SendPlace)> {
        let Some(inbox) = self.inboxes().as_mut().and_then(Vec::pop) else { return Some((job, place)) };
        let handed = Handed { job, place, inbox: inbox.clone() };
        // A worker that waits has room for one, unless it has died.
        inbox.try_send(handed).err().map(|refused| {
            let Handed { job, place, .. } = refused.into_inner();
            (job, place)
        })
    }

    /// Takes the inbox of a worker that will wait; false where it is to end instead.
    pub(super) fn wait(&self, inbox: WorkerInbox) -> bool {
        let mut inboxes = self.inboxes();
        let room = inboxes.as_mut().filter(|inboxes| inboxes.len() < MAX_IDLE);
        room.map(|inboxes| inboxes.push(inbox)).is_some()
    }

    fn inboxes(&self) -> MutexGuard<'_, Option<Vec<WorkerInbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
