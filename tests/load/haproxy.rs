//! Beside a real HAProxy: how long it waits for acknowledgements, by the packets between both; and what it costs to read its
//! log.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use etherparse::{SlicedPacket, TransportSlice};
use hdrhistogram::Histogram;

use crate::programs::{Nginx, Running, Tap, folder, until};
use crate::replay::{Measured, wrk};
use crate::setting;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haproxy");
const APPLICATION: &str = "127.0.0.1:8081";
const TARGET: &str = "127.0.0.1:8080";
const AGENT: u16 = 9100;
/// Types of frames (SPOE, 3.2).
const NOTIFY: u8 = 3;
const ACK: u8 = 103;

/// Requests through HAProxy as fast as wrk makes them over so many connections: two events each.
pub(crate) fn acknowledged() {
    println!("connections  requests/s  events/s     p50     p90     p99   p99.9     max, us from event to ACK    shed");
    for connections in [6, 10, 16] {
        (0..setting("BENCH_RUNS", 3)).for_each(|_| beside_haproxy(connections));
    }
}

fn beside_haproxy(connections: u64) {
    let (folder, _application, _target) = (folder(), Nginx::start_busy(APPLICATION), Nginx::start_busy(TARGET));
    let spoe = format!("127.0.0.1:{AGENT}");
    let to = format!("http://{TARGET}");
    // Its thread that acknowledges comes first, even where this root may not raise limits, as in a container.
    let mut program = Command::new("nice");
    program.args(["-n", "-10"]).arg(Tap::program().get_program());
    let tap = Tap::launch(&mut program, &["shadow", "--spoe", &spoe, "--to", &to, "--guard", "off"]);
    until("shadowtap to listen", || TcpStream::connect(&spoe).is_ok());
    let _haproxy = haproxy(folder.path());
    until("HAProxy to listen", || TcpStream::connect("127.0.0.1:8180").is_ok());
    // Until its check has found the agent.
    thread::sleep(Duration::from_secs(2));
    let capture = folder.path().join("spoe.pcap");
    let packets = Command::new("tcpdump")
        .args([
            "-i",
            "lo",
            "--time-stamp-precision=nano",
            "-B",
            "65536",
            "-w",
            capture.to_str().unwrap(),
            "tcp port 9100",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut packets = Running(packets.unwrap());
    until("tcpdump to begin", || capture.exists());
    let rate = wrk(folder.path(), "http://127.0.0.1:8180", connections).rate;
    thread::sleep(Duration::from_millis(500));
    packets.signal("INT");
    packets.wait();
    let (waits, unanswered) = waits(&capture);
    let ended = tap.end("INT");
    let us = |quantile: f64| waits.value_at_quantile(quantile) / 1000;
    println!(
        "{connections:>11} {rate:>11.0} {:>9.0} {:>7} {:>7} {:>7} {:>7} {:>7} {:>29}",
        rate * 2.0,
        us(0.5),
        us(0.9),
        us(0.99),
        us(0.999),
        waits.max() / 1000,
        ended.count("/spoe/shed")
    );
    // What was under way when tcpdump ended has no answer there.
    let under_way = usize::try_from(connections).unwrap();
    assert!(waits.len() > 1000 && unanswered <= under_way, "{} events, {unanswered} unanswered", waits.len());
}

/// HAProxy with the shipped parts, on ports of loopback.
fn haproxy(folder: &Path) -> Running {
    let messages = folder.join("spoe.conf");
    fs::copy(format!("{SHIPPED}/spoe-shadowtap.conf"), &messages).unwrap();
    let config = fs::read_to_string(format!("{SHIPPED}/haproxy.cfg")).unwrap();
    let config = config
        .replace("bind :8080 ", "bind 127.0.0.1:8180 ")
        .replace("/etc/haproxy/spoe-shadowtap.conf", messages.to_str().unwrap());
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("haproxy");
    command.env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin").args(["-db", "-f", file.to_str().unwrap()]);
    Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Nanoseconds from the last byte of each event to the first one of its acknowledgement, and how many had none.
fn waits(file: &Path) -> (Histogram<u64>, usize) {
    let mut capture = pcap::Capture::from_file_with_precision(file, pcap::Precision::Nano).unwrap();
    let (mut streams, mut asked) = (HashMap::<_, Frames>::new(), HashMap::new());
    let mut waits = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
    while let Ok(packet) = capture.next_packet() {
        let at = packet.header.ts.tv_sec * 1_000_000_000 + packet.header.ts.tv_usec;
        let sliced = SlicedPacket::from_ethernet(packet.data).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { continue };
        let (from, to) = (tcp.source_port(), tcp.destination_port());
        let client = if to == AGENT { from } else { to };
        for (kind, stream, frame) in streams.entry((from, to)).or_default().add(tcp.sequence_number(), tcp.payload()) {
            let id = (client, stream, frame);
            match kind {
                NOTIFY => drop(asked.insert(id, at)),
                ACK => waits.saturating_record(u64::try_from(at - asked.remove(&id).unwrap_or(at)).unwrap_or_default()),
                _ => {}
            }
        }
    }
    (waits, asked.len())
}

/// Frames of one direction of a connection; loopback neither loses nor reorders.
#[derive(Default)]
struct Frames {
    next: Option<u32>,
    bytes: Vec<u8>,
}

impl Frames {
    /// Type, stream and number of each frame that these bytes complete.
    fn add(&mut self, seq: u32, payload: &[u8]) -> Vec<(u8, u64, u64)> {
        if payload.is_empty() || self.next.is_some_and(|next| next != seq) {
            return Vec::new();
        }
        self.next = Some(seq.wrapping_add(u32::try_from(payload.len()).unwrap()));
        self.bytes.extend_from_slice(payload);
        let mut frames = Vec::new();
        while let Some((length, rest)) = self.bytes.split_first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
            let Some(frame) = rest.get(..length) else { break };
            let mut after = &frame[5..];
            frames.push((frame[0], varint(&mut after), varint(&mut after)));
            self.bytes.drain(..4 + length);
        }
        frames
    }
}

/// A number of variable length (SPOE, 3.1).
fn varint(bytes: &mut &[u8]) -> u64 {
    let mut next = || {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        u64::from(*first)
    };
    let mut value = next();
    if value >= 240 {
        for shift in (4..).step_by(7) {
            let byte = next();
            value += byte << shift;
            if byte < 128 {
                break;
            }
        }
    }
    value
}

/// A million lines of each format.
pub(crate) fn logs() {
    let folder = folder();
    let lines = setting("BENCH_LINES", 1_000_000);
    println!("format       lines  CPU seconds, each run");
    for format in ["haproxy", "combined"] {
        let file = folder.path().join(format);
        write_log(&file, format, lines);
        let runs = (0..setting("BENCH_RUNS", 3)).map(|_| {
            let run = Measured::of(&["inspect", file.to_str().unwrap(), "--format", format]);
            assert_eq!(run.ended.count("/requests/seen"), lines);
            run.processor_us as f64 / 1e6
        });
        let runs = runs.fold(String::new(), |mut all, run| {
            write!(all, "{run:>6.2}").unwrap();
            all
        });
        println!("{format:<9} {lines:>8} {runs}");
    }
}

fn write_log(file: &Path, format: &str, lines: u64) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file).unwrap());
    for number in 0..lines {
        // A thousand lines a second, from 100,000 clients.
        let (client, of_day, millis) = (number * 7919 % 100_000, number / 1000, number % 1000);
        let ip = format!("10.{}.{}.{}", client / 10_000, client / 100 % 100, client % 100);
        let clock = format!("21/Nov/2026:{:02}:{:02}:{:02}", 8 + of_day / 3600, of_day / 60 % 60, of_day % 60);
        let (took, status, size) =
            (number * 31 % 400, if number.is_multiple_of(9) { 404 } else { 200 }, number * 97 % 50_000);
        let target = format!("/product/{}?ref=mail&page={}", number * 13 % 9973, number % 7);
        if format == "haproxy" {
            writeln!(
                out,
                "Nov 21 08:00:00 lb1 haproxy[2114]: {ip}:{} [{clock}.{millis:03}] https-in~ app/app{} 0/0/1/{took}/{} {status} {size} - - ---- \
                 {}/{}/{}/{}/0 0/0 {{www.example.com|Mozilla/5.0}} {{}} \"GET {target} HTTP/1.1\"",
                1024 + number % 60_000,
                number % 4,
                took + 3,
                number % 900,
                number % 800,
                number % 30,
                number % 20
            )
            .unwrap();
        } else {
            writeln!(
                out,
                "{ip} - - [{clock} +0000] \"GET {target} HTTP/1.1\" {status} {size} \"https://www.example.com/\" \
                 \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\""
            )
            .unwrap();
        }
    }
    out.flush().unwrap();
}
