//! Inputs: what is captured, or which files are read.

use std::net::IpAddr;

use super::values::{self, Limit};
use super::words::Words;
use crate::capture::interfaces::{self, InterfaceState};
use crate::config::ConfigMistakes;

/// What a command line reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Traffic on interfaces; these flags say which.
    Live(Vec<String>),
    /// Captures, without their pace.
    Captures(Vec<String>),
    /// Recordings.
    Recordings(Vec<String>),
}

/// The input, and the flags for what of it is taken. `None` after a mistake.
pub(super) fn input(
    words: &Words,
    mistakes: &mut ConfigMistakes,
    notes: &mut Vec<String>,
) -> Option<(Input, Vec<String>)> {
    match (words.has("input-raw"), words.has("input-file")) {
        (true, true) => {
            let why = "are two runs: one command captures, another replays";
            mistakes.add("--input-raw and --input-file", why);
            None
        }
        (false, false) if !mistakes.is_empty() => None,
        (false, false) => {
            mistakes.add("", "say what to read: --input-raw :8080 captures, --input-file requests.gor replays");
            None
        }
        (true, false) => Some(raw(words, mistakes, notes)),
        (false, true) => Some(files(words, mistakes, notes)),
    }
}

/// An address of `--input-raw`.
#[derive(Debug, PartialEq, Eq)]
struct RawAddress<'t> {
    host: &'t str,
    ports: &'t str,
}

impl<'t> RawAddress<'t> {
    fn read(typed: &'t str) -> Result<Self, String> {
        if typed.is_empty() {
            return Err(super::EMPTY.to_owned());
        }
        if let Some(rest) = typed.strip_prefix("k8s://") {
            let pods = rest.split('/').next_back().unwrap_or(rest);
            return Err(format!(
                "k8s://{rest}: pods are not looked up: capture on their node with --input-raw 'veth*:PORT', and name {pods} \
                 with --input-raw-bpf-filter 'host ADDRESS'"
            ));
        }
        let (host, ports) = match typed.rsplit_once(':') {
            Some((host, ports)) if ports.split(',').all(|port| port.parse::<u16>().is_ok()) => (host, ports),
            Some((host, "")) => (host, ""),
            Some((_, ports)) if ports.bytes().all(|byte| byte.is_ascii_digit() || byte == b',') => {
                let wrong = ports.split(',').find(|port| port.parse::<u16>().is_err()).unwrap_or_default();
                return Err(format!(
                    "{typed}: `{wrong}` is no port: they go from 0 to 65535, with commas between several"
                ));
            }
            _ => (typed, ""),
        };
        Ok(Self { host: host.trim_start_matches('[').trim_end_matches(']'), ports })
    }

    fn is_file(&self) -> bool {
        self.host.ends_with("pcap")
    }
}

fn raw(words: &Words, mistakes: &mut ConfigMistakes, notes: &mut Vec<String>) -> (Input, Vec<String>) {
    let engine = words.get("input-raw-engine").unwrap_or("libpcap");
    if !["libpcap", "raw_socket", "af_packet", "pcap_file", "vxlan"].contains(&engine) {
        mistakes.add("--input-raw-engine", format!("GoReplay has no engine `{engine}`"));
    }
    if words.get("input-raw-protocol").is_some_and(|protocol| protocol != "http") {
        mistakes.add("--input-raw-protocol", "only HTTP/1 is followed: record frames with shadowtap record -o x.pcap");
    }
    let (mut addresses, mut limits) = (Vec::new(), Vec::new());
    for typed in words.all("input-raw") {
        let read = values::limited(typed).and_then(|(address, limit)| Ok((RawAddress::read(address)?, limit)));
        let Some((address, of_it)) = mistakes.keep("--input-raw", read) else { continue };
        addresses.push(address);
        limits.push(of_it);
    }
    if limits.windows(2).any(|pair| matches!(pair, [one, other] if one != other)) {
        mistakes.add("--input-raw", "one run has one limit: give all addresses the same, or each a run of its own");
    }
    one_limit_a_second("--input-raw", &limits, mistakes);
    let taken = taken(limits.first().copied().flatten(), notes);
    let mut ports: Vec<&str> = Vec::new();
    for port in addresses.iter().flat_map(|at| at.ports.split(',')).filter(|port| !port.is_empty()) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let port_flags = || if ports.is_empty() { Vec::new() } else { vec!["-p".to_owned(), ports.join(",")] };
    if engine == "pcap_file" || addresses.iter().any(RawAddress::is_file) {
        let files: Vec<String> = addresses.iter().map(|address| super::no_flag(address.host.to_owned())).collect();
        return (Input::Captures([files, port_flags()].concat()), taken);
    }
    let hosts: Vec<&str> = addresses.iter().map(|address| address.host).collect();
    let same_ports = addresses.windows(2).all(|pair| matches!(pair, [one, other] if one.ports == other.ports));
    let same_hosts = hosts.windows(2).all(|pair| matches!(pair, [one, other] if one == other));
    if !same_ports && !same_hosts {
        let why = "other ports on other interfaces are two runs: give each a command of its own";
        mistakes.add("--input-raw", why);
    }
    if ports.is_empty() && engine != "pcap_file" {
        notes.push("--input-raw names no port: every TCP connection is captured, as in GoReplay".to_owned());
    }
    let mut flags = port_flags();
    places(words, &hosts, &mut flags, mistakes);
    settings(words, engine, !ports.is_empty(), &mut flags, mistakes);
    (Input::Live(flags), taken)
}

