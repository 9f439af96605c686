//! What follows a hole in the client's stream: a request where that is proven, and never text of a body.

use shadowtap::exchange::{Incomplete, RequestState};
use shadowtap::http1::BodyPolicies;

use crate::packets::{ACK, Capture, Client, FIN, SYN, Server, Talk};
use crate::{check, check_on, get, noise, ok, post, tap};

const A: &str = "GET /a -> 200 \"a\"";
const C: &str = "GET /c -> 200 \"c\"";
const EVIL: &str = "DELETE /evil HTTP/1.1\r\nHost: x\r\n\r\n";
const UNPROVEN: &str = "DELETE /evil [unproven] -> pairing lost";

/// A POST of which the capture lost the head, and has the body from its first byte on.
fn headless(talk: Talk, body: impl AsRef<[u8]>) -> Talk {
    let request = post("/b", &body);
    let head = request.len() - body.as_ref().len();
    talk.lost(|talk| talk.client(&request[..head])).client(body)
}

fn first() -> Talk {
    Talk::open().client(get("/a")).server(ok("a"))
}

fn last(talk: Talk) -> Capture {
    talk.client(get("/c")).server(ok("c")).close().capture()
}

#[test]
fn a_body_that_looks_like_a_request_is_none_where_its_head_is_lost() {
    check(&last(headless(first(), EVIL).server(ok("b"))), &[A, UNPROVEN, C, "orphan -> 200 \"b\""]);
    check(&last(headless(Talk::open(), EVIL).server(ok("b"))), &[UNPROVEN, C, "orphan -> 200 \"b\""]);
}

#[test]
fn nor_where_it_goes_on_with_more_of_the_kind() {
    let body = [EVIL, EVIL].concat();
    let expected = [A, UNPROVEN, UNPROVEN, C, "orphan -> 200 \"b\""];
    check(&last(headless(first(), &body).server(ok("b"))), &expected);
    let request = post("/b", &body);
    let head = request.len() - body.len();
    let talk = first().lost(|talk| talk.client(&request[..head])).cut(Client, &body, &[EVIL.len()]);
    check(&last(talk.server(ok("b"))), &expected);
}

#[test]
fn nor_behind_a_piece_of_the_body_that_looks_like_nothing() {
    let body = [noise(1000), EVIL.into()].concat();
    let request = post("/b", &body);
    let head = request.len() - body.len();
    let talk = first().lost(|talk| talk.client(&request[..head])).cut(Client, &body, &[1000]);
    check(&last(talk.server(ok("b"))), &[A, UNPROVEN, C, "orphan -> 200 \"b\""]);
    let talk = Talk::joined().cut(Client, &body, &[1000]);
    check(&last(talk.server(ok("b"))), &["DELETE /evil [unproven] -> 200 \"b\"", C]);
}

#[test]
fn nor_where_the_server_said_that_the_body_may_come() {
    let request = post("/b", EVIL).strip_suffix(EVIL.as_bytes()).unwrap().to_vec();
    let talk = first().lost(|talk| talk.client(&request)).server("HTTP/1.1 100 Continue\r\n\r\n").client(EVIL);
    let found = "DELETE /evil [unproven] -> 200 \"b\"";
    check(&last(talk.server(ok("b"))), &[A, found, C]);
    let both = |talk: Talk| talk.client(&request).server("HTTP/1.1 100 Continue\r\n\r\n");
    let talk = first().lost(both).client(EVIL.replace("DELETE", "GET")).server(ok("b"));
    check(&last(talk), &[A, &found.replace("DELETE", "GET"), C]);
}

#[test]
fn nor_after_a_body_whose_chunks_cannot_be_read() {
    let talk = first().client("POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").client(EVIL);
    let malformed = "POST /b [malformed: chunk framing] -> 200 \"b\"";
    check(&last(talk.server(ok("b"))), &[A, malformed, "DELETE /evil [unproven] -> gap", C]);
}

