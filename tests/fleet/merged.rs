//! The report of all replayers together: held against nginx's log, and against every line of their results.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use shadowtap::report::collect::histogram::LatencyHistogram;

use crate::programs::{Ended, Nginx, Tap, folder};
use crate::server::{Nats, free_port};
use crate::shared::{ALL, recorded};

/// A report, and its exit code.
fn report(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Tap::program().arg("report").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (output.status.code(), said)
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The figures of one histogram over all lines of these results.
fn figures(results: &[String], key: &str) -> Value {
    let mut all = LatencyHistogram::default();
    for line in results.iter().flat_map(|text| text.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(us) = line[key].as_u64() {
            all.record(Duration::from_micros(us));
        }
    }
    assert_eq!(all.count(), ALL, "{key}");
    serde_json::to_value(all.figures()).unwrap()
}

pub(crate) fn as_one_run() {
    let (nats, port, files) = (Nats::start(), free_port(), folder());
    let (url, _) = recorded(&nats, "merged");
    let nginx = Nginx::start(&format!("127.0.0.1:{port}"));
    let target = format!("http://127.0.0.1:{port}");
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let results = [path("first.jsonl"), path("second.jsonl")];
    let replayers = results.each_ref().map(|results| {
        let arguments = ["replay", &url, "--to", &target, "--allow-writes", "--rate", "200/s", "--results", results];
        Tap::launch(&mut Tap::program(), &arguments)
    });
    let ended = replayers.map(Tap::ended);
    for ended in &ended {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(ended.of_target("/ended/sent") > 0, "one had nothing to do: {}", ended.said);
    }
    let logged = nginx.logged();
    assert_eq!(logged.len() as u64, ALL);

    let (sum, page) = (path("sum.json"), path("sum.html"));
    let (code, said) = report(&["--merge", &results[0], &results[1], "--summary", &sum]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = report(&[&url, "--summary", &path("fleet.json"), "--report", &page]);
    assert_eq!(code, Some(0), "{said}");
    let (merged, fleet) = (read(Path::new(&sum)), read(&files.path().join("fleet.json")));
    let texts = results.each_ref().map(|file| fs::read_to_string(file).unwrap());
    for whole in [&merged, &fleet] {
        let of = &whole["targets"][&target];
        assert_eq!((&of["offered"], &of["ended"]["sent"]), (&json!(ALL), &json!(ALL)));
        assert_eq!(of["statuses"], json!({ "200": logged.iter().filter(|one| one.status == 200).count() }));
        assert_eq!(of["latency_us"]["service"], figures(&texts, "service_us"));
        assert_eq!(of["latency_us"]["response"], figures(&texts, "response_us"));
        assert_eq!(of["schedule_lag_us"], figures(&texts, "lag_us"));
        assert_eq!(whole["production"]["latency_us"], figures(&texts, "production_us"));
        let routes = whole["routes"].as_array().unwrap();
        assert_eq!(routes.iter().map(|route| route["requests"].as_u64().unwrap()).sum::<u64>(), ALL);
        let seen = |point: &Value| point["seen"].as_u64().unwrap_or_default();
        assert_eq!(whole["timeline"]["points"].as_array().unwrap().iter().map(seen).sum::<u64>(), ALL);
    }
    let sums = &fleet["fleet"]["sums"];
    for (key, count) in [("seen", ALL), ("ended_there", 0), ("published", ALL), ("ended", ALL), ("waiting", 0)] {
        assert_eq!(sums[key], count, "{key}: {sums}");
    }
    assert_eq!((&sums["expired"], &sums["outcomes"], &sums["unaccounted"]), (&json!(0), &json!(ALL), &json!(0)));
    let outcomes = sums["replayers"].as_array().unwrap().iter().map(|one| one["outcomes"].as_u64().unwrap());
    let sent = ended.iter().map(|ended| ended.of_target("/ended/sent"));
    assert_eq!(outcomes.fold((0, 0), |(n, all), one| (n + 1, all + one)), (2, sent.sum()));
    assert!(
        said.contains(&format!("  outcomes   {ALL} ended = {ALL} in the summaries of replayers + 0 in none")),
        "{said}"
    );
    assert!(fs::read_to_string(page).unwrap().contains("\"unaccounted\":0"));

    // What is demanded is judged on all of it: the target says something else than production did.
    let (code, said) = report(&[&url, "--fail-if", "body-diff>0"]);
    assert!(code == Some(1) && said.contains(&format!("gate failed: body-diff>0: {ALL} is more than 0")), "{said}");
}

/// Of all requests each has one end, whatever moved from one replayer to another; `came` is what the target had.
#[track_caller]
pub(crate) fn each_once(url: &str, ended: &[Ended], came: u64, twice: u64) {
    let files = folder();
    let file = files.path().join("fleet.json");
    let (code, said) = report(&[url, "--summary", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let fleet = read(&file);
    let (sums, requests) = (&fleet["fleet"]["sums"], &fleet["requests"]);
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    assert_eq!((count(&sums["ended"]), count(&sums["outcomes"]), count(&sums["unaccounted"])), (ALL, ALL, 0), "{sums}");
    let again = count(&sums["again"]);
    assert!(again >= twice, "{twice} came twice: {sums}");
    assert_eq!(count(&requests["seen"]), ALL + again, "{requests}");
    let sampled_out = count(&requests["ended"]["sampled_out"]);
    let target = fleet["targets"].as_object().unwrap().values().next().unwrap();
    let uncertain = count(&target["ended"]["shed"]["uncertain"]);
    let sent = count(&target["ended"]["sent"]);
    assert_eq!((sent, sent + uncertain + sampled_out), (came, ALL + again), "{target}");
    assert!(target["ended"]["shed"]["moved"].is_null(), "{said}");
    let moved = ended.iter().map(|ended| ended.count("/fleet/given_up")).sum::<u64>();
    let seen = ended.iter().map(|ended| ended.count("/requests/seen")).sum::<u64>();
    assert_eq!(seen, ALL + again + moved);
}

/// Of a replayer that is lost there is no summary: what is known of its requests the store knows alone.
pub(crate) fn without_one(url: &str) {
    let files = folder();
    let file = files.path().join("fleet.json");
    let (code, said) = report(&[url, "--summary", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let fleet = read(&file);
    let sums = &fleet["fleet"]["sums"];
    let count = |key: &str| sums[key].as_i64().unwrap();
    assert_eq!(
        (count("published"), count("ended"), count("waiting")),
        (ALL.cast_signed(), ALL.cast_signed(), 0),
        "{sums}"
    );
    assert_eq!(count("ended"), count("outcomes") + count("unaccounted"), "{sums}");
    assert!(count("unaccounted") > 0, "it had sent some before it was lost: {sums}");
    let replayers = sums["replayers"].as_array().unwrap();
    let lost: Vec<_> = replayers.iter().filter(|replayer| replayer["outcomes"].is_null()).collect();
    assert!(replayers.len() == 2 && lost.len() == 1 && lost[0]["ended"] == false, "{sums}");
    let name = lost[0]["name"].as_str().unwrap();
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&format!("1 of 2 replayers left none, lost or still at work: {name}")), "{said}");
    let warnings = fleet["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().starts_with("1 of 2 replayers left no summary"), "{warnings:?}");
    let outcomes = fleet["requests"]["seen"].as_i64().unwrap();
    assert!(outcomes >= count("outcomes"), "{outcomes}: {sums}");
}

pub(crate) fn nobody_yet() {
    let nats = Nats::start();
    let (url, _) = recorded(&nats, "nobody");
    let (code, said) = report(&[&url]);
    assert!(code == Some(0) && said.contains(&format!("{ALL} waiting + 0 expired; 0 replayers\n")), "{said}");
    let (code, said) = report(&[&url, "--fail-if", "errors>0"]);
    assert!(code == Some(2) && said.contains("no replayer of run 1 has said what it came to"), "{said}");
    assert!(!said.contains("outcomes "), "{said}");
}
