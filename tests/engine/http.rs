//! Every legal shape of HTTP/1 and the illegal ones that are in use; what is not HTTP/1 is told as such.

use shadowtap::capture::{MemorySource, Settings};
use shadowtap::exchange::{Malformed, RequestState};
use shadowtap::http1::{BodyPolicies, MAX_HEAD_BYTES, StreamStats};
use shadowtap::pipeline::Tap;

use crate::packets::{ACK, Client, FIN, SYN, Server, Talk};
use crate::tap::Seen;
use crate::{check, chunked, get, large, noise, ok, post, status};

/// Expects one exchange of this request and response, and that the next one on the connection is found.
#[track_caller]
fn one(request: impl AsRef<[u8]>, response: impl AsRef<[u8]>, expected: &str) -> Seen {
    let talk = Talk::open().client(request).server(response).client(get("/next")).server(ok("next")).close();
    check(&talk.capture(), &[expected, "GET /next -> 200 \"next\""])
}

/// A request with these header lines.
fn with(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

/// So many header lines.
fn numbered(count: usize) -> String {
    let lines: Vec<String> = (0..count).map(|n| format!("X-{n}: {n}\r\n")).collect();
    lines.concat()
}

fn respond(head: &str) -> String {
    format!("HTTP/1.1 {head}\r\n\r\n")
}

// Start lines.

/// RFC 9110, 9.1: a method is any token.
#[test]
fn any_method_token() {
    for method in ["PROPFIND", "PURGE", "BREW", "M-SEARCH", "get", "X!#$%&'*+-.^_`|~0", "BASELINE-CONTROL", "QUERY"] {
        one(get("/a").replacen("GET", method, 1), ok("a"), &format!("{} /a -> 200 \"a\"", method.escape_default()));
    }
}

/// A connection that was open before the capture, and whose first request comes in two pieces.
#[test]
fn a_first_line_in_two_pieces_is_found_where_the_connection_was_open_before() {
    let targets = ["/a", "http://shop.example/a?b=1", "HTTPS://shop.example/a"];
    for method in ["GET", "POST", "REPORT", "MKCOL", "LINK", "M-SEARCH"] {
        for target in targets {
            let request = get(target).replacen("GET", method, 1);
            for cut in 3..request.len() {
                let talk = Talk::joined().cut(Client, &request, &[cut]).server(ok("a"));
                let talk = talk.client(get("/next")).server(ok("next")).close();
                check(&talk.capture(), &[&format!("{method} {target} -> 200 \"a\""), "GET /next -> 200 \"next\""]);
            }
        }
    }
}

/// RFC 9112, 4: a status code is three digits; those that are not known count by their class (RFC 9110, 15).
#[test]
fn any_status_of_three_digits() {
    for code in [200, 299, 418, 499, 520, 599, 600, 999] {
        one(get("/a"), status(&format!("{code} Whatever"), "a"), &format!("GET /a -> {code} \"a\""));
    }
}

/// RFC 9112, 4: the reason phrase may be empty, and a client ignores it.
#[test]
fn a_status_without_reason() {
    for line in ["200", "200 "] {
        one(get("/a"), status(line, "a"), "GET /a -> 200 \"a\"");
    }
}

/// RFC 9112, 3.2: a server MUST accept the absolute form, and takes the origin, authority and asterisk forms.
#[test]
fn every_form_of_target() {
    for target in ["/", "/a?b=c", "http://other.example:8080/a?b", "*", "/a//../b;c=%zz", "//a", "/\"<>[]{}|\\^`"] {
        let line = format!("GET {} -> 200 \"a\"", target.escape_default());
        one(get(target), ok("a"), &line);
    }
    one("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", ok("a"), "OPTIONS * -> 200 \"a\"");
}

#[test]
fn a_target_of_bytes_that_are_no_ascii_is_kept_verbatim() {
    one(&b"GET /caf\xc3\xa9/\xe9 HTTP/1.1\r\nHost: h\r\n\r\n"[..], ok("a"), "GET /caf\\xc3\\xa9/\\xe9 -> 200 \"a\"");
}

/// RFC 9112, 3.2: no whitespace is allowed in the target; it is answered with 400, not mended.
#[test]
fn a_target_with_blanks_is_malformed_and_found() {
    one(get("/a b"), ok("a"), "GET /a b [malformed: request line] -> 200 \"a\"");
}

/// RFC 9112, 3: a request line has a target; without one nothing is asked for, and nothing may be sent.
#[test]
fn a_request_line_without_a_target_is_malformed() {
    let bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let talk = Talk::open().client(get("/a")).server(ok("a")).client("GET  HTTP/1.1\r\nHost: h\r\n\r\n").server(bad);
    check(&talk.close().capture(), &["GET /a -> 200 \"a\"", "GET  [malformed: request line] -> 400"]);
}

/// RFC 9112, 3: request lines of 8,000 octets at the least are to be supported.
#[test]
fn a_target_of_100_kb() {
    let target = format!("/{}", "a".repeat(100_000));
    let talk = Talk::open().segments(Client, get(&target), 1448).server(ok("a")).client(get("/b")).server(ok("b"));
    check(&talk.close().capture(), &[format!("GET {target} -> 200 \"a\""), "GET /b -> 200 \"b\"".to_owned()]);
}

/// RFC 9112, 9.3: HTTP/1.0 persists only where `Connection: keep-alive` says so.
#[test]
fn http_1_0_with_and_without_keep_alive() {
    one("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ok("a"), "GET /a -> 200 \"a\"");
    let talk = Talk::open().client("GET /a HTTP/1.0\r\n\r\n").server("HTTP/1.0 200 OK\r\n\r\nuntil the end").close();
    check(&talk.capture(), &["GET /a -> 200 \"until the end\""]);
}

#[test]
fn a_client_that_leaves_first_may_have_missed_something() {
    const EVENTS: &str = "text/event-stream";
    let begun = || Talk::open().client("GET /a HTTP/1.0\r\n\r\n").server("HTTP/1.0 200 OK\r\n\r\nuntil");
    let half_closed = Talk::open().client("GET /a HTTP/1.0\r\n\r\n").control(Client, FIN | ACK);
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nuntil";
    let chunked = |of: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {of}\r\nTransfer-Encoding: chunked\r\n\r\n");
        Talk::open().client(get("/a")).server(head).server("5\r\nuntil\r\n")
    };
    let events = format!("HTTP/1.0 200 OK\r\nContent-Type: {EVENTS}\r\n\r\ndata: 1\n\n");
    let events = Talk::open().client("GET /a HTTP/1.0\r\n\r\n").server(events);
    for (talk, left) in [
        (begun().close(), true),
        (begun().control(Server, FIN | ACK).control(Client, FIN | ACK), false),
        (begun().control(Client, FIN | ACK).server(" the end").control(Server, FIN | ACK), false),
        (half_closed.server("HTTP/1.0 200 OK\r\n\r\nuntil").control(Server, FIN | ACK), false),
        (Talk::open().client(get("/a")).server(length).close(), false),
        (chunked("text/html").control(Client, FIN | ACK).server("0\r\n\r\n").control(Server, FIN | ACK), true),
        (chunked("text/html").control(Client, FIN | ACK).server("1\r\n.\r\n0\r\n\r\n"), false),
        (chunked("text/html").server("0\r\n\r\n").close(), false),
        (chunked(EVENTS).control(Client, FIN | ACK).server("1\r\n\n\r\n0\r\n\r\n"), true),
        (events.control(Client, FIN | ACK).server("data: 2\n\n").control(Server, FIN | ACK), true),
    ] {
        let seen = crate::tap::run(&mut talk.capture().source(), BodyPolicies::default(), &[80]);
        let response = seen.exchanges.into_values().next().unwrap().answer.unwrap().unwrap();
        assert_eq!((response.left, response.is_open(), response.damage), (left, left, None));
    }
}

