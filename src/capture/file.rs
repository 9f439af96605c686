//! Capture files: which format by content, then record after record; a broken end is told, not fatal.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;

use arrayvec::ArrayVec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::classic::Classic;
use super::input::{Input, size_of};
use super::pcapng::Pcapng;
use super::{CaptureError, Dropped, FEW, Few, Frame, Halt, LinkType, Source, is_standard_input};
use crate::exchange::Timestamp;

/// Longest frame that is read, in bytes. A record that claims more cannot be real (the largest segmentation
/// offload is 512 KiB): what follows it cannot be found, so the file ends there, said aloud.
pub(super) const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Something to read that may keep one waiting: waits in steps, and looks in between whether to go on. Told to halt,
/// it ends as if there were no more.
struct Patient<R> {
    from: R,
    halt: Halt,
}

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let step = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        while !self.halt.is_set() {
            let mut ready = [PollFd::new(&self.from, PollFlags::IN)];
            match poll(&mut ready, Some(&step)) {
                Ok(0) | Err(Errno::INTR) => {}
                // What cannot be polled is read: the read says what is wrong with it.
                Ok(_) | Err(_) => return self.from.read(into),
            }
        }
        Ok(0)
    }
}

/// What the decompressor says of bytes after a whole member that do not begin another one (RFC 1952, 2.2).
const NOT_GZIP: &str = "invalid gzip header";

/// What capture files begin with, read in little-endian order: pcap of each kind and byte order, and pcapng.
const MAGIC: [u32; 7] = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34, 0xd4c3_b2a1, 0x4d3c_b2a1, 0x34cd_b2a1, 0x0a0d_0d0a];

/// A record found in the input window.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) link: LinkType,
    pub(super) wire_len: u32,
    /// The frame's bytes, from the start of the window.
    pub(super) data: Range<usize>,
    /// Bytes of the whole record.
    pub(super) len: usize,
}

/// What a format reader found next.
pub(super) enum Next {
    Record(Record),
    End,
    /// The file ends inside a record or block.
    Cut {
        want: usize,
        have: usize,
    },
    /// A record or block whose length cannot be right.
    Unreadable {
        claims: u64,
    },
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

/// Something to read, whatever is in it.
pub(crate) struct Opened {
    /// Its name for people.
    pub(crate) name: String,
    /// Its bytes, decompressed.
    pub(crate) input: Input,
    /// Stored size in bytes, where known.
    pub(crate) size: Option<u64>,
}

impl Opened {
    /// Opens a file, or standard input where it is `-`. Where it waits for bytes, `halt` ends it.
    pub(crate) fn open(file: &Path, halt: &Halt) -> Result<Self, CaptureError> {
        if is_standard_input(file) {
            let stdin = Patient { from: io::stdin(), halt: halt.clone() };
            return Self::read("standard input", Box::new(stdin), None);
        }
        let opened = File::open(file).map_err(|source| CaptureError::Open { file: file.to_owned(), source })?;
        if opened.metadata().is_ok_and(|meta| meta.is_dir()) {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(CaptureError::Open { file: file.to_owned(), source });
        }
        let size = size_of(&opened);
        let name = file.display().to_string();
        match size {
            Some(_) => Self::read(&name, Box::new(opened), size),
            None => Self::read(&name, Box::new(Patient { from: opened, halt: halt.clone() }), None),
        }
    }

    /// Reads from anything.
    pub(crate) fn read(name: &str, from: Box<dyn Read + Send>, size: Option<u64>) -> Result<Self, CaptureError> {
        let input = Input::new(from).map_err(|source| CaptureError::Read { file: name.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), input, size })
    }

    /// How far it was read, from 0 to 1.
    pub(crate) fn progress(input: &Input, size: Option<u64>) -> Option<f64> {
        let size = size?;
        Some(if size == 0 { 1.0 } else { (input.stored_bytes() as f64 / size as f64).min(1.0) })
    }
}

/// A capture file or stream: pcap or pcapng, plain, gzip or zstd.
pub struct FileSource {
    name: String,
    input: Input,
    format: Format,
    current: Option<Record>,
    /// Stored size in bytes, where known.
    size: Option<u64>,
    frames: u64,
    trouble: Option<String>,
    ended: bool,
}

impl FileSource {
    /// Opens a file, or standard input where it is `-`. Where it waits for bytes, `halt` ends it.
    pub fn open(file: &Path, halt: &Halt) -> Result<Self, CaptureError> {
        Self::of(Opened::open(file, halt)?)
    }

