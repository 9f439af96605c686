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
//!
//! From frames in memory to a summary, without a socket, a clock or a thread:
//!
//! ```
//! use etherparse::PacketBuilder;
//! use shadowtap::capture::{LinkType, MemorySource, Settings};
//! use shadowtap::exchange::Timestamp;
//! use shadowtap::http1::Interests;
//! use shadowtap::inspect::InspectLedger;
//! use shadowtap::pipeline;
//! use shadowtap::report::Started;
//!
//! let (client, server) = (([192, 0, 2, 7], 51234), ([192, 0, 2, 80], 80));
//! let request = b"GET /channels HTTP/1.1\r\nHost: tv.example\r\n\r\n";
//! let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
//!
//! let mut source = MemorySource::new();
//! for (at, from, to, seq, ack, payload) in [
//!     (1_000_000, client, server, 1000, 5000, &request[..]),
//!     (4_500_000, server, client, 5000, 1000 + request.len() as u32, &response[..]),
//! ] {
//!     let packet = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, seq, 65_535).ack(ack);
//!     let mut frame = Vec::new();
//!     packet.write(&mut frame, payload)?;
//!     source.push(Timestamp::from_nanos(at), LinkType::RAW, frame);
//! }
//!
//! let mut ledger = InspectLedger::default();
//! let engine = pipeline::inspect(Box::new(source), &Settings::default(), Interests::default(), &mut |event| {
//!     ledger.note(&event);
//!     true
//! })?;
//! let summary = ledger.finish(engine, Started::now());
//!
//! assert_eq!(summary.frames.decoded, 2);
//! assert_eq!(summary.requests.seen, 1);
//! assert_eq!(summary.production.statuses["200"], 1);
//! assert_eq!(summary.production.latency_us.max, 3_500);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bounded;
pub mod capture;
pub mod compare;
pub mod config;
mod content_coding;
pub mod decode;
pub mod exchange;
pub mod files;
pub mod flow;
mod head;
pub mod http1;
pub mod inspect;
#[doc(hidden)]
pub mod invariants;
pub mod middleware;
pub mod pipeline;
pub mod recording;
pub mod replay;
pub mod report;
pub mod sandbox;
pub mod sanitise;
pub mod serve;
#[cfg(test)]
mod testing;
