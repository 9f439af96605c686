//! What is on its way from a node to the store: shared by the thread that records and the one that publishes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::batch::{Buffers, GatheredBatch, OutgoingPiece};
use crate::recording::record::Recorded;
use crate::recording::session::StoreSession;

/// Notices that wait to be fetched. Past it the newest are dropped.
const MAX_NOTICES: usize = 64;
/// Time that the store has to take note of a run's summary.
const CONCLUDE: Duration = Duration::from_secs(10);

/// What is on its way, and what became of the rest.
pub(super) struct Transit {
    state: Mutex<TransitState>,
    /// Rung when there is something to do for whoever publishes.
    pub(super) bell: Notify,
    changed: Condvar,
    most: usize,
}

struct TransitState {
    buffers: Buffers,
    /// Bytes of batches that were made and are not stored.
    outgoing: usize,
    stored: Recorded,
    /// Records that were taken, requests among them, and their bytes.
    taken: [u64; 3],
    notices: Vec<String>,
    stage: Stage,
    summary: Option<Vec<u8>>,
    concluded: Option<Result<(), String>>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Recording,
    /// Nothing more comes: what is left is to be stored.
    Draining,
    /// All is stored, or was given up.
    Drained,
    /// The run has ended.
    Ended,
}

impl TransitState {
    fn take(&mut self, partition: u16, is_request: bool, record: &[u8]) -> bool {
        let more = [1, u64::from(is_request), record.len() as u64];
        self.taken.iter_mut().zip(more).for_each(|(taken, more)| *taken += more);
        self.buffers.push(partition, is_request, record)
    }

    /// What is not stored by now counts as lost.
    fn lose_the_rest(&mut self) {
        let [records, requests, bytes] = std::mem::take(&mut self.taken);
        let stored = &mut self.stored;
        stored.lost_records += records.saturating_sub(stored.records);
        stored.lost_requests += requests.saturating_sub(stored.requests.unwrap_or_default());
        stored.lost_bytes += bytes.saturating_sub(stored.bytes);
    }
}

impl Transit {
    pub(super) fn new(partitions: u16, most: usize) -> Self {
        let stored = Recorded { requests: Some(0), is_store: true, ..Recorded::default() };
        let state = TransitState {
            buffers: Buffers::new(partitions),
            outgoing: 0,
            stored,
            taken: [0; 3],
            notices: Vec::new(),
            stage: Stage::Recording,
            summary: None,
            concluded: None,
        };
        Self { state: Mutex::new(state), bell: Notify::new(), changed: Condvar::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, TransitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recording has so many partitions; to be called before anything is on its way.
    pub(super) fn divide_into(&self, partitions: u16) {
        self.lock().buffers = Buffers::new(partitions);
    }

    /// Takes a record; false where there is no room, and it counts as lost.
    pub(super) fn push(&self, partition: u16, is_request: bool, record: &[u8]) -> bool {
        let mut state = self.lock();
        if state.buffers.bytes() + state.outgoing + record.len() > self.most || state.stage != Stage::Recording {
            state.stored.lost_records += 1;
            state.stored.lost_requests += u64::from(is_request);
            state.stored.lost_bytes += record.len() as u64;
            return false;
        }
        let is_batch = state.take(partition, is_request, record);
        drop(state);
        if is_batch {
            self.bell.notify_one();
        }
        true
    }

    /// Takes a few bytes in place of a record that found no room.
    pub(super) fn push_anyway(&self, partition: u16, record: &[u8]) {
        self.lock().take(partition, false, record);
    }

    /// What is recorded is this node's.
    pub(super) fn belong_to(&self, node: u32) {
        self.lock().buffers.belong_to(node);
    }

    /// Takes what is gathered: full batches, or all.
    pub(super) fn take(&self, all: bool) -> Vec<GatheredBatch> {
        let mut state = self.lock();
        if state.buffers.is_empty() { Vec::new() } else { state.buffers.take(all) }
    }

    /// Returns whether nothing is gathered.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().buffers.is_empty()
    }

    /// A batch was made.
    pub(super) fn made(&self, pieces: &[OutgoingPiece]) {
        self.lock().outgoing += pieces.iter().map(|piece| piece.payload.len()).sum::<usize>();
    }

    /// A piece is in the store.
    pub(super) fn is_stored(&self, piece: &OutgoingPiece) {
        let mut state = self.lock();
        state.outgoing = state.outgoing.saturating_sub(piece.payload.len());
        if state.stage >= Stage::Drained {
            // It counts as lost already.
            return;
        }
        let stored = &mut state.stored;
        stored.records += u64::from(piece.records);
        stored.requests = stored.requests.map(|count| count + u64::from(piece.requests));
        stored.bytes += piece.bytes as u64;
        stored.stored_bytes += piece.payload.len() as u64;
    }

    pub(super) fn notice(&self, words: String) {
        let mut state = self.lock();
        if state.notices.len() < MAX_NOTICES {
            state.notices.push(words);
        }
    }

    pub(super) fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().notices)
    }

    pub(super) fn stored(&self) -> Recorded {
        self.lock().stored.clone()
    }

    pub(super) fn stage(&self) -> Stage {
        self.lock().stage
    }

    /// The run has come as far as this.
    pub(super) fn reach(&self, at_least: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(at_least);
        drop(state);
        self.changed.notify_all();
        self.bell.notify_one();
    }

    /// Nothing will ever be stored any more.
    pub(super) fn give_up(&self, why: String) {
        self.notice(why);
        self.reach(Stage::Drained);
    }

    /// Waits until all is stored, but not for longer than this.
    pub(super) fn drain(&self, at_most: Duration) {
        self.reach(Stage::Draining);
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, at_most, |state| state.stage < Stage::Drained);
        drop(waited);
        self.reach(Stage::Drained);
        self.lock().lose_the_rest();
    }

    /// What the run came to, where it has said so.
    pub(super) fn take_summary(&self) -> Option<Vec<u8>> {
        self.lock().summary.take()
    }

    /// The store knows of the end, or will not.
    pub(super) fn conclude(&self, how: Result<(), String>) {
        self.lock().concluded = Some(how);
        self.changed.notify_all();
    }
}

/// A run that records, as a member of its fleet.
pub(super) struct NodeSession {
    transit: Arc<Transit>,
}

impl NodeSession {
    pub(super) const fn new(transit: Arc<Transit>) -> Self {
        Self { transit }
    }
}

impl StoreSession for NodeSession {
    fn conclude(&self, summary: Vec<u8>) -> Result<(), String> {
        let transit = &self.transit;
        transit.lock().summary = Some(summary);
        transit.reach(Stage::Ended);
        let (mut state, _) = transit
            .changed
            .wait_timeout_while(transit.lock(), CONCLUDE, |state| state.concluded.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.concluded.take().unwrap_or_else(|| Err("the store did not answer in time".to_owned()))
    }
}

/// A run that says nothing has ended all the same.
impl Drop for NodeSession {
    fn drop(&mut self) {
        self.transit.reach(Stage::Ended);
    }
}
