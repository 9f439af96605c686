//! Segments in every order and number: each byte once, each loss told.

use shadowtap::exchange::Close;

use crate::packets::{ACK, Capture, Client, FIN, RST, SYN, Server, Talk, Who};
use crate::{check, chunked, get, large, noise, ok, post};

const TWO: [&str; 2] = ["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""];

/// The first of two exchanges, on an open connection.
fn first() -> Talk {
    Talk::open().client(get("/a")).server(ok("a"))
}

/// The second one.
fn second(talk: Talk) -> Talk {
    talk.client(get("/b")).server(ok("b"))
}

/// How each connection of a capture that holds [`TWO`] ended.
#[track_caller]
fn ends(talk: &Talk) -> Vec<Close> {
    check(&talk.capture(), &TWO).closed.into_iter().map(|(_, how)| how).collect()
}

// What GoReplay gets right.

#[test]
fn a_get_in_one_segment() {
    check(&first().close().capture(), &TWO[..1]);
}

#[test]
fn a_header_cut_within_its_value() {
    check(&Talk::open().cut(Client, get("/a"), &[24]).server(ok("a")).close().capture(), &TWO[..1]);
}

#[test]
fn a_post_in_three_segments() {
    let body = noise(3000);
    let talk = Talk::open().cut(Client, post("/a", &body), &[1000, 2000]).server(ok("a")).close();
    check(&talk.capture(), &[format!("POST /a{} -> 200 \"a\"", large(&body))]);
}

#[test]
fn segments_out_of_order() {
    let body = noise(10_000);
    let talk = Talk::open()
        .reversed(|talk| talk.segments(Client, post("/a", &body), 1000))
        .reversed(|talk| talk.segments(Server, ok(&body), 1000))
        .close();
    check(&talk.capture(), &[format!("POST /a{0} -> 200{0}", large(&body))]);
}

// What it gets wrong.

#[test]
fn a_request_in_several_segments_while_the_server_sends_an_interim_response() {
    let body = noise(3000);
    let request = post("/a", &body);
    let talk = Talk::open()
        .client(&request[..1000])
        .server("HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n")
        .client(&request[1000..2000])
        .server("HTTP/1.1 102 Processing\r\n\r\n")
        .client(&request[2000..])
        .server(ok("a"))
        .close();
    check(&talk.capture(), &[format!("POST /a{} -> 200 \"a\"", large(&body))]);
}

#[test]
fn a_request_in_several_segments_while_the_response_before_it_still_comes() {
    let (body, response) = (noise(3000), ok(noise(5000)));
    let request = post("/b", &body);
    let talk = Talk::open()
        .client(get("/a"))
        .server(&response[..2000])
        .client(&request[..1000])
        .server(&response[2000..4000])
        .client(&request[1000..])
        .server(&response[4000..])
        .server(ok("b"))
        .close();
    let expected = [format!("GET /a -> 200{}", large(&noise(5000))), format!("POST /b{} -> 200 \"b\"", large(&body))];
    check(&talk.capture(), &expected);
}

#[test]
fn a_request_cut_at_every_single_byte() {
    let request = post("/a", "0123456789");
    for at in 1..request.len() {
        let talk = Talk::open().cut(Client, &request, &[at]).server(ok("a")).close();
        check(&talk.capture(), &["POST /a \"0123456789\" -> 200 \"a\""]);
    }
    let every: Vec<usize> = (1..request.len()).collect();
    let talk = Talk::open().cut(Client, &request, &every).cut(Server, ok("a"), &[1, 2, 3, 17, 18, 36, 37]).close();
    check(&talk.capture(), &["POST /a \"0123456789\" -> 200 \"a\""]);
}

#[test]
fn segments_of_nothing_but_zeros_are_data() {
    let zeros = vec![0; 60_000];
    let talk = Talk::open().segments(Client, post("/a", &zeros), 1448).segments(Server, ok(&zeros), 1448).close();
    check(&talk.capture(), &[format!("POST /a{0} -> 200{0}", large(&zeros))]);
}

#[test]
fn a_chunked_body_cut_at_every_single_byte() {
    let response = chunked(&["hello", "0\r\n", "the chunk before this one ends like the last one"]);
    let expected =
        ["GET /a -> 200 \"hello0\\r\\nthe chunk before this one ends like the last one\"", "GET /b -> 200 \"b\""];
    for at in 1..response.len() {
        check(&second(Talk::open().client(get("/a")).cut(Server, &response, &[at])).close().capture(), &expected);
    }
}

#[test]
fn a_request_that_is_sent_again_is_one_request() {
    let talk = Talk::open().client(get("/a")).again(0).server(ok("a")).again(1).again(1);
    let seen = check(&second(talk).close().capture(), &TWO);
    assert!(seen.flow.retransmitted_bytes > 0);
}

#[test]
fn a_longer_segment_that_repeats_a_shorter_one() {
    let request = post("/a", "0123456789");
    let talk = Talk::open().client(&request[..30]).stray(Client, -30, ACK, &request).server(ok("a"));
    // What the longer one had besides is sent.
    let talk = talk.lost(|talk| talk.client(&request[30..]));
    check(&talk.close().capture(), &["POST /a \"0123456789\" -> 200 \"a\""]);
}

#[test]
fn of_bytes_that_are_sent_twice_the_first_ones_count() {
    let request = post("/a", "0123456789");
    let other = "x".repeat(20);
    let talk = Talk::open().client(&request).stray(Client, -20, ACK, &other).server(ok("a"));
    check(&second(talk).close().capture(), &["POST /a \"0123456789\" -> 200 \"a\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn of_bytes_that_wait_behind_a_hole_the_first_ones_count_too() {
    let request = post("/a", "0123456789");
    let head = request.len() - 10;
    let talk = Talk::open()
        .stray(Client, i32::try_from(head).unwrap(), ACK, "0123456789")
        .stray(Client, i32::try_from(head).unwrap() - 2, ACK, "\r\nxxxxxxxxxx")
        .client(&request)
        .server(ok("a"));
    check(&second(talk).close().capture(), &["POST /a \"0123456789\" -> 200 \"a\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn sequence_numbers_that_wrap_in_the_handshake_in_a_head_and_in_a_body() {
    let body = noise(2000);
    for left in [0, 1, 10, 40, 100, 1500, 2040] {
        let talk = Talk::joined().numbered(u32::MAX - left, u32::MAX - left).handshake();
        let talk = talk.segments(Client, post("/a", &body), 700).segments(Server, ok(&body), 700);
        let expected = [format!("POST /a{0} -> 200{0}", large(&body)), "GET /b -> 200 \"b\"".to_owned()];
        check(&second(talk).close().capture(), &expected);
    }
}

#[test]
fn sequence_numbers_that_wrap_while_segments_come_out_of_order() {
    let body = noise(6000);
    let talk = Talk::joined().numbered(u32::MAX - 3000, u32::MAX - 3000).handshake();
    let talk = talk
        .reversed(|talk| talk.segments(Client, post("/a", &body), 700))
        .reversed(|talk| talk.segments(Server, ok(&body), 700));
    let expected = [format!("POST /a{0} -> 200{0}", large(&body)), "GET /b -> 200 \"b\"".to_owned()];
    check(&second(talk).close().capture(), &expected);
}

// The rest of what TCP does.

#[test]
fn a_connection_that_both_sides_end_is_closed_by_fin() {
    assert_eq!(ends(&second(first()).close()), [Close::Fin]);
}

#[test]
fn a_connection_that_nobody_ends_is_open_to_the_end_of_the_capture() {
    assert_eq!(ends(&second(first())), [Close::EndOfCapture]);
}

#[test]
fn data_and_fin_in_one_segment() {
    let talk = Talk::open().client(get("/a"));
    let response = "HTTP/1.0 200 OK\r\n\r\nall of it";
    let talk = talk.stray(Server, 0, ACK | FIN, response).lost(|talk| talk.server(response).control(Server, FIN));
    let seen = check(&talk.control(Client, FIN | ACK).capture(), &["GET /a -> 200 \"all of it\""]);
    assert_eq!(seen.closed[0].1, Close::Fin);
}

#[test]
fn a_client_that_is_done_sending_still_gets_its_response() {
    let talk =
        Talk::open().client(get("/a")).control(Client, FIN | ACK).wait(500).server(ok("a")).control(Server, FIN | ACK);
    check(&talk.capture(), &TWO[..1]);
}

#[test]
fn a_server_that_is_done_sending_leaves_later_requests_without_response() {
    let talk = first().control(Server, FIN | ACK).client(get("/b")).control(Client, FIN | ACK);
    check(&talk.capture(), &["GET /a -> 200 \"a\"", "GET /b -> no response"]);
}

#[test]
fn what_is_sent_again_after_fin_is_no_new_connection() {
    let talk = second(first()).again(0).close().again(4).again(6).again(6);
    assert_eq!(ends(&talk), [Close::Fin]);
}

#[test]
fn a_fin_that_comes_before_the_data_that_it_follows() {
    let talk = Talk::open()
        .client(get("/a"))
        .reversed(|talk| talk.server("HTTP/1.1 200 OK\r\n\r\n").server("all of it").control(Server, FIN | ACK))
        .control(Client, FIN | ACK);
    let seen = check(&talk.capture(), &["GET /a -> 200 \"all of it\""]);
    assert_eq!(seen.closed[0].1, Close::Fin);
}

#[test]
fn a_reset_ends_a_connection_and_what_was_not_answered() {
    let talk = first().client(get("/b")).control(Server, RST | ACK);
    let seen = check(&talk.capture(), &["GET /a -> 200 \"a\"", "GET /b -> no response"]);
    assert_eq!(seen.closed[0].1, Close::Reset);
}

#[test]
fn a_reset_inside_a_response_leaves_its_status() {
    let talk = Talk::open().client(get("/a")).server(&ok("0123456789")[..44]).control(Server, RST);
    check(&talk.capture(), &["GET /a -> 200 \"01234\" [connection closed early]"]);
}

#[test]
fn bytes_that_were_under_way_when_the_other_side_reset_still_count() {
    let talk = first().client(get("/b")).control(Client, RST).server(ok("b"));
    assert_eq!(ends(&talk), [Close::Reset]);
}

#[test]
fn bytes_that_a_reset_overtook_still_count() {
    let talk = first().client(get("/b")).reversed(|talk| talk.server(ok("b")).control(Server, RST));
    check(&talk.capture(), &TWO);
}

#[test]
fn a_forged_reset_that_neither_side_heeds_is_ignored() {
    for who in [Client, Server] {
        let talk = first().stray(who, 0, RST, "").wait(100);
        let talk = second(talk).wait(5000).client(get("/c")).server(ok("c")).close();
        let seen = check(&talk.capture(), &[TWO[0], TWO[1], "GET /c -> 200 \"c\""]);
        assert_eq!(seen.closed.len(), 1, "{who:?}: {:?}", seen.closed);
    }
}

#[test]
fn a_forged_reset_and_a_long_silence_cost_no_exchange() {
    for who in [Client, Server] {
        check(&second(first().stray(who, 0, RST, "").wait(5000)).close().capture(), &TWO);
        check(
            &second(first().client(get("/x")).stray(who, 0, RST, "").wait(5000).server(ok("x"))).close().capture(),
            &[TWO[0], "GET /x -> no response", TWO[1], "orphan -> 200 \"x\""],
        );
    }
}

#[test]
fn a_reset_whose_number_is_far_off_is_ignored() {
    let talk = second(first().stray(Server, 1 << 30, RST, "").wait(5000)).close();
    assert_eq!(ends(&talk), [Close::Fin]);
}

#[test]
fn the_same_ports_again_are_a_new_connection() {
    let again = Talk::joined().numbered(77_000, 99_000).handshake();
    let talk = first().close().then(second(again).close());
    assert_eq!(ends_of(&talk.capture(), &["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""]), [Close::Fin, Close::Fin]);
}

#[test]
fn the_same_ports_again_end_a_connection_whose_end_was_not_captured() {
    let again = Talk::joined().numbered(77_000, 99_000).handshake();
    let talk = first().then(second(again).close());
    assert_eq!(ends_of(&talk.capture(), &TWO), [Close::Reused, Close::Fin]);
}

#[test]
fn the_same_ports_again_after_a_request_that_was_not_answered() {
    let again = Talk::joined().numbered(77_000, 99_000).handshake();
    let talk = Talk::open().client(get("/a")).then(second(again).close());
    let seen = check(&talk.capture(), &["GET /a -> no response", "GET /b -> 200 \"b\""]);
    assert_eq!(seen.closed.len(), 2);
}

/// The server says what it expects instead, and both go on.
#[test]
fn a_forged_syn_that_neither_side_heeds_is_ignored() {
    for far in [5_000, 777_777_777, -5_000] {
        let talk = first().stray(Client, far, SYN, "").stray(Server, 0, ACK, "");
        let talk = second(talk).client(get("/c")).server(ok("c")).close();
        let seen = check(&talk.capture(), &[TWO[0], TWO[1], "GET /c -> 200 \"c\""]);
        assert_eq!(seen.closed.len(), 1, "{far}: {:?}", seen.closed);
    }
}

#[test]
fn the_same_ports_again_where_only_the_clients_direction_was_captured() {
    let talk = Talk::open().client(get("/a"));
    let again = Talk::joined().numbered(77_000, 99_000).handshake().client(get("/b"));
    // Both times the second packet of the handshake is the server's only one.
    let client_only = talk.then(again).capture().only(|place| place != 1 && place != 5);
    let seen = check(&client_only, &["GET /a -> no response", "GET /b -> no response"]);
    assert_eq!(seen.closed.len(), 2);
}

#[track_caller]
fn ends_of(capture: &Capture, expected: &[&str]) -> Vec<Close> {
    check(capture, expected).closed.into_iter().map(|(_, how)| how).collect()
}

#[test]
fn a_syn_that_is_sent_again_is_no_new_connection() {
    let talk = Talk::joined().stray(Client, 0, SYN, "").wait(1000).handshake().stray(Server, -1, SYN | ACK, "");
    assert_eq!(ends(&second(talk.client(get("/a")).server(ok("a"))).close()), [Close::Fin]);
}

#[test]
fn a_copy_of_the_syn_that_comes_late_is_no_new_connection() {
    let get = get("/a");
    let back = -1 - i32::try_from(get.len()).unwrap();
    let talk = Talk::open().client(get).stray(Client, back, SYN, "").server(ok("a"));
    assert_eq!(ends(&second(talk).close()), [Close::Fin]);
}

#[test]
fn a_handshake_that_is_captured_after_the_data() {
    let talk = Talk::joined().reversed(|talk| talk.handshake().client(get("/a"))).server(ok("a"));
    assert_eq!(ends(&second(talk).close()), [Close::Fin]);
}

#[test]
fn data_in_the_syn() {
    let request = get("/a");
    let talk = Talk::joined().stray(Client, 0, SYN, &request).lost(|talk| talk.syn().client(&request));
    let talk = talk.control(Server, SYN | ACK).control(Client, ACK).server(ok("a"));
    assert_eq!(ends(&second(talk).close()), [Close::Fin]);
}

#[test]
fn data_in_the_syn_that_was_refused_and_sent_again() {
    let request = get("/a");
    let talk = Talk::joined().stray(Client, 0, SYN, &request).lost(Talk::syn);
    let talk = talk.control(Server, SYN | ACK).client(&request).server(ok("a"));
    assert_eq!(ends(&second(talk).close()), [Close::Fin]);
}

#[test]
fn keep_alive_probes_with_and_without_a_byte_of_garbage_are_no_data() {
    let probes = |talk: Talk| {
        talk.wait(30_000)
            .stray(Client, -1, ACK, "\0")
            .control(Server, ACK)
            .stray(Server, -1, ACK, "x")
            .stray(Client, -1, ACK, "")
            .control(Server, ACK)
    };
    assert_eq!(ends(&probes(second(probes(first()))).close()), [Close::Fin]);
}

#[test]
fn zero_window_probes_are_the_next_byte_and_not_one_more() {
    let request = post("/b", "0123456789");
    let talk = first()
        .client(&request[..40])
        .stray(Client, 0, ACK, &request[40..41])
        .control(Server, ACK)
        .stray(Client, 0, ACK, &request[40..41])
        .control(Server, ACK)
        .client(&request[40..])
        .server(ok("b"))
        .close();
    check(&talk.capture(), &["GET /a -> 200 \"a\"", "POST /b \"0123456789\" -> 200 \"b\""]);
}

#[test]
fn a_response_that_is_captured_before_its_request() {
    let talk = Talk::open().reversed(|talk| talk.client(get("/a")).server(ok("a")));
    assert_eq!(ends(&second(talk).close()), [Close::Fin]);
}

#[test]
fn both_directions_captured_by_two_cards_whose_clocks_differ() {
    let exchanges = |talk: Talk| {
        (0..20).fold(talk, |talk, n| {
            talk.reversed(|talk| talk.client(post(&format!("/{n}"), n.to_string())).server(ok(n.to_string())))
        })
    };
    let expected: Vec<String> = (0..20).map(|n| format!("POST /{n} \"{n}\" -> 200 \"{n}\"")).collect();
    check(&exchanges(Talk::open()).close().capture(), &expected);
    check(&exchanges(first()).close().capture(), &[vec![TWO[0].to_owned()], expected].concat());
}

#[test]
fn all_of_the_servers_frames_are_captured_before_all_of_the_clients() {
    let talk = Talk::open().reordered(
        |talk| second(talk.client(get("/a")).server(ok("a"))),
        |packets| packets.sort_by_key(|packet| packet.from.port() != 80),
    );
    check(&talk.close().capture(), &TWO);
}

#[test]
fn only_the_clients_direction_still_gives_its_requests() {
    let talk = Talk::open().client(get("/a")).lost(|talk| talk.server(ok("a"))).client(post("/b", "x"));
    let talk = talk.lost(|talk| talk.server(ok("b"))).client(get("/c")).control(Client, FIN | ACK);
    let expected = ["GET /a -> no response", "POST /b \"x\" -> no response", "GET /c -> no response"];
    let client_only = talk.capture().only(|place| place != 1);
    check(&client_only, &expected);
    let joined = talk.capture().only(|place| place > 2);
    check(&joined, &expected);
}

#[test]
fn only_the_servers_direction_gives_orphans() {
    let talk = Talk::open().lost(|talk| talk.client(get("/a"))).server(ok("a")).lost(|talk| talk.client(get("/b")));
    let talk = talk.server(chunked(&["b"])).control(Server, FIN | ACK);
    let expected = ["orphan -> 200 \"a\"", "orphan -> 200 \"b\""];
    check(&talk.capture().only(|place| place == 1 || place > 2), &expected);
    check(&talk.capture().only(|place| place > 2), &expected);
}

#[test]
fn a_capture_that_begins_between_two_exchanges() {
    let talk = Talk::joined().client(get("/a")).server(ok("a"));
    assert_eq!(ends(&second(talk).close()), [Close::Fin]);
}

#[test]
fn a_capture_that_begins_inside_a_request_head() {
    let talk = Talk::joined().client(&get("/lost")[9..]).server(ok("lost")).client(get("/a")).server(ok("a"));
    check(&second(talk).close().capture(), &[TWO[0], TWO[1], "orphan -> 200 \"lost\""]);
}

#[test]
fn a_capture_that_begins_inside_a_request_body() {
    let talk = Talk::joined().segments(Client, noise(5000), 1000).server(ok("lost")).client(get("/a")).server(ok("a"));
    check(&second(talk).close().capture(), &[TWO[0], TWO[1], "orphan -> 200 \"lost\""]);
}

#[test]
fn a_capture_that_begins_inside_a_response_head() {
    let talk = Talk::joined().server(&ok("lost")[20..]).client(get("/a")).server(ok("a"));
    check(&second(talk).close().capture(), &TWO);
}

#[test]
fn a_capture_that_begins_inside_a_response_body() {
    let talk = Talk::joined().segments(Server, noise(5000), 1000).client(get("/a")).server(ok("a"));
    check(&second(talk).close().capture(), &TWO);
}

#[test]
fn a_capture_that_begins_with_segments_out_of_order() {
    let talk = Talk::joined().client(get("/a")).reversed(|talk| talk.cut(Server, ok("a"), &[10, 20, 30]));
    check(&second(talk).close().capture(), &TWO);
    let talk = Talk::joined().reversed(|talk| talk.cut(Client, get("/a"), &[5, 10, 20])).server(ok("a"));
    check(&second(talk).close().capture(), &TWO);
}

/// The first bytes of a message are lost before the recorder, and the receiver says so; they come again after a while, and
/// their acknowledgement is stamped before them.
fn repeated(talk: Talk, who: Who, message: impl AsRef<[u8]>, rto: u64, early: bool) -> Talk {
    let other = if who == Client { Server } else { Client };
    let message = message.as_ref();
    let (first, rest) = message.split_at(20);
    let talk = talk.lost(|talk| talk.send(who, first)).send(who, rest);
    let talk = talk.behind(other, message.len()).control(other, ACK).behind(other, 0).wait(rto);
    let (ack, back) = (|talk: Talk| talk.control(other, ACK), -i32::try_from(message.len()).unwrap());
    let again = |talk: Talk| talk.stray(who, back, ACK, first);
    if early { again(ack(talk)) } else { ack(again(talk)) }
}

#[test]
fn a_retransmission_that_is_captured_after_its_acknowledgement() {
    for rto in [50, 200, 300, 550, 1000, 4000] {
        for early in [true, false] {
            let talk = repeated(first(), Client, get("/b"), rto, early).server(ok("b"));
            let seen = check(&talk.close().capture(), &TWO);
            assert_eq!(seen.flow.gaps, 0, "request, {rto} ms, {early}");
            let talk = repeated(first().client(get("/b")), Server, ok("b"), rto, early);
            let seen = check(&talk.close().capture(), &TWO);
            assert_eq!(seen.flow.gaps, 0, "response, {rto} ms, {early}");
        }
    }
}

#[test]
fn a_capture_that_begins_with_a_segment_before_which_bytes_are_missing() {
    for rto in [50, 300, 550, 1000, 4000] {
        for early in [true, false] {
            let talk = repeated(Talk::joined(), Client, get("/a"), rto, early).server(ok("a"));
            check(&second(talk).close().capture(), &TWO);
            let talk = Talk::joined().control(Client, ACK);
            let talk = repeated(talk, Client, get("/a"), rto, early).server(ok("a"));
            check(&second(talk).close().capture(), &TWO);
        }
    }
    // Of what was under way the acknowledgement comes later: nothing is missing.
    let body = noise(5000);
    let under_way = |talk: Talk| talk.behind(Server, 3000).control(Server, ACK).behind(Server, 0).control(Server, ACK);
    let talk = under_way(Talk::joined().segments(Client, body, 1000)).server(ok("lost"));
    let talk = second(talk.client(get("/a")).server(ok("a")));
    check(&talk.close().capture(), &[TWO[0], TWO[1], "orphan -> 200 \"lost\""]);
}

#[test]
fn a_capture_without_acknowledgements_that_begins_with_a_segment_before_which_bytes_are_missing() {
    let data = |talk: Talk| second(talk).close().capture_where(|packet| !packet.payload.is_empty());
    for rto in [50, 300, 550, 1000, 2500] {
        check(&data(repeated(Talk::joined(), Client, get("/a"), rto, false).server(ok("a"))), &TWO);
        check(&data(repeated(Talk::joined().client(get("/a")), Server, ok("a"), rto, false)), &TWO);
    }
}

#[test]
fn a_segment_whose_number_cannot_be_right_holds_nobody_up() {
    let talk = second(first().stray(Client, 1 << 29, ACK, "lost in space").stray(Server, -(1 << 29), ACK, "as well"));
    check(&talk.close().capture(), &TWO);
}

#[test]
fn many_connections_at_once() {
    let mut capture = Capture::default();
    let mut expected = Vec::new();
    for n in 0..200 {
        let client = format!("10.0.1.{}:{}", n % 250, 40_000 + n);
        let talk = Talk::joined().between(&client, "10.0.0.1:80").handshake();
        let talk = talk.client(get(&format!("/{n}"))).server(ok(n.to_string())).close();
        capture = capture.with(talk.capture());
        expected.push(format!("GET /{n} -> 200 \"{n}\""));
    }
    let seen = check(&capture, &expected);
    assert_eq!((seen.flow.peak_open, seen.http1.http1), (200, 200));
}

#[test]
fn a_client_and_a_server_on_one_address() {
    let talk = Talk::joined().between("127.0.0.1:80", "127.0.0.1:51234").handshake();
    assert_eq!(ends(&second(talk.client(get("/a")).server(ok("a"))).close()), [Close::Fin]);
}

#[test]
fn a_port_scan_leaves_no_exchange_and_no_open_connection() {
    let mut capture = Capture::default();
    for port in 1..300 {
        let talk = Talk::joined().between("10.0.0.9:40000", &format!("10.0.0.1:{port}"));
        capture = capture.with(talk.syn().control(Server, RST | ACK).capture());
    }
    let seen = check::<&str>(&capture, &[]);
    assert_eq!((seen.closed.len(), seen.http1.unknown), (299, 0));
}

#[test]
fn a_connection_that_is_silent_for_long_while_others_are_not_is_given_up() {
    let late = Talk::joined().between("10.0.0.8:51234", "10.0.0.1:80").handshake();
    let late = (0..40).fold(second(late), |talk, _| talk.wait(30_000).control(Client, ACK).control(Server, ACK));
    assert_eq!(ends(&first().then(late.close())), [Close::Idle, Close::Fin]);
}
