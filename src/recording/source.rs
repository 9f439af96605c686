//! Recordings as a source of events.

use std::path::Path;

use crate::capture::{CaptureError, Halt, MaxMemory, OpenedInput};
use crate::exchange::{ConnectionId, Event};
use crate::http1::{BodyPolicies, BodyPolicy};

use super::access_log::{self, AccessLogFormat, LogReader, ReadLog};
use super::connection_ids::ConnectionIds;
use super::exchange_join::JoinedExchange;
use super::gor::{GorReader, RecordPairing, is_gor};
use super::har::{HarExchange, HarReader};
use super::jsonl_read::{self, JsonlReader};
use super::kind::{RecordingKind, kind_of};
use super::recent::Recent;
use super::reorder::{RecordReorder, ReorderEntry};
use super::{EventSource, RecordingReadError};

/// Recordings, several merged by time: `.gor`, JSON lines or HAR, plain, gzip or zstd.
///
/// Ids are those of the lines where there is one file of lines; else connections are numbered as they turn up. Each
/// exchange has its end, at the latest at the end of the last file.
pub struct RecordingSource {
    readers: Vec<FormatReader>,
    numbers: ConnectionIds,
    pairing: RecordPairing,
    ahead: RecordReorder,
    /// True when ids of lines may occur in another file too.
    renumber: bool,
    again: NumberedAgain,
    /// Ports of servers that count; every one where there is none.
    ports: Vec<u16>,
    read_up: bool,
}

/// Connections whose number another one had before that are remembered; past it those that were not heard of for longest
/// are one with that other one.
const MAX_NUMBERED_AGAIN: usize = 1 << 16;
/// Numbers from here on are of such connections: no run captures as many, and middlewares make up theirs from 2^48 on.
const FIRST_AGAIN: u64 = 1 << 47;

/// Bytes of a first line that may tell an access log.
const MAX_GUESSED: usize = 4096;

/// A file of one format.
pub(super) enum FormatReader {
    Gor(Box<GorReader>),
    Lines(Box<JsonlReader>),
    Log(Box<LogReader>),
    Har(Box<HarReader>),
}

/// Kind of a file that was opened.
pub(super) enum OpenedRecording {
    Journal(FormatReader),
    /// Something else: perhaps a capture.
    Other(OpenedInput),
}

impl FormatReader {
    /// Looks what is in a file, of which no record may cost more than `memory` bytes.
    ///
    /// With a format of access logs, everything is one that is neither a capture nor `.gor`.
    pub(super) fn of(
        mut opened: OpenedInput,
        memory: usize,
        logs: Option<&AccessLogFormat>,
    ) -> Result<OpenedRecording, RecordingReadError> {
        let file = opened.name.clone();
        let failed = |source| CaptureError::Read { file: file.clone(), source };
        if is_gor(&mut opened.input).map_err(failed)? {
            return Ok(OpenedRecording::Journal(Self::Gor(Box::new(GorReader::new(opened, memory)))));
        }
        if let Some(format) = logs.filter(|_| !is_capture(opened.input.available())) {
            return Ok(OpenedRecording::Journal(Self::Log(Box::new(LogReader::new(opened, format.clone())))));
        }
        match kind_of(&mut opened.input).map_err(failed)? {
            RecordingKind::AsLines => {
                Ok(OpenedRecording::Journal(Self::Lines(Box::new(JsonlReader::new(opened, memory)))))
            }
            RecordingKind::AsArchive => {
                let name = opened.name.clone();
                match HarReader::new(opened, memory).map_err(failed)? {
                    Some(reader) => Ok(OpenedRecording::Journal(Self::Har(Box::new(reader)))),
                    None => Err(RecordingReadError::NoEntries { file: name }),
                }
            }
            RecordingKind::WithoutMessages => Err(RecordingReadError::WithoutMessages { file: opened.name }),
            RecordingKind::AsResults => Err(RecordingReadError::Results { file: opened.name }),
            RecordingKind::AsSummary => Err(RecordingReadError::Summary { file: opened.name }),
            RecordingKind::Otherwise => {
                let available = opened.input.available();
                let line = available.split(|byte| *byte == b'\n').next().unwrap_or_default();
                match access_log::guess(line.get(..MAX_GUESSED).unwrap_or(line).trim_ascii_end()) {
                    Some(format) => Err(RecordingReadError::AccessLog { file: opened.name, format }),
                    None => Ok(OpenedRecording::Other(opened)),
                }
            }
        }
    }

    fn advance(&mut self) -> bool {
        match self {
            Self::Gor(reader) => reader.advance(),
            Self::Lines(reader) => reader.advance(),
            Self::Log(reader) => reader.advance(),
            Self::Har(reader) => reader.advance(),
        }
    }

