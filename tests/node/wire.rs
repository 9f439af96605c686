//! A mirror port between the server's wire and shadowtap, which loses, reorders, tags or wraps what it copies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::net::{self, Network, Pair, SERVER, WIRE};
use crate::packets::Layer;
use crate::programs::{Ended, Nginx, Tap, each_once, folder, times};
use crate::traffic::Load;

/// Where the mirror sends, and where shadowtap listens.
const MIRROR: (&str, &str) = ("mirror0", "mirror1");
/// Bytes that a mirrored frame may have, with what is put around it.
const MTU: &str = "9000";
/// Bytes of the relay's buffer: what it loses itself would be taken for shadowtap's loss.
const BUFFER: i32 = 64 << 20;
/// Silence after which what was held back goes on. libpcap's own timeout does not end a wait without any frame.
const SILENCE: Duration = Duration::from_millis(20);
const TARGET: &str = "127.0.0.1:8080";
const LOAD: Load = Load { pause: 10, body: 3000, ..Load::new("mirrored") };

/// A frame, or silence, to frames.
type Change = Box<dyn FnMut(Option<Vec<u8>>) -> Vec<Vec<u8>> + Send>;

/// Copies frames from one interface to another.
struct Relay {
    ends: Arc<AtomicBool>,
    /// Frames that came, and that went.
    thread: JoinHandle<(u64, u64)>,
}

impl Relay {
    fn start(from: &str, to: &str, change: Change) -> Self {
        let from = pcap::Capture::from_device(from).unwrap().immediate_mode(true).buffer_size(BUFFER).open().unwrap();
        let from = from.setnonblock().unwrap();
        let to = pcap::Capture::from_device(to).unwrap().open().unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        Self { ends, thread: thread::spawn(move || relay(from, to, change, &told)) }
    }

    /// Ends it once nothing comes any more.
    fn end(self) -> (u64, u64) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn relay(
    mut from: pcap::Capture<pcap::Active>,
    mut to: pcap::Capture<pcap::Active>,
    mut change: Change,
    ends: &AtomicBool,
) -> (u64, u64) {
    let (mut came, mut went) = (0, 0);
    loop {
        let ending = ends.load(Ordering::Relaxed);
        let frame = match from.next_packet() {
            Ok(packet) => Some(packet.data.to_vec()),
            Err(pcap::Error::TimeoutExpired) => None,
            Err(error) => panic!("the relay cannot capture: {error}"),
        };
        let silent = frame.is_none();
        came += u64::from(!silent);
        if silent {
            thread::sleep(SILENCE);
        }
        for frame in change(frame) {
            to.sendpacket(frame).unwrap();
            went += 1;
        }
        if silent && ending {
            assert_eq!(from.stats().unwrap().dropped, 0, "the relay itself loses frames");
            return (came, went);
        }
    }
}

/// What a run behind a mirror came to.
struct Mirrored {
    ended: Ended,
    logged: Vec<crate::programs::Logged>,
    reached: Vec<String>,
    /// Frames that the mirror lost.
    lost: u64,
}

fn shadow(change: Change, arguments: &[&str]) -> Mirrored {
    let (network, folder) = (Network::new(), folder());
    network.small_frames();
    let mirror = Pair::new(MIRROR.0, MIRROR.1);
    for end in [mirror.0, mirror.1] {
        net::ip(&["link", "set", end, "mtu", MTU]);
    }
    let (nginx, target) = (Nginx::start(&format!("{SERVER}:80")), Nginx::start(TARGET));
    let url = format!("http://{TARGET}");
    let how = ["shadow", "-i", mirror.1, "-p", "80", "--to", &url, "--allow-writes"];
    let tap = Tap::start(&[&how, arguments].concat());
    let relay = Relay::start(WIRE, mirror.0, change);
    LOAD.run(&network, folder.path());
    let logged = nginx.end();
    let (came, went) = relay.end();
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let dropped = ended.count("/frames/kernel_dropped") + ended.count("/frames/interface_dropped");
    assert_eq!(dropped, 0, "frames were dropped: this machine is too busy for the trial");
    let reached = target.end();
    assert!(reached.iter().all(|reached| reached.status == 200), "{reached:?}");
    let reached = reached.into_iter().map(|reached| reached.target).collect();
    Mirrored { ended, logged, reached, lost: came - went }
}

/// Nothing may be lost.
fn check(change: Change, arguments: &[&str]) {
    let run = shadow(change, arguments);
    assert_eq!(run.lost, 0);
    each_once("the target", &run.logged, run.reached.iter().map(String::as_str), LOAD.open());
    run.ended.lost_nothing();
    assert_eq!(run.ended.of_target("/ended/sent"), run.reached.len() as u64);
}

pub(crate) fn lossy() {
    let mut random = StdRng::seed_from_u64(4);
    let run = shadow(Box::new(move |frame| frame.filter(|_| !random.random_ratio(1, 50)).into_iter().collect()), &[]);
    assert!(run.lost > 0, "nothing was lost");
    // Whatever went on the wire and is not in the capture shows as a hole.
    assert!(run.ended.count("/tcp/gaps") > 0, "{}", run.ended.summary["tcp"]);
    assert!(run.ended.count("/requests/ended/incomplete/gap") > 0, "{}", run.ended.summary["requests"]);
    assert!(run.ended.said.contains(" in captured streams"), "{}", run.ended.said);
    let reached = times(run.reached.iter().map(String::as_str));
    assert!(reached.values().all(|times| *times == 1), "{reached:?}");
    let logged: BTreeSet<_> = run.logged.iter().map(|logged| &*logged.target).collect();
    let made_up = reached.keys().filter(|target| !logged.contains(&***target)).count();
    assert!(made_up <= LOAD.open(), "{made_up} were never asked of production");
    // A frame belongs to one request, or to the answer to one, or to neither.
    let missing = logged.iter().filter(|target| !reached.contains_key(**target)).count() as u64;
    assert!(missing <= run.lost, "{missing} missing, for {} lost frames", run.lost);
    assert!(missing > 0, "not one request was hit by {} lost frames", run.lost);
    assert_eq!(run.ended.of_target("/ended/sent"), run.reached.len() as u64);
}

pub(crate) fn reordered() {
    const TOGETHER: usize = 8;
    let (mut random, mut held) = (StdRng::seed_from_u64(4), Vec::new());
    let change = move |frame: Option<Vec<u8>>| {
        let silent = frame.is_none();
        held.extend(frame);
        if !silent && held.len() < TOGETHER {
            return Vec::new();
        }
        held.shuffle(&mut random);
        std::mem::take(&mut held)
    };
    check(Box::new(change), &[]);
}

pub(crate) fn tagged() {
    let tag = |frame: Vec<u8>| [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
    check(Box::new(move |frame| frame.map(tag).into_iter().collect()), &[]);
}

pub(crate) fn wrapped() {
    let wrap = |bytes| Layer { ether_type: 0, protocol: 0, bytes }.vxlan().tunnel().ethernet().bytes;
    check(Box::new(move |frame| frame.map(wrap).into_iter().collect()), &["--tunnel", "vxlan"]);
}