#[test]
fn nor_where_a_known_body_has_an_unknown_hole() {
    let request = format!("POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n{}", "x".repeat(1000));
    let talk = first().client(request).lost(|talk| talk.client("y".repeat(600))).client(EVIL).client("0\r\n\r\n");
    let seen = tap::run(&mut last(talk.server(ok("b"))).source(), BodyPolicies::default(), &[]);
    let states: Vec<_> = seen.exchanges.values().map(|one| one.request.state).collect();
    let [gap, unproven] = [Incomplete::Gap, Incomplete::Unproven].map(RequestState::Incomplete);
    assert_eq!(states, [RequestState::Whole, gap, unproven, RequestState::Whole]);
}

#[test]
fn nor_does_the_length_it_names_hide_the_next_request() {
    let evil = "POST /evil HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
    let found = "POST /evil [unproven] -> pairing lost";
    check(&last(headless(first(), evil).server(ok("b"))), &[A, found, C, "orphan -> 200 \"b\""]);
}

#[test]
fn a_request_after_a_hole_is_one_where_all_before_it_has_its_response() {
    for next in [get("/n").into_bytes(), post("/n", "x"), EVIL.into()] {
        let talk = first().lost(|talk| talk.client(post("/b", "y"))).server(ok("b")).client(&next).server(ok("n"));
        let seen = tap::run(&mut last(talk).source(), BodyPolicies::default(), &[]);
        let whole = seen.exchanges.values().all(|one| one.request.state == RequestState::Whole);
        assert!(whole && seen.exchanges.len() == 3 && seen.orphans.len() == 1, "{:?}", seen.exchanges);
    }
}

#[test]
fn blank_lines_before_a_request_hide_it_neither_after_a_hole_nor_where_the_capture_begins() {
    for blank in ["\r\n", "\n", "\r\n\r\n", "\r\n\r\n\r\n"] {
        let line = |request: Vec<u8>| [blank.as_bytes(), &request].concat();
        let next = || [line(get("/n").into()), line(post("/m", "x"))];
        let both = |talk: Talk| {
            let [n, m] = next();
            last(talk.client(n).server(ok("n")).client(m).server(ok("m")))
        };
        let found = ["GET /n -> 200 \"n\"", "POST /m \"x\" -> 200 \"m\"", C];
        check(&both(Talk::joined()), &found);
        check(&both(first().lost(|talk| talk.client(get("/b")).server(ok("b")))), &[&[A], &found[..]].concat());
        let orphan = ["orphan -> 200 \"b\""];
        let talk = first().lost(|talk| talk.client(post("/b", "y"))).server(ok("b"));
        check(&both(talk), &[&[A], &found[..], &orphan].concat());
        // In pieces.
        let [n, _] = next();
        let talk = first().lost(|talk| talk.client(get("/b")).server(ok("b"))).cut(Client, &n, &[blank.len() + 5]);
        check(&last(talk.server(ok("n"))), &[A, "GET /n -> 200 \"n\"", C]);
    }
}

#[test]
fn a_request_after_a_hole_is_one_where_of_the_handshake_the_syn_alone_was_captured() {
    for lost in [get("/b").into_bytes(), post("/b", noise(3000))] {
        for [syn, syn_ack, ack] in [[true, false, false], [true, true, false], [true, false, true], [false; 3]] {
            let some = |talk: Talk, who, flags, is_seen: bool| {
                if is_seen { talk.control(who, flags) } else { talk.lost(|talk| talk.control(who, flags)) }
            };
            let talk = some(Talk::joined(), Client, SYN, syn);
            let talk = some(some(talk, Server, SYN | ACK, syn_ack), Client, ACK, ack);
            let talk = talk.lost(|talk| talk.client(&lost)).server(ok("b")).control(Client, ACK).wait(100);
            let talk = talk.client(post("/n", "x")).server(ok("n"));
            check(&last(talk), &["POST /n \"x\" -> 200 \"n\"", C, "orphan -> 200 \"b\""]);
        }
    }
}

