//! A run under the eyes of a real Prometheus: what it scrapes, what it draws, and when it wakes somebody.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::run::{Run, body, exchanged, stack_that};
use crate::{Running, until};

/// A file of `deploy/`.
fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

pub(crate) fn checked() {
    let run = Run::start();
    run.until_sent();
    let answer = run.get("/metrics");
    assert!(answer.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{answer}");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(body(&answer).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let output =
        Command::new("promtool").args(["check", "rules"]).arg(deployed("prometheus/alerts.yml")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

pub(crate) fn tested() {
    let file = deployed("prometheus/alerts.test.yml");
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (alerts, tests) = (shipped_alerts(), std::fs::read_to_string(file).unwrap());
    for alert in names(&alerts) {
        assert!(tests.contains(&format!("alertname: {alert}")), "{alert} is not tested");
    }
}

fn shipped_alerts() -> String {
    std::fs::read_to_string(deployed("prometheus/alerts.yml")).unwrap()
}

/// The alerts of a file of rules.
fn names(rules: &str) -> impl Iterator<Item = &str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
}

/// The alerts as they are shipped, but looking back over seconds where those look over minutes.
fn hastened() -> String {
    let shipped = shipped_alerts();
    let mut lines: Vec<String> = Vec::new();
    for line in shipped.lines() {
        lines.push(match line.split_once("for: ") {
            Some((before, _)) if before.trim().is_empty() => format!("{before}for: 2s"),
            _ => line.replace("[5m]", "[10s]"),
        });
    }
    let hastened = lines.join("\n");
    assert_eq!(hastened.matches("for: 2s").count(), names(&shipped).count(), "{hastened}");
    assert!(!hastened.contains("m]"), "{hastened}");
    hastened
}

/// A Prometheus that scrapes a run each second, and looks at the alerts as often.
struct Prometheus {
    address: String,
    _process: Running,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(run: &Run) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let target = &run.address;
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [ alerts.yml ]\nscrape_configs:\n  \
             - job_name: shadowtap\n    static_configs: [{{ targets: ['{target}'] }}]\n"
        );
        std::fs::write(&config, text).unwrap();
        std::fs::write(folder.path().join("alerts.yml"), hastened()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { address, _process: Running(process), _folder: folder }
    }

    /// The data of an answer; null where there is none yet.
    fn ask(&self, path: &str, form: &str) -> Value {
        let (host, len) = (&self.address, form.len());
        let method = if form.is_empty() { "GET" } else { "POST" };
        let head = format!(
            "{method} /api/v1/{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {len}\r\n\r\n"
        );
        let answer = exchanged(host, &(head + form)).unwrap_or_default();
        answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()).unwrap_or_default()
    }

    /// What an expression comes to; null where there is no answer yet.
    fn query(&self, expression: &str) -> Value {
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        self.ask("query", &form)
    }

    fn has(&self, expression: &str) -> bool {
        self.query(expression)["data"]["result"].as_array().is_some_and(|result| !result.is_empty())
    }

    #[track_caller]
    fn until_has(&self, expression: &str) {
        until(expression, || self.has(expression).then_some(()));
    }

    /// The names of the alerts that wake somebody now.
    fn firing(&self) -> Vec<String> {
        let answer = self.ask("alerts", "");
        let alerts = answer["data"]["alerts"].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
        let mut firing: Vec<String> = alerts
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect();
        firing.sort();
        firing.dedup();
        firing
    }

    #[track_caller]
    fn until_firing(&self, all: &[&str]) {
        until(&all.join(", "), || (self.firing() == all).then_some(()));
    }

    /// Whether any alert fired at any time.
    fn has_ever_fired(&self) -> bool {
        self.has("count_over_time(ALERTS{alertstate=\"firing\"}[1h])")
    }

    /// Each rule has been looked at, and could be.
    #[track_caller]
    fn understands_each_alert(&self) {
        let answer = self.ask("rules", "");
        let rules = answer["data"]["groups"][0]["rules"].as_array().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(rules.len(), names(&shipped_alerts()).count());
        assert!(rules.iter().all(|rule| rule["health"] == "ok"), "{answer}");
    }
}

