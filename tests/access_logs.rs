//! Access logs replayed: what the target is asked, and what is said of the rest.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A server that answers every request with 200 and remembers its head.
fn server() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&heads);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, seen) = (stream.unwrap(), Arc::clone(&seen));
            thread::spawn(move || {
                let (mut lines, mut to, mut head) =
                    (BufReader::new(stream.try_clone().unwrap()), stream, String::new());
                while lines.read_line(&mut head).is_ok_and(|read| read > 0) {
                    if head.ends_with("\r\n\r\n") {
                        seen.lock().unwrap().push(std::mem::take(&mut head));
                        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                    }
                }
            });
        }
    });
    (url, heads)
}

fn replay(url: &str, folder: &Path, arguments: &[&str]) -> (Output, Value) {
    let summary = folder.join("summary.json");
    let output = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
        .env_remove("SHADOWTAP_LOG")
        .args(["replay", "--to", url, "--speed", "max", "--summary"])
        .arg(&summary)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let summary = serde_json::from_slice(&fs::read(summary).unwrap_or_default()).unwrap_or_default();
    (output, summary)
}

fn line(second: u32, path: &str, method: &str, status: u16) -> String {
    format!(
        "10.0.0.7 - - [21/Nov/2026:20:00:{second:02} +0000] \"{method} {path} HTTP/1.1\" {status} 2 \"-\" \"test/1\"\n"
    )
}

#[test]
fn what_a_log_knows_is_sent_and_compared_and_the_first_line_says_what_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (url, heads) = server();
    let log: String = [
        line(1, "/a", "GET", 200),
        line(3, "/c", "GET", 404),
        line(5, "/e", "POST", 200),
        "no line of a log\n".to_owned(),
    ]
    .concat();
    fs::write(folder.path().join("one.log"), log).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all((line(2, "/b", "GET", 200) + &line(4, "/d", "GET", 200)).as_bytes()).unwrap();
    fs::write(folder.path().join("two.log.gz"), packed.finish().unwrap()).unwrap();

    let arguments = ["one.log", "two.log.gz", "--format", "combined", "--allow-writes", "--max-in-flight", "1"];
    let (output, summary) = replay(&url, folder.path(), &arguments);
    let report = String::from_utf8(output.stdout).unwrap();
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.starts_with("From access logs (combined). Known: time, client, method, target, "), "{report}");
    assert!(report.contains("1 response differs in status, of 4 compared by status alone"), "{report}");
    assert!(
        report.contains("could not be read and were passed over; line 4 (") && report.contains("no line of a log"),
        "{report}"
    );

    let heads = heads.lock().unwrap();
    let targets: Vec<&str> = heads.iter().map(|head| head.split(' ').nth(1).unwrap()).collect();
    assert_eq!(targets, ["/a", "/b", "/c", "/d"], "by time, and nothing without its body");
    assert!(heads.iter().all(|head| head.contains("\r\nUser-Agent: test/1\r\n")), "{heads:?}");

    assert_eq!(summary["access_log"]["lines"], 6);
    assert_eq!(summary["requests"]["seen"], 5);
    assert_eq!(summary["requests"]["ended"]["incomplete"]["not_logged"], 1);
    let differences = &summary["targets"][&url]["differences"];
    assert_eq!(
        (&differences["status"], &differences["headers"], &differences["body"]),
        (&1.into(), &0.into(), &0.into())
    );
    assert_eq!(differences["bodies_unknown_reasons"]["not_logged"], 4);
}

#[test]
fn a_format_that_is_missing_or_wrong_is_told_with_what_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("one.log"), line(1, "/a", "GET", 200)).unwrap();
    for (arguments, words) in [
        (&["one.log"][..], "one.log looks like an access log: say so with --format combined"),
        (&["one.log", "--format", "apache"], "--format: `apache` is no format of access logs; write haproxy"),
        (&["one.log", "--format", "combined", "-p", "80"], "does not say which server a request was sent to"),
    ] {
        let (output, _) = replay("http://127.0.0.1:1", folder.path(), arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
        assert_eq!(said.matches(words).count(), 1, "{said}");
    }
    let (output, _) = replay("http://127.0.0.1:1", folder.path(), &["one.log", "--format", "haproxy"]);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let words = "none of its 1 lines is of the format haproxy; it looks like --format combined: line 1 (no %cp that";
    assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    assert!(said.contains("nothing was sent: no line"), "{said}");
}
