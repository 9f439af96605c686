//! Time is data: whatever the capture's clock does costs latencies and nothing else.

use shadowtap::exchange::RequestState;
use shadowtap::http1::BodyPolicies;

use crate::packets::{ACK, Capture, Client, Server, Talk};
use crate::{check, get, large, ok, post, tap};

/// A POST in two halves, its response after a while, from one of many clients.
fn shopper(n: u64, at: u64) -> Capture {
    let request = post(&format!("/{n}"), "0123456789");
    let cut = request.len() - 5;
    let talk = Talk::joined().between(&format!("10.0.0.9:{}", 40_000 + n), "10.0.0.1:80").handshake();
    let talk = talk.client(&request[..cut]).wait(300).client(&request[cut..]).wait(400).server(ok(n.to_string()));
    let mut capture = talk.close().capture();
    capture.shots.iter_mut().for_each(|shot| shot.at += at * 1_000_000);
    capture
}

fn line(n: u64) -> String {
    format!("POST /{n} \"0123456789\" -> 200 \"{n}\"")
}

/// Forty clients, one every 50 ms, merged by time.
fn shoppers() -> Capture {
    (0..40).fold(Capture::default(), |all, n| all.with(shopper(n, n * 50)))
}

const SECOND: i64 = 1_000_000_000;

/// Steps of the clock, by the share of frames after which each comes.
#[track_caller]
fn steps(offsets: &[i64], told: u64) {
    let mut capture = shoppers();
    let part = capture.shots.len() / offsets.len() + 1;
    for (place, shot) in capture.shots.iter_mut().enumerate() {
        shot.at = shot.at.checked_add_signed(offsets[place / part] * SECOND).unwrap();
    }
    let expected: Vec<String> = (0..40).map(line).collect();
    let seen = check(&capture, &expected);
    assert_eq!(seen.flow.clock_steps, told, "{offsets:?}");
    let known = seen.exchanges.values().filter_map(|one| {
        let answer = one.answer.as_ref().unwrap().as_ref().unwrap();
        answer.latency(one.request.last_byte)
    });
    let known: Vec<_> = known.collect();
    assert!(known.iter().all(|took| took.as_millis() == 401), "{offsets:?}: {known:?}");
    assert!(known.len() < 40 || told == 0, "{offsets:?}: none across a step is known");
}

#[test]
fn a_clock_that_is_set_costs_latencies_only() {
    steps(&[0, 0], 0);
    steps(&[0, -3600], 1);
    steps(&[0, -600], 1);
    steps(&[0, -63_000_000], 1);
    steps(&[0, 63_000_000], 1);
    steps(&[0, 3600, 0], 1);
    steps(&[0, -20, -40, -60], 3);
}

#[test]
fn one_frame_that_is_stamped_wrongly_costs_no_exchange() {
    for off in [-400_000_000, -86_400, 86_400 * 2, 31_536_000, 315_360_000] {
        for place in [0, 5, 77, 150] {
            let mut capture = shoppers();
            let shot = &mut capture.shots[place];
            shot.at = shot.at.checked_add_signed(off * SECOND).unwrap();
            let expected: Vec<String> = (0..40).map(line).collect();
            let seen = check(&capture, &expected);
            assert_eq!(seen.flow.clock_steps, 1, "{off} {place}");
        }
    }
}

#[test]
fn sections_in_the_wrong_order_cost_nothing() {
    let mut later = shoppers();
    later.shots.iter_mut().for_each(|shot| shot.at += 3600 * 1_000_000_000);
    let again = Talk::joined().between("10.0.0.8:39999", "10.0.0.1:80").handshake();
    later.shots.extend(again.client(get("/z")).server(ok("z")).close().capture().shots);
    let expected: Vec<String> = (0..40).map(line).chain(["GET /z -> 200 \"z\"".to_owned()]).collect();
    assert_eq!(check(&later, &expected).flow.clock_steps, 1);
}

