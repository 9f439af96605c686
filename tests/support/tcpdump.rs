//! Captures on loopback made by tcpdump, and programs that end with their trial.
#![allow(clippy::unwrap_used, reason = "what breaks here fails its trial")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

/// A program that ends with its trial, whatever becomes of that.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Sends the signal and waits for the end.
    pub(crate) fn end(&mut self, signal: &str) {
        Command::new("kill").args([&format!("-{signal}"), &self.0.id().to_string()]).status().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.end("TERM");
        }
    }
}

/// tcpdump on loopback.
pub(crate) struct Recording {
    running: Running,
    said: BufReader<ChildStderr>,
}

impl Recording {
    /// Starts to record what goes over `port`; `None` where tcpdump may not. It says so by starting to listen.
    pub(crate) fn start(file: &Path, port: u16) -> Option<Self> {
        let mut child = Command::new("tcpdump")
            .args(["-i", "lo", "-s", "0", "-B", "65536", "-U", "--immediate-mode", "-Z", "root", "-w"])
            .arg(file)
            .arg(format!("tcp port {port}"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut said = BufReader::new(child.stderr.take()?);
        let running = Running(child);
        let mut line = String::new();
        while said.read_line(&mut line).ok()? > 0 {
            if line.contains("listening on") {
                return Some(Self { running, said });
            }
            line.clear();
        }
        None
    }

    /// Ends tcpdump once what was under way is on file; returns how many packets it dropped.
    pub(crate) fn stop(mut self) -> u64 {
        std::thread::sleep(Duration::from_millis(300));
        self.running.end("INT");
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        let dropped = rest.lines().find(|line| line.contains("dropped by kernel")).unwrap_or_else(|| panic!("{rest}"));
        dropped.split(' ').next().unwrap().parse().unwrap()
    }
}

/// Whether tcpdump can open the loopback interface.
pub(crate) fn may_capture() -> bool {
    let folder = tempfile::tempdir().unwrap();
    Recording::start(&folder.path().join("try.pcap"), 9).is_some_and(|recording| {
        recording.stop();
        true
    })
}
