//! Live capture: checks names, ports and sizes, then opens the interfaces.

use std::ops::RangeInclusive;

use crate::capture::Source as _;
use crate::capture::interfaces::{self, ANY};
use crate::capture::live::{self, CaptureScope, Live, LiveError};
use crate::capture::privileges::{self, User};
use crate::capture::spoe::{SpoeAddress, SpoeListener};
use crate::capture::{self, BpfFilter, Direction, LocalEnds};
use crate::middleware::Share;
use crate::pipeline::Feed;
use crate::recording::RecordingOutput;

use super::check;
use super::mistakes::ConfigMistakes;
use super::{is_filter, typed};

/// Bytes of the kernel's buffer: room for a few blocks, and what libpcap can say.
const BUFFER: RangeInclusive<usize> = (2 << 20)..=(1 << 30);
/// Bytes of a frame: all headers at least, and what a block holds.
const SNAPLEN: RangeInclusive<usize> = 256..=live::DEFAULT_SNAPLEN;

/// What a live run is fed with, opened.
pub(super) enum LiveFeed {
    Interfaces(Box<Live>),
    Haproxy(SpoeListener),
}

impl LiveFeed {
    /// The interfaces that are captured on.
    pub(super) fn interfaces(&self) -> &[String] {
        match self {
            Self::Interfaces(source) => source.interfaces(),
            Self::Haproxy(_) => &[],
        }
    }

    /// Where is captured, for the first line of a run.
    pub(super) fn describe(&self, local: &LocalEnds) -> String {
        match self {
            Self::Interfaces(source) => describe(source, local),
            Self::Haproxy(listener) => format!("what HAProxy tells at {} (SPOE)", listener.address()),
        }
    }

    /// What is listened to, for advice where nothing comes of it.
    pub(super) fn scope(&self, settings: &live::LiveSettings) -> Option<CaptureScope> {
        match self {
            Self::Interfaces(source) => {
                Some(CaptureScope::new(source.interfaces(), settings.bpf.as_deref(), &settings.ports))
            }
            Self::Haproxy(_) => None,
        }
    }

    pub(super) fn into_feed(self) -> Feed {
        match self {
            Self::Interfaces(source) => Feed::Live(source),
            Self::Haproxy(listener) => Feed::Spoe(listener),
        }
    }
}

/// Opens the interfaces, or listens for HAProxy, unless there is a mistake already.
pub(super) fn feed(
    typed: &typed::Live,
    settings: &live::LiveSettings,
    recorder: Option<&dyn RecordingOutput>,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> Option<LiveFeed> {
    let Some(address) = typed.spoe.as_deref() else {
        return open(settings, mistakes).map(Box::new).map(LiveFeed::Interfaces);
    };
    for flag in of_frames(typed) {
        mistakes.add(format!("--spoe and {flag}"), "contradict each other: from HAProxy come requests, no frames");
    }
    if recorder.is_some_and(RecordingOutput::takes_frames) {
        mistakes.add("--spoe and --output", "from HAProxy come requests, no frames: record to .gor or .jsonl");
    }
    let address = mistakes.keep("--spoe", address.parse::<SpoeAddress>())?;
    if address.is_open() {
        warnings.push(format!("--spoe {address}: whoever reaches that address can have requests sent to the targets"));
    }
    if !mistakes.is_empty() {
        return None;
    }
    mistakes.keep("--spoe", SpoeListener::bind(address)).map(LiveFeed::Haproxy)
}

/// The flags that are given and are about frames.
fn of_frames(typed: &typed::Live) -> impl Iterator<Item = &'static str> {
    let given = [
        (!typed.interfaces.is_empty(), "--interface"),
        (typed.wait_interface, "--wait-interface"),
        (!typed.ports.is_empty(), "--port"),
        (typed.bpf.is_some(), "--bpf"),
        (!typed.tunnels.is_empty(), "--tunnel"),
        (typed.direction.is_some(), "--direction"),
        (typed.buffer.is_some(), "--buffer"),
        (typed.snaplen.is_some(), "--snaplen"),
        (typed.no_promiscuous, "--no-promiscuous"),
    ];
    given.into_iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| flag)
}

