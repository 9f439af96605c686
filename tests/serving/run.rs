//! A run to watch: a replay that goes on for a while, and the stack that it goes to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::files::testdata;
use crate::{Running, until};

/// The address of a stack that answers everything alike, for as long as this process runs.
pub(crate) fn stack() -> String {
    stack_that(|| "200 OK")
}

/// The address of a stack that answers each request with the status that `answers` has at that time.
pub(crate) fn stack_that(answers: impl Fn() -> &'static str + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = Arc::new(answers);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || answer(stream, &*answers));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, answers: &impl Fn() -> &'static str) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    let mut is_head = false;
    while lines.read_line(&mut line).ok()? > 0 {
        is_head |= line.starts_with("HEAD ");
        if line == "\r\n" {
            let body = if is_head { "" } else { "hello" };
            let answer = format!("HTTP/1.1 {}\r\nContent-Length: 5\r\n\r\n{body}", answers());
            stream.write_all(answer.as_bytes()).ok()?;
            is_head = false;
        }
        line.clear();
    }
    Some(())
}

/// What comes back for these bytes, sent to an address; nothing where nobody answers there.
pub(crate) fn exchanged(address: &str, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// A replay that is shown at an address of its own.
pub(crate) struct Run {
    process: Running,
    pub(crate) address: String,
    folder: tempfile::TempDir,
    _said: BufReader<ChildStderr>,
}

impl Run {
    /// One of some half a minute, to a stack where all is well.
    pub(crate) fn start() -> Self {
        Self::replay(&stack(), &["--speed", "0.25x", "--sample", "50%"])
    }

    /// One that goes on until it is stopped.
    pub(crate) fn endless(to: &str, args: &[&str]) -> Self {
        Self::replay(to, &[&["--loop", "100000"], args].concat())
    }

    /// An endless one that is shown at an address that others reach, too.
    pub(crate) fn open(args: &[&str]) -> Self {
        Self::replay_at("0.0.0.0:0", &stack(), &[&["--loop", "100000", "--rate", "100/s"], args].concat())
    }

    fn replay(to: &str, args: &[&str]) -> Self {
        Self::replay_at("127.0.0.1:0", to, args)
    }

    fn replay_at(address: &str, to: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
            .arg("replay")
            .arg(testdata("demo.pcap.zst"))
            .args(["--to", to, "--quiet", "--metrics", address])
            .args(args)
            .arg("--summary")
            .arg(folder.path().join("run.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let process = Running(process);
        let mut line = String::new();
        while said.read_line(&mut line).unwrap() > 0 && !line.contains("metrics at http://") {
            line.clear();
        }
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        let run = Self { process, address, folder, _said: said };
        until("the first scrape", || (!run.get("/metrics").starts_with("HTTP/1.1 503")).then_some(()));
        run
    }

    /// What is answered to a request with these header lines.
    pub(crate) fn ask(&self, method: &str, path: &str, lines: &str, body: &str) -> String {
        let len = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\nContent-Length: {len}\r\n\r\n");
        exchanged(&self.address, &(head + body)).unwrap()
    }

    pub(crate) fn host(&self) -> String {
        format!("Host: {}\r\n", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.ask("GET", path, &self.host(), "")
    }

    /// The value of a sample without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics");
        let line =
            page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}: {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.metric("shadowtap_paused") > 0.5
    }

    /// The share that the sample is asked for.
    pub(crate) fn share(&self) -> f64 {
        self.metric("shadowtap_sample_asked_ratio")
    }

    /// Waits until something has been sent.
    pub(crate) fn until_sent(&self) {
        until("a request that is sent", || (self.metric("shadowtap_requests_offered_total") > 0.0).then_some(()));
    }

    pub(crate) fn until_paused(&self, paused: bool) {
        until("the pause, or its end", || (self.is_paused() == paused).then_some(()));
    }

    /// The header lines with which the page would send a wish.
    pub(crate) fn bearer(&self) -> String {
        let page = self.get("/");
        let token = page.split("data-token=\"").nth(1).unwrap().split('"').next().unwrap();
        format!("{}Authorization: Bearer {token}\r\n", self.host())
    }

    #[track_caller]
    pub(crate) fn wishes(&self, what: &str, body: &str, status: &str) {
        let answer = self.ask("POST", &format!("/control/{what}"), &self.bearer(), body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {answer}");
    }

    /// Waits for the end; returns the exit code and the summary.
    pub(crate) fn end(mut self) -> (Option<i32>, Value) {
        let status = until("the end of the run", || self.process.0.try_wait().unwrap());
        let summary = std::fs::read(self.folder.path().join("run.json")).unwrap();
        (status.code(), serde_json::from_slice(&summary).unwrap())
    }
}
