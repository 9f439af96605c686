//! HAProxy's SPOE as a source: an agent that acknowledges at once, and hands on what HAProxy says.
//!
//! A [`SpoeListener`] is opened first, with the rights for it. `start` gives its thread the connections; what
//! comes in is read from `SpoeReceiver`. Nothing of it is parsed here beyond the frames: see `http1::spoe`.

mod agent;
mod codec;
mod listener;
mod queue;

pub(crate) use agent::start;
pub(crate) use codec::{SpoeMessage, SpopValue, messages};
pub use listener::{SpoeAddress, SpoeError, SpoeListener};
pub(crate) use queue::{SpoeNotice, SpoeReceiver};
