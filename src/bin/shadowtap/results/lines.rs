//! Lines out of what is written, however it is cut. The line of the summary, the last one, ends the file.

use std::io::{self, Write};

/// How the line of the summary begins.
const SUMMARY: &[u8] = b"{\"kind\":\"summary\"";

/// Takes lines.
pub(super) trait LineSink {
    /// Takes a line, its end included.
    fn line(&mut self, line: &[u8]) -> io::Result<()>;

    /// Takes the line of the summary, the last one.
    fn summary(&mut self, line: &[u8]) -> io::Result<()>;

    /// Hands on what can be handed on before the end.
    fn flush(&mut self) -> io::Result<()>;

    /// Ends the file. Nothing follows.
    fn finish(&mut self) -> io::Result<()>;
}

/// Writes lines to a sink.
pub(super) struct Lines<S> {
    to: S,
    line: Vec<u8>,
    has_ended: bool,
}

impl<S: LineSink> Lines<S> {
    pub(super) const fn new(to: S) -> Self {
        Self { to, line: Vec::new(), has_ended: false }
    }
}

impl<S: LineSink> Write for Lines<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                if self.line.starts_with(SUMMARY) {
                    self.has_ended = true;
                    self.to.summary(&self.line)?;
                } else {
                    self.to.line(&self.line)?;
                }
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.has_ended { self.to.finish() } else { self.to.flush() }
    }
}

/// Hands lines on as they are.
pub(super) struct PlainLines<W>(W);

impl<W: Finish> PlainLines<W> {
    pub(super) const fn new(to: W) -> Self {
        Self(to)
    }
}

/// A stream that has an end of its own.
pub(super) trait Finish: Write {
    /// Writes the end.
    fn finish(&mut self) -> io::Result<()>;
}

impl<W: Finish> LineSink for PlainLines<W> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)
    }

    fn summary(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.finish()
    }
}
