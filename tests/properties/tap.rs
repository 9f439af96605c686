//! The whole tap under a source with faults: the ledgers balance, and what is damaged is never passed off as whole.

use std::collections::HashMap;
use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use etherparse::PacketBuilder;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shadowtap::capture::{FileSource, LinkType, MemorySource, Settings, Source};
use shadowtap::exchange::{Event, Request, RequestState, Timestamp};
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::invariants::{EventInvariants, ObservedCounts};
use shadowtap::pipeline::Tap;

use crate::faults::{Faulty, Rates};

#[path = "../../benches/support/generate.rs"]
#[allow(dead_code, reason = "the benchmarks use all of it")]
mod generate;

/// Captures without a fault, as files in memory.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let shape =
        generate::Shape { exchanges: 60, connections: 6, per_connection: 8, body: 3_000, ..generate::Shape::default() };
    let mut generated = Vec::new();
    generate::write(&shape, &mut generated).unwrap();
    let recorded = ["expect-chunked.pcap", "in-pieces.pcap", "pipelined.pcap", "head-304.pcap", "two-links.pcapng"];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let recorded = recorded.iter().map(|name| std::fs::read(folder.join(name)).unwrap());
    std::iter::once(generated).chain(recorded).collect()
});

/// The file that holds the same connection twice, one copy after the other: where parts of both are lost they are two.
const RECORDED_TWICE: usize = 5;
/// How many captures there are: the files, and one of uploads.
const CAPTURES: usize = 7;

fn open(which: usize) -> Box<dyn Source> {
    match FILES.get(which) {
        Some(file) => Box::new(FileSource::read("memory", Box::new(Cursor::new(file.clone())), None).unwrap()),
        None => Box::new(uploads()),
    }
}

/// Connections whose requests have bodies and come in segments that end anywhere, several requests to a segment.
fn uploads() -> MemorySource {
    let mut rng = StdRng::seed_from_u64(7);
    let mut source = MemorySource::new();
    for connection in 0..4u16 {
        let mut talk =
            Talk { source: &mut source, port: 4000 + connection, next: [rng.random(), rng.random()], now: 0 };
        talk.send(0, SYN, &[]);
        talk.send(1, SYN | ACK, &[]);
        for batch in 0..6 {
            let asked: Vec<u8> =
                (0..rng.random_range(1..4)).flat_map(|one| upload(&mut rng, batch * 10 + one)).collect();
            let count = asked.windows(4).filter(|window| window == b"POST").count();
            let mut rest = asked.as_slice();
            while !rest.is_empty() {
                let (segment, after) = rest.split_at(rng.random_range(1..900).min(rest.len()));
                talk.send(0, ACK, segment);
                rest = after;
            }
            talk.send(1, ACK, &[]);
            talk.send(1, ACK, &b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok".repeat(count));
        }
        talk.send(0, FIN | ACK, &[]);
        talk.send(1, FIN | ACK, &[]);
        talk.send(0, ACK, &[]);
    }
    source
}

/// A request whose body is made of letters that begin no message.
fn upload(rng: &mut StdRng, number: u32) -> Vec<u8> {
    let body: Vec<u8> = (0..rng.random_range(1..2_500)).map(|_| rng.random_range(b'a'..=b'z')).collect();
    let mut wire = format!("POST /upload/{number} HTTP/1.1\r\nHost: h\r\n").into_bytes();
    if rng.random() {
        wire.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
        wire.extend(body);
    } else {
        wire.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in body.chunks(700) {
            wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(b"0\r\n\r\n");
    }
    wire
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

struct Talk<'a> {
    source: &'a mut MemorySource,
    port: u16,
    next: [u32; 2],
    now: u64,
}

impl Talk<'_> {
    /// One segment of the client (0) or the server (1), a millisecond after the last.
    fn send(&mut self, who: usize, flags: u8, payload: &[u8]) {
        const ADDRESSES: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];
        let ports = [self.port, 80];
        let packet = PacketBuilder::ipv4(ADDRESSES[who], ADDRESSES[1 - who], 64);
        let mut packet = packet.tcp(ports[who], ports[1 - who], self.next[who], 65_535);
        packet = if flags & SYN != 0 { packet.syn() } else { packet };
        packet = if flags & FIN != 0 { packet.fin() } else { packet };
        packet = if flags & ACK != 0 { packet.ack(self.next[1 - who]) } else { packet };
        let mut data = Vec::new();
        packet.write(&mut data, payload).unwrap();
        let taken = payload.len() + usize::from(flags & (SYN | FIN) != 0);
        self.next[who] = self.next[who].wrapping_add(u32::try_from(taken).unwrap());
        self.now += 1_000_000;
        self.source.push(Timestamp::from_nanos(self.now), LinkType::RAW, data);
    }
}

/// What makes two whole requests the same one.
type Identity = (SocketAddr, Vec<u8>, Vec<u8>);

fn identity(request: &Request) -> Identity {
    let content = request.body.content().unwrap_or_default().to_vec();
    (request.client, request.head.as_bytes().to_vec(), content)
}

struct Tapped {
    seen: ObservedCounts,
    /// How often each request was told to be whole.
    whole: HashMap<Identity, usize>,
}

