//! One connection in two places of a host, under other addresses: it counts once.

use std::cell::RefCell;

use shadowtap::capture::{LinkType, Settings};
use shadowtap::exchange::Event;
use shadowtap::http1::BodyPolicies;
use shadowtap::pipeline;
use shadowtap::report::CaptureStats;

use crate::packets::{Capture, Packet, SYN, Talk};
use crate::{get, ok, post};

/// Which of a packet's two sightings are in the capture, the near side first; whether the client sent it.
type Seen = fn(&Packet, bool) -> [bool; 2];

const BOTH: Seen = |_, _| [true, true];

/// Five requests that change something.
fn posts(talk: Talk) -> Talk {
    (0..5).fold(talk, |talk, number| talk.client(post(&format!("/{number}"), "x")).server(ok("y"))).close()
}

/// A connection on both sides of a device that gives it these ends: what the client sends is seen on the far side so many
/// nanoseconds later, what the server sends on the near one. With `skew` the far side's clock is ahead by that.
fn translated(talk: &Talk, client: &str, server: &str, (later, skew): (u64, u64), seen: Seen) -> Capture {
    let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
    let first = RefCell::new(None);
    let sides = RefCell::new(Vec::new());
    let far = talk.capture_as(LinkType::ETHERNET, |packet| {
        let by_client = packet.from == *first.borrow_mut().get_or_insert(packet.from);
        sides.borrow_mut().push((by_client, seen(packet, by_client)));
        let (from, to) = if by_client { (client, server) } else { (server, client) };
        Packet { from, to, ..packet.clone() }.ip().ethernet()
    });
    let (mut near, mut far, sides) = (talk.capture(), far, sides.into_inner());
    for ((near, far), (by_client, _)) in near.shots.iter_mut().zip(&mut far.shots).zip(&sides) {
        *if *by_client { &mut far.at } else { &mut near.at } += later;
        far.at += skew;
    }
    near.only(|place| sides[place].1[0]).with(far.only(|place| sides[place].1[1]))
}

/// The requests of a capture, with their servers' ports, and what was counted.
fn requests(capture: &Capture) -> (Vec<String>, CaptureStats) {
    let mut found = Vec::new();
    let engine = pipeline::inspect(capture.source(), &Settings::default(), BodyPolicies::default(), &mut |event| {
        if let Event::Request(request) = event {
            found.push(format!("{}:{}", request.server.port(), request.target().escape_ascii()));
        }
        true
    });
    let engine = engine.unwrap();
    let frames = &engine.frames;
    assert_eq!(frames.received, frames.decoded + frames.skipped.values().sum::<u64>(), "{frames:?}");
    (found, engine)
}

fn five() -> Vec<String> {
    (0..5).map(|number| format!("80:/{number}")).collect()
}

const PLACES: [(&str, &str); 3] = [
    ("10.0.0.7:51234", "172.17.0.2:80"),
    ("172.17.0.1:33333", "172.17.0.2:8080"),
    ("[2001:db8::1]:33333", "[2001:db8::2]:80"),
];

#[test]
fn a_connection_before_and_after_translation_counts_once() {
    for (client, server) in PLACES {
        // At once, some time later, and by a clock of its own.
        for times in [(0, 0), (20_000, 0), (400_000, 0), (990_000, 0), (20_000, 300_000_000), (0, 900_000_000)] {
            // By clocks of their own and from another client, nothing tells a second place from made-up traffic.
            if times.1 > 0 && !client.ends_with(":51234") {
                continue;
            }
            let capture = translated(&posts(Talk::open()), client, server, times, BOTH);
            let (found, engine) = requests(&capture);
            assert_eq!(found, five(), "{server} {times:?}");
            assert_eq!(engine.frames.skipped["duplicate"] * 2, capture.shots.len() as u64);
            assert_eq!(engine.tcp.connections, 1);
            let told = "1 connection with 5 requests were seen in a second place too, under other addresses";
            assert!(engine.warnings[0].starts_with(told), "{:?}", engine.warnings);
        }
    }
}

/// Generators and tests often begin each connection with the same numbers, and ask the same.
#[test]
fn connections_that_were_made_up_with_the_same_numbers_all_count() {
    for apart in [1_000, 300_000, 50_000_000] {
        let mut all = Capture::default();
        for number in 0..3u64 {
            let client = format!("10.0.0.{}:{}", 7 + number, 20_000 + number);
            let mut talk =
                posts(Talk::joined().between(&client, "10.0.0.1:80").numbered(1_000, 5_000).handshake()).capture();
            talk.shots.iter_mut().for_each(|shot| shot.at += number * apart);
            all = all.with(talk);
        }
        let (found, engine) = requests(&all);
        assert_eq!((found.len(), engine.tcp.connections), (15, 3), "{apart} ns apart");
    }
}

