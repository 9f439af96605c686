//! A `nats-server` that is started, killed and started again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::programs::until;

/// A server with its own folder; it ends with the value.
pub(crate) struct Nats {
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Nats {
    /// Starts one with JetStream.
    pub(crate) fn start() -> Self {
        Self::with(&["-js"])
    }

    /// Starts one with these arguments.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self { child: None, port: free_port(), folder: tempfile::tempdir().unwrap(), arguments };
        server.start_again();
        server
    }

    pub(crate) fn start_again(&mut self) {
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"])
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        until("nats-server to listen", || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok());
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        self.child.take().unwrap().wait().unwrap();
    }

    /// Has it forget who reads the recording, as it does of itself after a minute without a question.
    pub(crate) fn forget_readers(&self, name: &str) {
        let ask = |what: String| ask_server(self.port, &format!("CONSUMER.{what}"), "").unwrap();
        let readers = ask(format!("NAMES.shadowtap-{name}"));
        let readers = readers["consumers"].as_array().unwrap();
        assert!(!readers.is_empty(), "nobody reads {name}");
        for reader in readers {
            let answer = ask(format!("DELETE.shadowtap-{name}.{}", reader.as_str().unwrap()));
            assert_eq!(answer["success"], true, "{answer}");
        }
    }

    /// Asks it something of JetStream, and expects it to be content.
    #[track_caller]
    pub(crate) fn ask(&self, what: &str, body: &str) -> Value {
        let answer = ask_server(self.port, what, body).unwrap();
        assert!(answer.get("error").is_none(), "{what}: {answer}");
        answer
    }

    /// Publishes `count` messages of so many bytes.
    pub(crate) fn fill(&self, subject: &str, count: usize, bytes: usize) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
        for _ in 0..count {
            write!(stream, "PUB {subject} {bytes}\r\n{}\r\n", "x".repeat(bytes)).unwrap();
        }
        stream.write_all(b"PING\r\n").unwrap();
        BufReader::new(stream).lines().map(Result::unwrap).find(|line| line == "PONG").unwrap();
    }

    /// Kills it at once; what it has stored stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The URL of a recording.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("nats://127.0.0.1:{}/{name}", self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks a server something of JetStream, and returns its answer; nothing where there is none for some seconds.
pub(crate) fn ask_server(port: u16, what: &str, body: &str) -> Option<Value> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    write!(stream, "CONNECT {{\"verbose\":false}}\r\nSUB answers 1\r\nPUB $JS.API.{what} answers {}\r\n", body.len())
        .unwrap();
    write!(stream, "{body}\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.find(|line| line.starts_with("MSG answers"))?;
    serde_json::from_str(&lines.next()?).ok()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
