//! A dashcam: the last minutes of a recording in a ring of files, and the copy of it that is written out when asked.
//!
//! The recorder cuts its files in short pieces, in a folder beside the output; here is what becomes of them. The oldest go
//! when they are older than is kept, or when all of them are larger. While a save goes on, the pieces that it wants stay,
//! and are copied bit by bit, one call after another: so the recording itself is never held up for long.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::Disk;
use super::output_path::{OutputPath, RecordingFormat};
use super::sink::Sink;
use super::{Amount, RecordError, create};
use crate::causes::say_with_help;
use crate::exchange::Timestamp;

/// Default bound on the ring, in bytes.
pub const DEFAULT_RING: u64 = 2 << 30;
/// Pieces into which the time that is kept is cut, about.
const SLICES: u32 = 20;
/// Shortest and longest time of a piece.
const SLICE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Pieces into which the size of the ring is cut, at least.
const SIZES: u64 = 16;
/// Bytes that are copied with one call.
const STEP: usize = 4 << 20;
/// Bytes that are read at once.
const READ: usize = 256 << 10;
/// Length of the header of a pcap file, and where its link type stands.
const PCAP_HEADER: (usize, std::ops::Range<usize>) = (24, 20..24);
/// Saves whose file is named in the summary.
const MAX_NAMED: usize = 64;

/// What to say: news, or what went wrong.
pub(super) type Line = Result<String, String>;

/// What a dashcam keeps, and what it writes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DashcamSettings {
    /// Time that is kept, at least, where there is room for it.
    pub keep: Duration,
    /// Bytes of the ring.
    pub size: u64,
    /// Time after a save was asked for that goes with it.
    pub then: Duration,
}

impl DashcamSettings {
    /// Returns the time and the size of a piece.
    pub(super) fn slice(&self) -> (Duration, u64) {
        ((self.keep / SLICES).clamp(SLICE.0, SLICE.1), (self.size / SIZES).max(1))
    }
}

/// Totals of what was written out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Files that were written out.
    pub files: Vec<PathBuf>,
    /// Their number, of which the first are named.
    pub count: u64,
    /// Saves that failed on the way: what is in their files can be read.
    pub failed: u64,
    /// Records in them.
    pub records: u64,
    /// Whole requests in them, where events are recorded.
    pub requests: u64,
    /// Bytes in them, before compression.
    pub bytes: u64,
}

/// A piece of the ring that has ended.
pub(super) struct RingPiece {
    pub(super) path: PathBuf,
    /// Time of its last record.
    pub(super) ended: Timestamp,
    pub(super) amount: Amount,
    /// Bytes of it that hold whole records.
    pub(super) stored: u64,
    /// A save wants it.
    pub(super) is_wanted: bool,
}

/// A save that goes on.
struct Save {
    path: PathBuf,
    sink: Sink,
    until: Timestamp,
    /// The last piece that it wants has ended.
    is_closing: bool,
    /// The piece that is copied, and what is left of it.
    from: Option<Box<dyn Read + Send>>,
    /// The header of a pcap file, once it is written.
    header: Option<Vec<u8>>,
    amount: Amount,
}

/// State of a dashcam.
pub(super) struct Dashcam {
    pub(super) settings: DashcamSettings,
    pub(super) output: OutputPath,
    folder: PathBuf,
    segments: VecDeque<RingPiece>,
    save: Option<Save>,
    pub(super) saved: Saved,
    /// Keeps others out of the folder.
    lock: Option<Box<dyn Any + Send>>,
}

impl Dashcam {
    pub(super) fn new(settings: DashcamSettings, output: OutputPath) -> Self {
        let folder = output.ring_folder();
        let saved = Saved::default();
        Self { settings, output, folder, segments: VecDeque::new(), save: None, saved, lock: None }
    }

    /// Takes the folder of the ring, and removes what an earlier run left there. Returns how many files that were.
    pub(super) fn take_folder(&mut self, disk: &mut dyn Disk) -> io::Result<usize> {
        if self.lock.is_some() {
            return Ok(0);
        }
        self.lock = Some(disk.lock(&self.folder)?);
        let left = disk.files(&self.folder, self.output.format().ending());
        for path in &left {
            disk.remove(path);
        }
        Ok(left.len())
    }

    /// Tries whether the folder could be taken, and leaves nothing behind.
    pub(super) fn try_folder(&self, disk: &mut dyn Disk) -> io::Result<()> {
        if self.lock.is_none() {
            let is_new = !disk.missing_folders(&self.folder.join("x")).is_empty();
            drop(disk.lock(&self.folder)?);
            if is_new {
                disk.unlock(&self.folder);
            }
        }
        Ok(())
    }

