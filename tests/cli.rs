//! The program as it is typed: what it prints, writes and returns.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/server.rs"]
mod server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use server::{Server, answer};

fn shadowtap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.env_remove("SHADOWTAP_LOG").stdin(Stdio::null());
    command
}

fn testdata(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", name].iter().collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs with arguments; the capture of that name goes first.
fn run(command: &str, capture: &str, arguments: &[&str]) -> Output {
    shadowtap().arg(command).arg(testdata(capture)).args(arguments).output().unwrap()
}

/// Checks that a command line is refused with exactly these mistakes and exit code 2.
#[track_caller]
fn refused(arguments: &[&str], mistakes: &[&str]) {
    let output = shadowtap().args(arguments).output().unwrap();
    let said = text(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, mistakes, "{arguments:?}");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
}

/// Checks that `value` has just the keys of `shape`, and below each the keys of what stands there.
#[track_caller]
fn has_shape(value: &Value, shape: &Value, place: &str) {
    let Value::Object(shape) = shape else { return };
    let found = value.as_object().unwrap_or_else(|| panic!("{place} is no object: {value}"));
    let mut missing: Vec<_> = shape.keys().filter(|key| !found.contains_key(*key)).collect();
    missing.sort();
    assert!(missing.is_empty(), "{place} lacks {missing:?}");
    for (key, below) in shape {
        has_shape(&found[key], below, &format!("{place}.{key}"));
    }
}

#[test]
fn every_mistake_is_told_at_once_each_with_its_flag() {
    refused(
        &[
            "replay",
            "/nonexistent/evening.pcap",
            "--to",
            "staging:8080",
            "--sample",
            "150%",
            "--allow-path",
            "a(b",
            "--speed",
            "2x",
            "--rate",
            "5/s",
            "--bpf",
            "port eighty",
            "--set-header",
            "no colon",
        ],
        &[
            "error: --set-header: `no colon` has no colon; write `Name: value`",
            "error: --allow-path: `a(b` is no regular expression: unclosed group",
            "error: --sample: `150%`: a share lies between 0% and 100%",
            "error: --to: `staging:8080` has no scheme; write http://staging:8080 or https://staging:8080",
            "error: --speed and --rate: contradict each other: the one keeps the captured rhythm, the other has its own",
            "error: cannot open /nonexistent/evening.pcap: No such file or directory (os error 2)",
            "error: --bpf: the filter `port eighty` does not compile: unknown port 'eighty'",
        ],
    );
}

#[test]
fn a_client_of_http_2_alone_says_at_the_start_where_it_is_not_used() {
    let capture = testdata("get-nano.pcap");
    let warned = |more: &[&str]| {
        let mut command = shadowtap();
        command.arg("replay").arg(&capture).args(["--to", "http://127.0.0.1:1", "--speed", "max"]).args(more);
        text(&command.stdin(Stdio::null()).output().unwrap().stderr)
            .contains("warning: --client reqwest speaks HTTP/2 alone: http://127.0.0.1:1 is sent HTTP/1.1")
    };
    assert!(warned(&["--client", "reqwest"]));
    assert!(!warned(&["--client", "reqwest", "--http2"]) && !warned(&[]));
}

#[test]
fn completions_and_manuals_know_every_command() {
    let commands = ["shadow", "replay", "record", "inspect", "report", "filters", "interfaces", "control", "demo"];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = shadowtap().args(["completions", shell]).output().unwrap();
        let script = text(&output.stdout);
        assert!(output.status.success() && script.contains("max-in-flight"), "{shell}: {script}");
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}: {script}");
    }
    let unknown = shadowtap().args(["completions", "command.com"]).output().unwrap();
    assert!(unknown.status.code() == Some(2) && text(&unknown.stderr).contains("command.com"), "{unknown:?}");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    for _ in 0..2 {
        assert!(shadowtap().arg("man").arg(&pages).status().unwrap().success());
    }
    for command in
        commands.iter().map(|command| format!("-{command}")).chain([String::new(), "-filters-check".to_owned()])
    {
        let page = std::fs::read_to_string(pages.join(format!("shadowtap{command}.1"))).unwrap();
        assert!(page.contains(".TH shadowtap") && page.contains(".SH NAME"), "{command}: {page}");
    }
    let page = std::fs::read_to_string(pages.join("shadowtap-replay.1")).unwrap();
    assert!(page.contains("max\\-in\\-flight"), "{page}");
}

