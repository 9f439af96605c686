//! Files without an end, and lines that are too long: refused or passed over, and told, in little memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

/// Runs it, with no more address space than this many MiB: what reads on without an end would fail otherwise.
fn shadowtap(mebibytes: usize, arguments: &[&str]) -> Output {
    let run = format!("ulimit -v {}; exec \"$0\" \"$@\"", mebibytes << 10);
    let mut sh = Command::new("sh");
    sh.args(["-c", &run, env!("CARGO_BIN_EXE_shadowtap")]).args(arguments).stdin(Stdio::null());
    sh.output().unwrap()
}

#[track_caller]
fn refused(arguments: &[&str], told: &[&str]) {
    let output = shadowtap(2048, arguments);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    for part in told {
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[test]
fn a_device_without_an_end_is_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let chain = folder.path().join("chain.toml");
    let of = |flag: &str, what: &str| {
        let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/get-nano.pcap");
        refused(
            &["replay", capture, "--to", "http://127.0.0.1:1", flag, "/dev/zero"],
            &["/dev/zero", "has more than", what],
        );
    };
    of("--filters", "4 MiB, the limit of a chain file");
    of("--routes", "4 MiB, the limit of a list of routes");
    of("--compare", "1 MiB, the limit of a list of rules");
    let chain_of = |text: &str, told: &[&str]| {
        fs::write(&chain, text).unwrap();
        refused(&["filters", "check", chain.to_str().unwrap()], told);
    };
    chain_of("[[link]]\nroute = { map = \"/dev/zero\" }\n", &["/dev/zero", "16 MiB, the limit of a map"]);
    refused(&["filters", "check", "/dev/zero"], &["/dev/zero", "4 MiB, the limit of a chain file"]);
    refused(
        &[
            "replay",
            "/dev/null",
            "--to",
            "http://127.0.0.1:1",
            "--metrics",
            "127.0.0.1:0",
            "--control-token-file",
            "/dev/zero",
        ],
        &["/dev/zero", "4 KiB, the limit of a token"],
    );
}

#[test]
fn a_pipe_is_a_list_as_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let write = |text: Vec<u8>| {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::OpenOptions::new().write(true).open(pipe).unwrap().write_all(&text).ok())
    };
    let writer = write(b"[[link]]\ndrop = { path = \"^/a\" }\n".to_vec());
    let output = shadowtap(2048, &["filters", "check", pipe.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    writer.join().unwrap();
    let writer = write(vec![b'#'; 5 << 20]);
    refused(&["filters", "check", pipe.to_str().unwrap()], &["4 MiB, the limit of a chain file"]);
    writer.join().unwrap();
}

/// An exchange as a line, with a request body of this many bytes.
fn line(id: &str, body: usize) -> String {
    let content = vec![b'a'; body];
    let head = format!("POST /{id} HTTP/1.1\r\nHost: tv\r\nContent-Length: {body}\r\n\r\n");
    let request = json!({ "head": BASE64_STANDARD.encode(head), "body": BASE64_STANDARD.encode(&content) });
    json!({
        "id": id, "at": "2026-01-01T00:00:00Z", "client": "10.0.0.1:1", "server": "10.0.0.2:80", "body_len": body,
        "state": "no-response", "request": request, "response": null,
    })
    .to_string()
}

fn most_memory(file: &Path, max_memory: &str) -> (usize, String) {
    let run = "\"$0\" \"$@\" & pid=$!; most=0; \
               while now=$(sed -n 's/^VmHWM: *\\([0-9]*\\) kB/\\1/p' /proc/$pid/status 2>/dev/null) && [ -n \"$now\" ]; \
               do most=$now; done; wait $pid; echo \"most $most\" >&2";
    let mut sh = Command::new("sh");
    sh.args([
        "-c",
        run,
        env!("CARGO_BIN_EXE_shadowtap"),
        "inspect",
        file.to_str().unwrap(),
        "--max-memory",
        max_memory,
    ]);
    let output = sh.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let most = said.lines().find_map(|line| line.strip_prefix("most ")?.parse::<usize>().ok()).unwrap();
    (most << 10, said)
}

#[test]
fn a_line_costs_no_more_than_the_memory_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let long = 40 << 20;
    let lines = folder.path().join("long.jsonl");
    fs::write(&lines, [line("1.1", 10), line("2.1", long), line("3.1", 20), String::new()].join("\n")).unwrap();
    let gor = folder.path().join("long.gor");
    let record = |id: &str, body: usize| {
        let head = format!("POST /{id} HTTP/1.1\r\nHost: tv\r\nContent-Length: {body}\r\n\r\n");
        format!("1 {id} 1700000000000000000 0\n{head}{}\n🐵🙈🙉\n", "a".repeat(body))
    };
    fs::write(&gor, [record("a1", 10), record("b2", long), record("c3", 20)].concat()).unwrap();
    for file in [&lines, &gor] {
        let (most, said) = most_memory(file, "16M");
        assert!(said.contains("limit, which grows with --max-memory"), "{said}");
        assert_eq!(said.lines().filter(|line| line.contains(" POST ")).count(), 2, "{said}");
        // What the program itself takes is no line.
        assert!(most < 64 << 20, "{most}: {said}");
        let (_, said) = most_memory(file, "1G");
        assert_eq!(said.lines().filter(|line| line.contains(" POST ")).count(), 3, "{said}");
    }
}
