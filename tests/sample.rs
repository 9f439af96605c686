//! Samples as a run takes them: through the whole chain over a hundred thousand sessions, and from a capture to the
//! report of a replay.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;
#[path = "support/packets.rs"]
#[expect(dead_code, reason = "this test uses a part of it")]
mod packets;
#[path = "support/server.rs"]
mod server;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use files::OwnedFrame;
use packets::{Capture, Talk};
use server::{Server, answer};
use shadowtap::exchange::{Body, ConnectionId, ExchangeId, Head, Outcome, Request, RequestState, Timestamp};
use shadowtap::middleware::file::Environment;
use shadowtap::middleware::{Chain, ChainFile, ChainSettings};

/// What the achieved share may be off by: half a point.
const MARGIN: f64 = 0.005;
const SESSIONS: u64 = 100_000;

/// Request `index` of a session, below `/v{index}/`: the same in everything else that a sample can go by.
fn request(session: u64, index: u32) -> Request {
    let head = format!(
        "GET /v{index}/u{session}?user=p{session}&x=1 HTTP/1.1\r\nHost: old\r\nX-User: h{session}\r\n\
         Cookie: theme=dark; sid=c{session}\r\n\r\n"
    );
    Request {
        id: ExchangeId::new(ConnectionId(session + 1), index),
        client: (IpAddr::V6(Ipv6Addr::from_bits(u128::from(session) << 64)), 5000).into(),
        server: ([192, 0, 2, 80], 80).into(),
        head: Head::new(head.into_bytes()),
        body: Body::EMPTY,
        first_byte: Timestamp::from_nanos(0),
        last_byte: Timestamp::from_nanos(0),
        state: RequestState::Whole,
    }
}

/// Request `index` of each session through a chain: which are in.
fn sessions_in(chain: &mut Chain, index: u32) -> Vec<bool> {
    let passes = |session| match chain.apply(&mut request(session, index)) {
        Ok(()) => true,
        Err(outcome) => {
            assert_eq!(outcome, Outcome::SampledOut);
            false
        }
    };
    (0..SESSIONS).map(passes).collect()
}

fn share_of(chosen: &[bool]) -> f64 {
    chosen.iter().filter(|is_in| **is_in).count() as f64 / chosen.len() as f64
}

#[track_caller]
fn is_near(share: f64, asked: f64) {
    assert!((share - asked).abs() < MARGIN, "{share} is not {asked}");
}

/// A chain of one file, which also edits what the sample goes by before it comes to that.
fn chain_of(link: &str) -> Chain {
    let text = format!(
        "[[link]]\nset-header = {{ X-User = \"nobody\" }}\n[[link]]\nset-cookie = {{ sid = \"none\" }}\n{link}"
    );
    let file = ChainFile::parse(&text, Path::new("chain.toml"), &Environment::for_checks()).unwrap();
    Chain::new(&ChainSettings { files: vec![file], ..ChainSettings::default() })
}

#[test]
fn the_share_of_a_hundred_thousand_sessions_is_within_half_a_point_whatever_they_are_told_by() {
    for by in ["connection", "client-ip", "header:X-User", "cookie:sid", "param:user", "path-segment:2"] {
        let mut flags = Chain::new(&ChainSettings {
            sample: "10%".parse().unwrap(),
            sample_by: by.parse().unwrap(),
            seed: 7,
            ..ChainSettings::default()
        });
        let mut file = chain_of(&format!("[[link]]\nsample = {{ share = \"10%\", by = \"{by}\", seed = 7 }}\n"));
        let chosen = sessions_in(&mut flags, 1);
        assert_eq!(chosen, sessions_in(&mut file, 2), "{by}: a session is in as a whole, by a flag as by a file");
        is_near(share_of(&chosen), 0.1);
        assert_eq!((flags.key_share(), file.key_share()), (Some(share_of(&chosen)), Some(share_of(&chosen))), "{by}");
        let counts = &flags.samples()[0].counts;
        assert_eq!((counts.requests, counts.with_key), (SESSIONS, SESSIONS), "{by}");
        is_near(counts.bytes_in as f64 / counts.bytes as f64, 0.1);
    }
}

#[test]
fn each_route_of_one_chain_has_its_own_share() {
    let mut chain = chain_of(
        "[[link]]\nsample = { share = \"50%\", by = \"cookie:sid\" }\nwhen = { path = \"^/v2/\" }\n\
         [[link]]\nsample = { share = \"1%\", by = \"cookie:sid\" }\nwhen = { not = { path = \"^/v2/\" } }\n",
    );
    let (old, new) = (sessions_in(&mut chain, 1), sessions_in(&mut chain, 2));
    is_near(share_of(&old), 0.01);
    is_near(share_of(&new), 0.5);
    assert!(old.iter().zip(&new).all(|(old, new)| !old || *new), "what is in at 1% is in at 50%");
}

