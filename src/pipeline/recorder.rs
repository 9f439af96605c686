//! The recording thread: what passed the chain, or the frames themselves, on their way to disk.
//!
//! The queue before it has a bound in entries and in bytes. Those who capture never wait for it: what finds no room is
//! not recorded, and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use super::budget::{Budget, BudgetShare, bytes_of};
use super::clock::wall_clock;
use super::context::RunContext;
use super::progress::Progress;
use super::run::Reopen;
use super::save_trigger::SaveTrigger;
use crate::capture::{Frame, LinkType};
use crate::exchange::{Event, Timestamp};
use crate::recording::{Recorded, RecordingOutput};

/// Entries on their way to the recording thread; past it they are not recorded, and counted.
pub(super) const QUEUE: usize = 16_384;
/// Longest time between two looks at the clock: what was written is flushed within a second of it.
const TICK: Duration = Duration::from_millis(100);
/// Entries in a row after which there is much to record.
const BUSY: u64 = 16;
/// Entries between two looks at the clock, while there is much to record.
const LOOK_EVERY: u64 = 64;
/// Length of the nap taken then: so short that the queue cannot fill.
const NAP: Duration = Duration::from_millis(10);
/// Bytes of frames that travel together.
const BATCH_BYTES: usize = 256 << 10;

/// Target of what is told though nothing is wrong: the program prints it.
const NEWS: &str = "shadowtap::news";

/// Something to record, with its share of the memory that such may take.
pub(super) struct QueuedEntry {
    what: EntryKind,
    held: BudgetShare,
}

enum EntryKind {
    Event(Event),
    Frames(FrameBatch),
}

/// Hands events to the recording thread.
#[derive(Clone)]
pub(super) struct EventSender {
    to: Sender<QueuedEntry>,
    bytes: Budget,
    progress: Arc<Progress>,
}

impl EventSender {
    /// False where there is no room: then the event is not recorded.
    pub(super) fn send(&self, event: Event) -> bool {
        let bytes = bytes_of(&event);
        send(&self.to, &self.bytes, EntryKind::Event(event), bytes) || {
            self.progress.unrecorded.fetch_add(1, Ordering::Relaxed);
            false
        }
    }
}

fn send(to: &Sender<QueuedEntry>, budget: &Budget, what: EntryKind, bytes: usize) -> bool {
    let Ok(held) = budget.try_hold(bytes) else { return false };
    match to.try_send(QueuedEntry { what, held }) {
        Ok(()) => true,
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
    }
}

/// Frames, copied one after another.
#[derive(Default)]
struct FrameBatch {
    heads: Vec<FrameHead>,
    bytes: Vec<u8>,
}

struct FrameHead {
    at: Timestamp,
    link: LinkType,
    wire_len: u32,
    /// End offset of its bytes.
    end: usize,
}

impl FrameBatch {
    fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut start = 0;
        self.heads.iter().map(move |head| {
            let data = self.bytes.get(std::mem::replace(&mut start, head.end)..head.end).unwrap_or_default();
            Frame { at: head.at, link: head.link, wire_len: head.wire_len, data }
        })
    }
}

/// Hands frames to the recording thread, many at once.
pub(super) struct FrameSender {
    to: Sender<QueuedEntry>,
    bytes: Budget,
    progress: Arc<Progress>,
    batch: FrameBatch,
}

