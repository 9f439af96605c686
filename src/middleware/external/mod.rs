//! A process outside as middleware, in GoReplay's protocol: what it is told, and what it says back.
//!
//! In go requests and responses, out come the lines of their messages; in go bytes that a process wrote, out come its
//! messages, each with what it is or why it is none. There is no process here, no pipe and no clock: those belong to
//! the pipeline.
//!
//! A message is one line, the lower-case hexadecimal form of `TYPE ID TIME LATENCY`, a line feed, and the HTTP message
//! as it is on the wire. Type 1 is a request, 2 what production answered, 3 what a target answered. Times are
//! nanoseconds, since 1970 and as a length.

mod command;
mod decode;
mod encode;
mod id;

use std::time::Duration;

pub use command::{CommandLine, CommandLineError};
pub use decode::{DecodeError, IncomingMessage, MAX_MESSAGE_BYTES, MessageDecoder};
pub use encode::{OutgoingMessage, framed_by_length};
pub use id::MessageId;

/// The rule under which requests end that a process keeps back.
pub const MIDDLEWARE: &str = "middleware";
/// Default of [`ExternalSettings::timeout`].
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most processes: more of them than processors only wait for each other.
pub const MAX_WORKERS: usize = 64;

/// A process that is to be run as middleware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalSettings {
    /// What is run.
    pub command: CommandLine,
    /// How many of it, at least one; requests of one connection go to the same.
    pub workers: usize,
    /// How long a request waits for its echo.
    pub timeout: Duration,
}

impl ExternalSettings {
    /// One process, with the default time.
    #[must_use]
    pub const fn new(command: CommandLine) -> Self {
        Self { command, workers: 1, timeout: DEFAULT_TIMEOUT }
    }
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// A request.
    Request,
    /// What production answered.
    Response,
    /// What a target answered.
    Replayed,
}

impl MessageType {
    /// The digit that stands for it.
    #[must_use]
    pub const fn digit(self) -> u8 {
        match self {
            Self::Request => b'1',
            Self::Response => b'2',
            Self::Replayed => b'3',
        }
    }

    fn of(text: &[u8]) -> Option<Self> {
        [Self::Request, Self::Response, Self::Replayed].into_iter().find(|kind| text == [kind.digit()])
    }
}
