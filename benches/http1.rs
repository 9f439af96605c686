//! Chunks to events: heads, bodies and pairing, alone; by what is wanted of the bodies.

mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shadowtap::http1::{BodyPolicies, BodyPolicy, Http1};

use support::{Capture, Chunks, Shape};

fn parse(mut http1: Http1, chunks: &Chunks<'_>) -> Http1 {
    for chunk in chunks.iter() {
        http1.take(chunk, &mut |event| {
            black_box(event);
        });
    }
    http1
}

fn http1(c: &mut Criterion) {
    let capture = Capture::new(&Shape { exchanges: 10_000, body: 2_000, ..Shape::default() });
    let frames = capture.frames();
    let segments = frames.segments();
    let chunks = Chunks::of(&segments);
    let mut group = c.benchmark_group("http1");
    group.throughput(Throughput::ElementsAndBytes { elements: capture.totals.exchanges, bytes: chunks.bytes() });
    for (name, interest) in [("count", BodyPolicy::Count), ("hash", BodyPolicy::Hash), ("keep", BodyPolicy::Keep)] {
        let interests = BodyPolicies { request_body: interest, response_body: interest };
        group.bench_function(name, |b| {
            b.iter_batched(|| Http1::new(interests), |http1| parse(http1, &chunks), BatchSize::PerIteration);
        });
    }
}

criterion_group! { name = benches; config = support::criterion(); targets = http1 }
criterion_main!(benches);
