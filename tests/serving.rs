//! A run that is watched and steered over HTTP while it goes on: by hand, by Prometheus, by a browser.
//!
//! Each trial names what it needs. Where that is not there the trial is ignored, and its name says what it lacks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "support/files.rs"]
mod files;
#[path = "support/trials.rs"]
mod trials;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use files::testdata;

/// Looks, a tenth of a second apart, before something counts as never to come.
const LOOKS: usize = 300;

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("a run is read, turned, paused and stopped over HTTP, and its ledger adds up", &[], steered),
        trial("what comes from elsewhere is refused", &[], refused),
        trial("the page is told of routes and times now and then, and of counts each second", &[], told),
        trial("with --log-format json every line on standard error is an object", &[], as_json),
        trial("the metrics of a run and the alerts are as Prometheus asks", &["promtool"], checked),
        trial("Prometheus scrapes a run, and every picture of the dashboard can be drawn", &["prometheus"], scraped),
        trial("a browser draws a run while it goes on, and has nothing to complain about", &["chromium"], shown),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, programs: &[&str], run: fn()) -> Trial {
    trials::trial(name, &trials::missing(programs), run)
}

/// Waits until there is something.
#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} never came");
}

/// A program that ends with its trial, whatever becomes of that.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The address of a stack that answers everything alike, for as long as this process runs.
fn stack() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    while lines.read_line(&mut line).ok()? > 0 {
        if line == "\r\n" {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").ok()?;
        }
        line.clear();
    }
    Some(())
}

/// A replay of some half a minute that is shown at an address of its own.
struct Run {
    process: Running,
    address: String,
    folder: tempfile::TempDir,
    _said: BufReader<ChildStderr>,
}

impl Run {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let summary = folder.path().join("run.json");
        let mut process = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
            .arg("replay")
            .arg(testdata("demo.pcap.zst"))
            .args(["--to", &stack(), "--speed", "0.25x", "--sample", "50%", "--quiet", "--metrics", "127.0.0.1:0"])
            .arg("--summary")
            .arg(&summary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let process = Running(process);
        let mut line = String::new();
        while said.read_line(&mut line).unwrap() > 0 && !line.contains("live page at") {
            line.clear();
        }
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        let run = Self { process, address, folder, _said: said };
        until("the first scrape", || run.get("/metrics").starts_with("HTTP/1.1 200").then_some(()));
        run
    }

