//! One connection in two places of a host, under other addresses: it counts once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use shadowtap::capture::{LinkType, Settings};
use shadowtap::exchange::{Event, RequestState};
use shadowtap::http1::BodyPolicies;
use shadowtap::pipeline;
use shadowtap::report::CaptureStats;

use crate::packets::{ACK, Capture, Client, Packet, SYN, Server, Talk};
use crate::{get, noise, ok, post};

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

/// Numbers such as hosts choose them.
const CHOSEN: (u32, u32) = (3_071_956_231, 1_406_177_949);

/// Where a connection is captured: under which addresses, in which network, by what clock, and what of it.
#[derive(Clone, Debug)]
struct Place {
    client: String,
    server: String,
    vlan: Option<u16>,
    /// How far its clock is ahead, in nanoseconds.
    clock: i64,
    /// The packets that it lacks, by their number.
    lacks: Vec<usize>,
    /// How much later than on the wire each packet is stamped, in nanoseconds, again and again.
    jitter: Vec<u64>,
}

impl Place {
    fn new(client: &str, server: &str) -> Self {
        let (client, server) = (client.to_owned(), server.to_owned());
        Self { client, server, vlan: None, clock: 0, lacks: Vec::new(), jitter: vec![0] }
    }

    /// Where [`Talk`] has its ends.
    fn near() -> Self {
        Self::new("10.0.0.7:51234", "10.0.0.1:80")
    }

    fn ahead(self, milliseconds: i64) -> Self {
        Self { clock: milliseconds * 1_000_000, ..self }
    }

    fn lacking(self, lacks: impl IntoIterator<Item = usize>) -> Self {
        Self { lacks: lacks.into_iter().collect(), ..self }
    }

    fn tagged(self, vlan: u16) -> Self {
        Self { vlan: Some(vlan), ..self }
    }
}

/// A connection as these places capture it, from the client's side to the server's, some time apart.
fn captured(talk: &Talk, places: &[Place], apart: u64) -> Capture {
    let senders = talk.senders();
    let mut all = Capture::default();
    for (number, place) in places.iter().enumerate() {
        let ends = [place.client.parse().unwrap(), place.server.parse().unwrap()];
        let turn = RefCell::new(senders.iter());
        let mut capture = talk.capture_as(LinkType::ETHERNET, |packet| {
            let who = *turn.borrow_mut().next().unwrap() as usize;
            let packet = Packet { from: ends[who], to: ends[1 - who], ..packet.clone() };
            match place.vlan {
                None => packet.ip().ethernet(),
                Some(id) => packet.ip().vlan(0x8100, id).ethernet(),
            }
        });
        for ((shot, sender), jitter) in capture.shots.iter_mut().zip(&senders).zip(place.jitter.iter().cycle()) {
            let hops = if *sender == Client { number } else { places.len() - 1 - number } as u64;
            shot.at = (shot.at + hops * apart + jitter).checked_add_signed(place.clock).unwrap();
        }
        all = all.with(capture.only(|packet| !place.lacks.contains(&packet)));
    }
    all
}

/// How often each request was found, how many of them whole and with a whole response, and what was counted. Read from
/// several files, as it were.
fn whole(capture: &Capture) -> (BTreeMap<String, u32>, usize, CaptureStats) {
    let settings = Settings { files: vec!["a.pcap".into(), "b.pcap".into()], ..Settings::default() };
    let (mut found, mut asked, mut answered) = (BTreeMap::<String, u32>::new(), Vec::new(), Vec::new());
    let engine = pipeline::inspect(capture.source(), &settings, BodyPolicies::default(), &mut |event| {
        match event {
            Event::Request(request) => {
                *found.entry(request.target().escape_ascii().to_string()).or_default() += 1;
                asked.extend((request.state == RequestState::Whole).then_some(request.id));
            }
            Event::Response { of, response } => answered.extend(response.damage.is_none().then_some(of)),
            _ => {}
        }
        true
    });
    let engine = engine.unwrap();
    let frames = &engine.frames;
    assert_eq!(frames.received, frames.decoded + frames.skipped.values().sum::<u64>(), "{frames:?}");
    (found, asked.iter().filter(|id| answered.contains(id)).count(), engine)
}

