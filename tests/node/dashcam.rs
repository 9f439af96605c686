//! The last minutes of a recording, written out when something asks for them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::inspect_files;
use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, each_once, folder};
use crate::traffic::{curl, gor};
use shadowtap::serve::control::{ControlCommand, ask};

/// A dashcam beside nginx, which keeps an hour.
fn dashcam(file: &Path, more: &[&str]) -> Tap {
    let record = ["record", "-i", WIRE, "-p", "80", "-o", file.to_str().unwrap(), "--keep", "1h"];
    Tap::start(&[&record[..], more].concat())
}

/// What is in a folder, but for the control socket.
fn there(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_none_or(|kind| kind != "sock"));
    found.sort();
    found
}

/// Nothing is in the output until it is asked for; then all that was before is, and what follows.
pub(crate) fn signaled() {
    let (network, folder) = (Network::new(), folder());
    let nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("incident.gor");
    let tap = dashcam(&file, &["--then", "1h"]);
    curl(&mut network.client("curl"), SERVER, "before", 40);
    until_seen(&tap, 40);
    assert!(!file.exists() && folder.path().join(".incident.gor.ring").is_dir(), "{:?}", there(folder.path()));
    tap.signal("USR1");
    tap.says("SIGUSR1: saving to");
    tap.signal("USR1");
    tap.says("goes on for another 3600 s");
    curl(&mut network.client("curl"), SERVER, "after", 25);
    until_seen(&tap, 65);
    let logged = nginx.end();
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    ended.lost_nothing();
    assert_eq!(logged.len(), 65);
    let (requests, responses) = gor(&fs::read(&file).unwrap());
    each_once("the save", &logged, requests.iter().map(String::as_str), 0);
    assert_eq!(ended.count("/recording/saved/requests"), 65);
    assert_eq!(ended.count("/recording/saved/records"), (requests.len() + responses) as u64);
    assert_eq!(there(folder.path()), [file], "the ring is gone");
}

/// Frames are saved when production is unwell, and again on a word; what was never asked for is not there.
pub(crate) fn asked() {
    let (network, folder) = (Network::new(), folder());
    let nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("incident.pcap.zst");
    // Every status of this server is one that it is to be unwell with.
    let condition = ["--then", "0s", "--save-if", "production.200>50%/1s"];
    let tap = dashcam(&file, &condition);
    curl(&mut network.client("curl"), SERVER, "unwell", 30);
    tap.says("production: 200 100% of ");
    tap.says(&format!(" frames to {}", file.display()));
    curl(&mut network.client("curl"), SERVER, "later", 20);
    until_seen(&tap, 50);
    tap.says("steered by: ");
    let said = tap.said();
    let socket = said.split("control --socket ").nth(1).unwrap().lines().next().unwrap();
    ask(Path::new(socket), ControlCommand::Save).unwrap();
    let second = folder.path().join("incident.1.pcap.zst");
    tap.says(&format!(" frames to {}", second.display()));
    curl(&mut network.client("curl"), SERVER, "never", 5);
    let logged = nginx.end();
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(there(folder.path()), [second.clone(), file]);
    let (exchanges, engine) = inspect_files(&[second]);
    assert!(engine.warnings.is_empty(), "{:?}", engine.warnings);
    let read: Vec<_> = exchanges.iter().map(|e| String::from_utf8_lossy(e.request.target()).into_owned()).collect();
    each_once("the second save", &logged[..50], read.iter().map(String::as_str), 0);
    assert_eq!(ended.count("/recording/saved/count"), 2, "it is unwell all along, and is saved for it once");
}

fn until_seen(tap: &Tap, requests: usize) {
    tap.says(&format!("{requests} seen, "));
}
