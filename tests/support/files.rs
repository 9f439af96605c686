//! Capture files in every format, written from frames, and captures read into lines.
#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "what breaks here fails its test")]

use std::path::{Path, PathBuf};

use shadowtap::capture::{self, LinkType, Settings, Source};
use shadowtap::exchange::Timestamp;
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::pipeline;
use shadowtap::recording::jsonl_write::JsonLine;
use shadowtap::recording::{ExchangeJoin, JoinedExchange};
use shadowtap::report::CaptureStats;

/// A frame with its own memory.
#[derive(Clone, Debug)]
pub(crate) struct OwnedFrame {
    pub(crate) at: Timestamp,
    pub(crate) link: LinkType,
    pub(crate) wire_len: u32,
    pub(crate) data: Vec<u8>,
}

/// A file of `testdata/`.
pub(crate) fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// Every frame of a capture file.
pub(crate) fn frames(file: &Path) -> Vec<OwnedFrame> {
    let mut source = capture::FileSource::open(file, &capture::Halt::default()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = source.next() {
        let (at, link, wire_len) = (frame.at, frame.link, frame.wire_len);
        frames.push(OwnedFrame { at, link, wire_len, data: frame.data.to_vec() });
    }
    assert!(source.warnings().is_empty(), "{:?}", source.warnings());
    frames
}

/// A pcap file of one link type.
pub(crate) fn pcap(frames: &[OwnedFrame], big_endian: bool, nanoseconds: bool) -> Vec<u8> {
    let u32s = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|n| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() }).collect()
    };
    let magic = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let version = if big_endian { 0x0002_0004 } else { 0x0004_0002 };
    let link = frames.first().map_or(1, |frame| u32::from(frame.link.0));
    let mut file = u32s(&[magic, version, 0, 0, 262_144, link]);
    for frame in frames {
        let nanos = frame.at.nanos();
        let tick = if nanoseconds { 1 } else { 1000 };
        let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000 / tick);
        let captured = u32::try_from(frame.data.len()).unwrap();
        file.extend(u32s(&[
            u32::try_from(seconds).unwrap(),
            u32::try_from(fraction).unwrap(),
            captured,
            frame.wire_len,
        ]));
        file.extend_from_slice(&frame.data);
    }
    file
}

/// A pcapng file with an interface for each link type, times in nanoseconds.
pub(crate) fn pcapng(frames: &[OwnedFrame], big_endian: bool) -> Vec<u8> {
    let u32s = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|n| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() }).collect()
    };
    let u16s = |numbers: &[u16]| -> Vec<u8> {
        numbers.iter().flat_map(|n| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() }).collect()
    };
    let block = |kind: u32, mut body: Vec<u8>| -> Vec<u8> {
        body.resize(body.len().next_multiple_of(4), 0);
        let len = u32::try_from(body.len() + 12).unwrap();
        [u32s(&[kind, len]), body, u32s(&[len])].concat()
    };
    let mut links: Vec<LinkType> = Vec::new();
    let mut file = block(0x0a0d_0d0a, [u32s(&[0x1a2b_3c4d]), u16s(&[1, 0]), u32s(&[u32::MAX, u32::MAX])].concat());
    for frame in frames {
        let known = links.iter().position(|link| *link == frame.link);
        let interface = known.unwrap_or_else(|| {
            links.push(frame.link);
            // Option 9: 10^-9 seconds; option 0 ends the list.
            let options = [u16s(&[9, 1]), vec![9, 0, 0, 0], u16s(&[0, 0])].concat();
            file.extend(block(1, [u16s(&[frame.link.0, 0]), u32s(&[0]), options].concat()));
            links.len() - 1
        });
        let nanos = frame.at.nanos();
        let numbers = [
            u32::try_from(interface).unwrap(),
            u32::try_from(nanos >> 32).unwrap(),
            u32::try_from(nanos & 0xffff_ffff).unwrap(),
            u32::try_from(frame.data.len()).unwrap(),
            frame.wire_len,
        ];
        file.extend(block(6, [u32s(&numbers), frame.data.clone()].concat()));
    }
    file
}

/// Writes a file into a folder of the test's own.
pub(crate) fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What `inspect` finds with these settings.
pub(crate) fn inspect(settings: &Settings) -> (Vec<JoinedExchange>, CaptureStats) {
    let source = capture::open(settings).unwrap_or_else(|errors| panic!("{errors:?}"));
    inspect_source(source, settings)
}

/// What `inspect` finds in a source.
pub(crate) fn inspect_source(
    source: Box<dyn Source + Send>,
    settings: &Settings,
) -> (Vec<JoinedExchange>, CaptureStats) {
    let interests = BodyPolicies { request_body: BodyPolicy::Hash, response_body: BodyPolicy::Hash };
    let mut exchanges = ExchangeJoin::default();
    let mut ended = Vec::new();
    let engine = pipeline::inspect(source, settings, interests, &mut |event| {
        exchanges.take(event, |exchange| ended.push(exchange));
        true
    })
    .unwrap();
    exchanges.finish(|exchange| ended.push(exchange));
    (ended, engine)
}

/// What `inspect` finds in these files.
pub(crate) fn inspect_files(files: &[PathBuf]) -> (Vec<JoinedExchange>, CaptureStats) {
    inspect(&Settings { files: files.to_vec(), ..Settings::default() })
}

/// The JSON lines of exchanges.
pub(crate) fn json(exchanges: &[JoinedExchange]) -> Vec<String> {
    exchanges.iter().map(|exchange| JsonLine::new(exchange, false).to_string()).collect()
}

/// Method, target, status and damage of each exchange, for people.
pub(crate) fn short(exchanges: &[JoinedExchange]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    exchanges
        .iter()
        .map(|exchange| {
            let request = &exchange.request;
            let response = match &exchange.response {
                Ok(response) => match response.damage {
                    Some(damage) => format!("{} ({damage})", response.status),
                    None => format!("{} {}", response.status, response.body.len),
                },
                Err(damage) => format!("({damage})"),
            };
            let state = match request.state {
                shadowtap::exchange::RequestState::Whole => String::new(),
                shadowtap::exchange::RequestState::Incomplete(why) => format!(" [incomplete: {why}]"),
                shadowtap::exchange::RequestState::Malformed(why) => format!(" [malformed: {why}]"),
            };
            format!("{} {}{state} -> {response}", text(request.method()), text(request.target()))
        })
        .collect()
}
