//! Requests that the pacing thread writes itself when they are due: nobody has to be woken for that.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::exchange::Request;
use crate::replay::{AnyClient, ResponseOptions, Ticket};

/// Time before a request is due at which it is taken up: to come to its bytes takes about that. The rest is spun away.
pub(super) const LEAD: Duration = Duration::from_micros(25);
/// Lag from which on requests are handed over unwritten: the pacing thread is behind, and others can write meanwhile.
const BEHIND: Duration = Duration::from_millis(2);

/// Connections that open at once before a run begins: fewer than fit the queue of any listener.
const AT_ONCE: usize = 32;

/// Writes the requests of one target.
#[derive(Debug)]
pub(super) struct EarlySender {
    /// Places among the requests in flight, which those that are written need as well.
    pub(super) places: Arc<Semaphore>,
}

impl EarlySender {
    /// Opens so many connections, as far as that can be done until then, and no more than there are places; what is returned is
    /// disconnected once it is.
    pub(super) fn open_idle(
        &self,
        client: &Arc<AnyClient>,
        count: usize,
        until: Instant,
        runtime: &Handle,
    ) -> Receiver<()> {
        let (done, all) = crossbeam_channel::bounded(0);
        // None is in use yet: what is opened now stays open, and each request brings its place along.
        let count = count.min(self.places.available_permits());
        let left = Arc::new(AtomicUsize::new(count));
        for _ in 0..count.min(AT_ONCE) {
            let (client, places, left, done) =
                (Arc::clone(client), Arc::clone(&self.places), Arc::clone(&left), done.clone());
            runtime.spawn(async move {
                // In a place each: a request that comes meanwhile opens none beside them.
                while Instant::now() < until
                    && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
                    && let Ok(_place) = Arc::clone(&places).try_acquire_owned()
                {
                    client.open_idle().await;
                }
                drop(done);
            });
        }
        all
    }

    /// Writes a request where a place and a connection are free, and no more has to be done; returns its ticket.
    pub(super) fn send(
        &self,
        client: &AnyClient,
        request: &Request,
        due: Instant,
        wanted: ResponseOptions,
    ) -> Option<Ticket> {
        if due.elapsed() >= BEHIND {
            return None;
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Ticket::written(client.write_at(due, request, wanted)?, place))
    }
}
