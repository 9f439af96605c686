//! Capture files as real programs wrote them, in every format, broken ones among them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;

use std::io::{BufReader, Read, Write};

use files::{OwnedFrame, frames, inspect, inspect_files, inspect_source, json, pcap, pcapng, short, testdata, write};
use shadowtap::capture::{self, Dropped, FileSource, LinkType, Settings, Source};
use shadowtap::exchange::Timestamp;

/// Checks what a recorded capture holds.
#[track_caller]
fn holds(name: &str, expected: &[&str]) {
    let (exchanges, engine) = inspect_files(&[testdata(name)]);
    let mut found = short(&exchanges);
    found.sort();
    let mut expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
    expected.sort();
    assert_eq!(found, expected, "{engine:#?}");
    let frames = &engine.frames;
    assert_eq!(frames.received, frames.decoded + frames.skipped.values().sum::<u64>());
    assert_eq!(engine.warnings, Vec::<String>::new());
}

/// The three requests of curl that several captures hold, seen from different interfaces.
const GETS: &[&str] =
    &["GET /v1/epg.xml -> 404 22", "GET /v2/channels/1 -> 200 748", "GET /v2/search?q=jazz -> 200 574"];

fn gets() -> Vec<OwnedFrame> {
    frames(&testdata("get-nano.pcap"))
}

#[test]
fn a_keep_alive_connection_of_curl() {
    holds("get-nano.pcap", GETS);
}

#[test]
fn a_capture_of_one_direction_and_one_of_cut_frames_are_called_so() {
    let warnings = |frames: &[OwnedFrame]| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pcap");
        std::fs::write(&file, pcap(frames, false, true)).unwrap();
        inspect_files(&[file]).1.warnings
    };
    // Ethernet and IPv4 without options.
    let destination = |frame: &OwnedFrame| [frame.data[36], frame.data[37]];
    let server = destination(&gets()[0]);
    for is_kept in [true, false] {
        let mut one = gets();
        one.retain(|frame| (destination(frame) == server) == is_kept);
        let found = warnings(&one);
        assert!(found.len() == 1 && found[0].starts_with("only one direction of "), "{found:?}");
    }
    let mut cut = gets();
    for frame in &mut cut {
        frame.data.truncate(96);
    }
    let found = warnings(&cut);
    assert!(found.len() == 1 && found[0].contains(" are missing because the capture cut frames"), "{found:?}");
}

#[test]
fn linux_cooked_captures_of_both_versions_hold_the_same() {
    holds("any-sll.pcap", GETS);
    holds("any-sll2.pcap", GETS);
}

#[test]
fn two_interfaces_that_saw_the_same_packets_give_each_exchange_once() {
    holds("two-links.pcapng", GETS);
}

#[test]
fn requests_cut_within_lines_are_found() {
    let (exchanges, _) = inspect_files(&[testdata("in-pieces.pcap")]);
    assert_eq!(exchanges.len(), 2);
    assert!(short(&exchanges).iter().all(|line| line.contains("-> 200")), "{:?}", short(&exchanges));
}

#[test]
fn pipelined_requests_in_one_segment_are_paired_in_order() {
    let (exchanges, _) = inspect_files(&[testdata("pipelined.pcap")]);
    let statuses: Vec<_> = exchanges.iter().map(|exchange| exchange.response.as_ref().unwrap().status).collect();
    assert_eq!(statuses, [200, 200, 301, 200]);
    let ids: Vec<_> = exchanges.iter().map(|exchange| exchange.request.id.to_string()).collect();
    assert_eq!(ids, ["1.1", "1.2", "1.3", "1.4"]);
}

#[test]
fn an_answer_that_comes_before_the_last_chunk_waits_for_its_request() {
    let (exchanges, _) = inspect_files(&[testdata("expect-chunked.pcap")]);
    assert_eq!(exchanges.len(), 1);
    let request = &exchanges[0].request;
    assert_eq!((request.method(), request.body.len), (&b"POST"[..], 2025));
    let response = exchanges[0].response.as_ref().unwrap();
    assert_eq!(response.status, 204);
}

