//! External process as middleware, in GoReplay's protocol: the messages sent to it, and the messages it sends back.
//!
//! Requests and responses go in, the lines of their messages come out. Bytes written by a process go in; its messages
//! come out, each with its type, or with the reason why it is invalid. There is no process here, no pipe and no clock:
//! those belong to the pipeline.
//!
//! A message is one line, the lower-case hexadecimal form of `TYPE ID TIME LATENCY`, a line feed, and the HTTP message
//! as it is on the wire. Type 1 is a request, 2 a response of production, 3 a response of a target. TIME is in
//! nanoseconds since 1970, LATENCY a duration in nanoseconds.

mod command;
mod decode;
mod encode;
mod id;

use std::time::Duration;

pub use command::{CommandLine, CommandLineError};
pub(crate) use decode::{DecodeError, IncomingMessage, MessageDecoder};
pub(crate) use encode::{OutgoingMessage, framed_by_length};
pub(crate) use id::MessageId;

/// The rule under which requests end that a process keeps back.
pub const MIDDLEWARE: &str = "middleware";
/// Default of [`ExternalSettings::timeout`].
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most processes: more of them than processors only wait for each other.
pub(crate) const MAX_WORKERS: usize = 64;

/// A process that is to be run as middleware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalSettings {
    /// Command to run.
    pub command: CommandLine,
    /// Number of processes, at least one; requests of one connection go to the same process.
    pub workers: usize,
    /// Timeout of a request that waits for its echo.
    pub timeout: Duration,
}

impl ExternalSettings {
    /// One process, with the default time.
    #[must_use]
    pub const fn new(command: CommandLine) -> Self {
        Self { command, workers: 1, timeout: DEFAULT_TIMEOUT }
    }
}

/// Type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageType {
    /// A request.
    Request,
    /// A response of production.
    Response,
    /// A response of a target.
    Replayed,
}

impl MessageType {
    /// Returns the digit of the type.
    #[must_use]
    pub(crate) const fn digit(self) -> u8 {
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
