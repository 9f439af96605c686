use std::path::Path;

use crate::capture::{Halt, OpenedInput};
use crate::exchange::{Damage, Event, Incomplete, RequestState, Timestamp};
use crate::recording::source::FormatReader;
use crate::recording::{EventSource as _, RecordingSource};

use super::*;

/// The time of day, to the millisecond.
fn clock(at: Timestamp) -> String {
    at.to_string().get(11..23).unwrap().to_owned()
}

/// The events of lines under a format, each in short, and what was warned of.
fn read(format: &str, text: &str) -> (Vec<String>, Vec<String>, ReadLog) {
    let opened =
        OpenedInput::read("x.log", Box::new(std::io::Cursor::new(text.to_owned().into_bytes())), None).unwrap();
    let format = format.parse().unwrap();
    let reader = LogReader::new(opened, format);
    let mut source = RecordingSource::of(vec![FormatReader::Log(Box::new(reader))]);
    let mut told = Vec::new();
    while let Some(event) = source.next() {
        told.push(match event {
            Event::Request(request) => {
                let head = String::from_utf8_lossy(request.head.as_bytes()).trim_end().replace("\r\n", "|");
                let state = match request.state {
                    RequestState::Whole => String::new(),
                    other => format!(" {other:?}"),
                };
                format!("{} {} {} {head}{state}", request.id, clock(request.first_byte), request.client)
            }
            Event::Response { of, response } => {
                assert_eq!(response.damage, Some(Damage::NotLogged));
                let latency = (!response.untimed).then_some(response.first_byte);
                format!("{of} {} {} {}", response.status, response.body.len, latency.map_or("-".to_owned(), clock))
            }
            Event::Damaged { of, why } => format!("{of} {why}"),
            other => panic!("{other:?}"),
        });
    }
    (told, source.warnings(), source.logs().unwrap())
}

#[track_caller]
fn check(format: &str, text: &str, expected: &[&str]) {
    let (told, warnings, _) = read(format, text);
    assert_eq!(told, expected);
    assert!(warnings.is_empty(), "{warnings:?}");
}

const HTTPLOG: &str = "Feb  6 12:14:14 localhost haproxy[14389]: 10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 \
    10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} \"GET /index.html?a=#22b#22 HTTP/1.1\"\n";

#[test]
fn haproxys_http_log_is_read_with_syslog_before_it_and_without() {
    check(
        "haproxy",
        HTTPLOG,
        &["1.1 12:14:14.655 10.0.1.2:33317 GET /index.html?a=\"b\" HTTP/1.1", "1.1 200 2750 12:14:14.764"],
    );
    let bare = "2001:db8::7:51234 [21/Nov/2026:20:00:00.001] fe~ be/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 2/2/0/0/0 0/0 \
        \"GET https://shop.example/cart?x=1 HTTP/2.0\"\n\
        2001:db8::7:51234 [21/Nov/2026:20:00:01.001] fe be/s 0/0/0/+5/+9 200 99 - - ---- 2/2/0/0/0 0/0 \"POST /pay HTTP/1.1\"\n\
        10.0.0.7:51235 [21/Nov/2026:20:00:02.001] fe fe/<NOSRV> -1/-1/-1/-1/0 -1 0 - - CR-- 2/2/0/0/0 0/0 \"<BADREQ>\"\n";
    let (told, warnings, read) = read("haproxy", bare);
    assert_eq!(
        told,
        [
            "1.1 20:00:00.001 [2001:db8::7]:51234 GET https://shop.example/cart?x=1 HTTP/1.1|Host: shop.example",
            "1.1 503 217 -",
            "1.2 20:00:01.001 [2001:db8::7]:51234 POST /pay HTTP/1.1 Incomplete(NotLogged)",
            "1.2 200 99 20:00:01.006",
        ]
    );
    assert_eq!(warnings, ["x.log: 1 of 3 lines have no request (nobody asked, or not in HTTP) and were passed over"]);
    assert_eq!((read.lines, read.requests, read.unread, read.without_request), (3, 2, 0, 1));
}

#[test]
fn the_first_line_of_json_lacks_what_all_of_them_lack() {
    let line = r#"{"ts":1796077000.0,"verb":"GET","uri":"/img/j-1","code":200,"took":1.5}"#;
    let (told, warnings, _) = read("json", &format!("{{}}\n{line}\n{line}\n"));
    let ends: Vec<_> = told.iter().filter_map(|told| told.split_once(' ')).map(|(_, end)| end).collect();
    let missing = Damage::NotLogged.to_string();
    assert_eq!(ends.iter().filter(|end| **end == missing).count(), 2, "{told:?} {warnings:?}");
}

