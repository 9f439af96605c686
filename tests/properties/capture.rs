//! Capture files that are not whole, or not what they say.

use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;
use shadowtap::capture::{FileSource, Source as _};
use shadowtap::invariants;

/// Files of both formats, and one each in big-endian order and of blocks without times.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name: &str| std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).unwrap();
    vec![
        ("get-nano.pcap", read("get-nano.pcap")),
        ("two-links.pcapng", read("two-links.pcapng")),
        ("big-endian pcap", big_endian()),
        ("simple packet blocks", simple_packets()),
    ]
}

/// A classic file as a big-endian host writes it.
fn big_endian() -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0002_0004, 0, 0, 65_535, 1] {
        file.extend(word.to_be_bytes());
    }
    for frame in 1..20u32 {
        for word in [frame, 999_999, frame * 3, 1_500] {
            file.extend(word.to_be_bytes());
        }
        file.extend((0..frame * 3).map(|byte| byte.to_le_bytes()[0]));
    }
    file
}

/// A pcapng file of blocks that hold a frame and nothing else.
fn simple_packets() -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let len = u32::try_from(12 + body.len().next_multiple_of(4)).unwrap();
        file.extend(kind.to_le_bytes());
        file.extend(len.to_le_bytes());
        file.extend(body);
        file.resize(file.len().next_multiple_of(4), 0);
        file.extend(len.to_le_bytes());
    };
    let section: Vec<u8> = [0x1a2b_3c4du32, 1, u32::MAX, u32::MAX].into_iter().flat_map(u32::to_le_bytes).collect();
    block(0x0a0d_0d0a, &section);
    block(1, &[1, 0, 0, 0, 0, 0, 0, 0]);
    for frame in 1..20u8 {
        let mut body = u32::from(frame).to_le_bytes().to_vec();
        body.extend((0..frame).map(|byte| byte | 0x80));
        block(3, &body);
    }
    file
}

fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let Ok(mut source) = FileSource::read("cut", Box::new(Cursor::new(bytes.to_vec())), None) else { return frames };
    while let Some(frame) = source.next() {
        frames.push(frame.data.to_vec());
    }
    frames
}

#[test]
fn a_file_cut_at_any_byte_gives_the_frames_before_the_cut() {
    for (name, file) in files() {
        let whole = frames(&file);
        assert!(whole.len() >= 14, "{name}");
        let mut before = 0;
        for cut in 0..file.len() {
            let part = frames(&file[..cut]);
            assert!(whole.starts_with(&part), "{name} cut at {cut}");
            assert!(part.len() >= before, "{name} cut at {cut} has fewer frames than cut before");
            before = part.len();
        }
    }
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn a_file_with_bytes_flipped_is_read_to_some_end(
        file in 0..4usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        stored in 0..3u8,
    ) {
        let mut bytes = files().swap_remove(file).1;
        if stored == 1 {
            bytes = zstd::encode_all(&*bytes, 1).unwrap();
        } else if stored == 2 {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, &bytes).unwrap();
            bytes = encoder.finish().unwrap();
        }
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        invariants::capture_file(&bytes);
    }
}
