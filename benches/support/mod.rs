//! What the benchmarks share: captures made in memory, and the stages' intermediate data, owned.
//!
//! Every benchmark prepares what enters its stage beforehand, so that only the stage itself is timed.
#![allow(dead_code, reason = "each benchmark uses its own part")]

#[path = "generate.rs"]
mod generate;

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use shadowtap::capture::{Batch, FEW, FileSource, Frame, LinkType, Source};
use shadowtap::decode::{Decoder, Segment};
use shadowtap::exchange::Timestamp;
use shadowtap::flow::{Chunk, FlowTable};

pub(crate) use generate::{Shape, Totals};

/// Times few iterations of much work each: all benchmarks together stay under three minutes.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
}

/// A capture file in memory.
pub(crate) struct Capture {
    pub(crate) totals: Totals,
    file: Arc<[u8]>,
}

impl Capture {
    pub(crate) fn new(shape: &Shape) -> Self {
        let mut file = Vec::new();
        let totals = generate::write(shape, &mut file).expect("writing to memory does not fail");
        Self { totals, file: file.into() }
    }

    /// The file, to be read from its beginning.
    pub(crate) fn open(&self) -> FileSource {
        let file = Box::new(Cursor::new(Arc::clone(&self.file)));
        FileSource::read("memory", file, Some(self.totals.bytes)).expect("the generator writes captures")
    }

    /// Its frames, without the file around them.
    pub(crate) fn frames(&self) -> Frames {
        let mut frames = Frames::default();
        let mut source = self.open();
        while let Some(frame) = source.next() {
            frames.push(&frame);
        }
        frames
    }
}

/// Frames in memory, in one piece, as a ring buffer has them.
#[derive(Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    frames: Vec<(Timestamp, LinkType, Range<usize>)>,
}

impl Frames {
    pub(crate) fn push(&mut self, frame: &Frame<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame.data);
        self.frames.push((frame.at, frame.link, start..self.bytes.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of all frames.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Frame<'_>> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// The frames as a source that has all of them already.
    pub(crate) fn play(&self) -> Playback<'_> {
        Playback { frames: self, next: 0 }
    }

    fn get(&self, place: usize) -> Option<Frame<'_>> {
        let (at, link, range) = self.frames.get(place)?;
        let data = self.bytes.get(range.clone()).unwrap_or_default();
        Some(Frame { at: *at, link: *link, wire_len: u32::try_from(data.len()).unwrap_or(u32::MAX), data })
    }

    /// Each frame with other bytes before it, as another link type or a tunnel has it.
    pub(crate) fn wrapped(&self, link: LinkType, wrap: impl Fn(&[u8], &mut Vec<u8>)) -> Self {
        let mut wrapped = Self::default();
        let mut data = Vec::new();
        for frame in self.iter() {
            data.clear();
            wrap(frame.data, &mut data);
            wrapped.push(&Frame { link, data: &data, ..frame });
        }
        wrapped
    }

    /// The TCP segments in them; generated frames are whole, so nothing is held or skipped.
    pub(crate) fn segments(&self) -> Vec<Segment<'_>> {
        self.iter()
            .map(|frame| {
                // A decoder's segment may borrow from the decoder: the payload is found again in the frame.
                let mut decoder = Decoder::new();
                let segment = decoder.decode(&frame).expect("generated frames carry TCP");
                let payload = frame.data.get(frame.data.len() - segment.payload.len()..).unwrap_or_default();
                Segment { payload, header: &[], ..segment }
            })
            .collect()
    }
}

/// Frames one after another, as a file gives them.
pub(crate) struct Playback<'a> {
    frames: &'a Frames,
    next: usize,
}

impl Source for Playback<'_> {
    fn next(&mut self) -> Option<Frame<'_>> {
        let frame = self.frames.get(self.next)?;
        self.next += 1;
        Some(frame)
    }

    fn next_batch(&mut self) -> Batch<'_> {
        let few: Batch<'_> = (self.next..self.next + FEW).map_while(|place| self.frames.get(place)).collect();
        self.next += few.len();
        few
    }
}

/// What the flow table tells, owned.
pub(crate) struct Chunks<'a>(Vec<Chunk<'a>>);

impl<'a> Chunks<'a> {
    /// The chunks of in-order segments; their bytes are those of the segments.
    pub(crate) fn of(segments: &[Segment<'a>]) -> Self {
        let mut flows = FlowTable::new(&[]);
        let mut chunks = Vec::new();
        for segment in segments {
            flows.take(segment, &mut |chunk| chunks.push(owned(chunk, segment.payload)));
        }
        flows.finish(&mut |chunk| chunks.push(owned(chunk, &[])));
        Self(chunks)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Chunk<'a>> + '_ {
        self.0.iter().copied()
    }

    /// Bytes of all streams.
    pub(crate) fn bytes(&self) -> u64 {
        let len = |chunk: Chunk<'_>| if let Chunk::Data { bytes, .. } = chunk { bytes.len() as u64 } else { 0 };
        self.iter().map(len).sum()
    }
}

/// The chunk with its bytes taken from the payload of the segment that brought them.
fn owned<'a>(chunk: Chunk<'_>, payload: &'a [u8]) -> Chunk<'a> {
    match chunk {
        Chunk::Data { slot, side, at, stretch, offset, received, bytes } => {
            assert_eq!(bytes.len(), payload.len(), "segments in order are told at once");
            Chunk::Data { slot, side, at, stretch, offset, received, bytes: payload }
        }
        Chunk::Opened { slot, connection, at, ends, server } => Chunk::Opened { slot, connection, at, ends, server },
        Chunk::Gap { slot, side, len, why } => Chunk::Gap { slot, side, len, why },
        Chunk::End { slot, side, at } => Chunk::End { slot, side, at },
        Chunk::Closed { slot, at, how } => Chunk::Closed { slot, at, how },
    }
}