#[test]
fn a_log_format_of_haproxy_says_what_it_has() {
    check(
        r"%ci:%cp\ [%tr] %Tr %Ta %ST %{+Q}[capture.req.hdr(0)] %[req.hdr(User-Agent)] %HM %[req.hdr(host),lower] %HU",
        "10.0.0.7:5000 [21/Nov/2026:20:00:00.000] 7 9 200 \"\" curl/8 GET  /a\n\
         10.0.0.7:5000 [21/Nov/2026:20:00:00.000] 7 9 404 \"x y\" curl/8 GET h.example /b\n",
        &[
            "1.1 20:00:00.000 10.0.0.7:5000 GET /a HTTP/1.1|User-Agent: curl/8",
            "1.2 20:00:00.000 10.0.0.7:5000 GET /b HTTP/1.1|Host: h.example|User-Agent: curl/8",
            "1.1 200 0 20:00:00.007",
            "1.2 404 0 20:00:00.007",
        ],
    );
}

const COMBINED: &str = "10.0.0.7 - - [21/Nov/2026:20:00:00 +0000] \"GET /a HTTP/1.1\" 200 12 \"-\" \"curl/8 \\\"x\\\"\"\n\
    10.0.0.8 - bob [21/Nov/2026:20:00:00 +0000] \"GET /b HTTP/1.0\" 304 0 \"http://h/\" \"-\"\n\
    10.0.0.7 - - [21/Nov/2026:20:00:00 +0000] \"POST /c HTTP/1.1\" 499 0 \"-\" \"-\" extra\n\
    10.0.0.7 - - [21/Nov/2026:20:00:01 +0000] \"GET /d HTTP/1.1\" 200 1 \"-\" \"-\"\n";

#[test]
fn requests_of_one_second_are_spread_over_it() {
    check(
        "combined",
        COMBINED,
        &[
            "1.1 20:00:00.000 10.0.0.7:0 GET /a HTTP/1.1|User-Agent: curl/8 \"x\"",
            "1.1 200 12 -",
            "2.1 20:00:00.333 10.0.0.8:0 GET /b HTTP/1.0|Referer: http://h/",
            "2.1 304 0 -",
            "3.1 20:00:00.666 10.0.0.7:0 POST /c HTTP/1.1 Incomplete(NotLogged)",
            "3.1 connection closed early",
            "4.1 20:00:01.000 10.0.0.7:0 GET /d HTTP/1.1",
            "4.1 200 1 -",
        ],
    );
}

#[test]
fn lines_that_are_not_of_the_format_are_counted_and_the_first_three_shown() {
    let text = format!(
        "{COMBINED}noise\n\x1b[2J\n10.0.0.1 - - [never] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"\n\u{fffd}\n\n\
        10.0.0.7 - - [21/Nov/2026:20:00:01 +0000] \"\\x16\\x03\\x01\" 400 1 \"-\" \"-\"\n\
        10.0.0.7 - - [21/Nov/2026:20:00:02 +0000] \"GET /cut HTT"
    );
    let (told, warnings, read) = read("combined", &text);
    assert_eq!((told.len(), read.lines, read.requests, read.unread, read.without_request), (8, 10, 4, 5, 1));
    let first = &warnings[0];
    assert!(
        first.starts_with("x.log: 5 of 10 lines could not be read and were passed over; the first: line 5 ("),
        "{first}"
    );
    assert!(first.contains("noise; line 6 (") && first.contains("; line 7 (no $time_local"), "{first}");
    assert!(!first.contains('\x1b') && !first.contains("line 8"), "{first}");
}

#[test]
fn a_log_format_of_nginx_has_latency_host_and_body() {
    let format = r#"log_format full '$remote_addr:$remote_port [$time_iso8601] $scheme://$host$request_uri $request_method '
        '"$request_body" $content_length $status $upstream_header_time/$request_time "$http_x_forwarded_for" $cookie_sid'"#;
    check(
        format,
        "10.0.0.7:41000 [2026-11-21T20:00:00.500Z] https://shop.example/a?b=1 POST \"{\\x22a\\x22:1}\" 7 201 0.010, 0.020/0.250 \"-\" s1\n\
         10.0.0.7:41000 [2026-11-21T20:00:01.500Z] https://shop.example/a PUT \"{\" 7 201 -/0.250 \"1.1.1.1, 2.2.2.2\" -\n",
        &[
            "1.1 20:00:00.250 10.0.0.7:41000 POST /a?b=1 HTTP/1.1|Host: shop.example|Cookie: sid=s1|Content-Length: 7",
            "1.1 201 0 20:00:00.280",
            "1.2 20:00:01.250 10.0.0.7:41000 PUT /a HTTP/1.1|Host: shop.example|X-Forwarded-For: 1.1.1.1, 2.2.2.2|Content-Length: 1 Incomplete(Cut)",
            "1.2 201 0 20:00:01.500",
        ],
    );
}

