//! The recorder on a disk in memory that can be full.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::capture::LinkType;
use crate::exchange::{ConnectionId, Event, ExchangeId};
use crate::testing::{request, response};

#[derive(Clone, Default)]
struct MemoryDisk(Arc<Mutex<MemoryDiskState>>);

#[derive(Default)]
struct MemoryDiskState {
    files: BTreeMap<PathBuf, Vec<u8>>,
    full: bool,
    /// As with `ulimit -f`: bytes that a file may have.
    limit: Option<usize>,
    /// A file that takes nothing.
    broken: Option<PathBuf>,
}

struct InMemory(MemoryDisk, PathBuf);

impl Write for InMemory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        if state.full || state.broken.as_ref() == Some(&self.1) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let limit = state.limit.unwrap_or(usize::MAX);
        let file = state.files.get_mut(&self.1).unwrap();
        // Up to the limit it is written, past it the system refuses.
        let room = limit.saturating_sub(file.len());
        if room == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = bytes.len().min(room);
        file.extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn Write + Send>> {
        let mut state = self.0.lock().unwrap();
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(path.to_owned(), Vec::new());
        Ok(Box::new(InMemory(self.clone(), path.to_owned())))
    }

    fn remove(&mut self, path: &Path) {
        self.0.lock().unwrap().files.remove(path);
    }

    fn open(&mut self, path: &Path) -> io::Result<Box<dyn io::Read + Send>> {
        let found = self.0.lock().unwrap().files.get(path).cloned();
        Ok(Box::new(io::Cursor::new(found.ok_or(io::ErrorKind::NotFound)?)))
    }
}

impl MemoryDisk {
    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().files.keys().map(|path| path.display().to_string()).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().unwrap().files[Path::new(name)].clone()
    }

    fn fill(&self, full: bool) {
        self.0.lock().unwrap().full = full;
    }

    fn recorder(&self, name: &str, rotation: Rotation) -> Recorder {
        Recorder::on(Box::new(self.clone()), OutputPath::new(Path::new(name)).unwrap(), rotation)
    }
}

/// 2026-11-21 20:00:00 UTC and this many seconds.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos((1_795_291_200 + seconds) * 1_000_000_000)
}

fn asked(n: u32, seconds: u64) -> Event {
    let mut request = request(n, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    (request.first_byte, request.last_byte) = (at(seconds), at(seconds));
    Event::Request(request)
}

fn answered(n: u32, seconds: u64) -> Event {
    let mut response = response(200);
    (response.first_byte, response.last_byte) = (at(seconds), at(seconds));
    Event::Response { of: ExchangeId::new(ConnectionId(1), n), response }
}

fn frame(seconds: u64, link: LinkType) -> Frame<'static> {
    Frame { at: at(seconds), link, wire_len: 7, data: b"frame" }
}

#[test]
fn what_exists_is_never_written_to() {
    let disk = MemoryDisk::default();
    for _ in 0..3 {
        let mut recorder = disk.recorder("peak.gor", Rotation::default());
        recorder.event(asked(1, 0));
        let result = recorder.finish();
        assert_eq!((result.files, result.records, result.lost_records), (1, 1, 0));
    }
    assert_eq!(disk.names(), ["peak.1.gor", "peak.2.gor", "peak.gor"]);
}

#[test]
fn a_new_second_hour_or_day_in_the_name_is_a_new_file() {
    let disk = MemoryDisk::default();
    let mut recorder = disk.recorder("%d/%H.gor", Rotation::default());
    for (n, seconds) in [0, 3599, 3600, 3500, 4 * 3600].into_iter().enumerate() {
        recorder.event(asked(u32::try_from(n).unwrap(), seconds));
    }
    assert_eq!(recorder.finish().files, 3);
    assert_eq!(disk.names(), ["21/20.gor", "21/21.gor", "22/00.gor"]);
    let records = |name| String::from_utf8(disk.bytes(name)).unwrap().matches("\n1 ").count() + 1;
    // What comes late belongs to the file of now: no file is opened twice.
    assert_eq!((records("21/20.gor"), records("21/21.gor"), records("22/00.gor")), (2, 2, 1));
}

