//! `doctor` on a production node: where all is well, and where it is not.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::Nginx;
use crate::traffic::curl;

/// Asks the doctor while requests come.
fn asked(arguments: &[&str]) -> (Output, Value) {
    let network = Network::new();
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                curl(&mut network.client("curl"), SERVER, "doctor", 5);
            }
        });
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
        let output = doctor.args(["doctor", "--json", "-i", WIRE, "-p", "80"]).args(arguments).output().unwrap();
        done.store(true, Ordering::Relaxed);
        let found = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (output, found)
    })
}

/// The finding of a check.
fn finding<'a>(found: &'a Value, check: &str) -> &'a Value {
    let all = found["findings"].as_array().unwrap();
    all.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check} in {found}"))
}

pub(crate) fn well() {
    let target = Nginx::start("127.0.0.1:8081");
    let (output, found) = asked(&["--to", "http://127.0.0.1:8081", "-o", "/tmp/x.gor", "--duration", "10s"]);
    assert_eq!((output.status.code(), &found["problems"]), (Some(0), &Value::from(0)), "{found}");
    for check in ["rights", "interfaces", "traffic", "drops", "snaplen", "target", "open files", "disk"] {
        assert_eq!(finding(&found, check)["state"], "ok", "{found}");
    }
    assert!(finding(&found, "target")["says"].as_str().unwrap().contains("answers 200 for /"), "{found}");
    assert_eq!(target.logged().len(), 1, "one request for /");
}

pub(crate) fn ill() {
    let (output, found) = asked(&["-f", "host 192.0.2.1", "--to", "http://127.0.0.1:9"]);
    assert_eq!((output.status.code(), &found["problems"]), (Some(2), &Value::from(2)), "{found}");
    let traffic = finding(&found, "traffic");
    assert!(traffic["says"].as_str().unwrap().contains("of these ports passed"), "{found}");
    assert!(traffic["mend"].as_str().unwrap().contains("leave out -f"), "{found}");
    assert!(finding(&found, "target")["mend"].as_str().unwrap().contains("start it"), "{found}");
}
