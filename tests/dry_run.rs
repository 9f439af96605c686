//! `--dry-run`: what is printed is what a run sends, and nothing is sent or written; and names that no target has.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;
#[path = "support/server.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use packets::{Capture, Talk};
use serde_json::Value;
use server::{Server, answer};

const LINKS: &str = r#"
[[link]]
name = "no-search"
drop = { path = "^/v2/search" }
[[link]]
sample = { share = "50%", by = "cookie:session" }
[[link]]
set-header = { X-Rehearsal = "yes" }
[[link]]
route = { map = "routes.map" }
"#;
const OWN: &str =
    "[[link]]\nset-host = \"canary.example\"\n[[link]]\nname = \"no-head\"\ndrop = { method = \"HEAD\" }\n";

fn capture() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", "demo.pcap.zst"].iter().collect()
}

fn run(command: &str, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    program.arg(command).arg(capture()).args(arguments);
    program.env_remove("SHADOWTAP_LOG").stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A chain with a map beside it, and a chain for one target.
fn chains(folder: &Path, map: &str) -> (String, String) {
    let (chain, own) = (folder.join("chain.toml"), folder.join("own.toml"));
    fs::write(folder.join("routes.map"), map).unwrap();
    fs::write(&chain, LINKS).unwrap();
    fs::write(&own, OWN).unwrap();
    (chain.to_str().unwrap().to_owned(), format!("old={}", own.display()))
}

/// The first number of a line that has this text.
fn count(said: &str, line: &str) -> u64 {
    let found = said.lines().find(|found| found.contains(line)).unwrap_or_else(|| panic!("no `{line}` in {said}"));
    let number = found.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap();
    number.replace(',', "").parse().unwrap()
}

/// The part of the output that is about one destination.
fn part<'a>(said: &'a str, destination: &str) -> &'a str {
    let found = said.split_once(&format!("\n{destination}\n"));
    let (_, rest) = found.unwrap_or_else(|| panic!("no {destination} in {said}"));
    rest.split("\n\n").next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dry_run_counts_is_what_the_run_sends() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, own) = chains(folder.path(), "^/v2/programs new\n^/v2/profile -\n^/v2/ old\n");
    let new = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let old = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let (to_new, to_old) = (format!("new={}", new.url("http")), format!("old={}", old.url("http")));
    let (results, summary) = (folder.path().join("run.jsonl"), folder.path().join("run.json"));
    let outputs = ["--results", results.to_str().unwrap(), "--summary", summary.to_str().unwrap()];
    let arguments = [
        &["--to", &to_new, "--to", &to_old, "--filters", &chain, "--filters", &own, "--speed", "max"][..],
        &["--limit", "100000/s"],
        &outputs,
    ]
    .concat();
    let dry = run("replay", &[&arguments[..], &["--dry-run"]].concat());
    assert_eq!(dry.status.code(), Some(0), "{}", text(&dry.stderr));
    assert!(new.requests().is_empty() && old.requests().is_empty(), "nothing is sent");
    assert!(!results.exists() && !summary.exists(), "nothing is written");

    let sent = run("replay", &arguments);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    let summary: Value = serde_json::from_slice(&fs::read(&summary).unwrap()).unwrap();
    let said = text(&dry.stdout);
    let ended = &summary["requests"]["ended"];
    assert_eq!(count(&said, "requests seen"), summary["requests"]["seen"].as_u64().unwrap(), "{said}");
    assert_eq!(count(&said, "link 1 (no-search)"), ended["filtered"]["no-search"].as_u64().unwrap());
    assert_eq!(count(&said, "link 2 (sample)"), ended["sampled_out"].as_u64().unwrap());
    assert_eq!(count(&said, "link 4 (route)"), ended["filtered"]["route"].as_u64().unwrap());
    assert_eq!(count(&said, "writes ("), ended["filtered"]["writes"].as_u64().unwrap());
    for (server, name) in [(&new, "new"), (&old, "old")] {
        let part = part(&said, &format!("{name} = {}", server.url("http")));
        let requests = server.requests();
        assert!(requests.len() > 100, "{name}");
        assert_eq!(count(part, "of those seen"), requests.len() as u64, "{part}");
        let rows = part.lines().take_while(|line| !line.contains(" of the first "));
        let by_route: u64 = rows.filter(|line| line.contains("  GET /")).map(|row| count(row, "GET")).sum();
        assert_eq!(by_route, requests.len() as u64, "{part}");
        let heads: Vec<&str> = part.split(" of the first 3:\n").skip(1).collect();
        assert_eq!(heads.len(), 3, "{part}");
        for head in heads {
            let lines: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("    ")).collect();
            let wire = lines.join("\r\n") + "\r\n\r\n";
            assert!(requests.contains(&wire), "{wire} never came: {:?}", requests.first());
            assert!(wire.contains("X-Rehearsal: yes\r\n"));
            assert_eq!(wire.contains("Host: canary.example\r\n"), name == "old");
        }
    }
    assert!(part(&said, &format!("old = {}", old.url("http"))).contains("own.toml, link 2 (no-head)"), "{said}");
}

