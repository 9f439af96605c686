//! Interfaces that come and go while a run goes on, as who it is after root was given up and within its sandbox.

use std::process::Command;

use crate::net::{Network, Pair, SERVER, WIRE, ip};
use crate::programs::{Nginx, Tap, folder};
use crate::traffic::{curl, gor, unpacked};

const NONE_LEFT: &str = "no interface is left to capture on";

pub(crate) fn made_again() {
    let folder = folder();
    let file = folder.path().join("again.gor");
    let mut network = Network::new();
    let _nginx = Nginx::start("0.0.0.0:80");
    let tap = Tap::start(&["record", "-i", WIRE, "-p", "80", "-o", file.to_str().unwrap()]);
    for round in 0..3 {
        curl(&mut network.client("curl"), SERVER, &format!("round{round}"), 10);
        if round < 2 {
            drop(network);
            network = Network::new();
            tap.says_times(&format!("{WIRE} is there again"), round + 1);
        }
    }
    let ended = tap.end("TERM");
    assert_eq!((ended.code, ended.count("/requests/ended/kept")), (Some(0), 30), "{}", ended.said);
    assert_eq!(gor(&unpacked(&file)).0.len(), 30);
}

pub(crate) fn none_left() {
    let folder = folder();
    let file = folder.path().join("none.gor");
    let network = Network::new();
    let _nginx = Nginx::start("0.0.0.0:80");
    let tap = Tap::start(&["record", "-i", WIRE, "-p", "80", "-o", file.to_str().unwrap()]);
    curl(&mut network.client("curl"), SERVER, "before", 10);
    drop(network);
    let ended = tap.ended();
    assert_eq!((ended.code, ended.count("/requests/ended/kept")), (Some(2), 10), "{}", ended.said);
    assert!(ended.said.contains(NONE_LEFT), "{}", ended.said);
}

pub(crate) fn waited_for() {
    let folder = folder();
    let file = folder.path().join("waited.gor");
    let _nginx = Nginx::start("0.0.0.0:80");
    let arguments = ["record", "-i", WIRE, "--wait-interface", "-p", "80", "-o", file.to_str().unwrap()];
    let tap = Tap::launch(&mut Command::new(env!("CARGO_BIN_EXE_shadowtap")), &arguments);
    tap.says(&format!("waiting until {WIRE} is there and up"));
    let mut network = Network::new();
    let tap = tap.ready();
    curl(&mut network.client("curl"), SERVER, "first", 10);
    drop(network);
    tap.says("waiting until one comes back");
    network = Network::new();
    tap.says(&format!("{WIRE} is there again"));
    curl(&mut network.client("curl"), SERVER, "second", 10);
    let ended = tap.end("TERM");
    assert_eq!((ended.code, ended.count("/requests/ended/kept")), (Some(0), 20), "{}", ended.said);
}

/// Later wires: their ends.
const LATER: [&str; 2] = ["10.8.0.1", "10.8.0.2"];

/// Ten requests on the wire, and then ten on each wire that appears.
fn with_another(interfaces: &[&str], name: &'static str, bridge: Option<&'static str>) {
    let folder = folder();
    let file = folder.path().join("later.gor");
    let network = Network::new();
    let _nginx = Nginx::start("0.0.0.0:80");
    let tap = Tap::start(&[&["record", "-p", "80", "-o", file.to_str().unwrap()], interfaces].concat());
    curl(&mut network.client("curl"), SERVER, "first", 10);
    let wire = network.another(name, LATER, bridge);
    tap.says(&format!("{} is new: it is captured on", bridge.unwrap_or(name)));
    curl(&mut network.client("curl"), LATER[0], "second", 10);
    drop(wire);
    if let Some(bridge) = bridge {
        ip(&["link", "del", bridge]);
    }
    tap.says(&format!("the capture on {} ended", bridge.unwrap_or(name)));
    let _wire = network.another(name, LATER, bridge);
    tap.says(&format!("{} is there again", bridge.unwrap_or(name)));
    curl(&mut network.client("curl"), LATER[0], "third", 10);
    if let Some(bridge) = bridge {
        ip(&["link", "del", bridge]);
    }
    let ended = tap.end("TERM");
    assert_eq!((ended.code, ended.count("/requests/ended/kept")), (Some(0), 30), "{}", ended.said);
    assert_eq!(gor(&unpacked(&file)).0.len(), 30);
}

pub(crate) fn matching() {
    with_another(&["-i", "node?"], "node1", None);
}

pub(crate) fn everywhere() {
    with_another(&[], "node1", None);
    with_another(&[], "port1", Some("bridge1"));
}

pub(crate) fn places() {
    let folder = folder();
    let file = folder.path().join("places.gor");
    let network = Network::new();
    let _nginx = Nginx::start("0.0.0.0:80");
    let tap = Tap::start(&["record", "-i", "node*", "-p", "80", "-o", file.to_str().unwrap()]);
    let first = Pair::new("node10", "node11");
    tap.says("node11 is new: it is captured on");
    let others =
        [("node12", "node13"), ("node14", "node15"), ("node16", "node17")].map(|(one, other)| Pair::new(one, other));
    tap.says_times("is new: it is captured on", 8);
    let _wire = network.another("node1", LATER, None);
    tap.says("node1 is new, and not captured on: 8 that appeared are already");
    drop(first);
    tap.says("node1 is new: it is captured on");
    curl(&mut network.client("curl"), LATER[0], "late", 10);
    drop(others);
    let ended = tap.end("TERM");
    assert_eq!((ended.code, ended.count("/requests/ended/kept")), (Some(0), 10), "{}", ended.said);
}
