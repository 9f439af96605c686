//! Loss in capture: it costs the exchange that it belongs to and no other, and never pairs what does not belong
//! together.

use shadowtap::http1::{BodyPolicies, BodyPolicy};

use crate::packets::{ACK, Capture, Client, FIN, Server, Talk};
use crate::{check, chunked, get, large, noise, ok, post, tap};

const A: &str = "GET /a -> 200 \"a\"";
const C: &str = "GET /c -> 200 \"c\"";

/// Three exchanges on one connection, of which the one in the middle is given.
fn amid(middle: impl FnOnce(Talk) -> Talk) -> Capture {
    let talk = middle(Talk::open().client(get("/a")).server(ok("a")));
    talk.client(get("/c")).server(ok("c")).close().capture()
}

/// Expects `damaged` between two exchanges that nothing happened to.
#[track_caller]
fn between(middle: impl FnOnce(Talk) -> Talk, damaged: &str) {
    check(&amid(middle), &[A, damaged, C]);
}

/// Expects two exchanges that nothing happened to, and besides a response of which nobody knows the request.
#[track_caller]
fn orphaned(middle: impl FnOnce(Talk) -> Talk, orphan: &str) {
    check(&amid(middle), &[A, C, orphan]);
}

/// Expects the two exchanges around whatever became of the one that is damaged.
#[track_caller]
fn neighbors_are_whole(capture: &Capture) {
    let seen = tap::run(&mut capture.source(), BodyPolicies::default(), &[]);
    for target in [b"/a", b"/c"] {
        let exchange = seen.exchanges.values().find(|exchange| exchange.request.target() == target).unwrap();
        let response = exchange.answer.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((response.status, response.body.len, response.damage), (200, 1, None));
    }
}

// The response.

#[test]
fn a_lost_response() {
    between(|talk| talk.client(get("/b")).lost(|talk| talk.server(ok("b"))), "GET /b -> gap");
}

#[test]
fn a_lost_response_head_whose_body_was_captured() {
    let response = ok(noise(5000));
    let lose = |talk: Talk| talk.client(get("/b")).lost(|talk| talk.server(&response[..1000]));
    between(|talk| lose(talk).segments(Server, &response[1000..], 1000), "GET /b -> gap");
}

#[test]
fn a_lost_response_head_whose_body_is_a_response_in_itself() {
    let inside = [ok("inside"), noise(3000)].concat();
    let response = ok(&inside);
    let head = response.len() - inside.len();
    let lose = |talk: Talk| talk.client(get("/b")).lost(|talk| talk.server(&response[..head]));
    let capture = amid(|talk| lose(talk).segments(Server, &response[head..], 1000));
    neighbors_are_whole(&capture);
}

#[test]
fn a_lost_piece_in_the_middle_of_a_response_head() {
    let lines = format!("X: {}\r\n", "x".repeat(3000));
    let response = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 1\r\n\r\nb");
    let lose = |talk: Talk| {
        let talk = talk.client(get("/b")).server(&response[..1000]);
        talk.lost(|talk| talk.server(&response[1000..2000])).server(&response[2000..])
    };
    between(lose, "GET /b -> 200 [gap]");
}

#[test]
fn a_gap_inside_a_response_body_of_known_length() {
    let response = ok(noise(5000));
    let lose = |talk: Talk| {
        let talk = talk.client(get("/b")).server(&response[..1000]);
        talk.lost(|talk| talk.server(&response[1000..3000])).server(&response[3000..])
    };
    let head = response.len() - 5000;
    let kept = [&response[head..1000], &response[3000..]].concat();
    between(lose, &format!("GET /b -> 200{} [gap]", large(&kept)));
}

#[test]
fn a_gap_up_to_the_very_end_of_a_response_body() {
    let response = ok(noise(5000));
    let lose = |talk: Talk| {
        let talk = talk.client(get("/b")).server(&response[..1000]);
        talk.lost(|talk| talk.server(&response[1000..]))
    };
    let kept = &response[response.len() - 5000..1000];
    between(lose, &format!("GET /b -> 200{} [gap]", large(kept)));
}