#[test]
fn hundreds_of_connections_in_two_places_count_once_each() {
    let mut all = Capture::default();
    for number in 0..300u16 {
        let (port, isn) = (20_000 + number, 7_000_003 * (u32::from(number) + 1));
        let talk = Talk::joined().between(&format!("10.0.0.7:{port}"), "10.0.0.1:80").numbered(isn, isn / 3);
        let talk = posts(talk.handshake());
        all = all.with(translated(&talk, &format!("10.0.0.7:{port}"), "172.17.0.2:80", (20_000, 0), BOTH));
    }
    let (found, engine) = requests(&all);
    assert_eq!((found.len(), engine.tcp.connections), (1_500, 300));
}

/// Without its SYN-ACK, or its SYN, a sighting is still one, where the rest tells.
#[test]
fn a_segment_of_the_handshake_that_one_side_lacks_hides_nothing() {
    let lacks: [Seen; 2] = [
        // The first answer, near by: the client's acknowledgement has its number.
        |packet, by_client| [by_client || packet.flags & SYN == 0, true],
        |packet, by_client| [true, by_client || packet.flags & SYN == 0],
    ];
    for seen in lacks {
        let capture = translated(&posts(Talk::open()), "10.0.0.7:51234", "172.17.0.2:80", (20_000, 0), seen);
        assert_eq!(requests(&capture).0, five());
    }
}

#[test]
fn a_direction_on_each_side_of_a_translation_stays() {
    let seen: Seen = |_, by_client| [by_client, !by_client];
    let capture = translated(&posts(Talk::open()), "10.0.0.7:51234", "172.17.0.2:80", (20_000, 0), seen);
    let (found, engine) = requests(&capture);
    assert_eq!(found, five());
    assert_eq!(engine.frames.skipped.get("duplicate"), None);
}

/// The same bytes at the same moment, the same number of one side even: connections of their own.
#[test]
fn connections_with_numbers_of_their_own_all_count() {
    let talk = |client: &str, isns: (u32, u32)| {
        posts(Talk::joined().between(client, "10.0.0.1:80").numbered(isns.0, isns.1).handshake()).capture()
    };
    for other in [(7, 10), (8, 9), (9, 7)] {
        let both = talk("10.0.0.7:1001", (7, 9)).with(talk("10.0.0.8:1002", other));
        let (found, engine) = requests(&both);
        assert_eq!((found.len(), engine.tcp.connections), (10, 2), "{other:?}");
        assert_eq!(engine.frames.skipped.get("duplicate"), None);
    }
}

/// The ends of a sighting are used again, for a connection that was seen there only.
#[test]
fn ends_of_a_sighting_serve_another_connection_later() {
    let talk = translated(&posts(Talk::open()), "172.17.0.1:33333", "172.17.0.2:80", (20_000, 0), BOTH);
    let mut later = Talk::joined().between("172.17.0.1:33333", "172.17.0.2:80").numbered(77, 99).handshake();
    later = later.client(get("/later")).server(ok("z")).close();
    for wait in [1_000u64, 3_000] {
        let mut next = later.capture();
        next.shots.iter_mut().for_each(|shot| shot.at += wait * 1_000_000);
        let (found, _) = requests(&talk.clone().with(next));
        assert_eq!(found, [five(), vec!["80:/later".to_owned()]].concat());
    }
}

/// Two seconds later the same numbers are chance.
#[test]
fn numbers_that_come_again_much_later_are_another_connection() {
    let near = posts(Talk::open()).capture();
    let mut far = posts(Talk::joined().between("10.0.0.9:4000", "10.0.0.1:80").handshake()).capture();
    far.shots.iter_mut().for_each(|shot| shot.at += 2_000_000_000);
    assert_eq!(requests(&near.with(far)).0.len(), 10);
}

/// What is held is handed on where it stays alone.
#[test]
fn a_handshake_that_is_held_in_vain_goes_on() {
    let near = Talk::joined().syn().capture();
    let far = posts(Talk::joined().between("10.0.0.9:4000", "10.0.0.1:80").handshake()).capture();
    let (found, engine) = requests(&near.with(far));
    assert_eq!(found, five());
    assert_eq!(engine.frames.skipped.get("duplicate"), None);
}
