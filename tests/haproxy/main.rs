//! shadowtap as the agent of a real HAProxy, with the shipped messages: what HAProxy's own log has is what was sent.
//!
//! One HAProxy plays all roles, on ports of loopback: the frontend that is shadowed, the application behind it, and the
//! target. It writes its log to a file, and loses none of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "../support/programs.rs"]
mod programs;
#[path = "../support/trials.rs"]
mod trials;

mod advice;
mod observe;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use data_encoding::HEXUPPER;
use libtest_mimic::{Arguments, Trial};
use programs::{Running, until};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use trials::{missing, trial};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haproxy");

fn main() {
    let arguments = Arguments::from_args();
    let trial = |name: &str, programs: &[&str], run: fn()| -> Trial { trial(name, &missing(programs), run) };
    let trials = vec![
        trial("the shipped configuration is one that HAProxy takes", &["haproxy"], shipped),
        trial("messages that count want the lines that count, and are taken without both", &["haproxy"], upgraded),
        trial("what HAProxy gave up telling of is counted", &["haproxy"], given_up),
        trial("20,000 requests in HAProxy's log are 20,000 requests at the target", &["haproxy"], none_missing),
        trial(
            "HTTP/1.1, HTTP/2 and TLS frontends, long bodies and chunks arrive whole",
            &["haproxy", "curl"],
            frontends,
        ),
        trial(
            "a body that does not fit is counted as cut and not sent, and an abort is nothing",
            &["haproxy"],
            cut_and_aborted,
        ),
        trial("shadowtap that is stopped costs no more than the time-out, and never an error", &["haproxy"], stopped),
        trial("an HAProxy that does not connect is missed after ten seconds", &[], missed),
        trial("what HAProxy tells over a socket is recorded", &["haproxy"], recorded),
        trial(
            "the lines of an advice are taken by a real HAProxy and do what they say",
            &["haproxy", "socat"],
            advice::taken_by_haproxy,
        ),
        trial(
            "a real HAProxy with observe layer7 marks the same server down as is said",
            &["haproxy"],
            observe::marked_down,
        ),
        trial("a server that is slow but answers 200 is told, and HAProxy keeps it up", &["haproxy"], observe::slow),
        trial("nothing is advised on too few, or beyond what was tried", &["haproxy"], advice::not_ready),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Ports that are free now.
fn ports<const N: usize>() -> [u16; N] {
    let all = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    all.map(|listener| listener.local_addr().unwrap().port())
}

/// HAProxy with its frontend, application and target, and shadowtap beside it.
struct Rig {
    folder: tempfile::TempDir,
    www: u16,
    http2: u16,
    tls: u16,
    shadow: Option<Running>,
    _haproxy: Running,
}

impl Rig {
    /// Starts both; shadowtap listens at a socket, or at a port, and is given these arguments.
    fn start(socket: bool, arguments: &[&str]) -> Self {
        Self::start_as(socket, arguments, &[])
    }

    /// The same with an HAProxy that waits for its agent however long that takes, such as on a machine that is busy elsewhere.
    fn start_patient() -> Self {
        let changes = [
            ("timeout    hello      100ms", "timeout hello 60s"),
            ("timeout    processing 5ms", "timeout processing 60s"),
            ("timeout connect 100ms", "timeout connect 60s"),
            ("fall 2", "fall 1000"),
        ];
        Self::start_as(false, &[], &changes)
    }

    fn start_as(socket: bool, arguments: &[&str], changes: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let [www, http2, tls, app, target, spoe] = ports();
        let path = folder.path().join("spoe.sock");
        let (listen, connect) = if socket {
            (format!("unix:{}", path.display()), format!("unix@{}", path.display()))
        } else {
            (format!("127.0.0.1:{spoe}"), format!("127.0.0.1:{spoe}"))
        };
        let to = format!("http://127.0.0.1:{target}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
        if arguments.first() == Some(&"record") {
            command.args(arguments);
        } else {
            command.args(["shadow", "--to", &to, "--allow-writes", "--guard", "off"]).args(arguments);
        }
        let shadow = command
            .args(["--spoe", &listen, "--control", "off", "--summary", "summary.json"])
            .env_remove("SHADOWTAP_LOG")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("report")).unwrap())
            .stderr(File::create(folder.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        let shadow = Running(shadow);
        until("shadowtap to listen", || {
            if socket { path.exists() } else { TcpStream::connect(("127.0.0.1", spoe)).is_ok() }
        });
        let haproxy = haproxy(folder.path(), [www, http2, tls, app, target], &connect, changes);
        until("HAProxy to listen", || TcpStream::connect(("127.0.0.1", www)).is_ok());
        // The socket is there before it is listened on with its last rights.
        let rig = Self { folder, www, http2, tls, shadow: Some(shadow), _haproxy: haproxy };
        let mut number = 0..;
        until("HAProxy to find its agent", || {
            rig.get(&format!("/warm/{}", number.next().unwrap()));
            rig.log("target").iter().any(|line| line.contains("/warm")) || arguments.first() == Some(&"record")
        });
        rig
    }

    /// The lines of HAProxy's log that one of its frontends wrote, without their first word.
    fn log(&self, frontend: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("haproxy.log")).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix(&format!("{frontend} "))).map(str::to_owned).collect()
    }

    /// Asks over a connection of its own; returns the status.
    fn get(&self, target: &str) -> u16 {
        let mut client = Client::new(self.www);
        client.ask(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"), &[])
    }

    /// Ends shadowtap, and returns its summary and its report.
    fn end(&mut self) -> (Value, String) {
        let mut shadow = self.shadow.take().unwrap();
        shadow.signal("INT");
        until("shadowtap to end", || shadow.0.try_wait().unwrap().is_some());
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let summary = serde_json::from_str(&read("summary.json")).unwrap_or_else(|_| panic!("{}", read("errors")));
        let report = read("report") + &read("errors");
        (summary, report.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// Starts HAProxy with the shipped messages, but for these changes of either file.
fn haproxy(folder: &Path, [www, http2, tls, app, target]: [u16; 5], spoe: &str, changes: &[(&str, &str)]) -> Running {
    let patched = |text: String| changes.iter().fold(text, |text, (shipped, instead)| text.replace(shipped, instead));
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("site.pem"), key.cert.pem() + &key.signing_key.serialize_pem()).unwrap();
    let messages = fs::read_to_string(format!("{SHIPPED}/spoe-shadowtap.conf")).unwrap();
    let messages = messages.replace(
        "    timeout    hello",
        "    option     set-total-time total\n    option     set-on-error error\n    timeout    hello",
    );
    fs::write(folder.join("spoe.conf"), patched(messages)).unwrap();
    let shipped = fs::read_to_string(format!("{SHIPPED}/haproxy.cfg")).unwrap();
    let binds = format!(
        "bind 127.0.0.1:{www}\n    bind 127.0.0.1:{http2} proto h2\n    bind 127.0.0.1:{tls} ssl crt {}/site.pem alpn h2,http/1.1\n    \
         log stdout format raw local0\n    log-format \"www %HM %HU %ST %[var(txn.shadowtap.total)] %[var(txn.shadowtap.error)]\"",
        folder.display()
    );
    let config = shipped
        .replace("global\n", "global\n    nbthread 1\n    stats timeout 1s\n")
        .replace("bind :8080                                              # CHANGE", &binds)
        .replace("/etc/haproxy/spoe-shadowtap.conf", &folder.join("spoe.conf").display().to_string())
        .replace("127.0.0.1:8081", &format!("127.0.0.1:{app}"))
        .replace("127.0.0.1:9100 check inter 1s", &format!("{spoe} check inter 200ms"));
    let more = format!(
        "\nfrontend application\n    bind 127.0.0.1:{app}\n    http-request return status 200 content-type text/plain string \"hello\"\n\
         \nfrontend target\n    bind 127.0.0.1:{target}\n    option http-buffer-request\n    log stdout format raw local0\n    \
         http-request set-var(txn.sum) req.body,sha2(256),hex\n    \
         log-format \"target %HM %HU %[var(txn.sum)]\"\n    \
         http-request return status 200 content-type text/plain string \"hello\"\n"
    );
    fs::write(folder.join("haproxy.cfg"), patched(config) + &more).unwrap();
    let log = File::create(folder.join("haproxy.log")).unwrap();
    let errors = File::create(folder.join("haproxy.errors")).unwrap();
    let mut command = haproxy_command(&folder.join("haproxy.cfg"));
    Running(command.stdout(log).stderr(errors).spawn().unwrap())
}

/// HAProxy in the foreground with this configuration.
fn haproxy_command(config: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["-db", "-f"]).arg(config).stdin(Stdio::null());
    command
}

/// HAProxy is where only root's PATH looks.
fn program() -> PathBuf {
    ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or("haproxy".into())
}

/// A connection that is kept alive.
struct Client {
    lines: BufReader<TcpStream>,
    to: TcpStream,
}

impl Client {
    fn new(port: u16) -> Self {
        let to = TcpStream::connect(("127.0.0.1", port)).unwrap();
        Self { lines: BufReader::new(to.try_clone().unwrap()), to }
    }

    /// Sends a request and reads the response to its end; returns the status.
    fn ask(&mut self, head: &str, body: &[u8]) -> u16 {
        self.to.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest.split(' ').next().unwrap().trim().parse().unwrap();
            }
            if let Some(rest) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = rest.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        self.lines.read_exact(&mut vec![0; length]).unwrap();
        status
    }
}

/// How often each line occurs, by its first two words: method and target.
fn counts(lines: &[String]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for line in lines {
        *all.entry(line.split(' ').take(2).collect::<Vec<_>>().join(" ")).or_default() += 1;
    }
    all
}

fn shipped() {
    let (taken, said) = check(|_, text| text);
    assert!(taken, "{said}");
}

fn upgraded() {
    let old_config = |text: String| {
        let (text, _) = text.split_once("\n# One number").unwrap();
        lines(text, |line| !line.contains("track-sc2") && !line.contains("proc.shadowtap"))
    };
    let (taken, said) = check(|name, text| if name == "haproxy.cfg" { old_config(text) } else { text });
    assert!(!taken && said.contains("unable to find table 'shadowtap-count'"), "as docs/haproxy.md has it: {said}");
    let (taken, said) = check(|name, text| {
        if name == "haproxy.cfg" {
            return old_config(text);
        }
        text.replace(" process=var(proc.shadowtap) count=int(1),table_http_req_cnt(shadowtap-count)", "")
    });
    assert!(taken, "{said}");
}

/// The lines of a text that are to stay.
fn lines(text: &str, stay: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| stay(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Whether HAProxy takes the shipped files, each changed by its name and text, and what it says of them.
fn check(change: impl Fn(&str, String) -> String) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["haproxy.cfg", "spoe-shadowtap.conf"] {
        let text = fs::read_to_string(format!("{SHIPPED}/{name}")).unwrap();
        let text = change(name, text.replace("/etc/haproxy", &folder.path().display().to_string()));
        fs::write(folder.path().join(name), text).unwrap();
    }
    let output = Command::new(program()).args(["-c", "-f"]).arg(folder.path().join("haproxy.cfg")).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn none_missing() {
    let mut rig = Rig::start_patient();
    let www = rig.www;
    let agent = rig.shadow.as_ref().unwrap().id();
    // As it was started, whatever that was; none goes beyond 19.
    let usual = niceness(agent, "signals");
    until("all others to let HAProxy go first", || niceness(agent, "capture") == (usual + 10).min(19));
    if Command::new("prlimit").args(["--nice=30:30", "true"]).status().is_ok_and(|status| status.success()) {
        assert_eq!(niceness(agent, "spoe"), usual - 10, "it comes before others, though the rights are gone");
    }
    let is_sent = |part: &str| rig.log("target").iter().filter(|line| line.contains(part)).count() == 500;
    thread::scope(|scope| {
        for client in 0..4 {
            let is_sent = &is_sent;
            scope.spawn(move || {
                for part in 0..10_u32 {
                    // No more at once than what there is room for, where the program does not get to read it.
                    if let Some(before) = part.checked_sub(2) {
                        until("an earlier part to be sent", || is_sent(&format!(" /n/{client}/{before}/")));
                    }
                    let mut connection = Client::new(www);
                    for n in 0..500 {
                        let head =
                            format!("GET /n/{client}/{part}/{n} HTTP/1.1\r\nHost: h\r\nUser-Agent: test\r\n\r\n");
                        assert_eq!(connection.ask(&head, &[]), 200);
                    }
                }
            });
        }
    });
    until("all to be logged", || rig.log("www").len() >= 20_000);
    until("all to be sent", || rig.log("target").iter().filter(|line| line.contains("/n/")).count() >= 20_000);
    let (summary, report) = rig.end();
    let only = |lines: Vec<String>| counts(&lines.into_iter().filter(|line| line.contains("/n/")).collect::<Vec<_>>());
    let (logged, sent) = (only(rig.log("www")), only(rig.log("target")));
    assert!(logged.len() == 20_000 && logged == sent, "{} logged, {} sent", logged.len(), sent.len());
    let spoe = &summary["spoe"];
    for count in ["shed", "cut", "orphans", "unread", "missed"] {
        assert_eq!(spoe[count], 0, "{count}: {summary}");
    }
    assert_eq!(spoe["requests"], summary["requests"]["seen"]);
    assert_eq!(spoe["responses"], spoe["requests"], "{report}");
    let target = summary["targets"].as_object().unwrap().values().next().unwrap();
    assert_eq!(target["differences"]["compared"], spoe["requests"]);
    assert_eq!(target["differences"]["status"], 0, "{report}");
    assert!(report.contains("From HAProxy (SPOE). Order and case of header names are HAProxy's"), "{report}");
}

/// Niceness of a thread, by its name (proc(5)).
fn niceness(process: u32, thread: &str) -> i32 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stats = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap());
    let of = |stat: String| {
        let (_, rest) = stat.split_once(&format!("({thread}) "))?;
        rest.split(' ').nth(16).map(|nice| nice.parse().unwrap())
    };
    stats.into_iter().find_map(of).unwrap()
}

fn frontends() {
    let mut rig = Rig::start(false, &[]);
    let body: Vec<u8> = (0..60_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    fs::write(rig.folder.path().join("body"), &body).unwrap();
    let sum = HEXUPPER.encode(&Sha256::digest(&body));
    let data = format!("@{}", rig.folder.path().join("body").display());
    let posts = |url: &str, more: &[&str]| {
        let output = Command::new("curl").args(["-sS", "-k", "--data-binary", &data, url]).args(more).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (www, http2, tls) = (rig.www, rig.http2, rig.tls);
    posts(&format!("http://127.0.0.1:{www}/one?a=b"), &["--http1.1"]);
    posts(&format!("http://127.0.0.1:{www}/chunks"), &["--http1.1", "-H", "Transfer-Encoding: chunked"]);
    posts(&format!("http://127.0.0.1:{http2}/two"), &["--http2-prior-knowledge"]);
    posts(&format!("https://127.0.0.1:{tls}/tls1"), &["--http1.1"]);
    posts(&format!("https://127.0.0.1:{tls}/tls2"), &["--http2"]);
    let found = |target: &str| rig.log("target").iter().any(|line| *line == format!("POST {target} {sum}"));
    for target in ["/one?a=b", "/chunks", "/two", "/tls1", "/tls2"] {
        until(target, || found(target));
    }
    let (summary, report) = rig.end();
    assert_eq!(summary["spoe"]["cut"], 0, "{report}");
}

fn cut_and_aborted() {
    let mut rig = Rig::start(false, &[]);
    let body = vec![b'x'; 200_000];
    let head = |target: &str| format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    assert_eq!(Client::new(rig.www).ask(&head("/long"), &body), 200);
    let mut aborted = Client::new(rig.www);
    aborted.to.write_all(&[head("/aborted").as_bytes(), &body[..1000]].concat()).unwrap();
    drop(aborted);
    assert_eq!(rig.get("/last"), 200);
    until("the last to be sent", || rig.log("target").iter().any(|line| line.contains("/last")));
    let (summary, report) = rig.end();
    assert_eq!(summary["spoe"]["cut"], 1, "{report}");
    assert_eq!(summary["requests"]["ended"]["incomplete"]["cut"], 1);
    assert!(
        report.contains("came cut, and are not sent (the first: POST /long, ") && report.contains("tune.bufsize"),
        "{report}"
    );
    assert!(!rig.log("target").iter().any(|line| line.contains("/long") || line.contains("/aborted")));
}

fn stopped() {
    let mut rig = Rig::start(false, &[]);
    rig.shadow.as_ref().unwrap().signal("STOP");
    let mut client = Client::new(rig.www);
    for n in 0..100 {
        assert_eq!(client.ask(&format!("GET /stopped/{n} HTTP/1.1\r\nHost: h\r\n\r\n"), &[]), 200);
    }
    rig.shadow.as_ref().unwrap().signal("CONT");
    until("all to be logged", || rig.log("www").iter().filter(|line| line.contains("/stopped/")).count() == 100);
    // What HAProxy itself says that it waited, of request and response together, in milliseconds.
    let waited = |line: &String| line.split(' ').nth(3)?.parse::<u64>().ok();
    let mut waits: Vec<u64> =
        rig.log("www").iter().filter(|line| line.contains("/stopped/")).filter_map(waited).collect();
    waits.sort_unstable();
    assert!(!waits.is_empty(), "{:?}", rig.log("www").last());
    // Twice the time-out, and what HAProxy's clock of milliseconds adds to each.
    assert!(waits[waits.len() / 2] <= 15, "{waits:?}");
    until("HAProxy to come back", || {
        rig.get("/back");
        rig.log("target").iter().any(|line| line.contains("/back"))
    });
    rig.end();
}

fn given_up() {
    /// More than all that the buffers of a connection hold.
    const REQUESTS: usize = 300;
    let mut rig = Rig::start(false, &[]);
    let agent = rig.shadow.as_ref().unwrap();
    agent.signal("STOP");
    let (mut client, body) = (Client::new(rig.www), vec![b'x'; 60_000]);
    for n in 0..REQUESTS {
        let head = format!("POST /given-up/{n} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
        assert_eq!(client.ask(&head, &body), 200);
    }
    agent.signal("CONT");
    // The last one has to be told of in full: what is missed behind that nobody knows.
    let mut number = 0..;
    until("HAProxy to come back", || {
        let last = format!("GET /back/{} ", number.next().unwrap());
        rig.get(last.split(' ').nth(1).unwrap());
        until("it to be logged", || rig.log("www").iter().any(|line| line.starts_with(&last)));
        let is_well = rig.log("www").iter().any(|line| line.starts_with(&last) && line.ends_with(" -"));
        let is_sent = || rig.log("target").iter().any(|line| line.starts_with(&last));
        is_well
            && (0..100).any(|_| {
                thread::sleep(Duration::from_millis(20));
                is_sent()
            })
    });
    let (summary, report) = rig.end();
    let spoe = &summary["spoe"];
    let (told, missed) = (spoe["requests"].as_u64().unwrap(), spoe["missed"].as_u64().unwrap());
    // From the first one on that it was told of.
    let first = rig.log("target").swap_remove(0).split(' ').nth(1).unwrap().to_owned();
    let logged = rig.log("www").into_iter().skip_while(|line| line.split(' ').nth(1) != Some(&first)).count() as u64;
    assert!(missed > 0 && told + missed == logged, "{told} told, {missed} missed, {logged} logged: {report}");
    let words = format!("HAProxy told of {told} of {logged} requests, and gave up on the rest");
    assert!(report.contains(&words) && report.contains("`timeout processing`"), "{report}");
}

fn missed() {
    let [spoe, target] = ports();
    let arguments = ["--spoe", &format!("127.0.0.1:{spoe}"), "--to", &format!("http://127.0.0.1:{target}")];
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    let output = command.arg("shadow").args(arguments).args(["--duration", "11s", "--quiet"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("warning: no request for 10 s: HAProxy did not connect: is its backend"), "{told}");
}

fn recorded() {
    let mut rig = Rig::start(true, &["record", "-o", "x.gor"]);
    until("HAProxy to find its agent", || {
        rig.get("/recorded?x=y");
        fs::read(rig.folder.path().join("x.gor"))
            .is_ok_and(|gor| String::from_utf8_lossy(&gor).contains("GET /recorded?x=y HTTP/1.1"))
    });
    let (summary, report) = rig.end();
    assert_eq!(summary["recording"]["requests"], summary["requests"]["seen"], "{report}");
    let gor = fs::read_to_string(rig.folder.path().join("x.gor")).unwrap();
    assert!(gor.contains("HTTP/1.1 200 ") && gor.contains("hello"), "{gor}");
}