/// Expects each of five requests once, complete.
#[track_caller]
fn five_once(capture: &Capture, what: &str) -> CaptureStats {
    let (found, complete, engine) = whole(capture);
    let expected: BTreeMap<String, u32> = (0..5).map(|number| (format!("/{number}"), 1)).collect();
    assert_eq!((found, complete), (expected, 5), "{what}");
    assert_eq!(engine.tcp.retransmitted_bytes, 0, "{what}: a copy is no retransmission");
    engine
}

fn chosen() -> Talk {
    Talk::joined().numbered(CHOSEN.0, CHOSEN.1)
}

/// The second capture's clock is ahead or behind, and either file may be of the side that is nearer to the client.
#[test]
fn two_files_whose_clocks_differ_count_a_connection_once() {
    for (client, server) in PLACES {
        for milliseconds in [1, 7, 60, 250, 500] {
            for clock in [milliseconds, -milliseconds] {
                let far = Place::new(client, server);
                for places in [[Place::near(), far.clone().ahead(clock)], [far.ahead(clock), Place::near()]] {
                    let talk = posts(chosen().handshake());
                    let capture = captured(&talk, &places, 20_000);
                    let engine = five_once(&capture, &format!("{server} {clock} ms"));
                    assert_eq!(engine.frames.skipped["duplicate"] * 2, capture.shots.len() as u64);
                    assert_eq!(engine.tcp.connections, 1);
                }
            }
        }
    }
}

/// Even with numbers that hosts chose, even as if one were within the other: other bytes are another connection.
#[test]
fn unlike_connections_with_the_same_numbers_all_count() {
    let start = || chosen().handshake();
    let other = |talk: Talk, number: u32| talk.client(post(&format!("/{number}"), "x")).server(ok("y"));
    let other = (5..10).fold(start(), other).close();
    for (client, server) in PLACES {
        for (apart, skew) in [(0, 0), (20_000, 0), (400_000, 0), (20_000, 1), (20_000, 300), (20_000, -300)] {
            let nowhere = Place::near().lacking(0..1000);
            let far = captured(&other, &[nowhere, Place::new(client, server).ahead(skew)], apart);
            let (found, complete, engine) = whole(&captured(&posts(start()), &[Place::near()], 0).with(far));
            assert_eq!((found.values().sum::<u32>(), complete, engine.tcp.connections), (10, 10, 2), "{server} {skew}");
            assert_eq!(engine.frames.skipped.get("duplicate"), None);
        }
    }
}

/// The capture began after the connection: the numbers and bytes of its requests tell.
#[test]
fn a_connection_that_was_joined_in_two_places_counts_once() {
    for (client, server) in PLACES {
        for vlan in [None, Some(9)] {
            for clock in [0, 30, -30, 500, -500] {
                let far = Place { vlan, ..Place::new(client, server) }.ahead(clock);
                let capture = captured(&posts(chosen()), &[Place::near(), far.clone()], 20_000);
                let engine = five_once(&capture, &format!("{server} {vlan:?} {clock} ms"));
                assert_eq!(engine.frames.skipped["duplicate"] * 2, capture.shots.len() as u64);
                assert_eq!(engine.tcp.connections, 1);
                // Amid a response.
                let capture = captured(&posts(chosen().server(noise(500))), &[Place::near(), far], 20_000);
                five_once(&capture, &format!("{server} {vlan:?} {clock} ms, amid a response"));
            }
        }
    }
}

/// Each request is found among thousands of others that came since.
#[test]
fn many_connections_that_were_joined_in_two_places_count_once() {
    for clock in [0, 900, -900] {
        let mut all = Capture::default();
        for number in 0..2000u32 {
            let (from, to) =
                (CHOSEN.0.wrapping_mul(2 * number + 1), CHOSEN.1.wrapping_add(number.wrapping_mul(0x2545_f491)));
            let talk = Talk::joined().numbered(from, to).client(get(&format!("/{number}"))).server(ok("y"));
            let places = ["10.0.0.1:80", "172.17.0.2:80"]
                .map(|server| Place::new(&format!("10.0.{}.{}:7000", number / 200, number % 200), server));
            let [near, far] = places;
            all.shots.extend(captured(&talk, &[near, far.ahead(clock)], 20_000).shots);
        }
        let (found, complete, engine) = whole(&all.with(Capture::default()));
        assert_eq!((found.values().sum::<u32>(), complete, engine.tcp.connections), (2000, 2000, 2000), "{clock} ms");
    }
}