#[test]
fn a_dry_run_that_would_send_nothing_is_an_error_and_says_why_first() {
    let reason = "1,839 requests seen, and each would be kept back: 1,839 kept back by --allow-path";
    let arguments = ["--to", "http://127.0.0.1:9", "--allow-path", "^/nowhere", "--dry-run"];
    let output = run("replay", &arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("error: nothing would be sent: {reason}")), "{said}");
    let output = run("replay", &[&arguments[..], &["--allow-empty"]].concat());
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("warning: nothing would be sent"));
}

#[test]
fn a_dry_run_takes_the_part_and_the_copies_that_the_run_takes() {
    let all = |more: &[&str]| {
        let output = run("replay", &[&["--to", "http://127.0.0.1:9", "--allow-writes", "--dry-run"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        count(&text(&output.stdout), "of those seen")
    };
    let once = all(&[]);
    assert_eq!((all(&["--loop", "3"]), all(&["--amplify", "2x"])), (3 * once, 2 * once));
    let (before, after) = (all(&["--until", "4s"]), all(&["--from", "4s"]));
    assert!(before > 0 && after > 0 && before + after == once, "{before} and {after} of {once}");
}

#[test]
fn inspect_says_at_which_link_requests_end_and_what_routes_choose() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, _) = chains(folder.path(), "^/v2/programs new\n^/v2/profile -\n^/v2/ old\n");
    let output = run("inspect", &["--filters", &chain, "--deny-path", "^/v2/channels", "--summary", "-"]);
    let (summary, said): (Value, String) = (serde_json::from_slice(&output.stdout).unwrap(), text(&output.stderr));
    let ended = &summary["requests"]["ended"];
    for (line, key) in [("link 1 (no-search)", "no-search"), ("link 4 (route)", "route"), ("--deny-path", "deny-path")]
    {
        assert_eq!(count(&said, line), ended["filtered"][key].as_u64().unwrap(), "{said}");
    }
    assert_eq!(count(&said, "link 2 (sample)"), ended["sampled_out"].as_u64().unwrap());
    let kept = ended["kept"].as_u64().unwrap();
    assert_eq!(count(&said, "pass the filters"), kept, "{said}");
    assert_eq!(count(&said, "to target new") + count(&said, "to target old"), kept, "{said}");
    let table = run("inspect", &["--filters", &chain, "--stats", "--json"]);
    let rows = text(&table.stdout);
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert!(rows.iter().all(|row| !row["route"].as_str().unwrap().contains("search")), "{rows:?}");
}

#[test]
fn names_that_no_target_has_are_all_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, own) = chains(folder.path(), "^/a new\n^/b other\n^/c third\n^/d -\n");
    let to = ["--to", "new=http://127.0.0.1:9", "--filters", &chain, "--filters", &own];
    let output = run("replay", &[&to[..], &["--fail-if", "lost{target=\"none\"}>0"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let map = folder.path().join("routes.map");
    let known = "there is new, and - for none";
    assert_eq!(
        text(&output.stderr),
        format!(
            "error: {0}:2: no target is called `other`; {known}\nerror: {0}:3: no target is called `third`; {known}\n\
             error: --filters: no target is called `old`; {known}\n\
             error: --fail-if: `lost{{target=\"none\"}}>0`: no target is called `none`; there is new\n",
            map.display()
        )
    );
}

#[test]
fn stamps_that_are_wrong_make_no_run_longer() {
    let folder = tempfile::tempdir().unwrap();
    let length_ms = |stamps: &[u64]| {
        let file = folder.path().join("some.pcap");
        let mut all = Capture::default();
        for (port, stamp) in (5001..).zip(stamps) {
            let talk = Talk::open().between(&format!("10.1.0.1:{port}"), "10.0.0.1:80");
            let mut one = talk.client("GET / HTTP/1.1\r\nHost: h\r\n\r\n").capture();
            one.shots.iter_mut().for_each(|shot| shot.at += stamp * 1_000_000);
            all.shots.extend(one.shots);
        }
        fs::write(&file, all.pcap()).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
        program.args(["replay", file.to_str().unwrap(), "--to", "http://127.0.0.1:1", "--dry-run"]);
        let said = text(&program.output().unwrap().stdout);
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, after) = words.split_once("would be due after ").unwrap_or_else(|| panic!("{said}"));
        after.split(' ').next().unwrap().to_owned()
    };
    let length = |seconds: &[u64]| length_ms(&seconds.iter().map(|second| 1_000 * second).collect::<Vec<_>>());
    assert_eq!(length(&[0, 1, 2, 3, 4]), "4.00s");
    assert_eq!(length(&[0, 1, 7_202, 7_202, 3, 4]), "4.00s", "the clock comes back");
    assert_eq!(length(&[0, 1, 7_202, 7_203, 7_204]), "120m04s", "a silence is kept");
    let every_50_ms =
        |moved: fn(u64) -> u64| length_ms(&(0..40).map(|n| 20_000 + 50 * n + moved(n)).collect::<Vec<_>>());
    let one_ahead = every_50_ms(|n| if n == 10 { 9_000 } else { 0 });
    assert_eq!(one_ahead, "1.95s", "a stamp is a little ahead");
    let set_back = every_50_ms(|n| if n > 10 { 0 } else { 2_000 });
    assert_eq!(set_back, "1.90s", "the clock is set back by little");
    let silence = every_50_ms(|n| if n >= 10 { 8_000 } else { 0 });
    assert_eq!(silence, "9.95s", "a short silence is kept");
}
