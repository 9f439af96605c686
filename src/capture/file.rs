//! Capture files. The format is found by content, then record after record is read. A damaged place or a cut end is a
//! warning, not an error.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use arrayvec::ArrayVec;

use super::input::Input;
use super::opened_input::OpenedInput;
use super::pcap_file::PcapReader;
use super::pcapng::PcapngReader;
use super::records::{LocatedRecord, MAGIC, NextRecord};
use super::{Batch, CaptureError, Dropped, FEW, Frame, FramePosition, Halt, LinkType, Source};
use crate::exchange::Timestamp;

/// Error of the decompressor for bytes after a whole member that do not begin another one (RFC 1952, 2.2).
const NOT_GZIP: &str = "invalid gzip header";

enum FileFormat {
    Classic(PcapReader),
    Pcapng(PcapngReader),
}

impl FileFormat {
    /// The format that the input begins with, its header read.
    fn open(input: &mut Input) -> io::Result<Option<Self>> {
        if let Some(classic) = PcapReader::open(input)? {
            return Ok(Some(Self::Classic(classic)));
        }
        Ok(PcapngReader::open(input)?.map(Self::Pcapng))
    }

    /// The next record, where all of it is `available` and nothing about it is odd: then nothing has to be read for it.
    #[inline]
    fn plain(&mut self, available: &[u8]) -> Option<LocatedRecord> {
        match self {
            Self::Classic(classic) => classic.plain(available),
            Self::Pcapng(pcapng) => pcapng.plain(available),
        }
    }

    fn dropped(&self) -> Dropped {
        match self {
            Self::Classic(_) => Dropped::default(),
            Self::Pcapng(pcapng) => pcapng.dropped(),
        }
    }
}

/// Places of a file that could not be read and were passed over.
#[derive(Debug, Default)]
struct PassedOver {
    places: u64,
    bytes: u64,
    /// Offset of the first one, in bytes.
    first: u64,
}

/// A capture file or stream: pcap or pcapng, plain, gzip or zstd.
pub struct FileSource {
    name: String,
    input: Input,
    format: FileFormat,
    current: Option<LocatedRecord>,
    /// Stored size in bytes, where known.
    size: Option<u64>,
    path: Option<PathBuf>,
    halt: Halt,
    frames: u64,
    /// Losses of earlier files in the same input.
    dropped: Dropped,
    passed_over: PassedOver,
    /// Reason why it could not be read to its end.
    unread: Option<String>,
    ended: bool,
}

impl FileSource {
    /// Opens a file, or standard input where it is `-`. Where it waits for bytes, `halt` ends it.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened or read, or is no capture.
    pub fn open(file: &Path, halt: &Halt) -> Result<Self, CaptureError> {
        Self::of(OpenedInput::one_of(file, 1, halt)?)
    }

    /// A capture that is in memory already, for example one built into the program.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened or read, or is no capture.
    pub fn from_bytes(name: &str, bytes: &'static [u8]) -> Result<Self, CaptureError> {
        Self::read(name, Box::new(bytes), Some(bytes.len() as u64))
    }

    /// Reads a capture from anything; `size` is its stored size in bytes, where known, for progress.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened or read, or is no capture.
    pub fn read(name: &str, from: Box<dyn Read + Send>, size: Option<u64>) -> Result<Self, CaptureError> {
        Self::of(OpenedInput::read(name, from, size)?)
    }