/// Taps a source to its end; the ledgers balance.
fn tap(mut source: Faulty<Box<dyn Source>>) -> Tapped {
    let all = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
    let mut tap = Tap::new(&Settings::default(), all).unwrap();
    let mut laws = EventInvariants::default();
    let mut whole = HashMap::new();
    let mut see = |event: Event| {
        laws.see(&event);
        if let Event::Request(request) = &event
            && request.state == RequestState::Whole
        {
            *whole.entry(identity(request)).or_insert(0) += 1;
        }
    };
    while let Some(frame) = source.next() {
        tap.frame(&frame, &mut see);
    }
    tap.finish(&mut see);
    laws.finish();
    let engine = tap.engine(&source);
    assert_eq!(engine.frames.received, source.given);
    assert_eq!(engine.frames.received, engine.frames.decoded + engine.frames.skipped.values().sum::<u64>());
    let seen = laws.seen();
    assert_eq!(engine.tcp.connections, seen.connections);
    assert_eq!(seen.requests, seen.responses + seen.damaged);
    Tapped { seen, whole }
}

fn without_faults(which: usize) -> Tapped {
    tap(Faulty::new(open(which), Rates::default(), 0))
}

/// Each third packet of `source` in two fragments; its link type is raw IP.
fn in_fragments(source: &mut dyn Source) -> MemorySource {
    let mut fragments = MemorySource::new();
    let mut packets = 0usize;
    while let Some(frame) = source.next() {
        packets += 1;
        if frame.link != LinkType::RAW || !packets.is_multiple_of(3) || frame.data.len() < 52 {
            fragments.push_cut(frame.at, frame.link, frame.wire_len, frame.data.to_vec());
            continue;
        }
        let (header, content) = frame.data.split_at(20);
        let first = content.len() / 2 / 8 * 8;
        for (part, offset, more) in [(&content[..first], 0, 0x2000), (&content[first..], first / 8, 0)] {
            let mut data = [header, part].concat();
            let len = u16::try_from(data.len()).unwrap();
            data[2..4].copy_from_slice(&len.to_be_bytes());
            data[4..6].copy_from_slice(&u16::try_from(packets).unwrap().to_be_bytes());
            data[6..8].copy_from_slice(&(u16::try_from(offset).unwrap() | more).to_be_bytes());
            fragments.push(frame.at, frame.link, data);
        }
    }
    fragments
}

/// Rates of faults that leave the bytes that are captured as they were sent: none, few or many of each.
fn honest() -> impl Strategy<Value = Rates> {
    let rate = || prop::sample::select(vec![0, 10, 60, 200]);
    (rate(), rate(), rate(), rate()).prop_map(|(dropped, doubled, swapped, cut)| Rates {
        dropped,
        doubled,
        swapped,
        cut,
        corrupted: 0,
    })
}

#[test]
fn without_faults_every_request_is_whole_and_answered() {
    for which in 0..CAPTURES {
        let ObservedCounts { requests, whole_requests, responses, orphans, .. } = without_faults(which).seen;
        assert!(requests > 0, "capture {which}");
        assert_eq!((whole_requests, responses, orphans), (requests, requests, 0), "capture {which}");
    }
}

proptest! {
    #![proptest_config(crate::cases(400))]

    #[test]
    fn a_request_that_is_told_to_be_whole_was_sent_just_so(
        which in 0..CAPTURES,
        rates in honest(),
        seed in any::<u64>(),
    ) {
        let sent = without_faults(which);
        let tapped = tap(Faulty::new(open(which), rates, seed));
        let copies = if which == RECORDED_TWICE { 2 } else { 1 };
        for (request, times) in &tapped.whole {
            let sent = copies * sent.whole.get(request).copied().unwrap_or(0);
            let (client, head, body) = request;
            prop_assert!(
                *times <= sent,
                "sent {sent} times, told {times} times: {client} {:?} {:?}",
                String::from_utf8_lossy(head),
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn copies_and_frames_out_of_order_cost_nothing(
        which in 0..CAPTURES,
        doubled in prop::sample::select(vec![0, 100, 500, 1000]),
        swapped in prop::sample::select(vec![0, 100, 500]),
        seed in any::<u64>(),
    ) {
        let sent = without_faults(which);
        let tapped = tap(Faulty::new(open(which), Rates { doubled, swapped, ..Rates::default() }, seed));
        prop_assert_eq!(&tapped.whole, &sent.whole);
    }

    #[test]
    fn frames_taken_together_tell_what_they_tell_one_by_one(
        which in 0..CAPTURES,
        rates in honest(),
        seed in any::<u64>(),
    ) {
        let mut source = in_fragments(&mut Faulty::new(open(which), rates, seed));
        let new = || Tap::new(&Settings::default(), BodyPolicies::default()).unwrap();
        let (mut one, mut other) = (new(), new());
        let (mut singly, mut together) = (Vec::new(), Vec::new());
        while let Some(frame) = source.next() {
            one.frame(&frame, &mut |event| singly.push(format!("{event:?}")));
        }
        source.rewind();
        loop {
            let few = source.next_batch();
            if few.is_empty() {
                break;
            }
            other.frames(&few, &mut |event| together.push(format!("{event:?}")));
        }
        prop_assert_eq!(singly, together);
        prop_assert_eq!(format!("{:?}", one.engine(&source)), format!("{:?}", other.engine(&source)));
    }

    #[test]
    fn whatever_is_captured_the_ledgers_balance(
        which in 0..CAPTURES,
        rates in honest(),
        corrupted in prop::sample::select(vec![10, 100, 500]),
        seed in any::<u64>(),
    ) {
        tap(Faulty::new(open(which), Rates { corrupted, ..rates }, seed));
    }
}
