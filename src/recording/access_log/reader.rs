//! A file of an access log, line by line.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::capture::OpenedInput;
use crate::exchange::Timestamp;
use crate::http1::{BodyPolicies, BodyPolicy, MAX_HEAD_BYTES};
use crate::recording::exchange_join::JoinedExchange;
use crate::recording::framing::{FramingStep, RecordFraming};
use crate::recording::jsonl_read::{ended, find};

use super::compile::LineFormat;
use super::format::Matcher;
use super::layout::Layout;
use super::line::{ConnectionName, LineError, LineScratch, LineValues, LoggedExchange};
use super::meaning::Escapes;
use super::skipped::SkippedLines;
use super::virtual_host::VirtualHostCheck;
use super::{AccessLogFormat, ReadLog};

/// Longest line, in bytes: a head at its longest, with every byte escaped. A longer one is passed over, and counted.
const MAX_LINE_BYTES: usize = MAX_HEAD_BYTES * 4;
/// Lines of one second that are spread over it. Those behind them come at its end.
const MAX_SPREAD: usize = 16_384;
const SECOND: u64 = 1_000_000_000;

/// Reads the lines of an access log.
pub(in crate::recording) struct LogReader {
    pieces: RecordFraming,
    format: AccessLogFormat,
    layout: Layout,
    matcher: Matcher,
    scratch: LineScratch,
    interests: BodyPolicies,
    /// Exchanges of one second, in order.
    ready: VecDeque<LoggedExchange>,
    /// The exchange that was read after them.
    next: Option<LoggedExchange>,
    skipped: SkippedLines,
    virtual_host: VirtualHostCheck,
    lines: u64,
    requests: u64,
    ended: bool,
}

impl LogReader {
    pub(in crate::recording) fn new(opened: OpenedInput, format: AccessLogFormat) -> Self {
        let layout = Layout::of(match &format.lines {
            LineFormat::Text(format) => &format.fields,
            LineFormat::Json(format) => &format.fields,
        });
        let keep = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
        Self {
            pieces: RecordFraming::new(opened, "line", 0, MAX_LINE_BYTES),
            format,
            layout,
            matcher: Matcher::default(),
            scratch: LineScratch::default(),
            interests: keep,
            ready: VecDeque::new(),
            next: None,
            skipped: SkippedLines::default(),
            virtual_host: VirtualHostCheck::default(),
            lines: 0,
            requests: 0,
            ended: false,
        }
    }

    /// Sets the policies for bodies from now on.
    pub(in crate::recording) const fn set_interests(&mut self, interests: BodyPolicies) {
        self.interests = interests;
    }

    /// Moves to the next line that is an exchange; false at the end.
    pub(in crate::recording) fn advance(&mut self) -> bool {
        if self.ready.is_empty() {
            self.fill();
        }
        !self.ready.is_empty()
    }

    /// When the current exchange ended, as far as it is known.
    pub(in crate::recording) fn at(&self) -> Option<Timestamp> {
        self.ready.front().map(|logged| ended(&logged.exchange))
    }

    /// The current exchange, and what requests of its connection share; empty where that is not known.
    pub(in crate::recording) fn take(&mut self) -> Option<(JoinedExchange, ConnectionName)> {
        let logged = self.ready.pop_front()?;
        Some((logged.exchange, logged.connection))
    }

    pub(in crate::recording) fn warnings(&self) -> Vec<String> {
        let name = self.pieces.name();
        // Where none could be read, that is an error.
        let passed_over = if self.fits_nothing() { Vec::new() } else { self.skipped.warnings(name, self.lines) };
        let virtual_host = self.virtual_host.warning(name, &self.format.name);
        self.unread().into_iter().chain(virtual_host).chain(passed_over).collect()
    }

    pub(in crate::recording) fn unread(&self) -> Option<String> {
        let format = || self.skipped.misfit(self.pieces.name(), &self.format.name);
        self.pieces.unread().or_else(|| self.fits_nothing().then(format))
    }

    /// Returns whether there are lines, and all of them are of another format.
    const fn fits_nothing(&self) -> bool {
        self.ended && self.lines > 0 && self.skipped.unread() == self.lines
    }

    pub(in crate::recording) fn progress(&self) -> Option<f64> {
        self.pieces.progress()
    }

    /// What was read, and what is known of it.
    pub(in crate::recording) fn summary(&self) -> ReadLog {
        let (known, unknown) = self.layout.known();
        ReadLog {
            format: self.format.name.clone(),
            lines: self.lines,
            requests: self.requests,
            unread: self.skipped.unread(),
            without_request: self.skipped.without_request,
            known,
            unknown,
        }
    }

