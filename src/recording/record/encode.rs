//! Events and frames as the bytes of a format.

use crate::capture::Frame;
use crate::exchange::{Event, RequestState, Timestamp};
use crate::recording::exchange_join::{ExchangeJoin, JoinedExchange};
use crate::recording::gor::GorWriter;
use crate::recording::jsonl_write::JsonLine;
use crate::recording::unsupported::Unsupported;

use super::frames::FrameWriter;
use super::output_path::RecordingFormat;

/// Encoder of a format, with its state.
#[derive(Debug)]
pub(super) enum Encoder {
    Gor(Box<GorWriter>),
    Lines(Box<ExchangeJoin>),
    Frames { writer: FrameWriter, other_link: u64 },
}

/// Records that were appended to the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) records: u64,
    /// Whole requests among them.
    pub(super) requests: u64,
    /// The latest time in it.
    pub(super) at: Timestamp,
}

impl Encoded {
    fn add(&mut self, at: Timestamp) {
        self.records += 1;
        self.at = self.at.max(at);
    }

    /// Appends the line of an exchange.
    fn line(&mut self, exchange: &JoinedExchange, into: &mut Vec<u8>) {
        self.add(line(exchange, into));
        self.requests += u64::from(matches!(exchange.request.state, RequestState::Whole));
    }
}

impl Encoder {
    pub(super) fn new(format: RecordingFormat) -> Self {
        match format {
            RecordingFormat::Gor => Self::Gor(Box::default()),
            RecordingFormat::Lines => Self::Lines(Box::default()),
            RecordingFormat::Pcap | RecordingFormat::Pcapng => {
                Self::Frames { writer: FrameWriter::new(format == RecordingFormat::Pcapng), other_link: 0 }
            }
        }
    }

    /// Begins a new file.
    pub(super) fn begin(&mut self) {
        if let Self::Frames { writer, .. } = self {
            writer.begin();
        }
    }

    /// Appends what an event makes known: mostly one record or none.
    pub(super) fn event(&mut self, event: Event, into: &mut Vec<u8>) -> Encoded {
        let mut encoded = Encoded::default();
        match self {
            Self::Gor(writer) => {
                if let Some(at) = writer.event(&event, into) {
                    encoded.add(at);
                    encoded.requests += u64::from(matches!(event, Event::Request(_)));
                }
            }
            Self::Lines(exchanges) => {
                exchanges.take(event, |exchange| encoded.line(&exchange, into));
            }
            Self::Frames { .. } => {}
        }
        encoded
    }

    /// Appends a frame.
    pub(super) fn frame(&mut self, frame: &Frame<'_>, into: &mut Vec<u8>) -> Encoded {
        let mut encoded = Encoded::default();
        if let Self::Frames { writer, other_link } = self {
            if writer.frame(frame, into) {
                encoded.add(frame.at);
            } else {
                *other_link += 1;
            }
        }
        encoded
    }

    /// Appends what still waited for something to come.
    pub(super) fn finish(&mut self, into: &mut Vec<u8>) -> Encoded {
        let mut encoded = Encoded::default();
        if let Self::Lines(exchanges) = self {
            let before = exchanges.given_up();
            let rest = std::mem::replace(exchanges, Box::new(ExchangeJoin::after(before)));
            rest.finish(|exchange| encoded.line(&exchange, into));
        }
        encoded
    }

    pub(super) fn left_out(&self) -> Unsupported {
        match self {
            Self::Gor(writer) => writer.left_out().clone(),
            Self::Frames { other_link, .. } if *other_link > 0 => [("other_link_type", *other_link)].into(),
            Self::Lines(_) | Self::Frames { .. } => Unsupported::new(),
        }
    }

    /// Exchanges that were written before their response was known.
    pub(super) fn given_up(&self) -> u64 {
        if let Self::Lines(exchanges) = self { exchanges.given_up() } else { 0 }
    }
}

/// Appends the line of an exchange; returns when it ended, as far as that is known.
fn line(exchange: &JoinedExchange, into: &mut Vec<u8>) -> Timestamp {
    JsonLine::new(exchange, true).write(into);
    into.push(b'\n');
    exchange.response.as_ref().map_or(exchange.request.last_byte, |response| response.last_byte)
}
