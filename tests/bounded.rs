//! Files without an end, and lines that are too long: refused or passed over, and told, in little memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use data_encoding::BASE64;
use serde_json::{Value, json};

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
    let request = json!({ "head": BASE64.encode(head.as_bytes()), "body": BASE64.encode(&content) });
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

/// Answers every request, and gives what it was sent, a request a piece, to whoever asks for it with the port.
fn target() -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, sent) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (stream.unwrap(), seen.clone());
            std::thread::spawn(move || serve(&mut stream, &seen));
        }
    });
    (port, sent)
}

fn serve(stream: &mut TcpStream, seen: &std::sync::mpsc::Sender<String>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        lines.read_line(&mut first).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok().filter(|read| *read > 0)?;
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok()?;
                }
                Some(_) => {}
                None => break,
            }
        }
        std::io::copy(&mut lines.by_ref().take(length), &mut std::io::sink()).ok()?;
        seen.send(first.split(' ').nth(1)?.to_owned()).ok()?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()?;
    }
}

/// What the ledger has as filtered, and the targets of what was sent, where bodies of these sizes meet this chain.
fn searched(chain: &str, bodies: &[usize]) -> (Value, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let lines: Vec<String> = (1..).zip(bodies).map(|(n, bytes)| line(&format!("{n}.1"), *bytes)).collect();
    fs::write(file("run.jsonl"), lines.join("\n") + "\n").unwrap();
    fs::write(file("chain.toml"), chain).unwrap();
    let (port, sent) = target();
    let to = format!("http://127.0.0.1:{port}");
    let summary = file("summary.json");
    let (recording, chain) = (file("run.jsonl"), file("chain.toml"));
    let mut arguments = vec!["replay", &recording, "--to", &to, "--filters", &chain, "--allow-writes"];
    arguments.extend(["--speed", "max", "--summary", &summary]);
    let output = shadowtap(8192, &arguments);
    assert!(output.status.success(), "{output:?}");
    let summary: Value = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    let mut sent: Vec<String> = sent.try_iter().collect();
    sent.sort();
    (summary["requests"]["ended"]["filtered"].clone(), sent)
}

#[test]
fn a_body_that_takes_too_long_to_search_is_kept_back_and_others_are_sent() {
    let mebibyte = 1 << 20;
    // Each link costs a step a byte: sixteen of them are what there is for a body of a mebibyte.
    let links = |count: usize, link: &str| format!("[[link]]\n{link}\n").repeat(count);
    let kinds = [
        "drop = { body = \"secret\" }",
        "replace-body = { match = \"secret\", with = \"public\" }",
        "set-header = { X = \"1\" }\nwhen = { not = { body = \"secret\" } }",
    ];
    for link in kinds {
        let (filtered, sent) = searched(&links(16, link), &[mebibyte, mebibyte + 1, 100, 0]);
        assert_eq!(filtered["body-search"], 1, "{link}: {filtered}");
        assert_eq!(sent, ["/1.1", "/3.1", "/4.1"], "{link}");
    }
    // What is large costs more for each byte, and what would have passed for want of a search is kept back, too.
    for link in ["drop = { body = '\\w{100}-' }", "only = { not = { body = '\\w{100}-' } }"] {
        let (filtered, sent) = searched(&links(1, link), &[16 * mebibyte, 100]);
        assert_eq!(filtered["body-search"], 1, "{link}: {filtered}");
        assert_eq!(sent, ["/2.1"], "{link}");
    }
}
