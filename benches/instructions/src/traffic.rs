//! The committed capture, taken apart as far as each path wants it. What paths borrow lives as long as the process.

use std::collections::HashMap;
use std::io::Cursor;

use shadowtap::capture::{FileSource, Frame, LinkType, Source as _};
use shadowtap::decode::{Decoder, Segment};
use shadowtap::exchange::{Event, ExchangeId, Request, RequestState, Timestamp};
use shadowtap::flow::{Chunk, FlowTable};
use shadowtap::http1::{BodyPolicies, BodyPolicy, Http1};

const DEMO: &[u8] = include_bytes!("../../../testdata/demo.pcap.zst");

/// The frames of the capture.
pub(crate) struct Traffic {
    pub(crate) frames: Vec<(Timestamp, LinkType, Vec<u8>)>,
}

impl Traffic {
    pub(crate) fn read() -> Self {
        let file = Box::new(Cursor::new(DEMO));
        let mut source = FileSource::read("demo.pcap.zst", file, None).expect("the capture is there");
        let mut frames = Vec::new();
        while let Some(frame) = source.next() {
            frames.push((frame.at, frame.link, frame.data.to_vec()));
        }
        Self { frames }
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().map(|(at, link, data)| Frame {
            at: *at,
            link: *link,
            wire_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
            data,
        })
    }

    /// The capture as a pcap file in microseconds, not compressed.
    pub(crate) fn file(&self) -> FileSource {
        let mut file = Vec::new();
        file.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
        file.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.extend_from_slice(&262_144_u32.to_le_bytes());
        file.extend_from_slice(&1_u32.to_le_bytes());
        for frame in self.frames() {
            assert_eq!(frame.link, LinkType::ETHERNET, "the header says so of all");
            let micros = frame.at.nanos() / 1_000;
            for word in [micros / 1_000_000, micros % 1_000_000, frame.data.len() as u64, u64::from(frame.wire_len)] {
                file.extend_from_slice(&u32::try_from(word).expect("it fits").to_le_bytes());
            }
            file.extend_from_slice(frame.data);
        }
        super::open(file)
    }

    pub(crate) fn segments(&self) -> Vec<Segment<'static>> {
        let mut decoder = Decoder::new();
        let decoded = self.frames().filter_map(|frame| {
            let segment = decoder.decode(&frame).ok()?;
            let (payload, header) = (segment.payload.to_vec().leak(), segment.header.to_vec().leak());
            Some(Segment { payload, header, ..segment })
        });
        decoded.collect()
    }

    pub(crate) fn chunks(&self) -> Vec<Chunk<'static>> {
        let mut chunks = Vec::new();
        let mut keep = |chunk: Chunk<'_>| {
            chunks.push(match chunk {
                Chunk::Data { slot, side, at, stretch, offset, received, bytes } => {
                    Chunk::Data { slot, side, at, stretch, offset, received, bytes: bytes.to_vec().leak() }
                }
                Chunk::Opened { slot, connection, at, ends, server } => {
                    Chunk::Opened { slot, connection, at, ends, server }
                }
                Chunk::Gap { slot, side, len, why } => Chunk::Gap { slot, side, len, why },
                Chunk::End { slot, side, at } => Chunk::End { slot, side, at },
                Chunk::Closed { slot, at, how } => Chunk::Closed { slot, at, how },
            });
        };
        let mut flows = FlowTable::new(&[]);
        for segment in &self.segments() {
            flows.take(segment, &mut keep);
        }
        flows.finish(&mut keep);
        chunks
    }

    /// The events, with bodies as this policy has it.
    pub(crate) fn events(&self, policy: BodyPolicy) -> Vec<Event> {
        let mut http1 = Http1::new(BodyPolicies { request_body: policy, response_body: policy });
        let mut events = Vec::new();
        for chunk in self.chunks() {
            http1.take(chunk, &mut |event| events.push(event));
        }
        events
    }

    /// The whole requests.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let requests = self.events(BodyPolicy::Keep).into_iter().filter_map(|event| match event {
            Event::Request(request) if request.state == RequestState::Whole => Some(*request),
            _ => None,
        });
        requests.collect()
    }

    /// What a target answers: the bytes of production's responses, or what another stack would make of them.
    pub(crate) fn responses(&self, differing: bool) -> HashMap<ExchangeId, Vec<u8>> {
        let responses = self.events(BodyPolicy::Keep).into_iter().filter_map(|event| match event {
            Event::Response { of, response } => {
                let (mut head, body) = (response.head, response.body.wire.unwrap_or_default());
                if differing {
                    head.set("Server", b"staging/2.1");
                    head.set("X-Served-By", b"cache-7");
                    head.set("ETag", b"\"another\"");
                }
                let mut bytes = head.as_bytes().to_vec();
                let begin = bytes.len();
                bytes.extend_from_slice(&body);
                if differing && head.get("content-encoding").is_none() && head.get("transfer-encoding").is_none() {
                    change_a_digit(bytes.split_at_mut(begin).1);
                }
                Some((of, bytes))
            }
            _ => None,
        });
        responses.collect()
    }
}

/// Changes the first digit that there is.
fn change_a_digit(body: &mut [u8]) {
    if let Some(digit) = body.iter_mut().find(|byte| byte.is_ascii_digit()) {
        *digit = if *digit == b'9' { b'1' } else { *digit + 1 };
    }
}
