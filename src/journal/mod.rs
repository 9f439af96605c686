//! Recordings: events on their way to a file and back.
//!
//! Into [`Recorder`] go the [`Event`]s of the capture engine, or its frames, and files come of them: `.gor` (GoReplay's
//! format), JSON lines (one exchange a line, as `inspect --json --full` prints it) or captures. Out of a
//! [`JournalSource`] come the events of such files again. Nothing is captured, sent or reported here, and there is no
//! clock and no thread: time comes with the events, and with each [`Recorder::tick`].
//!
//! What a format cannot hold is not read back. Neither holds when connections began and ended, nor responses without a
//! request. `.gor` has no exchange that is damaged and no server's address, and calls every response that has not come
//! `no response`; JSON lines have no chunk boundaries, extensions and trailers, and of an exchange whose request is
//! damaged not why its response is missing.

mod gor;
pub mod join;
pub mod line;
pub(crate) mod recent;
pub mod record;

pub use join::{Exchange, Exchanges};
pub use record::{RecordError, Recorded, Recorder, Rotation, Target, TargetError};

use crate::exchange::Event;

/// Events, one after another: what a recording holds.
pub trait EventSource {
    /// The next event; `None` at the end, for whatever reason (see [`EventSource::trouble`]).
    fn next(&mut self) -> Option<Event>;

    /// What went wrong on the way, in words for people: what could not be read and was passed over, a file that was
    /// cut. What was read stands.
    fn trouble(&self) -> Vec<String> {
        Vec::new()
    }

    /// How far the source has been read, from 0 to 1; `None` where that is unknown (standard input).
    fn progress(&self) -> Option<f64> {
        None
    }
}
