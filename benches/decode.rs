//! Frames to segments: the walk down the layers, alone.

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shadowtap::capture::LinkType;
use shadowtap::decode::Decoder;
use std::hint::black_box;

use support::{Capture, Frames, Shape};

/// Linux cooked capture v2 in place of the Ethernet header.
fn cooked(ethernet: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&[0x08, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
    into.extend_from_slice(ethernet.get(14..).unwrap_or_default());
}

/// VXLAN around the frame, as mirrored traffic arrives in clouds.
fn vxlan(ethernet: &[u8], into: &mut Vec<u8>) {
    let len = |more: usize| u16::try_from(ethernet.len() + more).unwrap_or(u16::MAX).to_be_bytes();
    into.extend_from_slice(&[2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 4, 0x08, 0x00]);
    into.extend_from_slice(&[0x45, 0]);
    into.extend_from_slice(&len(36));
    into.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    into.extend_from_slice(&[0xc0, 0x00, 0x12, 0xb5]);
    into.extend_from_slice(&len(16));
    into.extend_from_slice(&[0, 0, 0x08, 0, 0, 0, 0, 0, 7, 0]);
    into.extend_from_slice(ethernet);
}

fn decode(c: &mut Criterion) {
    let ethernet = Capture::new(&Shape { exchanges: 10_000, body: 2_000, ..Shape::default() }).frames();
    let kinds: [(&str, Frames); 3] = [
        ("cooked v2", ethernet.wrapped(LinkType::LINUX_SLL2, cooked)),
        ("vxlan", ethernet.wrapped(LinkType::ETHERNET, vxlan)),
        ("ethernet", ethernet),
    ];
    let mut group = c.benchmark_group("decode");
    for (name, frames) in &kinds {
        group.throughput(Throughput::ElementsAndBytes { elements: frames.len() as u64, bytes: frames.bytes() });
        group.bench_function(*name, |b| {
            let mut decoder = Decoder::new();
            b.iter(|| {
                for frame in frames.iter() {
                    black_box(decoder.decode(&frame).is_ok());
                }
            });
        });
    }
}

criterion_group! { name = benches; config = support::criterion(); targets = decode }
criterion_main!(benches);
