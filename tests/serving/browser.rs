//! The live page in a real browser: what it draws, and what its buttons do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::run::{Run, stack};
use crate::{Running, until};

/// What Chromium is started with besides its folder: as any user, with one page, and with nobody to talk to but that.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1280,1000",
];

/// Keys, as a driver of browsers is told of them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const SPACE: &str = " ";
const LEFT: &str = "\u{e012}";

/// The word of a token file.
const WORD: &str = "correct-horse-battery-staple";

pub(crate) fn shown() {
    let run = Run::start();
    run.until_sent();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["60", "chromium", "--enable-logging=stderr", "--timeout=8000", "--dump-dom"])
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", folder.path().display()))
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

/// A browser with one page, driven as a person would: by mouse and by keyboard.
struct Browser {
    address: String,
    /// The path of the session; empty before there is one.
    session: String,
    _driver: Running,
    _folder: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is the driver's, and ends with the session.
        self.exchange("DELETE", "", &Value::Null);
    }
}

impl Browser {
    /// Opens the live page of a run, and waits until that draws it.
    fn open(run: &Run) -> Self {
        let browser = Self::load(run);
        browser.until_true("document.querySelector('#live-bar .state').textContent === 'live'");
        browser
    }

    /// Opens the live page of a run.
    fn load(run: &Run) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(driver.stdout.take().unwrap());
        let driver = Running(driver);
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let address = format!("127.0.0.1:{}", port.unwrap());
        let own = format!("--user-data-dir={}", folder.path().display());
        let args: Vec<&str> = FLAGS.into_iter().chain([own.as_str()]).collect();
        let mut browser = Self { address, session: String::new(), _driver: driver, _folder: folder };
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": args } } } });
        let session = browser.does("POST", "/session", &wanted);
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        // What listens at every address is reached on loopback, too.
        let address = run.address.replace("0.0.0.0", "127.0.0.1");
        browser.post("/url", &json!({ "url": format!("http://{address}/") }));
        browser
    }

    /// What the driver answers; nothing where it is gone.
    fn exchange(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (host, session, len) = (&self.address, &self.session, body.len());
        let head = format!(
            "{method} {session}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {len}\r\n\r\n"
        );
        stream.write_all((head + &body).as_bytes()).ok()?;
        let mut lines = BufReader::new(stream);
        let (mut line, mut len) = (String::new(), 0);
        while lines.read_line(&mut line).ok()? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().ok()?;
            }
            line.clear();
        }
        let mut body = vec![0; len];
        lines.read_exact(&mut body).ok()?;
        serde_json::from_slice(&body).ok()
    }

    #[track_caller]
    fn does(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.exchange(method, path, body).unwrap_or_else(|| panic!("no answer to {path}"));
        assert!(answer["value"]["error"].is_null(), "{path} {body}: {answer}");
        answer["value"].clone()
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.does("POST", path, body)
    }

    /// What an expression comes to on the page.
    #[track_caller]
    fn value(&self, expression: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": format!("return {expression}"), "args": [] }))
    }

    #[track_caller]
    fn until_true(&self, expression: &str) {
        until(expression, || (self.value(expression) == true).then_some(()));
    }

    /// The text that somebody sees there; empty where it is hidden.
    fn text(&self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector('{selector}').innerText"));
        let hidden = self.value(&format!("document.querySelector('{selector}').getClientRects().length === 0"));
        if hidden == true { String::new() } else { text.as_str().unwrap().to_owned() }
    }

    #[track_caller]
    fn until_reads(&self, selector: &str, part: &str) {
        until(&format!("{part:?} in {selector}"), || self.text(selector).contains(part).then_some(()));
    }

    #[track_caller]
    fn element(&self, selector: &str) -> Value {
        self.post("/element", &json!({ "using": "css selector", "value": selector }))
    }

    /// Presses the mouse where somebody sees this; one that is hidden or covered cannot be pressed.
    #[track_caller]
    fn click(&self, selector: &str) {
        let element = self.element(selector);
        let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Presses the mouse so far to the right of the middle of this.
    #[track_caller]
    fn click_beside(&self, selector: &str, x: i32) {
        let origin = self.element(selector);
        let actions = json!([
            { "type": "pointerMove", "origin": origin, "x": x, "y": 0 },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.post("/actions", &json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": actions }] }));
    }

    /// Types on the keyboard, wherever the focus is.
    #[track_caller]
    fn types(&self, keys: &str) {
        let press = |key: char| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Goes to this with the Tab key.
    #[track_caller]
    fn tabs_to(&self, id: &str) {
        for _ in 0..10 {
            if self.value("document.activeElement.id") == id {
                return;
            }
            self.types(TAB);
        }
        panic!("the Tab key does not reach {id}");
    }

    /// Waits for the question before the end of a run, and answers it.
    #[track_caller]
    fn confirms(&self, answer: &str) {
        let asked = until("the question", || {
            let asked = self.exchange("GET", "/alert/text", &Value::Null)?;
            asked["value"].as_str().map(str::to_owned)
        });
        assert!(asked.contains("End the run?"), "{asked}");
        self.post(&format!("/alert/{answer}"), &json!({}));
    }

    /// The page has seen the end of the run, and shows what was.
    #[track_caller]
    fn until_ended(&self) {
        self.until_reads("#live-bar .state", "ended");
        assert!(self.text("#live-pause").is_empty(), "nothing is left to steer");
    }

    /// What it shows is the end, and not a moment before.
    #[track_caller]
    fn shows_the_end(&self, summary: &Value) {
        let seen = "document.querySelector('.ledger td.num').textContent.replace(/[^0-9]/g, '')";
        assert_eq!(self.value(seen), summary["requests"]["seen"].to_string());
        let sent = "document.querySelector('.ledger tr:last-child td.num').textContent.replace(/[^0-9]/g, '')";
        let target = summary["targets"].as_object().unwrap().values().next().unwrap();
        assert_eq!(self.value(sent), target["ended"]["sent"].to_string());
        assert!(!self.text("#report").contains("so far"));
    }
}

/// The run ended in order, and by hand, as its summary says.
#[track_caller]
fn has_ended_by_hand(run: Run) -> Value {
    let (code, summary) = run.end();
    assert_eq!(code, Some(0), "{summary}");
    let last = summary["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["reason"], "stopped by hand", "{summary}");
    summary
}

const SHARE: &str = "document.querySelector('#live-bar output').textContent";

/// The share of the run is another one than this, and the page shows it.
#[track_caller]
fn turned_from(run: &Run, browser: &Browser, before: f64) -> f64 {
    until("another share", || ((run.share() - before).abs() > 1e-9).then_some(()));
    let share = run.share();
    until("the share on the page", || {
        let shown = browser.value(SHARE).as_str().unwrap().trim_end_matches('%').parse::<f64>().unwrap();
        ((shown / 100.0 - share).abs() < 1e-9).then_some(())
    });
    share
}

pub(crate) fn clicked() {
    let run = Run::endless(&stack(), &["--rate", "100/s", "--sample", "50%"]);
    let browser = Browser::open(&run);
    browser.click("#live-pause");
    run.until_paused(true);
    browser.until_reads("#live-bar .state", "paused");
    browser.until_reads("#live-pause", "Resume");
    browser.click("#live-pause");
    run.until_paused(false);
    browser.until_reads("#live-pause", "Pause");

    browser.click_beside("#live-share", 0);
    let share = turned_from(&run, &browser, 0.5);
    browser.click_beside("#live-share", 40);
    assert!(turned_from(&run, &browser, share) > share, "to the right is more");

    browser.click("#live-stop");
    browser.confirms("dismiss");
    browser.click("#live-pause");
    run.until_paused(true);
    browser.click("#live-stop");
    browser.confirms("accept");
    browser.until_ended();
    let summary = has_ended_by_hand(run);
    browser.shows_the_end(&summary);
}

pub(crate) fn typed() {
    let run = Run::endless(&stack(), &["--rate", "100/s", "--sample", "50%"]);
    let browser = Browser::open(&run);
    browser.tabs_to("live-share");
    browser.types(LEFT);
    assert!(turned_from(&run, &browser, 0.5) < 0.5, "to the left is less");

    browser.tabs_to("live-pause");
    browser.types(SPACE);
    run.until_paused(true);
    browser.until_reads("#live-pause", "Resume");
    browser.types(ENTER);
    run.until_paused(false);

    browser.tabs_to("live-stop");
    browser.types(ENTER);
    browser.confirms("accept");
    browser.until_ended();
    has_ended_by_hand(run);
}

pub(crate) fn with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, WORD).unwrap();
    let run = Run::endless(&stack(), &["--rate", "100/s", "--control-token-file", file.to_str().unwrap()]);
    let browser = Browser::open(&run);
    assert!(browser.text("#live-pause").is_empty(), "there is nothing to press yet");
    browser.until_reads("#live-bar", "the word in its --control-token-file");

    browser.click("#live-word");
    browser.types("something else entirely");
    browser.types(ENTER);
    browser.click("#live-pause");
    browser.until_reads("#live-bar .said", "Not done: this is not the word in the run's --control-token-file");
    assert!(!run.is_paused() && browser.text("#live-pause").is_empty());

    browser.click("#live-word");
    browser.types(WORD);
    browser.click("#live-steer");
    browser.click("#live-pause");
    run.until_paused(true);
    assert!(browser.text("#live-bar .said").is_empty());
    browser.until_reads("#live-pause", "Resume");
    browser.click("#live-stop");
    browser.confirms("accept");
    browser.until_ended();
    has_ended_by_hand(run);
}

pub(crate) fn locked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, WORD).unwrap();
    let run = Run::open(&["--control-token-file", file.to_str().unwrap()]);
    let browser = Browser::load(&run);
    browser.until_reads("#live-bar .state", "locked");
    browser.until_reads("#live-bar", "To see this run, type the word in its --control-token-file");
    assert!(!browser.text("#report").contains("What became of every request"), "it shows what is for others");

    browser.click("#live-word");
    browser.types("something else entirely");
    browser.types(ENTER);
    browser.until_reads("#live-bar .said", "Not shown: this is not the word in the run's --control-token-file");
    assert!(!browser.text("#report").contains("What became of every request"), "it shows what is for others");

    browser.click("#live-word");
    browser.types(WORD);
    browser.click("#live-steer");
    browser.until_reads("#live-bar .state", "live");
    browser.until_reads("#report", "What became of every request");
    assert_eq!(browser.value("document.cookie"), "", "cookies go to every port of a host");
    browser.click("#live-stop");
    browser.confirms("accept");
    browser.until_ended();
    has_ended_by_hand(run);
}