    /// Takes a piece that has ended.
    pub(super) fn push(&mut self, mut segment: RingPiece) {
        segment.is_wanted = self.save.as_ref().is_some_and(|save| !save.is_closing);
        self.segments.push_back(segment);
    }

    /// Removes what is too old, and what is too much beside `open` bytes.
    pub(super) fn evict(&mut self, disk: &mut dyn Disk, now: Timestamp, open: u64) {
        let mut stored: u64 = open + self.segments.iter().map(|segment| segment.stored).sum::<u64>();
        while let Some(oldest) = self.segments.front().filter(|oldest| !oldest.is_wanted) {
            if now.since(oldest.ended) <= self.settings.keep && stored <= self.settings.size {
                break;
            }
            stored = stored.saturating_sub(oldest.stored);
            disk.remove(&oldest.path);
            self.segments.pop_front();
        }
    }

    /// Removes the oldest quarter, for want of room; returns how many pieces that were.
    pub(super) fn make_room(&mut self, disk: &mut dyn Disk) -> usize {
        let most = self.segments.len().div_ceil(4);
        let free = self.segments.iter().take(most).take_while(|segment| !segment.is_wanted).count();
        self.segments.drain(..free).for_each(|segment| disk.remove(&segment.path));
        free
    }

    /// Begins a save; or goes on for longer, where there is one. Returns what to say. The open piece has to be ended before.
    pub(super) fn begin(&mut self, disk: &mut dyn Disk, now: Timestamp, reason: &str) -> Line {
        let until = now.plus(self.settings.then);
        let seconds = self.settings.then.as_secs();
        if let Some(save) = self.save.as_mut().filter(|save| !save.is_closing) {
            save.until = until;
            return Ok(format!("{reason}: {} goes on for another {seconds} s", save.path.display()));
        }
        if let Some(save) = &self.save {
            return Err(format!("{reason}: not saved, since {} is still being written", save.path.display()));
        }
        let stem = self.output.stem(now);
        match create(disk, &self.output, &stem, 0) {
            Ok((path, sink, _)) => {
                self.segments.iter_mut().for_each(|segment| segment.is_wanted = true);
                let line = format!("{reason}: saving to {}, with the next {seconds} s", path.display());
                let (from, header, amount) = (None, None, Amount::default());
                self.save = Some(Save { path, sink, until, is_closing: false, from, header, amount });
                Ok(line)
            }
            Err(error) => {
                self.saved.failed += 1;
                Err(format!("{reason}: not saved: {}; the ring goes on", say_with_help(&error)))
            }
        }
    }

