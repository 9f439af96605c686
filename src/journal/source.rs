//! Recordings as a source of events.

use std::path::Path;

use crate::capture::{CaptureError, Halt, MaxMemory, Opened};
use crate::exchange::{ConnectionId, Event};
use crate::http1::{Interest, Interests};

use super::ahead::{Ahead, Entry};
use super::gor::{GorReader, Pairing, is_gor};
use super::join::Exchange;
use super::lines::{self, Begins, LinesReader};
use super::numbers::Numbers;
use super::{EventSource, JournalError};

/// Recordings, several merged by time: `.gor` or JSON lines, plain, gzip or zstd.
///
/// Ids are those of the lines where there is one file of lines; else connections are numbered as they turn up. Each
/// exchange has its end, at the latest at the end of the last file.
pub struct JournalSource {
    readers: Vec<Reader>,
    numbers: Numbers,
    pairing: Pairing,
    ahead: Ahead,
    /// Whether ids of lines may be those of another file too.
    renumber: bool,
    /// Ports of servers that count; every one where there is none.
    ports: Vec<u16>,
    read_up: bool,
}

/// A file of one format.
pub(super) enum Reader {
    Gor(Box<GorReader>),
    Lines(Box<LinesReader>),
}

/// What was found in a file that was opened.
pub(super) enum Found {
    Journal(Reader),
    /// Something else: perhaps a capture.
    Other(Opened),
}

impl Reader {
    /// Looks what is in a file, of which no record may cost more than `memory` bytes.
    pub(super) fn of(mut opened: Opened, memory: usize) -> Result<Found, JournalError> {
        let file = opened.name.clone();
        let failed = |source| CaptureError::Read { file: file.clone(), source };
        if is_gor(&mut opened.input).map_err(failed)? {
            return Ok(Found::Journal(Self::Gor(Box::new(GorReader::new(opened, memory)))));
        }
        match lines::begins(&mut opened.input).map_err(failed)? {
            Begins::AsLines => Ok(Found::Journal(Self::Lines(Box::new(LinesReader::new(opened, memory))))),
            Begins::WithoutMessages => Err(JournalError::WithoutMessages { file: opened.name }),
            Begins::AsResults => Err(JournalError::Results { file: opened.name }),
            Begins::Otherwise => Ok(Found::Other(opened)),
        }
    }

    fn advance(&mut self) -> bool {
        match self {
            Self::Gor(reader) => reader.advance(),
            Self::Lines(reader) => reader.advance(),
        }
    }

    fn at(&self) -> Option<crate::exchange::Timestamp> {
        match self {
            Self::Gor(reader) => reader.at(),
            Self::Lines(reader) => reader.at(),
        }
    }

    fn trouble(&self) -> Vec<String> {
        match self {
            Self::Gor(reader) => reader.trouble(),
            Self::Lines(reader) => reader.trouble(),
        }
    }

    fn unread(&self) -> Option<String> {
        match self {
            Self::Gor(reader) => reader.unread(),
            Self::Lines(reader) => reader.unread(),
        }
    }

    fn progress(&self) -> Option<f64> {
        match self {
            Self::Gor(reader) => reader.progress(),
            Self::Lines(reader) => reader.progress(),
        }
    }
}

impl JournalSource {
    /// Opens a recording, or standard input where it is `-`. Where it waits for bytes, `halt` ends it.
    pub fn open(file: &Path, halt: &Halt) -> Result<Self, JournalError> {
        Self::only(Opened::one_of(file, 1, halt)?)
    }

    /// Reads a recording from anything; `size` is its stored size in bytes, where known, for progress.
    pub fn read(name: &str, from: Box<dyn std::io::Read + Send>, size: Option<u64>) -> Result<Self, JournalError> {
        Self::only(Opened::read(name, from, size)?)
    }

    fn only(opened: Opened) -> Result<Self, JournalError> {
        match Reader::of(opened, MaxMemory::default().0)? {
            Found::Journal(reader) => Ok(Self::of(vec![reader])),
            Found::Other(opened) => Err(JournalError::other(opened)),
        }
    }

    pub(super) fn of(readers: Vec<Reader>) -> Self {
        let mut source = Self {
            renumber: readers.len() > 1,
            readers,
            numbers: Numbers::default(),
            pairing: Pairing::default(),
            ahead: Ahead::default(),
            ports: Vec::new(),
            read_up: false,
        };
        source.set_interests(Interests { request_body: Interest::Keep, response_body: Interest::Keep });
        source
    }

    /// What to keep of bodies; all of them until this is called, which has to be before the first event is asked for.
    pub fn set_interests(&mut self, interests: Interests) {
        self.pairing.set_interests(interests);
        for reader in &mut self.readers {
            if let Reader::Lines(reader) = reader {
                reader.set_interests(interests);
            }
        }
    }

    /// Holds a quarter of `bytes` at most besides the records at hand.
    pub(super) fn set_memory(&mut self, bytes: usize) {
        self.ahead.set_most(bytes / 8);
        self.pairing.set_most(bytes / 8);
    }

    /// Only exchanges with servers of these ports count; with an empty list all do. `.gor` does not say reliably.
    pub fn set_ports(&mut self, ports: Vec<u16>) {
        self.ports = ports;
    }

    /// Whether any of it is `.gor`, which does not hold whom a request was sent to.
    #[must_use]
    pub fn has_gor(&self) -> bool {
        self.readers.iter().any(|reader| matches!(reader, Reader::Gor(_)))
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
            Some(Reader::Gor(reader)) => {
                if let Some((record, skipped, count)) = reader.record() {
                    pairing.take(&record, numbers, (skipped, count), &mut sink);
                }
                reader.advance();
            }
            Some(Reader::Lines(reader)) => {
                if let Some(mut exchange) = reader.take() {
                    if self.renumber {
                        renumber(&mut exchange, numbers);
                    }
                    let wanted = self.ports.is_empty() || self.ports.contains(&exchange.request.server.port());
                    if wanted && ahead.has(exchange.request.id) {
                        reader.skip("an exchange has its id already", "");
                    } else if wanted {
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

/// A connection of several files is the same where its number and both addresses are.
fn renumber(exchange: &mut Exchange, numbers: &mut Numbers) {
    let request = &mut exchange.request;
    let name = format!("{} {} {}", request.id.connection, request.client, request.server);
    let connection: ConnectionId = numbers.connection(name.as_bytes());
    request.id.connection = connection;
}

fn entry(exchange: Exchange) -> Entry {
    let at = lines::ended(&exchange);
    let of = exchange.request.id;
    let end = match exchange.response {
        Ok(response) => Event::Response { of, response },
        Err(why) => Event::Damaged { of, why },
    };
    Entry { request: Some(exchange.request), end: Some(end), at }
}

impl EventSource for JournalSource {
    fn next(&mut self) -> Option<Event> {
        while !self.read_up && !self.ahead.is_full() {
            self.read_on();
        }
        self.ahead.pop()
    }

    fn trouble(&self) -> Vec<String> {
        self.readers.iter().flat_map(Reader::trouble).collect()
    }

    fn unread(&self) -> Vec<String> {
        self.readers.iter().filter_map(Reader::unread).collect()
    }

    fn progress(&self) -> Option<f64> {
        let each: Option<Vec<f64>> = self.readers.iter().map(Reader::progress).collect();
        let each = each?;
        Some(each.iter().sum::<f64>() / each.len().max(1) as f64)
    }
}
