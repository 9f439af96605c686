//! A run that is shown where others reach it: who gets what, and how little one of them can take.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use tokio::time::Instant;

use crate::run::{Run, body, exchanged};

/// The word of a token file.
const WORD: &str = "correct-horse-battery-staple";
/// The word of another one.
const OTHER_WORD: &str = "another-horse-another-staple";

/// Longer than anything here may take on a machine that has much else to do.
const VERY_LATE: Duration = Duration::from_secs(120);

/// Half of a request.
const HALF: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-";

fn word_file(folder: &tempfile::TempDir, name: &str, word: &str) -> String {
    let file = folder.path().join(name);
    std::fs::write(&file, word).unwrap();
    file.to_str().unwrap().to_owned()
}

#[track_caller]
fn status(run: &Run, path: &str, lines: &str, expected: &str) -> String {
    let answer = run.ask("GET", path, lines, "");
    assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{path} {lines:?}: {answer}");
    answer
}

fn bearer(word: &str) -> String {
    format!("Host: 127.0.0.1\r\nAuthorization: Bearer {word}\r\n")
}

const ANY_HOST: &str = "Host: node1.example\r\n";

pub(crate) fn closed() {
    let without = Run::open(&[]);
    without.until_sent();
    for path in ["/", "/events"] {
        let answer = status(&without, path, &without.host(), "403");
        assert!(answer.contains("--control-token-file"), "{answer}");
        status(&without, path, &bearer(WORD), "403");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        status(&without, path, ANY_HOST, "200");
    }
    drop(without);

    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(&["--control-token-file", &word_file(&folder, "token", WORD)]);
    run.until_sent();
    for lines in [run.host(), bearer(""), bearer("correct-horse-battery-stapl"), bearer(OTHER_WORD)] {
        let page = status(&run, "/", &lines, "401").to_lowercase();
        assert!(page.contains("www-authenticate: bearer") && page.contains("data-locked"), "{page}");
        assert!(!page.contains("data-first") && !page.contains("data-token") && !page.contains("set-cookie"), "{page}");
        assert!(!status(&run, "/events", &lines, "401").contains("data:"));
    }
    status(&run, "/", &format!("{}Cookie: token={WORD}\r\n", run.host()), "401");
    let page = status(&run, "/", &bearer(WORD), "200");
    assert!(page.contains("data-first") && !page.contains(WORD), "{page}");
    for path in ["/metrics", "/healthz", "/readyz"] {
        status(&run, path, ANY_HOST, "200");
    }
    assert_eq!(body(&status(&run, "/healthz", ANY_HOST, "200")), "ok\n");
}

pub(crate) fn metrics_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (control, metrics) = (word_file(&folder, "control", WORD), word_file(&folder, "metrics", OTHER_WORD));
    let run = Run::open(&["--control-token-file", &control, "--metrics-token", &metrics]);
    for path in ["/metrics", "/healthz", "/readyz"] {
        status(&run, path, ANY_HOST, "401");
        status(&run, path, &bearer("something-else-entirely"), "401");
        status(&run, path, &bearer(OTHER_WORD), "200");
        status(&run, path, &bearer(WORD), "200");
    }
    status(&run, "/events", &bearer(OTHER_WORD), "401");
    let answer = run.ask("POST", "/control/stop", &bearer(OTHER_WORD), "");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

/// A connection that comes from this address of this machine.
fn connection_from(from: Ipv4Addr, run: &Run) -> TcpStream {
    let to: SocketAddr = run.address.replace("0.0.0.0", "127.0.0.1").parse().unwrap();
    let made = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&made, &SocketAddrV4::new(from, 0)).unwrap();
    connect(&made, &to).unwrap();
    TcpStream::from(made)
}

fn half_request(from: Ipv4Addr, run: &Run) -> TcpStream {
    let mut stream = connection_from(from, run);
    stream.write_all(HALF).unwrap();
    stream
}

/// A whole request is answered.
fn scrapes(from: Ipv4Addr, run: &Run) {
    let mut stream = connection_from(from, run);
    stream.set_read_timeout(Some(VERY_LATE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{from}: {answer}");
}

fn is_open(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    matches!(stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

pub(crate) fn half_requests() {
    let run = Run::open(&[]);
    let (one, other) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let mut half: Vec<TcpStream> = (0..64).map(|_| half_request(one, &run)).collect();
    scrapes(other, &run);
    scrapes(one, &run);
    assert!(half.iter_mut().any(is_open), "others were answered only once these had timed out");
    half.extend((0..200).map(|number| half_request(Ipv4Addr::new(127, 0, 1, number), &run)));
    scrapes(other, &run);
    scrapes(one, &run);
    assert!(half.iter_mut().any(is_open), "others were answered only once these had timed out");
}

/// Time until the other side closes.
fn closes_after(mut stream: TcpStream) -> Duration {
    let begun = Instant::now();
    stream.set_read_timeout(Some(VERY_LATE)).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it is still open"),
        _ => begun.elapsed(),
    }
}

pub(crate) fn timed() {
    let run = Run::endless(&crate::run::stack(), &["--rate", "100/s"]);
    let connect = || TcpStream::connect(&run.address).unwrap();
    let (silent, mut half, mut slow, mut idle, mut events) = (connect(), connect(), connect(), connect(), connect());
    half.write_all(HALF).unwrap();
    let slowly = slow.try_clone().unwrap();
    slow.write_all(HALF).unwrap();
    let drips = thread::spawn(move || {
        // A byte now and then is no progress.
        while slow.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(200));
        }
    });
    write!(idle, "GET /healthz HTTP/1.1\r\n{}\r\n", run.host()).unwrap();
    write!(events, "GET /events HTTP/1.1\r\n{}\r\n", run.host()).unwrap();
    let waits = [silent, half, slowly].map(|stream| thread::spawn(move || closes_after(stream)));
    let idle = thread::spawn(move || closes_after(idle));
    for wait in waits {
        let after = wait.join().unwrap();
        assert!(after >= Duration::from_secs(4), "{after:?}: a head may take five seconds");
    }
    drips.join().unwrap();
    let after = idle.join().unwrap();
    assert!(after >= Duration::from_secs(25), "{after:?}: a connection may rest for thirty seconds");
    // By now these have gone on for longer than any other connection may.
    events.set_read_timeout(Some(VERY_LATE)).unwrap();
    let mut seen = Vec::new();
    let mut some = vec![0; 64 * 1024];
    while seen.windows(6).filter(|bytes| bytes == b"data: ").count() < 32 {
        let read = events.read(&mut some).unwrap();
        assert!(read > 0, "the events have ended");
        seen.extend_from_slice(&some[..read]);
    }
}

pub(crate) fn one_protocol() {
    let run = Run::endless(&crate::run::stack(), &["--rate", "100/s"]);
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    let mut stream = TcpStream::connect(&run.address).unwrap();
    stream.write_all(preface.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // Whether it is closed in order or not says nothing.
    stream.read_to_end(&mut answer).ok();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
    let upgrade = format!(
        "GET /metrics HTTP/1.1\r\n{}Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        run.host()
    );
    let answer = exchanged(&run.address, &upgrade).unwrap();
    assert!(!answer.starts_with("HTTP/1.1 101"), "{answer}");
    let old = exchanged(&run.address, &format!("GET /metrics HTTP/1.0\r\n{}\r\n", run.host())).unwrap();
    assert!(old.contains(" 505 ") && !old.contains("shadowtap_"), "{old}");
}
