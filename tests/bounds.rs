//! What nobody means well by stays within its limits, and takes time in proportion to its length. Where a debug build
//! would take long, the size is a tenth; the full one is an ignored test:
//! `cargo test -p shadowtap-instructions --profile instructions --test bounds -- --include-ignored`.

#[path = "support/flow.rs"]
mod packets;

use shadowtap::capture::{Frame, LinkType, MemorySource, Settings};
use shadowtap::decode::{Decoder, Endpoint, Skip};
use shadowtap::exchange::{Damage, Event, Incomplete, Malformed, RequestState, Timestamp};
use shadowtap::flow::{CONNECTION_COST, FlowLimits, FlowTable};
use shadowtap::http1::{BodyPolicies, BodyPolicy, Http1, MAX_HEAD_BYTES, MAX_KEPT_BODY};
use shadowtap::invariants::{EventInvariants, ObservedCounts};
use shadowtap::pipeline::Tap;

use packets::{ACK, CLIENT, Packet, SERVER, SYN};

/// What may wait behind holes in one stream: 4 MiB, and the segment that goes past it.
const MAX_PENDING: usize = 4 * 1024 * 1024 + 70_000;

/// What a connection holds besides the buffer that is tested, of which doubling may have made twice what is in it.
const SMALL: usize = 64 * 1024;

/// The engine below the frames.
struct Engine {
    flows: FlowTable,
    http1: Http1,
    laws: EventInvariants,
    states: Vec<RequestState>,
    damaged: Vec<Damage>,
    response_bytes: u64,
    micros: u64,
}

impl Engine {
    fn new(interest: BodyPolicy) -> Self {
        Self {
            flows: FlowTable::new(&[80]),
            http1: Http1::new(BodyPolicies { request_body: interest, response_body: interest }),
            laws: EventInvariants::default(),
            states: Vec::new(),
            damaged: Vec::new(),
            response_bytes: 0,
            micros: 0,
        }
    }

    /// Takes a packet of the connection that `number` names, ten microseconds after the last one.
    fn take(&mut self, number: u32, packet: &Packet) {
        let Self { flows, http1, laws, states, damaged, response_bytes, micros } = self;
        *micros += 10;
        let mut segment = packet.segment(5000, *micros);
        let client = if packet.side == CLIENT { &mut segment.source } else { &mut segment.destination };
        *client = Endpoint::new(u128::from(number) + (1 << 64), client.port);
        let mut see = |event: Event| {
            laws.see(&event);
            match event {
                Event::Request(request) => states.push(request.state),
                Event::Damaged { why, .. } => damaged.push(why),
                Event::Response { response, .. } => *response_bytes += response.body.len,
                _ => {}
            }
        };
        flows.take(&segment, &mut |chunk| http1.take(chunk, &mut see));
    }

    fn open(&mut self) {
        self.take(0, &Packet::new(CLIENT, 99, 0, SYN, ""));
        self.take(0, &Packet::new(SERVER, 499, 100, SYN.with(ACK), ""));
    }

    fn finish(&mut self) -> ObservedCounts {
        let Self { flows, http1, laws, .. } = self;
        flows.finish(&mut |chunk| http1.take(chunk, &mut |event| laws.see(&event)));
        laws.finish();
        assert_eq!((flows.waiting_bytes(), http1.held_bytes()), (0, 0), "something is held after the end");
        laws.seen()
    }
}

fn half_open(count: u32) {
    let mut engine = Engine::new(BodyPolicy::Count);
    let syn = Packet::new(CLIENT, 99, 0, SYN, "");
    (0..count).for_each(|number| engine.take(number, &syn));
    let stats = engine.flows.stats().clone();
    assert_eq!(stats.connections, u64::from(count));
    assert!(stats.peak_open <= FlowLimits::default().connections as u64);
    assert_eq!(stats.connections - stats.open, stats.evicted_capacity + stats.evicted_idle);
    assert_eq!(engine.finish().connections, u64::from(count));
}

