//! Live capture, off interfaces that the test makes itself in a network namespace of its own.
//!
//! Where the right to make one is missing, each trial is ignored and its name says so. Trials run one after another, and
//! what is about a whole process (giving up root) runs in a child: this same binary, started again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "support/net.rs"]
mod net;
#[path = "support/packets.rs"]
#[allow(dead_code, reason = "this sends frames, and builds no captures")]
mod packets;
#[path = "support/trials.rs"]
mod trials;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use libtest_mimic::Arguments;
use net::{Pair, Row, ip, may};
use packets::{Layer, Packet};
use shadowtap::capture::live::{self, Live, LiveSettings};
use shadowtap::capture::{LinkType, Polled, Source, privileges};
use shadowtap::decode::{Decoder, Skip};
use shadowtap::exchange::Timestamp;

/// Names what a child is to do.
const CHILD: &str = "SHADOWTAP_TEST_CHILD";
/// A user who may nothing; it needs no account.
const SOMEBODY: u32 = 54_321;
/// Longest wait for frames that are on their way: they take milliseconds, but for a machine that is busy elsewhere.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if let Ok(child) = env::var(CHILD) {
        return run_child(&child);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let lacks = net::enter();
    let setcap = if may("setcap", &["-h"]) { None } else { Some("setcap") };
    let trials: [Row<'_>; 17] = [
        ("what is said on lo is captured once, to the last frame before the halt", lacks, once_on_lo),
        ("on any and on several interfaces at once nothing is captured twice either", lacks, once_elsewhere),
        ("frames of several interfaces come in order of time", lacks, in_order),
        ("an expression sees through tags that the kernel keeps beside the frame", lacks, tagged),
        ("each frame is handed over at once, but for those of any", lacks, at_once),
        ("a frame that is longer than a slot comes whole, and in its place", lacks, long_frames),
        ("a direction of each on two interfaces is one conversation", lacks, two_directions),
        ("what the kernel drops is counted to the frame", lacks, dropped),
        ("an interface that goes down is told, and comes back", lacks, down_and_up),
        ("an interface that goes away ends its capture, and no other's", lacks, gone),
        ("an interface that is made again is captured on again, without any right", lacks, made_again),
        ("of several interfaces each may be made again", lacks, several_made_again),
        ("where no interface is left the capture waits if it is told to", lacks, waited_for),
        ("what cannot be opened is told with what helps", lacks, refused),
        ("without -i the interfaces are chosen that carry the port", lacks, chosen),
        ("root is given up for good, and the capture goes on", lacks, given_up),
        ("the right of the file alone is enough", lacks.or(setcap), file_right),
    ];
    libtest_mimic::run(&arguments, net::trials(&trials)).exit_code()
}

/// Puts frames on an interface.
fn send(interface: &str, frames: &[Layer]) {
    let mut wire = wire(interface);
    for frame in frames {
        wire.sendpacket(&*frame.bytes).unwrap();
    }
}

fn wire(interface: &str) -> pcap::Capture<pcap::Active> {
    pcap::Capture::from_device(interface).unwrap().open().unwrap()
}

/// A segment to port 80, numbered.
fn segment(number: u32) -> Packet {
    Packet {
        at: 0,
        from: "10.0.0.7:51234".parse().unwrap(),
        to: "10.0.0.1:80".parse().unwrap(),
        seq: number,
        ack: 1,
        flags: packets::ACK,
        payload: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    }
}

fn settings(interfaces: &[&str], ports: &[u16]) -> LiveSettings {
    let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    LiveSettings { interfaces, ports: ports.to_vec(), ..LiveSettings::default() }
}

