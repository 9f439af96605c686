//! `shadowtap control` and a run that listens to it: both the real program, over a real socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;
#[path = "support/server.rs"]
mod server;

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use files::testdata;
use server::{Server, answer};

const SHADOWTAP: &str = env!("CARGO_BIN_EXE_shadowtap");

/// A replay at a slow pace, with a control socket.
struct Replay {
    folder: tempfile::TempDir,
    child: Child,
    told: Lines<BufReader<ChildStderr>>,
}

impl Replay {
    /// It goes on, and listens.
    fn begin(target: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(SHADOWTAP);
        command.arg("replay").arg(testdata("demo.pcap.zst")).args(["--to", target, "--rate", "50/s"]).args(more);
        command.arg("--control").arg(folder.path().join("run.sock"));
        command.arg("--summary").arg(folder.path().join("run.json"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut replay = Self { folder, child, told };
        let place = replay.until("steered by: ");
        assert!(place.ends_with("run.sock"), "{place}");
        replay
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("run.sock")
    }

    /// What is told next that begins with this.
    fn until(&mut self, start: &str) -> String {
        self.told.by_ref().map(Result::unwrap).find(|line| line.starts_with(start)).unwrap()
    }

    /// Says this to it; the answer in JSON.
    fn say(&self, words: &[&str]) -> serde_json::Value {
        let output = control(&self.socket(), words, &["--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Its exit code and its summary.
    fn end(mut self) -> (i32, serde_json::Value) {
        let mut rest = String::new();
        for line in self.told.by_ref() {
            rest.push_str(&line.unwrap());
            rest.push('\n');
        }
        let code = self.child.wait().unwrap().code().unwrap();
        let mut text = String::new();
        let file = std::fs::File::open(self.folder.path().join("run.json"));
        file.unwrap_or_else(|_| panic!("{rest}")).read_to_string(&mut text).unwrap();
        assert!(!self.socket().exists(), "the socket goes with its run");
        (code, serde_json::from_str(&text).unwrap())
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        // Where the test has failed: it must not go on.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn control(socket: &Path, words: &[&str], more: &[&str]) -> Output {
    Command::new(SHADOWTAP).arg("control").args(words).arg("--socket").arg(socket).args(more).output().unwrap()
}

fn balances(summary: &serde_json::Value) {
    let sum = |ended: &serde_json::Value| -> u64 {
        let count = |value: &serde_json::Value| match value {
            serde_json::Value::Object(counts) => counts.values().map(|count| count.as_u64().unwrap()).sum(),
            count => count.as_u64().unwrap(),
        };
        ended.as_object().unwrap().values().map(count).sum()
    };
    let requests = &summary["requests"];
    let (seen, offered) = (requests["seen"].as_u64().unwrap(), requests["offered"].as_u64().unwrap());
    assert_eq!(seen, offered + requests["in_flight"].as_u64().unwrap() + sum(&requests["ended"]));
    for target in summary["targets"].as_object().unwrap().values() {
        let in_flight = target["in_flight"].as_u64().unwrap();
        assert_eq!(target["offered"].as_u64().unwrap(), in_flight + sum(&target["ended"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_turned_paused_resumed_and_stopped_by_words() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let url = server.url("http");
    let ended = tokio::task::spawn_blocking(move || {
        let mut replay = Replay::begin(&url, &["--guard", "errors>50%/10s"]);
        let status = replay.say(&["status"]);
        assert_eq!((status["share"].as_f64(), status["paused"].as_bool()), (Some(1.0), Some(false)));
        assert_eq!(status["targets"][0]["guard"]["state"], "passing");
        assert_eq!(replay.say(&["sample", "25%"])["share"].as_f64(), Some(0.25));
        assert_eq!(replay.until("control: "), "control: 100% -> 25%: set by hand");
        assert_eq!(replay.say(&["pause"])["paused"].as_bool(), Some(true));
        assert_eq!(replay.until("control: "), "control: 25% -> 0%: paused by hand");
        assert_eq!(replay.say(&["resume"])["paused"].as_bool(), Some(false));
        let plain = control(&replay.socket(), &["status"], &[]);
        assert!(String::from_utf8(plain.stdout).unwrap().starts_with("share 25%\nhttp://127.0.0.1:"), "for people");
        assert_eq!(replay.say(&["stop"])["stopping"].as_bool(), Some(true));
        replay.end()
    });
    let (code, summary) = ended.await.unwrap();
    balances(&summary);
    assert_eq!(summary["requests"]["seen"].as_u64().map(|seen| seen < 1839), Some(true), "it ended early");
    let reasons: Vec<&str> =
        summary["steps"].as_array().unwrap().iter().map(|step| step["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["set by hand", "paused by hand", "resumed by hand", "stopped by hand"]);
    assert!(code == 0 || summary["requests"]["offered"] == 0, "{code}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_does_not_understand_is_an_error_and_changes_nothing() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let url = server.url("http");
    let ended = tokio::task::spawn_blocking(move || {
        let replay = Replay::begin(&url, &[]);
        for (words, part) in [(&["sample", "25"][..], "no percent sign"), (&["halt"], "say sample 25%")] {
            let output = control(&replay.socket(), words, &[]);
            assert_eq!(output.status.code(), Some(2));
            assert!(String::from_utf8(output.stderr).unwrap().contains(part));
        }
        let second = Command::new(SHADOWTAP)
            .arg("replay")
            .arg(testdata("demo.pcap.zst"))
            .args(["--to", &url, "--control"])
            .arg(replay.socket())
            .output()
            .unwrap();
        assert_eq!(second.status.code(), Some(2));
        assert!(String::from_utf8(second.stderr).unwrap().contains("of a run that goes on"));
        replay.say(&["stop"]);
        replay.end()
    });
    let (_, summary) = ended.await.unwrap();
    balances(&summary);
    assert_eq!(summary["steps"].as_array().unwrap().len(), 1);
}

#[test]
fn a_socket_where_nobody_listens_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let output = control(&folder.path().join("run.sock"), &["status"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: no run listens at "));
}
