//! A segment whose checksum is wrong yields to a copy whose checksum is right; checksums that say nothing cost nothing.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;

use shadowtap::capture::LinkType;

use crate::packets::{ACK, Capture, Client, FIN, Layer, PSH, Packet, RST, SYN, Server, Talk, Who};
use crate::{check, get, large, noise, ok, post};

/// What stands in the field of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    Right,
    Wrong,
    Partial,
    Zero,
}
use Sum::{Partial, Right, Wrong, Zero};

/// A byte that marks payloads which were damaged on their way.
const DAMAGE: u8 = 0x9f;

fn tcp(packet: &Packet, sum: Sum) -> Layer {
    let mut tcp = match sum {
        Zero => return packet.tcp(),
        Partial => return packet.offloaded(),
        Right | Wrong => packet.summed(),
    };
    if sum == Wrong {
        tcp.bytes[16] ^= 0x55;
        // One in 65,536 would look left to the card.
        if tcp.bytes[16..18] == packet.offloaded().bytes[16..18] {
            tcp.bytes[17] ^= 0x55;
        }
    }
    tcp
}

/// Damaged payloads have wrong checksums, all others right ones.
fn by_damage(packet: &Packet) -> Sum {
    if packet.payload.contains(&DAMAGE) { Wrong } else { Right }
}

fn capture(talk: &Talk, sum: impl Fn(&Packet) -> Sum) -> Capture {
    capture_nth(talk, |packet, _| sum(packet))
}

/// The same, told the place of the packet.
fn capture_nth(talk: &Talk, sum: impl Fn(&Packet, usize) -> Sum) -> Capture {
    let next = Cell::new(0);
    talk.capture_as(LinkType::ETHERNET, |packet| {
        let nth = next.replace(next.get() + 1);
        packet.around(tcp(packet, sum(packet, nth))).ethernet()
    })
}

/// These bytes as they came, damaged.
fn damaged(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = bytes.as_ref().to_vec();
    let place = 5.min(bytes.len() - 1);
    bytes[place] = DAMAGE;
    bytes
}

/// The next bytes of this side arrive damaged, and are sent again after a while.
fn again(talk: Talk, who: Who, bytes: impl AsRef<[u8]>, after: u64) -> Talk {
    talk.stray(who, 0, ACK | PSH, damaged(&bytes)).wait(after).send(who, bytes)
}

#[test]
fn what_is_acknowledged_before_a_long_silence_is_a_request_whatever_its_checksum() {
    let syn_alone = |talk: Talk| talk.syn().lost(|talk| talk.control(Server, SYN | ACK).control(Client, ACK));
    for talk in [Talk::open(), syn_alone(Talk::joined())] {
        for wait in [1, 500, 5500] {
            let talk = talk.clone().client(post("/a", "x")).server(ok("a")).control(Client, ACK).wait(wait);
            let capture =
                capture(&talk.close(), |packet| if packet.payload.starts_with(b"POST") { Wrong } else { Right });
            check(&capture, &["POST /a \"x\" -> 200 \"a\""]);
        }
    }
}

#[test]
fn a_damaged_segment_yields_to_its_copy() {
    for after in [0, 200, 2900, 7000, 60_000] {
        let talk = again(Talk::open(), Client, get("/right"), after);
        let talk = again(talk, Server, ok("right"), after).client(get("/next")).server(ok("next")).close();
        let seen = check(&capture(&talk, by_damage), &["GET /right -> 200 \"right\"", "GET /next -> 200 \"next\""]);
        let flow = seen.flow;
        assert_eq!((flow.bad_checksums, flow.gaps, flow.retransmitted_bytes, flow.unplaced_bytes), (2, 0, 0, 0));
    }
}

#[test]
fn one_that_says_where_its_side_begins_is_taken_for_no_acknowledgement_could_be_placed_before() {
    // A damaged acknowledgement says that the server is elsewhere.
    let talk = Talk::joined().ahead(Client, -1_500_000_000).client(get("/a")).ahead(Client, 0);
    let talk = talk.control(Server, ACK).server(ok("a")).control(Client, ACK).wait(2_000).close();
    let sums = capture_nth(&talk, |_, nth| if [0, 2].contains(&nth) { Wrong } else { Right });
    check(&sums, &["GET /a -> 200 \"a\""]);
}