#[test]
fn a_file_ends_when_its_hour_does_though_nothing_comes() {
    let disk = MemoryDisk::default();
    let mut recorder = disk.recorder("%H.gor.zst", Rotation::default());
    recorder.event(asked(1, 0));
    recorder.tick(at(3599));
    let flushed = disk.bytes("20.gor.zst").len();
    recorder.tick(at(3600));
    assert!(disk.bytes("20.gor.zst").len() > flushed, "the end of the compressed stream");
    assert_eq!(disk.names(), ["20.gor.zst"]);
    recorder.event(asked(2, 3601));
    recorder.finish();
    assert_eq!(disk.names(), ["20.gor.zst", "21.gor.zst"]);
}

#[test]
fn a_file_that_is_long_or_old_enough_is_followed_by_another() {
    let disk = MemoryDisk::default();
    let mut recorder = disk.recorder("a.gor", Rotation { size: Some(200), ..Rotation::default() });
    (0..10).for_each(|n| recorder.event(asked(n, 0)));
    assert_eq!(recorder.finish().files, 4);
    assert!(disk.bytes("a.gor").len() >= 200 && disk.bytes("a.3.gor").len() <= 200);

    let disk = MemoryDisk::default();
    let mut recorder = disk.recorder("a.gor", Rotation { every: Some(Duration::from_secs(60)), ..Rotation::default() });
    recorder.event(asked(1, 0));
    recorder.event(asked(2, 59));
    recorder.tick(at(60));
    assert_eq!(recorder.recorded().files, 1);
    recorder.event(asked(3, 200));
    assert_eq!(recorder.finish().files, 2);
    assert_eq!(disk.names(), ["a.1.gor", "a.gor"]);
}

#[test]
fn a_file_that_ends_by_its_age_is_named_after_its_first_record() {
    let disk = MemoryDisk::default();
    let rotation = Rotation { every: Some(Duration::from_secs(3600)), ..Rotation::default() };
    let mut recorder = disk.recorder("%H-%M-%S.gor", rotation);
    for (n, seconds) in [0, 1, 61, 3599, 3600, 3601].into_iter().enumerate() {
        recorder.event(asked(u32::try_from(n).unwrap(), seconds));
        recorder.tick(at(seconds));
    }
    assert_eq!(recorder.finish().files, 2);
    assert_eq!(disk.names(), ["20-00-00.gor", "21-00-00.gor"]);
}

#[test]
fn reopening_takes_the_name_again_where_it_was_moved_away() {
    let disk = MemoryDisk::default();
    let mut recorder = disk.recorder("a.gor", Rotation::default());
    recorder.event(asked(1, 0));
    disk.clone().remove(Path::new("nothing"));
    let moved = disk.0.lock().unwrap().files.remove(Path::new("a.gor")).unwrap();
    disk.0.lock().unwrap().files.insert("a.gor.1".into(), moved);
    // Until then what is collected belongs to the old file, as with a real one that was moved.
    disk.0.lock().unwrap().files.insert("a.gor".into(), Vec::new());
    recorder.reopen();
    disk.0.lock().unwrap().files.remove(Path::new("a.gor"));
    recorder.event(asked(2, 1));
    recorder.finish();
    assert_eq!(disk.names(), ["a.gor", "a.gor.1"]);
}

/// Returns the bytes that a reader gets of a file whose writer was killed.
fn read(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chunk = [0; 512];
    let mut from: Box<dyn io::Read> = match name {
        "a.gor.gz" => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        "a.gor.zst" => Box::new(zstd::Decoder::new(bytes).unwrap()),
        _ => Box::new(bytes),
    };
    while let Ok(len @ 1..) = from.read(&mut chunk) {
        out.extend_from_slice(&chunk[..len]);
    }
    out
}

#[test]
fn what_was_written_a_second_ago_can_be_read_though_the_file_never_ends() {
    for name in ["a.gor", "a.gor.gz", "a.gor.zst"] {
        let disk = MemoryDisk::default();
        let mut recorder = disk.recorder(name, Rotation::default());
        let mut expected = 0;
        for n in 0..5u32 {
            recorder.event(asked(n, u64::from(n)));
            recorder.tick(at(u64::from(n) + 1));
            let text = read(name, &disk.bytes(name));
            expected += 1;
            let found = text.windows(4).filter(|window| window == b"GET ").count();
            assert_eq!(found, expected, "{name}");
        }
        drop(recorder);
    }
}

