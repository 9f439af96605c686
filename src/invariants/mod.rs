//! Invariants of the capture engine for any input bytes: functions and observers that panic where one is violated.
//!
//! Bytes go in, nothing comes out. This module is in the library and not under `tests/` because three callers need the
//! same checks: the fuzz targets in `fuzz/`, a workspace of its own; the test that runs their saved corpus; and the
//! property tests. It is no part of the stable interface, and nothing in the program calls it.

mod journal;
mod observe;

use std::io::{Cursor, Read};

pub use journal::journal;
pub use observe::{ChunkInvariants, EventInvariants, ObservedCounts};

use crate::capture::{FileSource, Frame, LinkType, Settings, Source as _};
use crate::decode::{Decoder, Endpoint, Flags, Segment};
use crate::exchange::Timestamp;
use crate::flow::{FlowTable, Seq, Side};
use crate::http1::{BodyPolicies, BodyPolicy, Http1};
use crate::pipeline::Tap;

/// Frames that are read of one input: a few compressed bytes can hold very many.
const MAX_FRAMES: usize = 10_000;

/// Policies that hash and keep all bodies.
const ALL: BodyPolicies = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };

/// A capture file: whatever the bytes, reading ends; it gives the same frames however the bytes come in and however
/// many are asked for at a time; and of a file that was cut it gives the first of the frames that the whole file has, up
/// to the first damage: where to read on after that is judged by what follows, of which a cut takes some. Of a
/// compressed file with an error in it the decompressors give more or less of what stands before the error: there, the
/// frames of one are the first of the other's.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn capture_file(bytes: &[u8]) {
    let FramesRead { frames: whole, sound } = frames_of(Cursor::new(bytes.to_vec()));
    assert!(whole == few_by_few(bytes), "the frames depend on how many are asked for");
    let in_drips = frames_of(TrickleReader(Cursor::new(bytes.to_vec()))).frames;
    let compressed = matches!(bytes, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [_, 0x2a, 0x4d, 0x18, ..]);
    let begins =
        |more: &[OwnedFrame], fewer: &[OwnedFrame]| more.starts_with(fewer) || (compressed && fewer.starts_with(more));
    assert!(begins(&whole, &in_drips) && begins(&in_drips, &whole), "the frames depend on how the bytes come in");
    // Where it is cut is up to the input itself, so that a fuzzer can move it.
    let sum: usize = bytes.iter().map(|byte| usize::from(*byte)).sum();
    let cut = bytes.get(..sum % bytes.len().max(1)).unwrap_or_default();
    let part = frames_of(Cursor::new(cut.to_vec()));
    let [of_whole, of_part] = if sound == whole.len() && part.sound == part.frames.len() {
        [&whole, &part.frames].map(Vec::as_slice)
    } else {
        let both = sound.min(part.sound);
        [&whole, &part.frames].map(|frames| frames.get(..both).unwrap_or_default())
    };
    assert!(begins(of_whole, of_part), "a file cut after {} bytes has other frames than the whole", cut.len());
}

type OwnedFrame = (Timestamp, LinkType, u32, Vec<u8>);

/// The frames of an input.
#[derive(Default)]
struct FramesRead {
    frames: Vec<OwnedFrame>,
    /// How many of them stand before the first damage.
    sound: usize,
}

fn frames_of(from: impl Read + Send + 'static) -> FramesRead {
    let mut read = FramesRead::default();
    let Ok(mut source) = FileSource::read("input", Box::new(from), None) else { return read };
    while let Some(frame) = source.next() {
        assert!(frame.wire_len as usize >= frame.data.len(), "a frame has more bytes than it had on the wire");
        read.frames.push((frame.at, frame.link, frame.wire_len, frame.data.to_vec()));
        if source.warnings().is_empty() {
            read.sound = read.frames.len();
        }
        if read.frames.len() >= MAX_FRAMES {
            return read;
        }
    }
    assert!(source.next().is_none(), "a source that has ended goes on");
    read
}

