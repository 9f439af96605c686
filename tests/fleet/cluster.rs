//! Three servers that are one store, and lose one of them.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::origin::{Origin, ask_slowly};
use crate::programs::{Running, Tap, until};
use crate::recorded::{node, shadowtap};
use crate::server::{ask_server, free_port};
use crate::shared::{replayer, total};
use crate::sums::{all_ended, sums};

const SERVERS: usize = 3;
/// Requests that are recorded, over as many connections.
const CONNECTIONS: usize = 16;
const EACH: usize = 50;
const ALL: usize = CONNECTIONS * EACH;

/// Servers of a cluster, with a folder each.
struct Cluster {
    folder: tempfile::TempDir,
    ports: Vec<u16>,
    servers: Vec<Option<Running>>,
}

impl Cluster {
    /// Starts them, and waits until they agree on who leads.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ports, routes): (Vec<_>, Vec<_>) = (0..SERVERS).map(|_| (free_port(), free_port())).unzip();
        let all: Vec<_> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        for (number, port) in ports.iter().enumerate() {
            let (store, own) = (folder.path().join(number.to_string()), routes[number]);
            let config = format!(
                "server_name: n{number}\nlisten: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n\
                 cluster {{ name: c, listen: \"127.0.0.1:{own}\", routes: [{}] }}\n",
                store.display(),
                all.join(", ")
            );
            fs::write(Self::config(&folder, number), config).unwrap();
        }
        let mut cluster = Self { folder, ports, servers: (0..SERVERS).map(|_| None).collect() };
        (0..SERVERS).for_each(|number| cluster.start_again(number));
        until("the cluster to answer", || {
            let port = cluster.ports[0];
            ask_server(port, "STREAM.NAMES", "").is_some_and(|answer| answer.get("error").is_none())
        });
        cluster
    }

    fn config(folder: &tempfile::TempDir, number: usize) -> PathBuf {
        folder.path().join(format!("{number}.conf"))
    }

    fn start_again(&mut self, number: usize) {
        let server = Command::new("nats-server")
            .arg("-c")
            .arg(Self::config(&self.folder, number))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.servers[number] = Some(Running(server));
        let port = self.ports[number];
        until("nats-server to listen", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    /// Kills it at once.
    fn kill(&mut self, number: usize) {
        self.servers[number].take();
    }

    /// The server that leads a recording.
    fn leader(&self, name: &str) -> usize {
        let port = self.ports[self.servers.iter().position(Option::is_some).unwrap()];
        let mut leader = None;
        until("the recording to have a leader", || {
            let info = ask_server(port, &format!("STREAM.INFO.shadowtap-{name}"), "");
            leader = info.as_ref().unwrap_or(&Value::Null)["cluster"]["leader"]
                .as_str()
                .and_then(|name| name.strip_prefix('n')?.parse().ok());
            leader.is_some()
        });
        leader.unwrap()
    }

    fn url(&self, name: &str) -> String {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("nats://{}/{name}", hosts.join(","))
    }

    /// A node that records into all three.
    fn node(&self, name: &str, origin: &Origin) -> Tap {
        node(origin, &format!("{}?replicas=3", self.url(name)), &[])
    }
}

/// Asks for all of it within some three seconds, and does something meanwhile.
fn asked(port: u16, meanwhile: impl FnOnce()) {
    thread::scope(|scope| {
        for n in 0..CONNECTIONS {
            scope.spawn(move || ask_slowly(port, &format!("c{n}"), EACH, 20, Duration::from_millis(60)));
        }
        thread::sleep(Duration::from_secs(1));
        meanwhile();
    });
}

/// Ends a node that has lost nothing.
#[track_caller]
fn has_all(node: Tap) {
    until("all to be stored", || node.said().contains(&format!("{ALL} recorded")));
    let ended = node.end("INT");
    ended.lost_nothing();
    assert_eq!((ended.code, ended.count("/recording/requests")), (Some(0), ALL as u64), "{}", ended.said);
    // It was there all the time, but for a leader.
    assert!(!ended.said.contains("thrown away"), "{}", ended.said);
}

pub(crate) fn leader_is_killed() {
    let (mut cluster, production, staging) = (Cluster::start(), Origin::start(), Origin::start());
    let url = cluster.url("led");
    let node = cluster.node("led", &production);
    let mut away = cluster.leader("led");
    asked(production.port, || cluster.kill(away));
    until("recording to go on", || node.said().contains(&format!("{ALL} recorded")));
    cluster.start_again(away);
    has_all(node);
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "60/s"]));
    until("both to send", || total(&staging.seen()) > 200);
    away = cluster.leader("led");
    cluster.kill(away);
    thread::sleep(Duration::from_secs(3));
    cluster.start_again(away);
    let ended = replayers.map(Tap::ended);
    all_ended(&url, &ended, &staging.seen(), &production.seen());
}

pub(crate) fn follower_is_gone() {
    let (mut cluster, production, staging) = (Cluster::start(), Origin::start(), Origin::start());
    let url = cluster.url("two");
    let node = cluster.node("two", &production);
    let gone = (cluster.leader("two") + 1) % SERVERS;
    cluster.kill(gone);
    asked(production.port, || ());
    has_all(node);
    // Of what reads the recording a third is placed on the server that is gone.
    assert_eq!(sums(&url).waiting, ALL as u64);
    let read = shadowtap(&["inspect", &url]);
    assert_eq!((read.code, read.count("/requests/seen")), (Some(0), ALL as u64), "{}", read.said);
    let replayers = [(); 2].map(|()| replayer(&url, &staging, &["--rate", "200/s"]));
    let ended = replayers.map(Tap::ended);
    all_ended(&url, &ended, &staging.seen(), &production.seen());
    assert_eq!(sums(&url).replayers, 2);
}