#[test]
fn it_yields_in_either_version_of_ip_in_tunnels_and_in_fragments() {
    type Wrap = fn(&Packet, Layer) -> Vec<Layer>;
    let wraps: [Wrap; 6] = [
        |packet, tcp| vec![packet.around(tcp).vlan(0x8100, 7).ethernet()],
        |packet, tcp| vec![packet.around(tcp).tunnel().ethernet()],
        |packet, tcp| vec![packet.around(tcp).gre().tunnel().ethernet()],
        |packet, tcp| vec![packet.around(tcp).ethernet().vxlan().tunnel6().ethernet()],
        |packet, tcp| vec![packet.around(tcp).geneve(2).tunnel().ethernet()],
        |packet, tcp| {
            let id = u16::try_from(packet.at / 1_000_000 % 60_000).unwrap();
            let parts = packet.around(tcp).fragments(24, id).into_iter();
            parts.map(Layer::ethernet).collect()
        },
    ];
    for ends in [["10.0.0.7:51234", "10.0.0.1:80"], ["[2001:db8::7]:51234", "[2001:db8::1]:80"]] {
        for wrap in wraps {
            let talk = Talk::joined().between(ends[0], ends[1]).handshake();
            let talk = again(talk, Client, post("/up", "a body"), 300);
            let talk = again(talk, Server, ok("right"), 300).close();
            let whole = talk.capture_split(LinkType::ETHERNET, |packet| wrap(packet, tcp(packet, by_damage(packet))));
            let seen = check(&whole, &["POST /up \"a body\" -> 200 \"right\""]);
            assert_eq!(seen.flow.bad_checksums, 2);
        }
    }
}

#[test]
fn damage_in_the_middle_of_a_body_is_mended() {
    let body = noise(20_000).into_iter().map(|byte| byte & 0x7f).collect::<Vec<u8>>();
    let request = post("/up", &body);
    for size in [536, 1448, 8948] {
        for place in [1, 2, 11] {
            let mut talk = Talk::open();
            for (index, part) in request.chunks(size).enumerate() {
                talk = match index {
                    // The rest goes on behind the hole, and its receiver asks for what it misses.
                    _ if index == place && size < 2000 => {
                        let later = &request[(place + 1) * size..(place + 2) * size];
                        let step = i32::try_from(size).unwrap();
                        let talk = talk.stray(Client, 0, ACK, damaged(part)).stray(Client, step, ACK, later);
                        talk.control(Server, ACK).control(Server, ACK).wait(250).send(Client, part)
                    }
                    _ => talk.send(Client, part),
                };
            }
            let talk = talk.server(ok("taken")).close();
            let expected = format!("POST /up{} -> 200 \"taken\"", large(&body));
            let seen = check(&capture(&talk, by_damage), &[expected]);
            let damage = u64::from(size < 2000);
            assert_eq!((seen.flow.bad_checksums, seen.flow.gaps), (damage, 0), "{size} {place}");
        }
    }
}

#[test]
fn what_a_receiver_drops_changes_no_connection() {
    const HANDSHAKE: usize = 3;
    let strays: [(u8, i32, &[u8]); 6] = [
        (RST, 0, b""),
        (RST | ACK, 0, b""),
        (FIN | ACK, 0, b""),
        (SYN, 70_000, b""),
        (ACK, 3000, b""),
        (ACK | PSH, 0, b"stray"),
    ];
    for place in 0..4 {
        for (flags, offset, data) in strays {
            let mut talk = Talk::open();
            for step in 0..4 {
                if step == place {
                    talk = talk.stray(Server, offset, flags, data).stray(Client, offset, flags, data);
                }
                talk = match step {
                    0 => talk.client(get("/1")),
                    1 => talk.server(ok("one")),
                    2 => talk.client(get("/2")),
                    _ => talk.server(ok("two")),
                };
            }
            let strays = HANDSHAKE + place..HANDSHAKE + place + 2;
            let frames = capture_nth(&talk.close(), |_, nth| if strays.contains(&nth) { Wrong } else { Right });
            let seen = check(&frames, &["GET /1 -> 200 \"one\"", "GET /2 -> 200 \"two\""]);
            let flow = seen.flow;
            let counts = (flow.bad_checksums, flow.connections, flow.implausible_segments, flow.gaps);
            assert_eq!(counts, (2, 1, 0, 0), "{place} {flags:x}");
        }
    }
}

/// Requests and responses in which some segments have no right checksum, and none is damaged.
fn untouched(acks: bool, sum: impl Fn(&Packet, usize) -> Sum) -> Capture {
    let body = noise(4000);
    let mut talk = Talk::open();
    for n in 0..12 {
        talk = talk.client(get(&format!("/{n}"))).segments(Server, ok(&body), 1448);
        talk = if acks { talk.control(Client, ACK).wait(300) } else { talk.wait(5) };
    }
    capture_nth(&talk.close(), sum)
}