fn few_by_few(bytes: &[u8]) -> Vec<OwnedFrame> {
    let mut frames = Vec::new();
    let Ok(mut source) = FileSource::read("input", Box::new(Cursor::new(bytes.to_vec())), None) else { return frames };
    loop {
        let few = source.next_batch();
        frames.extend(few.iter().map(|frame| (frame.at, frame.link, frame.wire_len, frame.data.to_vec())));
        if few.is_empty() || frames.len() >= MAX_FRAMES {
            frames.truncate(MAX_FRAMES);
            return frames;
        }
    }
}

/// Gives a few bytes at a time.
struct TrickleReader(Cursor<Vec<u8>>);

impl Read for TrickleReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let few = into.len().min(7);
        self.0.read(into.get_mut(..few).unwrap_or_default())
    }
}

/// Frames: each is a segment or a skip. What is decoded of a frame that the snap length cut is what the whole frame
/// has, as far as it goes; and the ledger of frames adds up.
///
/// The first byte chooses the link type. Then each frame has two bytes for its length (little-endian), one for the
/// time since the one before in milliseconds, one for how much of it was captured, and its bytes.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn decode(bytes: &[u8]) {
    let Some((kind, mut rest)) = bytes.split_first() else { return };
    let link = LINKS.get(usize::from(*kind) % LINKS.len()).copied().unwrap_or(LinkType::ETHERNET);
    let Ok(mut tap) = Tap::new(&Settings::default(), ALL) else { return };
    let mut laws = EventInvariants::default();
    let mut now = 0;
    let mut given = 0;
    while let Some(([low, high, wait, share], after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (data, after) = after.split_at(len);
        rest = after;
        now += u64::from(*wait) * 1_000_000;
        given += 1;
        let at = Timestamp::from_nanos(now);
        let whole = Frame { at, link, wire_len: u32::try_from(len).unwrap_or(u32::MAX), data };
        let captured = data.get(..len * usize::from(*share) / 255).unwrap_or_default();
        let cut = Frame { data: captured, ..whole };
        cut_frames_agree(&whole, &cut);
        tap.frame(&cut, &mut |event| laws.see(&event));
    }
    tap.finish(&mut |event| laws.see(&event));
    laws.finish();
    let frames = tap.engine(&crate::capture::MemorySource::new()).frames;
    assert_eq!(frames.received, given);
    assert_eq!(frames.received, frames.decoded + frames.skipped.values().sum::<u64>(), "the ledger of frames");
}

const LINKS: [LinkType; 13] = [
    LinkType::ETHERNET,
    LinkType::LINUX_SLL,
    LinkType::LINUX_SLL2,
    LinkType::RAW,
    LinkType::NULL,
    LinkType::LOOP,
    LinkType::PPP,
    LinkType::C_HDLC,
    LinkType::IEEE_802_11,
    LinkType::RADIOTAP,
    LinkType::ARCNET_BSD,
    LinkType::ARCNET_LINUX,
    LinkType(u16::MAX),
];

fn cut_frames_agree(whole: &Frame<'_>, cut: &Frame<'_>) {
    let (mut one, mut other) = (Decoder::new(), Decoder::new());
    let (Ok(whole), Ok(cut)) = (one.decode(whole), other.decode(cut)) else { return };
    let numbers = |s: &Segment<'_>| (s.at, s.source, s.destination, s.seq, s.ack, s.flags);
    let len = |s: &Segment<'_>| s.payload.len() as u64 + u64::from(s.missing);
    assert_eq!(numbers(&whole), numbers(&cut));
    assert_eq!(len(&whole), len(&cut), "a cut frame says another length");
    assert!(whole.payload.starts_with(cut.payload), "a cut frame has another payload");
}

/// Segments of two connections: the laws of [`ChunkInvariants`] and [`EventInvariants`] hold.
///
/// Each segment has eight bytes and its payload: what it is (bits: the server's, SYN, FIN, RST, not an
/// acknowledgement, the second connection, cut by the snap length, a jump of sequence numbers to anywhere); the time
/// since the one before (its cube in microseconds); how far its number is from the next one, its acknowledgement from
/// the last one, and the length of its payload (two bytes each, little-endian). So zeros are traffic in order.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn engine(bytes: &[u8]) {
    let mut engine = CheckedEngine::default();
    let mut rest = bytes;
    while let Some((record, after)) = rest.split_first_chunk() {
        rest = engine.segment(*record, after);
    }
    engine.finish();
}