#[test]
fn json_is_read_by_the_usual_keys_or_by_a_map() {
    let caddy = r#"{"level":"info","ts":1795291200.25,"request":{"remote_ip":"10.0.0.7","remote_port":"41342","proto":"HTTP/2.0","method":"GET","host":"h.example","uri":"/a?b","headers":{"User-Agent":["curl/8"],"Connection":["close"]}},"duration":0.0125,"size":10900,"status":200}"#;
    check(
        "json",
        caddy,
        &[
            "1.1 20:00:00.250 10.0.0.7:41342 GET /a?b HTTP/1.1|Host: h.example|User-Agent: curl/8",
            "1.1 200 10900 20:00:00.262",
        ],
    );
    check(
        "json:time=@timestamp,method=http.verb,target=http.path,status=code,latency=took:ms,client=ip,header.X-A=a",
        r#"{"@timestamp":"2026-11-21T20:00:00.5Z","http":{"verb":"DELETE","path":"/x"},"code":"204","took":1.5,"ip":"10.0.0.9","a":"b"}"#,
        &["1.1 20:00:00.500 10.0.0.9:0 DELETE /x HTTP/1.1|X-A: b", "1.1 204 0 20:00:00.501"],
    );
}

#[test]
fn a_line_cannot_smuggle_headers_in() {
    let text = "10.0.0.7 - - [21/Nov/2026:20:00:00 +0000] \"GET /a HTTP/1.1\" 200 1 \"-\" \"x\\x0d\\x0aX-Admin: 1\"\n\
        10.0.0.7 - - [21/Nov/2026:20:00:00 +0000] \"GET /a\\nX: HTTP/1.1\" 200 1 \"-\" \"-\"\n";
    let (told, warnings, _) = read("combined", text);
    assert!(told.is_empty() && warnings[0].contains("a control character in a header"), "{told:?} {warnings:?}");
}

#[test]
fn what_is_known_is_said_by_the_format() {
    let known = |format: &str| read(format, "").2;
    let haproxy = known("haproxy");
    assert_eq!(haproxy.known, ["time", "client", "method", "target", "status", "latency (%Tw+%Tc+%Tr)"]);
    assert_eq!(haproxy.unknown, ["host", "headers", "bodies of requests", "production's headers and bodies"]);
    assert!(known("combined").known.contains(&"the headers Referer, User-Agent".to_owned()));
}

#[test]
fn a_first_line_tells_its_format() {
    let line = |text: &str| guess(text.lines().next().unwrap().as_bytes());
    assert_eq!(line(HTTPLOG), Some("haproxy"));
    assert_eq!(line(COMBINED), Some("combined"));
    assert_eq!(line("10.0.0.7 - - [21/Nov/2026:20:00:00 +0000] \"GET /a HTTP/1.1\" 200 12"), Some("common"));
    assert_eq!((line("hello"), line("\u{0}\u{1}")), (None, None));
}

#[test]
fn a_format_that_fits_no_line_is_an_error_and_says_where() {
    let unread = |format: &str, text: &str| {
        let opened =
            OpenedInput::read("x.log", Box::new(std::io::Cursor::new(text.to_owned().into_bytes())), None).unwrap();
        let reader = LogReader::new(opened, format.parse().unwrap());
        let mut source = RecordingSource::of(vec![FormatReader::Log(Box::new(reader))]);
        while source.next().is_some() {}
        source.unread()
    };
    let told = unread("$remote_addr [$time_local] \"$request\" $status", COMBINED);
    let lines = COMBINED.lines().count();
    let says = format!(
        "x.log: none of its {lines} lines is of the format a log_format of nginx; it looks like --format combined: line 1 ("
    );
    assert!(told.len() == 1 && told[0].starts_with(&says), "{told:?}");
    assert_eq!(unread("combined", COMBINED), Vec::<String>::new());
    assert_eq!(unread("combined", &format!("hello\n{COMBINED}")), Vec::<String>::new(), "some of it was read");
    assert_eq!(unread("combined", ""), Vec::<String>::new());
}

#[test]
fn the_name_of_a_server_is_no_client() {
    let line = COMBINED.lines().next().unwrap();
    let with_server = format!("shop.example.com:443 {line}\n");
    let (_, warnings, _) = read("combined", &with_server);
    assert!(warnings.len() == 1 && warnings[0].contains("read them with --format vhost_combined"), "{warnings:?}");
    assert_eq!(read("vhost_combined", &with_server).1, Vec::<String>::new());
    assert_eq!(guess(with_server.trim_end().as_bytes()), Some("vhost_combined"));
    for client in ["2001:db8::1", "10.0.0.7", "client.example.com"] {
        let line = format!("{client} - - {}\n", line.split_once(" [").map(|(_, rest)| format!("[{rest}")).unwrap());
        assert_eq!(read("combined", &line).1, Vec::<String>::new(), "{line}");
    }
}

#[test]
fn a_line_that_could_be_read_in_many_ways_takes_no_time() {
    let format = "$a $b $c $d $e $f $g $h $time_local $request_method $uri";
    let (told, _, read) = read(format, &format!("{}\n", "a ".repeat(5_000)));
    assert_eq!((told.len(), read.unread), (0, 1));
}

#[test]
fn logs_are_opened_by_their_format_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.log");
    std::fs::write(&file, COMBINED).unwrap();
    let error = RecordingSource::open(Path::new(&file), &Halt::default()).err().unwrap().to_string();
    assert!(error.ends_with("a.log looks like an access log: say so with --format combined"), "{error}");
    assert_eq!(Incomplete::ALL.len(), 6);
}
