//! A `nats-server` that is started, killed and started again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB answers 1\r\n").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let mut ask = |what: String| -> serde_json::Value {
            write!(stream, "PUB $JS.API.CONSUMER.{what} answers 0\r\n\r\n").unwrap();
            lines.find(|line| line.starts_with("MSG answers")).unwrap();
            serde_json::from_str(&lines.next().unwrap()).unwrap()
        };
        let readers = ask(format!("NAMES.shadowtap-{name}"));
        let readers = readers["consumers"].as_array().unwrap();
        assert!(!readers.is_empty(), "nobody reads {name}");
        for reader in readers {
            let answer = ask(format!("DELETE.shadowtap-{name}.{}", reader.as_str().unwrap()));
            assert_eq!(answer["success"], true, "{answer}");
        }
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

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
