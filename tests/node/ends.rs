//! How a run ends: in order, at once, or by a kill.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, each_once, folder, until};
use crate::traffic::{Load, curl, gor, lines, targets, unpacked};

/// Longest time that what was handed to the recorder stays in the process, in milliseconds, with some for a machine
/// that is busy.
const FLUSHED: u64 = 2000;

fn record(file: &Path, arguments: &[&str]) -> Tap {
    Tap::start(&[&["record", "-i", WIRE, "-p", "80", "-o", file.to_str().unwrap()], arguments].concat())
}

fn recorded(file: &Path) -> Vec<String> {
    gor(&unpacked(file)).0
}

pub(crate) fn signals() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    for signal in ["INT", "TERM"] {
        let file = folder.path().join(format!("{signal}.gor"));
        let tap = record(&file, &[]);
        curl(&mut network.client("curl"), SERVER, signal, 10);
        let ended = tap.end(signal);
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_eq!(ended.count("/requests/ended/kept"), 10);
        assert_eq!(recorded(&file).len(), 10);
    }
}

pub(crate) fn limits() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("count.gor");
    let tap = record(&file, &["--count", "5"]);
    curl(&mut network.client("curl"), SERVER, "count", 20);
    let ended = tap.ended();
    assert_eq!((ended.code, ended.count("/requests/seen")), (Some(0), 5), "{}", ended.said);
    let first: Vec<_> = (0..5).map(|n| format!("/count/{n}")).collect();
    assert_eq!(recorded(&file), first);

    let file = folder.path().join("duration.gor");
    let tap = record(&file, &["--duration", "4s"]);
    curl(&mut network.client("curl"), SERVER, "duration", 5);
    let ended = tap.ended();
    assert_eq!((ended.code, ended.count("/requests/seen")), (Some(0), 5), "{}", ended.said);
    assert_eq!(recorded(&file).len(), 5);
}

pub(crate) fn twice() {
    let network = Network::new();
    let (_nginx, target) = (Nginx::start(&format!("{SERVER}:80")), Nginx::start("127.0.0.1:8080"));
    target.halt();
    let to = ["--to", "http://127.0.0.1:8080", "--drain", "10m", "--timeout", "10m"];
    let tap = Tap::start(&[&["shadow", "-i", WIRE, "-p", "80"], &to[..]].concat());
    curl(&mut network.client("curl"), SERVER, "waiting", 3);
    tap.says(" 3 waiting");
    tap.signal("INT");
    // It goes on to wait for what is in flight, and says so each second.
    let lines = tap.said().lines().count();
    until("more of its lines", || tap.said().lines().count() > lines + 2);
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(130), "{}", ended.said);
    assert!(ended.summary.is_null());
}

pub(crate) fn reopened() {
    const LOAD: Load = Load { seconds: 4, pause: 5, ..Load::new("reopened") };
    let (network, folder) = (Network::new(), folder());
    let nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("all.gor");
    let tap = record(&file, &[]);
    let mut load = LOAD.command(&network, folder.path()).stdout(Stdio::null()).spawn().unwrap();
    let mut moved = Vec::new();
    for n in 0..3 {
        until("a recording", || file.exists());
        let away = folder.path().join(format!("moved-{n}.gor"));
        fs::rename(&file, &away).unwrap();
        tap.signal("HUP");
        moved.push(away);
    }
    until("a recording", || file.exists());
    assert!(load.wait().unwrap().success());
    let logged = nginx.end();
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    ended.lost_nothing();
    moved.push(file);
    let all: Vec<_> = moved.iter().flat_map(|file| recorded(file)).collect();
    each_once("all files together", &logged, all.iter().map(String::as_str), LOAD.open());
}

/// Kills a recorder while requests come; what nginx had logged long enough before has to be there.
fn check_killed(name: &str, read: fn(&Path) -> Vec<String>) {
    const LOAD: Load = Load { seconds: 5, pause: 5, ..Load::new("killed") };
    let (network, folder) = (Network::new(), folder());
    let nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join(name);
    let tap = record(&file, &[]);
    let mut load = LOAD.command(&network, folder.path()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(FLUSHED + 1500));
    #[expect(clippy::disallowed_methods, reason = "nginx logs the system's time")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let killed = tap.end("KILL");
    assert_eq!(killed.code, None, "a signal ended it");
    load.kill().unwrap();
    load.wait().unwrap();
    let before = u64::try_from(now.as_millis()).unwrap() - FLUSHED;
    let logged: Vec<_> = nginx.end().into_iter().filter(|logged| logged.at < before).collect();
    assert!(logged.len() > 100, "{} requests", logged.len());
    let found = read(&file);
    each_once(name, &logged, found.iter().map(String::as_str), usize::MAX);
}

pub(crate) fn killed() {
    check_killed("killed.gor", recorded);
    check_killed("killed.jsonl", |file| targets(&lines(&unpacked(file))).into_iter().map(str::to_owned).collect());
}

pub(crate) fn killed_compressed() {
    check_killed("killed.gor.zst", recorded);
    check_killed("killed.gor.gz", recorded);
    check_killed("killed.pcap.zst", |file| {
        let (exchanges, _) = crate::files::inspect_files(&[file.to_owned()]);
        exchanges.iter().map(|seen| String::from_utf8_lossy(seen.request.target()).into_owned()).collect()
    });
}