#[test]
fn a_full_disk_is_told_once_counted_and_tried_again_in_a_new_file() {
    for name in ["a.gor", "a.gor.gz", "a.gor.zst"] {
        let disk = MemoryDisk::default();
        let mut recorder = disk.recorder(name, Rotation::default());
        recorder.event(asked(1, 0));
        recorder.tick(at(1));
        disk.fill(true);
        for n in 2..100 {
            recorder.event(asked(n, u64::from(n)));
            recorder.tick(at(u64::from(n) + 1));
        }
        let notices = recorder.take_notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].starts_with(&format!("cannot write {name}: ")), "{notices:?}");
        assert!(notices[0].contains("make room, or give another place with -o. What comes is counted as lost"));
        let lost = recorder.recorded().lost_records;
        disk.fill(false);
        for n in 100..110 {
            recorder.event(asked(n, u64::from(n)));
        }
        let result = recorder.finish();
        assert_eq!((result.files, result.records + result.lost_records), (2, 109), "{name}: {result:?}");
        assert!(lost == 98 && result.lost_records <= lost + 5, "{name}: {result:?}");
        let notices = recorder.take_notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].starts_with("recording goes on in a.1.gor"), "{notices:?}");
        // Attempts leave nothing behind.
        assert_eq!(disk.names().len(), 2, "{:?}", disk.names());
    }
}

#[test]
fn what_was_lost_is_not_recorded_whatever_becomes_of_the_disk() {
    for name in ["a.gor", "a.jsonl", "a.gor.gz", "a.pcap"] {
        let disk = MemoryDisk::default();
        let mut recorder = disk.recorder(name, Rotation::default());
        let mut stored = 0;
        for n in 0..1000u32 {
            let seconds = u64::from(n / 10);
            // A disk that is full, a limit on files, and neither.
            let mut state = disk.0.lock().unwrap();
            state.full = (20..40).contains(&seconds);
            state.limit = (50..80).contains(&seconds).then_some(256);
            drop(state);
            for event in [asked(n, seconds), answered(n, seconds)] {
                recorder.event(event);
            }
            recorder.frame(&frame(seconds, LinkType::ETHERNET));
            recorder.tick(at(seconds));
            let now = recorder.stored().records;
            assert!(now >= stored, "{name}: nothing is taken back");
            stored = now;
        }
        let result = recorder.finish();
        let all = if name.contains("gor") { 2000 } else { 1000 };
        assert_eq!(result.records + result.lost_records, all, "{name}: {result:?}");
        assert!(result.lost_records > 100 && result.records > 100, "{name}: {result:?}");
        let bytes: Vec<Vec<u8>> = disk.names().iter().map(|file| read(name, &disk.bytes(file))).collect();
        let there = bytes.concat().windows(4).filter(|window| window == b"GET ").count() as u64;
        match result.requests {
            None => assert_eq!(name, "a.pcap"),
            // What was written of a batch that failed counts as lost, though it is there.
            Some(requests) if name == "a.jsonl" => assert_eq!(requests, result.records),
            Some(requests) => {
                let with_their_responses = (requests * 2).abs_diff(result.records) <= 20;
                assert!(requests <= there && with_their_responses, "{name}: {result:?}, {there}");
            }
        }
        let notices = recorder.take_notices();
        assert!(notices.iter().any(|notice| notice.contains("ulimit -f")), "{notices:?}");
        assert!(notices.iter().any(|notice| notice.contains("make room")), "{notices:?}");
    }
}

