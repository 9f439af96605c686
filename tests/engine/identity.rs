//! Which connection a segment belongs to: the same addresses and ports come again, and exist several times.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shadowtap::capture::LinkType;
use shadowtap::exchange::RequestState;
use shadowtap::http1::BodyPolicies;

use crate::packets::{ACK, Capture, Client, FIN, Packet, RST, SYN, Server, Talk};
use crate::{check, get, ok, post, tap};

/// Where the `n`th connection between the same ports begins its numbers.
fn numbers(n: u32) -> [u32; 2] {
    [n.wrapping_mul(0x3779_b97f).wrapping_add(1000), n.wrapping_mul(0x5bd1_e995).wrapping_add(7)]
}

/// Connections between the same two ports with two exchanges each, `gap` milliseconds apart.
fn again_and_again(count: u32, gap: u64) -> Talk {
    let one = |n: u32| {
        let [client, server] = numbers(n);
        let talk = Talk::joined().numbered(client, server).handshake();
        let ask = |talk: Talk, part: &str| {
            let target = format!("/{n}/{part}");
            talk.client(get(&target)).server(ok(&target))
        };
        ask(ask(talk, "a"), "b").close().wait(gap)
    };
    (1..count).fold(one(0), |talk, n| talk.then(one(n)))
}

fn lines(count: u32, answered: bool) -> Vec<String> {
    let line = |n: u32, part: &str| {
        let target = format!("/{n}/{part}");
        if answered { format!("GET {target} -> 200 \"{target}\"") } else { format!("GET {target} -> no response") }
    };
    (0..count).flat_map(|n| [line(n, "a"), line(n, "b")]).collect()
}

#[test]
fn the_same_ports_in_a_capture_of_data_only_are_many_connections() {
    for gap in [1, 300, 30_000, 70_000, 300_000, 1_000_000] {
        let talk = again_and_again(10, gap);
        let seen = check(&talk.capture_where(|packet| !packet.payload.is_empty()), &lines(10, true));
        assert_eq!((seen.closed.len(), seen.flow.retransmitted_bytes, seen.flow.unplaced_bytes), (10, 0, 0), "{gap}");
        let requests = talk.capture_where(|packet| packet.payload.starts_with(b"GET"));
        check(&requests, &lines(10, false));
    }
}

#[test]
fn the_same_ports_again_without_either_handshake() {
    for gap in [1, 500, 2000, 4000, 6000] {
        for end in [FIN | ACK, RST | ACK] {
            for (client, server) in [(900_000_000, 1_800_000_000), (1_400_000, 2_700_000), (400_000, 1_400_000)] {
                let first = Talk::open().client(get("/0/a")).server(ok("/0/a")).client(get("/0/b")).server(ok("/0/b"));
                let first = if end == FIN | ACK { first.close() } else { first.control(Client, end) };
                let second = Talk::joined().numbered(client, server).client(get("/1/a")).server(ok("/1/a"));
                let second = second.client(get("/1/b")).server(ok("/1/b")).close();
                check(&first.wait(gap).then(second).capture(), &lines(2, true));
            }
        }
    }
}

#[test]
fn the_same_ends_in_two_networks_are_two_connections() {
    type Wrap = fn(&Packet, u16) -> crate::packets::Layer;
    let wraps: [Wrap; 5] = [
        |packet, id| packet.ip().vlan(0x8100, id).ethernet(),
        |packet, id| packet.ip().vlan(0x88a8, 7).vlan(0x8100, id).ethernet(),
        |packet, id| packet.around(packet.ip().ethernet().vxlan_of(u32::from(id))).ethernet(),
        |packet, id| packet.around(packet.ip().geneve_of(0, u32::from(id))).ethernet(),
        |packet, id| packet.ip().ethernet().geneve_of(3, u32::from(id)).tunnel6().ethernet(),
    ];
    for wrap in wraps {
        let one = |n: u32, id: u16| {
            let [client, server] = numbers(n);
            let talk = Talk::joined().numbered(client, server).handshake();
            let talk = ["a", "b"].iter().fold(talk, |talk, part| {
                let target = format!("/{n}/{part}");
                talk.client(get(&target)).server(ok(&target))
            });
            talk.close().capture_as(LinkType::ETHERNET, |packet| wrap(packet, id))
        };
        let mut both = one(1, 20);
        both.shots.iter_mut().for_each(|shot| shot.at += 300_000);
        check(&one(0, 10).with(both), &lines(2, true));
    }
}

#[test]
fn a_tag_that_one_direction_has_and_the_other_not_is_no_other_network() {
    for ids in [[0, 10], [10, 0], [10, 20]] {
        let talk = Talk::open().client(get("/0/a")).server(ok("/0/a")).client(get("/0/b")).server(ok("/0/b")).close();
        let capture = talk.capture_as(LinkType::ETHERNET, |packet| match ids[usize::from(packet.from.port() == 80)] {
            0 => packet.ip().ethernet(),
            id => packet.ip().vlan(0x8100, id).ethernet(),
        });
        assert_eq!(check(&capture, &lines(1, true)).closed.len(), 1);
    }
}

