//! What is demanded of a run, as it is typed: what is told, what is written, how the program ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use server::{Server, answer};

fn demo() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", "demo.pcap.zst"].iter().collect()
}

/// Answers with 404, but for the search, which is broken.
async fn staging() -> Server {
    Server::start(|request| {
        let is_search = request.starts_with("GET /v2/search");
        vec![answer(if is_search { "503 Service Unavailable" } else { "404 Not Found" }, "no")]
    })
    .await
}

async fn shadowtap(arguments: Vec<String>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.args(arguments).env_remove("SHADOWTAP_LOG").stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// A replay of the demo's capture, and where its results are.
async fn replay(server: &Server, folder: &Path, arguments: &[&str]) -> (Output, PathBuf) {
    let results = folder.join("run.jsonl");
    let url = format!("staging={}", server.url("http"));
    let mut all =
        ["replay", demo().to_str().unwrap(), "--to", &url, "--speed", "max", "--results"].map(str::to_owned).to_vec();
    all.push(results.to_str().unwrap().to_owned());
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    (shadowtap(all).await, results)
}

/// The gates that failed, as they were told.
fn told(output: &Output) -> Vec<String> {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    stderr.lines().filter(|line| line.starts_with("gate failed: ")).map(str::to_owned).collect()
}

fn summary(results: &Path) -> Value {
    let text = std::fs::read_to_string(results).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_fails_is_the_reason_in_a_line_and_exit_code_1() {
    let (server, folder) = (staging().await, tempfile::tempdir().unwrap());
    let gates = [
        "--fail-if",
        "status-diff>0.1%",
        "--fail-if",
        "lost>0",
        "--fail-if",
        "errors{route=\"/v2/search\",target=\"staging\"}>1%",
        "--fail-if",
        "errors{route=\"/v2/profile*\"}>0",
        "--fail-if",
        "p99>60s",
    ];
    let (output, results) = replay(&server, folder.path(), &gates).await;
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("gate failed: status-diff>0.1%: ") && told[0].contains(" is more than 0.1%"));
    assert!(told[1].contains("errors{route=\"/v2/search\",target=\"staging\"}>1%: "), "{told:?}");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in ["\nGates\n", "\n  failed   status-diff>0.1%: ", "\n  held     lost>0: 0 is not more than 0\n"] {
        assert!(stdout.contains(line), "{line} is not in {stdout}");
    }
    let gates = summary(&results)["gates"].as_array().unwrap().clone();
    let held: Vec<bool> = gates.iter().map(|gate| gate["held"].as_bool().unwrap()).collect();
    assert_eq!(held, [false, true, false, true, true]);
    assert_eq!(gates[2]["state"], "failed");
    assert_eq!(gates[2]["target"], server.url("http"));

    // The same demands of the results come to the same, routes and all.
    let again = |gate: &str| {
        shadowtap(vec!["report".into(), results.to_str().unwrap().into(), "--fail-if".into(), gate.into()])
    };
    let reason = |line: &str| line.rsplit_once("}>1%: ").map(|(_, reason)| reason.to_owned());
    for target in ["staging", &server.url("http")] {
        let output = again(&format!("errors{{route=\"/v2/search\",target=\"{target}\"}}>1%")).await;
        let judged = self::told(&output);
        assert_eq!((output.status.code(), judged.len()), (Some(1), 1), "{target}");
        assert_eq!(reason(&judged[0]), reason(&told[1]));
    }
    let output = again("lost>0").await;
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("gate failed"), "those of the run had their say then");
    let output = again("errors{target=\"nobody\"}>0").await;
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("no target is called `nobody`; there is staging"), "{stderr}");

    // As well of the summary alone.
    let file = folder.path().join("run.json");
    std::fs::write(&file, alone(&summary(&results))).unwrap();
    let gate = "status-diff{target=\"staging\"}>0.1%";
    let output = shadowtap(vec!["report".into(), file.to_str().unwrap().into(), "--fail-if".into(), gate.into()]).await;
    assert_eq!((output.status.code(), self::told(&output).len()), (Some(1), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_does_not_pass_on_too_few_deliveries_and_trouble_goes_before_it() {
    let (server, folder) = (staging().await, tempfile::tempdir().unwrap());
    let (output, _) = replay(&server, folder.path(), &["--fail-if", "lost>0", "--min-samples", "1000000"]).await;
    let told = told(&output);
    assert_eq!((output.status.code(), told.len()), (Some(1), 1));
    assert!(
        told[0].starts_with("gate failed: lost>0: it needs 1,000,000 deliveries to pass, and there are "),
        "{told:?}"
    );
    let (output, _) = replay(&server, folder.path(), &["--fail-if", "lost>0", "--force"]).await;
    assert_eq!((output.status.code(), self::told(&output)), (Some(0), Vec::new()));

    let nobody = Server::refusing().await;
    let (capture, url) = (demo(), format!("http://{nobody}"));
    let arguments = ["replay", capture.to_str().unwrap(), "--to", &url, "--speed", "max"];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    arguments.extend(["--sample", "2%", "--fail-if", "errors>0"].map(str::to_owned));
    let output = shadowtap(arguments).await;
    assert_eq!((output.status.code(), self::told(&output).len()), (Some(2), 1), "nothing could be delivered");
}

/// A summary at the end of results as it stands alone, on one line.
fn alone(summary: &Value) -> String {
    let mut summary = summary.clone();
    summary.as_object_mut().unwrap().remove("kind");
    format!("{summary}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_on_one_line_and_through_a_pipe_are_added_up() {
    let server = staging().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let results = [replay(&server, folders[0].path(), &[]).await.1, replay(&server, folders[1].path(), &[]).await.1];
    let parts = results.each_ref().map(|path| summary(path));
    let (line, pipe) = (folders[0].path().join("line.json"), folders[0].path().join("pipe"));
    std::fs::write(&line, alone(&parts[0])).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (to, text) = (pipe.clone(), alone(&parts[1]));
    let writing = std::thread::spawn(move || std::fs::write(to, text).unwrap());
    let (line, pipe) = (line.to_str().unwrap(), pipe.to_str().unwrap());
    let arguments = ["report", "--merge", line, pipe, "--summary", "-"].map(str::to_owned);
    let output = shadowtap(arguments.into()).await;
    writing.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = parts.iter().map(|part| part["requests"]["seen"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["requests"]["seen"], seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_judge_a_sum_of_runs_and_what_is_no_other_run_is_refused() {
    let server = staging().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let results = [replay(&server, folders[0].path(), &[]).await.1, replay(&server, folders[1].path(), &[]).await.1];
    let [first, second] = results.each_ref().map(|path| path.to_str().unwrap().to_owned());
    let folder = folders[0].path();
    let report = |more: &[&str]| {
        let arguments = ["report", "--merge"].iter().chain(more).map(|word| (*word).to_owned()).collect();
        shadowtap(arguments)
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let (sum, page) = (folder.join("sum.json"), folder.join("sum.html"));
    let (sum, page) = (sum.to_str().unwrap(), page.to_str().unwrap());
    let output = report(&[&first, &second, "--summary", sum, "--report", page]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let of = |path: &str| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (whole, parts) = (of(sum), results.each_ref().map(|path| summary(path)));
    let url = server.url("http");
    for key in ["/requests/seen", "/requests/offered"] {
        let counts: u64 = parts.iter().map(|part| part.pointer(key).unwrap().as_u64().unwrap()).sum();
        assert_eq!(whole.pointer(key).unwrap(), counts, "{key}");
    }
    let service = |of: &Value| of["targets"][&url]["latency_us"]["service"]["count"].as_u64().unwrap();
    assert_eq!(service(&whole), parts.iter().map(service).sum::<u64>());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains(&format!("Added up     2 runs: {first} (")), "{stdout}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("\"merged\":{") && !page.contains("\"histograms\":"), "the page shows no buckets");
    let output = report(&[&first, &second, "--summary", "-"]).await;
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["merged"], whole["merged"]);
    assert!(said(&output).contains("Added up     2 runs"), "{}", said(&output));

    let output = report(&[&first, &second, "--fail-if", "status-diff>0.1%"]).await;
    assert_eq!((output.status.code(), told(&output).len()), (Some(1), 1), "{}", said(&output));
    assert_eq!(report(&[&first, &second, "--fail-if", "p99>60s"]).await.status.code(), Some(0));

    let mut old = parts[1].clone();
    old.as_object_mut().unwrap().remove("histograms");
    let [old_file, other] = ["old.json", "other.json"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    std::fs::write(&old_file, serde_json::to_string_pretty(&old).unwrap()).unwrap();
    std::fs::write(&other, "no summary").unwrap();
    for (more, why) in [
        (vec![first.as_str(), &first], "is of the same run as"),
        (vec![first.as_str(), sum], "is of the same run as"),
        (vec![first.as_str(), &old_file], "and not the durations behind them"),
        (vec![first.as_str(), &other], "is neither the results nor the summary of a run"),
        (vec![first.as_str(), "/nowhere.json"], "cannot open /nowhere.json"),
        (vec![first.as_str(), &second, "--fail-if", "errors{route=\"/a\"}>0"], "judge each run"),
        (vec![first.as_str(), &second, "--against", &first], "--against does not go with --merge"),
    ] {
        let output = report(&more).await;
        let said = said(&output);
        assert!(output.status.code() == Some(2) && said.contains(why) && said.lines().count() == 1, "{more:?}: {said}");
    }
    let output = shadowtap(vec!["report".to_owned(), first, second]).await;
    assert!(output.status.code() == Some(2) && said(&output).contains("--merge adds several up"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_gate_is_told_before_anything_is_sent() {
    let (server, folder) = (staging().await, tempfile::tempdir().unwrap());
    let (output, _) = replay(&server, folder.path(), &["--fail-if", "statusdiff>1%", "--fail-if", "p99>5"]).await;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), server.requests().len()), (Some(2), 0));
    assert!(stderr.contains("error: --fail-if: `statusdiff>1%`, character 1: "), "{stderr}");
    assert!(stderr.contains("did you mean `status-diff`?"), "{stderr}");
    assert!(stderr.contains("error: --fail-if: `p99>5`, character 5: a latency is a time"), "{stderr}");
    let report =
        vec!["report".to_owned(), demo().to_str().unwrap().to_owned(), "--fail-if".to_owned(), "lost>0".to_owned()];
    let output = shadowtap(report).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("--fail-if: ")
            && String::from_utf8_lossy(&output.stderr).contains("is neither the results nor the summary")
    );
}