    /// A capture that is in memory already, for example one built into the program.
    pub fn from_bytes(name: &str, bytes: &'static [u8]) -> Result<Self, CaptureError> {
        Self::read(name, Box::new(bytes), Some(bytes.len() as u64))
    }

    /// Reads a capture from anything; `size` is its stored size in bytes, where known, for progress.
    pub fn read(name: &str, from: Box<dyn Read + Send>, size: Option<u64>) -> Result<Self, CaptureError> {
        Self::of(Opened::read(name, from, size)?)
    }

    /// The capture in what was opened.
    pub(crate) fn of(opened: Opened) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Read { file: opened.name.clone(), source };
        let mut input = opened.input;
        let format = if let Some(classic) = Classic::open(&mut input).map_err(failed)? {
            Format::Classic(classic)
        } else if let Some(pcapng) = Pcapng::open(&mut input).map_err(failed)? {
            Format::Pcapng(pcapng)
        } else {
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
        let (name, size) = (opened.name, opened.size);
        Ok(Self { name, input, format, current: None, size, frames: 0, trouble: None, ended: false })
    }

    /// The link type that the file header states; `None` in pcapng, where each interface has its own.
    #[must_use]
    pub const fn link(&self) -> Option<LinkType> {
        match &self.format {
            Format::Classic(classic) => Some(classic.link()),
            Format::Pcapng(_) => None,
        }
    }

    /// Moves to the next frame; false at the end.
    pub(super) fn advance(&mut self) -> bool {
        self.pass();
        if self.ended {
            return false;
        }
        let next = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.input),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.input),
        };
        match next {
            Ok(Next::Record(record)) => {
                self.frames += 1;
                self.current = Some(record);
                return true;
            }
            Ok(Next::End) => {}
            Ok(Next::Cut { want, have }) => {
                self.tell(&format!("ends inside a record ({have} of {want} bytes are there)"));
            }
            Ok(Next::Unreadable { claims }) => {
                self.tell(&format!("has a record that claims {claims} bytes, which cannot be right"));
            }
            Err(error) if error.to_string() == NOT_GZIP => {
                self.tell("goes on after its end with bytes that are not gzip, which were not read,");
            }
            Err(error) => self.tell(&format!("cannot be read on: {error}")),
        }
        self.ended = true;
        false
    }

    /// Leaves the current frame behind.
    fn pass(&mut self) {
        if let Some(last) = self.current.take() {
            self.input.consume(last.len);
        }
    }

    /// Whether the next frame is in the window, after the current one was left behind.
    fn is_there(&self) -> bool {
        match &self.format {
            Format::Classic(classic) => classic.is_whole(self.input.available()),
            Format::Pcapng(pcapng) => pcapng.is_whole(self.input.available()),
        }
    }

    /// The frame that [`FileSource::advance`] moved to.
    pub(super) fn frame(&self) -> Option<Frame<'_>> {
        let record = self.current.as_ref()?;
        let data = self.input.available().get(record.data.clone()).unwrap_or_default();
        Some(Frame { at: record.at, link: record.link, wire_len: record.wire_len, data })
    }

    /// When the current frame was captured.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|record| record.at)
    }

    fn tell(&mut self, what: &str) {
        let used = match self.frames {
            1 => "the frame before it was used".to_owned(),
            frames => format!("the {frames} frames before it were used"),
        };
        self.trouble = Some(format!("{} {what} at byte {}; {used}", self.name, self.input.offset()));
    }
}

impl Source for FileSource {
    fn next(&mut self) -> Option<Frame<'_>> {
        if self.advance() { self.frame() } else { None }
    }

    fn next_few(&mut self) -> Few<'_> {
        // Nothing is read while there are some, so that their places in the buffer hold.
        let mut records = ArrayVec::<Record, FEW>::new();
        while self.advance()
            && let Some(Record { data, .. }) = &self.current
        {
            let position = self.input.position();
            let data = position + data.start..position + data.end;
            records.extend(self.current.clone().map(|record| Record { data, ..record }));
            self.pass();
            if records.is_full() || !self.is_there() {
                break;
            }
        }
        let frame =
            |Record { at, link, wire_len, data, .. }| Frame { at, link, wire_len, data: self.input.stretch(data) };
        records.into_iter().map(frame).collect()
    }

    fn trouble(&self) -> Vec<String> {
        self.trouble.clone().into_iter().collect()
    }

    fn dropped(&self) -> Dropped {
        match &self.format {
            Format::Classic(_) => Dropped::default(),
            Format::Pcapng(pcapng) => pcapng.dropped(),
        }
    }

    fn progress(&self) -> Option<f64> {
        Opened::progress(&self.input, self.size)
    }
}