#[test]
fn http_0_9_is_another_protocol_and_counted() {
    let talk = Talk::open().client("GET /a\r\n").server("<html>the page</html>").close();
    assert_eq!(check::<&str>(&talk.capture(), &[]).http1, StreamStats { unknown: 1, ..StreamStats::default() });
}

// Heads.

/// RFC 9112, 2.2: a recipient may take a single LF for the end of a line.
#[test]
fn heads_with_bare_line_feeds() {
    let response = "HTTP/1.1 200 OK\nContent-Length: 1\n\na";
    one("GET /a HTTP/1.1\nHost: h\n\n", response, "GET /a -> 200 \"a\"");
    one("POST /a HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc", response, "POST /a \"abc\" -> 200 \"a\"");
}

/// RFC 9112, 2.2: the same line by line.
#[test]
fn line_ends_of_both_kinds_in_one_head() {
    one(
        "GET /a HTTP/1.1\r\nHost: h\nAccept: */*\r\n\n",
        "HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\na",
        "GET /a -> 200 \"a\"",
    );
}

#[test]
fn an_empty_content_length_with_bare_line_feeds_breaks_nothing() {
    let talk = Talk::open().client("POST /a HTTP/1.1\nHost: h\nContent-Length:\n\n").server(ok("a"));
    let talk = talk.client(get("/b")).server(ok("b")).close();
    let malformed = "POST /a [malformed: content-length is not a number] -> 200 \"a\"";
    check(&talk.capture(), &[malformed, "GET /b -> 200 \"b\""]);
}