pub(crate) fn scraped() {
    let run = Run::start();
    let prometheus = Prometheus::start(&run);
    prometheus.until_has("shadowtap_requests_offered_total > 0");
    prometheus.until_has("rate(shadowtap_production_latency_seconds_count[30s]) > 0");
    assert!(prometheus.has("up{job=\"shadowtap\"} == 1"));
    let dashboard: Value = serde_json::from_slice(&std::fs::read(deployed("grafana/shadowtap.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 30, "{expressions:?}");
    for expression in expressions {
        let asked = expression.replace("$__rate_interval", "30s").replace("$instance", ".*").replace("$target", ".*");
        let answer = prometheus.query(&asked);
        assert_eq!(answer["status"], "success", "{asked}: {answer}");
    }
    // Both sides beside each other, as the dashboard has them.
    let p99 = |name: &str| format!("histogram_quantile(0.99, sum by (le) (rate({name}_bucket[30s]))) > 0");
    for name in ["shadowtap_production_latency_seconds", "shadowtap_response_latency_seconds"] {
        prometheus.until_has(&p99(name));
    }
}

/// A stack that is well, then fails, then is well again.
pub(crate) fn held() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let to = stack_that(move || if failing.load(Ordering::Relaxed) { "503 Service Unavailable" } else { "200 OK" });
    let run = Run::endless(&to, &["--rate", "100/s", "--guard", "errors>5%/2s"]);
    let prometheus = Prometheus::start(&run);

    // For longer than an alert looks back, and waits.
    prometheus.until_has("count_over_time(up[1m]) > 15");
    prometheus.until_has("rate(shadowtap_deliveries_total{outcome=\"sent\"}[10s]) > 50");
    prometheus.understands_each_alert();
    assert!(!prometheus.has_ever_fired(), "{:?}", prometheus.query("ALERTS"));
    assert!(prometheus.has("shadowtap_guard_state{state=\"passing\"} == 1"));
    assert!(prometheus.has("shadowtap_guard_held_ratio == 0 and shadowtap_guard_trips_total == 0"));
    assert!(prometheus.has("shadowtap_deliveries_total{outcome=\"guard_held\"} == 0"));

    fails.store(true, Ordering::Relaxed);
    prometheus.until_has("shadowtap_guard_state{state=\"passing\"} == 0 and on(target) shadowtap_guard_held_ratio > 0");
    prometheus.until_has(
        "shadowtap_guard_state{state=~\"throttled|probing\"} == 1 and on(target) shadowtap_guard_trips_total > 0",
    );
    prometheus.until_has("rate(shadowtap_deliveries_total{outcome=\"guard_held\"}[10s]) > 1");
    prometheus.until_firing(&["ShadowtapGuardTripped", "ShadowtapTargetFailing"]);

    fails.store(false, Ordering::Relaxed);
    prometheus
        .until_has("shadowtap_guard_state{state=\"passing\"} == 1 and on(target) shadowtap_guard_held_ratio == 0");
    prometheus.until_firing(&[]);
    run.wishes("stop", "", "204");
    assert_eq!(run.end().0, Some(0));
}

/// A stack so slow that requests are late at first, and then find no room.
pub(crate) fn shed() {
    let to = stack_that(|| {
        std::thread::sleep(Duration::from_millis(20));
        "200 OK"
    });
    let run = Run::endless(&to, &["--rate", "5000/s", "--max-in-flight", "1", "--drain", "0s"]);
    let prometheus = Prometheus::start(&run);
    prometheus.until_has("shadowtap_deliveries_total{outcome=\"shed\",rule=\"target_queue\"} > 0");
    prometheus.until_firing(&["ShadowtapLag", "ShadowtapShed"]);
}