#[test]
fn lines_come_at_the_end_of_an_exchange_and_the_rest_at_the_end_of_the_run() {
    let disk = MemoryDisk::default();
    let mut recorder = disk.recorder("a.jsonl", Rotation::default());
    recorder.event(asked(1, 0));
    recorder.event(asked(2, 0));
    recorder.event(answered(2, 1));
    assert_eq!(recorder.recorded().records, 1);
    let result = recorder.finish();
    assert_eq!((result.records, result.given_up), (2, 0));
    let text = String::from_utf8(disk.bytes("a.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> =
        lines.iter().map(|line| (line["id"].as_str().unwrap(), line["state"].as_str().unwrap())).collect();
    assert_eq!(ids, [("1.2", "complete"), ("1.1", "no-response")]);
    assert!(lines[0]["request"]["head"].is_string());
}

#[test]
fn frames_are_captures_that_can_be_read() {
    for name in ["a.pcap", "a.pcapng", "a.pcap.zst"] {
        let disk = MemoryDisk::default();
        let mut recorder =
            disk.recorder(name, Rotation { every: Some(Duration::from_secs(60)), ..Rotation::default() });
        for seconds in [0, 1, 2, 100] {
            recorder.frame(&frame(seconds, LinkType::ETHERNET));
            recorder.frame(&frame(seconds, LinkType::LINUX_SLL2));
            recorder.event(asked(1, seconds));
        }
        let result = recorder.finish();
        let pcapng = name == "a.pcapng";
        assert_eq!((result.files, result.records), (2, if pcapng { 8 } else { 4 }), "{name}");
        let left_out = if pcapng { Unsupported::new() } else { [("other_link_type", 4)].into() };
        assert_eq!(result.left_out, left_out);
        assert_eq!(recorder.take_notices().len(), usize::from(!pcapng));
        let bytes = disk.bytes(name);
        let mut source = crate::capture::FileSource::read(name, Box::new(io::Cursor::new(bytes)), None).unwrap();
        let mut read = Vec::new();
        while let Some(frame) = crate::capture::Source::next(&mut source) {
            assert_eq!((frame.wire_len, frame.data), (7, &b"frame"[..]));
            read.push((frame.at, frame.link));
        }
        assert!(crate::capture::Source::warnings(&source).is_empty());
        assert_eq!(read.len(), if pcapng { 6 } else { 3 }, "{name}");
        assert_eq!(read[0], (at(0), LinkType::ETHERNET));
        assert!(!pcapng || read[1] == (at(0), LinkType::LINUX_SLL2));
    }
}

#[test]
fn real_files_are_made_with_their_directories_and_mistakes_come_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let target = |name: &str| OutputPath::new(&folder.path().join(name)).unwrap();
    let mut recorder = Recorder::new(target("%Y/%m/a.gor"), Rotation::default());
    recorder.preflight(at(0)).unwrap();
    let made = folder.path().join("2026/11/a.gor");
    assert!(!made.exists());
    recorder.event(asked(1, 0));
    assert_eq!(recorder.finish().last, Some(made.clone()));
    assert!(std::fs::read(&made).unwrap().starts_with(b"1 c8220050"));

    let inside = target("2026/11/a.gor/b.gor");
    let error = say_with_help(&Recorder::new(inside, Rotation::default()).preflight(at(0)).unwrap_err());
    assert!(
        error.starts_with("cannot make ") && error.ends_with("a file stands where a directory has to be"),
        "{error}"
    );
}

#[test]
fn a_file_has_so_many_records_and_numbers_go_on_behind_those_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x_7.gor"), "").unwrap();
    std::fs::write(folder.path().join("x_10.gor.gz"), "").unwrap();
    let path = OutputPath::new(&folder.path().join("x_%i.gor")).unwrap();
    let mut recorder = Recorder::new(path, Rotation { records: Some(3), ..Rotation::default() });
    recorder.preflight(at(0)).unwrap();
    (0..7).for_each(|n| recorder.event(asked(n, 0)));
    let result = recorder.finish();
    assert_eq!((result.files, result.records), (3, 7));
    let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["x_10.gor", "x_10.gor.gz", "x_7.gor", "x_8.gor", "x_9.gor"]);
}