/// The same ends in another network, as on both sides of a router.
#[test]
fn a_connection_that_was_joined_under_two_tags_counts_once_whatever_either_lacks() {
    let talk = posts(chosen());
    for clock in [0, 5, -5] {
        // What one place lost of the first exchange comes too late by another clock.
        for lost in if clock == 0 { 0 } else { 2 }..talk.senders().len() {
            for lacks in [[lost, 1000], [1000, lost]] {
                let [near, far] = [Place::near(), Place::near().tagged(9).ahead(clock)];
                let places = [near.lacking([lacks[0]]), far.lacking([lacks[1]])];
                let (found, complete, _) = whole(&captured(&talk, &places, 20_000));
                assert!(
                    found.len() == 5 && found.values().all(|count| *count == 1),
                    "{lacks:?}, {clock} ms: {found:?}"
                );
                assert_eq!(complete, 5, "{lacks:?}, {clock} ms");
            }
        }
    }
}

/// The client asks the same again, on a connection of its own.
#[test]
fn a_request_that_is_repeated_elsewhere_counts_each_time() {
    let talk = |client: &str, (from, to): (u32, u32)| {
        let talk = Talk::joined().between(client, "10.0.0.1:80").numbered(from, to);
        talk.client(post("/again", "x")).server(ok("y")).close().capture()
    };
    for other in [(CHOSEN.0, CHOSEN.1 + 1), (CHOSEN.0 + 1, CHOSEN.1), (5, 6)] {
        for client in ["10.0.0.7:51235", "10.0.0.9:51234"] {
            let (found, complete, engine) = whole(&talk("10.0.0.7:51234", CHOSEN).with(talk(client, other)));
            assert_eq!((found["/again"], complete, engine.tcp.connections), (2, 2, 2), "{client} {other:?}");
            assert_eq!(engine.frames.skipped.get("duplicate"), None);
        }
    }
}

/// Joined in the middle and with equal numbers that are small, traffic was made up.
#[test]
fn made_up_connections_without_a_handshake_all_count() {
    let talk = |client: &str| posts(Talk::joined().between(client, "10.0.0.1:80").numbered(1_000, 5_000)).capture();
    let (found, complete, _) = whole(&talk("10.0.0.7:51234").with(talk("10.0.0.8:51234")));
    assert_eq!((found.values().sum::<u32>(), complete), (10, 10));
}

/// What the client sends again is seen in both places, or in one of them: it is a retransmission all the same.
#[test]
fn a_retransmission_is_one_in_either_place() {
    let talk = chosen().handshake().client(post("/0", "x")).again(0).wait(300).server(ok("y"));
    let talk = (1..5).fold(talk, |talk, number| talk.client(post(&format!("/{number}"), "x")).server(ok("y"))).close();
    for (client, server) in PLACES {
        for lacks in [1000, 3, 4] {
            let places = [Place::near(), Place::new(client, server).lacking([lacks])];
            let (found, complete, engine) = whole(&captured(&talk, &places, 20_000));
            assert!(found.len() == 5 && found.values().all(|count| *count == 1), "{server}, {lacks}: {found:?}");
            assert_eq!((complete, engine.tcp.connections), (5, 1), "{server}, {lacks}");
            assert_eq!(engine.tcp.retransmitted_bytes, post("/0", "x").len() as u64, "{server}, {lacks}");
        }
    }
}

/// Five requests in two segments each, with responses in three.
fn in_pieces(talk: Talk) -> Talk {
    let one = |talk: Talk, number: u32| {
        let talk = talk.cut(Client, post(&format!("/{number}"), noise(300)), &[90]).control(Server, ACK);
        talk.cut(Server, ok(noise(900)), &[400, 700]).control(Client, ACK)
    };
    (0..5).fold(talk, one).close()
}

