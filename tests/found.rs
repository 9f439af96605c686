//! What fuzzing and the properties found, each as a conversation that people can read.
#![expect(clippy::unwrap_used, reason = "what breaks in a helper fails the test that called it")]

#[path = "support/flow.rs"]
mod packets;

use shadowtap::decode::Flags;
use shadowtap::exchange::{Event, RequestState};
use shadowtap::flow::FlowTable;
use shadowtap::http1::{BodyPolicies, Http1};
use shadowtap::invariants::{ChunkInvariants, EventInvariants};

use packets::{ACK, CLIENT, FIN, Packet, SERVER, SYN};

const SYN_ACK: Flags = SYN.with(ACK);
const FIN_ACK: Flags = FIN.with(ACK);
const GET: &str = "GET / HTTP/1.1\r\n\r\n";

/// The connections and requests that come of these segments, a millisecond between them; all laws hold.
fn told(packets: &[Packet]) -> Vec<String> {
    let (mut flows, mut http1) = (FlowTable::new(&[80]), Http1::new(BodyPolicies::default()));
    let (mut chunk_laws, mut event_laws) = (ChunkInvariants::default(), EventInvariants::default());
    let mut told = Vec::new();
    let mut note = |event: Event| {
        event_laws.see(&event);
        match event {
            Event::Opened { connection, .. } => told.push(format!("opened {connection}")),
            Event::Request(request) => {
                let state = if request.state == RequestState::Whole { "whole" } else { "damaged" };
                told.push(format!("{state} {}", String::from_utf8_lossy(request.head.start_line())));
            }
            _ => {}
        }
    };
    for (place, packet) in packets.iter().enumerate() {
        let micros = u64::try_from(place).unwrap() * 1000;
        flows.take(&packet.segment(5000, micros), &mut |chunk| {
            chunk_laws.see(&chunk);
            http1.take(chunk, &mut note);
        });
    }
    flows.finish(&mut |chunk| {
        chunk_laws.see(&chunk);
        http1.take(chunk, &mut note);
    });
    chunk_laws.finish();
    event_laws.finish();
    told
}

fn check(packets: &[Packet], expected: &[&str]) {
    assert_eq!(told(packets), expected);
}

#[test]
fn bytes_across_a_fin_whose_end_was_told_are_not_told() {
    check(
        &[
            Packet::new(CLIENT, 99, 0, SYN, ""),
            Packet::new(SERVER, 499, 100, SYN_ACK, ""),
            Packet::new(CLIENT, 100, 500, FIN_ACK, GET),
            Packet::new(CLIENT, 100 + 10, 500, ACK, "more than there is left before the end"),
        ],
        &["opened 1", "whole GET / HTTP/1.1"],
    );
}

#[test]
fn a_syn_that_comes_after_the_first_bytes_and_then_once_more_opens_one_connection() {
    check(
        &[
            Packet::new(CLIENT, 105, 500, ACK, " HTTP/1.1\r\n\r\n"),
            Packet::new(CLIENT, 99, 0, SYN, ""),
            Packet::new(CLIENT, 99, 0, SYN, ""),
            Packet::new(CLIENT, 100, 500, ACK, "GET /"),
        ],
        &["opened 1", "whole GET / HTTP/1.1"],
    );
}

#[test]
fn a_copy_of_a_connection_that_was_joined_at_its_first_byte_opens_no_other() {
    let once = [
        Packet::new(CLIENT, 99, 0, SYN, ""),
        Packet::new(CLIENT, 100, 500, ACK, GET),
        Packet::new(SERVER, 500, 118, ACK, "HTTP/1.1 204 No Content\r\n\r\n"),
        Packet::new(CLIENT, 118, 527, FIN_ACK, ""),
        Packet::new(SERVER, 527, 119, FIN_ACK, ""),
    ];
    let syn_ack = Packet::new(SERVER, 499, 100, SYN_ACK, "");
    let again: Vec<Packet> = once.iter().cloned().chain([syn_ack]).chain(once.iter().cloned()).collect();
    check(&again, &["opened 1", "whole GET / HTTP/1.1"]);
}

#[test]
fn what_is_left_of_a_method_after_a_loss_begins_no_request() {
    let first = |beginning: &str, rest: &str| {
        let lost = u32::try_from(beginning.len()).unwrap();
        [
            Packet::new(CLIENT, 99, 0, SYN, ""),
            Packet::new(SERVER, 499, 100, SYN_ACK, ""),
            Packet::new(CLIENT, 100 + lost, 500, ACK, format!("{rest} /a HTTP/1.1\r\n\r\n")),
        ]
    };
    check(&first("PO", "ST"), &["opened 1"]);
    check(&first("OPTION", "S"), &["opened 1"]);
    // Nothing proves that these are no part of a body.
    check(&first("another request", "POST"), &["opened 1", "damaged POST /a HTTP/1.1"]);
    check(&first("another request", "BREW"), &["opened 1", "damaged BREW /a HTTP/1.1"]);
}

#[test]
fn a_request_whose_body_was_on_its_way_when_the_connection_was_upgraded_is_told_and_not_whole() {
    let asked = "POST / HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 100\r\n\r\nhalf";
    check(
        &[
            Packet::new(CLIENT, 99, 0, SYN, ""),
            Packet::new(SERVER, 499, 100, SYN_ACK, ""),
            Packet::new(CLIENT, 100, 500, ACK, asked),
            Packet::new(SERVER, 500, 100, ACK, "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        ],
        &["opened 1", "damaged POST / HTTP/1.1"],
    );
}