#[test]
fn appending_goes_on_in_the_file_and_nothing_of_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.gor", "b.gor.gz"] {
        let path = folder.path().join(name);
        for run in 1..=3 {
            let target = OutputPath::new(&path).unwrap();
            let mut recorder = Recorder::new(target, Rotation::default()).appending(true);
            recorder.preflight(at(0)).unwrap();
            recorder.event(asked(run, 0));
            assert_eq!((recorder.finish().files, recorder.finish().lost_records), (1, 0));
        }
        let bytes = std::fs::read(&path).unwrap();
        let mut text = String::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(bytes).unwrap();
        }
        assert_eq!(text.matches("GET /a HTTP/1.1").count(), 3, "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// Appends a request, in a run of its own; returns what was said.
fn append_one(path: &Path, n: u32) -> Vec<String> {
    let mut recorder = Recorder::new(OutputPath::new(path).unwrap(), Rotation::default()).appending(true);
    recorder.preflight(at(0)).unwrap();
    recorder.event(Event::Request(request(n, &format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"))));
    assert_eq!(recorder.finish().lost_records, 0);
    recorder.take_notices()
}

/// Returns what a reader gets of a file, and whether it reads it to its end.
fn unpacked(path: &Path) -> (Vec<u8>, bool) {
    let bytes = std::fs::read(path).unwrap();
    let mut input = crate::capture::Input::new(Box::new(io::Cursor::new(bytes))).unwrap();
    let (mut text, mut chunk) = (Vec::new(), [0; 512]);
    loop {
        match input.read(&mut chunk) {
            Ok(0) => return (text, true),
            Ok(len) => text.extend_from_slice(&chunk[..len]),
            Err(_) => return (text, false),
        }
    }
}

#[test]
fn a_file_that_was_cut_anywhere_keeps_what_can_be_read_and_takes_new_records() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["gor", "jsonl", "gor.gz", "gor.zst", "jsonl.gz", "jsonl.zst"] {
        let path = folder.path().join(format!("a.{ending}"));
        let end = if ending.starts_with("gor") { crate::recording::gor::SEPARATOR } else { b"\n".as_slice() };
        append_one(&path, 1);
        let first = std::fs::read(&path).unwrap().len();
        append_one(&path, 2);
        assert!(append_one(&path, 3).is_empty(), "nothing was cut");
        let mut recorder = Recorder::new(OutputPath::new(&path).unwrap(), Rotation::default()).appending(true);
        for n in 6..9 {
            recorder.event(asked(n, u64::from(n)));
            recorder.event(answered(n, u64::from(n)));
            recorder.tick(at(u64::from(n) + 1));
        }
        recorder.finish();
        let whole = std::fs::read(&path).unwrap();
        for cut in (0..whole.len()).step_by(13) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut before, _) = unpacked(&path);
            before.truncate(memchr::memmem::rfind(&before, end).map_or(0, |found| found + end.len()));
            assert!(cut < first || !before.is_empty(), "{ending}, cut at {cut}");
            append_one(&path, 4);
            assert!(append_one(&path, 5).is_empty(), "{ending}, cut at {cut}");
            let (after, is_whole) = unpacked(&path);
            assert!(is_whole && after.starts_with(&before), "{ending}, cut at {cut}");
            let rest = memchr::memmem::find_iter(&after[before.len()..], end).count();
            let has = |path: &str| memchr::memmem::find(&after, path.as_bytes()).is_some();
            assert!((2..=3).contains(&rest), "{ending}, cut at {cut}: {rest}");
            if end.len() > 1 {
                assert!(has("GET /4 ") && has("GET /5 "), "{ending}, cut at {cut}");
            }
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6, "nothing is left behind");
}

#[test]
fn lines_of_two_runs_that_number_alike_are_two_connections() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    for run in 1..=3u64 {
        let mut recorder = Recorder::new(OutputPath::new(&path).unwrap(), Rotation::default()).appending(true);
        for n in 1..=2 {
            recorder.event(asked(n, run * 10));
            recorder.event(answered(n, run * 10));
        }
        assert_eq!(recorder.finish().records, 2);
    }
    let text = std::fs::read_to_string(&path).unwrap();
    // Once more the last line, as where a file was put behind itself.
    std::fs::write(&path, format!("{text}{}\n", text.lines().last().unwrap())).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let mut source = crate::recording::RecordingSource::read("a.jsonl", Box::new(file), None).unwrap();
    let events: Vec<Event> = std::iter::from_fn(|| crate::recording::EventSource::next(&mut source)).collect();
    let ids = |events: &[Event]| -> std::collections::BTreeSet<ExchangeId> {
        events
            .iter()
            .filter_map(|event| if let Event::Request(request) = event { Some(request.id) } else { None })
            .collect()
    };
    assert_eq!(ids(&events).len(), 6);
    let connections: std::collections::BTreeSet<_> = ids(&events).into_iter().map(|id| id.connection).collect();
    assert_eq!((connections.len(), connections.first()), (3, Some(&ConnectionId(1))));
    let warnings = crate::recording::EventSource::warnings(&source);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("a line was passed over (an exchange has its id already)"), "{warnings:?}");
}

#[test]
fn what_is_looked_ahead_in_a_small_recording_is_not_progress() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.gor", "a.jsonl.gz"] {
        let path = folder.path().join(name);
        let mut recorder = Recorder::new(OutputPath::new(&path).unwrap(), Rotation::default());
        for n in 0..100 {
            recorder.event(asked(n, u64::from(n)));
            recorder.event(answered(n, u64::from(n)));
        }
        recorder.finish();
        let (file, size) = (std::fs::File::open(&path).unwrap(), std::fs::metadata(&path).unwrap().len());
        let mut source = crate::recording::RecordingSource::read(name, Box::new(file), Some(size)).unwrap();
        let mut shares = Vec::new();
        while let Some(event) = crate::recording::EventSource::next(&mut source) {
            if matches!(event, Event::Request(_)) {
                shares.push(crate::recording::EventSource::progress(&source).unwrap());
            }
        }
        assert!(shares[0] < 0.02 && (0.45..0.55).contains(&shares[50]) && shares.is_sorted(), "{name}: {shares:?}");
        assert!(crate::recording::EventSource::progress(&source).unwrap() > 0.99, "{name}");
    }
}