/// What goes wrong once a run begins, and what the system has to say of it: each cause once, and what helps at the end.
#[test]
fn each_cause_of_an_error_is_told_once() {
    let capture = testdata("get-nano.pcap");
    let capture = capture.to_str().unwrap();
    let replay = |more: &[&'static str]| {
        let begin = ["replay", capture, "--to", "http://127.0.0.1:1"];
        [&begin[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let plain = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let gone = "No such file or directory (os error 2)";
    let spelled = "is its name spelled right, and is it in PATH?";
    for (arguments, line) in [
        (replay(&["--middleware", "no-such-program"]), format!("cannot start the middleware `no-such-program`: {gone}; {spelled}")),
        (
            replay(&["--guard", "errors>5%/10s", "--guard-command", "no-such-program"]),
            format!("cannot start the guard command `no-such-program`: {gone}; {spelled}"),
        ),
        (
            replay(&["--metrics", "192.0.2.1:9184"]),
            "--metrics: cannot listen at 192.0.2.1:9184: Cannot assign requested address (os error 99); no interface of this \
             machine has that address; 127.0.0.1 always works"
                .to_owned(),
        ),
        (
            replay(&["--metrics", "127.0.0.1:0", "--control-token-file", "/nowhere/token"]),
            format!("--control-token-file: cannot read /nowhere/token: {gone}"),
        ),
        (replay(&["--routes", "/nowhere/routes"]), format!("--routes: /nowhere/routes cannot be read: {gone}")),
        (replay(&["--filters", "/nowhere/chain"]), format!("/nowhere/chain: cannot be read: {gone}")),
        (plain(&["control", "--socket", "/nowhere/sock", "status"]), 
            "no run listens at /nowhere/sock: there is no such socket; `shadowtap control status` finds those that are there".to_owned()),
        (plain(&["inspect", "/nowhere/a.pcap"]), format!("cannot open /nowhere/a.pcap: {gone}")),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
            .args(&arguments)
            .env_remove("SHADOWTAP_LOG")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = text(&output.stderr);
        let errors: Vec<&str> = told.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors, [format!("error: {line}")], "{arguments:?}: {told}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_target_with_a_query_is_refused_because_the_query_would_be_lost() {
    let capture = testdata("get-nano.pcap");
    refused(
        &["replay", capture.to_str().unwrap(), "--to", "http://staging/v2?x=1"],
        &["error: --to: `http://staging/v2?x=1` has a query or fragment, which would be lost since each request \
           brings its own; write http://staging/v2"],
    );
}

#[test]
fn inspect_prints_a_line_an_exchange() {
    let output = run("inspect", "pipelined.pcap", &[]);
    let lines = text(&output.stdout);
    let ends: Vec<&str> = lines.lines().map(|line| line.rsplit_once("B  ").unwrap().1).collect();
    assert_eq!(ends, ["GET  /health", "HEAD /v2/channels", "GET  /old", "GET  /v2/channels/3"], "{lines}");
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("4 exchanges"));
}

#[test]
fn inspect_json_has_every_key_of_the_contract() {
    let output = run("inspect", "head-304.pcap", &["--json", "--full"]);
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    for line in &lines {
        has_shape(
            line,
            &json!({
                "id": 0, "at": 0, "client": 0, "server": 0, "method": 0, "target": 0, "version": 0, "host": 0, "headers": 0,
                "body_len": 0, "body_sha256": 0, "status": 0, "response_headers": 0, "response_body_len": 0,
                "response_body_sha256": 0, "latency_us": 0, "state": 0,
                "request": {"head": 0, "body": 0}, "response": {"head": 0, "body": 0},
            }),
            "line",
        );
        assert_eq!(line["state"], "complete");
        assert_eq!(line["version"], "1.1");
    }
    assert_eq!(lines[0]["id"], "1.1");
}

#[test]
fn a_summary_without_json_prints_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    let output = run("inspect", "pipelined.pcap", &["--summary", file.to_str().unwrap()]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
    let summary: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(summary["command"], "inspect");
    assert_eq!((&summary["requests"]["seen"], &summary["requests"]["ended"]["kept"]), (&json!(4), &json!(4)));
}

/// The lines of JSON that inspecting the demo's capture prints.
#[track_caller]
fn demo_json(arguments: &[&str]) -> Vec<Value> {
    let output = run("inspect", "demo.pcap.zst", &[&["--json"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The summary of inspecting the demo's capture.
fn demo_summary(arguments: &[&str]) -> Value {
    let output = run("inspect", "demo.pcap.zst", &[&["--summary", "-"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn inspect_filters_as_replay_does_and_writes_are_seen() {
    assert_eq!(demo_json(&["--allow-method", "POST"]).len(), 93);
    let events = demo_json(&["--allow-path", "^/v2/", "--deny-path", "^/v2/(channels|programs|search|profile)"]);
    assert_eq!(events.len(), 93);
    assert!(events.iter().all(|line| line["target"] == "/v2/events"));
    assert_eq!(demo_json(&["--allow-host", "nobody.example"]).len(), 0);
}

#[test]
fn what_the_filters_of_inspect_keep_back_ends_in_the_ledger() {
    let summary = demo_summary(&["--allow-method", "GET,HEAD", "--deny-path", "^/old", "--sample", "50%"]);
    let ended = &summary["requests"]["ended"];
    let count = |value: &Value| value.as_u64().unwrap();
    assert_eq!(ended["filtered"], json!({"allow-method": 93, "deny-path": 60}));
    assert_eq!(count(&ended["kept"]) + count(&ended["sampled_out"]) + 93 + 60, 1839);
    assert_eq!(summary["requests"]["seen"], 1839);
    let statuses = summary["production"]["statuses"].as_object().unwrap();
    assert_eq!(statuses.values().map(count).sum::<u64>(), count(&ended["kept"]));
    assert!(!statuses.contains_key("301") && !statuses.contains_key("204"), "{statuses:?}");
    assert_eq!(summary["production"]["latency_us"]["count"], ended["kept"]);
    assert_eq!((&summary["sample"]["asked"], &summary["sample"]["keys"]), (&json!(0.5), &Value::Null));
}

#[test]
fn statuses_choose_what_is_shown_and_not_what_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    let shown = demo_json(&["--status", "404,3xx", "--summary", file.to_str().unwrap()]);
    assert_eq!(shown.len(), 24 + 60 + 60);
    let summary: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(summary["requests"]["ended"]["kept"], 1839);
    assert_eq!(demo_json(&["--status", "5xx,none"]).len(), 0);
    let output = run("inspect", "demo.pcap.zst", &["--status", "404"]);
    assert_eq!(text(&output.stdout).lines().count(), 24);
    assert!(text(&output.stderr).starts_with("1,839 exchanges; 24 with that status\n"), "{}", text(&output.stderr));
}

#[test]
fn stats_has_a_row_a_route_and_its_totals() {
    let output = run("inspect", "demo.pcap.zst", &["--stats"]);
    let table = text(&output.stdout);
    assert!(table.lines().next().unwrap().ends_with("bytes  route"), "{table}");
    assert!(table.lines().any(|line| line.contains(" 319 ") && line.ends_with("  GET /v2/channels/{id}")), "{table}");
    let last = table.lines().last().unwrap();
    assert!(last.starts_with("1,839   100% 1,695   120    24 ") && last.ends_with("  (all)"), "{table}");
    assert_eq!(table, text(&run("inspect", "demo.pcap.zst", &["--stats"]).stdout));
}

#[test]
fn stats_as_json_has_its_keys() {
    let rows = demo_json(&["--stats"]);
    assert_eq!(rows.len(), 12);
    for row in &rows {
        let figures = json!({"count": 0, "min": 0, "mean": 0, "p50": 0, "p90": 0, "p99": 0, "p99_9": 0, "max": 0});
        let statuses = json!({"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "other": 0, "none": 0});
        let shape = json!({"route": 0, "requests": 0, "share": 0, "statuses": statuses, "latency_us": figures,
            "request_bytes": 0, "response_bytes": 0});
        has_shape(row, &shape, "row");
    }
    assert_eq!(rows.iter().map(|row| row["requests"].as_u64().unwrap()).sum::<u64>(), 1839);
    let errors = demo_json(&["--stats", "--status", "4xx"]);
    assert_eq!(errors.iter().map(|row| row["requests"].as_u64().unwrap()).collect::<Vec<_>>(), [18, 6]);
}

#[test]
fn the_forecast_is_of_the_connections_that_a_sample_takes() {
    for seed in ["0", "3"] {
        let forecast = demo_json(&["--forecast", "--seed", seed]).remove(0);
        assert_eq!((&forecast["connections"], &forecast["other_connections"]), (&json!(194), &json!(1)));
        assert_eq!((&forecast["requests"], &forecast["requests_per_connection"]["count"]), (&json!(1839), &json!(194)));
        for (share, at) in ["10%", "25%", "50%", "100%"].iter().zip(forecast["shares"].as_array().unwrap()) {
            let sampled = demo_json(&["--sample", share, "--sample-by", "connection", "--seed", seed]);
            let connections: std::collections::HashSet<&str> =
                sampled.iter().map(|line| line["id"].as_str().unwrap().split_once('.').unwrap().0).collect();
            assert_eq!(at["requests"], sampled.len(), "{share}");
            assert_eq!(at["connections"], connections.len(), "{share}");
        }
    }
}

#[test]
fn the_forecast_has_its_keys() {
    let forecast = demo_json(&["--forecast"]).remove(0);
    let figures = json!({"count": 0, "min": 0, "mean": 0, "p50": 0, "p90": 0, "p99": 0, "p99_9": 0, "max": 0});
    let rate = json!({"mean": 0, "peak": 0});
    let shape = json!({
        "from": 0, "duration_s": 0, "resolution_s": 0, "connections": 0, "other_connections": 0, "unfollowed": 0,
        "requests": 0, "opened_per_s": &rate, "concurrent": &rate, "requests_per_s": &rate,
        "requests_per_connection": &figures, "idle_us": &figures, "seed": 0,
        "over_time": {"step_s": 0, "concurrent": 0, "opened": 0, "requests": 0},
    });
    has_shape(&forecast, &shape, "forecast");
    for share in forecast["shares"].as_array().unwrap() {
        let shape = json!({"share": 0, "connections": 0, "requests": 0, "opened_per_s_peak": 0, "concurrent_peak": 0,
            "requests_per_s_peak": 0, "pooled_estimate": 0});
        has_shape(share, &shape, "share");
    }
    let opened = forecast["over_time"]["opened"].as_array().unwrap();
    assert_eq!(opened.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 194);
}

#[test]
fn views_of_inspect_that_contradict_each_other_are_refused() {
    let capture = testdata("get-nano.pcap");
    refused(
        &["inspect", capture.to_str().unwrap(), "--stats", "--forecast", "--full", "--status", "6", "--sample", "5%"],
        &[
            "error: --stats and --forecast: are two views: ask for one at a time",
            "error: --full: adds to the lines of --json: give both, without --stats and --forecast",
            "error: --status: `6` is no status; write a class, a status or none, such as 5xx, 404 or 404,5xx",
        ],
    );
}

#[test]
fn a_capture_comes_through_a_pipe_as_well() {
    let mut child =
        shadowtap().args(["inspect", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let capture = std::fs::read(testdata("demo.pcap.zst")).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || stdin.write_all(&capture));
    let mut lines = String::new();
    child.stdout.take().unwrap().read_to_string(&mut lines).unwrap();
    feeding.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(lines.lines().count(), 1839);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_trouble() {
    let mut child = shadowtap()
        .arg("inspect")
        .arg(testdata("demo.pcap.zst"))
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

/// The shape of the summary of a replay to the target at `url`.
fn summary_shape(url: &str) -> Value {
    let figures = json!({"count": 0, "min": 0, "mean": 0, "p50": 0, "p90": 0, "p99": 0, "p99_9": 0, "max": 0});
    json!({
        "schema": 0, "version": 0, "command": 0, "started": 0, "duration_s": 0,
        "frames": {"received": 0, "kernel_dropped": 0, "interface_dropped": 0, "decoded": 0, "skipped": {"not_tcp": 0}},
        "tcp": {"connections": 0, "peak_open": 0, "retransmitted_bytes": 0, "gaps": 0, "gap_bytes": 0, "evicted": {}},
        "streams": {"http1": 0, "tls": 0, "http2": 0, "upgraded": 0, "unknown": 0},
        "requests": {"seen": 0, "offered": 0, "in_flight": 0, "ended": {
            "kept": 0, "filtered": {}, "sampled_out": 0, "rate_limited": 0, "malformed": 0,
            "incomplete": {"gap": 0, "cut": 0, "end_of_capture": 0, "unproven": 0, "not_logged": 0, "evicted": 0}, "shed": {}}},
        "targets": {url: {"offered": 0, "in_flight": 0, "ended": {
                "sent": 0, "filtered": {}, "sampled_out": 0, "rate_limited": 0, "guard_held": 0, "shed": {},
                "failed": {"dns": 0, "connect": 0, "tls": 0, "timeout": 0, "reset": 0, "protocol": 0, "too_large": 0}},
            "statuses": {"200": 0}, "connections_opened": 0, "peak_connections": 0, "peak_in_flight": 0,
            "latency_us": {"connect": &figures, "service": &figures, "response": &figures}, "schedule_lag_us": 0,
            "matrix": {"200": {"200": 0}, "404": {"200": 0}},
            "differences": {"compared": 0, "status": 0, "headers": 0, "body": 0}}},
        "production": {"statuses": {"200": 0}, "latency_us": &figures, "unjoined": {}},
        "sample": {"asked": 0, "requests": 0, "keys": 0, "bytes": 0},
        "gates": 0,
    })
}

#[tokio::test]
async fn replay_writes_report_summary_and_results_as_the_contract_has_them() {
    let server = Server::start(|_| vec![answer("200 OK", "hello")]).await;
    let folder = tempfile::tempdir().unwrap();
    let (summary, results) = (folder.path().join("run.json"), folder.path().join("run.jsonl"));
    let url = server.url("http");
    let output = {
        let arguments = [
            "--to".to_owned(),
            url.clone(),
            "--speed=max".to_owned(),
            format!("--summary={}", summary.display()),
            format!("--results={}", results.display()),
        ];
        let run = move || shadowtap().arg("replay").arg(testdata("get-nano.pcap")).args(arguments).output().unwrap();
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let first = text(&output.stderr).lines().next().unwrap().to_owned();
    assert_eq!(
        first,
        format!("sending GET, HEAD, OPTIONS: 100% by request -> {url}; writes are left out (--allow-writes)")
    );
    let report = text(&output.stdout);
    assert!(report.starts_with("DIFFERENT\n") && report.contains("\n3 of 3 requests were sent"), "{report}");
    assert!(!report.contains('\u{1b}'), "color is for terminals only");

    let summary: Value = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    has_shape(&summary, &summary_shape(&url), "summary");
    assert_eq!(summary["targets"][&url]["schedule_lag_us"], Value::Null, "max has no schedule");

    let lines: Vec<Value> =
        std::fs::read_to_string(results).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    for line in &lines[..3] {
        has_shape(
            line,
            &json!({
                "id": 0, "at": 0, "client": 0, "method": 0, "target": 0, "route": 0, "outcome": 0, "rule": 0, "shadow": 0,
                "production": {"status": 0, "body_len": 0}, "response": {"status": 0, "body_len": 0},
                "production_us": 0, "service_us": 0, "response_us": 0, "lag_us": 0, "differences": 0,
            }),
            "result",
        );
        assert_eq!((&line["outcome"], &line["response"]["body_len"]), (&json!("sent"), &json!(5)));
    }
    assert_eq!(lines[3]["kind"], "summary");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_line_of_progress_is_what_the_report_says() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let url = server.url("http");
    let words = ["--to", &url, "--speed", "5x", "--log-format", "json", "--summary", "-"].map(str::to_owned);
    let replay = move || run("replay", "demo.pcap.zst", &words.each_ref().map(String::as_str));
    let output = tokio::task::spawn_blocking(replay).await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = text(&output.stderr);
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.filter_map(|line| line.get("progress").cloned()).next_back().unwrap();
    let target = &summary["targets"][url];
    assert_eq!((&last["seen"], &last["waiting"]), (&summary["requests"]["seen"], &json!(0)));
    assert_eq!(
        (&last["sent"], &last["shadow"]["statuses"]),
        (&target["ended"]["sent"], &json!({"2xx": target["offered"]}))
    );
    assert_eq!(last["shadow"]["p95_us"], target["paired_latency_us"]["response"]["p95"]);
    let found = last["production"]["statuses"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(found, summary["production"]["latency_us"]["count"].as_u64().unwrap());
}

#[test]
fn a_run_that_delivers_nothing_is_trouble_and_says_why() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let output = run("replay", "get-nano.pcap", &["--to", &url, "--speed", "max"]);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{report}");
    assert!(report.contains("connect"), "{report}");
    let told = text(&output.stderr);
    let line = format!("warning: {url}: connect: refused: nothing listens there");
    assert_eq!(told.matches(&line).count(), 1, "{told}");
}

#[test]
fn too_few_open_files_are_told_and_cost_the_target_no_request() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(|_| vec![answer("200 OK", "hello")]));
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    for files in [64, 16] {
        let output = Command::new("sh")
            .args([
                "-c",
                &format!("ulimit -n {files} && exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_shadowtap"),
                "replay",
            ])
            .arg(testdata("demo.pcap.zst"))
            .args(["--speed", "max", "--to", &server.url("http"), "--summary"])
            .arg(&summary)
            .output()
            .unwrap();
        let told = text(&output.stderr);
        if files == 64 {
            assert!(told.contains("warning: too few open files") && told.contains("have 64 (ulimit -n)"), "{told}");
        }
        let summary: Value = serde_json::from_slice(&std::fs::read(&summary).unwrap()).unwrap();
        let target = &summary["targets"][server.url("http").as_str()];
        let failed: u64 =
            target["ended"]["failed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(failed, 0, "{files}: {}", target["ended"]);
        assert!(target["ended"]["sent"].as_u64().unwrap() > 0, "{files}: {}", target["ended"]);
    }
}

#[test]
fn where_no_file_is_left_for_a_connection_the_run_says_so_and_what_to_do() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Where some files are left, not every target gets one.
    let servers = [(); 4].map(|()| runtime.block_on(Server::start(|_| vec![answer("200 OK", "hello")])));
    let urls = servers.each_ref().map(|server| server.url("http"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.json");
    let mut dropped = 0;
    // How many files a process has open when it sends is not the same everywhere.
    for files in 8..=20 {
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_shadowtap")])
            .args(["replay", "--speed", "max"])
            .args(urls.iter().flat_map(|url| ["--to", url]))
            .arg("--summary")
            .args([&path, &testdata("keep-alive.pcap")])
            .output()
            .unwrap();
        let told = text(&output.stderr);
        let sent = std::fs::read(&path).ok().map(|json| serde_json::from_slice::<Value>(&json).unwrap());
        let ended = |url: &String| sent.as_ref().map_or(Value::Null, |sent| sent["targets"][url]["ended"].clone());
        let count = |of: &dyn Fn(Value) -> Value| urls.iter().filter_map(|url| of(ended(url)).as_u64()).sum::<u64>();
        let lacked = count(&|ended| ended["shed"]["open_files"].clone());
        let sent = count(&|ended| ended["sent"].clone());
        assert_eq!(output.status.code(), Some(if sent > 0 { 0 } else { 2 }), "{files}: {told}");
        if lacked > 0 {
            dropped += 1;
            assert!(told.contains("no file is left for a connection to 127.0.0.1"), "{files}: {told}");
            assert!(told.contains(&format!("Open files: limit {files}; raise it with ulimit -n")), "{files}: {told}");
            assert!(!told.contains("the target does not keep up"), "{files}: {told}");
        }
        assert!(sent > 0 || told.lines().any(|line| line.starts_with("error: ") && line.contains("ulimit")), "{told}");
        std::fs::remove_file(&path).ok();
    }
    assert!(dropped > 0, "no limit was met");
}

#[test]
fn a_run_with_nothing_to_send_is_trouble_with_its_reason_first_unless_that_is_expected() {
    let to = ["--to", "http://127.0.0.1:1", "--speed=max"];
    for (arguments, reason) in [
        (&["--allow-path", "^/none"][..], "nothing was sent of 3 requests: 3 kept back by filter allow-path"),
        (&["--sample", "0%"], "nothing was sent of 3 requests: 3 not in the sample of 0%"),
        (
            &["--from", "10m"],
            "nothing was sent: no request lies in the part that is replayed; the capture was taken from ",
        ),
        (&["-p", "9999"], "no HTTP/1 request was found in the capture"),
    ] {
        let output = run("replay", "get-nano.pcap", &[&to[..], arguments].concat());
        let told = text(&output.stderr);
        let error = told.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(error.contains("nothing was sent") && error.contains(reason), "{arguments:?}: {told}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let output = run("replay", "get-nano.pcap", &[&to[..], arguments, &["--allow-empty"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stdout));
    }
    // Nobody listens there: that is no empty run.
    let output = run("replay", "get-nano.pcap", &[&to[..], &["--allow-empty"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
}

#[test]
fn a_dead_middleware_is_trouble_whatever_is_expected() {
    let output = run(
        "replay",
        "get-nano.pcap",
        &["--to", "http://127.0.0.1:1", "--speed=max", "--middleware", "false", "--allow-empty", "--no-sandbox"],
    );
    let told = text(&output.stderr);
    // How many it took before it exited is a matter of moments; that it exited is not.
    let reason = told.lines().find(|line| line.starts_with("error: nothing was sent of 3 requests: ")).unwrap();
    assert!(reason.contains(" by the middleware, which exited"), "{told}");
    assert_eq!(output.status.code(), Some(2), "{told}");
}

#[test]
fn warnings_are_lines_for_people_each_once_and_counted() {
    let says = "sh -c 'echo odd >&2; echo odd >&2; echo odd >&2; exec cat'";
    let output =
        run("replay", "get-nano.pcap", &["--to", "http://nosuch.invalid", "--speed=max", "--middleware", says]);
    let told = text(&output.stderr);
    let lines =
        |begin: &str| told.lines().filter(|line| line.starts_with(begin)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        lines("warning: middleware"),
        ["warning: middleware says: odd", "warning: middleware says: odd (3 times)"],
        "{told}"
    );
    assert!(!lines("warning: cannot look up nosuch.invalid: ").is_empty(), "{told}");
    assert!(!told.contains("WARN") && !told.contains("shadowtap::"), "{told}");
}

#[test]
fn a_replay_whose_terminal_goes_away_ends_in_order_and_not_under_nohup() {
    for nohup in [false, true] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut command = Command::new(if nohup { "nohup" } else { "env" });
        if !nohup {
            // Whoever runs the tests may be under it.
            command.arg("--default-signal=HUP");
        }
        command.arg(env!("CARGO_BIN_EXE_shadowtap")).arg("replay").arg(testdata("demo.pcap.zst"));
        command.args(["--to", &url, "--drain", "100ms"]).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (_connection, _) = listener.accept().unwrap();
        let pid = child.id().to_string();
        let kill = |signal: &str| assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        kill("-HUP");
        if nohup {
            // Only this one ends it: a process that were gone could not be signalled.
            kill("-TERM");
        }
        let output = child.wait_with_output().unwrap();
        let report = text(&output.stdout);
        assert!(report.contains("stopped after"), "nohup {nohup}: {report}");
        assert_eq!(output.status.code(), Some(2), "a second signal would have ended it at once: {report}");
    }
}

#[test]
fn an_interrupted_run_ends_in_order_with_its_report() {
    // The run connects here and waits: nothing of it depends on how fast anything is.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let child = shadowtap()
        .arg("replay")
        .arg(testdata("demo.pcap.zst"))
        .args(["--to", &url, "--drain", "100ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (_connection, _) = listener.accept().unwrap();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    let report = text(&output.stdout);
    assert!(report.contains("seen") && report.contains("timeout"), "{report}");
    assert!(report.contains("stopped after"), "{report}");
    assert_eq!(output.status.code(), Some(2), "not one was answered: {report}");
}

#[test]
fn an_interrupt_ends_a_wait_for_more_of_a_pipe() {
    let mut child = shadowtap()
        .args(["inspect", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // All but the last byte, and never the end.
    let capture = zstd::decode_all(&*std::fs::read(testdata("demo.pcap.zst")).unwrap()).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        stdin.write_all(&capture[..capture.len() - 1]).unwrap();
        stdin
    });
    let mut stdout = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut lines = String::new();
        stdout.read_to_string(&mut lines).unwrap();
        lines
    });
    let still_open = feeding.join();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let lines = reading.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(lines.starts_with('{') && lines.ends_with("}\n"));
    drop(still_open);
}

#[tokio::test]
async fn results_that_cannot_be_written_are_trouble_and_the_run_goes_on() {
    let server = Server::start(|_| vec![answer("200 OK", "hello")]).await;
    let url = server.url("http");
    let run = move || run("replay", "get-nano.pcap", &["--to", &url, "--speed", "max", "--results", "/dev/full"]);
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let report = text(&output.stdout);
    assert!(report.starts_with("DIFFERENT\n") && report.contains("\n3 of 3 requests were sent"), "{report}");
    assert!(report.contains("writing results failed"), "{report}");
    let said = text(&output.stderr);
    let line = "warning: cannot write results to /dev/full: No space left on device (os error 28); the run goes on without \
                them, and ends with code 2";
    assert_eq!(said.lines().filter(|said| *said == line).count(), 1, "{said}");
}

#[test]
fn the_demo_finds_what_was_built_in() {
    let output = shadowtap().arg("demo").output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    assert!(!said.contains("WRONG"), "{said}");
}

#[test]
fn a_report_is_made_again_from_results_and_told_of_captures_and_recordings() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("run.jsonl");
    let path = results.to_str().unwrap();
    let arguments = ["--to", "http://127.0.0.1:9", "--speed", "max", "--sample", "1%", "--results", path];
    let replay = run("replay", "demo.pcap.zst", &arguments);
    assert_eq!(replay.status.code(), Some(2), "nobody listens there");
    let report = |file: &std::path::Path| shadowtap().arg("report").arg(file).output().unwrap();
    let again = report(&results);
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(0), text(&replay.stdout)));
    let cut = folder.path().join("cut.jsonl");
    let whole = std::fs::read_to_string(&results).unwrap();
    let three: Vec<&str> = whole.lines().take(3).collect();
    // As a run that is killed leaves it: its last line is not whole.
    let mut three = three.join("\n");
    three.truncate(three.len() - 20);
    std::fs::write(&cut, three).unwrap();
    let cut = report(&cut);
    let told = text(&cut.stdout);
    assert_eq!(cut.status.code(), Some(0), "{}", text(&cut.stderr));
    assert!(told.contains("partial") && told.contains("2 lines") && told.contains("2  seen"), "{told}");
    for file in ["demo.pcap.zst", "goreplay.gor.gz"] {
        let of_production = report(&testdata(file));
        assert_eq!(of_production.status.code(), Some(0));
        assert!(text(&of_production.stdout).contains("GET /v2/channels"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_of_a_run_is_no_capture_and_says_what_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("run.json");
    let made = run("inspect", "keep-alive.pcap", &["--summary", summary.to_str().unwrap()]);
    assert!(made.status.success());
    let path = summary.to_str().unwrap();
    let told = format!(
        "error: {path} is one JSON object, such as the summary of a run, and has no requests: `shadowtap report {path}` \
         shows a run"
    );
    refused(&["inspect", path], &[&told]);
    refused(&["replay", path, "--to", "http://127.0.0.1:9"], &[&told]);
}

#[test]
fn quiet_leaves_warnings_and_the_report() {
    let arguments = ["--to", "http://127.0.0.1:9", "--allow-path", "^/nowhere", "--quiet", "--speed", "max"];
    let output = run("replay", "keep-alive.pcap", &arguments);
    let said = text(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    assert!(matches!(lines.as_slice(), [only] if only.starts_with("error: nothing was sent")), "{said}");
    assert!(!output.stdout.is_empty());
}

#[test]
fn json_has_no_character_that_a_terminal_obeys_wherever_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("odd.gor");
    let request =
        "1 a 1795291200000000000 0\nGET /x\u{7f}\u{9b}31m HTTP/1.1\r\nHost: h\r\n\r\n\n\u{1f435}\u{1f648}\u{1f649}\n";
    std::fs::write(&recording, request).unwrap();
    let output = shadowtap().arg("inspect").arg(&recording).arg("--json").output().unwrap();
    let line = text(&output.stdout);
    assert!(line.contains("\\u007f\\u009b31m") && !line.contains(['\u{7f}', '\u{9b}']), "{line}");
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["target"], "/x\u{7f}\u{9b}31m");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_leaves_out_nothing_is_told_in_the_report() {
    let server = Server::start(|_| vec![answer("200 OK", "{\"b\":1}")]).await;
    let url = server.url("http");
    let arguments = ["--speed", "max", "--ignore", "header:x-typo", "--ignore", "header:content-type", "--to", &url];
    let arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    let replayed = tokio::task::spawn_blocking(move || {
        run("replay", "demo.pcap.zst", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let output = replayed.await.unwrap();
    let report = text(&output.stdout).replace("\n  ", " ");
    assert!(report.contains("--ignore header:x-typo left out nothing in the responses compared"), "{report}");
    assert!(!report.contains("--ignore header:content-type left out nothing"), "{report}");
}
