//! Sending of responses to the processes, from any thread.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ExternalCounts;
use super::queue::WriteJob;
use crate::exchange::{ConnectionId, ExchangeId};
use crate::middleware::external::{MessageId, OutgoingMessage};
use crate::pipeline::budget::Budget;
use crate::recording::recent::Recent;

/// Sends responses to the processes from any thread, without blocking.
#[derive(Clone)]
pub(in crate::pipeline) struct ResponseSender {
    pub(super) jobs: Arc<[mpsc::Sender<WriteJob>]>,
    pub(super) bytes: Budget,
    pub(super) timeout: Duration,
    pub(super) names: Arc<Mutex<Recent<ExchangeId, MessageId>>>,
    pub(super) counts: Arc<ExternalCounts>,
}

impl ResponseSender {
    /// Returns the id by which the processes know an exchange.
    pub(super) fn name(&self, id: ExchangeId) -> MessageId {
        let made_up = id.is_made_up().then(|| {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.get(id).cloned()
        });
        made_up.flatten().unwrap_or_else(|| MessageId::of(id))
    }

    /// Sends a response where there is room for it; counts it as unsent otherwise.
    pub(super) fn send(&self, id: ExchangeId, message: OutgoingMessage) -> bool {
        let held = self.bytes.try_hold(message.bytes());
        let deadline = Instant::now() + self.timeout;
        let sent = held.is_ok_and(|held| self.send_job(id, WriteJob { message, deadline, taken: None, held }));
        if !sent {
            self.counts.untold.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// The same process for all of a connection, so that its requests keep their order.
    pub(super) fn worker(&self, connection: ConnectionId) -> usize {
        usize::try_from(connection.0 % self.jobs.len().max(1) as u64).unwrap_or_default()
    }

    pub(super) fn send_job(&self, id: ExchangeId, job: WriteJob) -> bool {
        self.jobs.get(self.worker(id.connection)).is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}