#[test]
fn a_trunk_and_its_vlan_that_show_the_same_frames_are_one_network() {
    let talk = Talk::open().client(get("/0/a")).server(ok("/0/a")).client(get("/0/b")).server(ok("/0/b")).close();
    let tagged = talk.capture_as(LinkType::ETHERNET, |packet| packet.ip().vlan(0x8100, 9).ethernet());
    assert_eq!(check(&talk.capture().with(tagged), &lines(1, true)).closed.len(), 1);
}

#[test]
fn a_copy_that_comes_long_after_both_ends_is_no_other_connection() {
    for wait in [1, 4000, 6000, 20_000, 50_000] {
        let first = Talk::joined().numbered(900_000_007, 1_800_000_007).handshake();
        let first = first.client(post("/0", "x")).server(ok("/0")).close();
        let others = |talk: Talk| {
            // Time goes on with what others say.
            (0..u32::try_from(wait / 500).unwrap()).fold(talk, |talk, n| {
                let other =
                    Talk::joined().between(&format!("10.0.0.9:{}", 2000 + n), "10.0.0.1:80").numbered(n * 77_777, 5);
                talk.then(other.client(get("/other")).server(ok("o")).wait(499))
            })
        };
        let again = Talk::joined().numbered(900_000_008, 1_800_000_008).client(post("/0", "x")).server(ok("/0"));
        let seen = tap::run(&mut others(first).then(again).capture().source(), BodyPolicies::default(), &[80]);
        let posts = seen.exchanges.values().filter(|one| one.request.target() == b"/0").count();
        assert_eq!((posts, seen.flow.unplaced_bytes), (1, 0), "after {wait} ms");
        assert!(seen.flow.retransmitted_bytes > 0);
    }
}

#[test]
fn a_copy_that_comes_long_after_a_reset_is_no_other_connection() {
    for wait in [1, 900, 2000, 50_000] {
        let first = Talk::joined().numbered(900_000_007, 1_800_000_007).handshake().client(post("/0", "x"));
        let first = first.server(ok("/0")).control(Client, RST | ACK).wait(wait);
        let again = Talk::joined().numbered(900_000_008, 1_800_000_008).client(post("/0", "x")).server(ok("/0"));
        check(&first.then(again).capture(), &["POST /0 \"x\" -> 200 \"/0\""]);
    }
}

#[test]
fn the_same_ports_a_little_ahead_after_a_reset_are_another_connection() {
    for wait in [1500, 3000, 30_000] {
        for ahead in [50, 2000, 20_000, 64_000] {
            let first = Talk::open().client(get("/0/a")).server(ok("/0/a")).client(get("/0/b")).server(ok("/0/b"));
            let first = first.control(Client, RST | ACK).wait(wait);
            let second = Talk::joined().numbered(1_000_100 + ahead, 2_000_200 + ahead);
            let second = second.client(get("/1/a")).server(ok("/1/a")).client(get("/1/b")).server(ok("/1/b")).close();
            check(&first.then(second).capture(), &lines(2, true));
        }
    }
}

#[test]
fn the_same_ports_within_a_minute_are_another_connection_by_a_syn_or_by_other_numbers() {
    let first = || {
        let talk = Talk::joined().numbered(900_000_007, 1_800_000_007).handshake();
        talk.client(get("/0/a")).server(ok("/0/a")).client(get("/0/b")).server(ok("/0/b")).close().wait(10_000)
    };
    for ([client, server], handshake) in [([900_000_007, 1_800_000_007], true), ([900_000_300, 1_800_000_300], false)] {
        let second = Talk::joined().numbered(client, server);
        let second = if handshake { second.handshake() } else { second };
        let second = second.client(get("/1/a")).server(ok("/1/a")).client(get("/1/b")).server(ok("/1/b")).close();
        check(&first().then(second).capture(), &lines(2, true));
    }
}

#[test]
fn bytes_that_no_host_would_take_are_counted_with_their_requests() {
    let talk = Talk::open().client(get("/0/a")).server(ok("/0/a"));
    let stray = talk.stray(Client, -40_000_000, ACK, get("/never"));
    let seen = check(&stray.client(get("/0/b")).server(ok("/0/b")).close().capture(), &lines(1, true));
    assert_eq!((seen.flow.unplaced_requests, seen.flow.retransmitted_bytes), (1, 0));
    assert_eq!(seen.flow.unplaced_bytes, get("/never").len() as u64);
}

