//! Going on in a file that is there: what was cut short at its end takes nothing of what follows with it.
//!
//! A reader of a compressed file stops where a member (gzip) or frame (zstd) has no end: what is written behind that can
//! be read by nobody. So a file that was cut is copied up to there, what can be read of the rest is compressed anew, and
//! the copy takes its place. A file that is damaged otherwise is refused, and stays as it is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use memchr::memmem;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::output_path::Compression;
use super::sink::Sink;
use crate::files::{self, FileMode};

/// Bytes that are read and decompressed at once.
const CHUNK: usize = 4 * 1024;

/// A file that was opened to be gone on in.
pub(super) struct Appended<W> {
    pub(super) to: W,
    /// True where it had something in it before.
    pub(super) was_there: bool,
    /// What was cut at its end, in words.
    pub(super) mended: Option<String>,
}

/// A file of which everything up to a length is known to be whole, so that it is not read again.
#[derive(Debug)]
pub(super) struct KnownWhole {
    file: (u64, u64),
    len: u64,
}

/// What the records of a file are made of.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) compression: Compression,
    /// What each record ends with.
    pub(super) end: &'static [u8],
}

/// Opens a file behind what is in it, or makes it. What was cut at its end is mended first.
pub(super) fn append(
    path: &Path,
    mode: FileMode,
    layout: Layout,
    known: &mut Option<KnownWhole>,
) -> io::Result<Appended<File>> {
    let (file, was_there) = files::append(path, mode)?;
    if !was_there {
        lock(&file).ok();
        return Ok(Appended { to: file, was_there, mended: None });
    }
    if layout.compression == Compression::None {
        let mended = mend_plain(&file, layout.end)?;
        return Ok(Appended { to: file, was_there, mended: mended.map(str::to_owned) });
    }
    // A run that still writes to it has not ended its member yet.
    lock(&file)?;
    let (file, mended) = mend_packed(path, file, layout, known.take())?;
    let meta = file.metadata()?;
    *known = Some(KnownWhole { file: (meta.dev(), meta.ino()), len: meta.len() });
    Ok(Appended { to: file, was_there, mended })
}

/// Keeps other runs from appending to a file for as long as it is open, where its file system can.
pub(super) fn lock(file: &File) -> io::Result<()> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(io::Error::new(io::ErrorKind::ResourceBusy, "another run writes to it")),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Ends the last record of a file that is not compressed.
fn mend_plain(mut file: &File, end: &'static [u8]) -> io::Result<Option<&'static str>> {
    let len = file.metadata()?.len();
    let mut begin = [0; 4];
    if len >= 4 {
        file.read_exact_at(&mut begin, 0)?;
    }
    if matches!(begin, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd]) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is compressed, which its name does not say"));
    }
    // Twice its length shows whether a part of it belongs to the record before.
    let mut last = vec![0; (2 * end.len()).min(usize::try_from(len).unwrap_or(usize::MAX))];
    let from = len - last.len() as u64;
    file.read_exact_at(&mut last, from)?;
    let mut records = RecordEnd::new(end);
    records.push(&last);
    if records.torn == 0 {
        return Ok(None);
    }
    file.write_all(records.missing())?;
    Ok(Some("its last record is cut, as what wrote it was stopped; new ones follow behind it"))
}

