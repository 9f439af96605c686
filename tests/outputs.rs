//! The files that commands write: who may read them, what they are written over, and what they are not written through.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use server::{Server, answer};

/// Starts what follows with a umask that takes nothing away.
const OPEN: &str = r#"umask 000; exec "$0" "$@""#;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", OPEN, env!("CARGO_BIN_EXE_shadowtap")]).args(arguments);
    command.env_remove("SHADOWTAP_LOG").stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

async fn server() -> Server {
    Server::start(|_| vec![answer("200 OK", "ok")]).await
}

/// A command that writes a file to each of the paths that it is given.
struct Writer {
    name: &'static str,
    arguments: Vec<String>,
    flags: &'static [&'static str],
}

fn writers(target: &str, folder: &Path) -> Vec<Writer> {
    let capture = testdata("demo.pcap.zst").to_str().unwrap().to_owned();
    let results = folder.join("earlier.jsonl");
    let replay = ["replay", &capture, "--to", target, "--speed", "max"].map(str::to_owned);
    let earlier = [&replay[..], &["--results".to_owned(), results.to_str().unwrap().to_owned()]].concat();
    let made = run(&earlier.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(made.status.success(), "{}", said(&made));
    let report = vec!["report".to_owned(), results.to_str().unwrap().to_owned()];
    vec![
        Writer { name: "replay", arguments: replay.to_vec(), flags: &["--summary", "--results", "--report"] },
        Writer { name: "inspect", arguments: vec!["inspect".to_owned(), capture], flags: &["--summary"] },
        Writer { name: "report", arguments: report, flags: &["--report", "--summary"] },
    ]
}

impl Writer {
    fn run(&self, more: &[&str]) -> Output {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        run(&arguments)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_is_for_its_owner_whatever_the_umask_unless_a_mode_shares_it() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    for writer in writers(&server.url("http"), folder.path()) {
        for flag in writer.flags {
            fs::remove_file(folder.path().join("file")).ok();
            for (mode, expected) in [(&[][..], 0o600), (&["--mode", "0640"], 0o640), (&[], 0o600)] {
                let file = folder.path().join("file");
                let force: &[&str] = if *flag == "--results" { &["--force"] } else { &[] };
                let output = writer.run(&[&[flag, file.to_str().unwrap()], mode, force].concat());
                assert!(output.status.success(), "{} {flag}: {}", writer.name, said(&output));
                assert_eq!(mode_of(&file), expected, "{} {flag}", writer.name);
                assert!(fs::metadata(&file).unwrap().len() > 0);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_written_through_a_link_and_that_is_told_before_anything_is_sent() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let (victim, link) = (folder.path().join("victim"), folder.path().join("planted"));
    fs::write(&victim, "mine").unwrap();
    let writers = writers(&server.url("http"), folder.path());
    let before = server.requests().len();
    for target in [&victim, &folder.path().join("new")] {
        symlink(target, &link).unwrap();
        for writer in &writers {
            for flag in writer.flags {
                let output = writer.run(&[flag, link.to_str().unwrap()]);
                let said = said(&output);
                assert_eq!(output.status.code(), Some(2), "{} {flag}: {said}", writer.name);
                assert!(said.contains(&format!("{} is a symbolic link", link.display())), "{said}");
            }
        }
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(!folder.path().join("new").exists());
    assert_eq!(server.requests().len(), before, "nothing was sent");
}

#[test]
fn devices_streams_and_pipes_are_written_to_as_before() {
    let capture = testdata("demo.pcap.zst");
    let capture = capture.to_str().unwrap();
    let summary = |to: &str| run(&["inspect", capture, "--summary", to]);
    assert!(summary("/dev/null").status.success());
    let output = summary("/dev/stdout");
    assert!(output.status.success(), "{}", said(&output));
    assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["requests"]["seen"].is_u64());
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reads = pipe.clone();
    let reader = std::thread::spawn(move || fs::read(reads).unwrap());
    assert!(summary(pipe.to_str().unwrap()).status.success());
    assert!(serde_json::from_slice::<serde_json::Value>(&reader.join().unwrap()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_are_one_file_are_told_before_anything_is_sent() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let capture = testdata("demo.pcap.zst");
    let url = server.url("http");
    let there = folder.path().join("there");
    fs::write(&there, "").unwrap();
    fs::hard_link(&there, folder.path().join("name")).unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    for (one, other) in [("a", "./a"), ("a", "d/../a"), ("there", "name")] {
        let path = |name: &str| format!("{}/{name}", folder.path().display());
        let output = run(&[
            "replay",
            capture.to_str().unwrap(),
            "--to",
            &url,
            "--summary",
            &path(one),
            "--results",
            &path(other),
        ]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(said(&output), "error: --summary and --results: cannot both go to one file\n", "{one} and {other}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_somebody_else_is_overwritten_by_force_only() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let url = server.url("http");
    let capture = testdata("keep-alive.pcap");
    let file = folder.path().join("file");
    fs::copy(&capture, &file).unwrap();
    let (path, capture_path) = (file.to_str().unwrap(), capture.to_str().unwrap());
    for other in [&["inspect", capture_path, "--summary", path][..], &["demo", "--report", path]] {
        let output = run(other);
        assert_eq!(output.status.code(), Some(2), "{other:?}");
        assert!(said(&output).contains("is no earlier summary or page of shadowtap"), "{}", said(&output));
    }
    for flag in ["--summary", "--report"] {
        fs::copy(&capture, &file).unwrap();
        let with = |more: &[&str]| {
            let all =
                [&["replay", capture.to_str().unwrap(), "--to", &url, "--speed", "max"][..], &[flag], more].concat();
            run(&all)
        };
        let path = file.to_str().unwrap();
        let output = with(&[path]);
        assert_eq!(output.status.code(), Some(2), "{flag}");
        assert!(
            said(&output).contains(&format!("{flag}: {path} is no earlier summary or page of shadowtap")),
            "{}",
            said(&output)
        );
        assert_eq!(fs::read(&file).unwrap(), fs::read(&capture).unwrap());
        for more in [&[path, "--force"][..], &[path]] {
            let output = with(more);
            assert!(output.status.success(), "its own is overwritten each night: {flag} {}", said(&output));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_to_is_told_before_anything_is_sent() {
    let server = server().await;
    let capture = testdata("demo.pcap.zst");
    let capture = capture.to_str().unwrap();
    for flag in ["--summary", "--results", "--report"] {
        // Nobody makes files there, root included.
        let output = run(&["replay", capture, "--to", &server.url("http"), flag, "/proc/shadowtap.json"]);
        assert_eq!(output.status.code(), Some(2), "{flag}");
        assert!(said(&output).contains("cannot write /proc/shadowtap.json"), "{}", said(&output));
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_pipe_that_nobody_reads_is_waited_for_and_a_signal_ends_that() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    let capture = testdata("keep-alive.pcap");
    let arguments = ["inspect", capture.to_str().unwrap(), "--summary", pipe.to_str().unwrap()];
    let mut child = child.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let waits = format!("waiting until somebody reads {} (Ctrl-C gives up)", pipe.display());
    assert!(lines.any(|line| line == waits));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(lines.any(|line| line.contains("nobody reads this pipe")));
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn a_mode_that_lets_others_write_or_the_owner_not_is_a_mistake() {
    for command in ["replay", "inspect", "report", "record", "shadow", "demo"] {
        let capture = testdata("demo.pcap.zst");
        let file = ["replay", "inspect"].contains(&command).then_some(capture.to_str().unwrap());
        let to = ["replay", "shadow"].contains(&command).then_some(["--to", "http://127.0.0.1:9"]);
        let results = tempfile::NamedTempFile::new().unwrap();
        fs::write(results.path(), "{\"kind\":\"summary\"}\n").unwrap();
        let run_file = (command == "report").then_some(results.path().to_str().unwrap());
        let arguments: Vec<&str> = [command]
            .into_iter()
            .chain(file)
            .chain(run_file)
            .chain(to.into_iter().flatten())
            .chain(["--mode", "0666"])
            .collect();
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(said(&output).contains("--mode: `0666` is no mode"), "{command}: {}", said(&output));
    }
}

/// Lines of the program's own code, without its tests, by file.
fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") && path.file_stem().unwrap() != "tests" {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
            into.push((path, code));
        }
    }
}

/// What goes by a path follows whoever exchanges a part of it: all such stands in `files`, by descriptor.
#[test]
fn nothing_is_made_or_given_away_by_its_path() {
    const BY_PATH: [&str; 10] = [
        "set_permissions(",
        " chown(",
        "fs::chown(",
        "File::create",
        "fs::write(",
        "create_dir",
        "DirBuilder",
        "fs::rename(",
        "fs::remove_file(",
        ".create(true)",
    ];
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    assert!(all.len() > 100, "{} files", all.len());
    for (path, code) in all {
        for call in BY_PATH {
            assert!(!code.contains(call), "{call} in {}: use `files` for it", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_markdown_gates_are_test_cases_and_results_a_table() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (capture, url) = (testdata("demo.pcap.zst").to_str().unwrap().to_owned(), server.url("http"));
    let (page, cases, table) = (path("run.md"), path("gates.xml"), path("run.csv"));
    let words = ["replay", &capture, "--to", &url, "--speed", "max", "--sample", "10%", "--fail-if", "status-diff>0"];
    let output = run(&[&words[..], &["--report", &page, "--junit", &cases, "--results", &table]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let line = format!("report written to {page}");
    assert_eq!(said(&output).lines().filter(|said| **said == line).count(), 1, "{}", said(&output));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("## shadowtap: DIFFERENT\n"), "{page}");
    assert!(page.contains("| status-diff&gt;0 | **failed** |") && page.contains("| differs in |"), "{page}");
    let cases = fs::read_to_string(cases).unwrap();
    assert!(cases.contains("tests=\"2\" failures=\"1\"") && cases.contains("name=\"status-diff&gt;0\""), "{cases}");
    let mut rows = csv::Reader::from_path(table).unwrap();
    let columns = rows.headers().unwrap().clone();
    let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let sent = rows.iter().filter(|row| &row[at("outcome")] == "sent").count();
    assert_eq!(sent, server.requests().len());
    assert!(rows.iter().filter(|row| &row[at("outcome")] == "sent").all(|row| &row[at("response_status")] == "200"));
    let quiet = run(&[&words[..], &["--report", &path("run.md"), "--quiet"]].concat());
    assert!(!said(&quiet).contains("report written"), "{}", said(&quiet));
    // The same run again writes over what it wrote, and over nothing else.
    fs::write(path("gates.xml"), "<other/>").unwrap();
    let again = run(&[&words[..], &["--junit", &path("gates.xml")]].concat());
    assert!(again.status.code() == Some(2) && said(&again).contains("--junit"), "{}", said(&again));
}
