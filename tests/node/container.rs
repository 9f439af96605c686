//! shadowtap as process 1 of a container.

use std::fs;
use std::process::Command;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, folder, until};
use crate::traffic::curl;

/// Leaves a process behind, and passes messages on.
const MIDDLEWARE: &str = "sh -c '(sleep 1 &); exec cat'";

/// Children of a process by name, ended ones too.
fn children(of: u32) -> Vec<(String, u32)> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let child = |id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        (rest.split_whitespace().nth(1)? == of.to_string()).then(|| (name.to_owned(), id))
    };
    all.filter_map(child).collect()
}

pub(crate) fn reaped() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("all.gor");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_shadowtap")]);
    let file = file.to_str().unwrap();
    let arguments = ["record", "-i", WIRE, "-p", "80", "-o", file, "--count", "3", "--middleware", MIDDLEWARE];
    let tap = Tap::launch(&mut command, &arguments).ready();
    let run = children(tap.id()).pop().unwrap().1;
    let left = |name: &str| children(run).into_iter().find(|(found, _)| found == name);
    until("what was left behind to come to process 1", || left("sleep").is_some());
    until("its exit code to be taken", || left("sleep").is_none());
    // The run's own child still belongs to who waits for it.
    Command::new("kill").args(["-KILL", &left("cat").unwrap().1.to_string()]).status().unwrap();
    tap.says("ended (signal: 9 (SIGKILL)); it is started again");
    until("the next one", || left("cat").is_some());
    curl(&mut network.client("curl"), SERVER, "asked", 3);
    let ended = tap.ended();
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), 3), "{}", ended.said);
    assert!(!ended.said.contains("WARN") && !ended.said.contains("shadowtap::"), "{}", ended.said);
}