/// Interfaces and addresses.
fn places(words: &Words, hosts: &[&str], flags: &mut Vec<String>, mistakes: &mut ConfigMistakes) {
    let mut filters: Vec<String> =
        words.get("input-raw-bpf-filter").map(|filter| format!("({filter})")).into_iter().collect();
    let is_all = |host: &str| host.is_empty() || host == "*" || host == "0.0.0.0" || host == "::";
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    for host in hosts.iter().filter(|host| !is_all(host)) {
        match host.parse::<IpAddr>() {
            Ok(address) => addresses.push(format!("host {address}")),
            Err(_) => names.push((*host).to_owned()),
        }
    }
    let ignored = words.all("input-raw-ignore-interface");
    if !ignored.is_empty() && names.is_empty() {
        let all = mistakes.keep("--input-raw-ignore-interface", interfaces::list()).unwrap_or_default();
        let up = all.iter().filter(|one| one.state != InterfaceState::Down && !one.addresses.is_empty());
        names = up.map(|one| one.name.clone()).filter(|name| !ignored.contains(name)).collect();
        if names.is_empty() {
            mistakes.add("--input-raw-ignore-interface", "leaves no interface that is up and has an address");
        }
    }
    names.sort();
    names.dedup();
    if !names.is_empty() {
        flags.extend(["-i".to_owned(), names.join(",")]);
    }
    if !addresses.is_empty() {
        filters.push(format!("({})", addresses.join(" or ")));
    }
    match words.all("input-raw-vlan-vid") {
        [] => {}
        // Behind it, offsets of a filter are those within the tag: it comes first.
        [vid] => filters.insert(0, format!("vlan {vid}")),
        _ => mistakes.add("--input-raw-vlan-vid", "with several, GoReplay captures nothing: give one, or leave it out"),
    }
    if let [one] = filters.as_slice() {
        let bare = one.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(one);
        flags.extend(["-f".to_owned(), bare.to_owned()]);
    } else if !filters.is_empty() {
        flags.extend(["-f".to_owned(), filters.join(" and ")]);
    }
}

/// How it is captured.
fn settings(words: &Words, engine: &str, has_ports: bool, flags: &mut Vec<String>, mistakes: &mut ConfigMistakes) {
    let port = words.get("input-raw-vxlan-port");
    if engine == "vxlan" {
        flags.extend(["--tunnel".to_owned(), port.map_or("vxlan".to_owned(), |port| format!("vxlan:{port}"))]);
    } else if port.is_some() {
        mistakes.add("--input-raw-vxlan-port", "is for --input-raw-engine vxlan");
    }
    // Without promiscuous mode, GoReplay takes what is for an address of the interface; with a filter, what that says.
    if !words.is_on("input-raw-promisc") && engine != "vxlan" {
        flags.push("--no-promiscuous".to_owned());
        if has_ports && !words.has("input-raw-bpf-filter") {
            flags.extend(["--direction", "in"].map(str::to_owned));
        }
    }
    if let Some(size) = words.get("input-raw-buffer-size") {
        let size = mistakes.keep("--input-raw-buffer-size", values::size(size));
        flags.extend(
            size.filter(|size| *size > 0)
                .map(values::written_size)
                .into_iter()
                .flat_map(|size| ["--buffer".to_owned(), size]),
        );
    }
    if let Some(time) = words.get("exit-after") {
        super::duration("exit-after", time, "--duration", flags, mistakes);
    }
}