/// Opens the interfaces, unless there is a mistake already.
pub(super) fn open(settings: &live::LiveSettings, mistakes: &mut ConfigMistakes) -> Option<Live> {
    if !mistakes.is_empty() {
        return None;
    }
    let tell = |errors: Vec<LiveError>| {
        for error in errors {
            let flag = if matches!(error, LiveError::Filter { .. }) { "--bpf" } else { "" };
            mistakes.add(flag, error);
        }
    };
    live::open(settings).map_err(tell).ok()
}

/// Builds the settings for the processing of captured frames. The typed filter is not among them: the kernel has
/// applied it.
pub(super) fn capture_settings(
    typed: &typed::Live,
    settings: &live::LiveSettings,
    mistakes: &mut ConfigMistakes,
) -> capture::Settings {
    let max_memory = typed.max_memory.as_deref().and_then(|size| mistakes.keep("--max-memory", check::memory(size)));
    capture::Settings {
        files: Vec::new(),
        logs: None,
        bpf: None,
        ports: settings.ports.clone(),
        tunnels: settings.tunnels.clone(),
        local: local(typed, settings, mistakes),
        max_memory: max_memory.unwrap_or_default(),
        halt: settings.halt.clone(),
    }
}

/// Collects the addresses and served ports of this host, and the direction of the connections to keep.
fn local(typed: &typed::Live, settings: &live::LiveSettings, mistakes: &mut ConfigMistakes) -> LocalEnds {
    let direction: Option<Direction> = check::parsed("--direction", typed.direction.as_deref(), mistakes);
    let direction = direction.unwrap_or_default();
    if matches!(direction, Direction::In | Direction::Out) && settings.ports.is_empty() {
        mistakes.add("--direction", "a direction is told by the ports of the servers: name them, such as -p 80");
    }
    let addresses = interfaces::list().unwrap_or_default().into_iter().flat_map(|interface| interface.addresses);
    LocalEnds { direction, addresses: addresses.collect(), served: live::served(&settings.ports) }
}

/// Says where is captured, and what of it is taken, for the first line of a run.
pub(super) fn describe(source: &Live, local: &LocalEnds) -> String {
    let several = source.interfaces().len() > 1 || source.interfaces().iter().any(|name| name == ANY);
    let once = several.then(|| "a connection that is seen in several places counts once".to_owned());
    let sampled = source.kernel_share().map(|share| {
        let share = Share(share);
        format!("the kernel lets {share} of the connections through, and only these are counted")
    });
    let parts: Vec<String> = [Some(source.describe()), once, taken(local), sampled].into_iter().flatten().collect();
    parts.join("; ")
}

/// Which connections are taken, in words; nothing where all are.
fn taken(local: &LocalEnds) -> Option<String> {
    let ports: Vec<String> = local.served.iter().map(u16::to_string).collect();
    match local.direction {
        Direction::Auto if local.served.is_empty() => None,
        Direction::Auto => Some(format!(
            "what this host sends to port {} elsewhere is left out, since it listens there itself (--direction both \
             takes it)",
            ports.join(", ")
        )),
        Direction::In => Some("only connections to this host are taken".to_owned()),
        Direction::Out => Some("only connections from this host to others are taken".to_owned()),
        Direction::Both => Some("connections to this host and from it are taken".to_owned()),
    }
}

/// Returns the user to run as.
pub(super) fn user(typed: &typed::Live, mistakes: &mut ConfigMistakes) -> Option<User> {
    mistakes.keep_error("--user", privileges::user(typed.user.as_deref()))
}

