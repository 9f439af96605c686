//! What HAProxy would have done, beside what a real one does: `observe layer7` in front of a server, and shadowtap that
//! sends the same requests to the same server.
//!
//! The server fails for a while. HAProxy's log has when it marked it down and up, and which requests found no server.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Client, Running, SHIPPED, haproxy_command, ports, until};

/// The server line, for HAProxy and for shadowtap.
const SERVER: &str = "inter 500ms rise 2 fall 3 observe layer7 error-limit 10 on-error mark-down";
const RULE: &str = "inter 500ms, rise 2, fall 3, error-limit 10, on-error mark-down, p99>150ms/1s";
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// How the server answers.
const WELL: u64 = 0;
const FAILS: u64 = 1;
const SLOW: u64 = 2;

/// A server that answers as it is told to, checks as well as requests.
fn server(port: u16) -> Arc<AtomicU64> {
    let how = Arc::new(AtomicU64::new(WELL));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let told = Arc::clone(&how);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, told) = (stream.unwrap(), Arc::clone(&told));
            thread::spawn(move || answer(&stream, &told));
        }
    });
    how
}

fn answer(stream: &TcpStream, how: &AtomicU64) {
    let (mut lines, mut to, mut head) = (BufReader::new(stream.try_clone().unwrap()), stream, String::new());
    while lines.read_line(&mut head).is_ok_and(|read| read > 0) {
        if !head.ends_with("\r\n\r\n") {
            continue;
        }
        head.clear();
        let how = how.load(Ordering::SeqCst);
        if how == SLOW {
            thread::sleep(Duration::from_millis(300));
        }
        let status = if how == FAILS { "500 Broken" } else { "200 OK" };
        if to.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").as_bytes()).is_err() {
            return;
        }
    }
}

/// HAProxy before the server, and shadowtap behind its SPOE.
struct Observed {
    folder: tempfile::TempDir,
    www: u16,
    how: Arc<AtomicU64>,
    shadow: Option<Running>,
    _haproxy: Running,
}