#[track_caller]
fn open(settings: &LiveSettings) -> Live {
    live::open(settings).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

/// A segment as it was captured.
#[derive(Debug)]
struct Seen {
    at: Timestamp,
    seq: u32,
    from: u16,
    len: usize,
}

/// Captures until `enough`, or until nothing has come for long; each frame has to be TCP.
fn until(live: &mut Live, enough: impl Fn(&[Seen], &Live) -> bool) -> Vec<Seen> {
    let (mut decoder, mut seen, mut idle_since) = (Decoder::new(), Vec::new(), None);
    loop {
        match live.poll() {
            Polled::Frame(frame) => {
                idle_since = None;
                let segment = match decoder.decode(&frame) {
                    Ok(segment) => segment,
                    // Of two tags the kernel may have taken one off already, and tells the type of what is inside it as
                    // that of the other.
                    Err(Skip::BadHeader) if frame.link == LinkType::LINUX_SLL => continue,
                    Err(why) => panic!("{why:?}: {:02x?} of {} bytes", frame.data, frame.wire_len),
                };
                let (seq, from, len) = (segment.seq, segment.source.port, segment.payload.len());
                seen.push(Seen { at: frame.at, seq, from, len });
            }
            Polled::Idle(now) if now.since(*idle_since.get_or_insert(now)) < PATIENCE => {}
            Polled::Idle(_) => {
                panic!("nothing came for {PATIENCE:?}, after {} frames: {:?}", seen.len(), live.warnings())
            }
            Polled::End => return seen,
        }
        if enough(&seen, live) {
            return seen;
        }
    }
}

/// Rounds of question and answer over loopback; `done` is called as soon as the last answer is read.
fn talk(rounds: usize, server: &TcpListener, done: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = server.accept().unwrap();
            let mut question = [0; 4];
            while stream.read_exact(&mut question).is_ok() {
                stream.write_all(b"answer").unwrap();
            }
        });
        let mut stream = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        for _ in 0..rounds {
            stream.write_all(b"ask!").unwrap();
            stream.read_exact(&mut [0; 6]).unwrap();
        }
        done();
    });
}

/// Captures a conversation over loopback; each of its segments has to be there once, and in the order of time.
#[track_caller]
fn captured_once(interfaces: &[&str]) {
    const ROUNDS: usize = 500;
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let settings = settings(interfaces, &[port]);
    let mut live = open(&settings);
    let halt = settings.halt.clone();
    let talking = thread::spawn(move || talk(ROUNDS, &server, || halt.set()));
    let seen = until(&mut live, |_, _| false);
    talking.join().unwrap();
    let mut times = BTreeMap::new();
    for segment in seen.iter().filter(|segment| segment.len > 0) {
        *times.entry((segment.from == port, segment.seq)).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 2 * ROUNDS, "{interfaces:?}: questions and answers");
    assert!(times.values().all(|times| *times == 1), "{interfaces:?}: something was captured twice");
    assert!(seen.is_sorted_by_key(|segment| segment.at), "{interfaces:?}: out of order");
    assert!(live.warnings().is_empty(), "{:?}", live.warnings());
    assert_eq!(live.dropped().kernel, 0);
}

fn once_on_lo() {
    captured_once(&["lo"]);
}

fn once_elsewhere() {
    let pair = Pair::new("tap0", "tap1");
    captured_once(&["any"]);
    captured_once(&["lo", pair.0]);
}

