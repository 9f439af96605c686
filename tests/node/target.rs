//! A target that stalls or is gone: the capture waits for nobody, and what is recorded beside it is whole.

use std::fs;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, each_once, folder, until};
use crate::traffic::{Load, curl, gor, lines, targets};

const TARGET: &str = "127.0.0.1:8080";
const URL: &str = "http://127.0.0.1:8080";
/// Megabytes that a run may take beside what `--max-memory` bounds: code, buffers of the kernel that are mapped, stacks.
const BESIDE: u64 = 128;

pub(crate) fn stalled() {
    /// Megabytes: an eighth of it is for what waits for the target.
    const MEMORY: u64 = 96;
    /// More than there is room for, by far.
    const LOAD: Load = Load { seconds: 4, pause: 10, body: 40_000, ..Load::new("stalled") };
    let (network, folder) = (Network::new(), folder());
    let (nginx, target) = (Nginx::start(&format!("{SERVER}:80")), Nginx::start(TARGET));
    let file = folder.path().join("beside.gor");
    let tap = Tap::start(&[
        "shadow",
        "-i",
        WIRE,
        "-p",
        "80",
        "--to",
        URL,
        "--allow-writes",
        "--timeout",
        "10s",
        "--max-in-flight",
        "32",
        "--max-memory",
        &format!("{MEMORY}M"),
        "-o",
        file.to_str().unwrap(),
    ]);
    target.halt();
    LOAD.run(&network, folder.path());
    until("requests that are shed", || tap.said().contains(" shed: the target does not keep up"));
    target.go_on();
    // What waited goes first: until there is room again, requests are shed as before.
    let (mut reached, mut looks) = (0, 0);
    until("what waited to have been sent", || {
        let now = target.logged().len();
        looks = if std::mem::replace(&mut reached, now) == now { looks + 1 } else { 0 };
        now > 0 && looks >= 20
    });
    curl(&mut network.client("curl"), SERVER, "back", 50);
    let logged = nginx.end();
    until("the target to have caught up", || target.logged().iter().any(|reached| reached.target == "/back/49"));
    let memory = tap.most_memory();
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(memory < MEMORY + BESIDE, "{memory} MB");
    ended.lost_nothing();
    let shed = ended.of_target("/ended/shed");
    assert!(shed > 0, "{}", ended.summary["targets"]);
    let lost = ended.count("/recording/lost");
    assert_eq!(lost, 0, "{}", ended.summary["recording"]);
    let (requests, _) = gor(&fs::read(&file).unwrap());
    each_once("the recording", &logged, requests.iter().map(String::as_str), LOAD.open());
    let reached = target.end();
    let (sent, failed) = (ended.of_target("/ended/sent"), ended.of_target("/ended/failed"));
    assert!(sent > 0, "{}", ended.summary["targets"]);
    assert!((sent..=sent + failed).contains(&(reached.len() as u64)), "{} reached it", reached.len());
}

pub(crate) fn gone() {
    const LOAD: Load = Load { seconds: 2, pause: 10, ..Load::new("gone") };
    let (network, folder) = (Network::new(), folder());
    let nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("beside.jsonl");
    let beside = ["--allow-writes", "-o", file.to_str().unwrap()];
    let tap = Tap::start(&[&["shadow", "-i", WIRE, "-p", "80", "--to", URL], &beside[..]].concat());
    LOAD.run(&network, folder.path());
    let target = Nginx::start(TARGET);
    curl(&mut network.client("curl"), SERVER, "back", 50);
    until("the target to be asked again", || target.logged().len() >= 50);
    let logged = nginx.end();
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    ended.lost_nothing();
    let reached = target.end();
    each_once("once it is there", &[], reached.iter().map(|reached| &*reached.target), 50);
    assert_eq!(ended.of_target("/ended/sent"), 50);
    let failed = ended.of_target("/ended/failed/connect");
    assert_eq!(failed + 50, ended.of_target("/offered"), "{}", ended.summary["targets"]);
    let lines = lines(&fs::read(&file).unwrap());
    each_once("the recording", &logged, targets(&lines), LOAD.open());
}

pub(crate) fn http2() {
    const REQUESTS: u64 = 3_000;
    let (folder, target) = (folder(), Nginx::start_http2(TARGET));
    let file = folder.path().join("many.gor");
    let requests = (0..REQUESTS).map(|n| {
        format!(
            "1 {n:024x} {} 0\nGET /h2/{n} HTTP/1.1\r\nHost: h\r\n\r\n\n🐵🙈🙉\n",
            1_700_000_000_000_000_000 + n * 1_000
        )
    });
    fs::write(&file, requests.collect::<String>()).unwrap();
    let file = file.to_str().unwrap();
    let arguments =
        ["replay", file, "--to", URL, "--client", "reqwest", "--http2", "--speed", "max", "--max-in-flight", "200"];
    let ended = Tap::launch(&mut Tap::program(), &arguments).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(ended.of_target("/ended/sent"), REQUESTS, "{}", ended.summary["targets"]);
    // Each connection that nginx ended had requests behind the last one that it took.
    assert!(ended.of_target("/retried") > 0 && ended.of_target("/connections_opened") >= REQUESTS / 100);
    let mut reached: Vec<_> = target.end().into_iter().map(|reached| reached.target).collect();
    assert_eq!(reached.len() as u64, REQUESTS);
    reached.sort_unstable();
    reached.dedup();
    assert_eq!(reached.len() as u64, REQUESTS, "each once");
}
