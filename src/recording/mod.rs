//! Recordings: events on their way to a file and back.
//!
//! Into [`Recorder`] go the [`Event`]s of the capture engine, or its frames, and files come of them: `.gor` (GoReplay's
//! format), JSON lines (one exchange a line, as `inspect --json --full` prints it) or captures. Out of a
//! [`RecordingSource`] come the events of such files again, and those of HTTP archives (HAR). Nothing is captured, sent
//! or reported here, and there is no clock and no thread: time comes with the events, and with each [`Recorder::tick`].
//!
//! Access logs are read, too, as far as they know a request (`access_log`).
//!
//! What a format cannot hold is not read back. Neither holds when connections began and ended, nor responses without a
//! request. `.gor` has no exchange that is damaged and no server's address, and calls every response that has not come
//! `no response`; JSON lines have no chunk boundaries, extensions and trailers, and of an exchange whose request is
//! damaged not why its response is missing.

#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "only clients of stores read what is in it"))]
pub mod access;
mod access_log;
mod account;
mod connection_ids;
#[cfg(feature = "nats")]
mod event_codec;
pub(crate) mod exchange_join;
mod framing;
mod gor;
mod har;
mod input;
mod json_object;
mod jsonl_read;
pub mod jsonl_write;
mod kind;
#[cfg(feature = "nats")]
mod nats;
mod output;
pub mod place;
mod probe;
pub(crate) mod recent;
pub mod record;
mod reorder;
mod session;
mod skipped;
mod source;
mod spool_settings;
mod store;
mod store_error;
mod store_reading;
mod unsupported;

pub use access_log::{AccessLogFormat, AccessLogFormatError, ReadLog};
pub use account::{FleetAccount, MemberAccount, NodeAccount};
pub use exchange_join::{ExchangeJoin, JoinedExchange};
pub(crate) use gor::GorWriter;
pub use har::HarWriter;
pub use input::RecordingInput;
pub use output::RecordingOutput;
pub use probe::{RecordingProbe, StoreProbe, StoreUse, StoredRecording};
pub use record::{DashcamSettings, OutputPath, OutputPathError, RecordError, Recorded, Recorder, Rotation};
pub use session::{Admission, AdmissionWait, EndTicket, FleetProgress, RequestEnd, ScheduleZero, StoreSession};
pub use source::RecordingSource;
pub use spool_settings::SpoolSettings;
pub use store::{fleet_account, fleet_status, open_input, open_output, probe_store, steer_fleet};
pub use store_error::StoreError;
pub use store_reading::StoreReading;

use crate::capture::{self, BpfFilter, CaptureError, FileSource, Merged, OpenedInput, Pieces, Source};
use crate::causes::Help;
use crate::exchange::Event;
use std::borrow::Cow;

use source::{FormatReader, OpenedRecording};

/// Events, one after another: what a recording holds.
pub trait EventSource {
    /// The next event; `None` at the end, for whatever reason (see [`EventSource::warnings`]).
    fn next(&mut self) -> Option<Event>;

    /// Returns warnings in words for people: input that could not be read and was passed over, a file that was cut. The
    /// events read remain valid.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The inputs that could not be read to their end, in the same words as in [`EventSource::warnings`].
    fn unread(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the progress through the source, from 0 to 1; `None` where that is unknown (standard input).
    fn progress(&self) -> Option<f64> {
        None
    }
}

/// Errors that keep a recording from being read, at all or in this way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingReadError {
    /// The file cannot be opened or read, or is a capture that is wrong.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Lines of `inspect --json`.
    #[error("{file} has exchanges without their messages: write it with inspect --json --full, or record it")]
    WithoutMessages {
        /// The file.
        file: String,
    },
    /// Lines of `--results`.
    #[error("{file} has the results of a run, not a recording: requests are in what that run read")]
    Results {
        /// The file.
        file: String,
    },
    /// An object of JSON over several lines, as `--summary` writes it.
    #[error(
        "{file} is one JSON object, such as the summary of a run, and has no requests: `shadowtap report {file}` shows a run"
    )]
    Summary {
        /// The file.
        file: String,
    },
    /// Lines of an access log, without a word on their format.
    #[error("{file} looks like an access log: say so with --format {format}")]
    AccessLog {
        /// The file.
        file: String,
        /// The format that its first line has.
        format: &'static str,
    },
    /// A format of access logs that cannot be read.
    #[error("--format: {0}")]
    Format(#[from] AccessLogFormatError),
    /// An archive that lists nothing.
    #[error("{file} is an HTTP archive (HAR) without `log.entries`: there are no requests in it")]
    NoEntries {
        /// The file.
        file: String,
    },
    /// Frames and events cannot be merged: one connection could be in both.
    #[error("{capture} is a capture and {journal} is a recording of requests: read them one after the other")]
    Mixed {
        /// The first capture.
        capture: String,
        /// The first recording.
        journal: String,
    },
    /// A filter for packets.
    #[error("{journal} has requests, no packets: choose with --allow-host, --allow-path and the like")]
    NoPackets {
        /// The first recording.
        journal: String,
    },
    /// A filter for ports, where they are not known.
    #[error("{journal} does not say which server a request was sent to: choose with --allow-host")]
    NoPorts {
        /// The first recording.
        journal: String,
    },
}