/// What stands in the field of each packet, by its place.
type Sums = fn(&Packet, usize) -> Sum;

#[test]
fn checksums_that_say_nothing_cost_nothing() {
    let body = noise(4000);
    let expected: Vec<String> = (0..12).map(|n| format!("GET /{n} -> 200{}", large(&body))).collect();
    let sums: [(&str, Sums); 8] = [
        ("right", |_, _| Right),
        ("none", |_, _| Zero),
        ("left to the card", |_, _| Partial),
        ("left to the card by one side", |packet, _| if packet.from.port() == 80 { Partial } else { Right }),
        ("merged, as Linux does", |packet, _| if packet.payload.len() > 1000 { Partial } else { Right }),
        ("garbage", |_, _| Wrong),
        ("garbage in all that carries data", |packet, _| if packet.payload.is_empty() { Right } else { Wrong }),
        ("garbage now and then", |_, nth| if nth > 4 && nth % 7 == 0 { Wrong } else { Right }),
    ];
    for (name, sum) in sums {
        for acks in [true, false] {
            let flow = check(&untouched(acks, sum), &expected).flow;
            assert_eq!((flow.gaps, flow.retransmitted_bytes, flow.unplaced_bytes), (0, 0, 0), "{name}");
            // Those until the receiver was seen to have taken them, or until they are too many to believe it.
            let most = match (name.starts_with("garbage "), acks) {
                (false, _) => 0,
                (true, true) => 8,
                (true, false) => 34,
            };
            assert!(flow.bad_checksums <= most, "{name}: {}", flow.bad_checksums);
        }
    }
}

/// Where a connection ends.
type End = fn(Talk) -> Talk;

#[test]
fn where_only_the_handshake_is_right_what_both_sides_acknowledge_counts() {
    let sums: [(&str, Sums); 3] = [
        ("all else is wrong", |packet, _| if packet.flags & SYN > 0 { Right } else { Wrong }),
        ("all data are wrong", |packet, _| if packet.payload.is_empty() { Right } else { Wrong }),
        ("all is wrong after a while", |_, nth| if nth < 5 { Right } else { Wrong }),
    ];
    let ends: [End; 3] = [Talk::close, |talk| talk.control(Client, RST | ACK), |talk| talk];
    for exchanges in [1, 2, 5, 16] {
        for (name, sum) in sums {
            for end in ends {
                for acks in [true, false] {
                    let exchange = |talk: Talk, n| {
                        let talk = talk.client(get(&format!("/{n}"))).server(ok(format!("{n}"))).wait(5);
                        if acks { talk.control(Client, ACK) } else { talk }
                    };
                    // Nothing speaks for the last response where it alone is wrong.
                    let talk = (0..exchanges).fold(Talk::open(), exchange);
                    let talk = if exchanges == 1 { talk.control(Client, ACK) } else { talk };
                    let expected: Vec<String> = (0..exchanges).map(|n| format!("GET /{n} -> 200 \"{n}\"")).collect();
                    let flow = check(&capture_nth(&end(talk), sum), &expected).flow;
                    assert_eq!((flow.gaps, flow.unplaced_bytes), (0, 0), "{name}, {exchanges}, {acks}");
                }
            }
        }
    }
}

#[test]
fn a_damaged_segment_yields_to_its_copy_whatever_a_damaged_one_of_the_other_side_acknowledges() {
    let expected = ["GET /1 -> 200 \"one\"", "GET /2 -> 200 \"two\""];
    let first = |talk: Talk| talk.client(get("/1")).server(ok("one"));
    let last = |talk: Talk| talk.wait(900).server(ok("two")).control(Client, ACK).close();
    let stray = damaged(&ok("two")[..20]);
    // It acknowledges nothing of what was damaged.
    let talk = first(Talk::open()).stray(Client, 0, ACK | PSH, damaged(get("/2"))).stray(Server, 0, ACK, &stray);
    let seen = check(&capture(&last(talk.wait(900).client(get("/2"))), by_damage), &expected);
    assert_eq!((seen.flow.bad_checksums, seen.flow.gaps, seen.flow.unplaced_bytes), (2, 0, 0));
    // It acknowledges the copy, which is captured after it.
    let talk = first(Talk::open()).stray(Client, 0, ACK | PSH, damaged(get("/2"))).wait(900);
    let talk = talk.reversed(|talk| talk.client(get("/2")).stray(Server, 0, ACK, &stray));
    let seen = check(&capture(&last(talk), by_damage), &expected);
    assert_eq!((seen.flow.bad_checksums, seen.flow.gaps, seen.flow.unplaced_bytes), (2, 0, 0));
}