#[test]
fn blank_lines_in_a_body_whose_head_is_lost_prove_no_request() {
    let evil = format!("\r\n{EVIL}");
    check(&last(headless(first(), &evil).server(ok("b"))), &[A, UNPROVEN, C, "orphan -> 200 \"b\""]);
    // What such a request says of its length does not hide the next one.
    let evil = "POST /evil HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
    let talk = headless(first(), evil).server(ok("b")).client(format!("\r\n{}", get("/n"))).server(ok("n"));
    let found = "POST /evil [unproven] -> pairing lost";
    check(&last(talk), &[A, found, "GET /n -> 200 \"n\"", C, "orphan -> 200 \"b\""]);
}

#[test]
fn a_request_whose_response_is_damaged_proves_the_next_one() {
    let request = format!("GET /b HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n", "x".repeat(3000));
    let talk = first().client(&request[..1000]).lost(|talk| talk.client(&request[1000..2000])).client(&request[2000..]);
    let talk = talk.cut(Server, ok("b"), &[10]).client(post("/n", "x")).server(ok("n"));
    check(&last(talk), &[A, "GET /b [gap] -> 200 \"b\"", "POST /n \"x\" -> 200 \"n\"", C]);
    let talk = first().lost(|talk| talk.client(get("/b")).server(&ok("b")[..10])).server(&ok("b")[10..]);
    check(&last(talk.client(post("/n", "x")).server(ok("n"))), &[A, "POST /n \"x\" -> 200 \"n\"", C]);
}

#[test]
fn a_write_after_a_hole_in_both_directions_is_counted_and_proves_the_next_one() {
    let talk = first().lost(|talk| talk.client(get("/b")).server(ok("b")));
    let talk = talk.client(post("/n", "x")).server(ok("n")).client(post("/m", "y")).server(ok("m"));
    let expected = [A, "POST /n \"x\" [unproven] -> 200 \"n\"", "POST /m \"y\" -> 200 \"m\"", C];
    check(&last(talk), &expected);
}

#[test]
fn a_read_after_a_hole_is_one_where_its_client_alone_was_heard() {
    let talk = first().lost(|talk| talk.client(get("/b")).server(ok("b"))).client(get("/c")).control(Client, FIN | ACK);
    let capture = talk.capture_where(|packet| packet.to.port() == 80);
    check(&capture, &["GET /a -> no response", "GET /c -> no response"]);
}

/// Twenty exchanges, of which every second one is a POST: its head and its body, which looks like a request, are apart.
fn twenty() -> Talk {
    (0..20).fold(Talk::open(), |talk, n| {
        let talk = if n % 2 == 0 {
            talk.client(get(&format!("/get/{n}")))
        } else {
            let request = post(&format!("/post/{n}"), EVIL);
            talk.cut(Client, &request, &[request.len() - EVIL.len()])
        };
        talk.cut(Server, ok(n.to_string()), if n % 3 == 0 { &[20] } else { &[] })
    })
}

/// Expects that what is whole was sent as a request; returns how many are, and how many are counted as damaged.
fn whole_and_damaged(capture: &Capture) -> (usize, usize) {
    let seen = tap::run(&mut capture.source(), BodyPolicies::default(), &[]);
    let whole = seen.exchanges.values().filter(|one| one.request.state == RequestState::Whole);
    let targets: Vec<&[u8]> = whole.map(|one| one.request.target()).collect();
    assert!(!targets.contains(&&b"/evil"[..]), "{targets:?}");
    (targets.len(), seen.exchanges.len() - targets.len())
}

#[test]
fn of_any_two_lost_packets_none_makes_a_request_up_and_each_costs_one() {
    let capture = twenty().close().capture();
    assert_eq!(whole_and_damaged(&capture), (20, 0));
    for one in 3..capture.shots.len() {
        for two in one..capture.shots.len() {
            let lost = capture.clone().only(|place| place != one && place != two);
            let (whole, _) = whole_and_damaged(&lost);
            assert!(whole >= 18 || (whole == 17 && two == one + 1), "packets {one} and {two} leave {whole}");
        }
    }
}

