//! The recorder: the traffic of a run on disk, whatever the disk does meanwhile.
//!
//! Events or frames come in, and files are made of them: new ones when the name's time, their size or their age says
//! so, never over an existing file. Records are handed to the system within a second, so that they survive the process.
//! A full disk is reported once, and tried again; records that could not be written meanwhile are counted.

mod append;
mod dashcam;
mod disk;
mod encode;
mod frames;
mod keeping;
mod output_path;
mod sink;
#[cfg(test)]
mod tests;

use crate::causes::{Help, say_with_help};
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use crate::capture::Frame;
use crate::exchange::{Event, Timestamp};
use crate::files::FileMode;
use crate::recording::store_error::StoreError;
use crate::recording::unsupported::Unsupported;

pub use output_path::{Compression, OutputPath, OutputPathError, RecordingFormat, RecordingFormatError};

pub use dashcam::{DEFAULT_RING, DashcamSettings, Saved};

use append::{Appended, Layout};
use dashcam::Dashcam;
use disk::{Disk, FileSystemDisk};
use encode::{Encoded, Encoder};
use sink::Sink;

/// Longest time that records wait before they are handed to the system: this much is lost when the process is killed.
pub const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Time for which a disk that failed is left alone before a new file is tried.
pub(crate) const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Highest number added to a file's name where names are taken. Past it no file can be made, which is reported.
pub(crate) const MAX_NUMBER: u32 = 100_000;
/// Notices that wait to be fetched. Past it the newest are dropped: the counts say what they would have said.
const MAX_NOTICES: usize = 64;

/// Conditions for a new file. Without an age, another time in the name begins one too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// With the record that makes a file at least this many bytes long, as stored.
    pub size: Option<u64>,
    /// This long after the first record of a file, whose time fills in the name.
    pub every: Option<Duration>,
    /// With this many records in a file.
    pub records: Option<u64>,
}

/// Errors that keep a recording from being written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A file cannot be made.
    #[error("cannot make {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file that is there cannot be gone on in.
    #[error("cannot append to {}", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file cannot be written to.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A store refuses it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Every name is taken.
    #[error("cannot make {}: it exists, and so do all its numbers up to {MAX_NUMBER}; move old recordings away", path.display())]
    Taken {
        /// The file without a number.
        path: PathBuf,
    },
}

impl RecordError {
    /// Returns the system's words alone.
    #[must_use]
    pub fn into_io(self) -> std::io::Error {
        match self {
            Self::Create { source, .. } | Self::Append { source, .. } | Self::Write { source, .. } => source,
            Self::Taken { .. } => std::io::ErrorKind::AlreadyExists.into(),
            Self::Store(error) => std::io::Error::other(error),
        }
    }
}

impl Help for RecordError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Create { source, .. } | Self::Append { source, .. } | Self::Write { source, .. } => {
                Some(advice(source).into())
            }
            Self::Taken { .. } => None,
            Self::Store(error) => error.help(),
        }
    }
}

/// Returns advice about an error of the file system.
fn advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, or give another place with -o",
        ErrorKind::PermissionDenied => {
            "the directory has to be writable for the user that records: see --user, or give another place with -o"
        }
        ErrorKind::ReadOnlyFilesystem => "give a place that is not mounted read-only with -o",
        ErrorKind::InvalidInput => "or give another place with -o",
        ErrorKind::ResourceBusy => "end it, or give another name with -o",
        ErrorKind::InvalidData => "leave it as it is, and give another name with -o",
        ErrorKind::NotADirectory => "a file stands where a directory has to be",
        ErrorKind::FileTooLarge => "a limit on file sizes is in force (ulimit -f): rotate with --rotate-size below it",
        _ => "look at the disk, or give another place with -o",
    }
}

