//! Segments to chunks: reassembly, alone.

mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shadowtap::decode::Segment;
use shadowtap::flow::FlowTable;

use support::{Capture, Shape};

fn reassemble(mut flows: FlowTable, segments: &[Segment<'_>]) -> FlowTable {
    for segment in segments {
        flows.take(segment, &mut |chunk| {
            black_box(chunk);
        });
    }
    flows.finish(&mut |chunk| {
        black_box(chunk);
    });
    flows
}

/// Every run of four segments captured last first, as by several queues of a card.
fn shuffled<'a>(segments: &[Segment<'a>]) -> Vec<Segment<'a>> {
    let times = segments.iter().map(|segment| segment.at);
    let swapped = segments.chunks(4).flat_map(|four| four.iter().rev());
    swapped.zip(times).map(|(segment, at)| Segment { at, ..*segment }).collect()
}

/// Every segment twice, as mirror ports and the device `any` have it.
fn doubled<'a>(segments: &[Segment<'a>]) -> Vec<Segment<'a>> {
    segments.iter().flat_map(|segment| [*segment, *segment]).collect()
}

/// One segment in a hundred was not captured.
fn lossy<'a>(segments: &[Segment<'a>]) -> Vec<Segment<'a>> {
    segments.iter().enumerate().filter(|(place, _)| place % 100 != 99).map(|(_, segment)| *segment).collect()
}

fn flow(c: &mut Criterion) {
    let frames = Capture::new(&Shape { exchanges: 10_000, body: 2_000, ..Shape::default() }).frames();
    let segments = frames.segments();
    let kinds = [
        ("out of order", shuffled(&segments)),
        ("doubled", doubled(&segments)),
        ("one in a hundred lost", lossy(&segments)),
        ("in order", segments),
    ];
    let mut group = c.benchmark_group("flow");
    for (name, segments) in &kinds {
        let bytes = segments.iter().map(|segment| segment.payload.len() as u64).sum();
        group.throughput(Throughput::ElementsAndBytes { elements: segments.len() as u64, bytes });
        group.bench_function(*name, |b| {
            b.iter_batched(|| FlowTable::new(&[80]), |flows| reassemble(flows, segments), BatchSize::PerIteration);
        });
    }
}

criterion_group! { name = benches; config = support::criterion(); targets = flow }
criterion_main!(benches);
