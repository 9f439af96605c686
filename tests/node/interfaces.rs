//! Interfaces that come and go while a run goes on, as who it is after root was given up and within its sandbox.

use std::process::Command;

use crate::net::{Network, SERVER, WIRE};
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
