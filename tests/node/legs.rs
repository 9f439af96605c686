//! A node that sends on what it is asked: by translation of addresses, or as a proxy. Each request is taken once.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::net::{Network, Pair, ip, may};
use crate::programs::{Ended, Tap, folder, until};

/// The server behind the node, and the node's own address on that side.
const BEHIND: &str = "10.10.0.2";
const NODE: &str = "10.10.0.1";
const NAMESPACE: &str = "behind";
const POSTS: u64 = 5;

/// A process that ends with its trial.
struct Daemon(Child);

impl Daemon {
    fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Clients, the node, and a server behind it.
struct Behind {
    network: Network,
    wire: Pair,
    folder: tempfile::TempDir,
    server: Option<Daemon>,
}

impl Behind {
    fn new() -> Self {
        let network = Network::new();
        let wire = Pair::new("back0", "back1");
        ip(&["netns", "add", NAMESPACE]);
        ip(&["link", "set", wire.1, "netns", NAMESPACE]);
        ip(&["addr", "add", &format!("{NODE}/24"), "dev", wire.0]);
        for arguments in [
            &["addr", "add", &format!("{BEHIND}/24"), "dev", wire.1][..],
            &["link", "set", "lo", "up"],
            &["link", "set", wire.1, "up"],
            &["route", "add", "default", "via", NODE],
        ] {
            ip(&[&["-n", NAMESPACE], arguments].concat());
        }
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let mut behind = Self { network, wire, folder: folder(), server: None };
        let answers = behind.nginx("server", &format!("listen {BEHIND}:80; location / {{ return 200 ok; }}"));
        let mut server = Command::new("ip");
        server.args(["netns", "exec", NAMESPACE, "nginx", "-c"]).arg(answers);
        behind.server = Some(Daemon::start(&mut server));
        answers_at(BEHIND);
        behind
    }

    /// A configuration of nginx with this server.
    fn nginx(&self, name: &str, server: &str) -> PathBuf {
        let place = self.folder.path().join(name);
        fs::create_dir(&place).unwrap();
        let place = place.display();
        let bodies = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let bodies: Vec<String> = bodies.iter().map(|what| format!("{what}_temp_path {place}/{what};")).collect();
        let text = format!(
            "daemon off; master_process off; user root; pid {place}/pid; error_log {place}/errors; events {{}}\n\
             http {{ access_log off; {} server {{ {server} }} }}\n",
            bodies.join(" ")
        );
        let file = self.folder.path().join(format!("{name}.conf"));
        fs::write(&file, text).unwrap();
        file
    }

    /// What a recording has of five POSTs of the clients to the node.
    fn recorded(&self, more: &[&str]) -> Ended {
        let output = self.folder.path().join(format!("out{}.jsonl", more.concat()));
        let output = output.to_str().unwrap();
        let tap = Tap::start(&[&["record", "-i", "node0,back0", "-p", "80", "-o", output], more].concat());
        for number in 0..POSTS {
            let mut curl = self.network.client("curl");
            curl.args(["-sf", "-d", "x=1", &format!("http://{}/{number}", crate::net::SERVER)]);
            assert!(curl.status().unwrap().success(), "POST {number}");
        }
        until("all requests", || tap.said().contains(&format!("{POSTS} seen, ")) || tap.said().contains("10 seen, "));
        let ended = tap.end("INT");
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let lines = fs::read_to_string(output).unwrap().lines().count();
        assert_eq!(lines as u64, ended.count("/requests/seen"), "{}", ended.said);
        ended
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.server.take();
        may("nft", &["flush", "ruleset"]);
        may("ip", &["link", "del", self.wire.0]);
        may("ip", &["netns", "del", NAMESPACE]);
    }
}

/// Waits until something answers at port 80 of an address of this node, or behind it.
fn answers_at(address: &str) {
    until(address, || may("curl", &["-sf", "-o", "/dev/null", &format!("http://{address}/")]));
}

fn nft(commands: &[&str]) {
    for command in commands {
        assert!(may("nft", &[command]), "nft {command}");
    }
}

pub(crate) fn translated() {
    let behind = Behind::new();
    nft(&[
        "add table ip nat",
        "add chain ip nat before { type nat hook prerouting priority -100 ; }",
        &format!("add rule ip nat before ip daddr {} tcp dport 80 dnat to {BEHIND}:80", crate::net::SERVER),
    ]);
    let check = || {
        let ended = behind.recorded(&["--duration", "1h"]);
        assert_eq!(ended.count("/requests/seen"), POSTS, "{}", ended.said);
        assert!(ended.count("/frames/skipped/duplicate") > 0, "{}", ended.summary["frames"]);
        assert!(ended.said.contains("seen in several places counts once"), "{}", ended.said);
        fs::remove_file(behind.folder.path().join("out--duration1h.jsonl")).unwrap();
    };
    check();
    // The source, too.
    nft(&[
        "add chain ip nat after { type nat hook postrouting priority 100 ; }",
        "add rule ip nat after oifname back0 masquerade",
    ]);
    check();
}

/// A proxy's requests are taken as they come in; `--direction` decides otherwise.
fn proxied(behind: &Behind) {
    answers_at(crate::net::SERVER);
    let ended = behind.recorded(&[]);
    assert_eq!(ended.count("/requests/seen"), POSTS, "{}", ended.said);
    assert!(ended.count("/frames/skipped/direction") > 0, "{}", ended.summary["frames"]);
    assert!(ended.said.starts_with("capturing on "), "{}", ended.said);
    let first = ended.said.lines().next().unwrap();
    assert!(first.contains("what this host sends to port 80 elsewhere is left out"), "{first}");
    for (direction, requests) in [("in", POSTS), ("out", POSTS), ("both", 2 * POSTS)] {
        let ended = behind.recorded(&["--direction", direction]);
        assert_eq!(ended.count("/requests/seen"), requests, "{direction}: {}", ended.said);
    }
}

pub(crate) fn nginx() {
    let behind = Behind::new();
    let file = behind.nginx("proxy", &format!("listen 80; location / {{ proxy_pass http://{BEHIND}:80; }}"));
    let _proxy = Daemon::start(Command::new("nginx").arg("-c").arg(file));
    proxied(&behind);
}

pub(crate) fn haproxy() {
    let behind = Behind::new();
    let file = behind.folder.path().join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n\
         frontend in\n  bind :80\n  default_backend out\nbackend out\n  server one {BEHIND}:80\n"
    );
    fs::write(&file, text).unwrap();
    let _proxy = Daemon::start(Command::new("haproxy").arg("-f").arg(file));
    proxied(&behind);
}