#[test]
fn what_was_cut_is_said_and_an_end_that_was_cut_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gor.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"1 a 1\nGET /0 HTTP/1.1\r\n\r\n\n\xf0\x9f\x90\xb5").unwrap();
    gzip.flush().unwrap();
    std::fs::write(&path, gzip.get_ref()).unwrap();
    let said = append_one(&path, 4);
    assert_eq!(
        said,
        [format!(
            "{}: it ended inside its compression, as what wrote it was stopped: all that can be read is kept (30 bytes \
             of records are compressed anew); its last record is cut (30 bytes of it are there)",
            path.display()
        )]
    );
    let (text, _) = unpacked(&path);
    assert!(text.starts_with(&[b"1 a 1\nGET /0 HTTP/1.1\r\n\r\n", crate::recording::gor::SEPARATOR].concat()));
}

#[test]
fn a_file_that_nobody_could_read_behind_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let member = |end: usize| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(crate::recording::gor::SEPARATOR).unwrap();
        let bytes = gzip.finish().unwrap();
        bytes[..bytes.len() - end].to_vec()
    };
    let damaged = [member(9), member(0)].concat();
    let cases = [
        ("a.gor.gz", damaged.clone(), "cannot be read to its end"),
        ("a.gor.zst", member(0), "cannot be read to its end"),
        ("b.gor.gz", b"1 a 1\nGET / HTTP/1.1\r\n\r\n\n".to_vec(), "cannot be read to its end"),
        ("a.gor", member(0), "it is compressed, which its name does not say"),
    ];
    for (name, bytes, why) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let target = OutputPath::new(&path).unwrap();
        let mut recorder = Recorder::new(target, Rotation::default()).appending(true);
        let error = say_with_help(&recorder.preflight(at(0)).unwrap_err());
        assert!(error.starts_with(&format!("cannot append to {}: ", path.display())), "{error}");
        assert!(error.contains(why) && error.contains("give another name with -o"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
    }
}

#[test]
fn a_compressed_file_that_another_run_writes_to_is_not_gone_on_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gor.zst");
    for append in [false, true] {
        let target = OutputPath::new(&path).unwrap();
        let mut writes = Recorder::new(target.clone(), Rotation::default()).appending(append);
        writes.event(asked(1, 0));
        writes.tick(at(1));
        let mut other = Recorder::new(target, Rotation::default()).appending(true);
        let error = say_with_help(&other.preflight(at(0)).unwrap_err());
        assert!(error.contains("another run writes to it"), "{error}");
        writes.finish();
        other.preflight(at(0)).unwrap();
    }
}

/// A dashcam that keeps a minute.
fn dashcam(disk: &MemoryDisk, name: &str, size: u64) -> Recorder {
    let settings = DashcamSettings { keep: Duration::from_secs(60), size, then: Duration::from_secs(10) };
    disk.recorder(name, Rotation::default()).keeping(settings)
}

/// Requests of these seconds, a second each, and the ticks between them.
fn drive(recorder: &mut Recorder, seconds: std::ops::Range<u64>) {
    for second in seconds {
        recorder.event(asked(u32::try_from(second).unwrap(), second));
        recorder.tick(at(second));
    }
}

fn saved_seconds(bytes: &[u8]) -> Vec<u64> {
    let text = std::str::from_utf8(bytes).unwrap();
    let metas = text.lines().filter(|line| line.starts_with("1 "));
    let nanos = metas.map(|line| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap());
    nanos.map(|nanos| nanos / 1_000_000_000 - 1_795_291_200).collect()
}