    /// Reads the exchanges of the next second, or the next one where times are exact.
    fn fill(&mut self) {
        let Some(first) = self.next.take().or_else(|| self.read()) else { return };
        let second = first.coarse;
        self.ready.push_back(first);
        if second.is_none() {
            return;
        }
        while self.ready.len() < MAX_SPREAD {
            self.next = self.read();
            match self.next.take_if(|next| next.coarse == second) {
                Some(next) => self.ready.push_back(next),
                None => break,
            }
        }
        let count = self.ready.len() as u64;
        for (place, logged) in (0..).zip(&mut self.ready) {
            later(&mut logged.exchange, SECOND / count * place);
        }
    }

    /// The next line that is an exchange.
    fn read(&mut self) -> Option<LoggedExchange> {
        while !self.ended {
            let piece = match self.pieces.advance(find) {
                FramingStep::Piece(piece) | FramingStep::Torn(piece) => piece,
                FramingStep::TooLong => {
                    self.lines += 1;
                    self.skipped.count(self.pieces.count(), b"", || "too long".to_owned());
                    continue;
                }
                FramingStep::End => {
                    self.ended = true;
                    break;
                }
            };
            let line = self.pieces.bytes(&piece).trim_ascii_end();
            if line.is_empty() {
                continue;
            }
            self.lines += 1;
            // What the first line does not have is not logged for it either.
            let narrowed = narrowed(&self.format, line);
            let (format, layout) =
                narrowed.as_ref().map_or((&self.format, &self.layout), |(format, layout)| (format, layout));
            match exchange(format, layout, (&mut self.matcher, &mut self.scratch), line, self.interests) {
                Ok(logged) => {
                    self.requests += 1;
                    self.virtual_host.look(&self.format.name, line);
                    if let Some(narrowed) = narrowed {
                        (self.format, self.layout) = narrowed;
                    }
                    return Some(logged);
                }
                Err(LineFailure::NoRequest) => self.skipped.without_request += 1,
                Err(LineFailure::Unread(why)) => self.skipped.count(self.pieces.count(), line, || why),
            }
        }
        None
    }
}

/// The keys that a line has, where the usual ones are asked for so far.
fn narrowed(format: &AccessLogFormat, line: &[u8]) -> Option<(AccessLogFormat, Layout)> {
    let LineFormat::Json(guess) = &format.lines else { return None };
    let narrowed = guess.is_guessed.then(|| guess.narrowed(json_of(line))).flatten()?;
    let layout = Layout::of(&narrowed.fields);
    Some((AccessLogFormat { name: format.name.clone(), lines: LineFormat::Json(narrowed) }, layout))
}

/// Why a line was passed over.
enum LineFailure {
    NoRequest,
    Unread(String),
}

fn exchange(
    format: &AccessLogFormat,
    layout: &Layout,
    (matcher, scratch): (&mut Matcher, &mut LineScratch),
    line: &[u8],
    interests: BodyPolicies,
) -> Result<LoggedExchange, LineFailure> {
    let found = match &format.lines {
        LineFormat::Text(format) => {
            if !matcher.read(format, line) {
                return Err(LineFailure::Unread(matcher.failure(format)));
            }
            let (spans, times) = matcher.found();
            let value = |field: usize| spans.get(field).and_then(|span| line.get(span.clone())).unwrap_or_default();
            LineValues { layout, escapes: format.escapes, value: &value }
                .exchange(interests, (times, &mut scratch.message))
        }
        LineFormat::Json(format) => {
            let parsed: serde_json::Value =
                serde_json::from_slice(json_of(line)).map_err(|error| LineFailure::Unread(error.to_string()))?;
            let mut values: Vec<Cow<'_, [u8]>> = Vec::new();
            format.read(&parsed, &mut values);
            let value = |field: usize| values.get(field).map(|value| &**value).unwrap_or_default();
            let (times, message) = (&mut scratch.times, &mut scratch.message);
            LineValues { layout, escapes: Escapes::None, value: &value }.exchange(interests, (times, message))
        }
    };
    found.map_err(|error| match error {
        LineError::NoRequest => LineFailure::NoRequest,
        LineError::Value(why) => LineFailure::Unread(why.to_owned()),
    })
}

/// The object of a line: something may stand before it, as syslog puts it there.
fn json_of(line: &[u8]) -> &[u8] {
    line.get(memchr::memchr(b'{', line).unwrap_or_default()..).unwrap_or_default()
}

/// Moves an exchange on in time.
fn later(exchange: &mut JoinedExchange, nanos: u64) {
    let by = std::time::Duration::from_nanos(nanos);
    let request = &mut exchange.request;
    (request.first_byte, request.last_byte) = (request.first_byte.plus(by), request.last_byte.plus(by));
    if let Ok(response) = &mut exchange.response {
        (response.first_byte, response.last_byte) = (response.first_byte.plus(by), response.last_byte.plus(by));
    }
}
