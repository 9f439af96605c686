//! The whole tap, from the bytes of a capture file to events; and what an exchange costs with many connections open.
//!
//! Times are of one thread. Elements are exchanges, bytes those of the file.

mod support;

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shadowtap::capture::{Settings, Source as _};
use shadowtap::exchange::Event;
use shadowtap::http1::{Interest, Interests};
use shadowtap::pipeline::Tap;

use support::{Capture, Frames, Shape};

/// What `inspect` asks for without `--json`, what it asks for with it, and what `replay` asks for.
const USES: [(&str, Interests); 3] = [
    ("count", Interests { request_body: Interest::Count, response_body: Interest::Count }),
    ("hash", Interests { request_body: Interest::Hash, response_body: Interest::Hash }),
    ("replay", Interests { request_body: Interest::Keep, response_body: Interest::Hash }),
];

fn tap(interests: Interests) -> Tap {
    Tap::new(&Settings::default(), interests).expect("there is no filter that could not compile")
}

/// All of `frames` through `tap`.
fn feed(tap: &mut Tap, frames: &Frames, sink: &mut dyn FnMut(Event)) {
    for frame in frames.iter() {
        tap.frame(&frame, sink);
    }
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
                        while let Some(frame) = source.next() {
                            tap.frame(&frame, &mut drop_event);
                        }
                        tap.finish(&mut drop_event);
                        (source, tap)
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
}

/// Exchanges that are timed with all connections open.
const TIMED: u64 = 20_000;

/// The exchanges of a capture that come once (nearly) all its connections are open, and those before them.
fn split(connections: usize) -> (Frames, Frames) {
    // Connections open as they are chosen, at random: after three times as many exchanges one in twenty is left.
    let before = 3 * connections as u64;
    let endless = u64::MAX;
    let shape =
        Shape { exchanges: before + TIMED, connections, per_connection: endless, body: 200, ..Shape::default() };
    let capture = Capture::new(&shape);
    let mut source = capture.open();
    let (mut early, mut late) = (Frames::default(), Frames::default());
    // The end, where everything closes, is not timed either: the generator closes in three frames a connection.
    let closing = 3 * capture.totals.connections;
    let timed = capture.totals.frames - closing;
    let first_timed = timed - timed * TIMED / shape.exchanges;
    let mut place = 0;
    while let Some(frame) = source.next() {
        match place {
            early_frame if early_frame < first_timed => early.push(&frame),
            late_frame if late_frame < timed => late.push(&frame),
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
        // Counted once, since connections that open late take frames too.
        let mut exchanges = 0;
        let mut count = |event| exchanges += u64::from(matches!(event, Event::Request(_)));
        let mut warm = tap(Interests::default());
        feed(&mut warm, &early, &mut drop_event);
        feed(&mut warm, &late, &mut count);
        group.throughput(Throughput::ElementsAndBytes { elements: exchanges, bytes: late.bytes() });
        group.bench_function(BenchmarkId::from_parameter(connections), |b| {
            b.iter_batched(
                || {
                    let mut tap = tap(Interests::default());
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

criterion_group! { name = benches; config = support::criterion(); targets = whole_files, open_connections }
criterion_main!(benches);
