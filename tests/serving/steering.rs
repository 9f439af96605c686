//! A run steered over HTTP, and what it says meanwhile.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::files::testdata;
use crate::run::{Run, stack};
use crate::until;

pub(crate) fn steered() {
    let run = Run::start();
    assert!((run.share() - 0.5).abs() < 1e-9);
    run.wishes("share", "25%", "204");
    until("the share", || (run.share() < 0.26).then_some(()));
    run.wishes("pause", "", "204");
    run.until_paused(true);
    run.wishes("resume", "", "204");
    run.until_paused(false);
    run.wishes("share", "a lot", "400");
    run.wishes("share", &"9".repeat(1000), "413");
    run.wishes("dance", "", "404");
    run.until_sent();
    run.wishes("stop", "", "204");
    let (code, summary) = run.end();
    assert_eq!(code, Some(0), "{summary}");
    let reasons: Vec<&str> =
        summary["steps"].as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["control"; 4], "{}", summary["steps"]);
    let requests = &summary["requests"];
    let ended = &requests["ended"];
    let filtered: u64 = ended["filtered"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let shed: u64 = ended["shed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let all = requests["offered"].as_u64().unwrap() + ended["sampled_out"].as_u64().unwrap() + filtered + shed;
    assert_eq!(requests["seen"].as_u64().unwrap(), all, "{requests}");
}

/// The first events, as they were sent.
fn events(run: &Run, count: usize) -> Vec<String> {
    let mut stream = TcpStream::connect(&run.address).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\n{}\r\n", run.host()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)).take(count).collect()
}

fn first_event(run: &Run) -> Value {
    serde_json::from_str(&events(run, 1)[0]).unwrap()
}

pub(crate) fn told() {
    let run = Run::start();
    run.until_sent();
    let events = events(&run, 3);
    let lens: Vec<usize> = events.iter().map(String::len).collect();
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let first = &events[0];
    assert!(first["summary"]["timeline"]["points"].is_array() && first["differences"].is_array(), "{first}");
    for light in &events[1..] {
        for slow in ["routes", "kinds", "curves", "timeline"] {
            assert!(light["summary"][slow].is_null(), "{slow} in {light}");
        }
        assert!(light["differences"].is_null(), "{light}");
        assert!(light["summary"]["requests"]["seen"].is_u64() && light["live"]["targets"].is_object(), "{light}");
    }
    assert!(lens[1] < lens[0] / 2, "{lens:?}");
    run.wishes("share", "25%", "204");
    until("the share in the report so far", || {
        let event = first_event(&run);
        let (asked, live) = (&event["summary"]["sample"]["asked"], &event["live"]["share"]);
        (asked.as_f64() == Some(0.25) && live == asked).then_some(())
    });
    run.wishes("stop", "", "204");
    assert_eq!(run.end().0, Some(0));
}

pub(crate) fn refused() {
    let run = Run::start();
    let bearer = run.bearer();
    let other = bearer.replace(&run.host(), "Host: evil.example\r\n");
    for (method, path, lines, status) in [
        ("GET", "/", "Host: evil.example\r\n".to_owned(), "421"),
        ("GET", "/metrics", "Host: evil.example\r\n".to_owned(), "421"),
        ("GET", "/events", "Host: evil.example\r\n".to_owned(), "421"),
        ("POST", "/control/stop", other, "421"),
        ("POST", "/control/stop", run.host(), "401"),
        ("POST", "/control/stop", format!("{bearer}Origin: http://evil.example\r\n"), "403"),
        ("POST", "/control/stop", format!("{bearer}Sec-Fetch-Site: cross-site\r\n"), "403"),
        ("OPTIONS", "/control/stop", format!("{}Origin: http://evil.example\r\n", run.host()), "405"),
        ("PUT", "/control/stop", bearer.clone(), "405"),
        ("GET", "/control/stop", run.host(), "405"),
        ("GET", "/etc/passwd", run.host(), "404"),
    ] {
        let answer = run.ask(method, path, &lines, "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path} {lines}: {answer}");
        let answer = answer.to_lowercase();
        assert!(!answer.contains("access-control-allow"), "{answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
    }
    let page = run.get("/").to_lowercase();
    for line in [
        "x-frame-options: deny",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "frame-ancestors 'none'",
    ] {
        assert!(page.contains(line), "{line}");
    }
    assert!(!run.is_paused(), "the run goes on");
}

pub(crate) fn as_json() {
    let output = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
        .arg("replay")
        .arg(testdata("demo.pcap.zst"))
        .args(["--to", &stack(), "--speed", "4x", "--log-format", "json", "--insecure", "--summary", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["message"].is_string()), "{said}");
    assert!(lines.iter().any(|line| line["level"] == "WARN"), "{said}");
    let progress = lines.iter().find(|line| line["progress"].is_object()).unwrap();
    assert!(progress["progress"]["seen"].is_u64(), "{progress}");
    assert!(lines.last().unwrap()["report"].as_str().unwrap().contains("answered"), "{said}");

    let wrong = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
        .args(["replay", "/nowhere.pcap", "--to", "x", "--log-format", "json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said.lines().count() >= 2);
    for line in said.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["level"], "ERROR", "{line}");
    }
}
