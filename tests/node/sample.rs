//! A sample that the kernel takes, beside one that is taken of the same frames later.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, folder, run};
use crate::traffic::{Load, curl, lines, targets};

const TARGET: &str = "127.0.0.1:8080";
/// Connections of each family that curl makes.
const CONNECTIONS: usize = 60;
const SAMPLE: [&str; 6] = ["--sample", "30%", "--sample-by", "connection", "--seed", "5"];
const SERVER_V6: &str = "[fd00:9::1]";

/// Connections of IPv4 and IPv6, with two requests each.
fn talk(network: &Network, name: &str) {
    for n in 0..CONNECTIONS {
        curl(&mut network.client("curl"), SERVER, &format!("{name}-v4-{n}"), 2);
        curl(&mut network.client("curl"), SERVER_V6, &format!("{name}-v6-{n}"), 2);
    }
}

/// An address of IPv6 at both ends of the wire.
fn with_v6(network: &Network) {
    fs::write(format!("/proc/sys/net/ipv6/conf/{WIRE}/disable_ipv6"), "0").unwrap();
    run(Command::new("ip").args(["addr", "add", "fd00:9::1/64", "dev", WIRE, "nodad"]));
    let enable = "echo 0 > /proc/sys/net/ipv6/conf/client0/disable_ipv6";
    run(network.client("sh").args(["-c", enable]));
    run(network.client("ip").args(["addr", "add", "fd00:9::2/64", "dev", "client0", "nodad"]));
}

fn servers() -> [Nginx; 2] {
    [SERVER, SERVER_V6].map(|address| Nginx::start(&format!("{address}:80")))
}

fn set<'a>(targets: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    targets.into_iter().map(str::to_owned).collect()
}

fn inspected(file: &Path) -> BTreeSet<String> {
    let output = Tap::program().args(["inspect", "--json", "-p", "80"]).args(SAMPLE).arg(file).output().unwrap();
    set(targets(&lines(&output.stdout)))
}

pub(crate) fn equal() {
    let (network, folder) = (Network::new(), folder());
    with_v6(&network);
    let nginx = servers();
    let file = |name: &str| folder.path().join(name);
    let how = ["record", "-i", WIRE, "-p", "80", "-o"];
    let whole = Tap::start(&[&how[..], &[file("all.pcap").to_str().unwrap()]].concat());
    let tap = Tap::start(&[&how[..], &[file("some.jsonl").to_str().unwrap()], &SAMPLE].concat());
    assert!(tap.said().contains("the kernel lets 30% of the connections through"), "{}", tap.said());
    talk(&network, "one");
    let load = Load { connections: 40, pause: 30, ..Load::new("wrk") };
    load.run(&network, folder.path());
    let logged = nginx.map(Nginx::end).concat();
    let (whole, ended) = (whole.end("INT"), tap.end("INT"));
    ended.lost_nothing();
    let recorded = lines(&fs::read(file("some.jsonl")).unwrap());
    assert_eq!(set(targets(&recorded)), inspected(&file("all.pcap")));
    // Of 120 connections whose ports are chance: five standard deviations to either side.
    let inside = targets(&recorded).iter().filter(|target| target.starts_with("/one-")).count();
    let all = logged.iter().filter(|logged| logged.target.starts_with("/one-")).count();
    assert!((0.09..0.51).contains(&(inside as f64 / all as f64)), "{inside} of {all}");
    // The rest was not even seen, and the summary says so.
    assert_eq!(ended.count("/requests/ended/sampled_out"), 0);
    assert_eq!(ended.count("/requests/seen"), recorded.len() as u64);
    assert!((ended.summary["sample"]["kernel"].as_f64().unwrap() - 0.3).abs() < 1e-9, "{}", ended.summary["sample"]);
    assert!(whole.summary["sample"].get("kernel").is_none(), "{}", whole.summary["sample"]);
    let frames = |summary: &serde_json::Value| summary["frames"]["received"].as_f64().unwrap();
    assert!(frames(&ended.summary) < 0.7 * frames(&whole.summary), "{} {}", ended.summary, whole.summary);
}

pub(crate) fn raised() {
    let network = Network::new();
    with_v6(&network);
    let (nginx, target) = (servers(), Nginx::start(TARGET));
    let url = format!("http://{TARGET}");
    let how = ["shadow", "-i", WIRE, "-p", "80", "--to", &url];
    let tap = Tap::start(&[&how[..], &SAMPLE].concat());
    talk(&network, "some");
    run(Tap::program().args(["control", "sample", "100%"]));
    // The kernel's filter follows within moments.
    std::thread::sleep(std::time::Duration::from_secs(2));
    talk(&network, "all");
    let (logged, ended) = (nginx.map(Nginx::end).concat(), tap.end("INT"));
    ended.lost_nothing();
    assert!(ended.summary["sample"].get("kernel").is_none(), "{}", ended.summary["sample"]);
    let reached = target.end();
    let of = |name: &str| {
        let found = reached.iter().filter(|one| one.target.starts_with(name)).count();
        (found, logged.iter().filter(|one| one.target.starts_with(name)).count())
    };
    let ((some, all_then), (all, every)) = (of("/some"), of("/all"));
    assert!((all_then / 11..all_then / 2).contains(&some), "{some} of {all_then}");
    assert_eq!(all, every);
}
