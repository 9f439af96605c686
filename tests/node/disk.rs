//! A disk that is full for a while.

use std::fs;
use std::process::Command;

use crate::net::{Network, SERVER, WIRE, may};
use crate::programs::{Nginx, Tap, each_once, folder, open_up, until};

use crate::traffic::{Load, curl, gor};

const TARGET: &str = "127.0.0.1:8080";
const URL: &str = "http://127.0.0.1:8080";

pub(crate) fn full() {
    /// Each third request takes more than this on the disk.
    const LOAD: Load = Load { pause: 20, body: 20_000, ..Load::new("full") };
    let (network, folder) = (Network::new(), folder());
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // In the mounts of this test alone.
    let mounted = may("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk.to_str().unwrap()]);
    assert!(mounted, "mount {}", disk.display());
    open_up(&disk);
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 700 << 10]).unwrap();
    let (nginx, target) = (Nginx::start(&format!("{SERVER}:80")), Nginx::start(TARGET));
    let file = disk.join("all.gor");
    let beside = ["--allow-writes", "-o", file.to_str().unwrap()];
    let tap = Tap::start(&[&["shadow", "-i", WIRE, "-p", "80", "--to", URL], &beside[..]].concat());
    LOAD.run(&network, folder.path());
    tap.says("make room");
    let first = fs::read_dir(&disk).unwrap().count();
    // Room again: the next attempt finds it, and needs something to record.
    fs::remove_file(&ballast).unwrap();
    // It is there only where the first second of it found room.
    fs::remove_file(&file).ok();
    let mut rounds = 0;
    until("the recording to go on", || {
        curl(&mut network.client("curl"), SERVER, &format!("again-{rounds}"), 1);
        rounds += 1;
        tap.said().contains("recording goes on in")
    });
    curl(&mut network.client("curl"), SERVER, "room", 5);
    let logged = nginx.end();
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(2), "something of the recording is lost: {}", ended.said);
    ended.lost_nothing();
    let lost = ended.count("/recording/lost");
    assert!(lost > 0, "{}", ended.summary["recording"]);
    assert!(first <= 3, "an attempt leaves nothing behind: {first} files");
    assert!(ended.said.contains("lost to the disk") || ended.said.contains("not recorded"), "{}", ended.said);
    let reached = target.end();
    each_once("the shadow beside it", &logged, reached.iter().map(|reached| &*reached.target), LOAD.open());
    let newest = ended.summary["recording"]["last"].as_str().unwrap();
    let (requests, _) = gor(&fs::read(newest).unwrap());
    for n in 0..5 {
        assert!(requests.contains(&format!("/room/{n}")), "{requests:?}");
    }
    assert!(may("umount", &["-l", disk.to_str().unwrap()]));
}

pub(crate) fn limited() {
    /// Blocks of 512 bytes.
    const LIMIT: &str = r#"ulimit -f 64; exec "$0" "$@""#;
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("all.gor");
    let mut command = Command::new("sh");
    command.args(["-c", LIMIT, env!("CARGO_BIN_EXE_shadowtap")]);
    let tap = Tap::launch(&mut command, &["record", "-i", WIRE, "-p", "80", "-o", file.to_str().unwrap()]).ready();
    let mut rounds = 0;
    until("the limit to be told", || {
        curl(&mut network.client("curl"), SERVER, &format!("limited-{rounds}"), 100);
        rounds += 1;
        tap.said().contains("ulimit -f")
    });
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(2), "no signal ended it: {}", ended.said);
    ended.lost_nothing();
    let lost = ended.count("/recording/lost/disk");
    let (records, requests) = (ended.count("/recording/records"), ended.count("/recording/requests"));
    let kept = ended.count("/requests/ended/kept");
    assert_eq!(kept, rounds * 100);
    assert!(lost > 0 && records + lost == 2 * kept, "{}", ended.summary["recording"]);
    assert!(requests < kept && requests <= records, "{}", ended.summary["recording"]);
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let there: usize = files.map(|file| gor(&fs::read(file).unwrap()).0.len()).sum();
    assert!(requests <= there as u64, "{requests} of {there}");
}

/// Where each ended delivery is written the disk is full: that is told while the run goes on, which ends as it says.
pub(crate) fn results() {
    let (network, folder) = (Network::new(), folder());
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // In the mounts of this test alone.
    assert!(may("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk.to_str().unwrap()]), "mount");
    open_up(&disk);
    fs::write(disk.join("ballast"), vec![0; 900 << 10]).unwrap();
    let (nginx, target) = (Nginx::start(&format!("{SERVER}:80")), Nginx::start(TARGET));
    let file = disk.join("results.jsonl");
    let shadow = ["shadow", "-i", WIRE, "-p", "80", "--to", URL, "--results", file.to_str().unwrap()];
    let tap = Tap::start(&shadow);
    let told = format!("warning: cannot write results to {}: No space left on device", file.display());
    let mut rounds = 0;
    until("the full disk to be told", || {
        curl(&mut network.client("curl"), SERVER, &format!("told-{rounds}"), 100);
        rounds += 1;
        tap.said().contains(&told)
    });
    assert!(tap.said().contains("the run goes on without them, and ends with code 2"), "{}", tap.said());
    curl(&mut network.client("curl"), SERVER, "after", 5);
    let logged = nginx.end();
    until("the shadow of every request", || target.logged().len() == logged.len());
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert_eq!(ended.said.matches("cannot write results to").count(), 1, "once: {}", ended.said);
    ended.lost_nothing();
    each_once("the shadow", &logged, target.end().iter().map(|reached| &*reached.target), 0);
    let lines = fs::read_to_string(&file).unwrap().lines().count();
    assert!(lines > 0 && lines < logged.len(), "{lines} of {}", logged.len());
    assert!(may("umount", &["-l", disk.to_str().unwrap()]));
}
