//! Who believes what: a segment changes a connection only where the other host heeds it (RFC 9293, 3.10.7; RFC 5961).

use proptest::prelude::*;
use shadowtap::exchange::Close;

use crate::packets::{ACK, Capture, Client, FIN, RST, SYN, Server, Talk, Who};
use crate::{check, get, ok, post};

const THREE: [&str; 3] = ["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\"", "GET /c -> 200 \"c\""];
/// Numbers that are off by little, by more than a window, and by so much that no arithmetic takes them for near.
const OFF: [i32; 6] = [1_000, 70_000, 40_000_000, 1_230_000_000, -300_000, -1_230_000_000];

fn exchange(talk: Talk, target: &str) -> Talk {
    talk.client(get(&format!("/{target}"))).server(ok(target))
}

/// What comes amid a connection at each place where it can, and what its receiver says to that.
fn amid(stray: impl Fn(Talk) -> Talk, pause: u64) -> Vec<Talk> {
    let pause = |talk: Talk| talk.wait(pause);
    let before_request = exchange(pause(stray(Talk::open())), "a");
    let before_response = pause(stray(Talk::open().client(get("/a")))).server(ok("a"));
    let between = pause(stray(exchange(Talk::open(), "a")));
    [before_request, before_response, between].map(|talk| exchange(exchange(talk, "b"), "c").close()).to_vec()
}

#[track_caller]
fn one_connection(talks: &[Talk]) {
    for talk in talks {
        let seen = check(&talk.capture(), &THREE);
        assert_eq!(seen.closed.iter().map(|(_, how)| *how).collect::<Vec<_>>(), [Close::Fin]);
    }
}

#[test]
fn a_second_syn_ack_that_the_client_does_not_acknowledge_changes_nothing() {
    for off in OFF {
        one_connection(&amid(|talk| talk.stray(Server, off, SYN | ACK, "").control(Client, ACK), 300));
    }
}

#[test]
fn of_two_syn_acks_the_one_that_the_client_acknowledges_counts() {
    for off in OFF {
        let talk = Talk::joined().syn().stray(Server, off, SYN | ACK, "").wait(1000).stray(Client, -1, SYN, "");
        let talk = talk.control(Server, SYN | ACK).control(Client, ACK);
        check(&exchange(exchange(exchange(talk, "a"), "b"), "c").close().capture(), &THREE);
    }
}

#[test]
fn a_syn_that_the_server_does_not_take_up_changes_nothing() {
    for off in OFF {
        one_connection(&amid(|talk| talk.stray(Client, off, SYN, "").control(Server, ACK), 0));
        one_connection(&amid(|talk| talk.stray(Client, off, SYN, ""), 0));
        one_connection(&amid(|talk| talk.stray(Client, off, SYN, "eight by").control(Server, ACK), 200));
        let syn_twice = Talk::joined().stray(Client, off, SYN, "").handshake();
        check(&exchange(exchange(exchange(syn_twice, "a"), "b"), "c").close().capture(), &THREE);
    }
}

#[test]
fn a_syn_that_the_server_takes_up_begins_a_connection_whatever_came_before() {
    for off in [5_000_000, 1_900_000_000] {
        let first = exchange(Talk::open().stray(Server, 895_000_000, SYN | ACK, ""), "a");
        let again = Talk::joined().numbered(1_000_000_u32.wrapping_add_signed(off), 77).handshake();
        let talk = first.then(exchange(exchange(again, "b"), "c").close());
        let seen = check(&talk.capture(), &THREE);
        assert_eq!(seen.closed.len(), 2);
    }
}

#[test]
fn a_reset_with_another_number_than_the_expected_one_changes_nothing() {
    for off in OFF {
        for who in [Client, Server] {
            let challenged = |talk: Talk| talk.stray(who, off, RST, "").control(other(who), ACK);
            for pause in [0, 300, 2500, 20_000] {
                one_connection(&amid(challenged, pause));
                one_connection(&amid(|talk| talk.stray(who, off, RST, ""), pause));
            }
        }
    }
}

fn other(who: Who) -> Who {
    if who == Client { Server } else { Client }
}

#[test]
fn a_reset_whose_number_is_the_expected_one_ends_the_connection() {
    for who in [Client, Server] {
        let talk = exchange(Talk::open(), "a").client(get("/b")).control(who, RST | ACK).wait(60_000);
        let seen = check(&talk.capture(), &[THREE[0], "GET /b -> no response"]);
        assert_eq!(seen.closed[0].1, Close::Reset, "{who:?}");
    }
}

