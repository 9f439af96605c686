//! Mirrored connections: one for each captured connection, its requests in their order.
//!
//! A lane is a chain of turns. Each request takes the end of the chain and leaves a new one; the connection is handed
//! down the chain, so that whoever holds it is alone with it, and no task has to stand by while it is idle. Closing a
//! lane is dropping its end: the last turn then finds nobody to hand the connection to, and drops it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::upstream::UpstreamConn;
use crate::replay::{ConnKey, SendError};

/// Lanes that are followed at once. Past it a request goes over a connection of its own, which ends with it.
const MAX_LANES: usize = 1 << 20;

/// Connection and its permit, handed down a lane.
#[derive(Debug, Default)]
pub(super) struct MirroredSlot {
    /// Its place among the connections that may be open at once; from the first use on where there is a limit.
    slot: Option<OwnedSemaphorePermit>,
    pub(super) connection: MirroredState,
}

/// The connection of a lane.
#[derive(Debug, Default)]
pub(super) enum MirroredState {
    /// There is none, or none any more.
    #[default]
    None,
    /// On its way.
    Opening(OpeningConn),
    Open(UpstreamConn),
}

/// A connection that is being made; dropped, it is not.
#[derive(Debug)]
pub(super) struct OpeningConn(pub(super) JoinHandle<Result<UpstreamConn, SendError>>);

impl Drop for OpeningConn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Source of a turn's connection.
#[derive(Debug)]
enum Predecessor {
    Here(MirroredSlot),
    Waiting(oneshot::Receiver<Predecessor>),
}

impl Default for Predecessor {
    fn default() -> Self {
        Self::Here(MirroredSlot::default())
    }
}

/// A request's place in its lane.
#[derive(Debug)]
pub(crate) struct MirroredTicket {
    before: Predecessor,
    after: Option<oneshot::Sender<Predecessor>>,
    /// Permits for lanes with a connection; `None` without a limit.
    slots: Option<Arc<Semaphore>>,
}

impl MirroredTicket {
    /// Ready when the requests before this one are done and the lane has its place among the open connections.
    pub(crate) async fn ready(&mut self) {
        while let Predecessor::Waiting(receiver) = &mut self.before {
            // Whoever was before and died without a word took the connection along.
            self.before = receiver.await.unwrap_or_default();
        }
        if let (Predecessor::Here(held @ MirroredSlot { slot: None, .. }), Some(slots)) =
            (&mut self.before, &self.slots)
        {
            held.slot = Arc::clone(slots).acquire_owned().await.ok();
        }
    }

    /// Returns whether requests before this one are not done, as far as it was told.
    pub(crate) const fn is_behind(&self) -> bool {
        matches!(self.before, Predecessor::Waiting(_))
    }

    /// Gives the lane's place among the open connections to another: its connection does not count any more. The next turn
    /// takes one again.
    pub(super) fn leave_place(&mut self) {
        if let Predecessor::Here(held) = &mut self.before {
            held.slot = None;
        }
    }

    /// The lane's connection; what is taken has to be [`MirroredTicket::put`] back to be used again.
    pub(super) fn take(&mut self) -> MirroredState {
        match &mut self.before {
            Predecessor::Here(held) => std::mem::take(&mut held.connection),
            Predecessor::Waiting(_) => MirroredState::None,
        }
    }

    /// Puts a connection back for the next turn.
    pub(super) fn put(&mut self, connection: MirroredState) {
        if let Predecessor::Here(held) = &mut self.before {
            held.connection = connection;
        }
    }

    /// [`MirroredTicket::ready`], unless the lane is closed first and nobody has a turn after this one: then false.
    pub(super) async fn come_unless_closed(&mut self) -> bool {
        let Some(mut after) = self.after.take() else { return false };
        let came = tokio::select! {
            biased;
            () = after.closed() => false,
            () = self.ready() => true,
        };
        self.after = Some(after);
        came
    }
}

/// Hands the connection that this turn has, or waits for, to the next one.
impl Drop for MirroredTicket {
    fn drop(&mut self) {
        let before = std::mem::take(&mut self.before);
        if let Some(after) = self.after.take() {
            // A lane that was closed takes nothing: its connection ends here.
            drop(after.send(before));
        }
    }
}

/// All lanes of a client.
#[derive(Debug)]
pub(super) struct MirroredConns {
    ends: Mutex<HashMap<ConnKey, oneshot::Receiver<Predecessor>, foldhash::fast::RandomState>>,
    slots: Option<Arc<Semaphore>>,
}

impl MirroredConns {
    /// Lanes of which so many may have a connection at once.
    pub(super) fn new(max_connections: Option<usize>) -> Self {
        let slots = max_connections.map(|most| Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))));
        Self { ends: Mutex::default(), slots }
    }

    /// Takes a place at the end of a lane, which begins with it where it did not before.
    pub(super) fn enqueue(&self, lane: ConnKey) -> MirroredTicket {
        let (after, end) = oneshot::channel();
        let mut ends = self.ends();
        let known = ends.contains_key(&lane);
        let before = if known || ends.len() < MAX_LANES { ends.insert(lane, end) } else { None };
        drop(ends);
        let before = before.map_or_else(Predecessor::default, Predecessor::Waiting);
        MirroredTicket { before, after: Some(after), slots: self.slots.clone() }
    }

    /// Ends a lane; its connection goes when the turns that were taken are over.
    pub(super) fn close(&self, lane: ConnKey) {
        let end = self.ends().remove(&lane);
        // Not under the lock: a connection may be dropped with it.
        drop(end);
    }

    /// Looks at the connections that wait for their next request, so that what came unasked is counted; dead ones go.
    pub(super) fn look(&self) {
        for end in self.ends().values_mut() {
            let Ok(mut before) = end.try_recv() else { continue };
            if let Predecessor::Here(MirroredSlot { connection, .. }) = &mut before
                && let MirroredState::Open(link) = connection
                && !link.is_ready()
            {
                *connection = MirroredState::None;
            }
            let (after, waiting) = oneshot::channel();
            *end = waiting;
            // The receiver is right here.
            after.send(before).ok();
        }
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<ConnKey, oneshot::Receiver<Predecessor>, foldhash::fast::RandomState>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