impl Help for RecordingReadError {
    fn help(&self) -> Option<Cow<'static, str>> {
        if let Self::Capture(error) = self { error.help() } else { None }
    }
}

impl RecordingReadError {
    /// Something that is neither a recording nor a capture, or a capture that is wrong.
    fn other(opened: OpenedInput) -> Self {
        let file = opened.name.clone();
        match FileSource::of(opened) {
            Ok(_) => Self::Mixed { journal: "what is asked for".to_owned(), capture: file },
            Err(error) => error.into(),
        }
    }
}

/// Origin of events: frames, or a recording of events.
pub enum Origin {
    /// Frames, for the capture engine.
    Frames(Box<dyn Source + Send>),
    /// A recording.
    Events(Box<dyn RecordingInput>),
}

impl<S: Source + Send + 'static> From<S> for Origin {
    fn from(source: S) -> Self {
        Self::Frames(Box::new(source))
    }
}

/// Opens every file of `settings`, captures or recordings as their content says, and merges them by time.
///
/// # Errors
///
/// Each file that cannot be read, or not together with the others or the settings.
pub fn open(settings: &capture::Settings) -> Result<Origin, Vec<RecordingReadError>> {
    let (mut captures, mut journals, mut errors) = (Pieces::default(), Vec::new(), Vec::new());
    let mut names = [None, None];
    let logs = match settings.logs.as_deref().map(str::parse::<AccessLogFormat>).transpose() {
        Ok(logs) => logs,
        Err(error) => return Err(vec![error.into()]),
    };
    // Each file has a record in memory.
    let memory = settings.max_memory.0 / 2 / settings.files.len().max(1);
    for file in &settings.files {
        let name = file.display().to_string();
        let opened = OpenedInput::open(file, settings).map_err(RecordingReadError::from);
        let [capture, journal] = &mut names;
        match opened.and_then(|opened| FormatReader::of(opened, memory, logs.as_ref())) {
            Ok(OpenedRecording::Journal(reader)) => {
                journal.get_or_insert(name);
                journals.push(reader);
            }
            Ok(OpenedRecording::Other(opened)) => match FileSource::of(opened) {
                Ok(source) => {
                    capture.get_or_insert(name);
                    captures.add(source);
                }
                Err(error) => errors.extend(captures.leave_out(error).map(RecordingReadError::from)),
            },
            Err(error) => errors.push(error),
        }
    }
    if let Some(expression) = &settings.bpf
        && let Err(error) = BpfFilter::new(expression)
    {
        errors.push(error.into());
    }
    let captures = captures.known(&mut errors);
    let [capture, journal] = names;
    let Some(journal) = journal else {
        return if errors.is_empty() { Ok(frames(captures)) } else { Err(errors) };
    };
    if let Some(capture) = capture {
        errors.push(RecordingReadError::Mixed { capture, journal: journal.clone() });
    }
    events(settings, journals, journal, errors)
}

fn frames(captures: Pieces) -> Origin {
    match captures.only() {
        Ok(only) => Origin::Frames(only),
        Err(captures) => Merged::of(captures).into(),
    }
}

fn events(
    settings: &capture::Settings,
    journals: Vec<FormatReader>,
    journal: String,
    mut errors: Vec<RecordingReadError>,
) -> Result<Origin, Vec<RecordingReadError>> {
    let mut source = RecordingSource::of(journals);
    if !settings.ports.is_empty() && !source.knows_ports() {
        errors.push(RecordingReadError::NoPorts { journal: journal.clone() });
    }
    if settings.bpf.is_some() {
        errors.push(RecordingReadError::NoPackets { journal });
    }
    source.set_ports(settings.ports.clone());
    source.set_memory(settings.max_memory.0);
    if errors.is_empty() { Ok(Origin::Events(Box::new(source))) } else { Err(errors) }
}