/// Connections of a proxy, each of which carries so many sessions with one request, two or three each.
const PROXIED: usize = 40;
const EACH: usize = 100;

fn capture() -> Capture {
    let mut shots = Vec::new();
    for connection in 0..PROXIED {
        // Numbers of their own, as hosts choose them: equal ones at one moment are one connection in two places.
        let isn = 1_000_003 * (u32::try_from(connection).unwrap() + 1);
        let ends = Talk::joined().between(&format!("10.0.0.2:{}", 20_000 + connection), "10.0.0.1:80");
        let mut talk = ends.numbered(isn, isn / 3).handshake();
        for session in 0..EACH {
            for page in 0..=session % 3 {
                talk = talk.client(format!(
                    "GET /page/{page} HTTP/1.1\r\nHost: old\r\nCookie: sid=s{connection}-{session}\r\n\r\n"
                ));
                talk = talk.server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
        shots.extend(talk.close().capture().shots);
    }
    shots.sort_by_key(|shot| shot.at);
    Capture { shots }
}

fn write(capture: &Capture, file: &Path) {
    let frames: Vec<OwnedFrame> = capture
        .shots
        .iter()
        .map(|shot| OwnedFrame {
            at: Timestamp::from_nanos(shot.at),
            link: shot.link,
            wire_len: u32::try_from(shot.wire_len).unwrap(),
            data: shot.data.clone(),
        })
        .collect();
    std::fs::write(file, files::pcap(&frames, false, false)).unwrap();
}

/// `shadowtap replay` of the capture with these arguments: what it printed and the summary.
async fn replay(folder: &Path, url: &str, arguments: &[&str]) -> (Output, serde_json::Value) {
    let (file, summary) = (folder.join("many.pcap"), folder.join("summary.json"));
    write(&capture(), &file);
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.arg("replay").arg(&file).args(["--to", url, "--speed", "max", "--summary"]).arg(&summary);
    command.args(arguments).env_remove("SHADOWTAP_LOG").stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output, serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap())
}

/// How many requests of each session the server saw.
fn seen(server: &Server) -> HashMap<String, usize> {
    let mut seen = HashMap::new();
    for request in server.requests() {
        let session = request.split("sid=").nth(1).unwrap().split("\r\n").next().unwrap();
        *seen.entry(session.to_owned()).or_default() += 1;
    }
    seen
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sends_whole_sessions_and_states_the_shares_that_it_reached() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let arguments = ["--sample", "50%", "--sample-by", "cookie:sid"];
    let (output, summary) = replay(folder.path(), &server.url("http"), &arguments).await;
    let seen = seen(&server);
    for (session, requests) in &seen {
        let number: usize = session.split('-').nth(1).unwrap().parse().unwrap();
        assert_eq!(*requests, 1 + number % 3, "{session} is torn apart");
    }
    let proxies: HashSet<&str> = seen.keys().filter_map(|session| session.split('-').next()).collect();
    assert_eq!(proxies.len(), PROXIED, "half of what each proxy carries is in, not half of the proxies");
    let sample = &summary["sample"];
    let sent: usize = seen.values().sum();
    let all: usize = PROXIED * (0..EACH).map(|session| 1 + session % 3).sum::<usize>();
    assert_eq!(sample["asked"], 0.5);
    assert_eq!(sample["keys"], seen.len() as f64 / (PROXIED * EACH) as f64);
    assert_eq!(sample["requests"], sent as f64 / all as f64);
    assert!((sample["bytes"].as_f64().unwrap() - 0.5).abs() < 0.05, "{sample}");
    let percent = |key: &str| format!("{:.2}% of {key}", 100.0 * sample[key].as_f64().unwrap());
    assert_eq!(sample["decided"], all);
    let requests =
        percent("requests").replace("of ", &format!("of the {},{:03} ", all / 1000, all % 1000)) + " that reached it";
    let took = format!("took {requests}, {}, {}", percent("keys"), percent("bytes"));
    assert!(words(&output).contains(&format!("not in the sample of 50% ({took})")), "{took} is not in {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_by_what_no_request_has_is_told_and_one_of_a_file_has_its_share_stated() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let chain = folder.path().join("chain.toml");
    std::fs::write(&chain, "[[link]]\nsample = { share = \"1%\", by = \"cookie:typo\" }\n").unwrap();
    let arguments = ["--filters", chain.to_str().unwrap()];
    let (output, summary) = replay(folder.path(), &server.url("http"), &arguments).await;
    assert_eq!((&summary["sample"]["asked"], &summary["sample"]["keys"]), (&0.01.into(), &serde_json::Value::Null));
    let text = words(&output);
    assert!(text.contains("not in the sample of 1% (took "), "{text}");
    assert!(text.contains("has what the sample goes by (cookie:typo): is its name spelled right?"), "{text}");
}