/// RFC 9112, 2.2: a server should ignore an empty line before the request line.
#[test]
fn blank_lines_before_a_request() {
    one(format!("\r\n{}", get("/a")), ok("a"), "GET /a -> 200 \"a\"");
    one(format!("\r\n\r\n\r\n{}", get("/a")), ok("a"), "GET /a -> 200 \"a\"");
    let talk = Talk::open().client(post("/a", "x")).client("\r\n").server(ok("a")).client(get("/b")).server(ok("b"));
    check(&talk.close().capture(), &["POST /a \"x\" -> 200 \"a\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn blank_lines_before_a_response() {
    one(get("/a"), [b"\r\n", &ok("a")[..]].concat(), "GET /a -> 200 \"a\"");
}

/// RFC 9112, 5.2: a recipient MUST reject a folded line, or replace the fold by blanks before it reads the value.
#[test]
fn obsolete_folding() {
    one(with("/a", "X-Folded: one\r\n two\r\n\tthree\r\n"), ok("a"), "GET /a -> 200 \"a\"");
    let response = "HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\nContent-Length: 1\r\n\r\na";
    one(get("/a"), response, "GET /a -> 200 \"a\"");
}

/// RFC 9112, 5.1: whitespace around a value is no part of it; names have no case (RFC 9110, 5.1).
#[test]
fn header_names_in_any_case_with_any_blanks_around_their_values() {
    let request = "POST /a HTTP/1.1\r\nHOST:h\r\ncOnTeNt-LeNgTh:\t 3 \t\r\nX:\r\n\r\nabc";
    one(request, "HTTP/1.1 200 OK\r\ncontent-length:1\r\n\r\na", "POST /a \"abc\" -> 200 \"a\"");
}

/// RFC 9112, 5.1: a server MUST reject a request with whitespace between name and colon.
#[test]
fn a_blank_before_a_colon_is_malformed_and_still_frames_the_body() {
    let request = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc";
    one(request, ok("a"), "POST /a \"abc\" [malformed: space before colon] -> 200 \"a\"");
}

#[test]
fn a_request_line_that_is_none_is_malformed_where_a_request_has_to_begin() {
    let long = format!("{} /b HTTP/1.x", "A".repeat(40));
    for line in [
        "GET /b http/1.1",
        "GET /b HTTP/2.0",
        "GET /b HTTP/1.10",
        "GET\t/b HTTP/1.1",
        "G:T /b HTTP/1.1",
        "GET /b",
        &long,
    ] {
        let bad = format!("{line}\r\nHost: h\r\n\r\n");
        let talk = Talk::open().client(get("/a")).server(ok("a"));
        let talk = talk.client(&bad).server(ok("b")).client(&bad).server(ok("c"));
        let capture = talk.client(get("/d")).server(ok("d")).close().capture();
        let seen = crate::tap::run(&mut capture.source(), BodyPolicies::default(), &[]);
        let states: Vec<_> =
            seen.exchanges.values().map(|one| (one.request.state, matches!(one.answer, Some(Ok(_))))).collect();
        let bad = (RequestState::Malformed(Malformed::RequestLine), true);
        assert_eq!(states, [(RequestState::Whole, true), bad, bad, (RequestState::Whole, true)], "{line}");
    }
}

#[test]
fn a_header_line_without_a_colon_is_malformed() {
    one(with("/a", "no colon here\r\n"), ok("a"), "GET /a [malformed: header line] -> 200 \"a\"");
}

#[test]
fn a_header_value_with_a_zero_byte_is_malformed() {
    one(with("/a", "X: a\0b\r\n"), ok("a"), "GET /a [malformed: header line] -> 200 \"a\"");
}

#[test]
fn a_header_value_with_latin_1_and_utf_8_is_well_formed() {
    one(&b"GET /a HTTP/1.1\r\nHost: h\r\nX: caf\xe9 caf\xc3\xa9\r\n\r\n"[..], ok("a"), "GET /a -> 200 \"a\"");
}

#[test]
fn a_thousand_header_lines() {
    let lines = numbered(999);
    let seen = one(with("/a", &lines), ok("a"), "GET /a -> 200 \"a\"");
    assert_eq!(seen.exchanges.values().next().unwrap().request.head.lines().count(), 1000);
}

#[test]
fn more_than_a_thousand_header_lines_are_malformed() {
    let lines = numbered(1000);
    one(with("/a", &lines), ok("a"), "GET /a [malformed: head too large] -> 200 \"a\"");
}

#[test]
fn a_thousand_header_lines_in_a_response() {
    let lines = numbered(1000);
    one(get("/a"), format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 1\r\n\r\na"), "GET /a -> 200 \"a\"");
}

#[test]
fn a_head_of_just_the_limit() {
    let without = with("/a", "X: \r\n").len();
    let request = with("/a", &format!("X: {}\r\n", "x".repeat(MAX_HEAD_BYTES - without)));
    assert_eq!(request.len(), MAX_HEAD_BYTES);
    let talk = Talk::open().segments(Client, request, 16_000).server(ok("a")).client(get("/b")).server(ok("b")).close();
    check(&talk.capture(), &["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn a_head_beyond_the_limit_is_malformed_and_the_next_request_is_found() {
    for beyond in [1, 100_000] {
        let without = with("/a", "X: \r\n").len();
        let request = with("/a", &format!("X: {}\r\n", "x".repeat(MAX_HEAD_BYTES + beyond - without)));
        let talk = Talk::open().segments(Client, request, 16_000).server(ok("a")).client(get("/b")).server(ok("b"));
        let too_large = "GET /a [malformed: head too large] -> 200 \"a\"";
        check(&talk.close().capture(), &[too_large, "GET /b -> 200 \"b\""]);
    }
}

#[test]
fn an_endless_head_is_told_once() {
    let endless = format!("GET /a HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(3 * MAX_HEAD_BYTES));
    let talk = Talk::open().segments(Client, endless, 16_000).close();
    check(&talk.capture(), &["GET /a [malformed: head too large] -> no response"]);
}

#[test]
fn an_endless_first_line_is_no_request() {
    let talk = Talk::open().segments(Client, "A".repeat(2 * MAX_HEAD_BYTES), 16_000).close();
    check::<&str>(&talk.capture(), &[]);
}

#[test]
fn an_endless_response_head_leaves_its_status() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(2 * MAX_HEAD_BYTES));
    let talk =
        Talk::open().client(get("/a")).segments(Server, endless, 16_000).client(get("/b")).server(ok("b")).close();
    check(&talk.capture(), &["GET /a -> 200 [malformed]", "GET /b -> 200 \"b\""]);
}

// Pipelining and interim responses.

/// RFC 9112, 9.3.2: a server MUST respond in the order of the requests.
#[test]
fn pipelined_requests_and_responses_in_one_segment_each() {
    let talk = Talk::open().client([get("/a"), get("/b"), get("/c")].concat());
    let talk = talk.server([ok("a"), chunked(&["b"]), status("404 Not Found", "c")].concat()).close();
    check(&talk.capture(), &["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\"", "GET /c -> 404 \"c\""]);
}

#[test]
fn pipelined_requests_in_two_segments_with_a_cut_inside_the_second_one() {
    let both = [get("/a"), get("/b")].concat();
    for at in 1..both.len() {
        let talk = Talk::open().cut(Client, &both, &[at]).server([ok("a"), ok("b")].concat()).close();
        check(&talk.capture(), &["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""]);
    }
}

#[test]
fn pipelined_posts() {
    let talk =
        Talk::open().client([post("/a", "x"), post("/b", "yy")].concat()).server(ok("a")).server(ok("b")).close();
    check(&talk.capture(), &["POST /a \"x\" -> 200 \"a\"", "POST /b \"yy\" -> 200 \"b\""]);
}

#[test]
fn five_thousand_pipelined_requests_are_bounded_and_the_oldest_lose_their_pairing() {
    let requests: String = (0..5000).map(|n| get(&format!("/{n}"))).collect();
    let talk = Talk::open().segments(Client, requests, 1400).close();
    let expected: Vec<String> = (0..5000)
        .map(|n| format!("GET /{n} -> {}", if n < 5000 - 4096 { "pairing lost" } else { "no response" }))
        .collect();
    check(&talk.capture(), &expected);
}

/// RFC 9110, 15.2: a client MUST be able to read any number of 1xx responses before the final one.
#[test]
fn interim_responses_are_no_responses() {
    for interim in ["100 Continue", "100 ", "102 Processing", "103 Early Hints\r\nLink: </a.css>", "199 Odd"] {
        one(get("/a"), respond(interim) + std::str::from_utf8(&ok("a")).unwrap(), "GET /a -> 200 \"a\"");
    }
    let three = [respond("103 A"), respond("103 B"), respond("100 C")].concat();
    one(get("/a"), three + std::str::from_utf8(&ok("a")).unwrap(), "GET /a -> 200 \"a\"");
}

#[test]
fn the_first_byte_of_a_response_is_that_of_the_final_one() {
    let talk = Talk::open().client(get("/a")).wait(50).server(respond("103 A")).wait(50).server(ok("a")).close();
    let seen = check(&talk.capture(), &["GET /a -> 200 \"a\""]);
    let exchange = seen.exchanges.values().next().unwrap();
    let response = exchange.answer.as_ref().unwrap().as_ref().unwrap();
    assert_eq!(response.first_byte.since(exchange.request.last_byte).as_millis(), 102);
}

const EXPECTS: &str = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";

/// RFC 9110, 10.1.1: the body follows the interim response.
#[test]
fn expect_100_continue_and_then_the_body() {
    for interim in ["100 Continue", "100 ", "100 Continue\r\nServer: s"] {
        let talk = Talk::open().client(EXPECTS).server(respond(interim)).client("0123456789").server(ok("a"));
        let talk = talk.client(get("/b")).server(ok("b")).close();
        check(&talk.capture(), &["POST /a \"0123456789\" -> 200 \"a\"", "GET /b -> 200 \"b\""]);
    }
}

#[test]
fn expect_that_is_refused_and_a_client_that_keeps_its_body() {
    let talk = Talk::open().client(EXPECTS).server(status("417 Expectation Failed", "no"));
    let talk = talk.client(get("/b")).server(ok("b")).close();
    check(&talk.capture(), &["POST /a [gap] -> 417 \"no\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn expect_that_is_refused_and_a_client_that_sends_its_body_all_the_same() {
    let talk = Talk::open().client(EXPECTS).server(status("401 Unauthorized", "no")).client("0123456789");
    let talk = talk.client(get("/b")).server(ok("b")).close();
    check(&talk.capture(), &["POST /a \"0123456789\" -> 401 \"no\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn expect_that_is_refused_and_a_client_that_closes() {
    let talk = Talk::open().client(EXPECTS).server(status("417 Expectation Failed", "no")).close();
    check(&talk.capture(), &["POST /a [gap] -> 417 \"no\""]);
}

/// RFC 9110, 10.1.1: a client does not wait for ever before it sends the body.
#[test]
fn expect_without_any_answer_to_it() {
    let talk = Talk::open().client(EXPECTS).wait(1000).client("0123456789").server(respond("100 Continue"));
    let talk = talk.server(ok("a")).client(get("/b")).server(ok("b")).close();
    check(&talk.capture(), &["POST /a \"0123456789\" -> 200 \"a\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn a_final_response_before_the_request_has_ended() {
    let request = post("/a", noise(3000));
    let talk = Talk::open()
        .client(&request[..1000])
        .server(status("503 Service Unavailable", "no"))
        .client(&request[1000..])
        .client(get("/b"))
        .server(ok("b"))
        .close();
    check(
        &talk.capture(),
        &[format!("POST /a{} -> 503 \"no\"", large(&noise(3000))), "GET /b -> 200 \"b\"".to_owned()],
    );
}

#[test]
fn a_final_response_before_the_request_has_ended_and_then_the_end() {
    let request = post("/a", noise(3000));
    let seen_part = large(&noise(3000)[..1000 - (request.len() - 3000)]);
    let talk = Talk::open().client(&request[..1000]).server(status("413 Too Large", "no")).control(Server, FIN | ACK);
    check(&talk.control(Client, FIN | ACK).capture(), &[format!("POST /a{seen_part} [gap] -> 413 \"no\"")]);
}

#[test]
fn a_final_response_before_the_request_head_has_ended() {
    let talk = Talk::open()
        .client(&get("/a")[..25])
        .server(status("400 Bad Request", "no"))
        .client(&get("/a")[25..])
        .client(get("/b"))
        .server(ok("b"))
        .close();
    check(&talk.capture(), &["GET /a -> 400 \"no\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn a_request_timeout_that_answers_nothing() {
    let talk = Talk::open().client(get("/a")).server(ok("a")).wait(5000).server(status("408 Request Timeout", "slow"));
    check(&talk.close().capture(), &["GET /a -> 200 \"a\"", "orphan -> 408 \"slow\""]);
}

// Bodies.

/// RFC 9112, 6.3, rule 1: a response to HEAD, a 1xx, 204 or 304 ends with its head, whatever its lines say.
#[test]
fn responses_that_have_no_body_whatever_their_length_says() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n";
    one(get("/a").replacen("GET", "HEAD", 1), head, "HEAD /a -> 200");
    one(get("/a"), head.replacen("200 OK", "304 Not Modified", 1), "GET /a -> 304");
    one(get("/a"), head.replacen("200 OK", "204 No Content", 1), "GET /a -> 204");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    one(get("/a").replacen("GET", "HEAD", 1), chunked, "HEAD /a -> 200");
    one(get("/a"), chunked.replacen("200 OK", "304 Not Modified", 1), "GET /a -> 304");
}

/// RFC 9112, 6.3, rule 1: only the response to HEAD is without a body.
#[test]
fn head_and_get_pipelined() {
    let head = get("/a").replacen("GET", "HEAD", 1);
    let talk = Talk::open().client([head, get("/b")].concat());
    let talk = talk.server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n").server(ok("b")).close();
    check(&talk.capture(), &["HEAD /a -> 200", "GET /b -> 200 \"b\""]);
}

#[test]
fn a_get_with_a_body() {
    one("GET /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", ok("a"), "GET /a \"x\" -> 200 \"a\"");
}

/// RFC 9112, 6.3, rule 7: a request without a length has no body.
#[test]
fn a_post_with_content_length_0_and_one_without_any_length() {
    one(post("/a", ""), ok(""), "POST /a -> 200");
    one("POST /a HTTP/1.1\r\nHost: h\r\n\r\n", ok("a"), "POST /a -> 200 \"a\"");
}

#[test]
fn a_body_that_looks_like_a_request_and_one_that_looks_like_a_response() {
    one(
        post("/a", get("/inside")),
        ok(ok("inside")),
        &format!("POST /a \"{}\" -> 200 \"{}\"", get("/inside").escape_default(), ok("inside").escape_ascii()),
    );
}

/// RFC 9112, 6.3, rule 8: a response without a length ends with its connection.
#[test]
fn a_body_until_the_end_of_the_connection() {
    let body = noise(10_000);
    let talk = Talk::open().client(get("/a")).server("HTTP/1.1 200 OK\r\n\r\n").segments(Server, &body, 1448);
    check(&talk.control(Server, FIN | ACK).capture(), &[format!("GET /a -> 200{}", large(&body))]);
}

/// Neither length nor end: the client asks its next question on the same connection, and is answered.
#[test]
fn a_response_without_length_that_does_not_end_its_connection() {
    let (empty, bad) = ("HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok");
    let talk = Talk::open().client(get("/a")).server(empty).client(get("/b")).server(bad).client(get("/c"));
    let expected = ["GET /a -> 200", "GET /b -> 200 \"ok\"", "GET /c -> 200 \"c\"", "GET /d -> 200 \"d\""];
    let whole = talk.clone().server(ok("c")).client(get("/d")).server(ok("d")).close();
    check(&whole.capture(), &expected);
    let bytes = talk.cut(Server, ok("c"), &[1, 5, 14]).client(get("/d")).server(ok("d")).close();
    check(&bytes.capture(), &expected);
}

/// A body that ends with its connection may hold what looks like a response.
#[test]
fn a_body_until_the_end_with_a_response_in_it() {
    let talk = Talk::open().client(get("/a")).server("HTTP/1.1 200 OK\r\n\r\n").server(ok("b"));
    let body = ok("b").escape_ascii().to_string();
    check(&talk.close().capture(), &[format!("GET /a -> 200 \"{body}\"")]);
}

#[test]
fn a_body_until_the_end_of_the_connection_that_the_capture_does_not_see() {
    let talk = Talk::open().client(get("/a")).server("HTTP/1.1 200 OK\r\n\r\nthus far");
    check(&talk.capture(), &["GET /a -> 200 \"thus far\" [end of capture]"]);
}

/// RFC 9112, 8: a message that ends before its Content-Length is incomplete.
#[test]
fn a_body_that_is_shorter_than_its_length() {
    let talk = Talk::open().client(get("/a")).server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123").close();
    check(&talk.capture(), &["GET /a -> 200 \"0123\" [connection closed early]"]);
    let talk = Talk::open().client("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123").close();
    check(&talk.capture(), &["POST /a \"0123\" [gap] -> no response"]);
    let talk = Talk::open().client("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123");
    check(&talk.capture(), &["POST /a \"0123\" [end of capture] -> no response"]);
}

/// RFC 9112, 7.1.1: a recipient MUST ignore chunk extensions that it does not know; 7.1.2: trailers follow the last
/// chunk.
#[test]
fn chunk_extensions_and_trailers() {
    let request = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n\
        5;name=\"va;lue\"\r\nhello\r\n00006 ; x\r\n world\r\n000;last\r\nT: v\r\nU: w\r\n\r\n";
    one(request, ok("a"), "POST /a \"hello world\" -> 200 \"a\"");
}

#[test]
fn chunk_sizes_in_either_case_with_leading_zeros() {
    let request =
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0A\r\n0123456789\r\n000b\r\n0123456789a\r\n0\r\n\r\n";
    one(request, ok("a"), "POST /a \"01234567890123456789a\" -> 200 \"a\"");
}

#[test]
fn chunks_with_bare_line_feeds() {
    let request = "POST /a HTTP/1.1\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n";
    one(request, ok("a"), "POST /a \"hello\" -> 200 \"a\"");
}

/// RFC 9112, 7.1: a recipient MUST expect large sizes, and not overflow.
#[test]
fn chunk_sizes_that_overflow_are_malformed_and_the_next_request_is_found() {
    for size in ["ffffffffffffffffff", "10000000000000000", "-1", "0x5", "g", ""] {
        let request = format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nhello\r\n0\r\n\r\n");
        one(request, ok("a"), "POST /a [malformed: chunk framing] -> 200 \"a\"");
    }
}

#[test]
fn the_largest_chunk_size_there_is_waits_for_its_bytes() {
    let talk =
        Talk::open().client("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc").close();
    check(&talk.capture(), &["POST /a \"abc\" [gap] -> no response"]);
}

/// RFC 9112, 7.1: a line end follows the data of a chunk.
#[test]
fn a_chunk_that_does_not_end_where_it_says_is_malformed() {
    let request = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n";
    one(request, ok("a"), "POST /a \"hel\" [malformed: chunk framing] -> 200 \"a\"");
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n";
    one(get("/a"), response, "GET /a -> 200 \"hel\" [malformed]");
}

#[test]
fn endless_chunk_extensions_and_trailers_are_malformed() {
    let extension =
        format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(50_000));
    one(extension, ok("a"), "POST /a [malformed: chunk framing] -> 200 \"a\"");
    let trailer =
        format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: {}\r\n\r\n", "x".repeat(90_000));
    let talk = Talk::open().segments(Client, trailer, 10_000).server(ok("a")).client(get("/b")).server(ok("b")).close();
    check(&talk.capture(), &["POST /a [malformed: chunk framing] -> 200 \"a\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn a_hundred_thousand_chunks_of_one_byte() {
    let body: String = "1\r\nx\r\n".repeat(100_000);
    let request = format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n");
    let talk = Talk::open().segments(Client, request, 60_000).server(ok("a")).client(get("/b")).server(ok("b")).close();
    let expected = format!("POST /a{} -> 200 \"a\"", large("x".repeat(100_000).as_bytes()));
    check(&talk.capture(), &[&expected[..], "GET /b -> 200 \"b\""]);
}

// Conflicts about the length.

/// RFC 9112, 6.3, rule 3: the coding overrides the length, and the message ought to be handled as an error.
#[test]
fn content_length_and_transfer_encoding_are_malformed_and_chunks_find_the_next_message() {
    for lines in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        let request = format!("POST /a HTTP/1.1\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        one(request, ok("a"), "POST /a \"hello\" [malformed: content-length and transfer-encoding] -> 200 \"a\"");
    }
}

/// RFC 9112, 6.3, rule 5: a recipient MUST treat lengths that differ as an error that cannot be recovered from.
#[test]
fn two_content_lengths_that_differ_are_malformed() {
    for lines in ["Content-Length: 3\r\nContent-Length: 5", "Content-Length: 3, 5"] {
        let request = format!("POST /a HTTP/1.1\r\n{lines}\r\n\r\nabc");
        one(request, ok("a"), "POST /a \"abc\" [malformed: conflicting content-lengths] -> 200 \"a\"");
    }
}

/// RFC 9112, 6.3, rule 5: the same number several times may be taken for that number.
#[test]
fn two_content_lengths_that_are_equal_are_one() {
    for lines in ["Content-Length: 3\r\nContent-Length: 3", "Content-Length: 3, 3"] {
        one(format!("POST /a HTTP/1.1\r\n{lines}\r\n\r\nabc"), ok("a"), "POST /a \"abc\" -> 200 \"a\"");
    }
}

/// RFC 9112, 6.3, rule 5: a server MUST respond to an invalid length with 400, and close.
#[test]
fn content_lengths_that_are_no_numbers_are_malformed() {
    for length in ["abc", "-1", "+3", "0x3", "3 4", "18446744073709551616", "99999999999999999999"] {
        let request = format!("POST /a HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
        one(request, ok("a"), "POST /a [malformed: content-length is not a number] -> 200 \"a\"");
    }
}

/// RFC 9112, 6.3, rule 4: a request whose last coding is not chunked cannot be framed; a server MUST respond with 400.
#[test]
fn a_transfer_encoding_that_does_not_end_in_chunked_is_malformed() {
    for coding in ["gzip", "chunked, gzip", "xchunked", "chunked\x0b"] {
        let request = format!("POST /a HTTP/1.1\r\nTransfer-Encoding: {coding}\r\n\r\n");
        one(request, ok("a"), "POST /a [malformed: transfer-encoding does not end in chunked] -> 200 \"a\"");
    }
}

/// RFC 9112, 6.3, rule 4: chunked ends the message where it is the last coding.
#[test]
fn a_transfer_encoding_whose_last_coding_is_chunked() {
    for lines in ["Transfer-Encoding: gzip, chunked", "Transfer-Encoding:\tChunked "] {
        let request = format!("POST /a HTTP/1.1\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        one(request, ok("a"), "POST /a \"hello\" -> 200 \"a\"");
    }
}

/// RFC 9112, 6.1: a sender MUST NOT apply chunked more than once.
#[test]
fn a_transfer_encoding_that_servers_do_not_read_alike_is_malformed() {
    for lines in [
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: Chunked",
        "Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: gzip,\r\n\tchunked",
    ] {
        let request = format!("POST /a HTTP/1.1\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        one(request, ok("a"), "POST /a \"hello\" [malformed: unclear transfer-encoding] -> 200 \"a\"");
    }
}

/// RFC 9112, 6.1: a message of HTTP/1.0 with a Transfer-Encoding MUST be treated as if its framing were faulty, whatever its
/// length.
#[test]
fn a_transfer_encoding_in_http_1_0_is_malformed_and_what_follows_is_not_believed() {
    for (lines, expected) in [
        ("Transfer-Encoding: chunked", "unclear transfer-encoding"),
        ("Transfer-Encoding: gzip, chunked", "unclear transfer-encoding"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 15", "content-length and transfer-encoding"),
        ("Transfer-Encoding: chunked\r\nConnection: keep-alive", "unclear transfer-encoding"),
    ] {
        let request = format!("POST /a HTTP/1.0\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let expected = format!("POST /a \"hello\" [malformed: {expected}] -> 200 \"a\"");
        one(&request, ok("a"), &expected);
    }
    let request = "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let talk = Talk::open().client(request).client("DELETE /evil HTTP/1.1\r\nHost: h\r\n\r\n").server(ok("a")).close();
    let seen = crate::tap::run(&mut talk.capture().source(), BodyPolicies::default(), &[]);
    let whole = seen.exchanges.values().filter(|one| one.request.state == RequestState::Whole).count();
    assert_eq!((seen.exchanges.len(), whole), (2, 0), "{:?}", seen.exchanges);
    one("POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", ok("a"), "POST /a \"hello\" -> 200 \"a\"");
}

/// RFC 9112, 2.2: a recipient MUST take an element with a bare CR for invalid, or replace it.
#[test]
fn a_cr_without_lf_in_a_head_is_malformed() {
    for head in [
        "GET /a HTTP/1.1\r\nX: a\rY: b",
        "GET /a HTTP/1.1\r\nX: a\r",
        "GET /a HTTP/1.1\r\n\rX: a",
        "GET /a HTTP/1.1\r\nX\r: a",
    ] {
        let seen = check(
            &Talk::open().client(format!("{head}\r\n\r\n")).server(ok("a")).close().capture(),
            &["GET /a [malformed: bare CR] -> 200 \"a\""],
        );
        assert_eq!(seen.exchanges.len(), 1, "{head:?}");
    }
}

#[test]
fn a_blank_at_the_end_of_a_request_line_is_ignored() {
    for blanks in [" ", "  ", "\t"] {
        one(format!("GET /a HTTP/1.1{blanks}\r\nHost: h\r\n\r\n"), ok("a"), "GET /a -> 200 \"a\"");
    }
}

#[test]
fn a_status_line_with_other_blanks_is_read() {
    for line in ["HTTP/1.1\t200\tok", "HTTP/1.0   200", "HTTP/1.1\x0b200 OK", "HTTP/1.1 \t 200 ", "HTTP/1.1 200\tOK"] {
        let response = format!("{line}\r\nContent-Length: 1\r\n\r\na");
        one(get("/a"), &response, "GET /a -> 200 \"a\"");
        for at in 1..response.len() {
            let talk = Talk::open().client(get("/a")).cut(Server, &response, &[at]).close();
            check(&talk.capture(), &["GET /a -> 200 \"a\""]);
        }
    }
}

#[test]
fn a_last_chunk_that_ends_with_one_line_end_is_the_last_one() {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
    let talk = Talk::open().client(get("/a")).server(response).client(get("/b")).server(ok("b"));
    check(&talk.close().capture(), &["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn proxy_headers_in_a_row_and_long_ones() {
    let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec();
    let v2 = |fields: usize| {
        let len = u16::try_from(12 + fields).unwrap().to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &len, &[192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb], &vec![4; fields]]
            .concat()
    };
    for headers in [
        vec![v1.clone(), v1.clone()],
        vec![v2(0), v2(20)],
        vec![v2(3), v1.clone()],
        vec![v1, v2(5000)],
        vec![v2(60_000)],
    ] {
        let all = [headers.concat(), get("/a").into_bytes()].concat();
        one(&all, ok("a"), "GET /a -> 200 \"a\"");
        let apart = headers.iter().fold(Talk::open(), Talk::client);
        check(&apart.client(get("/a")).server(ok("a")).close().capture(), &["GET /a -> 200 \"a\""]);
        let talk = Talk::open().segments(Client, &all, 1400).server(ok("a")).close();
        check(&talk.capture(), &["GET /a -> 200 \"a\""]);
    }
}

// Before, after and instead of HTTP/1.

#[test]
fn a_proxy_header_of_version_1_whole_and_cut_at_every_byte() {
    for header in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
        "PROXY UNKNOWN\r\n",
        "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n",
    ] {
        let all = format!("{header}{}", get("/a"));
        one(&all, ok("a"), "GET /a -> 200 \"a\"");
        for at in 1..all.len() {
            check(&Talk::open().cut(Client, &all, &[at]).server(ok("a")).close().capture(), &["GET /a -> 200 \"a\""]);
        }
        let every: Vec<usize> = (1..all.len()).collect();
        check(&Talk::open().cut(Client, &all, &every).server(ok("a")).close().capture(), &["GET /a -> 200 \"a\""]);
    }
}

#[test]
fn a_proxy_header_of_version_2_whole_and_cut_at_every_byte() {
    let v4 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb]].concat();
    let v6_with_extras =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2f"[..], &[7; 36], &[4, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for header in [v4, v6_with_extras, local] {
        let all = [&header[..], get("/a").as_bytes()].concat();
        one(&all, ok("a"), "GET /a -> 200 \"a\"");
        for at in 1..all.len() {
            check(&Talk::open().cut(Client, &all, &[at]).server(ok("a")).close().capture(), &["GET /a -> 200 \"a\""]);
        }
        let every: Vec<usize> = (1..all.len()).collect();
        check(&Talk::open().cut(Client, &all, &every).server(ok("a")).close().capture(), &["GET /a -> 200 \"a\""]);
    }
}

/// Two balancers, each with a header of its own; and one with more in it than a segment holds.
#[test]
fn proxy_headers_in_a_row_and_of_any_length_whole_and_in_pieces() {
    let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec();
    let v2 = |field: usize| {
        let len = u16::try_from(12 + 3 + field).unwrap().to_be_bytes();
        let addresses = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb];
        let field_len = u16::try_from(field).unwrap().to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &len, &addresses, &[0x20], &field_len, &vec![b'c'; field]].concat()
    };
    for headers in [
        [&v1[..], &v1].concat(),
        [&v2(0)[..], &v1].concat(),
        [&v1[..], &v2(9), &v1].concat(),
        v2(4_096),
        v2(5_000),
        [v2(9_000), v2(60_000)].concat(),
    ] {
        let all = [&headers[..], get("/a").as_bytes()].concat();
        let talk = |size: usize| {
            let talk = Talk::open().segments(Client, &all, size).server(ok("a"));
            talk.client(get("/b")).server(ok("b")).close().capture()
        };
        for size in [7, 42, 43, 44, 1_400, all.len()] {
            check(&talk(size), &["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""]);
        }
    }
}

#[test]
fn a_proxy_header_before_tls_is_still_tls() {
    let talk = Talk::open().client("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n\x16\x03\x01\x02\0\x01\0\x01").close();
    check::<&str>(&talk.capture(), &[]);
}

/// RFC 9112, 6.3, rule 2: a tunnel begins right after the head of a 2xx to CONNECT; a client MUST ignore lengths in it.
#[test]
fn connect_and_what_goes_through_the_tunnel() {
    let talk = Talk::open()
        .client("CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n")
        .server("HTTP/1.1 200 Connection established\r\n\r\n")
        .client("\x16\x03\x01\x02\0\x01\0\x01")
        .server("\x16\x03\x03\0\x7a")
        .client(get("/inside/the/tunnel"))
        .close();
    let seen = check(&talk.capture(), &["CONNECT other.example:443 -> 200 [opaque]"]);
    assert_eq!(seen.http1, StreamStats { upgraded: 1, ..StreamStats::default() });
}

/// RFC 9112, 6.3, rule 2: only a 2xx to CONNECT makes a tunnel.
#[test]
fn connect_that_is_refused_leaves_the_connection_as_it_was() {
    let request = "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n";
    one(request, status("407 Proxy Authentication Required", "who"), "CONNECT other.example:443 -> 407 \"who\"");
}

/// RFC 9110, 7.8: what follows a 101 is the new protocol.
#[test]
fn an_upgrade_to_websocket_and_its_frames() {
    let upgrade = with("/chat", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n");
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let talk = Talk::open().client(get("/a")).server(ok("a")).client(upgrade).server(format!("{switching}\u{1}early"));
    let talk = talk.client([0x81, 0x85, 1, 2, 3, 4]).client(get("/no/request")).server(ok("no response")).close();
    let seen = check(&talk.capture(), &["GET /a -> 200 \"a\"", "GET /chat -> 101 [opaque]"]);
    assert_eq!(seen.http1, StreamStats { upgraded: 1, ..StreamStats::default() });
}

/// RFC 9110, 7.8: a server may ignore the offer, and the connection stays as it was.
#[test]
fn an_upgrade_that_the_server_ignores() {
    let upgrade = with("/a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n");
    one(upgrade, ok("a"), "GET /a -> 200 \"a\"");
}

#[test]
fn an_upgrade_to_http_2() {
    let upgrade = with("/a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n");
    let talk =
        Talk::open().client(upgrade).server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n\0\0\u{6}\u{4}");
    let talk = talk.client("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}").close();
    check(&talk.capture(), &["GET /a -> 101 [opaque]"]);
}

#[test]
fn http_2_without_tls_is_recognized_and_counted() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let talk = Talk::open().client(format!("{preface}\0\0\0\u{4}\0\0\0\0\0")).server("\0\0\0\u{4}\0\0\0\0\0").close();
    assert_eq!(check::<&str>(&talk.capture(), &[]).http1, StreamStats { http2: 1, ..StreamStats::default() });
    for at in 1..preface.len() {
        let talk = Talk::open().cut(Client, preface, &[at]).server("\0\0\0\u{4}\0\0\0\0\0").close();
        assert_eq!(
            check::<&str>(&talk.capture(), &[]).http1,
            StreamStats { http2: 1, ..StreamStats::default() },
            "cut at {at}"
        );
    }
}

#[test]
fn tls_is_recognized_and_counted() {
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(505)].concat();
    for at in [1, 2, 3, 5, 100] {
        let talk = Talk::open().cut(Client, &hello, &[at]).server([0x16, 3, 3, 0, 0x7a]).client(noise(300)).close();
        assert_eq!(
            check::<&str>(&talk.capture(), &[]).http1,
            StreamStats { tls: 1, ..StreamStats::default() },
            "cut at {at}"
        );
    }
}

#[test]
fn tls_that_was_open_before_the_capture_is_recognized_by_its_records() {
    let record = |len: u16| [&[0x17, 3, 3][..], &len.to_be_bytes(), &noise(len.into())].concat();
    let several = [record(300), record(16_000), record(40)].concat();
    for (asked, answered) in [(record(300), record(9_000)), (several.clone(), several[..9_000].to_vec())] {
        let talk = Talk::joined().client(asked).server(answered).close();
        assert_eq!(check::<&str>(&talk.capture(), &[]).http1, StreamStats { tls: 1, ..StreamStats::default() });
    }
    for other in [[&[0x17, 3, 3, 0, 9][..], &noise(300)].concat(), vec![0x17, 3, 3, 0xff, 0xff, 0], vec![0x17, 3, 3]] {
        let talk = Talk::joined().client(other).close();
        assert_eq!(check::<&str>(&talk.capture(), &[]).http1, StreamStats { unknown: 1, ..StreamStats::default() });
    }
}

#[test]
fn a_protocol_where_the_server_speaks_first_is_another_one() {
    let talk = Talk::open()
        .server("220 mail.example ESMTP\r\n")
        .client("EHLO client.example\r\n")
        .server("250-mail.example\r\n250 SIZE\r\n")
        .client("MAIL FROM:<a@example>\r\n")
        .close();
    assert_eq!(check::<&str>(&talk.capture(), &[]).http1, StreamStats { unknown: 1, ..StreamStats::default() });
}

#[test]
fn what_looks_like_a_request_in_another_protocol_is_none() {
    let unknown = StreamStats { unknown: 1, ..StreamStats::default() };
    let mail = Talk::open().server("220 mail.example ESMTP\r\n").client("HELO a\r\nMAIL FROM:<a>\r\nDATA\r\n");
    let mail = mail.server("354 go\r\n").client(get("/mail")).server("250 ok\r\n").close();
    assert_eq!(check::<&str>(&mail.capture(), &[]).http1, unknown);
    let chat = Talk::open().client("NICK a\r\nUSER a\r\n").server(":s 001 a\r\n").client(get("/chat")).close();
    assert_eq!(check::<&str>(&chat.capture(), &[]).http1, unknown);
}

#[test]
fn a_request_behind_bytes_that_may_be_those_of_a_tunnel_is_one() {
    let socks = Talk::open().client([5, 1, 0]).server([5, 0]).client([5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
    let socks = socks.server([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).client(get("/a")).server(ok("a"));
    check(&socks.client(get("/b")).server(ok("b")).close().capture(), &["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""]);
    // Where the request of a response is lost, and its head, the rest of it is text.
    let lost = Talk::joined().syn().lost(|talk| talk.control(Server, SYN | ACK).control(Client, ACK));
    let lost = lost.lost(|talk| talk.client(get("/a")).server(&ok("some text")[..40])).control(Client, ACK);
    let lost = lost.server(&ok("some text")[40..]).control(Client, ACK).client(get("/b")).server(ok("b"));
    check(&lost.client(get("/c")).server(ok("c")).close().capture(), &["GET /b -> 200 \"b\"", "GET /c -> 200 \"c\""]);
}

#[test]
fn protocols_that_resemble_http_are_other_ones() {
    let sip = "OPTIONS sip:a@example SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n\r\n";
    let rtsp = "DESCRIBE rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n\r\n";
    for request in
        [sip, rtsp, "GET / ICAP/1.0\r\n\r\n", "get key\r\n", "*1\r\n$4\r\nPING\r\n", "SSH-2.0-OpenSSH_9.6\r\n"]
    {
        let talk = Talk::open().client(request).server("200 whatever\r\n\r\n").close();
        assert_eq!(
            check::<&str>(&talk.capture(), &[]).http1,
            StreamStats { unknown: 1, ..StreamStats::default() },
            "{request}"
        );
    }
}

#[test]
fn a_response_that_is_no_http_leaves_the_request() {
    let talk = Talk::open().client(get("/a")).server("<html>no head at all</html>").close();
    check(&talk.capture(), &["GET /a -> malformed"]);
}

#[test]
fn noise_in_both_directions_is_no_exchange() {
    let talk = Talk::open().segments(Client, noise(5000), 900).segments(Server, noise(7000), 900).close();
    assert_eq!(check::<&str>(&talk.capture(), &[]).http1, StreamStats { unknown: 1, ..StreamStats::default() });
}

#[test]
fn a_connection_that_is_open_counts_as_what_it_speaks() {
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let talks = [
        Talk::open().client("GET / HTTP/1.1\r\nHost: h\r\n\r\n").server("HTTP/1.1 204 No Content\r\n\r\n"),
        Talk::joined().between("10.2.0.2:5000", "10.0.0.1:80").handshake().client(upgrade).server(switched),
    ];
    let [one, other] = talks.map(|talk| talk.capture());
    let mut source = one.with(other).source();
    let mut tap = Tap::new(&Settings::default(), BodyPolicies::default()).unwrap();
    while tap.pull(&mut source, &mut |_| {}) {}
    let spoken = |tap: &Tap, source: &MemorySource| {
        let streams = tap.engine(source).streams;
        (streams.http1, streams.upgraded, streams.unknown)
    };
    assert_eq!(spoken(&tap, &source), (1, 1, 0), "they are open");
    tap.finish(&mut |_| {});
    assert_eq!(spoken(&tap, &source), (1, 1, 0), "they are closed");
}

#[test]
fn a_joined_request_whose_method_is_in_several_pieces_is_whole() {
    let found = |target: &str| format!("{target} -> 200 \"a\"");
    for method in ["GET", "POST", "HEAD", "DELETE", "PROPFIND", "M-SEARCH", "TRACE"] {
        let request = format!("{method} /a HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = if method == "HEAD" { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n".into() } else { ok("a") };
        let line = if method == "HEAD" { "HEAD /a -> 200".to_owned() } else { found(&format!("{method} /a")) };
        for cuts in [&[1][..], &[2], &[1, 2], &[1, 2, 3], &[2, 4], &[1, 6, 9]] {
            let talk = Talk::joined().cut(Client, &request, cuts).server(&response);
            check(&talk.client(get("/a")).server(ok("a")).close().capture(), &[line.clone(), found("GET /a")]);
        }
    }
    // The end of a body, and then a request: no method of both together.
    for rest in ["G", "P", "x", "PO", "TR"] {
        for method in ["POST", "PUT", "GET", "ABC"] {
            let request = format!("{method} /a HTTP/1.1\r\nHost: h\r\n\r\n");
            let talk = Talk::joined().client(rest).server(ok("r")).client(&request).server(ok("a"));
            let expected = [found(&format!("{method} /a")), "orphan -> 200 \"r\"".to_owned()];
            check(&talk.close().capture(), &expected);
        }
    }
}