/// Totals of a recording, so far or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Files that were made and kept.
    pub files: u64,
    /// The last of them.
    pub last: Option<PathBuf>,
    /// Records that were handed to the system: requests and responses of `.gor`, lines, or frames.
    pub records: u64,
    /// Whole requests among them; `None` where frames are recorded.
    pub requests: Option<u64>,
    /// Their bytes before compression.
    pub bytes: u64,
    /// Records that could not be written. Those that were under way to a file when it failed count as lost, even where
    /// some of them reached it.
    pub lost_records: u64,
    /// Whole requests among them; 0 where they are not told apart.
    pub lost_requests: u64,
    /// Their bytes before compression.
    pub lost_bytes: u64,
    /// True where a store holds them rather than files.
    pub is_store: bool,
    /// Bytes that were stored, compressed; 0 where that is not counted.
    pub stored_bytes: u64,
    /// Records that the format cannot hold, by reason.
    pub left_out: Unsupported,
    /// Exchanges that were written as they stood, because too many waited for their response.
    pub given_up: u64,
    /// Files whose end could not be written, such as that of a compressed stream: what is in them can be read. Of a store 1 where
    /// its recording was thrown away meanwhile.
    pub unfinished: u64,
    /// What a dashcam wrote out; the rest is then about its ring.
    pub saved: Option<Saved>,
}

/// Records, and what they amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    records: u64,
    requests: u64,
    /// Before compression.
    bytes: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.requests += other.requests;
        self.bytes += other.bytes;
    }
}

/// A file that is being written.
struct OpenFile {
    path: PathBuf,
    sink: Sink,
    /// Time of its first record.
    begun: Timestamp,
    /// Records since the last flush.
    waiting: Amount,
    /// All of its records.
    records: u64,
    /// What was flushed to it, its last time, and the bytes of it.
    flushed: (Amount, Timestamp, u64),
    /// True once anything was flushed to it.
    proven: bool,
}

/// Writes a recording. A plain value: whoever has it calls [`Recorder::tick`] at least once a second.
pub struct Recorder {
    target: OutputPath,
    rotation: Rotation,
    /// Goes on in a file that is there.
    append: bool,
    /// The file that was opened last had something in it before, and is never removed.
    keep: bool,
    disk: Box<dyn Disk>,
    encoder: Encoder,
    buffer: Vec<u8>,
    open: Option<OpenFile>,
    /// The name without endings that is in use, and for which second it was filled in.
    stem: Option<(u64, String)>,
    /// The number to try next with that stem.
    number: u32,
    now: Timestamp,
    flushed: Timestamp,
    /// Time of the next try of the disk; `None` while it works.
    retry: Option<Timestamp>,
    /// Records handed to the system.
    stored: Amount,
    done: Recorded,
    /// Keeps the last minutes alone, where that was asked for.
    dashcam: Option<Dashcam>,
    notices: Vec<String>,
    news: Vec<String>,
}

impl Recorder {
    /// A recorder that has made nothing yet.
    #[must_use]
    pub fn new(target: OutputPath, rotation: Rotation) -> Self {
        Self::on(Box::<FileSystemDisk>::default(), target, rotation)
    }

    /// The same recorder; its files may be read and written by whom this says.
    #[must_use]
    pub(crate) fn with_mode(self, mode: FileMode) -> Self {
        Self { disk: Box::new(FileSystemDisk { mode, whole: None }), ..self }
    }

    /// The same recorder, which goes on in a file that is there, behind what is in it.
    #[must_use]
    pub fn appending(self, append: bool) -> Self {
        Self { append, ..self }
    }

    fn on(disk: Box<dyn Disk>, target: OutputPath, rotation: Rotation) -> Self {
        Self {
            encoder: Encoder::new(target.format()),
            target,
            rotation,
            append: false,
            keep: false,
            disk,
            buffer: Vec::new(),
            open: None,
            stem: None,
            number: 0,
            now: Timestamp::default(),
            flushed: Timestamp::default(),
            retry: None,
            stored: Amount::default(),
            done: Recorded::default(),
            dashcam: None,
            notices: Vec::new(),
            news: Vec::new(),
        }
    }

    /// Returns the output path.
    #[must_use]
    pub fn target(&self) -> &OutputPath {
        self.dashcam.as_ref().map_or(&self.target, |dashcam| &dashcam.output)
    }