impl FrameSender {
    /// Copies a frame; it goes with the next [`FrameSender::flush`], or when there are enough.
    pub(super) fn push(&mut self, frame: &Frame<'_>) {
        self.batch.bytes.extend_from_slice(frame.data);
        let end = self.batch.bytes.len();
        self.batch.heads.push(FrameHead { at: frame.at, link: frame.link, wire_len: frame.wire_len, end });
        if end >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands on what there is.
    pub(super) fn flush(&mut self) {
        if self.batch.heads.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let frames = batch.heads.len() as u64;
        let bytes = batch.bytes.len() + batch.heads.len() * size_of::<FrameHead>();
        if !send(&self.to, &self.bytes, EntryKind::Frames(batch), bytes) {
            self.progress.unrecorded.fetch_add(frames, Ordering::Relaxed);
        }
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The recording thread, and what hands events, or else frames, to it; none where nothing is recorded.
#[derive(Default)]
pub(super) struct RecordingStage {
    pub(super) events: Option<EventSender>,
    pub(super) frames: Option<FrameSender>,
    pub(super) thread: Option<RecordingThread>,
}

impl RecordingStage {
    /// A queue before `recorder`.
    pub(super) fn new(context: &RunContext, recorder: Option<Box<dyn RecordingOutput>>) -> Self {
        let Some(recorder) = recorder else { return Self::default() };
        if recorder.dashcam().is_some() {
            context.control.saves().heed();
        }
        let (to, entries) = crossbeam_channel::bounded(QUEUE);
        let (bytes, progress) = (Budget::new(context.memory.recording), Arc::clone(&context.progress));
        let takes_frames = recorder.takes_frames();
        let thread = Some(RecordingThread { recorder, entries, progress: Arc::clone(&progress), in_a_row: 0 });
        if takes_frames {
            Self {
                frames: Some(FrameSender { to, bytes, progress, batch: FrameBatch::default() }),
                events: None,
                thread,
            }
        } else {
            Self { events: Some(EventSender { to, bytes, progress }), frames: None, thread }
        }
    }
}

/// State of the recording thread.
pub(super) struct RecordingThread {
    recorder: Box<dyn RecordingOutput>,
    entries: Receiver<QueuedEntry>,
    progress: Arc<Progress>,
    /// Entries handled since this thread last waited or napped.
    in_a_row: u64,
}

impl RecordingThread {
    /// Records until nobody hands anything on.
    pub(super) fn run(mut self, reopen: &Reopen, saves: &SaveTrigger) -> Recorded {
        let (mut reopened, mut heeded) = (reopen.count(), 0);
        let mut last_report = Timestamp::default();
        loop {
            match self.next() {
                Ok(QueuedEntry { what, held }) => {
                    match what {
                        EntryKind::Event(event) => self.recorder.event(event),
                        EntryKind::Frames(batch) => batch.frames().for_each(|frame| self.recorder.frame(&frame)),
                    }
                    drop(held);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if reopen.count() != reopened {
                reopened = reopen.count();
                self.recorder.reopen();
            }
            for reason in saves.take(&mut heeded) {
                self.recorder.tick(wall_clock());
                self.recorder.save(&reason);
            }
            // What time it is is asked now and then, not for every entry.
            if self.in_a_row.is_multiple_of(LOOK_EVERY) || self.recorder.has_work() {
                let now = wall_clock();
                self.recorder.tick(now);
                if now.since(last_report) >= TICK {
                    last_report = now;
                    self.report();
                }
            }
        }
        let recorded = self.recorder.finish();
        self.report();
        recorded
    }

    /// The next entry. After many of them this thread naps rather than waits, as the pacing thread does.
    fn next(&mut self) -> Result<QueuedEntry, RecvTimeoutError> {
        if let Ok(entry) = self.entries.try_recv() {
            self.in_a_row += 1;
            return Ok(entry);
        }
        if std::mem::take(&mut self.in_a_row) >= BUSY && !self.recorder.has_work() {
            thread::sleep(NAP);
        }
        // A save that goes on is gone on with.
        self.entries.recv_timeout(if self.recorder.has_work() { Duration::ZERO } else { TICK })
    }

    fn report(&mut self) {
        for news in self.recorder.take_news() {
            tracing::info!(target: NEWS, "{news}");
        }
        for notice in self.recorder.take_notices() {
            tracing::warn!("{notice}");
        }
        let so_far = self.recorder.stored();
        self.progress.recorded.store(so_far.requests.unwrap_or(so_far.records), Ordering::Relaxed);
        self.progress.records.store(so_far.records, Ordering::Relaxed);
        self.progress.records_frames.store(so_far.requests.is_none(), Ordering::Relaxed);
        self.progress.recorded_bytes.store(so_far.bytes, Ordering::Relaxed);
        let progress = &self.progress;
        let lost = if so_far.is_store { &progress.lost_to_store } else { &progress.lost_to_disk };
        lost.store(so_far.lost_records, Ordering::Relaxed);
    }
}