#[test]
fn answers_without_a_body_leave_the_connection_in_step() {
    let (exchanges, _) = inspect_files(&[testdata("head-304.pcap")]);
    let statuses: Vec<_> = exchanges.iter().map(|exchange| exchange.response.as_ref().unwrap().status).collect();
    assert_eq!(statuses, [200, 200, 304, 304, 200]);
}

#[test]
fn a_body_without_a_length_ends_with_its_connection() {
    let (exchanges, _) = inspect_files(&[testdata("until-close.pcap")]);
    assert_eq!(exchanges.len(), 2);
    assert!(exchanges.iter().all(|exchange| exchange.response.as_ref().unwrap().damage.is_none()));
    assert!(exchanges.iter().all(|exchange| exchange.response.as_ref().unwrap().body.len > 0));
}

#[test]
fn what_the_snap_length_cut_is_told_and_never_passed_off_as_whole() {
    let (exchanges, engine) = inspect_files(&[testdata("snaplen.pcap")]);
    let found = short(&exchanges);
    assert!(found.iter().any(|line| line.starts_with("POST") && line.contains("[incomplete: cut]")), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("GET") && line.ends_with("-> 200 (cut)")), "{found:?}");
    assert!(engine.tcp.gap_bytes > 0);
}

#[test]
fn the_demo_capture_holds_what_its_table_says() {
    let (exchanges, engine) = inspect_files(&[testdata("demo.pcap.zst")]);
    assert_eq!(exchanges.len(), 1839);
    let of = |status: u16| {
        exchanges.iter().filter(|exchange| exchange.response.as_ref().is_ok_and(|r| r.status == status)).count()
    };
    assert_eq!([of(200), of(204), of(301), of(304), of(404)], [1602, 93, 60, 60, 24]);
    assert_eq!((engine.tcp.gaps, engine.streams.http1), (0, 194));
}

#[test]
fn every_format_and_byte_order_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (expected, _) = inspect_files(&[testdata("get-nano.pcap")]);
    let expected = json(&expected);
    for (name, bytes) in [
        ("little.pcap", pcap(&gets(), false, true)),
        ("big.pcap", pcap(&gets(), true, true)),
        ("little.pcapng", pcapng(&gets(), false)),
        ("big.pcapng", pcapng(&gets(), true)),
    ] {
        let (found, engine) = inspect_files(&[write(&folder, name, &bytes)]);
        assert_eq!(json(&found), expected, "{name}: {engine:?}");
    }
}

#[test]
fn microseconds_lose_only_what_is_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "micro.pcap", &pcap(&gets(), true, false));
    let back = frames(&file);
    for (before, after) in gets().iter().zip(&back) {
        assert_eq!(after.at.nanos(), before.at.nanos() / 1000 * 1000);
        assert_eq!(after.data, before.data);
    }
}

#[test]
fn compression_is_told_by_content_and_not_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let plain = std::fs::read(testdata("get-nano.pcap")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&*plain, 3).unwrap();
    let (expected, _) = inspect_files(&[testdata("get-nano.pcap")]);
    for (name, bytes) in [("a.txt", gzip.finish().unwrap()), ("b.gz", zstd), ("c.zst", plain)] {
        let (found, _) = inspect_files(&[write(&folder, name, &bytes)]);
        assert_eq!(json(&found), json(&expected), "{name}");
    }
}

#[test]
fn files_that_split_a_connection_are_merged_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let demo = frames(&testdata("demo.pcap.zst"));
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    for (index, frame) in demo.iter().enumerate() {
        if index % 2 == 0 { even.push(frame.clone()) } else { odd.push(frame.clone()) }
    }
    let parts =
        [write(&folder, "odd.pcapng", &pcapng(&odd, true)), write(&folder, "even.pcap", &pcap(&even, false, true))];
    let (merged, engine) = inspect_files(&parts);
    assert_eq!(merged.len(), 1839);
    assert_eq!((engine.tcp.gaps, engine.tcp.connections), (0, 195));
}