#[test]
fn a_dashcam_writes_the_last_minute_and_what_follows_and_leaves_nothing_else() {
    let disk = MemoryDisk::default();
    let mut recorder = dashcam(&disk, "d/inc.gor", 1 << 20);
    drive(&mut recorder, 0..200);
    assert!(disk.names().iter().all(|name| name.starts_with("d/.inc.gor.ring/")), "{:?}", disk.names());
    assert!(disk.names().len() <= 23, "what is older goes: {:?}", disk.names());
    recorder.save("SIGUSR1");
    recorder.save("SIGUSR1");
    drive(&mut recorder, 200..230);
    let saved = saved_seconds(&disk.bytes("d/inc.gor"));
    assert!(saved[0] <= 140 && saved[0] >= 135, "{saved:?}");
    assert_eq!(saved, (saved[0]..210).collect::<Vec<_>>(), "each once, in order, up to ten seconds after");
    let totals = recorder.finish();
    assert_eq!(disk.names(), ["d/inc.gor"], "the ring is gone");
    let kept = totals.saved.unwrap();
    assert_eq!((kept.count, kept.failed, kept.records), (1, 0, saved.len() as u64));
    assert_eq!((totals.records, totals.lost_records), (230, 0));
    let told = recorder.take_news().join("\n");
    assert!(told.contains("saving to d/inc.gor, with the next 10 s") && told.contains("goes on for another"), "{told}");
    assert!(told.contains(&format!("saved {} requests to d/inc.gor", saved.len())), "{told}");
}

#[test]
fn a_save_that_goes_on_is_ended_with_the_run_and_a_second_has_another_name() {
    let disk = MemoryDisk::default();
    let mut recorder = dashcam(&disk, "inc.gor", 1 << 20);
    drive(&mut recorder, 0..20);
    recorder.save("a");
    drive(&mut recorder, 20..40);
    recorder.save("b");
    drive(&mut recorder, 40..45);
    let kept = recorder.finish().saved.unwrap();
    assert_eq!(disk.names(), ["inc.1.gor", "inc.gor"]);
    assert_eq!(saved_seconds(&disk.bytes("inc.gor")), (0..30).collect::<Vec<_>>());
    assert_eq!(saved_seconds(&disk.bytes("inc.1.gor")), (0..45).collect::<Vec<_>>(), "what one save wants another may");
    assert_eq!((kept.count, kept.records), (2, 75));
}

#[test]
fn a_ring_is_bounded_in_bytes_and_gives_way_on_a_full_disk() {
    let disk = MemoryDisk::default();
    let mut recorder = dashcam(&disk, "inc.gor", 4096);
    drive(&mut recorder, 0..59);
    let held: usize = disk.names().iter().map(|name| disk.bytes(name).len()).sum();
    assert!(held <= 4096 + 512, "{held}");
    disk.fill(true);
    drive(&mut recorder, 59..70);
    assert!(disk.names().len() < 3, "the oldest made way: {:?}", disk.names());
    disk.fill(false);
    drive(&mut recorder, 80..90);
    recorder.save("x");
    let totals = recorder.finish();
    let saved = saved_seconds(&disk.bytes("inc.gor"));
    assert_eq!(saved[saved.len() - 10..], (80..90).collect::<Vec<_>>());
    assert!(totals.lost_records > 0 && recorder.take_notices().iter().any(|told| told.contains("made way")));
}

#[test]
fn a_save_that_cannot_be_written_is_told_and_the_ring_goes_on() {
    let disk = MemoryDisk::default();
    let mut recorder = dashcam(&disk, "inc.gor", 1 << 20);
    drive(&mut recorder, 0..30);
    disk.0.lock().unwrap().broken = Some("inc.gor".into());
    recorder.save("a");
    drive(&mut recorder, 30..45);
    assert!(recorder.take_notices().iter().any(|told| told.contains("inc.gor could not be written")));
    recorder.save("b");
    let kept = recorder.finish().saved.unwrap();
    assert_eq!((kept.count, kept.failed), (1, 1), "{:?}", recorder.take_notices());
    assert_eq!(saved_seconds(&disk.bytes("inc.1.gor")).len(), 45);
}

#[test]
fn a_capture_that_is_saved_has_one_header() {
    let disk = MemoryDisk::default();
    let mut recorder = dashcam(&disk, "inc.pcap", 1 << 20);
    for second in 0..20 {
        recorder.frame(&frame(second, LinkType(1)));
        recorder.tick(at(second));
    }
    recorder.save("x");
    assert_eq!(recorder.finish().saved.unwrap().records, 20);
    assert_eq!(disk.bytes("inc.pcap").len(), 24 + 20 * (16 + 5));
}
