//! A network of the test's own, made of namespaces that end with the test, and trials that say what they lack.
#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "what breaks here fails its trial")]

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use super::trials::trial;

/// A trial: its name, what it lacks, what it does.
pub(crate) type Row<'a> = (&'a str, Option<&'a str>, fn());

/// Set in the process that has namespaces of its own.
const INSIDE: &str = "SHADOWTAP_TEST_NAMESPACE";
/// What is new inside. With the namespace of processes all end when the first of them does, however that ends.
const NAMESPACES: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// The first process inside: it would not be ended by a signal that it does not trap.
const FIRST: &str = r#"trap 'exit 130' INT TERM; "$@" & wait $!"#;

/// Starts this binary again in namespaces of its own, where that is not done yet; returns what is missing for it.
pub(crate) fn enter() -> Option<&'static str> {
    if env::var_os(INSIDE).is_none() {
        let trial: Vec<&str> = NAMESPACES.into_iter().chain(["true"]).collect();
        if !may("unshare", &trial) {
            return Some("the right to make namespaces");
        }
        let error = Command::new("unshare")
            .args(NAMESPACES)
            .args(["sh", "-c", FIRST, "sh"])
            .arg(env::current_exe().unwrap())
            .args(env::args().skip(1))
            .env(INSIDE, "1")
            .exec();
        panic!("cannot start again in namespaces: {error}");
    }
    ip(&["link", "set", "lo", "up"]);
    // Named namespaces are kept below it.
    assert!(may("mount", &["-t", "tmpfs", "tmpfs", "/run"]), "mount /run");
    if !may("ip", &["link", "add", "try0", "type", "veth", "peer", "name", "try1"]) {
        return Some("ip, or veth pairs");
    }
    ip(&["link", "del", "try0"]);
    None
}

/// Makes trials of rows: those that lack something are ignored, and their names say what.
pub(crate) fn trials(rows: &[Row<'_>]) -> Vec<Trial> {
    rows.iter().map(|(name, lacks, run)| trial(name, lacks.as_slice(), *run)).collect()
}

/// Whether this program runs, and says that all is well.
pub(crate) fn may(program: &str, arguments: &[&str]) -> bool {
    let quiet = || Stdio::null();
    Command::new(program)
        .args(arguments)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .status()
        .is_ok_and(|status| status.success())
}

#[track_caller]
pub(crate) fn ip(arguments: &[&str]) {
    assert!(may("ip", arguments), "ip {}", arguments.join(" "));
}

/// A pair of interfaces, both up: what is sent on one comes in on the other.
pub(crate) struct Pair(pub(crate) &'static str, pub(crate) &'static str);

impl Pair {
    pub(crate) fn new(one: &'static str, other: &'static str) -> Self {
        ip(&["link", "add", one, "type", "veth", "peer", "name", other]);
        for end in [one, other] {
            // Otherwise the kernel speaks on it by itself.
            fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1").ok();
            ip(&["link", "set", end, "up"]);
        }
        Self(one, other)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        may("ip", &["link", "del", self.0]);
    }
}

/// Where the server is, on this side of the wire.
pub(crate) const SERVER: &str = "10.9.0.1";
/// This side's end of the wire to the clients.
pub(crate) const WIRE: &str = "node0";
const CLIENTS: &str = "clients";

/// A wire, and clients at its other end in a namespace of their own.
pub(crate) struct Network {
    wire: Pair,
}

impl Network {
    pub(crate) fn new() -> Self {
        let wire = Pair::new(WIRE, "client0");
        ip(&["netns", "add", CLIENTS]);
        ip(&["link", "set", wire.1, "netns", CLIENTS]);
        ip(&["addr", "add", &format!("{SERVER}/24"), "dev", wire.0]);
        for arguments in [
            &["addr", "add", "10.9.0.2/24", "dev", wire.1][..],
            &["link", "set", "lo", "up"],
            &["link", "set", wire.1, "up"],
        ] {
            ip(&[&["-n", CLIENTS], arguments].concat());
        }
        Self { wire }
    }

    /// From here on no frame is larger than what an Ethernet carries.
    pub(crate) fn small_frames(&self) {
        ip(&["link", "set", self.wire.0, "gso_max_segs", "1"]);
        ip(&["-n", CLIENTS, "link", "set", self.wire.1, "gso_max_segs", "1"]);
    }

    /// Another wire to the clients, with these addresses of its two ends; this end may be the port of a bridge.
    #[expect(clippy::unused_self, reason = "there are clients as long as there is a network")]
    pub(crate) fn another(&self, name: &'static str, addresses: [&str; 2], bridge: Option<&'static str>) -> Pair {
        let wire = Pair(name, "client1");
        ip(&["link", "add", wire.0, "type", "veth", "peer", "name", wire.1]);
        ip(&["link", "set", wire.1, "netns", CLIENTS]);
        if let Some(bridge) = bridge {
            ip(&["link", "add", bridge, "type", "bridge"]);
            ip(&["link", "set", wire.0, "master", bridge]);
        }
        let place = bridge.unwrap_or(wire.0);
        ip(&["addr", "add", &format!("{}/24", addresses[0]), "dev", place]);
        ip(&["-n", CLIENTS, "addr", "add", &format!("{}/24", addresses[1]), "dev", wire.1]);
        ip(&["-n", CLIENTS, "link", "set", wire.1, "up"]);
        for end in [Some(wire.0), bridge].into_iter().flatten() {
            ip(&["link", "set", end, "up"]);
        }
        wire
    }

    /// A program among the clients.
    #[expect(clippy::unused_self, reason = "there are clients as long as there is a network")]
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", CLIENTS, program]).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        may("ip", &["link", "del", self.wire.0]);
        may("ip", &["netns", "del", CLIENTS]);
    }
}