    /// Tries whether a file can be made at this time, and leaves nothing behind: so that a mistake is told before the run
    /// begins.
    ///
    /// # Errors
    ///
    /// Where it cannot be made, with the system's words.
    pub fn preflight(&mut self, now: Timestamp) -> Result<(), RecordError> {
        if let Some(dashcam) = &self.dashcam {
            // The ring lies beside it, and is another run's or nobody's.
            let ring = self.target.file(&self.target.stem(now), 0);
            let taken = dashcam.try_folder(&mut *self.disk);
            taken.map_err(|source| RecordError::Create { path: ring, source })?;
        }
        let target = self.target().clone();
        let stem = target.stem(now);
        let missing = self.disk.missing_folders(&target.file(&stem, 0));
        let made = if self.dashcam.is_some() {
            create(&mut *self.disk, &target, &stem, 0).map(|(path, sink, _)| (path, sink))
        } else {
            self.create(&stem, 0)
        };
        let made = made.map(|(path, sink)| {
            // Else the end of a compressed stream would be written to a file that is there.
            sink.abandon();
            if !self.is_kept() {
                self.disk.remove(&path);
            }
        });
        // The innermost first; one that somebody else uses meanwhile stays.
        for folder in &missing {
            self.disk.remove_folder(folder);
        }
        made
    }

    /// Takes an event. Where frames are recorded nothing happens.
    pub fn event(&mut self, event: Event) {
        self.buffer.clear();
        let encoded = self.encoder.event(event, &mut self.buffer);
        if encoded.records > 0 {
            self.now = self.now.max(encoded.at);
            let ready = self.ready(self.now);
            self.store(encoded, ready);
        }
    }