#[test]
fn a_filter_and_ports_keep_both_directions_of_what_was_asked_for() {
    let file = testdata("demo.pcap.zst");
    let all = inspect_files(std::slice::from_ref(&file)).0.len();
    let with = |bpf: Option<&str>, ports: &[u16]| {
        inspect(&Settings {
            files: vec![file.clone()],
            bpf: bpf.map(str::to_owned),
            ports: ports.to_vec(),
            ..Settings::default()
        })
    };
    let port = frames(&file)[0].data[36..38].to_vec();
    let port = u16::from_be_bytes([port[0], port[1]]);
    assert_eq!(with(None, &[port]).0.len(), all);
    assert_eq!(with(Some(&format!("tcp port {port}")), &[]).0.len(), all);
    let (none, engine) = with(None, &[1]);
    assert_eq!((none.len(), engine.frames.skipped["port"]), (0, engine.frames.received));
    let (none, engine) = with(Some("udp"), &[]);
    assert_eq!((none.len(), engine.frames.skipped["filter"]), (0, engine.frames.received));
}

#[test]
fn a_filter_that_does_not_compile_says_so_in_the_words_of_libpcap() {
    let settings = Settings { bpf: Some("port eighty".to_owned()), ..Settings::default() };
    let Err(errors) = capture::open(&settings) else { panic!("accepted") };
    let said = errors.iter().map(ToString::to_string).collect::<String>();
    assert!(said.starts_with("the filter `port eighty` does not compile: "), "{said}");
}

#[test]
fn a_file_cut_at_any_byte_gives_what_came_before_and_says_where() {
    let whole = std::fs::read(testdata("get-nano.pcap")).unwrap();
    let count = gets().len();
    for cut in 24..whole.len() {
        let bytes: &'static [u8] = whole[..cut].to_vec().leak();
        let mut source = FileSource::from_bytes("cut.pcap", bytes).unwrap();
        let mut read = 0;
        while capture::Source::next(&mut source).is_some() {
            read += 1;
        }
        assert!(read < count);
        match capture::Source::warnings(&source).as_slice() {
            [] => assert_eq!(pcap(&gets()[..read], false, true).len(), cut),
            [words] => assert!(words.starts_with("cut.pcap ends inside a record"), "{words}"),
            several => panic!("{several:?}"),
        }
    }
}

#[test]
fn a_compressed_file_cut_short_gives_what_could_be_read() {
    let stored = std::fs::read(testdata("demo.pcap.zst")).unwrap();
    let bytes: &'static [u8] = stored[..stored.len() / 2].to_vec().leak();
    let source = FileSource::from_bytes("half.pcap.zst", bytes).unwrap();
    let (exchanges, engine) = inspect_source(Box::new(source), &Settings::default());
    assert!(exchanges.len() > 100, "{}", exchanges.len());
    assert!(engine.warnings[0].starts_with("half.pcap.zst "), "{:?}", engine.warnings);
}