fn files(words: &Words, mistakes: &mut ConfigMistakes, notes: &mut Vec<String>) -> (Input, Vec<String>) {
    let (mut files, mut limits) = (Vec::new(), Vec::new());
    for typed in words.all("input-file") {
        let Some((path, limit)) = mistakes.keep("--input-file", values::limited(typed)) else { continue };
        if path.is_empty() {
            mistakes.add("--input-file", super::EMPTY);
            continue;
        }
        if path.starts_with("s3://") {
            mistakes.add("--input-file", format!("{path}: fetch it first, such as with aws s3 cp, and name the file"));
            continue;
        }
        limits.push(limit);
        let found = mistakes.keep("--input-file", matching(path)).unwrap_or_default();
        files.extend(found.into_iter().map(super::no_flag));
    }
    if limits.windows(2).any(|pair| matches!(pair, [one, other] if one != other)) {
        mistakes.add("--input-file", "one run has one speed: give all files the same limit, or each a run of its own");
    }
    one_limit_a_second("--input-file", &limits, mistakes);
    let mut flags = Vec::new();
    match limits.first().copied().flatten() {
        Some(Limit::Percent(0)) => flags.extend(["--speed".to_owned(), "max".to_owned()]),
        Some(Limit::Percent(100)) | None => {}
        Some(Limit::Percent(percent)) => {
            #[expect(clippy::cast_precision_loss, reason = "a factor")]
            let factor = percent as f64 / 100.0;
            notes.push(format!("|{percent}% behind a file is a speed: {factor}x. Behind an output it is a sample"));
            flags.extend(["--speed".to_owned(), format!("{factor}x")]);
        }
        limit @ Some(Limit::PerSecond(_)) => flags.extend(taken(limit, notes)),
    }
    if words.is_on("input-file-loop") {
        flags.extend(["--loop", "forever"].map(str::to_owned));
    }
    if let Some(wait) = words.get("input-file-max-wait") {
        let wait = mistakes.keep("--input-file-max-wait", values::duration(wait));
        let wait = wait.filter(|wait| !wait.is_zero()).map(values::written);
        flags.extend(wait.into_iter().flat_map(|wait| ["--max-gap".to_owned(), wait]));
    }
    if let Some(time) = words.get("exit-after") {
        super::duration("exit-after", time, "--duration", &mut flags, mistakes);
    }
    (Input::Recordings(files), flags)
}

/// The files that a pattern names, in order.
fn matching(path: &str) -> Result<Vec<String>, String> {
    if !path.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let found = glob::glob(path).map_err(|error| format!("{path}: {error}"))?;
    let names: Result<Vec<String>, String> = found
        .map(|found| {
            let path = found.map_err(|error| error.to_string())?;
            path.into_os_string().into_string().map_err(|path| format!("{} is not UTF-8", path.display()))
        })
        .collect();
    names.and_then(|names| if names.is_empty() { Err(format!("{path} matches no file")) } else { Ok(names) })
}

/// Refuses a limit a second behind several inputs: each has its own in GoReplay, and a run has one for all.
fn one_limit_a_second(flag: &str, limits: &[Option<Limit>], mistakes: &mut ConfigMistakes) {
    if let [Some(Limit::PerSecond(number)), _, ..] = limits
        && limits.windows(2).all(|pair| matches!(pair, [one, other] if one == other))
    {
        let why = format!(
            "|{number} limits each of them by itself, and one run has one limit for all: give each a run of its own, or \
             leave it out and write --limit {}/s",
            number.saturating_mul(limits.len() as u64)
        );
        mistakes.add(flag, why);
    }
}