    /// Takes a frame. Where events are recorded nothing happens.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        if !self.target.format().takes_frames() {
            return;
        }
        self.buffer.clear();
        self.now = self.now.max(frame.at);
        // Before the frame is encoded: a new file has a header of its own.
        let ready = self.ready(self.now);
        let encoded = self.encoder.frame(frame, &mut self.buffer);
        if encoded.records > 0 {
            self.store(encoded, ready);
        } else {
            self.other_link_type(frame);
        }
    }

    /// It is now this late, on the clock of the events.
    pub fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.is_old() || self.has_another_name() {
            self.close();
        }
        self.flush_if_due();
        self.turn_ring();
    }

    /// Begins a new file with the next record: under the name itself, where that was moved away.
    pub fn reopen(&mut self) {
        self.close();
        self.number = 0;
    }

    /// Takes the notices for people: each failure once, and its end.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Returns the totals so far; records that wait to be flushed are included.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        let mut amount = self.stored;
        amount += self.open.as_ref().map_or_else(Amount::default, |open| open.waiting);
        self.amounting_to(amount)
    }

    /// Returns the totals so far without records that wait to be flushed: they never decrease.
    #[must_use]
    pub fn stored(&self) -> Recorded {
        self.amounting_to(self.stored)
    }

    fn amounting_to(&self, amount: Amount) -> Recorded {
        Recorded {
            records: amount.records,
            requests: (!self.target.format().takes_frames()).then_some(amount.requests),
            bytes: amount.bytes,
            left_out: self.encoder.left_out(),
            given_up: self.encoder.given_up(),
            saved: self.dashcam.as_ref().map(|dashcam| dashcam.saved.clone()),
            ..self.done.clone()
        }
    }

    /// Writes what still waits and ends the last file. Notices may come of it.
    pub fn finish(&mut self) -> Recorded {
        self.buffer.clear();
        let encoded = self.encoder.finish(&mut self.buffer);
        if encoded.records > 0 {
            let ready = self.ready(self.now);
            self.store(encoded, ready);
        }
        self.close();
        self.end_ring();
        self.recorded()
    }

    /// Makes sure that a file is open that a record of this time may go to; false where there can be none for now.
    fn ready(&mut self, at: Timestamp) -> bool {
        if self.is_old() {
            self.close();
        }
        let second = at.nanos() / 1_000_000_000;
        let known = self.stem.as_ref().is_some_and(|(of, _)| *of >= second || !self.target.is_pattern());
        // A file that ends by its age is named after its first record: a name to the second is no reason to end one.
        let known = known || (self.rotation.every.is_some() && self.open.is_some());
        if !known {
            let stem = self.target.stem(at);
            if self.stem.as_ref().is_none_or(|(_, before)| *before != stem) {
                self.close();
                self.number = 0;
            }
            self.stem = Some((second, stem));
        }
        if self.open.is_some() {
            return true;
        }
        if self.retry.is_some_and(|retry| at < retry) {
            return false;
        }
        self.open(at)
    }

    fn open(&mut self, at: Timestamp) -> bool {
        if let Some(dashcam) = &mut self.dashcam {
            match dashcam.take_folder(&mut *self.disk) {
                Ok(0) => {}
                Ok(left) => {
                    self.notice(format!("{left} files of a ring that an earlier run left behind were removed"));
                }
                Err(source) => {
                    let path = self.target.file(&self.target.stem(at), 0);
                    self.failed(&RecordError::Create { path, source });
                    return false;
                }
            }
        }
        let stem = self.stem.as_ref().map(|(_, stem)| stem.clone()).unwrap_or_default();
        match self.create(&stem, self.number) {
            Ok((path, sink)) => {
                self.open = Some(OpenFile {
                    path,
                    sink,
                    begun: at,
                    waiting: Amount::default(),
                    records: 0,
                    flushed: <_>::default(),
                    proven: false,
                });
                self.flushed = at;
                self.encoder.begin();
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// Makes the first file of that stem whose name is free, from this number on. Where the name has a place for the
    /// number, the first one goes behind those that are there: numbers of files that were removed do not come again.
    fn create(&mut self, stem: &str, from: u32) -> Result<(PathBuf, Sink), RecordError> {
        if self.append {
            return self.append(stem);
        }
        let (path, sink, number) = create(&mut *self.disk, &self.target, stem, from)?;
        self.number = number + 1;
        Ok((path, sink))
    }

    /// Opens the file of that stem behind what is in it.
    fn append(&mut self, stem: &str) -> Result<(PathBuf, Sink), RecordError> {
        let path = self.target.file(stem, self.number);
        let (compression, end) = (self.target.compression(), self.target.format().end_of_record());
        let opened = self.disk.append(&path, Layout { compression, end });
        self.keep = opened.as_ref().is_ok_and(|opened| opened.was_there);
        let Appended { to, mended, .. } = match opened {
            Ok(opened) => opened,
            Err(source) if path.exists() => return Err(RecordError::Append { path, source }),
            Err(source) => return Err(RecordError::Create { path, source }),
        };
        if let Some(mended) = mended {
            self.notice(format!("{}: {mended}", path.display()));
        }
        let sink = Sink::new(to, compression);
        sink.map(|sink| (path.clone(), sink)).map_err(|source| RecordError::Create { path, source })
    }

    /// Writes the buffer to the open file, or counts it as lost.
    fn store(&mut self, encoded: Encoded, ready: bool) {
        let bytes = self.buffer.len() as u64;
        let Some(open) = self.open.as_mut().filter(|_| ready) else {
            self.done.lost_records += encoded.records;
            self.done.lost_bytes += bytes;
            return;
        };
        open.waiting += Amount { records: encoded.records, requests: encoded.requests, bytes };
        open.records += encoded.records;
        let written = open.sink.write(&self.buffer);
        if let Err(source) = written {
            self.give_up(source);
            return;
        }
        // After a failure the first record shows at once whether the disk works again.
        if self.retry.is_some() {
            self.flush();
        }
        self.flush_if_due();
        if self.is_full() {
            self.close();
        }
    }

    /// Returns whether the open file is as large, or has as many records, as one may have.
    fn is_full(&self) -> bool {
        let Rotation { size, records, .. } = self.rotation;
        self.open.as_ref().is_some_and(|open| {
            size.is_some_and(|size| open.sink.stored() >= size) || records.is_some_and(|most| open.records >= most)
        })
    }

    /// Returns whether a record of now would go to a file of another name: then the open file gets no more records.
    fn has_another_name(&self) -> bool {
        let stem = self.stem.as_ref().map(|(_, stem)| stem);
        let by_name = self.target.is_pattern() && self.rotation.every.is_none() && self.open.is_some();
        by_name && stem.is_some_and(|stem| *stem != self.target.stem(self.now))
    }

    fn is_old(&self) -> bool {
        let every = self.rotation.every;
        self.open.as_ref().is_some_and(|open| every.is_some_and(|every| self.now.since(open.begun) >= every))
    }

    fn flush_if_due(&mut self) {
        let due = self.now.since(self.flushed) >= FLUSH_EVERY;
        if due && self.open.as_ref().is_some_and(|open| open.waiting.records > 0) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.flushed = self.now;
        let Some(open) = &mut self.open else { return };
        match open.sink.flush() {
            Ok(()) => self.proven(),
            Err(source) => self.give_up(source),
        }
    }

    /// Counts the waiting records as stored: they have reached the system.
    fn proven(&mut self) {
        let Some(open) = &mut self.open else { return };
        let amount = std::mem::take(&mut open.waiting);
        open.flushed.0 += amount;
        (open.flushed.1, open.flushed.2) = (self.now, open.sink.stored());
        self.stored += amount;
        if !std::mem::replace(&mut open.proven, true) {
            self.done.files += 1;
            self.done.last = Some(open.path.clone());
        }
        if self.retry.take().is_some() {
            let lost = self.done.lost_records;
            let path = open.path.display().to_string();
            self.notice(format!("recording goes on in {path}; {lost} records were lost so far"));
        }
    }

    /// Ends the open file.
    fn close(&mut self) {
        self.flush();
        let Some(open) = self.open.take() else { return };
        self.keep_segment(&open);
        if let Err(source) = open.sink.finish() {
            // What was flushed stands; only the end of the compressed stream is missing.
            self.done.unfinished += 1;
            self.failed(&RecordError::Write { path: open.path, source });
        }
    }

    /// The open file cannot be written to: what waited is lost, and a new one is tried later. Nobody knows how much of
    /// what waited has reached it, so nothing is ever appended to it.
    fn give_up(&mut self, source: std::io::Error) {
        let Some(open) = self.open.take() else { return };
        // What was flushed before stands.
        self.keep_segment(&open);
        open.sink.abandon();
        self.done.lost_records += open.waiting.records;
        self.done.lost_bytes += open.waiting.bytes;
        if !open.proven && !self.is_kept() {
            // Else every attempt would leave an empty file behind.
            self.disk.remove(&open.path);
            self.number = self.number.saturating_sub(1);
        }
        self.failed(&RecordError::Write { path: open.path, source });
    }

    /// Returns whether the file that was opened last is not this recorder's own: it had something in it before, or is
    /// standard output.
    fn is_kept(&self) -> bool {
        self.keep || self.target.is_standard_output()
    }

    /// Notes a failure: one notice until it is over.
    fn failed(&mut self, error: &RecordError) {
        let freed = self.dashcam.as_mut().map_or(0, |dashcam| dashcam.make_room(&mut *self.disk));
        if freed > 0 {
            let error = say_with_help(error);
            self.notice(format!("{error}. The oldest {freed} pieces of the ring made way"));
            self.retry = Some(self.now);
            return;
        }
        if self.retry.is_none() {
            let seconds = RETRY_EVERY.as_secs();
            let error = say_with_help(error);
            self.notice(format!("{error}. What comes is counted as lost; a new file is tried every {seconds} s"));
        }
        self.retry = Some(self.now.plus(RETRY_EVERY));
    }

    fn other_link_type(&mut self, frame: &Frame<'_>) {
        if self.encoder.left_out().values().sum::<u64>() == 1 {
            let link = frame.link.0;
            self.notice(format!(
                "frames of link type {link} are left out of {}: a pcap file has one link type; record to a name that \
                 ends in .pcapng to have all",
                self.target
            ));
        }
    }

    fn notice(&mut self, words: String) {
        if self.notices.len() < MAX_NOTICES {
            self.notices.push(words);
        }
    }
}

/// Makes the first file of that stem whose name is free, from this number on; returns its number, too. Where the name has a
/// place for the number, the first one goes behind those that are there: numbers of files that were removed do not come
/// again.
fn create(
    disk: &mut dyn Disk,
    target: &OutputPath,
    stem: &str,
    from: u32,
) -> Result<(PathBuf, Sink, u32), RecordError> {
    let numbered = target.around_number(stem).filter(|_| from == 0);
    let from = numbered.map_or(from, |(before, after)| disk.next_number(&before, &after));
    for number in from..=MAX_NUMBER {
        let path = target.file(stem, number);
        let made = disk.create(&path).and_then(|file| Sink::new(file, target.compression()));
        match made {
            Ok(sink) => return Ok((path, sink, number)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(RecordError::Create { path, source }),
        }
    }
    Err(RecordError::Taken { path: target.file(stem, 0) })
}