#[test]
fn a_connection_that_spans_a_step_goes_on() {
    for off in [-63_000_000, -3600, -90, -5, 3600, 63_000_000] {
        let talk = Talk::open().client(get("/a"));
        let mut capture = talk.server(ok("a")).client(get("/b")).server(ok("b")).close().capture();
        for shot in capture.shots.iter_mut().skip(4) {
            shot.at = shot.at.checked_add_signed(off * SECOND).unwrap();
        }
        let seen = check(&capture, &["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""]);
        assert_eq!(seen.closed.len(), 1, "{off}");
    }
}

/// A POST whose first segment is captured after the two that follow it, and where those begin in the capture.
fn swapped() -> (Capture, usize, String) {
    let body = "0123456789".repeat(150);
    let talk = Talk::open().client(get("/a")).server(ok("a"));
    let begin = talk.senders().len();
    let talk = talk.reordered(|talk| talk.segments(Client, post("/p", &body), 400), |four| four[..3].rotate_left(1));
    let talk = talk.server(ok("p")).client(get("/b")).server(ok("b")).close();
    (talk.capture(), begin, format!("POST /p{} -> 200 \"p\"", large(body.as_bytes())))
}

#[test]
fn a_clock_that_is_set_forward_while_a_hole_is_open_costs_nothing() {
    for ahead in [1, 4, 20, 60, 61, 1200, 3600, 86_400, 63_000_000] {
        for place in 0..4 {
            for frames in [1, 2, usize::MAX] {
                let (mut capture, begin, found) = swapped();
                for shot in capture.shots.iter_mut().skip(begin + place).take(frames) {
                    shot.at = shot.at.checked_add_signed(ahead * SECOND).unwrap();
                }
                let seen = check(&capture, &["GET /a -> 200 \"a\"", &found, "GET /b -> 200 \"b\""]);
                assert_eq!(seen.flow.gaps, 0, "{ahead} {place} {frames}");
            }
        }
    }
}

#[test]
fn a_hole_that_stays_is_given_up_where_frames_are_rare() {
    for seconds in [4, 30, 300] {
        for acked in [true, false] {
            for pauses in 0..6 {
                let request = post("/p", "0123456789");
                // The first piece comes after the second one, and after so many that may be none.
                let hole = |talk: Talk| {
                    let talk = talk.cut(Client, &request, &[20]);
                    let talk = if acked { talk.control(Server, ACK) } else { talk };
                    (0..pauses).fold(talk, |talk, _| talk.wait(seconds * 1000).control(Client, ACK))
                };
                let talk = Talk::open().reordered(hole, |all| all.rotate_left(1)).server(ok("p")).close();
                let seen = tap::run(&mut talk.capture().source(), BodyPolicies::default(), &[80]);
                let states: Vec<_> = seen.exchanges.values().map(|one| one.request.state).collect();
                if pauses < 3 {
                    assert_eq!((states.as_slice(), seen.flow.gaps), ([RequestState::Whole].as_slice(), 0), "{pauses}");
                } else {
                    assert_eq!((states.len(), seen.flow.gaps), (0, 1), "{pauses}");
                    assert_eq!(seen.flow.unplaced_requests, 1, "{seconds} s, {acked}, {pauses}");
                }
            }
        }
    }
}

/// Connections with three exchanges each, `pause` milliseconds apart, whose sides were stamped by clocks that differ, as
/// one capture in the order of stamps.
fn skewed(connections: u64, pause: u64, skew: i64) -> (Capture, u64) {
    let mut all = Capture::default();
    for n in 0..connections {
        let talk = Talk::joined().between(&format!("10.0.0.9:{}", 40_000 + n), "10.0.0.1:80").wait(n * 700).handshake();
        let ask = |talk: Talk, k: u64| talk.client(get(&format!("/{n}/{k}"))).wait(20).server(ok(format!("{n}/{k}")));
        let talk = (0..3).fold(talk, |talk, k| ask(talk, k).wait(pause)).close();
        let senders = talk.senders();
        let mut capture = talk.capture();
        for (shot, who) in capture.shots.iter_mut().zip(senders) {
            let off = if who == Client { skew } else { 0 };
            shot.at = shot.at.checked_add_signed(off * 1_000_000).unwrap();
        }
        all = all.with(capture);
    }
    (all, connections * 3)
}

#[test]
fn of_directions_whose_clocks_differ_by_seconds_each_request_is_seen_or_counted() {
    for skew in [-9000, -6000, -3000, -2500, -900, 900, 2500, 3000, 4500, 6000, 9000] {
        for pause in [1, 400, 5000] {
            let (capture, requests) = skewed(30, pause, skew);
            let seen = tap::run(&mut capture.source(), BodyPolicies::default(), &[80]);
            let whole = seen.exchanges.values().filter(|one| one.request.state == RequestState::Whole).count() as u64;
            let damaged = seen.exchanges.len() as u64 - whole;
            assert_eq!(whole + damaged + seen.flow.unplaced_requests, requests, "{skew} ms, every {pause} ms");
            for one in seen.exchanges.values() {
                if let Some(Ok(response)) = &one.answer {
                    assert_eq!(one.request.target().len() as u64 - 1, response.body.len, "{skew} {pause}");
                }
            }
        }
    }
}