#[test]
fn what_one_place_lost_is_taken_from_the_other_one() {
    for (client, server) in PLACES {
        for clock in [0, 3, -3, 400, -400] {
            for talk in [in_pieces(chosen().handshake()), in_pieces(chosen())] {
                let far = Place::new(client, server).ahead(clock);
                for lost in 0..talk.senders().len() {
                    for (first, second) in [(Some(lost), None), (None, Some(lost))] {
                        let places = [Place::near().lacking(first), far.clone().lacking(second)];
                        let (found, complete, _) = whole(&captured(&talk, &places, 20_000));
                        assert!(found.values().all(|count| *count == 1), "{server} {clock} {places:?}: {found:?}");
                        assert_eq!((found.len(), complete), (5, 5), "{server} {clock} {places:?}");
                    }
                }
            }
        }
    }
}

/// No request begins in both places: the numbers of the handshake tell.
#[test]
fn two_places_that_each_lost_every_other_packet_make_one_whole() {
    let talk = in_pieces(chosen().handshake());
    let packets = talk.senders().len();
    for (client, server) in PLACES {
        for clock in [0, 3, -3, 400, -400] {
            for odd in [0, 1] {
                let lacks = |odd: usize| (3..packets).filter(move |packet| packet % 2 == odd);
                let far = Place::new(client, server).ahead(clock).lacking(lacks(odd));
                let capture = captured(&talk, &[Place::near().lacking(lacks(1 - odd)), far], 20_000);
                five_once(&capture, &format!("{server} {clock} ms, {odd}"));
            }
        }
    }
}

/// Latencies are those of the place that comes first, whatever the other one's clock says.
#[test]
fn what_another_clock_stamped_costs_no_latency() {
    let talk = chosen().handshake().client(post("/0", "x")).wait(40).server(ok("y")).close();
    let places = [Place::near().lacking([4]), Place::new("10.0.0.7:51234", "172.17.0.2:80").ahead(300)];
    let mut times = Vec::new();
    let settings = Settings { files: vec!["a.pcap".into(), "b.pcap".into()], ..Settings::default() };
    pipeline::inspect(captured(&talk, &places, 0).source(), &settings, BodyPolicies::default(), &mut |event| {
        match event {
            Event::Request(request) => times.push(request.last_byte),
            Event::Response { response, .. } => times.push(response.last_byte),
            _ => {}
        }
        true
    })
    .unwrap();
    assert_eq!(times[1].since(times[0]).as_millis(), 41);
}

/// So many cases, the same ones each time; with `PROPERTIES_TIMES` so many times as many other ones.
fn cases(cases: u32) -> ProptestConfig {
    let times: Option<u32> = std::env::var("PROPERTIES_TIMES").ok().map(|times| times.parse().unwrap());
    let rng_seed = times.map_or(RngSeed::Fixed(16), |_| RngSeed::Random);
    ProptestConfig { cases: cases * times.unwrap_or(1), rng_seed, ..ProptestConfig::default() }
}

/// A request of the property below.
#[derive(Clone, Debug)]
struct Asked {
    target: String,
    request: std::ops::Range<usize>,
    all: std::ops::Range<usize>,
}

/// A connection of the property below: whether its handshake is seen, its exchanges, and the time until the next one.
type Course = (bool, Vec<(usize, Option<usize>, usize, Option<usize>)>, u64);

fn course() -> impl Strategy<Value = Course> {
    let exchange = (1..400usize, prop::option::of(20..60usize), 1..600usize, prop::option::of(20..500usize));
    (prop::bool::weighted(0.8), prop::collection::vec(exchange, 1..8), 20..3000u64)
}

/// The packets of a connection, and where its requests are among them.
fn converse(number: usize, (_, exchanges, _): &Course) -> (Talk, Vec<Asked>) {
    let n = u32::try_from(number).unwrap();
    let numbers = (CHOSEN.0.wrapping_mul(n * 2 + 3), CHOSEN.1.wrapping_add(n * 0x1234_5677));
    let mut talk = Talk::joined().numbered(numbers.0, numbers.1).handshake();
    let mut asked = Vec::new();
    for (index, (sent, cut, received, cut_back)) in exchanges.iter().enumerate() {
        let target = format!("/{number}/{index}");
        let (request, response) = (post(&target, noise(*sent)), ok(noise(*received)));
        let cuts = |len: usize, cut: &Option<usize>| cut.iter().copied().filter(|at| *at < len).collect::<Vec<_>>();
        let begin = talk.senders().len();
        talk = talk.cut(Client, &request, &cuts(request.len(), cut));
        let middle = talk.senders().len();
        talk = talk.control(Server, ACK).cut(Server, &response, &cuts(response.len(), cut_back));
        asked.push(Asked { target, request: begin..middle, all: begin..talk.senders().len() });
        talk = talk.control(Client, ACK);
    }
    (talk.close(), asked)
}

