//! Files that are read whole, each through a limit.
//!
//! The limit holds while reading: what a file says of its size is not asked, for devices and pipes say nothing, and files
//! grow.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Bytes that are asked for at once.
const PIECE: usize = 64 * 1024;

/// Longest time that somebody may take to begin to write into a pipe.
const PIPE_SECONDS: i64 = 5;

/// Byte order mark that some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Error of reading a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system says so.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// There is more of it.
    #[error("has more than {}, the limit of {what}: name the right file, or split it", Size(*limit))]
    TooLarge {
        /// Noun for the expected content, with its article.
        what: &'static str,
        /// Bytes.
        limit: usize,
    },
    /// It is no UTF-8.
    #[error("is no text in UTF-8 (at byte {at}): name the right file, or convert it")]
    NotText {
        /// The first byte that is none, from 0.
        at: usize,
    },
}

impl ReadError {
    /// Returns the error of the system behind it, or one that says the same.
    #[must_use]
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            Self::TooLarge { .. } => io::Error::new(io::ErrorKind::FileTooLarge, self),
            Self::NotText { .. } => io::Error::new(io::ErrorKind::InvalidData, self),
        }
    }
}

/// A size as it is written in flags.
struct Size(usize);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// Reads the file at `path`, which is `what`, of at most `limit` bytes.
///
/// # Errors
///
/// Where it cannot be read, or is longer than the limit.
pub fn read(path: &Path, what: &'static str, limit: usize) -> Result<Vec<u8>, ReadError> {
    rest(open(path)?, what, limit)
}

/// Opens a file to be read. Behind a pipe there has to be somebody who writes: else the open itself would wait for ever.
///
/// # Errors
///
/// Where it cannot be opened, or is a pipe into which nobody writes.
pub fn open(path: &Path) -> io::Result<File> {
    if !path.metadata()?.file_type().is_fifo() {
        return File::open(path);
    }
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let time = Timespec { tv_sec: PIPE_SECONDS, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&time))? == 0 {
        let why = format!("it is a pipe, and nobody wrote into it for {PIPE_SECONDS} s");
        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
    }
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Reads the file at `path` as text, without the byte order mark that editors on Windows put first.
///
/// # Errors
///
/// Where it cannot be read, is longer than the limit, or is no UTF-8.
pub fn read_text(path: &Path, what: &'static str, limit: usize) -> Result<String, ReadError> {
    let mut text = String::from_utf8(read(path, what, limit)?)
        .map_err(|error| ReadError::NotText { at: error.utf8_error().valid_up_to() })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}

/// Reads what is left of `from`.
///
/// # Errors
///
/// Where it cannot be read, or is longer than the limit.
pub fn rest(mut from: impl Read, what: &'static str, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    loop {
        // One byte more than may be there shows that there is more.
        let left = limit.saturating_add(1).saturating_sub(bytes.len()).min(PIECE);
        let read = from.by_ref().take(left as u64).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(ReadError::TooLarge { what, limit });
        }
        if read == 0 {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_pipe_is_read_once_somebody_writes_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "a,b\n").unwrap()
        });
        assert_eq!(read(&path, "a list", 100).unwrap(), b"a,b\n");
        writer.join().unwrap();
    }

    #[test]
    fn a_file_may_be_as_long_as_the_limit_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for len in [0, 1, 99, 100, 101, 200_000] {
            std::fs::write(&path, vec![b'a'; len]).unwrap();
            match read(&path, "a list", 100) {
                Ok(bytes) => assert!(bytes.len() == len && len <= 100),
                Err(error) => {
                    let told = "has more than 100 bytes, the limit of a list: name the right file, or split it";
                    assert!(error.to_string() == told && len > 100, "{len}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_device_without_an_end_is_left_at_the_limit() {
        for limit in [1, 4 << 20] {
            assert!(matches!(read("/dev/zero".as_ref(), "a list", limit), Err(ReadError::TooLarge { .. })));
        }
    }

    #[test]
    fn a_pipe_is_read_to_its_end_or_to_the_limit() {
        for (len, fits) in [(70_000, true), (100_001, false)] {
            let (from, mut to) = io::pipe().unwrap();
            // What nobody reads any more cannot be written.
            let writer = std::thread::spawn(move || to.write_all(&vec![b'a'; len]).is_ok());
            let read = rest(from, "a list", 100_000);
            assert_eq!(read.map(|bytes| bytes.len()).ok(), fits.then_some(len));
            writer.join().unwrap();
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (bytes, text) in [("\u{feff}GET /a", "GET /a"), ("\u{feff}", ""), ("a\u{feff}", "a\u{feff}"), ("", "")] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read_text(&path, "a list", 100).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"ab\xffc").unwrap();
        assert!(read_text(&path, "a list", 100).unwrap_err().to_string().contains("at byte 2"));
        let none = read_text(&folder.path().join("none"), "a list", 1).unwrap_err();
        assert_eq!(crate::causes::causes(&none), "cannot be read: No such file or directory (os error 2)");
    }
}