/// The flags for a limit behind an input.
fn taken(limit: Option<Limit>, notes: &mut Vec<String>) -> Vec<String> {
    match limit {
        None => Vec::new(),
        Some(Limit::Percent(percent)) if percent >= 100 => Vec::new(),
        Some(Limit::Percent(percent)) => ["--sample".to_owned(), format!("{percent}%")].into(),
        Some(Limit::PerSecond(0)) => ["--sample".to_owned(), "0%".to_owned()].into(),
        Some(Limit::PerSecond(number)) => {
            notes.push(format!(
                "|{number} behind an input lets {number} requests a second pass; GoReplay counts each twice, and lets half \
                 of it pass"
            ));
            ["--limit".to_owned(), format!("{number}/s")].into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (Option<(Input, Vec<String>)>, String, Vec<String>);

    fn read(words: &[&str]) -> Read {
        let (mut mistakes, mut notes) = (ConfigMistakes::default(), Vec::new());
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let words = Words::read(&words, &mut mistakes);
        let input = input(&words, &mut mistakes, &mut notes);
        (input, mistakes.to_string(), notes)
    }

    #[track_caller]
    fn check(words: &[&str], flags: &str, taken: &str) {
        let (input, mistakes, _) = read(words);
        let (input, rest) = input.unwrap_or_else(|| panic!("{mistakes}"));
        let (Input::Live(found) | Input::Captures(found) | Input::Recordings(found)) = input;
        assert_eq!(
            (found.join(" ").as_str(), rest.join(" ").as_str(), mistakes.as_str()),
            (flags, taken, ""),
            "{words:?}"
        );
    }

    #[test]
    fn a_port_out_of_range_is_no_interface() {
        for (typed, port) in [(":99999", "99999"), (":80,65536", "65536"), ("eth0:80,,81", "")] {
            let (_, mistakes, _) = read(&["--input-raw", typed]);
            assert!(mistakes.contains(&format!("{typed}: `{port}` is no port")), "{mistakes}");
        }
        check(&["--input-raw", "eth0"], "-i eth0 --no-promiscuous", "");
    }

    #[test]
    fn addresses_are_ports_interfaces_and_hosts() {
        let rest = "--no-promiscuous --direction in";
        check(&["--input-raw", ":8080"], &format!("-p 8080 {rest}"), "");
        check(&["--input-raw", ":80,443", "--input-raw", ":81"], &format!("-p 80,443,81 {rest}"), "");
        check(&["--input-raw", "eth0:80|10%"], &format!("-p 80 -i eth0 {rest}"), "--sample 10%");
        check(&["--input-raw", "10.0.0.7:80"], &format!("-p 80 -f host 10.0.0.7 {rest}"), "");
        check(&["--input-raw", "[::1]:80"], &format!("-p 80 -f host ::1 {rest}"), "");
        check(&["--input-raw", "veth*:80", "--input-raw-promisc"], "-p 80 -i veth*", "");
        check(
            &["--input-raw", ":80", "--input-raw-bpf-filter", "dst port 80"],
            "-p 80 -f dst port 80 --no-promiscuous",
            "",
        );
        check(
            &[
                "--input-raw",
                ":80",
                "--input-raw-vlan-vid",
                "7",
                "--input-raw-bpf-filter",
                "host 10.0.0.7",
                "--input-raw-promisc",
            ],
            "-p 80 -f vlan 7 and (host 10.0.0.7)",
            "",
        );
        check(
            &[
                "--input-raw",
                ":80",
                "--input-raw-engine",
                "vxlan",
                "--input-raw-vxlan-port",
                "4788",
                "--input-raw-buffer-size",
                "16mb",
            ],
            "-p 80 --tunnel vxlan:4788 --buffer 16M",
            "",
        );
        check(&["--input-raw", "a/x.pcap:80", "--input-raw", "b.pcap:80"], "a/x.pcap b.pcap -p 80", "");
    }

    #[test]
    fn a_percent_behind_a_file_is_a_speed() {
        check(&["--input-file", "x.gor|200%"], "x.gor", "--speed 2x");
        check(&["--input-file", "x.gor|0%"], "x.gor", "--speed max");
        check(
            &["--input-file", "x.gor|50%", "--input-file-loop", "--input-file-max-wait", "2s", "--exit-after", "1m"],
            "x.gor",
            "--speed 0.5x --loop forever --max-gap 2s --duration 1m",
        );
        check(&["--input-file", "x.gor|10"], "x.gor", "--limit 10/s");
        check(&["--input-file", "-x.gor"], "./-x.gor", "");
        assert!(read(&["--input-raw", ":"]).2[0].contains("names no port"));
        assert!(read(&["--input-file", "x.gor|50%"]).2[0].contains("is a speed: 0.5x"));
    }

    #[test]
    fn what_two_commands_would_be_is_refused() {
        for (words, part) in [
            (&["--stats"][..], "say what to read"),
            (&["--input-raw", ""], "--input-raw: is empty"),
            (&["--input-raw", "|10"], "--input-raw: is empty"),
            (&["--input-file", ""], "--input-file: is empty"),
            (&["--input-raw", ":80", "--input-file", "x"], "are two runs"),
            (&["--input-raw", "eth0:80", "--input-raw", "lo:81"], "two runs"),
            (&["--input-raw", ":80", "--input-raw", ":81|10%"], "one limit"),
            (&["--input-raw", ":80|10", "--input-raw", ":81|10"], "--input-raw: |10 limits each of them by itself"),
            (&["--input-file", "x|10", "--input-file", "y|10"], "write --limit 20/s"),
            (&["--input-raw", "k8s://pod/x:80"], "pods are not looked up"),
            (&["--input-file", "s3://b/x.gor"], "fetch it first"),
            (&["--input-file", "/none/*.gor"], "matches no file"),
            (&["--input-file", "x|200%", "--input-file", "y"], "one speed"),
            (&["--input-raw", ":80", "--input-raw-protocol", "binary"], "only HTTP/1"),
        ] {
            assert!(read(words).1.contains(part), "{words:?}: {}", read(words).1);
        }
    }
}
