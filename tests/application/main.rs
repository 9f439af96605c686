//! A real application with sessions and CSRF tokens: Django, recorded with tcpdump while fifty users work, and replayed
//! against another one with a session store of its own. `.ci/django` installs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "../support/tcpdump.rs"]
mod tcpdump;
#[path = "../support/trials.rs"]
mod trials;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Arguments;
use serde_json::Value;
use tcpdump::{Recording, Running, may_capture};

const CARRY: &str = r#"
[[link]]
allow-writes = true

[[link]]
carry = "session"
from = { set-cookie = "sessionid" }
until-known = "wait 30s"

[[link]]
carry = "csrf-cookie"
from = { set-cookie = "csrftoken" }
until-known = "wait 30s"

[[link]]
carry = "csrf-form"
from = { body = 'name="csrfmiddlewaretoken" value="([^"]+)"' }
into = { form = "csrfmiddlewaretoken" }
until-known = "wait 30s"
"#;
/// Requests of all users.
const REQUESTS: u64 = 50 * 14;

fn main() {
    let arguments = Arguments::from_args();
    let mut lacks = trials::missing(&["python3", "tcpdump"]);
    if lacks.is_empty() && !python(&["-c", "import django"]).status().unwrap().success() {
        lacks.push("Django (.ci/django)");
    }
    if lacks.is_empty() && !may_capture() {
        lacks.push("the right to capture on lo");
    }
    let trials = vec![
        trials::trial(
            "sessions of an application go on at another one, and without `carry` they do not",
            &lacks,
            sessions,
        ),
        trials::trial("sessions go on at another one while users work", &lacks, live_sessions),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Python, with the packages that are installed for tests.
fn python(arguments: &[&str]) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let mut command = Command::new("python3");
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("python");
    command.args(arguments).env("PYTHONPATH", packages).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn script(name: &str) -> String {
    format!("{}/tests/application/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// One instance of the application.
struct Site {
    port: u16,
    _folder: tempfile::TempDir,
    _running: Running,
}

impl Site {
    fn start(key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = python(&[&script("site.py"), folder.path().to_str().unwrap(), key]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { port: port.trim().parse().unwrap(), _folder: folder, _running: Running(child) }
    }
}

/// The report's block of the only target of a replay with these flags to a new instance.
fn replayed(capture: &Path, flags: &[&str]) -> (Value, String) {
    let (site, folder) = (Site::start("staging"), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let (summary, results) = (folder.join("summary.json"), folder.join("results.jsonl"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.arg("replay").arg(capture).args(["--to", &format!("http://127.0.0.1:{}", site.port)]).args(flags);
    command.args(["--summary", summary.to_str().unwrap(), "--results", results.to_str().unwrap()]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let read: Value = serde_json::from_slice(&std::fs::read(&summary).unwrap()).unwrap();
    let target = read["targets"].as_object().unwrap().values().next().unwrap().clone();
    let written = format!("{said}{read}{}", std::fs::read_to_string(results).unwrap());
    (target, written)
}

/// Responses whose status was production's, and all.
fn same_status(target: &Value) -> (u64, u64) {
    let matrix: BTreeMap<String, BTreeMap<String, u64>> = serde_json::from_value(target["matrix"].clone()).unwrap();
    let all = matrix.values().flat_map(BTreeMap::values).sum();
    (matrix.iter().filter_map(|(status, row)| row.get(status)).sum(), all)
}

fn users(production: &Site) {
    let users = python(&[&script("users.py"), &production.port.to_string()]).stderr(Stdio::inherit()).status().unwrap();
    assert!(users.success());
}

/// Production's responses come while its requests are on their way to the other one.
fn live_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, file) = (folder.path().join("carry.toml"), folder.path().join("summary.json"));
    std::fs::write(&chain, CARRY).unwrap();
    let (production, site) = (Site::start("production"), Site::start("staging"));
    let (port, to) = (production.port.to_string(), format!("http://127.0.0.1:{}", site.port));
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.args(["shadow", "-i", "lo", "-p", &port, "--to", &to, "--connections", "mirrored", "--guard", "off"]);
    command.args(["--drain", "60s", "--filters", chain.to_str().unwrap(), "--summary", file.to_str().unwrap()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let (mut running, mut line) = (Running(child), String::new());
    while !line.starts_with("capturing on ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it does not begin");
    }
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        said.read_to_string(&mut rest).map(|_| rest)
    });
    users(&production);
    std::thread::sleep(Duration::from_millis(300));
    running.end("INT");
    let said = rest.join().unwrap().unwrap();
    let read: Value = serde_json::from_slice(&std::fs::read(&file).unwrap_or_else(|_| panic!("{said}"))).unwrap();
    let target = read["targets"].as_object().unwrap().values().next().unwrap();
    assert_eq!(same_status(target), (REQUESTS, REQUESTS), "{said}{target:#}");
    let counts = &target["carry"]["session"];
    assert_eq!((&counts["learnt"], &counts["foreign"]), (&50.into(), &0.into()), "{counts}");
}

fn sessions() {
    let folder = tempfile::tempdir().unwrap();
    let (capture, chain) = (folder.path().join("day.pcap"), folder.path().join("carry.toml"));
    std::fs::write(&chain, CARRY).unwrap();
    let production = Site::start("production");
    let recording = Recording::start(&capture, production.port).unwrap();
    users(&production);
    assert_eq!(recording.stop(), 0, "packets that tcpdump dropped");
    let filters = ["--filters", chain.to_str().unwrap()];
    // Over a pool requests of one session may overtake each other.
    for speed in ["max", "1x"] {
        let flags = ["--connections", "mirrored", "--speed", speed];
        let (target, written) = replayed(&capture, &[filters.as_slice(), &flags].concat());
        assert_eq!(same_status(&target), (REQUESTS, REQUESTS), "{flags:?}: {target:#}");
        for (rule, learnt) in [("session", 50), ("csrf-cookie", 100), ("csrf-form", 200)] {
            let counts = &target["carry"][rule];
            assert_eq!(
                (&counts["learnt"], &counts["foreign"], &counts["gave_up"]),
                (&learnt.into(), &0.into(), &0.into()),
                "{rule}: {counts}"
            );
        }
        // The tokens of pages are nowhere, and no difference.
        let token = written.split("csrfmiddlewaretoken").skip(1).find(|rest| !rest.contains("***"));
        assert_eq!(token, None);
        assert_eq!(target["differences"]["body"], 0, "{flags:?}");
    }
    let (target, _) = replayed(&capture, &["--allow-writes", "--speed", "max", "--connections", "mirrored"]);
    let (same, all) = same_status(&target);
    assert!(same < all / 2 && target["carry"].is_null(), "{same} of {all}: {target:#}");
}