#[test]
fn a_fin_from_the_future_is_not_the_end() {
    for off in [500, 70_000, 9_000_000] {
        for who in [Client, Server] {
            one_connection(&amid(|talk| talk.stray(who, off, FIN | ACK, "").control(other(who), ACK), 400));
        }
    }
}

#[test]
fn an_acknowledgement_of_bytes_that_were_never_sent_changes_nothing() {
    for off in [300, 9_000_000, 900_000_000] {
        for who in [Client, Server] {
            for pause in [0, 500, 5000] {
                let ahead = |talk: Talk| talk.ahead(who, off).control(who, ACK).ahead(who, 0).control(other(who), ACK);
                one_connection(&amid(ahead, pause));
            }
        }
    }
}

#[test]
fn bytes_from_the_future_wait_and_cost_nobody_anything() {
    for off in [3_000_000, 400_000_000] {
        for who in [Client, Server] {
            for pause in [300, 5000, 50_000] {
                let far = |talk: Talk| talk.stray(who, off, ACK, "nothing of this stream").control(other(who), ACK);
                one_connection(&amid(far, pause));
            }
        }
    }
}

#[test]
fn a_server_that_still_holds_an_older_connection_is_asked_again() {
    for off in [40_000, -40_000, -900_000_000] {
        let talk = Talk::joined().syn().ahead(Server, off).control(Server, ACK).ahead(Server, 0);
        let talk = talk.stray(Client, off, RST, "").wait(200).stray(Client, -1, SYN, "");
        let talk = talk.numbered_server(77_000_000).control(Server, SYN | ACK).control(Client, ACK);
        let talk = talk.client(get("/a")).wait(2500).server(ok("a")).wait(1500);
        check(&exchange(exchange(talk, "b"), "c").close().capture(), &THREE);
    }
}

#[test]
fn a_connection_that_was_refused_and_then_taken_is_one() {
    for (wait, think) in [(20, 1500), (2000, 50), (9000, 4000)] {
        let talk = Talk::joined().syn().control(Server, RST | ACK).wait(wait).stray(Client, -1, SYN, "");
        let talk = talk.numbered_server(5_000).control(Server, SYN | ACK).control(Client, ACK);
        let talk = talk.client(get("/a")).wait(think).server(ok("a"));
        check(&exchange(exchange(talk, "b"), "c").close().capture(), &THREE);
    }
}

// What is sent again.

/// A client that knows of no response and sends its request again and again.
fn repeats(talk: Talk, waits: &[u64], request: &[u8]) -> Talk {
    let back = -i32::try_from(request.len()).unwrap();
    waits.iter().fold(talk, |talk, wait| talk.wait(*wait).stray(Client, back, ACK, request))
}

#[test]
fn a_request_that_is_sent_again_long_after_the_end_is_one_request() {
    let request = post("/a", "pay");
    let closed = Talk::open().client(&request).server(ok("a")).control(Server, FIN | ACK);
    let closed = closed.behind(Client, ok("a").len() + 1).control(Client, FIN | ACK);
    // FIN took a number.
    let back = -1 - i32::try_from(request.len()).unwrap();
    let talk =
        [400, 3200, 9000, 70_000].iter().fold(closed, |talk, wait| talk.wait(*wait).stray(Client, back, ACK, &request));
    check(&talk.capture(), &["POST /a \"pay\" -> 200 \"a\""]);
    let reset = Talk::open().client(&request).control(Server, RST | ACK);
    check(
        &repeats(reset, &[800, 2000, 8000, 25_000, 100_000], &request).capture(),
        &["POST /a \"pay\" -> no response"],
    );
}

// Holes.

#[test]
fn a_hole_waits_as_long_as_the_receiver_says_that_it_misses_bytes() {
    let request = post("/a", "x".repeat(2000));
    let expected = [format!("POST /a{} -> 200 \"a\"", crate::large("x".repeat(2000).as_bytes())), THREE[1].to_owned()];
    for wait in [100, 2_000, 4_000, 15_000, 110_000] {
        let rest = request.len() - 1000;
        let talk = Talk::open().lost(|talk| talk.client(&request[..1000])).client(&request[1000..]);
        let talk = talk.behind(Server, request.len()).control(Server, ACK).wait(wait);
        let back = -i32::try_from(rest + 1000).unwrap();
        let talk = talk.stray(Client, back, ACK, &request[..1000]).behind(Server, 0).control(Server, ACK);
        check(&exchange(talk.server(ok("a")), "b").close().capture(), &expected);
    }
}