#[test]
fn a_compressed_file_with_an_error_in_it_gives_all_but_the_last_bytes_before_it() {
    /// Bytes that a decompressor may lose before an error.
    const LOST: usize = 4 * 1024;
    // Bytes that look random, or all would be in the first block.
    let mut random = 1_u64;
    let mut noise = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random.to_be_bytes()[0]
    };
    let mut frames: Vec<OwnedFrame> = gets().into_iter().cycle().take(2_000).collect();
    for frame in &mut frames {
        frame.data = (0..700).map(|_| noise()).collect();
    }
    let plain = pcap(&frames, false, true);
    let mut stored = zstd::encode_all(&plain[..], 3).unwrap();
    // After the frame's header come blocks; the reserved type in a block's header cannot be read (RFC 8878, 3.1.1.2).
    let mut block = 6;
    while block < stored.len() / 2 {
        let header = u32::from_le_bytes([stored[block], stored[block + 1], stored[block + 2], 0]);
        block += 3 + if header >> 1 & 3 == 1 { 1 } else { header as usize >> 3 };
    }
    stored[block] |= 0b110;
    // One byte at a time a decompressor gives whatever can be read.
    let one_by_one = BufReader::with_capacity(1, zstd::Decoder::new(&stored[..]).unwrap());
    let readable = one_by_one.bytes().take_while(Result::is_ok).count();
    assert!(readable > 300_000 && readable < plain.len(), "{readable}");
    let longest = frames.iter().map(|frame| frame.data.len() + 16).max().unwrap();
    let source = FileSource::from_bytes("damaged.pcap.zst", stored.leak()).unwrap();
    let (_, engine) = inspect_source(Box::new(source), &Settings::default());
    let whole = frames.iter().scan(24, |end, frame| {
        *end += frame.data.len() + 16;
        Some(*end)
    });
    let expected = whole.take_while(|end| end + LOST + longest <= readable).count() as u64;
    let received = engine.frames.received;
    assert!(received >= expected && expected > 0, "{received} of {expected} frames");
    assert!(engine.warnings[0].starts_with("damaged.pcap.zst cannot be read on"), "{:?}", engine.warnings);
}

#[test]
fn what_follows_a_gzip_file_is_told_to_be_something_else() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&pcap(&gets(), false, true)).unwrap();
    let stored = [gzip.finish().unwrap(), b"and something more".to_vec()].concat();
    let source = FileSource::from_bytes("more.pcap.gz", stored.leak()).unwrap();
    let (exchanges, engine) = inspect_source(Box::new(source), &Settings::default());
    assert_eq!(exchanges.len(), GETS.len());
    let told = "more.pcap.gz goes on after its end with bytes that are not gzip, which were not read, at byte";
    assert!(engine.warnings[0].starts_with(told), "{:?}", engine.warnings);
}

#[test]
fn what_is_no_capture_is_refused_by_name() {
    let refused = |name: &str, bytes: &'static [u8]| match FileSource::from_bytes(name, bytes) {
        Ok(_) => panic!("{name} was accepted"),
        Err(error) => error.to_string(),
    };
    assert_eq!(refused("empty", b""), "empty is empty: not a capture");
    assert!(refused("page.html", b"<!DOCTYPE html>").starts_with("page.html is not a capture: it begins with 3c 21"));
    let short = refused("short", &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
    assert_eq!(short, "short ends inside its header: a capture that was cut, or never written to");
}

/// A frame of ninety bytes, or so.
fn frame(number: u32) -> OwnedFrame {
    let at = Timestamp::from_nanos(1_795_291_200_000_000_000 + u64::from(number) * 7_000_000);
    let data: Vec<u8> = (0..60 + number % 40).map(|byte| u8::try_from((byte * 7 + number) % 251).unwrap()).collect();
    OwnedFrame { at, link: LinkType::ETHERNET, wire_len: u32::try_from(data.len()).unwrap(), data }
}

/// What a file gives: the times of its frames, and what is said of it.
fn read(name: &str, bytes: Vec<u8>) -> (Vec<Timestamp>, Vec<String>, Vec<String>) {
    let bytes: &'static [u8] = bytes.leak();
    let mut source = FileSource::from_bytes(name, bytes).unwrap();
    let mut times = Vec::new();
    while let Some(frame) = source.next() {
        times.push(frame.at);
    }
    (times, source.warnings(), source.unread())
}

/// Makes a file of frames.
type ToFile<'a> = &'a dyn Fn(&[OwnedFrame]) -> Vec<u8>;

/// Where the record or block of the frame of this number begins, in what `write` makes of frames.
fn place(write: ToFile<'_>, frames: &[OwnedFrame], number: usize) -> usize {
    write(&frames[..number]).len()
}