/// One of the situations of the property below.
#[derive(Clone, Copy, Debug)]
enum End {
    Fin,
    Reset,
    None,
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Fin), Just(End::Reset), Just(End::None)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, rng_seed: proptest::test_runner::RngSeed::Fixed(16), ..Default::default() })]
    /// Requests that are seen and requests that are counted as lost are all that were captured: nothing vanishes, and
    /// nothing comes twice. Between few ports, in few networks, with and without handshakes, ends, acknowledgements and one
    /// of the directions, with copies, and a clock that is set now and then.
    #[test]
    fn nothing_vanishes_and_nothing_comes_twice(
        connections in prop::collection::vec((0..3_u16, 0..3_u16, 1..4_usize, 0..8000_u64, ends(), any::<[bool; 4]>()), 1..12),
        step in prop_oneof![Just(0_i64), Just(-3_600_000), Just(-600_000), Just(3_600_000), Just(40_000_000)],
        seed in 0..1000_u32,
    ) {
        let mut capture = Capture::default();
        let (mut at, mut expected) = (0, BTreeMap::<String, u64>::new());
        for (n, (port, network, exchanges, gap, end, [handshake, acks, both, copies])) in connections.iter().enumerate() {
            let [client, server] = numbers(seed * 100 + u32::try_from(n).unwrap());
            let mut talk = Talk::joined().between(&format!("10.0.0.7:{}", 40_000 + port), "10.0.0.1:80");
            talk = talk.numbered(client, server).handshake();
            for k in 0..*exchanges {
                let target = format!("/{n}/{k}");
                talk = talk.client(get(&target));
                talk = if *copies { talk.again(0) } else { talk };
                talk = talk.control(Server, ACK).server(ok(&target));
                expected.insert(target, 1);
            }
            talk = match end {
                End::Fin => talk.close(),
                End::Reset => talk.control(Client, RST | ACK),
                End::None => talk,
            };
            let mut part = talk.capture_of(|packet| {
                let is_data = !packet.payload.is_empty();
                let is_syn = packet.flags & 2 != 0;
                let kept = (is_data || (is_syn && *handshake) || (!is_syn && *acks)) && (*both || packet.from.port() != 80);
                kept.then(|| match network {
                    0 => packet.ip().ethernet(),
                    id => packet.ip().vlan(0x8100, *id).ethernet(),
                })
            });
            let later = if n > connections.len() / 2 { step } else { 0 };
            let shift = (i64::try_from(at).unwrap() + later) * 1_000_000;
            part.shots.iter_mut().for_each(|shot| shot.at = shot.at.checked_add_signed(shift).unwrap());
            capture.shots.extend(part.shots);
            at += gap + 100;
        }
        let seen = tap::run(&mut capture.source(), BodyPolicies::default(), &[]);
        let mut found = BTreeMap::<String, u64>::new();
        for exchange in seen.exchanges.values().filter(|one| one.request.state == RequestState::Whole) {
            *found.entry(String::from_utf8_lossy(exchange.request.target()).into_owned()).or_default() += 1;
        }
        prop_assert!(found.iter().all(|(target, count)| *count <= expected[target]), "{found:?}");
        prop_assert_eq!(found.len() as u64 + seen.flow.unplaced_requests, expected.len() as u64, "{:?}", found);
    }
}

#[test]
fn a_syn_alone_within_reach_of_an_older_connection_begins_another_one() {
    for (client, server) in
        [(1_000_040, 9_000_000), (1_000_500, 2_000_500), (900_000, 9_000_000), (1_300_000, 1_900_000)]
    {
        for wait in [300, 3000, 8000] {
            let first = Talk::joined().client(get("/0/a")).server(ok("/0/a")).client(get("/0/b")).server(ok("/0/b"));
            let second = Talk::joined().numbered(client, server).syn().lost(|talk| talk.control(Server, SYN | ACK));
            let second = second.client(get("/1/a")).server(ok("/1/a")).client(get("/1/b")).server(ok("/1/b")).close();
            let seen = tap::run(&mut first.wait(wait).then(second).capture().source(), BodyPolicies::default(), &[80]);
            let found = seen.exchanges.len() as u64 + seen.flow.unplaced_requests;
            assert_eq!(found, 4, "{client} {server} after {wait} ms: {:?}", seen.flow);
        }
    }
}

#[test]
fn the_first_two_frames_swapped_without_a_handshake_lose_no_request() {
    for (one, other) in [(get("/a").into_bytes(), get("/b").into_bytes()), (post("/a", "x"), get("/b").into_bytes())] {
        let talk = Talk::joined().reversed(|talk| talk.client(&one).client(&other)).server(ok("a")).server(ok("b"));
        let seen =
            tap::run(&mut talk.client(get("/c")).server(ok("c")).capture().source(), BodyPolicies::default(), &[80]);
        assert_eq!(seen.exchanges.len() as u64 + seen.flow.unplaced_requests, 3, "{:?}", seen.flow);
    }
    let talk = Talk::joined().reversed(|talk| talk.client(get("/a")).server(ok("a"))).client(get("/b")).server(ok("b"));
    let seen = tap::run(&mut talk.capture().source(), BodyPolicies::default(), &[80]);
    assert_eq!(seen.exchanges.len() as u64 + seen.flow.unplaced_requests, 2, "{:?}", seen.flow);
}