impl Observed {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [www, app, spoe] = ports();
        let how = server(app);
        let shadow = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
            .args(["shadow", "--to", &format!("http://127.0.0.1:{app}"), "--guard", "off", "--control", "off"])
            .args(["--spoe", &format!("127.0.0.1:{spoe}"), "--summary", "summary.json", "--report", "run.html"])
            .args(["--observe", RULE])
            .env_remove("SHADOWTAP_LOG")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(folder.path().join("report")).unwrap())
            .stderr(fs::File::create(folder.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        until("shadowtap to listen", || TcpStream::connect(("127.0.0.1", spoe)).is_ok());
        let config = config(folder.path(), [www, app, spoe]);
        let log = fs::File::create(folder.path().join("haproxy.log")).unwrap();
        let haproxy = haproxy_command(&config).stdout(log).spawn().unwrap();
        let observed = Self { folder, www, how, shadow: Some(Running(shadow)), _haproxy: Running(haproxy) };
        until("HAProxy to listen", || TcpStream::connect(("127.0.0.1", www)).is_ok());
        // Its check has to find the agent first.
        thread::sleep(Duration::from_secs(1));
        observed
    }

    /// Sends requests for so long, with the server in this state.
    fn send(&self, how: u64, lasts: Duration) {
        self.how.store(how, Ordering::SeqCst);
        let begun = tokio::time::Instant::now();
        let mut client = Client::new(self.www);
        let mut sent = 0;
        while begun.elapsed() < lasts {
            client.ask(&format!("GET /{how}/{sent} HTTP/1.1\r\nHost: h\r\n\r\n"), &[]);
            sent += 1;
            thread::sleep(PAUSE);
        }
    }

    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("haproxy.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Ends shadowtap; what it says of the server, and its report.
    fn end(&mut self) -> (Value, String) {
        let mut shadow = self.shadow.take().unwrap();
        shadow.signal("INT");
        until("shadowtap to end", || shadow.0.try_wait().unwrap().is_some());
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let summary: Value =
            serde_json::from_str(&read("summary.json")).unwrap_or_else(|_| panic!("{}", read("errors")));
        let server = summary["observe"]["targets"].as_object().unwrap().values().next().unwrap().clone();
        assert!(read("run.html").contains("\"observe\":{\"rule\""), "the page has it too");
        (server, read("report"))
    }
}

fn config(folder: &Path, [www, app, spoe]: [u16; 3]) -> std::path::PathBuf {
    let file = folder.join("haproxy.cfg");
    let text = format!(
        "global\n    nbthread 1\n    tune.bufsize 131072\n    set-var proc.shadowtap uuid()\ndefaults\n    mode http\n    log stdout format iso local0\n    timeout connect 1s\n    timeout client 10s\n    \
         timeout server 10s\nfrontend www\n    bind 127.0.0.1:{www}\n    \
         unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid\n    option http-buffer-request\n    \
         filter spoe engine shadowtap config {SHIPPED}/spoe-shadowtap.conf\n    \
         http-request track-sc2 int(1) table shadowtap-count\n    log-format \"www %ST %s %HU\"\n    \
         default_backend app\nbackend app\n    option httpchk GET /check\n    server one 127.0.0.1:{app} check {SERVER}\n\
         backend shadowtap-spoe\n    mode tcp\n    option spop-check\n    timeout connect 1s\n    timeout server 1m\n    \
         server tap 127.0.0.1:{spoe} check inter 200ms\n\
         backend shadowtap-count\n    stick-table type integer size 1 nopurge store http_req_cnt\n"
    );
    fs::write(&file, text).unwrap();
    file
}

/// The instant of a line of HAProxy's log, in seconds.
fn instant(line: &str) -> f64 {
    let stamp =
        line.split(' ').find(|word| word.contains('T') && word.contains(':')).unwrap_or_else(|| panic!("{line}"));
    seconds(stamp.trim_start_matches(|c: char| !c.is_ascii_digit()))
}

fn seconds(at: &str) -> f64 {
    at.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{at}: {error}")).as_nanosecond() as f64 / 1e9
}

pub(super) fn marked_down() {
    let mut rig = Observed::start();
    rig.send(WELL, Duration::from_secs(2));
    rig.send(FAILS, Duration::from_secs(4));
    rig.send(WELL, Duration::from_secs(4));
    until("HAProxy to mark it up", || rig.log().iter().any(|line| line.contains("Server app/one is UP")));
    let (server, report) = rig.end();
    let log = rig.log();
    let of_server = |state: &str| {
        let found =
            log.iter().filter(|line| line.contains(&format!("Server app/one is {state}"))).map(|line| instant(line));
        found.collect::<Vec<_>>()
    };
    let (downs, ups) = (of_server("DOWN"), of_server("UP"));
    assert_eq!((downs.len(), ups.len()), (1, 1), "{log:#?}");
    let said = server["downs"].as_array().unwrap();
    assert!(said.len() == 1 && said[0]["ended"] == true, "{server}");

    // The tenth error marks down, which both see at once: a second is for the machine.
    let (down, lasted) = (seconds(said[0]["at"].as_str().unwrap()), said[0]["lasted_s"].as_f64().unwrap());
    assert!((down - downs[0]).abs() < 1.0, "said {down}, HAProxy {}", downs[0]);
    // Two checks mark up: where they fall differs by one interval and the machine.
    assert!((lasted - (ups[0] - downs[0])).abs() < 2.0, "said {lasted}, HAProxy {}", ups[0] - downs[0]);

    // What found no server there would have gone back to others: as many, but for the time that differs.
    let refused = log.iter().filter(|line| line.contains(" 503 <NOSRV> ")).count() as f64;
    let sent_back = server["sent_back"].as_f64().unwrap();
    assert!(refused > 100.0 && (0.6..1.6).contains(&(sent_back / refused)), "said {sent_back}, HAProxy {refused}");
    let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("marked down at") && words.contains("would have gone back to the other servers"),
        "{report}"
    );
}

pub(super) fn slow() {
    let mut rig = Observed::start();
    rig.send(WELL, Duration::from_secs(1));
    rig.send(SLOW, Duration::from_secs(4));
    let (server, report) = rig.end();
    assert!(!rig.log().iter().any(|line| line.contains("is DOWN")), "{:#?}", rig.log());
    assert_eq!((server["downs"].as_array().unwrap().len(), &server["sent_back"]), (0, &0.into()));
    let windows = server["slow"].as_array().unwrap();
    assert!(windows.len() >= 2 && windows.iter().all(|one| one["latency_us"].as_u64().unwrap() > 250_000), "{server}");
    let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("unseen by layer7, since the status was well"), "{report}");
}