#[test]
fn a_gap_from_one_response_body_into_the_next_response_head() {
    let response = ok(noise(2000));
    let talk = Talk::open()
        .client(get("/a"))
        .server(&response[..1000])
        .lost(|talk| talk.server(&response[1000..]))
        .client(get("/b"))
        .lost(|talk| talk.server(&ok("b")[..20]))
        .server(&ok("b")[20..])
        .client(get("/c"))
        .server(ok("c"))
        .close();
    let kept = large(&response[response.len() - 2000..1000]);
    check(&talk.capture(), &[&format!("GET /a -> 200{kept} [gap]")[..], "GET /b -> gap", C]);
}

#[test]
fn a_gap_inside_a_chunk() {
    let chunk = "x".repeat(3000);
    let response = chunked(&["start", &chunk, "end"]);
    let lose = |talk: Talk| {
        let talk = talk.client(get("/b")).server(&response[..1000]);
        talk.lost(|talk| talk.server(&response[1000..2000])).server(&response[2000..])
    };
    between(lose, "GET /b -> 200 2008 bytes [gap]");
}

#[test]
fn a_gap_over_a_chunk_line() {
    let response = chunked(&[&"x".repeat(1500), &"y".repeat(1500), "end"]);
    let lose = |talk: Talk| {
        let talk = talk.client(get("/b")).server(&response[..1000]);
        talk.lost(|talk| talk.server(&response[1000..2000])).server(&response[2000..])
    };
    let kept = large(&[b'x'; 1000][..1000 - (response.len() - chunks_len(&[1500, 1500, 3]))]);
    between(lose, &format!("GET /b -> 200{kept} [gap]"));
}

/// Bytes of chunks of these sizes on the wire from the first data byte on.
fn chunks_len(sizes: &[usize]) -> usize {
    let lines: usize = sizes.iter().skip(1).map(|size| format!("{size:x}\r\n").len()).sum();
    sizes.iter().sum::<usize>() + 2 * sizes.len() + lines + "0\r\n\r\n".len()
}

#[test]
fn a_gap_over_the_end_of_a_chunked_body() {
    let response = chunked(&["hello"]);
    let end = response.len() - 5;
    let lose = |talk: Talk| talk.client(get("/b")).server(&response[..end]).lost(|talk| talk.server(&response[end..]));
    between(lose, "GET /b -> 200 \"hello\" [gap]");
}

#[test]
fn a_gap_in_a_body_until_the_end_of_the_connection() {
    let talk = Talk::open()
        .client(get("/a"))
        .server("HTTP/1.1 200 OK\r\n\r\nfirst")
        .lost(|talk| talk.server("lost"))
        .server("last")
        .control(Server, FIN | ACK)
        .control(Client, FIN | ACK);
    check(&talk.capture(), &["GET /a -> 200 \"firstlast\" [gap]"]);
}

#[test]
fn a_lost_last_response() {
    let talk = Talk::open().client(get("/a")).server(ok("a")).client(get("/b")).lost(|talk| talk.server(ok("b")));
    check(&talk.close().capture(), &[A, "GET /b -> gap"]);
}