    fn at(&self) -> Option<crate::exchange::Timestamp> {
        match self {
            Self::Gor(reader) => reader.at(),
            Self::Lines(reader) => reader.at(),
            Self::Log(reader) => reader.at(),
            Self::Har(reader) => reader.at(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        match self {
            Self::Gor(reader) => reader.warnings(),
            Self::Lines(reader) => reader.warnings(),
            Self::Log(reader) => reader.warnings(),
            Self::Har(reader) => reader.warnings(),
        }
    }

    fn unread(&self) -> Option<String> {
        match self {
            Self::Gor(reader) => reader.unread(),
            Self::Lines(reader) => reader.unread(),
            Self::Log(reader) => reader.unread(),
            Self::Har(reader) => reader.unread(),
        }
    }

    fn progress(&self) -> Option<f64> {
        match self {
            Self::Gor(reader) => reader.progress(),
            Self::Lines(reader) => reader.progress(),
            Self::Log(reader) => reader.progress(),
            Self::Har(reader) => reader.progress(),
        }
    }
}

impl RecordingSource {
    /// Opens a recording, or standard input where it is `-`. Where it waits for bytes, `halt` ends it.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or is no recording.
    pub fn open(file: &Path, halt: &Halt) -> Result<Self, RecordingReadError> {
        Self::only(OpenedInput::one_of(file, 1, halt)?)
    }

    /// Reads a recording from anything; `size` is its stored size in bytes, where known, for progress.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or is no recording.
    pub fn read(
        name: &str,
        from: Box<dyn std::io::Read + Send>,
        size: Option<u64>,
    ) -> Result<Self, RecordingReadError> {
        Self::only(OpenedInput::read(name, from, size)?)
    }

    fn only(opened: OpenedInput) -> Result<Self, RecordingReadError> {
        match FormatReader::of(opened, MaxMemory::default().0, None)? {
            OpenedRecording::Journal(reader) => Ok(Self::of(vec![reader])),
            OpenedRecording::Other(opened) => Err(RecordingReadError::other(opened)),
        }
    }

    pub(super) fn of(readers: Vec<FormatReader>) -> Self {
        let mut source = Self {
            renumber: readers.len() > 1,
            readers,
            numbers: ConnectionIds::default(),
            pairing: RecordPairing::default(),
            ahead: RecordReorder::default(),
            again: NumberedAgain::default(),
            ports: Vec::new(),
            read_up: false,
        };
        if source.readers.iter().any(|reader| matches!(reader, FormatReader::Lines(_))) {
            source.ahead.remember_ids();
        }
        source.set_interests(BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep });
        source
    }

    /// Sets the policies for bodies. Every body is kept until this is called, which must be before the first event is
    /// asked for.
    pub fn set_interests(&mut self, interests: BodyPolicies) {
        self.pairing.set_interests(interests);
        for reader in &mut self.readers {
            match reader {
                FormatReader::Gor(_) => {}
                FormatReader::Lines(reader) => reader.set_interests(interests),
                FormatReader::Log(reader) => reader.set_interests(interests),
                FormatReader::Har(reader) => reader.set_interests(interests),
            }
        }
    }

    /// Holds a quarter of `bytes` at most besides the records at hand.
    pub(super) fn set_memory(&mut self, bytes: usize) {
        self.ahead.set_most(bytes / 8);
        self.pairing.set_most(bytes / 8);
    }

    /// Only exchanges with servers of these ports count; with an empty list all do. `.gor` does not say reliably.
    pub(crate) fn set_ports(&mut self, ports: Vec<u16>) {
        self.ports = ports;
    }

    /// Returns whether every file holds the port of the server: `.gor` and access logs do not.
    #[must_use]
    pub(super) fn knows_ports(&self) -> bool {
        self.readers.iter().all(|reader| matches!(reader, FormatReader::Lines(_) | FormatReader::Har(_)))
    }

    /// What was read of access logs; `None` where there are none.
    #[must_use]
    pub(crate) fn logs(&self) -> Option<ReadLog> {
        let mut logs = self.readers.iter().filter_map(|reader| match reader {
            FormatReader::Log(reader) => Some(reader.summary()),
            _ => None,
        });
        let mut all = logs.next()?;
        logs.for_each(|other| all.add(&other));
        Some(all)
    }

    /// Reads one more record, from the file whose next one is the earliest.
    fn read_on(&mut self) {
        for reader in &mut self.readers {
            if reader.at().is_none() {
                reader.advance();
            }
        }
        let times = self.readers.iter().enumerate().filter_map(|(index, reader)| Some((index, reader.at()?)));
        let earliest = times.min_by_key(|(_, at)| *at).and_then(|(index, _)| self.readers.get_mut(index));
        let (numbers, pairing, ahead) = (&mut self.numbers, &mut self.pairing, &mut self.ahead);
        let mut sink = |entry| ahead.push(entry);
        match earliest {
            Some(FormatReader::Gor(reader)) => {
                if let Some((record, skipped, count)) = reader.record() {
                    pairing.take(&record, numbers, (skipped, count), &mut sink);
                }
                reader.advance();
            }
            Some(FormatReader::Lines(reader)) => {
                if let Some(mut exchange) = reader.take() {
                    if self.renumber {
                        renumber(&mut exchange, numbers);
                    }
                    let wanted = self.ports.is_empty() || self.ports.contains(&exchange.request.server.port());
                    let is_new = !wanted || self.again.tell_apart(&mut exchange, ahead);
                    if !is_new {
                        reader.skip("an exchange has its id already", "");
                    } else if wanted {
                        ahead.push(entry(exchange));
                    }
                }
                reader.advance();
            }
            Some(FormatReader::Log(reader)) => {
                if let Some((mut exchange, connection)) = reader.take() {
                    exchange.request.id =
                        if connection.is_empty() { numbers.lone() } else { numbers.exchange(&connection) };
                    ahead.push(entry(exchange));
                }
                reader.advance();
            }
            Some(FormatReader::Har(reader)) => {
                if let Some(HarExchange { mut exchange, connection }) = reader.take() {
                    exchange.request.id = numbers.exchange(connection.as_bytes());
                    if self.ports.is_empty() || self.ports.contains(&exchange.request.server.port()) {
                        ahead.push(entry(exchange));
                    }
                }
                reader.advance();
            }
            None => {
                pairing.finish(numbers, &mut sink);
                self.read_up = true;
            }
        }
    }
}

/// Returns whether a file begins as a capture does: pcap in either order of bytes, or pcapng.
fn is_capture(begin: &[u8]) -> bool {
    matches!(
        begin,
        [0xa1, 0xb2, 0xc3, 0xd4 | 0xcd | 0x34, ..]
            | [0xd4 | 0x34 | 0x4d, 0xc3 | 0xcd | 0x3c, 0xb2, 0xa1, ..]
            | [0xa1, 0xb2, 0x3c, 0x4d, ..]
            | [0x0a, 0x0d, 0x0d, 0x0a, ..]
    )
}

/// A connection of several files is the same where its number and both addresses are.
fn renumber(exchange: &mut JoinedExchange, numbers: &mut ConnectionIds) {
    let request = &mut exchange.request;
    let name = format!("{} {} {}", request.id.connection, request.client, request.server);
    let connection: ConnectionId = numbers.connection(name.as_bytes());
    request.id.connection = connection;
}

/// Numbers of connections that stand in a recording a second time, for another connection: each run that appends to a file
/// begins with 1.
struct NumberedAgain {
    numbers: Recent<ConnectionId, ConnectionId>,
    count: u64,
}

impl Default for NumberedAgain {
    fn default() -> Self {
        Self { numbers: Recent::new(MAX_NUMBERED_AGAIN), count: FIRST_AGAIN }
    }
}

impl NumberedAgain {
    /// Gives an exchange whose id another one has a number of its own, with all that follow on its connection. Returns false
    /// where it is the same exchange once more.
    fn tell_apart(&mut self, exchange: &mut JoinedExchange, ahead: &RecordReorder) -> bool {
        let request = &mut exchange.request;
        let number = request.id.connection;
        if let Some(other) = self.numbers.get(number) {
            request.id.connection = *other;
        }
        let Some(begun) = ahead.begun(request.id) else { return true };
        if begun == request.first_byte {
            return false;
        }
        self.count += 1;
        request.id.connection = ConnectionId(self.count);
        self.numbers.insert(number, request.id.connection);
        true
    }
}

fn entry(exchange: JoinedExchange) -> ReorderEntry {
    let at = jsonl_read::ended(&exchange);
    let of = exchange.request.id;
    let end = match exchange.response {
        Ok(response) => Event::Response { of, response },
        Err(why) => Event::Damaged { of, why },
    };
    ReorderEntry { request: Some(exchange.request), end: Some(end), at }
}

impl EventSource for RecordingSource {
    fn next(&mut self) -> Option<Event> {
        while !self.read_up && !self.ahead.is_full() {
            self.read_on();
        }
        self.ahead.pop()
    }

    fn warnings(&self) -> Vec<String> {
        self.readers.iter().flat_map(FormatReader::warnings).collect()
    }

    fn unread(&self) -> Vec<String> {
        self.readers.iter().filter_map(FormatReader::unread).collect()
    }

    fn progress(&self) -> Option<f64> {
        let each: Option<Vec<f64>> = self.readers.iter().map(FormatReader::progress).collect();
        let each = each?;
        // What is looked ahead is read, and has not come yet.
        Some(each.iter().sum::<f64>() / each.len().max(1) as f64 * self.ahead.emitted())
    }
}
