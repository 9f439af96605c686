//! The control of a run over a Unix socket: commands come in, a line each; a line of JSON responds to each.
//!
//! ```text
//! sample 25% | pause | resume | stop | save | status   ->   {"share":0.25,"paused":false,...}  or  {"error":"..."}
//! ```
//!
//! The run executes the commands; here they are only parsed, and accepted only from those who may send them: the user
//! that shadowtap runs as, and root. Nothing is ever read from or written to anything but the socket.

mod client;
mod location;
mod server;
mod socket;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use client::{AskError, ask};

pub use location::{Location, SocketLocation, running};
pub use server::serve;
pub use socket::{Socket, SocketError};

use crate::middleware::Share;

/// Longest line that is listened to; a longer one ends the conversation.
pub const MAX_LINE: usize = 1024;

/// Command to a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ControlCommand {
    /// Let this share in.
    Sample(Share),
    /// Send nothing for now.
    Pause,
    /// Go on.
    Resume,
    /// End in order.
    Stop,
    /// Write out what a dashcam keeps.
    Save,
    /// Say how it stands.
    Status,
}

/// Executes a command, and returns the response as one line of JSON, without its line end.
pub(crate) type ControlRequest = Arc<dyn Fn(ControlCommand) -> String + Send + Sync>;

/// Errors of a command that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlCommandError {
    /// There is no such word.
    #[error("`{said}` is not understood; say sample 25%, pause, resume, stop, save or status")]
    Unknown {
        /// Text of the command.
        said: String,
    },
    /// It has no share.
    #[error("`sample` needs a share: say sample 25%")]
    NoShare,
    /// It is no share.
    #[error(transparent)]
    Share(#[from] crate::middleware::ShareError),
}

impl FromStr for ControlCommand {
    type Err = ControlCommandError;

    fn from_str(said: &str) -> Result<Self, ControlCommandError> {
        let mut words = said.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("sample"), Some(share), None) => Ok(Self::Sample(share.parse()?)),
            (Some("sample"), None, None) => Err(ControlCommandError::NoShare),
            (Some("pause"), None, None) => Ok(Self::Pause),
            (Some("resume"), None, None) => Ok(Self::Resume),
            (Some("stop"), None, None) => Ok(Self::Stop),
            (Some("save"), None, None) => Ok(Self::Save),
            (Some("status"), None, None) => Ok(Self::Status),
            _ => Err(ControlCommandError::Unknown { said: said.trim().to_owned() }),
        }
    }
}

/// As it is said.
impl fmt::Display for ControlCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sample(share) => write!(f, "sample {share}"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Stop => f.write_str("stop"),
            Self::Save => f.write_str("save"),
            Self::Status => f.write_str("status"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_and_said_alike() {
        for said in ["sample 25%", "sample 0%", "pause", "resume", "stop", "save", "status"] {
            assert_eq!(said.parse::<ControlCommand>().unwrap().to_string(), said);
        }
        assert_eq!("  sample   0.5% \r".parse(), Ok(ControlCommand::Sample(Share(0.005))));
    }

    #[test]
    fn what_is_not_understood_is_answered_with_what_is() {
        for said in ["", "halt", "pause now", "sample 1% 2%", "STATUS"] {
            let error = said.parse::<ControlCommand>().unwrap_err().to_string();
            assert!(error.contains("say sample 25%, pause, resume, stop, save or status"), "{said}: {error}");
        }
        assert_eq!("sample".parse::<ControlCommand>(), Err(ControlCommandError::NoShare));
        assert!("sample 25".parse::<ControlCommand>().unwrap_err().to_string().contains("no percent sign"));
    }
}
