//! Frames that are in memory already: the twin of files and devices for tests, benches and fuzzing.

use super::{Batch, FEW, Frame, LinkType, Source};
use crate::exchange::Timestamp;

/// Fields of a [`Frame`], with its bytes.
type StoredFrame = (Timestamp, LinkType, u32, Vec<u8>);

/// Frames from memory, in the order given.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    frames: Vec<StoredFrame>,
    next: usize,
}

impl MemorySource {
    /// A source without frames yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a frame that was captured whole.
    pub fn push(&mut self, at: Timestamp, link: LinkType, data: Vec<u8>) {
        let wire_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.push_cut(at, link, wire_len, data);
    }

    /// Adds a frame that was `wire_len` bytes long on the wire, of which `data` was captured.
    pub fn push_cut(&mut self, at: Timestamp, link: LinkType, wire_len: u32, data: Vec<u8>) {
        self.frames.push((at, link, wire_len, data));
    }

    /// Starts over from the first frame.
    pub fn rewind(&mut self) {
        self.next = 0;
    }
}

impl Source for MemorySource {
    fn next(&mut self) -> Option<Frame<'_>> {
        let frame = self.frames.get(self.next)?;
        self.next += 1;
        Some(borrowed(frame))
    }

    fn next_batch(&mut self) -> Batch<'_> {
        let few: Batch<'_> = self.frames.iter().skip(self.next).take(FEW).map(borrowed).collect();
        self.next += few.len();
        few
    }

    fn progress(&self) -> Option<f64> {
        Some(self.next as f64 / self.frames.len().max(1) as f64)
    }
}

fn borrowed((at, link, wire_len, data): &StoredFrame) -> Frame<'_> {
    Frame { at: *at, link: *link, wire_len: *wire_len, data }
}