    /// The capture in what was opened.
    pub(crate) fn of(opened: OpenedInput) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Read { file: opened.name.clone(), source };
        let mut input = opened.input;
        let Some(format) = FileFormat::open(&mut input).map_err(failed)? else {
            let begin: Vec<String> = input.available().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let magic = input.available().first_chunk().map(|magic| u32::from_le_bytes(*magic));
            let file = opened.name;
            return Err(if begin.is_empty() {
                CaptureError::Empty { file }
            } else if magic.is_some_and(|magic| MAGIC.contains(&magic)) {
                CaptureError::Short { file }
            } else {
                CaptureError::NotACapture { file, begin: begin.join(" ") }
            });
        };
        let OpenedInput { name, size, path, halt, .. } = opened;
        let (current, frames, dropped, passed_over, unread, ended) = Default::default();
        Ok(Self { name, input, format, current, size, path, halt, frames, dropped, passed_over, unread, ended })
    }

    /// Returns whether the input is a pipe or the like.
    pub(super) const fn is_piped(&self) -> bool {
        self.size.is_none()
    }

    /// Returns the halt that ends it early.
    pub(super) const fn halt(&self) -> &Halt {
        &self.halt
    }

    /// Returns the path to open it again, from its beginning.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The link type that the file header states; `None` in pcapng, where each interface has its own.
    #[must_use]
    pub const fn link(&self) -> Option<LinkType> {
        match &self.format {
            FileFormat::Classic(classic) => Some(classic.link()),
            FileFormat::Pcapng(_) => None,
        }
    }

    /// Moves to the next frame; false at the end.
    #[inline]
    pub(super) fn advance(&mut self) -> bool {
        self.pass();
        !self.ended && (self.advance_in_window() || self.advance_slowly())
    }

    /// Moves to the next frame, after the current one was left behind, where that is plain and in the window: what was passed
    /// before stays where it is then. False, and nothing was done, where it is not.
    #[inline]
    fn advance_in_window(&mut self) -> bool {
        self.current = self.format.plain(self.input.available());
        self.frames += u64::from(self.current.is_some());
        self.current.is_some()
    }

    /// The same where there is more to it: the window has to move on, or something is odd.
    fn advance_slowly(&mut self) -> bool {
        let piped = self.is_piped();
        loop {
            let at = self.input.offset();
            let next = match &mut self.format {
                FileFormat::Classic(classic) => classic.next(&mut self.input, piped),
                FileFormat::Pcapng(pcapng) => pcapng.next(&mut self.input, piped),
            };
            match next {
                Ok(NextRecord::Record(record)) => {
                    self.frames += 1;
                    self.current = Some(record);
                    return true;
                }
                Ok(NextRecord::Passed { bytes }) => {
                    let PassedOver { places, bytes: sum, first } = &mut self.passed_over;
                    *first = if *places == 0 { at } else { *first };
                    (*places, *sum) = (*places + 1, *sum + bytes);
                    continue;
                }
                Ok(NextRecord::Another) if self.is_another() => continue,
                Ok(NextRecord::Another) => self.warn("ends inside the header of another capture", at),
                Ok(NextRecord::End) => {}
                Ok(NextRecord::Cut { want, have }) => {
                    self.warn(&format!("ends inside a record ({have} of {want} bytes are there)"), at);
                }
                Ok(NextRecord::Unreadable { claims }) => {
                    self.warn(&format!("has a record that claims {claims} bytes, which cannot be right"), at);
                }
                Err(error) if error.to_string() == NOT_GZIP => {
                    self.warn("goes on after its end with bytes that are not gzip, which were not read,", at);
                }
                Err(error) => self.warn(&format!("cannot be read on: {error}"), at),
            }
            self.ended = true;
            return false;
        }
    }

    /// Moves into the capture that begins here.
    fn is_another(&mut self) -> bool {
        let dropped = self.format.dropped();
        match FileFormat::open(&mut self.input) {
            Ok(Some(format)) => {
                self.dropped = self.dropped.plus(dropped);
                self.format = format;
                true
            }
            _ => false,
        }
    }

    /// Leaves the current frame behind.
    fn pass(&mut self) {
        if let Some(last) = self.current.take() {
            self.input.consume(last.len);
        }
    }

    /// The frame that [`FileSource::advance`] moved to.
    pub(super) fn frame(&self) -> Option<Frame<'_>> {
        let record = self.current.as_ref()?;
        let data = self.input.available().get(record.data.clone()).unwrap_or_default();
        Some(Frame { at: record.at, link: record.link, wire_len: record.wire_len, data })
    }

    /// Returns the capture time of the current frame.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|record| record.at)
    }

    /// Takes note that it could not be read to its end, which is not so where it was halted.
    fn warn(&mut self, what: &str, at: u64) {
        if self.halt.is_set() {
            return;
        }
        let used = match self.frames {
            1 => "the frame before it was used".to_owned(),
            frames => format!("the {frames} frames before it were used"),
        };
        self.unread = Some(format!("{} {what} at byte {at}; {used}", self.name));
    }

    /// Returns the warning about places that were passed over.
    fn damage(&self) -> Option<String> {
        let PassedOver { places, bytes, first } = self.passed_over;
        let bytes = if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
        let name = &self.name;
        match places {
            0 => None,
            1 => {
                Some(format!("{name} is damaged at byte {first}: {bytes} were passed over, and what follows was read"))
            }
            _ => Some(format!(
                "{name} is damaged in {places} places, the first at byte {first}: {bytes} were passed over, and what \
                 follows was read"
            )),
        }
    }
}

impl Source for FileSource {
    fn next(&mut self) -> Option<Frame<'_>> {
        if self.advance() { self.frame() } else { None }
    }

    fn next_batch(&mut self) -> Batch<'_> {
        // Nothing is read while there are some, so that their places in the buffer hold.
        let mut records = ArrayVec::<LocatedRecord, FEW>::new();
        let mut there = self.advance();
        while there && let Some(record) = self.current.take() {
            let position = self.input.position();
            let data = position + record.data.start..position + record.data.end;
            self.input.consume(record.len);
            records.push(LocatedRecord { data, ..record });
            there = !records.is_full() && self.advance_in_window();
        }
        let frame = |LocatedRecord { at, link, wire_len, data, .. }| Frame {
            at,
            link,
            wire_len,
            data: self.input.stretch(data),
        };
        records.into_iter().map(frame).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.damage().into_iter().chain(self.unread.clone()).collect()
    }

    fn unread(&self) -> Vec<String> {
        self.unread.clone().into_iter().collect()
    }

    fn waits(&self) -> bool {
        if !self.is_piped() || self.ended {
            return false;
        }
        let passed = self.current.as_ref().map_or(0, |current| current.len);
        let rest = self.input.available().get(passed..).unwrap_or_default();
        !match &self.format {
            FileFormat::Classic(classic) => classic.is_whole(rest),
            FileFormat::Pcapng(pcapng) => pcapng.is_whole(rest),
        }
    }

    fn position(&self) -> Option<FramePosition<'_>> {
        Some(FramePosition { file: &self.name, frame: self.frames })
    }

    fn dropped(&self) -> Dropped {
        self.dropped.plus(self.format.dropped())
    }

    fn progress(&self) -> Option<f64> {
        OpenedInput::progress(&self.input, self.size)
    }
}
