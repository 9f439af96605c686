//! What is on its way from a node to the store: shared by the thread that records and the one that publishes.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::batch::{Buffers, GatheredBatch, OutgoingPiece, RecordKind};
use crate::quantity::several;
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
    /// The recording, for people.
    name: String,
    most: usize,
    /// The file that takes what has no room in memory.
    spool: Option<PathBuf>,
}

struct TransitState {
    buffers: Buffers,
    /// Bytes of batches that were made and are not stored, nor in a file.
    outgoing: usize,
    /// Requests that are in a file, and not stored.
    spooled: u64,
    /// There was no room, and there was never much of it since.
    is_full: bool,
    /// The store does not take what is sent to it.
    is_failing: bool,
    /// The recording is gone for good: what comes is lost.
    is_gone: bool,
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
    fn take(&mut self, partition: u16, kind: RecordKind, record: &[u8]) -> bool {
        let (counts, is_request) = (kind != RecordKind::Mark, kind == RecordKind::Request);
        let more = [u64::from(counts), u64::from(is_request), record.len() as u64];
        self.taken.iter_mut().zip(more).for_each(|(taken, more)| *taken += more);
        self.buffers.push(partition, kind, record)
    }

    /// Some trouble is over: said once all of it is.
    fn goes_on(&mut self, name: &str) {
        if !self.is_full && !self.is_failing {
            self.notice(format!("recording goes on in {name}"));
        }
    }

    /// Notices where there is much room again: with less it would be full again at once.
    fn has_room_again(&mut self, most: usize, name: &str) {
        if self.is_full && self.on_way() <= most / 2 {
            self.is_full = false;
            self.goes_on(name);
        }
    }

    fn on_way(&self) -> usize {
        self.buffers.bytes() + self.outgoing
    }

    fn notice(&mut self, words: String) {
        if self.notices.len() < MAX_NOTICES {
            self.notices.push(words);
        }
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
    /// At most `most` bytes may be on their way to the recording `name`.
    pub(super) fn new(name: String, partitions: u16, most: usize) -> Self {
        let stored = Recorded { requests: Some(0), is_store: true, ..Recorded::default() };
        let state = TransitState {
            buffers: Buffers::new(partitions),
            outgoing: 0,
            spooled: 0,
            is_full: false,
            is_failing: false,
            is_gone: false,
            stored,
            taken: [0; 3],
            notices: Vec::new(),
            stage: Stage::Recording,
            summary: None,
            concluded: None,
        };
        Self { state: Mutex::new(state), bell: Notify::new(), changed: Condvar::new(), name, most, spool: None }
    }

    /// What has no room in memory goes to a file.
    pub(super) fn with_spool(self, spool: Option<PathBuf>) -> Self {
        Self { spool, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, TransitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recording has so many partitions; to be called before anything is on its way.
    pub(super) fn divide_into(&self, partitions: u16) {
        self.lock().buffers = Buffers::new(partitions);
    }

    /// Takes a record; false where there is no room, and it counts as lost.
    pub(super) fn push(&self, partition: u16, kind: RecordKind, record: &[u8]) -> bool {
        let mut state = self.lock();
        let has_room = state.on_way() + record.len() <= self.most;
        if !has_room || state.is_gone || state.stage != Stage::Recording {
            state.stored.lost_records += 1;
            state.stored.lost_requests += u64::from(kind == RecordKind::Request);
            state.stored.lost_bytes += record.len() as u64;
            if !has_room && !state.is_gone && !std::mem::replace(&mut state.is_full, true) {
                state.notice(format!(
                    "{} does not keep up: what finds no room {} is left out, and counted ({})",
                    self.name,
                    if self.spool.is_some() { "in memory and in the file" } else { "in memory" },
                    if self.spool.is_some() { "--nats-spool-size gives more" } else { "--max-memory gives more" },
                ));
            }
            return false;
        }
        let is_batch = state.take(partition, kind, record);
        let is_crowded = self.spool.is_some() && state.on_way() > self.most / 2;
        drop(state);
        if is_batch || is_crowded {
            self.bell.notify_one();
        }
        true
    }

    /// Takes a few bytes in place of a record that found no room.
    pub(super) fn push_anyway(&self, partition: u16, record: &[u8]) {
        let mut state = self.lock();
        if !state.is_gone {
            state.take(partition, RecordKind::Mark, record);
        }
    }

    /// A response is left out as its request was.
    pub(super) fn lose_response(&self) {
        self.lock().stored.lost_records += 1;
    }

    /// The store does not take what is sent to it: said when it begins.
    pub(super) fn fails(&self, why: &str) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.is_failing, true) {
            let room = self.spool.as_ref().map_or(String::new(), |file| format!(" and in {}", file.display()));
            let words = format!(
                "cannot store in {}: {why}. What comes waits in memory{room}, and is left out past that",
                self.name
            );
            state.notice(words);
        }
    }

    /// The store takes what is sent to it.
    pub(super) fn succeeds(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_failing) {
            state.goes_on(&self.name);
        }
    }