/// The two stages with an observer after each.
struct CheckedEngine {
    flows: FlowTable,
    http1: Http1,
    chunk_laws: ChunkInvariants,
    event_laws: EventInvariants,
    /// Next sequence number of each side of each connection.
    next: [[Seq; 2]; 2],
    now: u64,
}

impl Default for CheckedEngine {
    fn default() -> Self {
        // One stream wraps around soon, one later.
        let next = [Seq(u32::MAX - 300), Seq(5)];
        Self {
            flows: FlowTable::new(&[80]),
            http1: Http1::new(ALL),
            chunk_laws: ChunkInvariants::default(),
            event_laws: EventInvariants::default(),
            next: [next, next],
            now: 0,
        }
    }
}

impl CheckedEngine {
    /// Takes the segment that `record` and the bytes after it stand for; returns the bytes after that.
    fn segment<'a>(&mut self, record: [u8; 8], after: &'a [u8]) -> &'a [u8] {
        let [what, wait, seq_low, seq_high, ack_low, ack_high, len_low, len_high] = record;
        let has = |bit: u8| what & (1 << bit) != 0;
        let len = usize::from(u16::from_le_bytes([len_low, len_high])).min(after.len());
        let (payload, after) = after.split_at(len);
        let side = if has(0) { Side::High } else { Side::Low };
        let [first, second] = &mut self.next;
        let next = if has(5) { second } else { first };
        let off = i64::from(i16::from_le_bytes([seq_low, seq_high])) * if has(7) { 1 << 16 } else { 1 };
        let seq = moved(*side.of(next), off);
        let ack = moved(*side.other().of(next), i64::from(i16::from_le_bytes([ack_low, ack_high])));
        let captured = if has(6) { len / 2 } else { len };
        if off == 0 {
            *side.of_mut(next) = seq.plus(len as u64 + u64::from(has(1)) + u64::from(has(2)));
        }
        let mut flags = Flags::default();
        for (bit, flag) in [(1, Flags::SYN), (2, Flags::FIN), (3, Flags::RST)] {
            flags = if has(bit) { flags.with(flag) } else { flags };
        }
        flags = if has(4) { flags } else { flags.with(Flags::ACK) };
        self.now += u64::from(wait).pow(3) * 1000;
        // The client's address is the lower one.
        let client = Endpoint::new(1, if has(5) { 5001 } else { 5000 });
        let ends = [client, Endpoint::new(2, 80)];
        self.take(&Segment {
            at: Timestamp::from_nanos(self.now),
            source: *side.of(&ends),
            destination: *side.other().of(&ends),
            seq: seq.0,
            ack: ack.0,
            flags,
            payload: payload.get(..captured).unwrap_or_default(),
            missing: u32::try_from(len - captured).unwrap_or(u32::MAX),
            tag: 0,
            header: &[],
        });
        after
    }

    fn take(&mut self, segment: &Segment<'_>) {
        let Self { flows, http1, chunk_laws, event_laws, .. } = self;
        flows.take(segment, &mut |chunk| {
            chunk_laws.see(&chunk);
            http1.take(chunk, &mut |event| event_laws.see(&event));
        });
    }

    fn finish(mut self) {
        let Self { flows, http1, chunk_laws, event_laws, .. } = &mut self;
        flows.finish(&mut |chunk| {
            chunk_laws.see(&chunk);
            http1.take(chunk, &mut |event| event_laws.see(&event));
        });
        assert_eq!(self.flows.stats().open, 0, "a connection is open after the end");
        self.chunk_laws.finish();
        self.event_laws.finish();
    }
}

fn moved(seq: Seq, by: i64) -> Seq {
    // Two's complement: moving back by one is moving on by the rest of the circle.
    seq.plus(u64::from_ne_bytes(by.to_ne_bytes()))
}
