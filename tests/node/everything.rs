//! Keep-alive, pipelining, bodies and chunks: each request that nginx logged is accounted for.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::files::inspect_files;
use crate::net::{Network, SERVER, WIRE};
use crate::programs::{Nginx, Tap, each_once, folder};
use crate::traffic::{Load, curl, gor, lines, targets, unpacked};

/// Bytes of the body that curl uploads.
const UPLOAD: usize = 100_000;

/// What curl uploads: nothing in it comes twice at a place where it could be confused.
fn body() -> Vec<u8> {
    (0..=250).cycle().take(UPLOAD).collect()
}

/// Requests of every kind; returns how many may be under way at the end.
fn talk(network: &Network, folder: &Path) -> usize {
    let upload = folder.join("upload");
    fs::write(&upload, body()).unwrap();
    let data = format!("@{}", upload.display());
    curl(&mut network.client("curl"), SERVER, "kept-alive", 20);
    curl(network.client("curl").arg("--compressed"), SERVER, "zipped", 5);
    curl(network.client("curl").args(["--http1.0", "-I"]), SERVER, "old", 1);
    curl(network.client("curl").args(["--data-binary", &data, "-H", "Expect:"]), SERVER, "length", 3);
    curl(network.client("curl").args(["--data-binary", &data]), SERVER, "expect", 1);
    let chunked = ["--data-binary", &data, "-H", "Transfer-Encoding: chunked"];
    curl(network.client("curl").args(chunked), SERVER, "chunked", 3);
    let loads = [
        Load { pause: 5, body: 3000, ..Load::new("wrk") },
        Load { together: 4, pause: 20, body: 200, ..Load::new("pipelined") },
    ];
    for load in &loads {
        load.run(network, folder);
    }
    loads.iter().map(Load::open).sum()
}

pub(crate) fn recorded() {
    let (network, folder) = (Network::new(), folder());
    let nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = |name: &str| folder.path().join(name);
    let names = ["all.gor", "all.jsonl", "all.pcap.zst", "all.pcapng.gz"];
    let taps = names.map(|name| Tap::start(&["record", "-i", WIRE, "-p", "80", "-o", file(name).to_str().unwrap()]));
    let open = talk(&network, folder.path());
    let logged = nginx.end();
    for tap in taps {
        let ended = tap.end("INT");
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        ended.lost_nothing();
    }
    let (requests, responses) = gor(&fs::read(file("all.gor")).unwrap());
    each_once(".gor", &logged, requests.iter().map(String::as_str), open);
    assert!((logged.len()..=requests.len()).contains(&responses), "{responses} responses to {}", logged.len());
    let lines = lines(&fs::read(file("all.jsonl")).unwrap());
    each_once(".jsonl", &logged, targets(&lines), open);
    uploads_are_whole(&lines);
    for name in ["all.pcap.zst", "all.pcapng.gz"] {
        assert!(!unpacked(&file(name)).is_empty());
        let (exchanges, engine) = inspect_files(&[file(name)]);
        assert!(engine.warnings.is_empty(), "{name}: {:?}", engine.warnings);
        let seen: Vec<_> = exchanges.iter().map(|seen| String::from_utf8_lossy(seen.request.target())).collect();
        each_once(name, &logged, seen.iter().map(|target| &**target), open);
    }
}

/// Each body that curl sent is there as it was.
fn uploads_are_whole(lines: &[serde_json::Value]) {
    let hash = Sha256::digest(body()).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
    for (name, count) in [("/length/", 3), ("/expect/", 1), ("/chunked/", 3)] {
        let of: Vec<_> = lines.iter().filter(|line| line["target"].as_str().unwrap().starts_with(name)).collect();
        assert_eq!(of.len(), count, "{name}");
        for line in of {
            assert_eq!((&line["body_len"], &line["status"]), (&UPLOAD.into(), &200.into()), "{name}");
            assert_eq!(line["body_sha256"], hash, "{name}");
        }
    }
}

pub(crate) fn shadowed() {
    let (network, folder) = (Network::new(), folder());
    let nginx = Nginx::start(&format!("{SERVER}:80"));
    let clients = [("wire", "127.0.0.1:8080"), ("reqwest", "127.0.0.1:8081")];
    let shadows = clients.map(|(client, address)| {
        let (target, url) = (Nginx::start(address), format!("http://{address}"));
        let how = ["--client", client, "--allow-writes"];
        let tap = Tap::start(&[&["shadow", "-i", WIRE, "-p", "80", "--to", &url], &how[..]].concat());
        (client, target, tap)
    });
    let open = talk(&network, folder.path());
    let logged = nginx.end();
    for (client, target, tap) in shadows {
        let ended = tap.end("TERM");
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        ended.lost_nothing();
        let reached = target.end();
        each_once(client, &logged, reached.iter().map(|reached| &*reached.target), open);
        assert!(reached.iter().all(|reached| reached.mark.is_some()), "what is sent is marked");
        let offered = ended.of_target("/offered");
        assert_eq!(ended.of_target("/ended/sent"), offered, "{client}: {}", ended.summary["targets"]);
        assert_eq!(offered, reached.len() as u64, "{client}: {}", ended.summary["requests"]);
        assert_eq!(ended.of_target("/statuses/200"), offered, "{client}");
    }
}
