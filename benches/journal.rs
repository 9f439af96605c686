//! Recordings: events to bytes and back.

mod support;

use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shadowtap::exchange::Event;
use shadowtap::http1::{BodyPolicies, BodyPolicy, Http1};
use shadowtap::recording::{EventSource as _, OutputPath, Recorder, RecordingSource, Rotation};

use support::{Capture, Chunks, Shape};

/// Exchanges with a response of 2 KB.
const EXCHANGES: u64 = 20_000;

fn events(interest: BodyPolicy) -> Vec<Event> {
    let capture = Capture::new(&Shape { exchanges: EXCHANGES, body: 2_000, ..Shape::default() });
    let frames = capture.frames();
    let segments = frames.segments();
    let mut http1 = Http1::new(BodyPolicies { request_body: interest, response_body: interest });
    let mut events = Vec::new();
    for chunk in Chunks::of(&segments).iter() {
        http1.take(chunk, &mut |event| events.push(event));
    }
    events
}

/// Writes all of it to a file, which it returns.
fn write(events: &[Event], name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a directory can be made");
    let path = folder.path().join(name);
    let mut recorder = Recorder::new(OutputPath::new(&path).expect("it is a name"), Rotation::default());
    for event in events {
        recorder.event(event.clone());
    }
    assert_eq!(recorder.finish().lost_records, 0);
    std::fs::read(path).expect("it was made")
}

fn journal(c: &mut Criterion) {
    let events = events(BodyPolicy::Keep);
    let names = ["a.gor", "a.gor.gz", "a.gor.zst", "a.jsonl"];
    let mut group = c.benchmark_group("journal/write");
    group.throughput(Throughput::Elements(EXCHANGES));
    let folder = tempfile::tempdir().expect("a directory can be made");
    for (number, name) in names.into_iter().enumerate() {
        let mut run = 0;
        group.bench_function(name, |b| {
            let fresh = || {
                run += 1;
                let path = folder.path().join(format!("{number}-{run}-{name}"));
                let target = OutputPath::new(&path).expect("it is a name");
                (Recorder::new(target, Rotation::default()), path)
            };
            let record = |(mut recorder, path): (Recorder, std::path::PathBuf)| {
                for event in &events {
                    recorder.event(event.clone());
                }
                black_box(recorder.finish());
                std::fs::remove_file(path).ok()
            };
            b.iter_batched(fresh, record, BatchSize::PerIteration);
        });
    }
    group.finish();

    let mut group = c.benchmark_group("journal/read");
    let count = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Count };
    for name in names {
        let bytes: Arc<[u8]> = write(&events, name).into();
        // A line is one record, .gor has two an exchange.
        group.throughput(Throughput::Elements(if name == "a.jsonl" { EXCHANGES } else { 2 * EXCHANGES }));
        group.bench_function(name, |b| {
            b.iter(|| {
                let file = Box::new(Cursor::new(Arc::clone(&bytes)));
                let mut source = RecordingSource::read(name, file, None).expect("it is a recording");
                source.set_interests(count);
                while let Some(event) = source.next() {
                    black_box(event);
                }
            });
        });
    }
}

criterion_group! { name = benches; config = support::criterion(); targets = journal }
criterion_main!(benches);