    /// Returns whether the open piece has to be ended now, since it is the last that a save wants.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.save.as_ref().is_some_and(|save| !save.is_closing && now >= save.until)
    }

    /// The open piece was ended, and is the last one that the save wants.
    pub(super) fn close(&mut self) {
        if let Some(save) = &mut self.save {
            save.is_closing = true;
        }
    }

    /// Returns whether a save goes on, whatever it waits for.
    pub(super) const fn is_saving(&self) -> bool {
        self.save.is_some()
    }

    /// Returns whether there is anything to copy, or to end.
    pub(super) fn has_work(&self) -> bool {
        let wanted = || self.segments.iter().any(|segment| segment.is_wanted);
        self.save.as_ref().is_some_and(|save| save.is_closing || wanted())
    }

    /// Copies a little, and ends the save where all is copied. Returns what to say.
    pub(super) fn step(&mut self, disk: &mut dyn Disk) -> Option<Line> {
        let mut save = self.save.take()?;
        let mut left = STEP;
        while left > 0 {
            let Some(segment) = self.segments.iter_mut().find(|segment| segment.is_wanted) else {
                if save.is_closing {
                    return Some(self.end(disk, save));
                }
                break;
            };
            match save.copy(disk, segment, self.output.format(), left) {
                Ok(0) => {
                    segment.is_wanted = false;
                    save.from = None;
                }
                Ok(copied) => left = left.saturating_sub(copied),
                Err(CopyError::Piece(error)) => {
                    segment.is_wanted = false;
                    save.from = None;
                    let (name, to) = (segment.path.display(), save.path.display());
                    let line = format!("a piece of the ring, {name}, is not in {to}: {error}");
                    self.saved.failed += 1;
                    self.save = Some(save);
                    return Some(Err(line));
                }
                Err(CopyError::Output(source)) => return Some(Err(self.give_up(disk, save, source))),
            }
        }
        self.save = Some(save);
        None
    }

    fn end(&mut self, disk: &mut dyn Disk, save: Save) -> Line {
        let Save { path, sink, amount, .. } = save;
        if amount.records == 0 {
            sink.abandon();
            disk.remove(&path);
            return Ok("nothing was saved: nothing was recorded in that time".to_owned());
        }
        if let Err(source) = sink.finish() {
            self.saved.failed += 1;
            return Err(format!("the end of {} could not be written: {source}", path.display()));
        }
        let saved = &mut self.saved;
        saved.count += 1;
        saved.records += amount.records;
        saved.requests += amount.requests;
        saved.bytes += amount.bytes;
        if saved.files.len() < MAX_NAMED {
            saved.files.push(path.clone());
        }
        let what = if self.output.format().takes_frames() { amount.records } else { amount.requests };
        let noun = if self.output.format().takes_frames() { "frames" } else { "requests" };
        Ok(format!("saved {what} {noun} to {}", path.display()))
    }

    fn give_up(&mut self, disk: &mut dyn Disk, save: Save, source: io::Error) -> String {
        let Save { path, sink, amount, .. } = save;
        sink.abandon();
        let is_empty = disk.open(&path).is_ok_and(|mut file| file.read(&mut [0]).is_ok_and(|read| read == 0));
        if is_empty {
            disk.remove(&path);
        }
        self.segments.iter_mut().for_each(|segment| segment.is_wanted = false);
        self.saved.failed += 1;
        let error = say_with_help(&RecordError::Write { path, source });
        let what = if is_empty {
            "Nothing of the save is there".to_owned()
        } else {
            format!("Some of {} records are there", amount.records)
        };
        format!("{error}. {what}; the ring goes on")
    }

    /// Removes the ring.
    pub(super) fn remove(&mut self, disk: &mut dyn Disk) {
        self.segments.drain(..).for_each(|segment| disk.remove(&segment.path));
        if self.lock.take().is_some() {
            disk.unlock(&self.folder);
        }
    }
}

/// What could not be copied.
enum CopyError {
    /// The piece cannot be read.
    Piece(io::Error),
    /// The output cannot be written.
    Output(io::Error),
}

impl Save {
    /// Copies bytes of a piece, up to about this many; returns how many, 0 at its end.
    fn copy(
        &mut self,
        disk: &mut dyn Disk,
        segment: &RingPiece,
        format: RecordingFormat,
        most: usize,
    ) -> Result<usize, CopyError> {
        let from = match &mut self.from {
            Some(from) => from,
            none => {
                let opened = disk.open(&segment.path).map_err(CopyError::Piece)?;
                let mut opened: Box<dyn Read + Send> = Box::new(opened.take(segment.stored));
                if format == RecordingFormat::Pcap {
                    let mut header = vec![0; PCAP_HEADER.0];
                    opened.read_exact(&mut header).map_err(CopyError::Piece)?;
                    match &self.header {
                        None => self.sink.write(&header).map_err(CopyError::Output)?,
                        Some(first) if first.get(PCAP_HEADER.1) != header.get(PCAP_HEADER.1) => {
                            let why = "its frames have another link type; record to .pcapng";
                            return Err(CopyError::Piece(io::Error::other(why)));
                        }
                        Some(_) => {}
                    }
                    self.header = Some(header);
                }
                self.amount += segment.amount;
                none.insert(opened)
            }
        };
        let mut bytes = vec![0; READ.min(most)];
        let read = from.read(&mut bytes).map_err(CopyError::Piece)?;
        self.sink.write(bytes.get(..read).unwrap_or_default()).map_err(CopyError::Output)?;
        Ok(read)
    }
}

impl OutputPath {
    /// The folder in which the ring of a dashcam lies: beside its output, which has a name that does not change with time.
    fn ring_folder(&self) -> PathBuf {
        let typed = self.to_string();
        let fixed = typed.split('%').next().unwrap_or_default();
        let (folder, _) = fixed.rsplit_once('/').map_or(("", fixed), |(folder, name)| (folder, name));
        let name: String =
            typed.get(folder.len()..).unwrap_or_default().trim_start_matches('/').replace(['%', '/'], "_");
        let folder = if folder.is_empty() && typed.starts_with('/') { "/" } else { folder };
        Path::new(folder).join(format!(".{name}.ring"))
    }

    /// The files of that ring: numbered, and not compressed.
    pub(super) fn of_ring(&self) -> Self {
        let folder = self.ring_folder();
        let stem = format!("{}/%i", folder.display());
        Self::in_ring(stem, self.format())
    }
}
