//! Progress of a run so far: counters that others may read at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Tap;
use crate::capture::Dropped;

/// Live counters of a run, for a progress line and for warnings while there is still time to act.
#[derive(Debug)]
pub struct Progress {
    /// Frames received.
    pub frames: AtomicU64,
    /// Frames of them that have a TCP segment with a port that was asked for.
    pub segments: AtomicU64,
    /// Frames that the kernel or the interface dropped.
    pub frames_dropped: AtomicU64,
    /// Holes that were given up.
    pub gaps: AtomicU64,
    /// Captured connections that are open; `u64::MAX` where unknown.
    pub open: AtomicU64,
    /// Requests seen.
    pub seen: AtomicU64,
    /// Deliveries that ended as sent.
    pub sent: AtomicU64,
    /// Deliveries that ended as failed.
    pub failed: AtomicU64,
    /// Requests that ended before any target, or were kept where there is none.
    pub kept_back: AtomicU64,
    /// Requests and deliveries that were thrown away for want of room.
    pub shed: AtomicU64,
    /// Deliveries that were thrown away because earlier ones kept their connection.
    pub held_up: AtomicU64,
    /// Deliveries that were thrown away for want of a file or a port for their connection.
    pub unconnected: AtomicU64,
    /// Deliveries offered and not yet ended.
    pub in_flight: AtomicU64,
    /// Whole requests written; frames where frames are recorded.
    pub recorded: AtomicU64,
    /// Records written: messages, exchanges or frames, as the format has them.
    pub records: AtomicU64,
    /// Whether frames are recorded.
    pub records_frames: AtomicBool,
    /// Bytes of the files written, before compression.
    pub recorded_bytes: AtomicU64,
    /// Records that found no room on their way to the disk.
    pub unrecorded: AtomicU64,
    /// Records that the disk did not take.
    pub lost_to_disk: AtomicU64,
    /// Records that found no room on their way to a store.
    pub lost_to_store: AtomicU64,
    /// Events that wait for the pacing thread.
    pub queued: AtomicU64,
    /// Progress through the capture, in thousandths; `u64::MAX` where unknown.
    pub read_permille: AtomicU64,
    /// What the source has said and nobody has shown yet.
    news: Mutex<News>,
}

/// What a source says while it is read.
#[derive(Debug, Default)]
struct News {
    /// How many of its warnings were taken over.
    known: usize,
    fresh: Vec<String>,
}

impl Default for Progress {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self {
            frames: zero(),
            segments: zero(),
            frames_dropped: zero(),
            gaps: zero(),
            open: AtomicU64::new(u64::MAX),
            seen: zero(),
            sent: zero(),
            failed: zero(),
            kept_back: zero(),
            shed: zero(),
            held_up: zero(),
            unconnected: zero(),
            in_flight: zero(),
            recorded: zero(),
            records: zero(),
            records_frames: AtomicBool::new(false),
            recorded_bytes: zero(),
            unrecorded: zero(),
            lost_to_disk: zero(),
            lost_to_store: zero(),
            queued: zero(),
            read_permille: AtomicU64::new(u64::MAX),
            news: Mutex::default(),
        }
    }
}

impl Progress {
    /// Takes over what the tap has counted.
    pub(super) fn look(&self, tap: &Tap, dropped: Dropped) {
        self.frames.store(tap.received(), Ordering::Relaxed);
        self.segments.store(tap.decoded(), Ordering::Relaxed);
        self.gaps.store(tap.gaps(), Ordering::Relaxed);
        self.open.store(tap.open(), Ordering::Relaxed);
        self.frames_dropped.store(dropped.kernel + dropped.interface, Ordering::Relaxed);
    }

    /// Takes over what the source has to say: all of it, the latest last.
    pub(super) fn note_news(&self, all: Vec<String>) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let known = std::mem::replace(&mut news.known, all.len());
        news.fresh.extend(all.into_iter().skip(known));
    }

    /// What the source has said since the last call.
    #[must_use]
    pub fn take_news(&self) -> Vec<String> {
        std::mem::take(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner).fresh)
    }
}