    /// What is answered to a request with these header lines.
    fn ask(&self, method: &str, path: &str, lines: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let len = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\nContent-Length: {len}\r\n\r\n{body}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn host(&self) -> String {
        format!("Host: {}\r\n", self.address)
    }

    fn get(&self, path: &str) -> String {
        self.ask("GET", path, &self.host(), "")
    }

    /// The value of a sample without labels.
    fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics");
        let line =
            page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}: {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// The header lines with which the page would send a wish.
    fn bearer(&self) -> String {
        let page = self.get("/");
        let token = page.split("data-token=\"").nth(1).unwrap().split('"').next().unwrap();
        format!("{}Authorization: Bearer {token}\r\n", self.host())
    }

    #[track_caller]
    fn wishes(&self, what: &str, body: &str, status: &str) {
        let answer = self.ask("POST", &format!("/control/{what}"), &self.bearer(), body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {answer}");
    }

    /// Waits for the end; returns the exit code and the summary.
    fn end(mut self) -> (Option<i32>, Value) {
        let status = until("the end of the run", || self.process.0.try_wait().unwrap());
        let summary = std::fs::read(self.folder.path().join("run.json")).unwrap();
        (status.code(), serde_json::from_slice(&summary).unwrap())
    }
}

fn steered() {
    let run = Run::start();
    assert!((run.metric("shadowtap_sample_asked_ratio") - 0.5).abs() < 1e-9);
    run.wishes("share", "25%", "204");
    until("the share", || (run.metric("shadowtap_sample_asked_ratio") < 0.26).then_some(()));
    run.wishes("pause", "", "204");
    until("the pause", || (run.metric("shadowtap_paused") > 0.5).then_some(()));
    run.wishes("resume", "", "204");
    until("the end of the pause", || (run.metric("shadowtap_paused") < 0.5).then_some(()));
    run.wishes("share", "a lot", "400");
    run.wishes("share", &"9".repeat(1000), "413");
    run.wishes("dance", "", "404");
    until("a request that is sent", || (run.metric("shadowtap_requests_offered_total") > 0.0).then_some(()));
    run.wishes("stop", "", "204");
    let (code, summary) = run.end();
    assert_eq!(code, Some(0), "{summary}");
    let reasons: Vec<&str> =
        summary["steps"].as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["control"; 4], "{}", summary["steps"]);
    let requests = &summary["requests"];
    let ended = &requests["ended"];
    let filtered: u64 = ended["filtered"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let shed: u64 = ended["shed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let all = requests["offered"].as_u64().unwrap() + ended["sampled_out"].as_u64().unwrap() + filtered + shed;
    assert_eq!(requests["seen"].as_u64().unwrap(), all, "{requests}");
}

/// The first three events, as they were sent.
fn events(run: &Run) -> Vec<String> {
    let mut stream = TcpStream::connect(&run.address).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\n{}\r\n", run.host()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)).take(3).collect()
}

fn told() {
    let run = Run::start();
    until("a request that is sent", || (run.metric("shadowtap_requests_offered_total") > 0.0).then_some(()));
    let events = events(&run);
    let lens: Vec<usize> = events.iter().map(String::len).collect();
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let first = &events[0];
    assert!(first["summary"]["timeline"]["points"].is_array() && first["differences"].is_array(), "{first}");
    for light in &events[1..] {
        for slow in ["routes", "kinds", "curves", "timeline"] {
            assert!(light["summary"][slow].is_null(), "{slow} in {light}");
        }
        assert!(light["differences"].is_null(), "{light}");
        assert!(light["summary"]["requests"]["seen"].is_u64() && light["live"]["targets"].is_object(), "{light}");
    }
    assert!(lens[1] < lens[0] / 2, "{lens:?}");
    run.wishes("stop", "", "204");
    assert_eq!(run.end().0, Some(0));
}

fn refused() {
    let run = Run::start();
    let bearer = run.bearer();
    let other = bearer.replace(&run.host(), "Host: evil.example\r\n");
    for (method, path, lines, status) in [
        ("GET", "/", "Host: evil.example\r\n".to_owned(), "421"),
        ("GET", "/metrics", "Host: evil.example\r\n".to_owned(), "421"),
        ("GET", "/events", "Host: evil.example\r\n".to_owned(), "421"),
        ("POST", "/control/stop", other, "421"),
        ("POST", "/control/stop", run.host(), "401"),
        ("POST", "/control/stop", format!("{bearer}Origin: http://evil.example\r\n"), "403"),
        ("POST", "/control/stop", format!("{bearer}Sec-Fetch-Site: cross-site\r\n"), "403"),
        ("OPTIONS", "/control/stop", format!("{}Origin: http://evil.example\r\n", run.host()), "405"),
        ("PUT", "/control/stop", bearer.clone(), "405"),
        ("GET", "/control/stop", run.host(), "405"),
        ("GET", "/etc/passwd", run.host(), "404"),
    ] {
        let answer = run.ask(method, path, &lines, "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path} {lines}: {answer}");
        let answer = answer.to_lowercase();
        assert!(!answer.contains("access-control-allow"), "{answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
    }
    let page = run.get("/").to_lowercase();
    for line in [
        "x-frame-options: deny",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "frame-ancestors 'none'",
    ] {
        assert!(page.contains(line), "{line}");
    }
    assert!(run.metric("shadowtap_paused") < 0.5, "the run goes on");
}

fn as_json() {
    let output = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
        .arg("replay")
        .arg(testdata("demo.pcap.zst"))
        .args(["--to", &stack(), "--speed", "4x", "--log-format", "json", "--insecure", "--summary", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["message"].is_string()), "{said}");
    assert!(lines.iter().any(|line| line["level"] == "WARN"), "{said}");
    let progress = lines.iter().find(|line| line["progress"].is_object()).unwrap();
    assert!(progress["progress"]["seen"].is_u64(), "{progress}");
    assert!(lines.last().unwrap()["report"].as_str().unwrap().contains("answered"), "{said}");

    let wrong = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
        .args(["replay", "/nowhere.pcap", "--to", "x", "--log-format", "json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said.lines().count() >= 2);
    for line in said.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["level"], "ERROR", "{line}");
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn checked() {
    let run = Run::start();
    until("a request that is sent", || (run.metric("shadowtap_requests_offered_total") > 0.0).then_some(()));
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
    let rules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/alerts.yml");
    let output = Command::new("promtool").args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A Prometheus that scrapes a run each second.
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
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: shadowtap\n    static_configs: [{{ targets: ['{target}'] }}]\n"
        );
        std::fs::write(&config, text).unwrap();
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

    /// What an expression comes to; null where there is no answer yet.
    fn query(&self, expression: &str) -> Value {
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return Value::Null };
        let (host, len) = (&self.address, form.len());
        let head = format!(
            "POST /api/v1/query HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len}\r\n\r\n"
        );
        let mut answer = String::new();
        if stream.write_all((head + &form).as_bytes()).is_err() || stream.read_to_string(&mut answer).is_err() {
            return Value::Null;
        }
        answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()).unwrap_or_default()
    }

    fn has(&self, expression: &str) -> bool {
        self.query(expression)["data"]["result"].as_array().is_some_and(|result| !result.is_empty())
    }
}

fn scraped() {
    let run = Run::start();
    let prometheus = Prometheus::start(&run);
    until("a scrape", || prometheus.has("shadowtap_requests_offered_total > 0").then_some(()));
    until("two scrapes", || prometheus.has("rate(shadowtap_production_latency_seconds_count[30s]) > 0").then_some(()));
    assert!(prometheus.has("up{job=\"shadowtap\"} == 1"));
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/shadowtap.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
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
        until(name, || prometheus.has(&p99(name)).then_some(()));
    }
}

fn shown() {
    let run = Run::start();
    until("a request that is sent", || (run.metric("shadowtap_requests_offered_total") > 0.0).then_some(()));
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args([
            "60",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--timeout=8000",
        ])
        .args(["--window-size=1400,1000", "--dump-dom", &format!("--user-data-dir={}", folder.path().display())])
        .arg(format!("http://{}/", run.address))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:?}");
    for part in [
        "id=\"live-share\"",
        "id=\"live-pause\"",
        "id=\"live-stop\"",
        " asked for",
        "What became of every request",
        "Over time",
        "Share asked",
        "Last differences",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    run.wishes("stop", "", "204");
    assert_eq!(run.end().0, Some(0));
}