#[test]
fn half_open_connections_make_room_for_each_other() {
    half_open(1_000_000);
}

/// Many times more SYNs than there is room for, beside uploads that go on.
fn flood(syns: u32, room: usize) {
    const UPLOADS: u32 = 3;
    const PARTS: u32 = 40;
    let mut engine = Engine::new(BodyPolicy::Count);
    engine.flows = FlowTable::with_limits(&[80], FlowLimits { connections: room, ..FlowLimits::default() });
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", PARTS * 1000);
    let body_at = 100 + u32::try_from(head.len()).unwrap_or_default();
    for upload in 0..UPLOADS {
        engine.take(upload, &Packet::new(CLIENT, 99, 0, SYN, ""));
        engine.take(upload, &Packet::new(SERVER, 499, 100, SYN.with(ACK), ""));
        engine.take(upload, &Packet::new(CLIENT, 100, 500, ACK, head.clone()));
    }
    for part in 0..PARTS {
        let range = part * (syns / PARTS)..(part + 1) * (syns / PARTS);
        for number in range {
            engine.take(UPLOADS + number, &Packet::new(CLIENT, 99, 0, SYN, ""));
        }
        for upload in 0..UPLOADS {
            engine.take(upload, &Packet::new(CLIENT, body_at + part * 1000, 500, ACK, vec![b'x'; 1000]));
        }
    }
    for upload in 0..UPLOADS {
        let done = body_at + PARTS * 1000;
        engine.take(upload, &Packet::new(SERVER, 500, done, ACK, "HTTP/1.1 204 No Content\r\n\r\n"));
    }
    let stats = engine.flows.stats().clone();
    assert!(stats.evicted_capacity > u64::from(syns) / 2 && stats.peak_open <= room as u64, "{stats:?}");
    let seen = engine.finish();
    assert_eq!((seen.whole_requests, seen.responses, seen.damaged), (UPLOADS.into(), UPLOADS.into(), 0));
}

#[test]
fn what_had_to_make_room_says_so() {
    let mut engine = Engine::new(BodyPolicy::Count);
    engine.flows = FlowTable::with_limits(&[80], FlowLimits { connections: 2, ..FlowLimits::default() });
    let (post, get) =
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nnot", "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    for (number, text) in [(0, post), (1, get), (2, get), (3, get)] {
        engine.take(number, &Packet::new(CLIENT, 99, 0, SYN, ""));
        engine.take(number, &Packet::new(SERVER, 499, 100, SYN.with(ACK), ""));
        engine.take(number, &Packet::new(CLIENT, 100, 500, ACK, text));
    }
    assert_eq!(engine.flows.stats().evicted_capacity, 2);
    assert_eq!(engine.states[..2], [RequestState::Whole, RequestState::Incomplete(Incomplete::Evicted)]);
    assert_eq!(engine.damaged, [Damage::Shed; 2]);
}

#[test]
fn a_flood_of_syns_costs_no_upload_its_place() {
    flood(300_000, 10_000);
    flood(300_000, 200);
}

