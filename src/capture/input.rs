//! Bytes of a file, decompressed, through a sliding window that records are borrowed from.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read from the file at once. Large enough that the system call does not count, small enough for the cache.
const WINDOW: usize = 256 * 1024;

/// Bytes that a decompressor is asked for at once, and those that it takes at once. What it has made of them is lost where it then
/// finds an error.
const SIP: usize = 4 * 1024;

/// A window on a byte stream: at least as many bytes as were asked for, contiguous, without copying them out.
pub(crate) struct Input {
    from: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the decompressed stream before `start`.
    passed: u64,
    ended: bool,
    /// Error that ended it, until it is reported.
    error: Option<io::Error>,
    /// Bytes that a decompressor has taken of the file; `None` where there is none.
    taken: Option<Arc<AtomicU64>>,
}

impl Input {
    /// A window on `from`, decompressed as its first bytes say.
    pub(crate) fn new(from: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut raw = Self::plain(from);
        raw.fill(4)?;
        let begin = raw.available().get(..4).unwrap_or(raw.available());
        let gzip = begin.starts_with(&[0x1f, 0x8b]);
        let zstd = begin == [0x28, 0xb5, 0x2f, 0xfd]
            || matches!(begin, [first, 0x2a, 0x4d, 0x18] if (0x50..0x60).contains(first));
        if !gzip && !zstd {
            return Ok(raw);
        }
        let taken = Arc::new(AtomicU64::new(0));
        let stored = BufReader::with_capacity(SIP, CountingReader { from: raw, taken: Arc::clone(&taken) });
        let from: Box<dyn Read + Send> = if gzip {
            Box::new(SmallReads(flate2::bufread::MultiGzDecoder::new(stored)))
        } else {
            Box::new(SmallReads(zstd::Decoder::with_buffer(stored)?))
        };
        Ok(Self { taken: Some(taken), ..Self::plain(from) })
    }

    fn plain(from: Box<dyn Read + Send>) -> Self {
        let buffer = vec![0; WINDOW];
        Self { from, buffer, start: 0, end: 0, passed: 0, ended: false, error: None, taken: None }
    }

    /// The bytes in the window.
    pub(crate) fn available(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns the start of the window in the buffer. Consumed bytes stay there until more is read.
    pub(super) const fn position(&self) -> usize {
        self.start
    }

    /// Bytes of the buffer, in the window or just passed.
    pub(super) fn stretch(&self, positions: Range<usize>) -> &[u8] {
        self.buffer.get(positions).unwrap_or_default()
    }

    /// Returns the offset of the window in the decompressed stream, in bytes.
    pub(crate) const fn offset(&self) -> u64 {
        self.passed
    }

    /// Bytes of the file, as stored, up to here. Of a compressed one that is an estimate: what lies in the window counts for as
    /// much as what has passed.
    pub(crate) fn stored_bytes(&self) -> f64 {
        let passed = self.passed as f64;
        let Some(taken) = &self.taken else { return passed };
        let decompressed = passed + (self.end - self.start) as f64;
        if decompressed > 0.0 { taken.load(Ordering::Relaxed) as f64 * passed / decompressed } else { 0.0 }
    }

    /// Makes at least `want` bytes available; false where the stream ends before.
    pub(crate) fn fill(&mut self, want: usize) -> io::Result<bool> {
        if self.end - self.start >= want {
            return Ok(true);
        }
        self.fill_slow(want)
    }

    #[cold]
    fn fill_slow(&mut self, want: usize) -> io::Result<bool> {
        match (self.read_up(want), self.error.take()) {
            (false, Some(error)) => Err(error),
            (enough, error) => {
                self.error = error;
                Ok(enough)
            }
        }
    }

    /// Like [`Input::fill`], but an error is reported only by the fill that needs the bytes that could not be read.
    pub(super) fn look_ahead(&mut self, want: usize) -> bool {
        self.end - self.start >= want || self.read_up(want)
    }

    fn read_up(&mut self, want: usize) -> bool {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < want && !self.ended {
            if self.end == self.buffer.len() {
                // Grows with what is really there, not with what a record claims.
                let longer = (self.buffer.len() * 2).min(want.max(WINDOW));
                self.buffer.resize(longer, 0);
            }
            match self.from.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => self.ended = true,
                Ok(more) => self.end += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.error = Some(error);
                }
            }
        }
        self.end >= want
    }

    /// Makes some more bytes available than there are, without waiting for many; false where the stream ends.
    pub(crate) fn more(&mut self) -> io::Result<bool> {
        let have = self.end - self.start;
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, have);
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        self.fill(have + 1)
    }

    /// Moves past `bytes` bytes of the window.
    pub(crate) fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.passed += bytes as u64;
    }

    /// Moves past `bytes` bytes, in the window or not; false where the stream ends before.
    pub(crate) fn skip(&mut self, mut bytes: u64) -> io::Result<bool> {
        while bytes > 0 {
            if self.start == self.end && !self.fill(1)? {
                return Ok(false);
            }
            let step = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.end - self.start);
            self.consume(step);
            bytes -= step as u64;
        }
        Ok(true)
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && !self.fill(1)? {
            return Ok(0);
        }
        let mut available = self.available();
        let taken = available.read(into)?;
        self.consume(taken);
        Ok(taken)
    }
}

impl io::BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.fill(1)?;
        }
        Ok(self.available())
    }

    fn consume(&mut self, bytes: usize) {
        Self::consume(self, bytes);
    }
}

/// Reads few bytes at once.
struct SmallReads<R>(R);

impl<R: Read> Read for SmallReads<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let few = into.len().min(SIP);
        self.0.read(into.get_mut(..few).unwrap_or_default())
    }
}

/// Counts the bytes that a decompressor takes, so that progress is known for compressed files too.
struct CountingReader {
    from: Input,
    taken: Arc<AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = self.from.read(into)?;
        self.taken.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }
}

/// Size of a regular file; `None` for pipes and devices.
pub(crate) fn size_of(file: &File) -> Option<u64> {
    file.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// How much of the stored bytes counts as read, after each of four quarters of a text of 64,000 bytes.
    fn progress(stored: Vec<u8>) -> Vec<f64> {
        let size = stored.len() as f64;
        let mut input = Input::new(Box::new(io::Cursor::new(stored))).unwrap();
        let mut quarters = vec![input.stored_bytes() / size];
        for _ in 0..4 {
            assert!(input.skip(16_000).unwrap());
            quarters.push(input.stored_bytes() / size);
        }
        quarters
    }

    #[test]
    fn what_was_read_ahead_of_a_small_file_is_not_progress() {
        let text: Vec<u8> = (0..8_000u32).flat_map(|n| format!("{:07}\n", n % 100).into_bytes()).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&text).unwrap();
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        assert_eq!(progress(text), [0.0, 0.25, 0.5, 0.75, 1.0]);
        for stored in [gzip.finish().unwrap(), zstd] {
            let found = progress(stored);
            assert!(found[0] == 0.0 && found[4] > 0.9 && found.is_sorted(), "{found:?}");
            assert!(found[1] < 1.0 && found[2] < 1.0, "{found:?}");
        }
    }
}