proptest! {
    #![proptest_config(cases(200))]
    /// Each request counts once, and is whole where any place has each of its bytes: in two or three places, translated or
    /// not, tagged or not, each with losses, delays and a clock of its own; with many requests on a connection, and ports
    /// that come again. Where a handshake is lost the first exchange is seen.
    #[test]
    fn each_request_counts_once_whole_where_any_place_has_each_byte(
        courses in prop::collection::vec(course(), 1..4),
        kinds in prop::collection::vec((0..5usize, prop::option::of(1..5u16)), 1..3),
        losses in prop::collection::vec(prop::collection::vec(0..100u8, 211), 3),
        jitter in prop::collection::vec(prop::collection::vec(0..900_000u64, 17), 3),
        clocks in [prop_oneof![Just(0i64), -500..500i64], prop_oneof![Just(0i64), -500..500i64]],
        loss in prop_oneof![Just(0u8), 1..25u8],
        apart in 0..300_000u64,
    ) {
        let translated = ["10.0.0.7:51234 10.0.0.1:80", "10.0.0.7:51234 172.17.0.2:80", "172.17.0.1:3333 172.17.0.2:8080",
            "198.51.100.4:6001 10.0.0.1:80", "[2001:db8::1]:3333 [2001:db8::2]:80"];
        let mut places = vec![Place::near()];
        for (number, (kind, vlan)) in kinds.iter().enumerate() {
            let (client, server) = translated[(kind + number) % 5].split_once(' ').unwrap();
            // Each under other ends, or another tag.
            let vlan = if (kind + number) % 5 == 0 { Some(vlan.unwrap_or(7)) } else { *vlan };
            let place = Place { vlan, ..Place::new(client, server) };
            if !places.iter().any(|known| known.client == place.client && known.server == place.server && known.vlan == vlan) {
                places.push(place.ahead(clocks[number]));
            }
        }
        let (mut capture, mut at, mut expected) = (Capture::default(), 0_u64, Vec::new());
        for (number, course) in courses.iter().enumerate() {
            let (talk, asked) = converse(number, course);
            let first = asked[0].all.clone();
            for (place, (losses, jitter)) in places.iter_mut().zip(losses.iter().zip(&jitter)) {
                let is_lost = |packet: usize| losses[(packet + number * 50) % losses.len()] < loss;
                let lacks = |packet: &usize| match (*packet < 3, course.0) {
                    (true, handshake) => !handshake,
                    (false, true) => is_lost(*packet),
                    (false, false) => !first.contains(packet) && is_lost(*packet),
                };
                (place.lacks, place.jitter) = ((0..talk.senders().len()).filter(lacks).collect(), jitter.clone());
            }
            let mut part = captured(&talk, &places, apart);
            part.shots.iter_mut().for_each(|shot| shot.at += at);
            capture = capture.with(part);
            // Every clock has passed the last packet when the ports come again.
            at += (talk.senders().len() as u64 + course.2 + 2_000) * 1_000_000;
            let seen = |packets: &std::ops::Range<usize>| {
                packets.clone().all(|packet| places.iter().any(|place| !place.lacks.contains(&packet)))
            };
            expected.extend(asked.iter().map(|asked| (asked.target.clone(), seen(&asked.request), seen(&asked.all))));
        }
        let (found, complete, engine) = whole(&capture);
        for (target, request, _) in &expected {
            let count = found.get(target).copied().unwrap_or_default();
            prop_assert!(count <= 1 && (count == 1 || !request), "{}: {} times of {:?}, {:?}", target, count, found, engine.frames);
        }
        let expected = expected.iter().filter(|(_, _, all)| *all).count();
        prop_assert!(complete >= expected, "{} of {}: {:?}", complete, expected, found);
    }
}