/// Makes a compressed file one that ends with a whole record and its compression.
fn mend_packed(
    path: &Path,
    file: File,
    layout: Layout,
    known: Option<KnownWhole>,
) -> io::Result<(File, Option<String>)> {
    let meta = file.metadata()?;
    let known = known.filter(|known| known.file == (meta.dev(), meta.ino()) && known.len <= meta.len());
    let from = known.map_or(0, |known| known.len);
    let found = match look_through(&file, from, layout) {
        // As if another file had its number now.
        Err(_) if from > 0 => look_through(&file, 0, layout)?,
        found => found?,
    };
    let Found { whole, readable, records } = found;
    let torn = match records.torn {
        0 => String::new(),
        torn => format!("; its last record is cut ({torn} bytes of it are there)"),
    };
    let Some(readable) = readable else {
        if records.torn == 0 {
            return Ok((file, None));
        }
        let mut sink = Sink::new(Box::new(file.try_clone()?), layout.compression)?;
        sink.write(records.missing())?;
        sink.finish()?;
        return Ok((file, Some(format!("what wrote it was stopped{torn}, and new ones follow behind it"))));
    };
    let mended = files::exchange(path, &file, |to| {
        lock(to)?;
        (&file).seek(SeekFrom::Start(0))?;
        io::copy(&mut (&file).take(whole), to)?;
        let mut sink = Sink::new(Box::new(to.try_clone()?), layout.compression)?;
        members(&file, whole, layout.compression, |bytes| sink.write(bytes))?;
        sink.write(records.missing())?;
        sink.finish().map(drop)
    })?;
    let words = format!(
        "it ended inside its compression, as what wrote it was stopped: all that can be read is kept ({readable} bytes of \
         records are compressed anew){torn}"
    );
    Ok((mended, Some(words)))
}

/// What is in a compressed file.
struct Found {
    /// Where its last whole member ends.
    whole: u64,
    /// Decompressed bytes of the member behind, where there is one that has no end.
    readable: Option<u64>,
    records: RecordEnd,
}

/// Reads a compressed file from where a member begins and a record has ended.
fn look_through(file: &File, from: u64, layout: Layout) -> io::Result<Found> {
    let mut records = RecordEnd::new(layout.end);
    let (whole, readable) = members(file, from, layout.compression, |bytes| {
        records.push(bytes);
        Ok(())
    })?;
    Ok(Found { whole, readable, records })
}

/// Decompresses members from here to the end of a file. Returns where the last whole one ends, and how many bytes the cut one
/// behind it has, where there is one.
fn members(
    mut file: &File,
    from: u64,
    compression: Compression,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, Option<u64>)> {
    file.seek(SeekFrom::Start(from))?;
    let mut stored = Positioned { from: BufReader::with_capacity(CHUNK, file), at: from };
    let mut chunk = [0; CHUNK];
    while !stored.fill_buf()?.is_empty() {
        let (begin, mut bytes) = (stored.at, 0);
        let mut member: Box<dyn Read + '_> = match compression {
            Compression::None => return Ok((begin, None)),
            Compression::Gzip => Box::new(flate2::bufread::GzDecoder::new(&mut stored)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(&mut stored)?.single_frame()),
        };
        loop {
            match member.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => {
                    bytes += len as u64;
                    each(chunk.get(..len).unwrap_or_default())?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((begin, Some(bytes))),
                Err(error) => {
                    let why = format!("it cannot be read to its end ({error}), and nor could what follows");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
    }
    Ok((stored.at, None))
}

/// Bytes of a file, and where the next one is.
struct Positioned<R> {
    from: R,
    at: u64,
}

impl<R: BufRead> Read for Positioned<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Positioned<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.from.consume(bytes);
        self.at += bytes as u64;
    }
}

/// Finds whether records end where their bytes do.
struct RecordEnd {
    end: &'static [u8],
    /// The last bytes: too few for an end.
    last: Vec<u8>,
    /// Bytes since the last end.
    torn: u64,
}

impl RecordEnd {
    fn new(end: &'static [u8]) -> Self {
        Self { end, last: Vec::new(), torn: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(bytes);
        match memmem::rfind(&self.last, self.end) {
            Some(found) => self.torn = (self.last.len() - found - self.end.len()) as u64,
            None => self.torn += bytes.len() as u64,
        }
        let passed = self.last.len().saturating_sub(self.end.len().saturating_sub(1));
        self.last.drain(..passed);
    }

    /// What has to follow for the last record to be ended. An end that was cut is gone on with: else the record before it,
    /// which is whole, would have a part of it at its end. One byte alone may be the record's own.
    fn missing(&self) -> &'static [u8] {
        if self.torn == 0 {
            return b"";
        }
        let begun = (2..self.end.len()).rev().filter(|len| *len as u64 <= self.torn);
        let parts = begun.filter_map(|len| self.end.split_at_checked(len));
        parts.into_iter().find(|(there, _)| self.last.ends_with(there)).map_or(self.end, |(_, missing)| missing)
    }
}
