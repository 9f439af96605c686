//! shadowtap rehearses a migration with real traffic: it taps HTTP off the wire, replays the requests against
//! another stack and says what differed.
//!
//! The modules, in the order in which a datum goes through them:
//!
//! ```text
//! capture -> decode -> flow -> http1 -> middleware -> replay -> report
//!  Frame     Segment   Chunk   Event     Request     Delivery   Summary
//! ```
//!
//! [`exchange`] holds the words that all of them speak; [`pipeline`] alone makes threads and channels.

pub mod capture;
pub mod config;
pub mod decode;
pub mod exchange;
pub mod flow;
mod head;
pub mod http1;
#[doc(hidden)]
pub mod laws;
pub mod middleware;
pub mod pipeline;
pub mod replay;
pub mod report;
