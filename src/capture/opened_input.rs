//! Something that was opened to be read, whatever is in it: a file, a pipe, standard input.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::input::{Input, size_of};
use super::{CaptureError, Halt, Settings, is_standard_input};

/// Reader that may block. It waits in steps and checks the halt in between. After the halt it ends as at the end of
/// input.
struct InterruptibleReader<R> {
    from: R,
    halt: Halt,
}

impl<R: Read + AsFd> Read for InterruptibleReader<R> {
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

/// Files that stay open while they are read. Of more each is opened for every piece that is read of it, so that no limit
/// on open files is reached, however many there are.
const MAX_OPEN: usize = 4;

/// A file that is open only while something is read of it.
struct ByName {
    path: PathBuf,
    position: u64,
    /// Device and number of the file, which another one by its name does not have.
    identity: (u64, u64),
}

impl Read for ByName {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut file = open_patiently(&self.path)?;
        let meta = file.metadata()?;
        if (meta.dev(), meta.ino()) != self.identity {
            return Err(io::Error::other("another file has taken its name since it was opened first"));
        }
        file.seek(SeekFrom::Start(self.position))?;
        let read = file.read(into)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Opens a file; where too many are open at the moment, connections among them, it waits for one to be closed.
fn open_patiently(path: &Path) -> io::Result<File> {
    const PAUSE: Duration = Duration::from_millis(10);
    const TRIES: u32 = 500;
    for _ in 0..TRIES {
        match File::open(path) {
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) => {
                thread::sleep(PAUSE);
            }
            opened => return opened,
        }
    }
    File::open(path)
}

/// Something to read, whatever is in it.
pub(crate) struct OpenedInput {
    /// Its name for people.
    pub(crate) name: String,
    /// Its bytes, decompressed.
    pub(crate) input: Input,
    /// Stored size in bytes, where known.
    pub(crate) size: Option<u64>,
    /// Path to open it again.
    pub(crate) path: Option<PathBuf>,
    /// Ends it early.
    pub(crate) halt: Halt,
}

impl OpenedInput {
    /// Opens a file of those that are asked for, or standard input where it is `-`. Where it waits for bytes, the halt
    /// ends it.
    pub(crate) fn open(file: &Path, settings: &Settings) -> Result<Self, CaptureError> {
        Self::one_of(file, settings.files.len(), &settings.halt)
    }

    /// Opens one of `count` files.
    pub(crate) fn one_of(file: &Path, count: usize, halt: &Halt) -> Result<Self, CaptureError> {
        if is_standard_input(file) {
            let stdin = InterruptibleReader { from: io::stdin(), halt: halt.clone() };
            return Self::read("standard input", Box::new(stdin), None).map(|opened| opened.halted_by(halt));
        }
        let failed = |source| CaptureError::Open { file: file.to_owned(), source };
        let opened = open_patiently(file).map_err(failed)?;
        let meta = opened.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let size = size_of(&opened);
        let name = file.display().to_string();
        let from: Box<dyn Read + Send> = match size {
            Some(_) if count > MAX_OPEN => {
                Box::new(ByName { path: file.to_owned(), position: 0, identity: (meta.dev(), meta.ino()) })
            }
            Some(_) => Box::new(opened),
            None => Box::new(InterruptibleReader { from: opened, halt: halt.clone() }),
        };
        let opened = Self::read(&name, from, size)?;
        Ok(Self { path: size.map(|_| file.to_owned()), ..opened.halted_by(halt) })
    }

    /// Reads from anything.
    pub(crate) fn read(name: &str, from: Box<dyn Read + Send>, size: Option<u64>) -> Result<Self, CaptureError> {
        let input = Input::new(from).map_err(|source| CaptureError::Read { file: name.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), input, size, path: None, halt: Halt::default() })
    }

    fn halted_by(self, halt: &Halt) -> Self {
        Self { halt: halt.clone(), ..self }
    }

    /// Returns the fraction that was read, from 0 to 1.
    pub(crate) fn progress(input: &Input, size: Option<u64>) -> Option<f64> {
        let size = size?;
        Some(if size == 0 { 1.0 } else { (input.stored_bytes() / size as f64).min(1.0) })
    }
}