    /// Nobody can read the recording any more: what is not stored by now is lost, and so is what comes.
    pub(super) fn is_gone(&self, why: &str) {
        let mut state = self.lock();
        state.stored.unfinished = 1;
        state.is_gone = true;
        state.lose_the_rest();
        let words = format!("{}: {why} (was it thrown away?). Nothing is stored from here on", self.name);
        state.notice(words);
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

    /// Returns whether memory is half full.
    pub(super) fn is_crowded(&self) -> bool {
        self.lock().on_way() > self.most / 2
    }

    /// A quarter of the bytes that may be on their way.
    pub(super) const fn quarter(&self) -> usize {
        self.most / 4
    }

    /// A piece is in a file, and no longer in memory.
    pub(super) fn is_spooled(&self, piece: &OutgoingPiece) {
        let mut state = self.lock();
        state.outgoing = state.outgoing.saturating_sub(piece.payload.len());
        state.spooled += u64::from(piece.requests);
        state.has_room_again(self.most, &self.name);
    }

    /// A batch was made.
    pub(super) fn made(&self, pieces: &[OutgoingPiece]) {
        self.lock().outgoing += pieces.iter().map(|piece| piece.payload.len()).sum::<usize>();
    }

    /// A piece of this run is in the store.
    pub(super) fn is_stored(&self, piece: &OutgoingPiece) {
        let mut state = self.lock();
        if piece.spooled.is_some() {
            state.spooled = state.spooled.saturating_sub(u64::from(piece.requests));
        } else {
            state.outgoing = state.outgoing.saturating_sub(piece.payload.len());
            state.has_room_again(self.most, &self.name);
        }
        if state.is_gone || state.stage >= Stage::Drained {
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
        self.lock().notice(words);
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

    /// Waits until all is stored, but not for longer than this; what waits in a file has as long again whenever some of it was
    /// stored.
    pub(super) fn drain(&self, at_most: Duration) {
        self.reach(Stage::Draining);
        let mut before = self.stored().records;
        loop {
            let state = self.lock();
            let waited = self.changed.wait_timeout_while(state, at_most, |state| state.stage < Stage::Drained);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let stored = state.stored.records;
            if state.stage >= Stage::Drained || state.spooled == 0 || stored == before {
                break;
            }
            before = stored;
        }
        self.reach(Stage::Drained);
        let mut state = self.lock();
        state.lose_the_rest();
        if let Some(file) = self.spool.as_ref().filter(|_| state.spooled > 0) {
            let words = format!(
                "{} left in {}: record to {} with it again, and what is there is sent",
                several(state.spooled, ("request is", "requests are")),
                file.display(),
                self.name
            );
            state.notice(words);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Brings all that is gathered to the store.
    fn store_all(transit: &Transit) {
        for batch in transit.take(true) {
            let pieces = batch.pieces().unwrap();
            transit.made(&pieces);
            for piece in &pieces {
                transit.is_stored(piece);
            }
        }
    }

    #[test]
    fn what_finds_no_room_is_told_once_and_so_is_its_end() {
        let transit = Transit::new("nats://a/evening".to_owned(), 1, 100);
        for _ in 0..2 {
            assert!(transit.push(0, RecordKind::Request, &[1; 90]));
            for _ in 0..2 {
                assert!(!transit.push(0, RecordKind::Request, &[1; 20]));
            }
            let told = transit.take_notices();
            assert!(told.len() == 1 && told[0].starts_with("nats://a/evening does not keep up"), "{told:?}");
            store_all(&transit);
            assert_eq!(transit.take_notices(), ["recording goes on in nats://a/evening"]);
        }
    }

    #[test]
    fn recording_goes_on_once_there_is_neither_failure_nor_want_of_room() {
        let goes_on = ["recording goes on in nats://a/evening"];
        for room_first in [true, false] {
            let transit = Transit::new("nats://a/evening".to_owned(), 1, 100);
            transit.push(0, RecordKind::Request, &[1; 90]);
            transit.push(0, RecordKind::Request, &[1; 90]);
            transit.fails("timed out");
            transit.fails("timed out");
            assert_eq!(transit.take_notices().len(), 2);
            if room_first {
                store_all(&transit);
                assert!(transit.take_notices().is_empty());
                transit.succeeds();
            } else {
                transit.succeeds();
                assert!(transit.take_notices().is_empty());
                store_all(&transit);
            }
            assert_eq!(transit.take_notices(), goes_on);
        }
    }

    #[test]
    fn what_a_recording_that_is_gone_does_not_have_is_lost_at_once() {
        let transit = Transit::new("nats://a/evening".to_owned(), 1, 1_000);
        let push = |kind| transit.push(0, kind, &[1; 90]);
        let lost = || (transit.stored().lost_records, transit.stored().lost_requests, transit.stored().lost_bytes);
        assert!(push(RecordKind::Request) && push(RecordKind::Response));
        store_all(&transit);
        assert!(push(RecordKind::Request) && push(RecordKind::Response));
        let on_way = transit.take(true);
        assert_eq!(lost(), (0, 0, 0));
        transit.is_gone("it is not there any more");
        assert_eq!(lost(), (2, 1, 180));
        assert!(!push(RecordKind::Request));
        transit.lose_response();
        assert_eq!(lost(), (4, 2, 270));
        // What was on its way comes to nothing, and is not lost again.
        for piece in on_way.into_iter().flat_map(|batch| batch.pieces().unwrap()) {
            transit.is_stored(&piece);
        }
        transit.drain(Duration::ZERO);
        assert_eq!((lost(), transit.stored().records), ((4, 2, 270), 2));
        assert!(transit.take_notices().len() == 1);
    }

    #[test]
    fn a_mark_in_the_place_of_a_response_is_no_record() {
        let transit = Transit::new("x".to_owned(), 1, 100);
        assert!(transit.push(0, RecordKind::Request, &[1; 90]));
        assert!(!transit.push(0, RecordKind::Response, &[2; 90]));
        transit.push_anyway(0, &[3; 8]);
        assert!(!transit.push(0, RecordKind::Request, &[1; 90]));
        transit.lose_response();
        store_all(&transit);
        let stored = transit.stored();
        assert_eq!((stored.records, stored.lost_records), (1, 3), "two exchanges are four records");
        assert_eq!((stored.requests, stored.lost_requests), (Some(1), 1));
    }
}