fn in_order() {
    let (one, other) = (Pair::new("tap0", "tap1"), Pair::new("tap2", "tap3"));
    let mut live = open(&settings(&[one.1, other.1], &[80]));
    let mut wires = [wire(one.0), wire(other.0)];
    for number in 0..100 {
        wires[number as usize % 2].sendpacket(segment(number).ip().ethernet().bytes).unwrap();
    }
    let seen = until(&mut live, |seen, _| seen.len() == 100);
    let numbers: Vec<u32> = seen.iter().map(|segment| segment.seq).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

fn tagged() {
    let pair = Pair::new("tap0", "tap1");
    let frame = |number| segment(number).ip();
    let other_port = Packet { to: "10.0.0.1:81".parse().unwrap(), ..segment(99) };
    let frames = [
        frame(1).ethernet(),
        frame(2).vlan(0x8100, 7).ethernet(),
        frame(3).vlan(0x88a8, 7).ethernet(),
        frame(4).vlan(0x8100, 7).vlan(0x88a8, 9).ethernet(),
        other_port.ip().ethernet(),
        other_port.ip().vlan(0x8100, 7).ethernet(),
        frame(5).ethernet(),
    ];
    for interface in [pair.1, "any"] {
        let mut live = open(&settings(&[interface], &[80]));
        send(pair.0, &frames);
        let last = |seen: &[Seen]| seen.iter().filter(|segment| segment.seq == 5).count();
        // The device for all sees them leave one end and reach the other.
        let copies = if interface == "any" { 2 } else { 1 };
        let seen = until(&mut live, |seen, _| last(seen) == copies);
        for number in 1..=5 {
            let found = seen.iter().filter(|segment| segment.seq == number).count();
            // Of two tags the kernel keeps one beside the frame only as it comes in.
            let fewest = if number == 4 { 1 } else { copies };
            assert!((fewest..=copies).contains(&found), "{number} on {interface}: {seen:?}");
        }
    }
    let mut live = open(&LiveSettings { bpf: Some("vlan 7".to_owned()), ..settings(&[pair.1], &[80]) });
    send(pair.0, &[frame(1).ethernet(), frame(2).vlan(0x8100, 8).ethernet(), frame(3).vlan(0x8100, 7).ethernet()]);
    let seen = until(&mut live, |seen, _| !seen.is_empty());
    assert_eq!(seen[0].seq, 3, "{seen:?}");
}

fn at_once() {
    let pair = Pair::new("tap0", "tap1");
    for (interfaces, expected) in
        [(&["lo"][..], true), (&[pair.1], true), (&["lo", pair.1], true), (&["any"], false), (&["lo", "any"], false)]
    {
        assert_eq!(open(&settings(interfaces, &[80])).is_immediate(), expected, "{interfaces:?}");
        let in_blocks = LiveSettings { in_blocks: true, ..settings(interfaces, &[80]) };
        assert!(!open(&in_blocks).is_immediate(), "{interfaces:?}");
    }
}

fn long_frames() {
    let pair = Pair::new("tap0", "tap1");
    for end in [pair.0, pair.1] {
        ip(&["link", "set", end, "mtu", "9000"]);
    }
    let of = |number: u32, letter: u8, len: usize| Packet { payload: vec![letter; len], ..segment(number) }.ip();
    let lens = [20, 5_000, 1_900, 1_846, 1_847, 8_000, 30, 8_000, 2_000];
    let long_elsewhere = Packet { to: "10.0.0.1:81".parse().unwrap(), payload: vec![0; 7_000], ..segment(99) };
    let mut frames = Vec::new();
    for ((number, letter), len) in (0..).zip(b'a'..=b'z').zip(lens) {
        let layer = of(number, letter, len);
        frames.push(if number.is_multiple_of(2) { layer.ethernet() } else { layer.vlan(0x8100, 7).ethernet() });
        frames.push(long_elsewhere.ip().ethernet());
    }
    let (one, both) = (settings(&[pair.1], &[80]), settings(&[pair.1, "lo"], &[80]));
    let cut = LiveSettings { snaplen: 3_000, ..one.clone() };
    for settings in [one, both, cut] {
        let mut live = open(&settings);
        send(pair.0, &frames);
        let seen = until(&mut live, |seen, _| seen.len() == lens.len());
        let found: Vec<_> = seen.iter().map(|segment| (segment.seq as usize, segment.len)).collect();
        let room = |number: usize| settings.snaplen - if number.is_multiple_of(2) { 54 } else { 58 };
        let expected: Vec<_> =
            lens.iter().enumerate().map(|(number, len)| (number, (*len).min(room(number)))).collect();
        assert_eq!(found, expected, "{:?}", settings.interfaces);
    }
}

fn two_directions() {
    let (one, other) = (Pair::new("tap0", "tap1"), Pair::new("tap2", "tap3"));
    let mut live = open(&settings(&[one.1, other.1], &[80]));
    let question = segment(1);
    let answer = Packet { from: question.to, to: question.from, ..segment(2) };
    let mut wires = [wire(one.0), wire(other.0)];
    for _ in 0..50 {
        wires[0].sendpacket(question.ip().ethernet().bytes).unwrap();
        wires[1].sendpacket(answer.ip().ethernet().bytes).unwrap();
    }
    let seen = until(&mut live, |seen, _| seen.len() == 100);
    let numbers: Vec<u32> = seen.iter().map(|segment| segment.seq).collect();
    assert_eq!(numbers, [1, 2].repeat(50));
}

fn dropped() {
    const SENT: u32 = 20_000;
    let pair = Pair::new("tap0", "tap1");
    let settings = LiveSettings { buffer: 2 << 20, ..settings(&[pair.1], &[80]) };
    let mut live = open(&settings);
    let frame = Packet { payload: vec![b'x'; 1000], ..segment(1) }.ip().ethernet();
    send(pair.0, &vec![frame; SENT as usize]);
    settings.halt.set();
    let seen = until(&mut live, |_, _| false).len() as u64;
    let dropped = live.dropped().kernel;
    assert!(dropped > 0, "a buffer of 2 MiB held {seen} frames of a kilobyte");
    assert_eq!(seen + dropped, u64::from(SENT));
}

fn down_and_up() {
    let pair = Pair::new("tap0", "tap1");
    let mut live = open(&settings(&[pair.1], &[80]));
    let told = |live: &mut Live, count: usize| until(live, |_, live| live.warnings().len() == count);
    ip(&["link", "set", pair.1, "down"]);
    told(&mut live, 1);
    ip(&["link", "set", pair.1, "up"]);
    told(&mut live, 2);
    let said = ["tap1 went down: nothing is captured on it until it is up again", "tap1 is up again"];
    assert_eq!(live.warnings(), said);
    send(pair.0, &[segment(7).ip().ethernet()]);
    assert_eq!(until(&mut live, |seen, _| !seen.is_empty())[0].seq, 7);
}

fn gone() {
    let (one, other) = (Pair::new("tap0", "tap1"), Pair::new("tap2", "tap3"));
    let mut alone = open(&settings(&[one.1], &[80]));
    let mut both = open(&settings(&[one.1, other.1], &[80]));
    drop(one);
    assert_eq!(until(&mut alone, |_, _| false).len(), 0);
    let ended = |live: &Live| live.warnings().iter().any(|told| told.starts_with("the capture on tap1 ended"));
    assert!(ended(&alone), "{:?}", alone.warnings());
    let none_left = "no interface is left to capture on: the capture ended before it was stopped";
    assert_eq!(alone.unread(), [none_left]);
    until(&mut both, |_, live| ended(live));
    assert_eq!(both.unread(), Vec::<String>::new());
    send(other.0, &[segment(7).ip().ethernet()]);
    assert_eq!(until(&mut both, |seen, _| !seen.is_empty())[0].seq, 7);
    drop(other);
    until(&mut both, |_, _| false);
    assert_eq!(both.warnings().iter().filter(|told| told.starts_with("the capture on")).count(), 2);
    assert_eq!(both.unread(), [none_left]);
}

/// Waits until as much was told that begins so.
fn until_told(live: &mut Live, begins: &str, count: usize) {
    until(live, |_, live| live.warnings().iter().filter(|told| told.starts_with(begins)).count() == count);
}

fn made_again() {
    let mut pair = Pair::new("tap0", "tap1");
    let mut live = open(&settings(&[pair.1], &[80]));
    for round in 1..=3 {
        drop(pair);
        until_told(&mut live, "the capture on tap1 ended: ", round);
        pair = Pair::new("tap0", "tap1");
        until_told(&mut live, "tap1 is there again: the capture goes on", round);
        let number = u32::try_from(round).unwrap() * 10;
        let other_port = Packet { to: "10.0.0.1:81".parse().unwrap(), ..segment(99) };
        let frames: Vec<Layer> = (0..5).map(|n| segment(number + n).ip().ethernet()).collect();
        send(pair.0, &[&[other_port.ip().ethernet()][..], &frames].concat());
        let seen = until(&mut live, |seen, _| seen.len() == 5);
        let numbers: Vec<u32> = seen.iter().map(|segment| segment.seq).collect();
        assert_eq!(numbers, (number..number + 5).collect::<Vec<_>>(), "each once, as the filter says");
    }
    // It goes down and comes up as before.
    ip(&["link", "set", pair.1, "down"]);
    until_told(&mut live, "tap1 went down", 1);
    ip(&["link", "set", pair.1, "up"]);
    until_told(&mut live, "tap1 is up again", 1);
    send(pair.0, &[segment(7).ip().ethernet()]);
    assert_eq!(until(&mut live, |seen, _| !seen.is_empty())[0].seq, 7);
    assert_eq!((live.unread(), live.dropped().kernel), (Vec::new(), 0));
}

fn several_made_again() {
    let (one, other) = (Pair::new("tap0", "tap1"), Pair::new("tap2", "tap3"));
    let mut live = open(&settings(&[one.1, other.1], &[80]));
    drop(one);
    until_told(&mut live, "the capture on tap1 ended: ", 1);
    send(other.0, &[segment(1).ip().ethernet()]);
    assert_eq!(until(&mut live, |seen, _| !seen.is_empty())[0].seq, 1);
    let one = Pair::new("tap0", "tap1");
    until_told(&mut live, "tap1 is there again", 1);
    send(one.0, &[segment(2).ip().ethernet()]);
    send(other.0, &[segment(3).ip().ethernet()]);
    let mut seen: Vec<u32> = until(&mut live, |seen, _| seen.len() == 2).iter().map(|segment| segment.seq).collect();
    seen.sort_unstable();
    assert_eq!(seen, [2, 3]);
}

fn waited_for() {
    assert_eq!(live::missing(&["tap1".to_owned(), "any".to_owned()]), ["tap1"]);
    let pair = Pair::new("tap0", "tap1");
    assert_eq!(live::missing(&["tap1".to_owned(), "any".to_owned()]), Vec::<String>::new());
    let settings = LiveSettings { wait_interface: true, ..settings(&[pair.1], &[80]) };
    let mut live = open(&settings);
    drop(pair);
    until_told(&mut live, "no interface is left to capture on: waiting until one comes back", 1);
    // Longer than one that is made anew would be waited for: each look takes 20 ms at least.
    for _ in 0..220 {
        assert!(matches!(live.poll(), Polled::Idle(_)), "it waits");
    }
    let pair = Pair::new("tap0", "tap1");
    until_told(&mut live, "tap1 is there again", 1);
    send(pair.0, &[segment(7).ip().ethernet()]);
    assert_eq!(until(&mut live, |seen, _| !seen.is_empty())[0].seq, 7);
    drop(pair);
    until_told(&mut live, "the capture on tap1 ended", 2);
    settings.halt.set();
    assert_eq!(until(&mut live, |_, _| false).len(), 0);
    assert_eq!(live.unread(), Vec::<String>::new());
}

fn refused() {
    let pair = Pair::new("tap0", "tap1");
    ip(&["link", "set", pair.0, "down"]);
    let told = |settings: &LiveSettings| -> Vec<String> {
        let errors = live::open(settings).err().unwrap();
        errors.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        told(&settings(&["tap2", "lo", pair.0], &[])),
        [
            "there is no interface tap2, perhaps tap1 was meant; there are lo, tap1, tap0 and any",
            "cannot open tap0: it is down; to bring it up: sudo ip link set tap0 up",
        ]
    );
    let vlan = LiveSettings { bpf: Some("vlan 7".to_owned()), ..settings(&["any"], &[]) };
    let said = told(&vlan).remove(0);
    assert!(said.starts_with("the filter `vlan 7` does not compile for any (Linux cooked): "), "{said}");
}

fn chosen() {
    let pair = Pair::new("tap0", "tap1");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let said = |port| open(&settings(&[], &[port])).describe();
    assert_eq!(said(port), format!("lo, where something listens on port {port}"));
    drop(server);
    assert_eq!(said(9), format!("{} and {}: up, and nothing here listens on port 9", pair.1, pair.0));
}

/// Starts this binary again as a child that does one thing, and returns what it said.
#[track_caller]
fn child(command: &mut Command, what: &str) -> String {
    let output = command.env(CHILD, what).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// A copy of this binary that anybody may start.
fn copy(folder: &Path) -> PathBuf {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let copy = folder.join("trials");
    fs::copy(env::current_exe().unwrap(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

fn given_up() {
    let folder = tempfile::tempdir().unwrap();
    let said = child(
        Command::new(copy(folder.path())).current_dir(folder.path()).env("SUDO_UID", SOMEBODY.to_string()),
        "capture",
    );
    assert!(said.starts_with(&format!("running as {SOMEBODY}, no capabilities\n")), "{said}");
    let said = child(Command::new(env::current_exe().unwrap()).env_remove("SUDO_UID").env_remove("SUDO_GID"), "who");
    assert_eq!(said, "running as nobody, no capabilities\n");
}

fn file_right() {
    let folder = tempfile::tempdir().unwrap();
    let copy = copy(folder.path());
    let refused = child(Command::new(&copy).current_dir(folder.path()).uid(SOMEBODY).gid(SOMEBODY), "refused");
    assert_eq!(refused, not_permitted(&copy));
    assert!(may("setcap", &["cap_net_raw+ep", copy.to_str().unwrap()]), "setcap");
    let said = child(Command::new(&copy).current_dir(folder.path()).uid(SOMEBODY).gid(SOMEBODY), "capture");
    assert!(said.starts_with(&format!("running as {SOMEBODY}, no capabilities\n")), "{said}");
}

fn not_permitted(program: &Path) -> String {
    let program = program.canonicalize().unwrap();
    format!(
        "cannot open lo: operation not permitted; run with sudo, or: sudo setcap cap_net_raw+ep {}\n",
        program.display()
    )
}

/// What children do, before there is any other thread.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn run_child(what: &str) -> ExitCode {
    match what {
        "who" => println!("{}", privileges::drop_privileges(&privileges::user(None).unwrap()).unwrap()),
        "refused" => println!("{}", live::open(&settings(&["lo"], &[])).err().unwrap()[0]),
        _ => capture_without_rights(),
    }
    ExitCode::SUCCESS
}

/// Opens, gives up, and then finds that frames still come and that nothing else goes.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn capture_without_rights() {
    const ROUNDS: usize = 20;
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = settings(&["lo"], &[server.local_addr().unwrap().port()]);
    let mut live = open(&settings);
    println!("{}", privileges::drop_privileges(&privileges::user(None).unwrap()).unwrap());

    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let words = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        words.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let somebody = SOMEBODY.to_string();
    assert_eq!(field("Uid:"), [&*somebody; 4]);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert!(!field("Groups:").contains(&"0".to_owned()) && !field("Gid:").contains(&"0".to_owned()));

    assert_eq!(
        live::open(&settings).err().unwrap()[0].to_string() + "\n",
        not_permitted(&std::env::current_exe().unwrap())
    );
    privileges::can_write(Path::new(".")).unwrap();
    let refused = privileges::can_write(Path::new("/proc/sys")).unwrap_err();
    assert_eq!(refused.to_string(), format!("cannot write to /proc/sys as {SOMEBODY}"));
    assert!(std::error::Error::source(&refused).is_some(), "{refused:?}");

    let halt = settings.halt.clone();
    let talking = thread::spawn(move || talk(ROUNDS, &server, || halt.set()));
    let seen = until(&mut live, |_, _| false);
    talking.join().unwrap();
    assert_eq!(seen.iter().filter(|segment| segment.len > 0).count(), 2 * ROUNDS);
    assert!(live.warnings().is_empty(), "{:?}", live.warnings());
}
