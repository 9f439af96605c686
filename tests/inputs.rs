//! What comes of inputs as people have them: cut, in very many pieces, through a pipe that is still written to.
#![cfg(unix)]
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use packets::{Capture, Talk};
use serde_json::Value;

/// Three requests of curl, in frames of 24 bytes of file header and then records of their own headers.
const GETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/get-nano.pcap");
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

fn shadowtap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.env_remove("SHADOWTAP_LOG").stdin(Stdio::null());
    command
}

/// The capture, without its last bytes.
fn cut(folder: &Path) -> PathBuf {
    let whole = fs::read(GETS).unwrap();
    let file = folder.join("cut.pcap");
    fs::write(&file, &whole[..whole.len() - 5]).unwrap();
    file
}

/// Checks that the first and the last line say what could not be read, and the exit code as well.
#[track_caller]
fn says_so(output: &Output, first: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let told = lines.iter().position(|line| line.starts_with(first)).unwrap_or_else(|| panic!("{said}"));
    assert!(lines[told].contains("cut.pcap ends inside a record"), "{said}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("error: not all of the capture was read: ") && last.contains("cut.pcap ends"), "{said}");
}

#[test]
fn a_capture_that_is_not_read_to_its_end_is_told_first_and_last_and_by_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let (file, summary) = (cut(folder.path()), folder.path().join("summary.json"));
    for arguments in [&["inspect"][..], &["inspect", "--stats"], &["inspect", "--json"], &["report"]] {
        let output = shadowtap().args(arguments).arg(&file).output().unwrap();
        says_so(&output, "error: ");
        assert!(!output.stdout.is_empty(), "what was read is shown");
    }
    let output = shadowtap()
        .args(["replay", "--to", "http://127.0.0.1:1", "--speed", "max", "--quiet", "--summary"])
        .args([&summary, &file])
        .output()
        .unwrap();
    says_so(&output, "error: ");
    let summary: Value = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    let unread: Vec<&str> = summary["unread"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(unread.len() == 1 && unread[0].contains("cut.pcap ends inside a record"), "{summary}");
    assert_eq!(summary["requests"]["seen"], 3);
}

#[test]
fn more_pieces_than_files_may_be_open_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(GETS).unwrap();
    // The same connection in each piece, from a port of its own.
    let pieces: Vec<PathBuf> = (0..150u16)
        .map(|number| {
            let (mut bytes, mut at) = (whole.clone(), FILE_HEADER);
            while at < bytes.len() {
                let len = u32::from_le_bytes(*bytes[at + 8..].first_chunk().unwrap()) as usize;
                let seconds = u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) + 60 * u32::from(number);
                bytes[at..at + 4].copy_from_slice(&seconds.to_le_bytes());
                at += RECORD_HEADER + len;
            }
            let piece = folder.path().join(format!("{number:03}.pcap"));
            fs::write(&piece, bytes).unwrap();
            piece
        })
        .collect();
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -n 20; exec "$0" inspect --json "$@""#, env!("CARGO_BIN_EXE_shadowtap")])
        .args(&pieces)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3 * pieces.len());
}

/// Reads lines while the pipe is held open: none of them waits for the end of it.
#[track_caller]
fn comes_as_it_ends(arguments: &[&str], bytes: &[u8]) {
    let mut child = shadowtap()
        .args(["inspect", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(bytes).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for target in ["/v2/channels/1", "/v2/search?q=jazz", "/v1/epg.xml"] {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(target), "{arguments:?}: {line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_exchange_is_printed_when_it_ends_and_not_when_the_pipe_does() {
    let whole = fs::read(GETS).unwrap();
    comes_as_it_ends(&[], &whole);
    comes_as_it_ends(&["--json"], &whole);
    // Half a record more changes nothing of it.
    let mut child = shadowtap()
        .args(["inspect", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&[&whole[..], &whole[FILE_HEADER..FILE_HEADER + RECORD_HEADER + 9]].concat()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.by_ref().take(3).filter_map(Result::ok).count(), 3);
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(2), "the end is in the middle of a record");
}

/// Connections that begin a millisecond after one another, as a file; from frame `set` on the clock is an hour behind.
fn beginnings(folder: &Path, name: &str, count: u32, set: Option<usize>) -> PathBuf {
    beginnings_by(folder, name, count, set.map(|set| (set, 3_600_000)))
}

/// The same; from a frame on the clock is so many milliseconds behind.
fn beginnings_by(folder: &Path, name: &str, count: u32, set: Option<(usize, u64)>) -> PathBuf {
    let talk = |n: u32| {
        let client = format!("10.{}.{}.{}:5000", name.len(), n / 200, n % 200);
        Talk::joined().between(&client, "10.0.0.1:80").numbered(n * 7919, n).syn().wait(u64::from(n)).capture()
    };
    let mut capture = (0..count).map(talk).fold(Capture::default(), |mut all, one| {
        all.shots.extend(one.shots);
        all
    });
    for (place, shot) in capture.shots.iter_mut().enumerate() {
        shot.at += place as u64 * 1_000_000;
        shot.at -= set.filter(|(set, _)| place + 1 >= *set).map_or(0, |(_, back)| back * 1_000_000);
    }
    let file = folder.join(name);
    fs::write(&file, capture.pcap()).unwrap();
    file
}

#[test]
fn a_clock_that_was_set_is_told_with_the_file_and_the_frame_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // More connections than are followed frame by frame, and few; alone, and beside another file.
    for (count, set) in [(60, 21), (6000, 5501)] {
        let file = beginnings(folder, "set.pcap", count, Some(set));
        for beside in [None, Some(beginnings(folder, "beside.pcap", 10, None))] {
            let output = shadowtap().args(["inspect", "--summary", "-"]).arg(&file).args(&beside).output().unwrap();
            let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
            let frames = &summary["frames"];
            assert_eq!(frames["clock_steps"], 1, "{frames}");
            assert_eq!(frames["clock_step_in"]["file"], file.to_str().unwrap());
            assert_eq!(frames["clock_step_in"]["frame"], set);
            let others = if beside.is_some() { 10 } else { 0 };
            assert_eq!(frames["clock_step_at"], set + others, "all frames of the other file are earlier");
        }
    }
    let file = beginnings(folder, "few.pcap", 9, Some(5));
    let output = shadowtap().arg("inspect").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(&format!("clock was set 1 time, first at frame 5 of {}", file.display())), "{said}");
}

#[test]
fn a_clock_that_was_set_back_by_little_is_told_with_the_frame_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    for back in [350, 700, 1_500, 2_500, 6_000] {
        for (count, set) in [(3000, 1501), (7000, 5501), (6000, 5990)] {
            let file = beginnings_by(folder.path(), "set.pcap", count, Some((set, back)));
            let output = shadowtap().args(["inspect", "--summary", "-"]).arg(&file).output().unwrap();
            let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
            let frames = &summary["frames"];
            assert_eq!(
                (&frames["clock_steps"], &frames["clock_step_in"]["frame"]),
                (&1.into(), &set.into()),
                "{back} ms"
            );
            assert_eq!(frames["clock_step_at"], set, "{back} ms");
        }
    }
}

#[test]
fn a_capture_without_exchanges_says_why_where_lines_are_for_programs_too() {
    for view in [&["--json"][..], &["--har", "-"]] {
        let run = |port| shadowtap().args(["inspect", GETS, "-p", port]).args(view).output().unwrap();
        let said = String::from_utf8(run("9").stderr).unwrap();
        assert!(said.contains("0 exchanges") && said.contains("14 not on a port"), "{said}");
        assert_eq!(run("18081").stderr, b"");
    }
}