/// Builds the settings of the live capture.
pub(super) fn settings(
    typed: &typed::Live,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> live::LiveSettings {
    let bpf = typed.bpf.clone().filter(|bpf| is_filter(bpf));
    if let Some(bpf) = &bpf {
        mistakes.keep("--bpf", BpfFilter::new(bpf));
    }
    let size = |bytes: &RangeInclusive<usize>, flag, typed: Option<&str>, mistakes: &mut ConfigMistakes| {
        typed.and_then(|typed| mistakes.keep(flag, within(bytes, typed)))
    };
    let buffer = size(&BUFFER, "--buffer", typed.buffer.as_deref(), mistakes);
    let snaplen = size(&SNAPLEN, "--snaplen", typed.snaplen.as_deref(), mistakes);
    if let Some(snaplen) = snaplen.filter(|snaplen| *snaplen < live::DEFAULT_SNAPLEN) {
        warnings.push(format!("--snaplen {snaplen}: a request that is longer is cut, and never sent"));
    }
    live::LiveSettings {
        interfaces: interfaces(&typed.interfaces, mistakes),
        bpf,
        ports: check::ports(&typed.ports, mistakes),
        tunnels: check::tunnels(&typed.tunnels, mistakes),
        buffer: buffer.unwrap_or(live::DEFAULT_BUFFER),
        snaplen: snaplen.unwrap_or(live::DEFAULT_SNAPLEN),
        promiscuous: !typed.no_promiscuous,
        in_blocks: false,
        sample: None,
        wait_interface: typed.wait_interface,
        halt: capture::Halt::default(),
    }
}

/// Names of interfaces, each once. Whether there are such is known when they are opened.
fn interfaces(typed: &[String], mistakes: &mut ConfigMistakes) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in typed.iter().flat_map(|list| list.split(',')).map(str::trim) {
        if name.is_empty() {
            mistakes.add("--interface", "an empty name is no interface; `shadowtap interfaces` lists them");
        } else if let Some((interface, port)) = with_port(name) {
            let why = format!("`{name}` is no interface: ports are given by -p, such as -i {interface} -p {port}");
            mistakes.add("--interface", why);
        } else if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }
    if names.len() > 1 && names.iter().any(|name| name == ANY) {
        mistakes.add("--interface any", "is all interfaces: leave out the others");
    }
    names
}

/// A name and a port, as GoReplay takes both, unless an interface is called so.
fn with_port(name: &str) -> Option<(&str, &str)> {
    let (interface, port) = name.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_known = || interfaces::list().unwrap_or_default().iter().any(|known| known.name == name);
    (is_port && !is_known()).then_some((if interface.is_empty() { ANY } else { interface }, port))
}

/// A size in bytes, with a unit or without, that lies within these bounds.
fn within(bounds: &RangeInclusive<usize>, typed: &str) -> Result<usize, String> {
    let size = typed.parse().map_or_else(|_| check::size(typed), Ok)?;
    if bounds.contains(&size) {
        return Ok(size);
    }
    Err(format!("`{typed}`: a size lies between {} and {}", text(*bounds.start()), text(*bounds.end())))
}

