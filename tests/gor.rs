//! `shadowtap gor`: files are replayed to real servers as GoReplay 2.0.0 was seen to do it, and every flag is in the manual.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/server.rs"]
mod server;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use server::{Server, answer};
use shadowtap::config::gor::{FLAGS, Fate};
use tokio::time::Instant;

/// A recording of `requests`, one each `gap` milliseconds.
fn recording(folder: &Path, requests: &[String], gap: u64) -> String {
    let mut text = String::new();
    for (number, request) in requests.iter().enumerate() {
        let at = 1_700_000_000_000_000_000 + number as u64 * gap * 1_000_000;
        write!(text, "1 {number:024x} {at} 0\n{request}\r\nHost: h\r\n\r\n\n🐵🙈🙉\n").unwrap();
    }
    let path = folder.join("requests.gor");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn gets(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("GET /{number} HTTP/1.1")).collect()
}

/// The program under the name of GoReplay's.
fn gor(folder: &Path, arguments: &[&str]) -> Output {
    let name = folder.join("gor");
    if !name.exists() {
        symlink(env!("CARGO_BIN_EXE_shadowtap"), &name).unwrap();
    }
    let mut command = Command::new(name);
    command.args(arguments).current_dir(folder).env_remove("SHADOWTAP_LOG").stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn paths(server: &Server) -> Vec<String> {
    let mut paths: Vec<String> =
        server.requests().iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect();
    paths.sort();
    paths
}

async fn server() -> Server {
    Server::start(|_| vec![answer("200 OK", "ok")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_at_twice_its_speed_takes_half_its_time_and_the_process_stays_until_exit_after() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let file = recording(folder.path(), &gets(11), 200);
    let begun = Instant::now();
    let (input, url) = (format!("{file}|200%"), server.url("http"));
    let output = gor(folder.path(), &["--input-file", &input, "--output-http", &url, "--exit-after", "3s"]);
    let took = begun.elapsed();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let (first, last) = (server.came("/0").0, server.came("/10").0);
    let span = last - first;
    assert!(span > Duration::from_millis(900) && span < Duration::from_millis(1900), "{span:?}");
    assert!(took > Duration::from_millis(2900), "GoReplay stays at the end of a file: {took:?}");
    let said = said(&output);
    for part in ["gor: shadowtap replay", "--speed 2x", "is a speed: 2x", "GoReplay would stay"] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_takes_ten_a_second_and_all_methods_with_their_host_replaced() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let requests: Vec<String> =
        (0..100).map(|number| format!("{} /{number} HTTP/1.1", ["GET", "DELETE"][number % 2])).collect();
    let file = recording(folder.path(), &requests, 0);
    let output = gor(
        folder.path(),
        &["--input-file", &file, "--output-http", &format!("{}|10", server.url("http")), "--exit-after=1s"],
    );
    assert_eq!(server.requests().len(), 10, "{}", said(&output));
    assert!(server.requests().iter().any(|request| request.starts_with("DELETE ")));
    assert!(server.requests()[0].contains(&format!("Host: {}", server.addr)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_in_the_address_is_that_of_every_request() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let file = recording(folder.path(), &gets(50), 0);
    let url = format!("{}/only?x=1", server.url("http"));
    let output = gor(folder.path(), &["--input-file", &file, "--output-http", &url, "--exit-after", "1s"]);
    assert_eq!(paths(&server), vec!["/only?x=1"; 50], "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn split_output_gives_each_half_and_each_output_has_its_own_limit() {
    let (one, two, folder) = (server().await, server().await, tempfile::tempdir().unwrap());
    let file = recording(folder.path(), &gets(100), 0);
    let (a, b) = (one.url("http"), two.url("http"));
    let files = ["--input-file", &file, "--output-http", &a, "--output-http", &b, "--exit-after", "1s"];
    let output = gor(folder.path(), &[&files[..], &["--split-output"]].concat());
    assert_eq!((one.requests().len(), two.requests().len()), (50, 50), "{}", said(&output));
    let mut both = [paths(&one), paths(&two)].concat();
    both.sort();
    both.dedup();
    assert_eq!(both.len(), 100);

    let (one, two) = (server().await, server().await);
    let (a, b) = (one.url("http"), format!("{}|7", two.url("http")));
    let files = ["--input-file", &file, "--output-http", &a, "--output-http", &b, "--exit-after", "1s"];
    let output = gor(folder.path(), &files);
    assert_eq!((one.requests().len(), two.requests().len()), (100, 7), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_run_in_goreplays_order_and_choose_its_sessions() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    // FNV-1a of 1 is 44 in the hundred, of 3 it is 82: recorded from GoReplay 2.0.0.
    let of = |path: &str, user: &str| format!("GET {path} HTTP/1.1\r\nX-User: {user}");
    let requests = [
        of("/v1/user/joe/ping", "1"),
        of("/v1/user/joe/ping", "3"),
        of("/v1/none", "1"),
        "GET /v1/user/x/ping HTTP/1.1".into(),
    ];
    let file = recording(folder.path(), &requests, 0);
    let url = server.url("http");
    let output = gor(
        folder.path(),
        &[
            "--input-file",
            &file,
            "--output-http",
            &url,
            "--exit-after",
            "1s",
            "--http-header-limiter",
            "X-User: 1/2",
            "--http-allow-url",
            "/ping",
            "--http-set-param",
            "k=v",
            "--http-rewrite-url",
            r"/v1/user/([^\/]+)/ping:/v2/user/$1/ping",
        ],
    );
    assert_eq!(paths(&server), ["/v2/user/joe/ping?k=v", "/v2/user/x/ping?k=v"], "{}", said(&output));
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let chains = files.filter(|path| path.extension().is_some_and(|end| end == "toml"));
    assert_eq!(chains.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_middleware_sees_what_the_filters_drop_as_in_goreplay() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let file = recording(folder.path(), &gets(10), 0);
    let (seen, url) = (folder.path().join("seen"), server.url("http"));
    let middleware = format!("tee {}", seen.display());
    let output = gor(
        folder.path(),
        &[
            "--input-file",
            &file,
            "--output-http",
            &url,
            "--exit-after",
            "2s",
            "--middleware",
            &middleware,
            "--http-allow-url",
            "/3",
        ],
    );
    assert_eq!(paths(&server), ["/3"], "{}", said(&output));
    let requests = fs::read_to_string(&seen).unwrap().lines().filter(|line| line.starts_with("3120")).count();
    assert_eq!(requests, 10, "GoReplay asks the middleware before its filters");
}

#[test]
fn what_is_printed_is_a_script_that_makes_its_chain_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["--print", "--input-raw", ":8080", "--output-http", "https://app|5%", "--http-param-limiter", "u: 5%"];
    let output = gor(folder.path(), &line);
    let script = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(script.starts_with("cat > gor-") && script.contains("\nshadowtap shadow -p 8080 "), "{script}");
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the link alone");
    let chain = script.rsplit_once("shadowtap shadow").unwrap().0;
    assert!(Command::new("sh").args(["-c", chain]).current_dir(folder.path()).status().unwrap().success());
    let mut made = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let made = made.find(|path| path.extension().is_some_and(|end| end == "toml")).unwrap();
    let check = Command::new(env!("CARGO_BIN_EXE_shadowtap")).args(["filters", "check"]).arg(made).output().unwrap();
    assert!(check.status.success(), "{}", said(&check));
}

#[test]
fn mistakes_end_with_code_2_and_all_of_them_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        gor(folder.path(), &["--input-raw", ":80", "--output-http", "staging.com", "--output-kafka-host", "x"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("write http://staging.com") && said.contains("--output-kafka-host: Kafka"), "{said}");
}

#[test]
fn every_flag_is_in_the_manual_with_what_becomes_of_it() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-goreplay.md")).unwrap();
    for flag in FLAGS {
        let (word, text) = match flag.fate {
            Fate::Done(text) => ("", text),
            Fate::Needless(why) => ("accepted: ", why),
            Fate::Refused(why) => ("refused: ", why),
        };
        let row = format!("| `--{}` | {word}{} |", flag.name, text.replace('|', "\\|"));
        assert!(page.contains(&row), "docs/from-goreplay.md lacks\n{row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `--")).count();
    assert_eq!(rows, FLAGS.len(), "rows of flags that there are not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_goes_on_until_exit_after() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let file = recording(folder.path(), &gets(10), 20);
    let url = server.url("http");
    let line = ["--input-file", &file, "--input-file-loop", "--output-http", &url, "--exit-after", "2s"];
    let output = gor(folder.path(), &line);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(server.all("/0").len() > 2, "{}", server.requests().len());
}
