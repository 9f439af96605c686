//! The whole tap, from the bytes of a capture file to events; and what an exchange costs with many connections open.
//!
//! Times are of one thread. Elements are exchanges, bytes those of the file.

mod support;

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shadowtap::capture::{Settings, Source as _};
use shadowtap::exchange::Event;
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::middleware::file::Environment;
use shadowtap::middleware::{Chain, ChainFile, ChainSettings};
use shadowtap::pipeline::{InMemoryReplay, Tap};
use shadowtap::replay::SendSettings;

use support::{Capture, Frames, Shape};

/// What `inspect` asks for without `--json`, what it asks for with it, and what `replay` asks for.
const USES: [(&str, BodyPolicies); 3] = [
    ("count", BodyPolicies { request_body: BodyPolicy::Count, response_body: BodyPolicy::Count }),
    ("hash", BodyPolicies { request_body: BodyPolicy::Hash, response_body: BodyPolicy::Hash }),
    ("replay", BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Hash }),
];

fn tap(interests: BodyPolicies) -> Tap {
    Tap::new(&Settings::default(), interests).expect("there is no filter that could not compile")
}

/// All of `frames` through `tap`.
fn feed(tap: &mut Tap, frames: &Frames, sink: &mut dyn FnMut(Event)) {
    let mut source = frames.play();
    while tap.pull(&mut source, sink) {}
}

fn drop_event(event: Event) {
    black_box(event);
}

fn whole_files(c: &mut Criterion) {
    for (name, body) in [("2 kB an exchange", 1_000), ("10 kB bodies", 10_000)] {
        let capture = Capture::new(&Shape { exchanges: 20_000, body, ..Shape::default() });
        let mut group = c.benchmark_group(format!("file of {name}"));
        let (elements, bytes) = (capture.totals.exchanges, capture.totals.bytes);
        group.throughput(Throughput::ElementsAndBytes { elements, bytes });
        for (use_name, interests) in USES {
            group.bench_function(use_name, |b| {
                b.iter_batched(
                    || (capture.open(), tap(interests)),
                    |(mut source, mut tap)| {
                        while tap.pull(&mut source, &mut drop_event) {}
                        tap.finish(&mut drop_event);
                        (source, tap)
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
}

/// What `carry` links cost where nothing is carried: the second less the first, by exchange.
const CARRY: &str = r#"
[[link]]
carry = "session"
from = { set-cookie = "PHPSESSID" }

[[link]]
carry = "token"
from = { header = "X-Auth-Token" }
into = { header = "Authorization", pattern = "^Bearer (.*)$" }
"#;

fn carry(c: &mut Criterion) {
    let capture = Capture::new(&Shape { exchanges: 20_000, body: 1_000, ..Shape::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime is possible");
    let target = SendSettings::new("http://staging.example:8080".parse().expect("it is a URL"));
    let mut group = c.benchmark_group("replay in memory");
    group.throughput(Throughput::Elements(capture.totals.exchanges));
    for (name, chain) in [("without carry", ""), ("two carry links, nothing carried", CARRY)] {
        let file = ChainFile::parse(chain, Path::new("carry.toml"), &Environment::default());
        let settings = ChainSettings { files: vec![file.expect("it is well written")], ..ChainSettings::default() };
        let response = b"HTTP/1.1 200 OK\r\nServer: staging\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    let replay = InMemoryReplay::new(Chain::new(&settings), &target).expect("there is no filter");
                    (capture.open(), replay.carrying(&settings, runtime.handle().clone()))
                },
                |(mut source, replay)| replay.run(&mut source, &mut |_| response),
                BatchSize::PerIteration,
            );
        });
    }
}

/// Exchanges before those that are timed, once all connections are open.
const WARM: u64 = 1_000;
/// Exchanges that are timed with all connections open.
const TIMED: u64 = 50_000;

/// The exchanges of a capture that come once all its connections are open, and those before them. Whatever the number of
/// connections, there are as many frames to an exchange.
fn split(connections: usize) -> (Frames, Frames) {
    let open = connections as u64;
    let shape = Shape {
        exchanges: open + WARM + TIMED,
        connections,
        per_connection: u64::MAX,
        in_turn: true,
        body: 200,
        ..Shape::default()
    };
    let capture = Capture::new(&shape);
    let mut source = capture.open();
    let (mut early, mut late) = (Frames::default(), Frames::default());
    // Each opens in three frames before its first turn, and closes in three at the end, which is not timed either.
    let exchanging = capture.totals.frames - 6 * open;
    let timed = exchanging * TIMED / shape.exchanges;
    let first_timed = 3 * open + exchanging - timed;
    let mut place = 0;
    while let Some(frame) = source.next() {
        match place {
            early_frame if early_frame < first_timed => early.push(&frame),
            late_frame if late_frame < first_timed + timed => late.push(&frame),
            _ => break,
        }
        place += 1;
    }
    (early, late)
}

fn open_connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchanges with connections open");
    for connections in [10, 1_000, 100_000] {
        let (early, late) = split(connections);
        // Counted once: where the frames are cut some are under way.
        let mut exchanges = 0;
        let mut count = |event| exchanges += u64::from(matches!(event, Event::Request(_)));
        let mut warm = tap(BodyPolicies::default());
        feed(&mut warm, &early, &mut drop_event);
        feed(&mut warm, &late, &mut count);
        group.throughput(Throughput::ElementsAndBytes { elements: exchanges, bytes: late.bytes() });
        group.bench_function(BenchmarkId::from_parameter(connections), |b| {
            b.iter_batched(
                || {
                    let mut tap = tap(BodyPolicies::default());
                    feed(&mut tap, &early, &mut drop_event);
                    tap
                },
                |mut tap| {
                    feed(&mut tap, &late, &mut drop_event);
                    tap
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group! { name = benches; config = support::criterion(); targets = whole_files, carry, open_connections }
criterion_main!(benches);