/// `2M`, or bytes where they are no whole number of larger units.
fn text(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{}M", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}K", bytes >> 10),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Tunnel, TunnelKind};

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// Checks the mistakes and warnings of a command line. Opens nothing.
    #[track_caller]
    fn check(change: impl FnOnce(&mut typed::Live), mistakes: &str, warnings: &[&str]) -> live::LiveSettings {
        let mut typed = typed::Live::default();
        change(&mut typed);
        let (mut told, mut warned) = (ConfigMistakes::default(), Vec::new());
        let settings = settings(&typed, &mut told, &mut warned);
        capture_settings(&typed, &settings, &mut told);
        assert_eq!((told.to_string().as_str(), warned), (mistakes, strings(warnings)));
        settings
    }

    #[test]
    fn a_port_beside_an_interface_is_told_how_it_is_spelled() {
        for (typed, told) in [("no-such:80", "-i no-such -p 80"), (":8080", "-i any -p 8080")] {
            let mistakes = format!("--interface: `{typed}` is no interface: ports are given by -p, such as {told}");
            check(|live| live.interfaces = strings(&[typed]), &mistakes, &[]);
        }
        check(|live| live.interfaces = strings(&["veth0:a"]), "", &[]);
    }

    #[test]
    fn what_is_not_typed_has_a_default() {
        assert_eq!(check(|_| {}, "", &[]), live::LiveSettings::default());
    }

    #[test]
    fn lists_and_repetitions_are_the_same() {
        let settings = check(
            |typed| {
                typed.interfaces = strings(&["eth0,eth1", "eth0"]);
                typed.ports = strings(&["80,8080", "443"]);
                typed.tunnels = strings(&["vxlan,GRE", "vxlan"]);
            },
            "",
            &[],
        );
        assert_eq!(settings.interfaces, ["eth0", "eth1"]);
        assert_eq!(settings.ports, [80, 8080, 443]);
        assert_eq!(settings.tunnels, [Tunnel::usual(TunnelKind::Vxlan), Tunnel::usual(TunnelKind::Gre)]);
    }

    #[test]
    fn sizes_have_units_or_are_bytes() {
        let settings = check(
            |typed| {
                typed.buffer = Some("128M".to_owned());
                typed.snaplen = Some("262144".to_owned());
            },
            "",
            &[],
        );
        assert_eq!((settings.buffer, settings.snaplen), (128 << 20, 262_144));
    }

    #[test]
    fn every_mistake_is_told_with_its_flag() {
        check(
            |typed| {
                typed.interfaces = strings(&["any,eth0", ""]);
                typed.bpf = Some("port eighty".to_owned());
                typed.tunnels = strings(&["vxlan,wireguard"]);
                typed.buffer = Some("4G".to_owned());
                typed.snaplen = Some("68".to_owned());
                typed.max_memory = Some("1M".to_owned());
                typed.direction = Some("up".to_owned());
            },
            "--bpf: the filter `port eighty` does not compile: unknown port 'eighty'\n\
             --buffer: `4G`: a size lies between 2M and 1024M\n\
             --snaplen: `68`: a size lies between 256 and 256K\n\
             --interface: an empty name is no interface; `shadowtap interfaces` lists them\n\
             --interface any: is all interfaces: leave out the others\n\
             --tunnel: `wireguard` is no tunnel that is known; write vxlan, geneve, gre or tzsp, with a port where it has another: \
             vxlan:4788\n\
             --max-memory: `1M` is too little to work with; 16M is the least\n\
             --direction: `up` is no direction; write in, out or both",
            &[],
        );
    }

    #[test]
    fn a_direction_needs_the_ports_of_the_servers() {
        let change = |typed: &mut typed::Live| typed.direction = Some("in".to_owned());
        check(change, "--direction: a direction is told by the ports of the servers: name them, such as -p 80", &[]);
        check(|typed| typed.direction = Some("both".to_owned()), "", &[]);
    }

    #[test]
    fn the_first_line_says_what_is_left_out() {
        let local = |direction, served: &[u16]| LocalEnds { direction, addresses: Vec::new(), served: served.to_vec() };
        assert_eq!(taken(&local(Direction::Auto, &[])), None);
        let told = taken(&local(Direction::Auto, &[80, 8080])).unwrap();
        assert!(told.starts_with("what this host sends to port 80, 8080 elsewhere is left out"), "{told}");
        assert!(taken(&local(Direction::In, &[])).unwrap().contains("only connections to this host"));
    }

    #[test]
    fn a_filter_of_spaces_is_none() {
        assert_eq!(check(|typed| typed.bpf = Some(" ".to_owned()), "", &[]).bpf, None);
    }

    #[test]
    fn a_short_snap_length_is_warned_of() {
        check(
            |typed| typed.snaplen = Some("1500".to_owned()),
            "",
            &["--snaplen 1500: a request that is longer is cut, and never sent"],
        );
    }
}