/// With the memory that is asked for where nobody says how much.
#[test]
fn a_hundred_thousand_connections_are_followed_at_once() {
    const CONNECTIONS: u32 = 100_000;
    let mut tap = Tap::new(&Settings::default(), BodyPolicies::default()).unwrap();
    // IPv4 and TCP: a SYN from some port of some address to port 80 of 10.255.0.1.
    let mut syn = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 0, 10, 255, 0, 1];
    syn.extend([0, 0, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    for number in 0..CONNECTIONS {
        let [_, b, c, d] = number.to_be_bytes();
        syn[14..16].copy_from_slice(&[b, c]);
        syn[20..22].copy_from_slice(&[200, d]);
        // A sequence number of its own, as hosts choose them: equal ones may be one connection in two places.
        syn[24..28].copy_from_slice(&number.to_be_bytes());
        let at = Timestamp::from_nanos(u64::from(number) * 10_000);
        tap.frame(&Frame { at, link: LinkType::RAW, wire_len: 40, data: &syn }, &mut |_| {});
    }
    let tcp = tap.engine(&MemorySource::new()).tcp;
    assert_eq!((tcp.connections, tcp.peak_open), (u64::from(CONNECTIONS), u64::from(CONNECTIONS)));
    assert!(tcp.evicted.is_empty(), "{:?}", tcp.evicted);
}

/// One-byte segments in this order, all of which are waited with for one that is missing.
fn out_of_order(order: impl Iterator<Item = u32>) {
    let mut engine = Engine::new(BodyPolicy::Count);
    engine.open();
    let mut most = 0;
    for place in order {
        engine.take(0, &Packet::new(CLIENT, 101 + place, 500, ACK, "x"));
        most = most.max(engine.flows.waiting_bytes());
    }
    assert!(most <= MAX_PENDING, "{most} bytes were held");
    engine.finish();
}

#[test]
fn a_million_one_byte_segments_behind_a_hole_are_held_up_to_the_limit() {
    out_of_order(0..1_000_000);
}

#[test]
fn a_million_one_byte_segments_last_first_are_held_up_to_the_limit() {
    out_of_order((0..1_000_000).rev());
}

#[test]
fn a_million_one_byte_segments_with_a_hole_before_each_are_held_up_to_the_limit() {
    out_of_order((0..2_000_000).step_by(2));
}

/// Thirty thousand bytes wait one by one; then come a thousand copies of all of them at once, all but the first cut
/// off by the snap length, so that they are short and cover much.
#[test]
fn copies_that_cover_many_waiting_segments_are_passed_over() {
    let mut engine = Engine::new(BodyPolicy::Count);
    engine.open();
    for offset in 0..30_000 {
        engine.take(0, &Packet::new(CLIENT, 200 + offset, 500, ACK, "x"));
    }
    let held = engine.flows.waiting_bytes();
    for _ in 0..1_000 {
        let copy = Packet::new(CLIENT, 200, 500, ACK, "x");
        let mut segment = copy.segment(5000, engine.micros);
        segment.source = Endpoint::new(1 << 64, segment.source.port);
        segment.missing = 29_999;
        engine.flows.take(&segment, &mut |chunk| panic!("{chunk:?} was told before the hole was given up"));
    }
    assert_eq!(engine.flows.waiting_bytes(), held);
    assert_eq!(engine.flows.stats().retransmitted_bytes, 30_000_000);
}

#[test]
fn holes_in_many_streams_are_held_up_to_the_limit_for_all() {
    let mut engine = Engine::new(BodyPolicy::Count);
    let part = Packet::new(CLIENT, 10_000, 500, ACK, vec![b'x'; 60_000]);
    let mut most = 0;
    for number in 0..200 {
        engine.take(number, &Packet::new(CLIENT, 99, 0, SYN, ""));
        for place in 0..60 {
            engine.take(number, &Packet { seq: part.seq + place * 60_000, ..part.clone() });
            most = most.max(engine.flows.waiting_bytes());
        }
    }
    let limit = FlowLimits::default().waiting_bytes;
    assert!(most > limit / 2, "the test does not reach the limit");
    assert!(most <= limit, "{most} bytes were held");
    assert!(engine.flows.stats().evicted_waiting > 0);
    engine.finish();
}

/// A request that begins so and never ends, byte by byte and then in large segments.
fn endless(begin: &str, line: &str, expected: Option<RequestState>) {
    let mut engine = Engine::new(BodyPolicy::Count);
    engine.open();
    let mut seq = 100;
    let mut send = |engine: &mut Engine, bytes: &[u8]| {
        engine.take(0, &Packet::new(CLIENT, seq, 500, ACK, bytes));
        seq += u32::try_from(bytes.len()).unwrap_or_default();
        assert!(engine.http1.held_bytes() <= 2 * MAX_HEAD_BYTES + SMALL);
    };
    send(&mut engine, begin.as_bytes());
    for byte in line.bytes().cycle().take(MAX_HEAD_BYTES + 1000) {
        send(&mut engine, &[byte]);
    }
    let large: Vec<u8> = line.bytes().cycle().take(60_000).collect();
    for _ in 0..100 {
        send(&mut engine, &large);
    }
    assert_eq!(engine.states.first().copied(), expected);
    engine.finish();
}

#[test]
fn a_head_without_end_is_malformed_at_the_limit() {
    let too_large = RequestState::Malformed(Malformed::HeadTooLarge);
    endless("GET / HTTP/1.1\r\n", "Name: value\r\n", Some(too_large));
}

#[test]
fn a_header_line_without_end_is_malformed_at_the_limit() {
    let too_large = RequestState::Malformed(Malformed::HeadTooLarge);
    endless("GET / HTTP/1.1\r\nName: ", "value ", Some(too_large));
}

#[test]
fn a_request_line_without_end_is_given_up_at_the_limit() {
    endless("GET /", "target", None);
}

/// Twenty thousand requests in one go, with a segment lost now and then, before the first response; then as many of
/// those.
#[test]
fn requests_that_nobody_waits_for_an_answer_to_are_remembered_up_to_a_limit() {
    let mut engine = Engine::new(BodyPolicy::Count);
    engine.open();
    let (asked, answered) = ("GET / HTTP/1.1\r\n\r\n".repeat(50), "HTTP/1.1 204 Fine\r\n\r\n".repeat(50));
    let (mut client, mut server) = (100, 500);
    let len = |text: &str| u32::try_from(text.len()).unwrap_or_default();
    let mut most = 0;
    for batch in 0..400 {
        if batch % 20 != 10 {
            engine.take(0, &Packet::new(CLIENT, client, server, ACK, asked.as_bytes()));
        }
        client += len(&asked);
        most = most.max(engine.http1.held_bytes());
    }
    for _ in 0..400 {
        engine.take(0, &Packet::new(SERVER, server, client, ACK, answered.as_bytes()));
        server += len(&answered);
        most = most.max(engine.http1.held_bytes());
    }
    assert!(most <= 1 << 20, "{most} bytes were held");
    assert_eq!(engine.finish().requests, 19_000);
}

/// Those of a client that asks in one go, after a loss: none of them may be looked at for each that follows.
#[test]
fn a_hundred_thousand_requests_in_one_go_after_a_gap() {
    let mut engine = Engine::new(BodyPolicy::Count);
    engine.open();
    let asked = "GET / HTTP/1.1\r\n\r\n".repeat(50);
    engine.take(0, &Packet::new(CLIENT, 100, 500, ACK, asked.as_bytes()));
    let mut client = 2_000;
    engine.take(0, &Packet::new(SERVER, 500, client, ACK, ""));
    for _ in 0..2_000 {
        engine.take(0, &Packet::new(CLIENT, client, 500, ACK, asked.as_bytes()));
        engine.micros += 1_000;
        client += u32::try_from(asked.len()).unwrap_or_default();
    }
    assert_eq!(engine.flows.stats().gaps, 1);
    assert_eq!(engine.finish().requests, 100_050);
}

/// As many on each of a hundred connections, where memory is short: the limit is one for all, and what connections
/// are reckoned to take besides.
#[test]
fn requests_that_nobody_waits_for_an_answer_to_are_remembered_up_to_a_limit_for_all_connections() {
    const LIMIT: usize = 1 << 20;
    let mut engine = Engine::new(BodyPolicy::Count);
    engine.http1 = Http1::with_limit(BodyPolicies::default(), LIMIT);
    let asked = "GET / HTTP/1.1\r\n\r\n".repeat(50);
    let mut client = 100;
    for _ in 0..40 {
        for number in 0..100 {
            engine.take(number, &Packet::new(CLIENT, client, 500, ACK, asked.as_bytes()));
            assert!(engine.http1.held_bytes() <= LIMIT + 100 * CONNECTION_COST);
        }
        client += u32::try_from(asked.len()).unwrap_or_default();
    }
    assert!(engine.http1.stats().let_go > 0);
    assert_eq!(engine.finish().requests, 200_000);
}

/// First fragments of IPv4 datagrams whose rest never comes.
fn fragments(count: u32) {
    let mut decoder = Decoder::new();
    let mut frame = vec![0x45, 0, 0, 28, 0, 0, 0x20, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    for number in 0..count {
        // Number and address make the datagram; the fragment ends where the largest datagram does.
        let [a, b, c, d] = number.to_be_bytes();
        frame.splice(4..8, [c, d, 0x3f, 0xfe]);
        frame.splice(12..16, [10, 0, a, b]);
        let at = Timestamp::from_nanos(u64::from(number) * 10_000);
        let frame = Frame { at, link: LinkType::RAW, wire_len: 28, data: &frame };
        assert_eq!(decoder.decode(&frame).err(), Some(Skip::Fragment));
    }
    assert!(decoder.held_bytes() <= 1024 * 512, "a fragment takes no more room for where it stands");
}

/// Datagrams of 60 kB that lack only their end.
#[test]
fn long_datagrams_that_never_complete_make_room_for_each_other() {
    const LIMIT: usize = 1 << 20;
    let mut decoder = Decoder::with_limit(LIMIT);
    let mut frame = vec![0; 60_020];
    frame[..20].copy_from_slice(&[0x45, 0, 0xea, 0x74, 0, 0, 0x20, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    for number in 0..200_u16 {
        frame[4..6].copy_from_slice(&number.to_be_bytes());
        let frame = Frame { at: Timestamp::default(), link: LinkType::RAW, wire_len: 60_020, data: &frame };
        assert_eq!(decoder.decode(&frame).err(), Some(Skip::Fragment));
        assert!(decoder.held_bytes() <= LIMIT);
    }
    assert!(decoder.datagrams_given_up() >= 180);
}

#[test]
fn fragments_that_never_complete_make_room_for_each_other() {
    fragments(10_000);
}

#[test]
#[ignore = "takes long without optimization"]
fn a_million_fragments_that_never_complete_make_room_for_each_other() {
    fragments(1_000_000);
}

/// A response of this many segments of 60 kB.
fn body(interest: BodyPolicy, segments: u32) {
    let len = u64::from(segments) * 60_000;
    let mut engine = Engine::new(interest);
    engine.open();
    engine.take(0, &Packet::new(CLIENT, 100, 500, ACK, "GET / HTTP/1.1\r\n\r\n"));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
    engine.take(0, &Packet::new(SERVER, 500, 118, ACK, head.as_bytes()));
    let mut part = Packet::new(SERVER, 500, 118, ACK, vec![b'x'; 60_000]);
    part.seq += u32::try_from(head.len()).unwrap_or_default();
    for _ in 0..segments {
        engine.take(0, &part);
        part.seq = part.seq.wrapping_add(60_000);
        assert!(engine.http1.held_bytes() <= 2 * MAX_KEPT_BODY + SMALL);
        assert_eq!(engine.flows.waiting_bytes(), 0);
    }
    assert_eq!(engine.response_bytes, len);
    engine.finish();
}

#[test]
fn a_body_of_10_gb_is_counted_and_not_held() {
    body(BodyPolicy::Count, 170_000);
}

#[test]
fn a_body_of_a_hundred_megabytes_is_not_kept() {
    body(BodyPolicy::Keep, 1_700);
}

#[test]
#[ignore = "takes long without optimization"]
fn a_body_of_10_gb_is_hashed_and_not_held() {
    body(BodyPolicy::Hash, 170_000);
}