#[test]
fn a_lost_final_response_after_an_interim_one() {
    let lose = |talk: Talk| {
        let talk = talk.client("POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
        talk.server("HTTP/1.1 100 Continue\r\n\r\n").client("x").lost(|talk| talk.server(ok("b")))
    };
    between(lose, "POST /b \"x\" -> gap");
}

#[test]
fn a_lost_interim_response() {
    let lose = |talk: Talk| {
        let talk = talk.client("POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
        talk.lost(|talk| talk.server("HTTP/1.1 100 Continue\r\n\r\n")).client("x").server(ok("b"))
    };
    between(lose, "POST /b \"x\" -> 200 \"b\"");
}

#[test]
fn a_response_of_which_only_frames_cut_short_were_captured() {
    let response = ok(noise(900));
    let talk = Talk::open().client(get("/a")).server(&response).client(get("/c")).server(ok("c"));
    let kept = large(&noise(900)[..200 - 54 - (response.len() - 900)]);
    check(&talk.close().capture().snaplen(200), &[&format!("GET /a -> 200{kept} [cut]")[..], C]);
}

// The request.

#[test]
fn a_lost_request() {
    orphaned(|talk| talk.lost(|talk| talk.client(get("/b"))).server(ok("b")), "orphan -> 200 \"b\"");
}

#[test]
fn a_lost_request_head_whose_body_was_captured() {
    let request = post("/b", noise(5000));
    let lose = |talk: Talk| {
        let talk = talk.lost(|talk| talk.client(&request[..1000]));
        talk.segments(Client, &request[1000..], 1000).server(ok("b"))
    };
    orphaned(lose, "orphan -> 200 \"b\"");
}

#[test]
fn a_lost_request_head_whose_body_is_a_request_in_itself() {
    let inside = [get("/inside").into_bytes(), noise(3000)].concat();
    let request = post("/b", &inside);
    let head = request.len() - inside.len();
    let lose = |talk: Talk| {
        let talk = talk.lost(|talk| talk.client(&request[..head]));
        talk.segments(Client, &request[head..], 1000).server(ok("b"))
    };
    neighbors_are_whole(&amid(lose));
}

#[test]
fn a_lost_piece_in_the_middle_of_a_request_head() {
    let request = format!("GET /b HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n", "x".repeat(3000));
    let lose = |talk: Talk| {
        let talk = talk.client(&request[..1000]).lost(|talk| talk.client(&request[1000..2000]));
        talk.client(&request[2000..]).server(ok("b"))
    };
    between(lose, "GET /b [gap] -> 200 \"b\"");
}

#[test]
fn a_lost_piece_of_a_request_body() {
    let request = post("/b", noise(5000));
    let lose = |talk: Talk| {
        let talk = talk.client(&request[..1000]).lost(|talk| talk.client(&request[1000..3000]));
        talk.client(&request[3000..]).server(ok("b"))
    };
    let kept = [&request[request.len() - 5000..1000], &request[3000..]].concat();
    between(lose, &format!("POST /b{} [gap] -> 200 \"b\"", large(&kept)));
}

#[test]
fn a_lost_end_of_a_request_body() {
    let request = post("/b", noise(5000));
    let lose = |talk: Talk| talk.client(&request[..1000]).lost(|talk| talk.client(&request[1000..])).server(ok("b"));
    let kept = large(&request[request.len() - 5000..1000]);
    between(lose, &format!("POST /b{kept} [gap] -> 200 \"b\""));
}

#[test]
fn a_lost_chunk_line_of_a_request() {
    let chunks = format!("5dc\r\n{}\r\n5dc\r\n{}\r\n0\r\n\r\n", "x".repeat(1500), "y".repeat(1500));
    let request = format!("POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let head = request.len() - chunks.len() + "5dc\r\n".len();
    let lose = |talk: Talk| {
        let talk = talk.client(&request[..1000]).lost(|talk| talk.client(&request[1000..2000]));
        talk.client(&request[2000..]).server(ok("b"))
    };
    between(lose, &format!("POST /b{} [gap] -> 200 \"b\"", large(&[b'x'; 1500][..1000 - head])));
}

#[test]
fn a_lost_head_request_whose_response_names_a_length_and_has_no_body() {
    let lose = |talk: Talk| {
        let talk = talk.lost(|talk| talk.client(get("/b").replacen("GET", "HEAD", 1)));
        talk.server("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
    };
    orphaned(lose, "orphan -> 200");
}

#[test]
fn a_lost_request_whose_response_goes_on_until_the_end() {
    let talk = Talk::open().lost(|talk| talk.client("GET /a HTTP/1.0\r\n\r\n")).server("HTTP/1.0 200 OK\r\n\r\nall");
    check(&talk.close().capture(), &["orphan -> 200 \"all\""]);
}

// Both.

#[test]
fn a_lost_exchange_is_as_if_it_never_was() {
    let capture = amid(|talk| talk.lost(|talk| talk.client(get("/b")).server(ok("b"))));
    check(&capture, &[A, C]);
}

#[test]
fn a_lost_request_and_the_lost_response_of_the_next_one() {
    let talk = Talk::open()
        .client(get("/a"))
        .server(ok("a"))
        .lost(|talk| talk.client(get("/x")))
        .server(ok("x"))
        .client(get("/b"))
        .lost(|talk| talk.server(ok("b")))
        .client(get("/c"))
        .server(ok("c"));
    check(&talk.close().capture(), &[A, "GET /b -> gap", C, "orphan -> 200 \"x\""]);
}

#[test]
fn a_lost_response_and_the_lost_request_after_it() {
    let talk = Talk::open()
        .client(get("/a"))
        .lost(|talk| talk.server(ok("a")).client(get("/x")))
        .server(ok("x"))
        .client(get("/c"))
        .server(ok("c"));
    let found = never_mispaired(&talk.close().capture());
    assert!(found.contains(&C.to_owned()), "{found:?}");
}

#[test]
fn all_of_a_long_stretch_is_lost_in_both_directions() {
    let stretch = |talk: Talk| {
        (0..50).fold(talk, |talk, n| talk.client(post(&format!("/{n}"), noise(1000))).server(ok(noise(3000))))
    };
    check(&amid(|talk| talk.lost(stretch)), &[A, C]);
}

// Each packet in its turn.

/// Expects that each response is that of the request it stands with: bodies name the target. Returns what was found
/// whole.
#[track_caller]
fn never_mispaired(capture: &Capture) -> Vec<String> {
    let kept = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
    let seen = tap::run(&mut capture.source(), kept, &[]);
    let mut found = Vec::new();
    for exchange in seen.exchanges.values() {
        let target = String::from_utf8_lossy(exchange.request.target()).into_owned();
        if let Some(Ok(response)) = &exchange.answer
            && response.damage.is_none()
        {
            let body = response.body.content().unwrap_or_default().into_owned();
            assert!(target.as_bytes()[1..] == body, "{target} got {}", body.escape_ascii());
            found.push(format!("GET {target} -> 200 \"{}\"", body.escape_ascii()));
        }
    }
    found
}

/// Twenty exchanges: requests in one or two segments, responses in one to three.
fn twenty() -> Talk {
    (0..20).fold(Talk::open(), |talk, n| {
        let name = format!("{n}-{}", "x".repeat(n * 7));
        let (request, response) = (get(&format!("/{name}")), if n % 3 == 0 { chunked(&[&name]) } else { ok(&name) });
        let talk = talk.cut(Client, &request, if n % 2 == 0 { &[] } else { &[20] });
        talk.cut(Server, &response, if n % 4 == 1 { &[18, 30] } else { &[] })
    })
}

#[test]
fn of_twenty_exchanges_each_lost_packet_costs_one() {
    let capture = twenty().close().capture();
    let all = never_mispaired(&capture);
    assert_eq!(all.len(), 20);
    for lost in 0..capture.shots.len() {
        let found = never_mispaired(&capture.clone().only(|place| place != lost));
        let missing: Vec<_> = all.iter().filter(|one| !found.contains(one)).collect();
        assert!(missing.len() <= 1, "packet {lost} costs {missing:?}");
    }
}

#[test]
fn of_twenty_exchanges_each_two_lost_packets_in_a_row_cost_two() {
    let capture = twenty().close().capture();
    let all = never_mispaired(&capture);
    for lost in 0..capture.shots.len() {
        let found = never_mispaired(&capture.clone().only(|place| place != lost && place != lost + 1));
        let missing: Vec<_> = all.iter().filter(|one| !found.contains(one)).collect();
        assert!(missing.len() <= 2, "packets {lost} and {} cost {missing:?}", lost + 1);
    }
}

#[test]
fn of_twenty_exchanges_any_two_lost_packets_pair_nothing_wrongly_and_cost_two() {
    let capture = twenty().close().capture();
    let all = never_mispaired(&capture);
    for one in 3..capture.shots.len() {
        for two in one + 1..capture.shots.len() {
            let found = never_mispaired(&capture.clone().only(|place| place != one && place != two));
            let missing: Vec<_> = all.iter().filter(|one| !found.contains(one)).collect();
            assert!(missing.len() <= 2, "packets {one} and {two} cost {missing:?}");
        }
    }
}

#[test]
fn of_twenty_exchanges_a_burst_of_loss_costs_those_that_it_hits() {
    let capture = twenty().close().capture();
    let all = never_mispaired(&capture);
    // Which exchange each packet belongs to; three are the handshake.
    let packets = |n: usize| (if n.is_multiple_of(2) { 1 } else { 2 }) + (if n % 4 == 1 { 3 } else { 1 });
    let owners: Vec<usize> = (0..20).flat_map(|n| std::iter::repeat_n(n, packets(n))).collect();
    for begin in 0..owners.len() {
        for end in begin + 1..owners.len() {
            let burst = 3 + begin..3 + end;
            let found = never_mispaired(&capture.clone().only(|place| !burst.contains(&place)));
            let untouched = all.iter().enumerate().filter(|(n, _)| !owners[begin..end].contains(n));
            let missing: Vec<_> = untouched.map(|(_, one)| one).filter(|one| !found.contains(one)).collect();
            assert!(missing.is_empty(), "packets {burst:?} cost {missing:?} as well");
        }
    }
}

#[test]
fn a_capture_that_begins_at_any_packet_costs_what_was_cut() {
    let capture = twenty().close().capture();
    for begin in 0..capture.shots.len() {
        let later = capture.clone().only(|place| place >= begin);
        let found = never_mispaired(&later);
        let whole = never_mispaired(&capture.clone().only(|place| place < begin)).len();
        assert!(found.len() + whole >= 19, "from packet {begin} on: {} and {whole}", found.len());
    }
}

/// Of a connection that was open before the capture, the client's acknowledgement tells where the response begins.
#[test]
fn a_first_response_whose_pieces_come_out_of_order_is_paired() {
    for requests in [1, 3] {
        let names: Vec<String> = (0..requests).map(|n| format!("p{n}-{}", "x".repeat(n * 7))).collect();
        let asked: String = names.iter().map(|name| get(&format!("/{name}"))).collect();
        let responses: Vec<u8> = names.iter().flat_map(ok).collect();
        for cut in (1..responses.len()).step_by(7) {
            let talk = Talk::joined().client(&asked).reversed(|talk| talk.cut(Server, &responses, &[cut]));
            let talk = talk.wait(300).client(get("/last")).server(ok("last")).close();
            assert_eq!(never_mispaired(&talk.capture()).len(), requests + 1, "{requests} requests, cut at {cut}");
        }
    }
}

#[test]
fn a_response_from_before_the_capture_that_comes_again_is_not_that_of_the_first_request() {
    let old = ok("old").len();
    let talk = Talk::joined().numbered(1_000_000, 2_000_000).client(get("/a"));
    let talk = talk.stray(Server, -i32::try_from(old).unwrap(), ACK, ok("old")).server(ok("a"));
    let found = never_mispaired(&talk.client(get("/c")).server(ok("c")).close().capture());
    assert!(found.iter().any(|one| one.contains("/c")), "{found:?}");
}

/// Batches of pipelined requests, in one segment or in one each; responses likewise.
fn batches(requests_apart: bool, responses_apart: bool) -> Talk {
    (0..4).fold(Talk::open(), |talk, batch| {
        let names: Vec<String> = (0..4).map(|n| format!("{batch}{n}-{}", "x".repeat(batch * 10 + n))).collect();
        let requests: Vec<String> = names.iter().map(|name| get(&format!("/{name}"))).collect();
        let responses: Vec<Vec<u8>> = names.iter().map(ok).collect();
        let talk =
            if requests_apart { requests.iter().fold(talk, Talk::client) } else { talk.client(requests.concat()) };
        if responses_apart { responses.iter().fold(talk, Talk::server) } else { talk.server(responses.concat()) }
    })
}

#[test]
fn of_pipelined_batches_each_lost_packet_costs_at_most_its_batch() {
    for (requests_apart, responses_apart) in [(false, false), (false, true), (true, false), (true, true)] {
        let capture = batches(requests_apart, responses_apart).close().capture();
        let all = never_mispaired(&capture);
        assert_eq!(all.len(), 16);
        for lost in 0..capture.shots.len() {
            let found = never_mispaired(&capture.clone().only(|place| place != lost));
            assert!(found.len() >= 12, "{requests_apart} {responses_apart}: packet {lost} leaves {found:?}");
        }
    }
}

#[test]
fn of_pipelined_batches_any_two_lost_packets_pair_nothing_wrongly() {
    for (requests_apart, responses_apart) in [(false, false), (false, true), (true, false), (true, true)] {
        let capture = batches(requests_apart, responses_apart).close().capture();
        for one in 3..capture.shots.len() {
            for two in one + 1..capture.shots.len() {
                never_mispaired(&capture.clone().only(|place| place != one && place != two));
            }
        }
    }
}

#[test]
fn of_pipelined_batches_a_burst_of_loss_leaves_the_batches_after_it() {
    let capture = batches(true, true).close().capture();
    let all = never_mispaired(&capture);
    // From where on two requests in one go were seen: before that the last one of a batch looks like one alone.
    let packets = 5..3 + 4 * 8;
    for begin in packets.clone() {
        for end in begin + 1..=packets.end {
            let found = never_mispaired(&capture.clone().only(|place| !(begin..end).contains(&place)));
            // A batch that was asked just after the burst may have lost its first requests to it.
            let after = ((end - 3) / 8 + 1).min(4);
            let missing: Vec<_> = all[after * 4..].iter().filter(|one| !found.contains(one)).collect();
            assert!(missing.len() <= 4, "packets {begin}..{end} cost {missing:?} as well");
        }
    }
}

/// A client that has so many requests in flight: it asks on with each response.
fn window(depth: usize) -> Talk {
    let names: Vec<String> = (0..20).map(|n| format!("w{n}-{}", "x".repeat(n % 3))).collect();
    let (first, later) = names.split_at(depth);
    let talk = first.iter().fold(Talk::open(), |talk, name| talk.client(get(&format!("/{name}"))));
    let asks_on = later.iter().map(Some).chain(std::iter::repeat(None));
    names.iter().zip(asks_on).fold(talk, |talk, (name, next)| {
        let talk = talk.server(ok(name));
        next.into_iter().fold(talk, |talk, next| talk.client(get(&format!("/{next}"))))
    })
}

#[test]
fn of_a_client_that_asks_on_with_each_response_a_lost_packet_pairs_nothing_wrongly() {
    for depth in [2, 3, 5] {
        let capture = window(depth).close().capture();
        assert_eq!(never_mispaired(&capture).len(), 20);
        for lost in 3 + 2 * depth..capture.shots.len() {
            let found = never_mispaired(&capture.clone().only(|place| place != lost));
            // Two packets an exchange, and those that were in flight.
            let before = (lost - 3).saturating_sub(depth) / 2;
            assert!(found.len() + depth >= before.min(20), "{depth}: packet {lost} leaves {found:?}");
        }
    }
}

#[test]
fn a_server_that_answers_a_batch_as_it_comes_in() {
    // The second request is under way while the first one is answered.
    let talk = Talk::open()
        .client(get("/a"))
        .client(get("/c"))
        .behind(Server, get("/c").len())
        .server(ok("a"))
        .behind(Server, 0)
        .server(ok("c"));
    check(&talk.close().capture(), &[A, C]);
}
