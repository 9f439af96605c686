//! A file that is being written: buffered, compressed, counted.

use std::io::{self, BufWriter, Write};

use flate2::write::GzEncoder;

use super::output_path::Compression;

/// Bytes that are collected before they are written: enough that the system call does not count, few enough that they
/// are still in the cache then.
const BUFFER: usize = 64 * 1024;
/// Level of zstd: a recording runs next to production, so this is the cheapest useful level.
const ZSTD_LEVEL: i32 = 1;

/// Counts what reaches the file.
pub(super) struct CountingWriter {
    to: Box<dyn Write + Send>,
    stored: u64,
}

impl Write for CountingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.stored += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A file that is being written.
pub(super) enum Sink {
    Plain(BufWriter<CountingWriter>),
    Gzip(GzEncoder<BufWriter<CountingWriter>>),
    Zstd(zstd::Encoder<'static, BufWriter<CountingWriter>>),
}

impl Sink {
    pub(super) fn new(to: Box<dyn Write + Send>, compression: Compression) -> io::Result<Self> {
        let to = BufWriter::with_capacity(BUFFER, CountingWriter { to, stored: 0 });
        Ok(match compression {
            Compression::None => Self::Plain(to),
            Compression::Gzip => Self::Gzip(GzEncoder::new(to, flate2::Compression::fast())),
            Compression::Zstd => Self::Zstd(zstd::Encoder::new(to, ZSTD_LEVEL)?),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.write_all(bytes),
            Self::Gzip(to) => to.write_all(bytes),
            Self::Zstd(to) => to.write_all(bytes),
        }
    }

    /// Hands everything to the system, compressed such that a reader gets all of it: what comes of a process that is
    /// killed now. (Not of a machine that loses power: that would need the disk to be waited for.)
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Gzip(to) => to.flush(),
            Self::Zstd(to) => to.flush(),
        }
    }

    /// Ends the file.
    pub(super) fn finish(self) -> io::Result<u64> {
        let mut to = match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to.finish()?,
            Self::Zstd(to) => to.finish()?,
        };
        to.flush()?;
        Ok(to.get_ref().stored)
    }

    /// Leaves the file as it is: nothing more is written to it, not even what was collected.
    pub(super) fn abandon(self) {
        match self {
            Self::Plain(to) => drop(to.into_parts()),
            // Their remains would be written on drop; what follows a failed write is of no use to anybody.
            Self::Gzip(mut to) => to.get_mut().get_mut().to = Box::new(io::sink()),
            Self::Zstd(mut to) => to.get_mut().get_mut().to = Box::new(io::sink()),
        }
    }

    /// Bytes in the file, and those on their way to it.
    pub(super) fn stored(&self) -> u64 {
        let to = match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to.get_ref(),
            Self::Zstd(to) => to.get_ref(),
        };
        to.get_ref().stored + to.buffer().len() as u64
    }
}
