//! A dry run beside production: it listens, says what it would send, and leaves nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, folder, until};
use crate::traffic::curl;

pub(crate) fn listens() {
    let (network, folder) = (Network::new(), folder());
    let (_nginx, target) = (Nginx::start(&format!("{SERVER}:80")), Nginx::start("127.0.0.1:8080"));
    let file = folder.path().join("all.gor");
    let shadow = ["shadow", "-i", WIRE, "-p", "80", "--to", "new=http://127.0.0.1:8080"];
    let record = ["record", "-i", WIRE, "-p", "80"];
    for command in [&shadow[..], &record[..]] {
        let more = ["-o", file.to_str().unwrap(), "--count", "5", "--duration", "60s", "--dry-run"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
        let child = child.args(command).args(more).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut child = Some(child);
        let mut output = None;
        until("five requests", || {
            curl(&mut network.client("curl"), SERVER, "dry", 1);
            let ended = child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
            if ended {
                output = child.take().map(|child| child.wait_with_output().unwrap());
            }
            ended
        });
        let output = output.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.starts_with("Dry run: 5 requests seen, nothing sent, no output written"), "{said}");
        assert!(said.contains(&format!("recording to {}\n  5 requests", file.display())), "{said}");
        if command == shadow {
            assert!(said.contains("new = http://127.0.0.1:8080\n  5 requests (100% of those seen)"), "{said}");
            assert!(said.contains("\n    GET /dry/0 HTTP/1.1\n    Host: 127.0.0.1:8080\n"), "{said}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
    }
    assert!(target.end().is_empty(), "nothing is sent");
}

/// It says what would be in the way of the recording, as the run would, and leaves nothing behind.
pub(crate) fn tries_outputs() {
    let (_network, folder) = (Network::new(), folder());
    let place = folder.path().join("new/%Y/all.gor");
    let dry = |more: &[&str]| {
        let record = ["record", "-i", WIRE, "-p", "80", "-o", place.to_str().unwrap(), "--dry-run", "--duration", "1s"];
        let arguments = [&record[..], &["--allow-empty"], more].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_shadowtap")).args(arguments).output().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = dry(&[]);
    assert_eq!(code, Some(0), "{said}");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = dry(&["--user", "nobody"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot make") && said.contains("Permission denied"), "{said}");
    let (code, said) = dry(&[]);
    assert_eq!(code, Some(0), "root may: {said}");
}

pub(crate) fn silence() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("all.gor");
    let tap = Tap::start(&["record", "-i", WIRE, "-p", "81", "-o", file.to_str().unwrap()]);
    curl(&mut network.client("curl"), SERVER, "elsewhere", 10);
    tap.says("no request for 10 s: no packets on node0 match `tcp port 81`; ");
    let ended = tap.end("INT");
    assert!(ended.said.contains(" packets passed the interface: are -p and -f right?"), "{}", ended.said);
    assert_eq!(ended.code, Some(2), "nothing was recorded: {}", ended.said);
    assert!(ended.said.contains("error: nothing was recorded: no HTTP/1 request was found"), "{}", ended.said);
    let arguments =
        ["record", "-i", WIRE, "-p", "81", "-o", file.to_str().unwrap(), "--duration", "1s", "--allow-empty"];
    let ended = Tap::start(&arguments).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}