#[test]
fn of_one_direction_what_is_damaged_is_taken_where_no_copy_comes() {
    let talk = Talk::open().client(get("/1")).client(damaged(get("/22222"))).client(get("/3"));
    let one_way = |talk: &Talk| {
        let wrap = |packet: &Packet| packet.around(tcp(packet, by_damage(packet))).ethernet();
        talk.capture_of(|packet| (packet.to.port() == 80).then(|| wrap(packet)))
    };
    let seen =
        check(&one_way(&talk), &["GET /1 -> no response", "GET /\\x9f2222 -> no response", "GET /3 -> no response"]);
    assert_eq!((seen.flow.bad_checksums, seen.flow.gaps), (1, 0));
    let talk = again(Talk::open().client(get("/1")), Client, get("/22222"), 900).client(get("/3"));
    check(&one_way(&talk), &["GET /1 -> no response", "GET /22222 -> no response", "GET /3 -> no response"]);
}

#[test]
fn a_request_that_never_arrived_whole_is_counted() {
    let talk = Talk::open().client(get("/1")).server(ok("one"));
    let talk = talk.stray(Client, 0, ACK | PSH, damaged(get("/22222"))).control(Server, ACK).close();
    let seen = check(&capture(&talk, by_damage), &["GET /1 -> 200 \"one\""]);
    assert_eq!((seen.flow.bad_checksums, seen.flow.unplaced_requests), (1, 1));
}

#[test]
fn what_is_held_is_bounded_and_what_finds_no_room_is_counted() {
    let mut all = Capture::default();
    let mut expected = Vec::new();
    for n in 0..60_u32 {
        let client = format!("10.0.1.{n}:40000");
        let mut talk = Talk::joined().between(&client, "10.0.0.1:80").numbered(n * 70_001, n * 90_001 + 7).handshake();
        talk = talk.client(get(&format!("/{n}"))).server(ok("one"));
        for _ in 0..15 {
            talk = talk.stray(Client, 0, ACK | PSH, [DAMAGE; 1400]);
        }
        talk = talk.client(get("/last")).server(ok("two")).close();
        all = all.with(capture(&talk, by_damage));
        expected.extend([format!("GET /{n} -> 200 \"one\""), "GET /last -> 200 \"two\"".to_owned()]);
    }
    let flow = check(&all, &expected).flow;
    assert_eq!((flow.bad_checksums, flow.gaps, flow.unplaced_bytes), (900, 0, 900 * 1400));
}

#[test]
fn what_was_cut_is_not_judged() {
    let body = noise(1400);
    let talk = Talk::open().client(get("/1")).server(ok(&body)).client(get("/2")).server(ok(&body)).close();
    let captured = 400 - 54 - (ok(&body).len() - body.len());
    let expected = ["/1", "/2"].map(|path| format!("GET {path} -> 200{} [cut]", large(&body[..captured])));
    let seen = check(&capture(&talk, |_| Right).snaplen(400), &expected);
    assert_eq!(seen.flow.bad_checksums, 0);
}

proptest! {
    #[test]
    fn any_segment_may_be_damaged_once_or_more(
        damage in vec((0..30_usize, 1..4_u32, 1..900_u64), 0..6),
        size in 300..1460_usize,
        v6 in any::<bool>(),
    ) {
        let ends = if v6 { ["[fd00::7]:51234", "[fd00::1]:80"] } else { ["10.0.0.7:51234", "10.0.0.1:80"] };
        let body: Vec<u8> = noise(1800).into_iter().map(|byte| byte & 0x7f).collect();
        let mut talk = Talk::joined().between(ends[0], ends[1]).handshake();
        let mut nth = 0;
        for n in 0..4 {
            for (who, message) in [(Client, post(&format!("/{n}"), &body)), (Server, ok(&body))] {
                for part in message.chunks(size) {
                    for (_, times, after) in damage.iter().filter(|(place, ..)| *place == nth) {
                        for _ in 0..*times {
                            talk = talk.stray(who, 0, ACK | PSH, damaged(part)).wait(*after);
                        }
                    }
                    talk = talk.send(who, part);
                    nth += 1;
                }
            }
        }
        let expected: Vec<String> = (0..4).map(|n| format!("POST /{n}{body} -> 200{body}", body = large(&body))).collect();
        check(&capture(&talk.close(), by_damage), &expected);
    }
}