#[test]
fn of_a_burst_of_loss_none_makes_a_request_up_and_one_more_is_counted_at_most() {
    let talk = twenty();
    let senders = talk.senders();
    let capture = talk.close().capture();
    for begin in 3..senders.len() {
        for end in begin + 1..senders.len() {
            let (whole, damaged) = whole_and_damaged(&capture.clone().only(|place| !(begin..end).contains(&place)));
            // A POST takes two of the client's packets.
            let most = senders[begin..end].iter().filter(|who| **who == Client).count();
            assert!(whole + most + 1 >= 20 && whole + damaged <= 21, "{begin}..{end} leave {whole} and {damaged}");
        }
    }
}

/// The rest of a download whose text looks like a message, where a segment begins; then two exchanges.
fn amid_download(begin: Talk, text: &str) -> Capture {
    let rest = [noise(3000), text.into(), noise(3000)];
    let talk = rest.iter().fold(begin, |talk, part| talk.segments(Server, part, 1000));
    last(talk.control(Client, ACK).wait(100).client(post("/b", "y")).server(ok("b")))
}

#[test]
fn text_in_a_download_that_looks_like_a_request_makes_no_client_of_the_server() {
    let found = ["POST /b \"y\" -> 200 \"b\"", C];
    for begin in [Talk::joined, || Talk::open().lost(|talk| talk.client(get("/a")))] {
        check_on(&[80], &amid_download(begin(), EVIL), &found);
    }
    // Where nothing says which port is the server's, the next message does.
    let found = ["DELETE /evil [unproven] -> pairing lost", "POST /b \"y\" [unproven] -> 200 \"b\"", C];
    check(&amid_download(Talk::joined(), EVIL), &found);
}

/// A response whose head the capture lost, and of its body all but what came with that.
fn beheaded(talk: Talk, pieces: &[&str]) -> Talk {
    let response = ok(["x".repeat(500), pieces.concat()].concat());
    let head = response.len() - pieces.concat().len();
    let talk = talk.lost(|talk| talk.server(&response[..head]));
    pieces.iter().fold(talk, Talk::server)
}

const NO: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno.";

#[test]
fn a_body_that_looks_like_a_response_is_none_where_its_head_is_lost() {
    for pieces in [&[NO][..], &[NO, NO], &["some text", NO], &["some text", NO, "more", NO]] {
        check(&last(beheaded(first().client(get("/b")), pieces)), &[A, "GET /b -> gap", C]);
        check(&last(beheaded(Talk::open().client(get("/b")), pieces)), &["GET /b -> gap", C]);
        let request = post("/b", noise(3000));
        let talk = first().segments(Client, &request, 1000);
        let found = format!("POST /b{} -> gap", crate::large(&noise(3000)));
        check(&last(beheaded(talk, pieces)), &[A, &found, C]);
    }
    // Of a body that was being read, in chunks of unknown length.
    let begin = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n{}", "x".repeat(1000));
    let talk = first()
        .client(get("/b"))
        .server(begin)
        .lost(|talk| talk.server("y".repeat(600)))
        .server(NO)
        .server("0\r\n\r\n");
    let seen = tap::run(&mut last(talk).source(), BodyPolicies::default(), &[]);
    assert_eq!((seen.exchanges.len(), seen.orphans.len()), (3, 0));
}

#[test]
fn a_response_behind_a_hole_is_one_where_its_client_waited_for_it() {
    // The response before it is lost, with the request or without.
    let both = |talk: Talk| talk.client(get("/b")).server(ok("b"));
    check(&last(first().lost(both)), &[A, C]);
    check(&last(first().client(get("/b")).lost(|talk| talk.server(ok("b")))), &[A, "GET /b -> gap", C]);
    // An interim one is lost.
    let request = "POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    let talk = first().client(request).lost(|talk| talk.server("HTTP/1.1 100 Continue\r\n\r\n")).client("x");
    check(&last(talk.server(ok("b"))), &[A, "POST /b \"x\" -> 200 \"b\"", C]);
    // The request is lost.
    let talk = first().lost(|talk| talk.client(get("/b"))).server(ok("b"));
    check(&last(talk), &[A, C, "orphan -> 200 \"b\""]);
}