#[test]
fn behind_a_damaged_place_the_next_record_is_found_and_what_was_passed_over_is_told() {
    let frames: Vec<OwnedFrame> = (0..200).map(frame).collect();
    let formats: [(&str, ToFile<'_>); 5] = [
        ("little.pcap", &|frames| pcap(frames, false, false)),
        ("big.pcap", &|frames| pcap(frames, true, false)),
        ("nano.pcap", &|frames| pcap(frames, false, true)),
        ("little.pcapng", &|frames| pcapng(frames, false)),
        ("big.pcapng", &|frames| pcapng(frames, true)),
    ];
    for (name, write) in formats {
        for number in [1, 100, 150] {
            let (at, next) = (place(write, &frames, number), place(write, &frames, number + 1));
            let whole = write(&frames);
            // A header of nonsense; one of nonsense that is not impossible; some bytes missing; some too many; and
            // zeros, as of a block that never reached the disk.
            let garbled = |with: &[u8]| [&whole[..at], with, &whole[at + with.len()..]].concat();
            let damages = [
                garbled(&[0x7b, 0x12, 0x56, 0x51, 0x7b, 0x8a, 0xa3, 0x38, 0xff, 0x0f, 0xc0, 0x6f, 0xc4, 0x0f, 0, 0]),
                garbled(&[0x11, 0x22, 0x33, 0x44, 0xff, 0xff, 0xff, 0xff, 0x10, 0x10, 0, 0, 0, 0, 0x10, 0x10]),
                [&whole[..at + 5], &whole[at + 9..]].concat(),
                [&whole[..at], b"some bytes that are nothing", &whole[at..]].concat(),
                garbled(&vec![0; next - at]),
            ];
            for (kind, damaged) in damages.into_iter().enumerate() {
                let (times, told, unread) = read(name, damaged);
                let lost = usize::from(kind != 3);
                let expected = frames.iter().enumerate().filter(|(index, _)| *index != number || lost == 0);
                let expected: Vec<Timestamp> = expected.map(|(_, frame)| frame.at).collect();
                assert_eq!(times, expected, "{name}: {kind} at {number}, {told:?}");
                let words = format!("{name} is damaged at byte {at}: ");
                assert!(told.len() == 1 && told[0].starts_with(&words), "{name}: {kind} at {number}, {told:?}");
                assert!(told[0].ends_with("bytes were passed over, and what follows was read"), "{told:?}");
                assert_eq!(unread, Vec::<String>::new());
            }
        }
    }
}

#[test]
fn a_length_that_reaches_into_the_records_behind_it_costs_its_own_record_only() {
    let frames: Vec<OwnedFrame> = (0..50).map(frame).collect();
    let write = |frames: &[OwnedFrame]| pcap(frames, false, false);
    for claimed in [81u32, 200, 2_000, 1 << 20] {
        let mut bytes = write(&frames);
        let at = place(&write, &frames, 20);
        bytes[at + 8..at + 12].copy_from_slice(&claimed.to_le_bytes());
        let (times, told, _) = read("long.pcap", bytes);
        let expected: Vec<Timestamp> = frames.iter().enumerate().filter(|(n, _)| *n != 20).map(|(_, f)| f.at).collect();
        assert_eq!(times, expected, "{claimed}: {told:?}");
        let words = format!("long.pcap is damaged at byte {at}: {} bytes were passed over", 16 + frames[20].data.len());
        assert!(told[0].starts_with(&words), "{claimed}: {told:?}");
    }
}

#[test]
fn several_damaged_places_are_counted_and_an_unreadable_end_is_told_besides() {
    let frames: Vec<OwnedFrame> = (0..90).map(frame).collect();
    let write = |frames: &[OwnedFrame]| pcap(frames, false, true);
    let mut bytes = write(&frames);
    for number in [10, 40, 70] {
        let at = place(&write, &frames, number);
        bytes[at..at + 16].fill(0xee);
    }
    let cut = bytes.len() - 30;
    bytes.truncate(cut);
    let (times, told, unread) = read("worn.pcap", bytes);
    assert_eq!(times.len(), 86, "{told:?}");
    assert!(told[0].starts_with("worn.pcap is damaged in 3 places, the first at byte "), "{told:?}");
    assert!(told[1].starts_with("worn.pcap ends inside a record"), "{told:?}");
    assert_eq!(unread, [told[1].clone()]);
}

/// Writers that put more into a field than it may have are believed: there is nothing better behind such a record.
#[test]
fn records_that_are_odd_throughout_are_read_as_they_are() {
    let frames: Vec<OwnedFrame> = (0..30).map(frame).collect();
    let mut nano = pcap(&frames, false, true);
    // Nanoseconds in a file that says microseconds.
    nano[..4].copy_from_slice(&0xa1b2_c3d4u32.to_le_bytes());
    let (times, told, _) = read("odd.pcap", nano);
    assert_eq!((times.len(), told), (30, vec![]));
    // Lengths on the wire that were never filled in.
    let mut zeros = frames;
    for frame in &mut zeros {
        frame.wire_len = 0;
    }
    let (times, told, _) = read("zeros.pcap", pcap(&zeros, true, false));
    assert_eq!((times.len(), told), (30, vec![]));
}

#[test]
fn records_without_bytes_are_frames_that_were_cut() {
    for (big_endian, nanoseconds) in [(false, false), (true, false), (false, true)] {
        for run in [1, 3, 9] {
            for begin in [0, 10, 30 - run] {
                let mut frames: Vec<OwnedFrame> = (0..30).map(frame).collect();
                frames[begin..begin + run].iter_mut().for_each(|frame| frame.data.clear());
                let whole = pcap(&frames, big_endian, nanoseconds);
                let (times, told, unread) = read("cut.pcap", whole.clone());
                assert_eq!((times.len(), &told, &unread), (30, &vec![], &vec![]), "{run} at {begin}");
                // Beside damage, which is still found.
                let write = |frames: &[OwnedFrame]| pcap(frames, big_endian, nanoseconds);
                let at = place(&write, &frames, 20);
                let damaged = [&whole[..at], b"some bytes that are nothing", &whole[at..]].concat();
                let (times, told, _) = read("damaged.pcap", damaged);
                assert_eq!(times.len(), 30, "{told:?}");
                assert!(told[0].starts_with(&format!("damaged.pcap is damaged at byte {at}: 27 bytes")), "{told:?}");
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pcap");
    for link in [LinkType::ETHERNET, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::RAW, LinkType::NULL] {
        let mut frames: Vec<OwnedFrame> = (0..4).map(frame).collect();
        for frame in &mut frames {
            (frame.link, frame.data) = (link, Vec::new());
        }
        std::fs::write(&file, pcap(&frames, false, true)).unwrap();
        let (_, engine) = inspect_files(std::slice::from_ref(&file));
        assert_eq!((engine.frames.skipped["truncated"], engine.warnings), (4, vec![]), "{link:?}");
    }
}

#[test]
fn captures_one_behind_the_other_in_one_file_are_all_read() {
    let frames: Vec<OwnedFrame> = (0..40).map(frame).collect();
    let parts = [
        pcap(&frames[..10], false, false),
        pcap(&frames[10..20], true, true),
        pcapng(&frames[20..25], false),
        pcapng(&frames[25..30], true),
        pcap(&[], false, true),
        pcap(&frames[30..], false, true),
    ];
    let (times, told, unread) = read("joined.cap", parts.concat());
    let expected: Vec<u64> = frames
        .iter()
        .enumerate()
        .map(|(n, frame)| match n {
            0..10 => frame.at.nanos() / 1000 * 1000,
            _ => frame.at.nanos(),
        })
        .collect();
    assert_eq!(times.iter().map(|at| at.nanos()).collect::<Vec<_>>(), expected, "{told:?}");
    assert_eq!((told, unread), (vec![], vec![]));
    // Other link types than that of the first one are kept.
    let raw: Vec<OwnedFrame> = frames.iter().map(|frame| OwnedFrame { link: LinkType::RAW, ..frame.clone() }).collect();
    let bytes: &'static [u8] = [pcap(&frames, true, false), pcap(&raw, false, true)].concat().leak();
    let mut source = FileSource::from_bytes("links.pcap", bytes).unwrap();
    let mut links = Vec::new();
    while let Some(frame) = source.next() {
        links.push(frame.link);
    }
    assert_eq!(links, [[LinkType::ETHERNET; 40], [LinkType::RAW; 40]].concat());
    let (times, told, unread) =
        read("torn.pcap", [pcap(&frames, false, true), pcap(&[], false, true)[..19].to_vec()].concat());
    assert_eq!((times.len(), unread.len()), (40, 1), "{told:?}");
    assert!(told[0].starts_with("torn.pcap ends inside the header of another capture"), "{told:?}");
}

/// An interface statistics block with what the interface and the system dropped so far.
fn statistics(interface: u32, dropped: [Option<u64>; 2], big_endian: bool) -> Vec<u8> {
    let order = |little: &[u8]| -> Vec<u8> {
        if big_endian { little.iter().rev().copied().collect() } else { little.to_vec() }
    };
    let mut body = [order(&interface.to_le_bytes()), vec![0; 8]].concat();
    for (code, count) in [5u16, 7].into_iter().zip(dropped) {
        if let Some(count) = count {
            body.extend([order(&code.to_le_bytes()), order(&8u16.to_le_bytes()), order(&count.to_le_bytes())].concat());
        }
    }
    let len = order(&u32::try_from(body.len() + 12).unwrap().to_le_bytes());
    [order(&5u32.to_le_bytes()), len.clone(), body, len].concat()
}

#[test]
fn statistics_count_from_the_beginning_for_each_interface_and_section() {
    for big in [false, true] {
        let two: Vec<OwnedFrame> =
            (0..4).map(|n| OwnedFrame { link: LinkType(u16::try_from(n % 2 + 1).unwrap()), ..frame(n) }).collect();
        let sections = [
            pcapng(&two, big),
            statistics(0, [Some(1), Some(10)], big),
            statistics(1, [None, Some(5)], big),
            statistics(0, [Some(2), Some(25)], big),
            statistics(0, [None, Some(40)], big),
            pcapng(&two, big),
            statistics(0, [Some(3), Some(100)], big),
            statistics(0, [Some(3), Some(100)], big),
        ];
        let bytes: &'static [u8] = sections.concat().leak();
        let mut source = FileSource::from_bytes("lost.pcapng", bytes).unwrap();
        while source.next().is_some() {}
        assert_eq!(source.dropped(), Dropped { kernel: 40 + 5 + 100, interface: 2 + 3 });
    }
}

#[test]
fn an_empty_piece_among_others_is_told_and_alone_it_is_no_capture() {
    let folder = tempfile::tempdir().unwrap();
    let (first, last) = gets().into_iter().partition::<Vec<_>, _>({
        let mut count = 0;
        move |_| {
            count += 1;
            count <= 12
        }
    });
    let pieces = [
        write(&folder, "1.pcap", &pcap(&first, false, true)),
        write(&folder, "2.pcap", b""),
        write(&folder, "3.pcap", &pcap(&[], false, true)[..10]),
        write(&folder, "4.pcap", &pcap(&last, false, true)),
    ];
    let (found, engine) = inspect_files(&pieces);
    assert_eq!(json(&found), json(&inspect_files(&[testdata("get-nano.pcap")]).0));
    assert!(engine.warnings[0].contains("2.pcap is empty"), "{:?}", engine.warnings);
    assert!(engine.warnings[1].contains("3.pcap ends inside its header"), "{:?}", engine.warnings);
    assert_eq!(engine.unread, [engine.warnings[1].clone()], "nothing is missing of what is empty");
    let refused = |file: usize| {
        let settings = Settings { files: vec![pieces[file].clone()], ..Settings::default() };
        capture::open(&settings).err().map(|errors| errors.len())
    };
    assert_eq!((refused(1), refused(2)), (Some(1), Some(1)));
}

/// Each is opened in its turn; what is compressed, and what overlaps, too.
#[test]
fn pieces_without_end_are_read_in_order_of_time_whatever_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let demo = frames(&testdata("demo.pcap.zst"));
    let size = demo.len().div_ceil(300);
    let mut files = Vec::new();
    for (number, part) in demo.chunks(size).enumerate() {
        let bytes = pcap(part, number % 2 == 0, true);
        let bytes = if number % 5 == 0 { zstd::encode_all(&bytes[..], 1).unwrap() } else { bytes };
        files.push(write(&folder, &format!("{:03}.pcap", (number * 7) % 1000), &bytes));
    }
    files.reverse();
    let (merged, engine) = inspect_files(&files);
    assert_eq!((merged.len(), engine.warnings), (1839, vec![]));
    let interleaved: Vec<_> = (0..20)
        .map(|part| {
            let mine: Vec<_> = demo.iter().skip(part).step_by(20).cloned().collect();
            write(&folder, &format!("part{part}.pcapng"), &pcapng(&mine, part % 2 == 0))
        })
        .collect();
    let (merged, engine) = inspect_files(&interleaved);
    assert_eq!((merged.len(), engine.warnings), (1839, vec![]));
}

#[test]
fn a_piece_that_is_gone_in_its_turn_is_told_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let demo = frames(&testdata("demo.pcap.zst"));
    let files: Vec<_> = demo
        .chunks(demo.len().div_ceil(8))
        .enumerate()
        .map(|(number, part)| write(&folder, &format!("{number}.pcap"), &pcap(part, false, true)))
        .collect();
    let settings = Settings { files: files.clone(), ..Settings::default() };
    let source = capture::open(&settings).unwrap();
    std::fs::remove_file(&files[7]).unwrap();
    let (found, engine) = inspect_source(source, &settings);
    assert!(found.len() > 1_000, "{}", found.len());
    assert!(engine.unread.len() == 1 && engine.unread[0].contains("7.pcap"), "{:?}", engine.unread);
}

#[test]
fn a_record_that_claims_the_impossible_ends_the_file_there() {
    let mut bytes = pcap(&gets()[..3], false, true);
    bytes.extend([0; 8]);
    bytes.extend(u32::MAX.to_le_bytes());
    bytes.extend([0; 100]);
    let source = FileSource::from_bytes("lies.pcap", bytes.leak()).unwrap();
    let (_, engine) = inspect_source(Box::new(source), &Settings::default());
    assert_eq!(engine.frames.received, 3);
    assert!(engine.warnings[0].contains("claims 4294967295 bytes"), "{:?}", engine.warnings);
}

#[test]
fn standard_input_is_read_like_a_file() {
    // A pipe: no size, reads of any length.
    struct Dribble(std::vec::IntoIter<u8>);
    impl Read for Dribble {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let want = into.len().min(7);
            let mut written = 0;
            for (place, byte) in into[..want].iter_mut().zip(&mut self.0) {
                *place = byte;
                written += 1;
            }
            Ok(written)
        }
    }
    let bytes = std::fs::read(testdata("get-nano.pcap")).unwrap();
    let source = FileSource::read("standard input", Box::new(Dribble(bytes.into_iter())), None).unwrap();
    let (found, _) = inspect_source(Box::new(source), &Settings::default());
    let (expected, _) = inspect_files(&[testdata("get-nano.pcap")]);
    assert_eq!(json(&found), json(&expected));
}