#[test]
fn a_hole_that_the_receiver_does_not_know_of_is_a_loss_of_the_capture() {
    let talk = Talk::open().lost(|talk| exchange(talk, "lost")).wait(50);
    check(&exchange(exchange(talk, "b"), "c").close().capture(), &THREE[1..]);
}

// Recorders of which each hears one direction.

#[test]
fn recorders_whose_clocks_differ_by_a_second_pair_nothing_wrongly() {
    for skew in [50, 300, 1000] {
        for every in [10, 50, 300, 1000] {
            for early in [Client, Server] {
                let talk = (0..10).fold(Talk::open(), |talk, n| exchange(talk, &n.to_string()).wait(every)).close();
                let mut capture = talk.capture();
                for (shot, from) in capture.shots.iter_mut().zip(talk.senders()) {
                    shot.at -= if from == early { skew * 1_000_000 } else { 0 };
                }
                let expected: Vec<String> = (0..10).map(|n| format!("GET /{n} -> 200 \"{n}\"")).collect();
                let seen = check(&capture.with(Capture::default()), &expected);
                let untimed =
                    seen.exchanges.values().filter(|one| matches!(&one.answer, Some(Ok(answer)) if answer.untimed));
                assert_eq!(untimed.count(), if early == Server { 10 } else { 0 }, "{skew} {every} {early:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: proptest::test_runner::RngSeed::Fixed(16), ..Default::default() })]
    /// Whatever amount a stray segment is off by, and wherever it comes, it costs nothing.
    #[test]
    fn no_stray_segment_costs_an_exchange(off in prop_oneof![2_000..16_000_000_i32, 20_000_000..2_000_000_000_i32], back in any::<bool>(), kind in 0..4_u8, who in any::<bool>(), place in 0..3_usize, pause in 0..6000_u64) {
        let (who, off) = (if who { Client } else { Server }, if back { -off } else { off });
        let flags = [SYN, SYN | ACK, RST, FIN | ACK][usize::from(kind)];
        let who = match kind { 0 => Client, 1 => Server, _ => who };
        let talk = amid(|talk| talk.stray(who, off, flags, "").control(other(who), ACK), pause).swap_remove(place);
        check(&talk.capture(), &THREE);
    }
}

/// A SYN proxy replies to a client by numbers of its own, then opens to the server by the client's, and shifts the server's
/// from then on. Where it is tapped on both sides each exchange is there twice, between the same ends.
#[test]
fn both_legs_of_a_syn_proxy_are_one_conversation() {
    let shifts = [-65_000, 65_000, 1_000, 3_000_000, 15_000_000, 40_000_000, -900_000_000, 1_900_000_000];
    for (shift, think) in shifts.into_iter().flat_map(|shift| [(shift, 0), (shift, 300)]) {
        let leg = |server: u32, begins: u64| {
            let talk = Talk::joined().numbered(1_000_000, server).wait(begins).handshake().wait(100 - begins);
            let exchange =
                |talk: Talk, name: &&str| talk.client(get(&format!("/{name}"))).wait(think).server(ok(name)).wait(150);
            ["a", "b", "c"].iter().fold(talk, exchange).close()
        };
        let server = 2_000_000_000_u32;
        let (near, far) = (leg(server, 0), leg(server.wrapping_add_signed(shift), 10));
        // Each segment is seen first where it comes from.
        let late = |talk: &Talk, who: Who| {
            let mut capture = talk.capture_where(|packet| (packet.from.port() == 80) == (who == Server));
            capture.shots.iter_mut().for_each(|shot| shot.at += 100_000);
            capture
        };
        let first = |talk: &Talk, who: Who| talk.capture_where(|packet| (packet.from.port() == 80) == (who == Server));
        let both = first(&near, Client).with(late(&near, Server)).with(late(&far, Client)).with(first(&far, Server));
        let seen = check(&both, &THREE);
        assert_eq!(seen.flow.gaps, 0, "{shift}, {think} ms");
    }
}
