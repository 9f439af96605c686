//! shadowtap rehearses a migration with real traffic: it taps HTTP off the wire, replays the requests against
//! another stack and says what differed.
//!
//! The stages are folders, in the order in which a datum goes through them:
//!
//! ```text
//! capture -> decode -> flow -> http1 -> recording -> middleware -> replay -> compare -> report -> serve
//!  frame     segment   chunk   event     record      request      delivery  difference  summary   page
//! ```
//!
//! - [`capture`]: frames, from interfaces, files or memory.
//! - [`decode`]: the TCP segment in a frame.
//! - [`flow`]: the bytes of each side of a connection, in order, and what is missing.
//! - `head`: the lines of a message head, edited in place.
//! - [`http1`]: messages, and which response belongs to which request.
//! - [`recording`]: events and frames written to disk, and read back.
//! - [`middleware`]: matches, samples, limits, rewrites, redacts and routes requests.
//! - [`replay`]: sends requests to targets in time.
//! - [`compare`]: finds in what two responses differ.
//! - [`report`]: counts what became of every request, makes the summary, renders it.
//! - [`inspect`]: counts what a capture holds, without a target.
//! - [`serve`]: shows a run that goes on, and takes commands for it.
//! - [`config`]: checks what the user asked for.
//! - [`pipeline`]: wires the stages into threads and channels.
//!
//! All of them use [`exchange`], the types of requests, responses, events and outcomes; [`fleet`] has what replayers tell each
//! other. [`bounded`], [`causes`],
//! [`files`], [`sandbox`] and [`sanitize`] are small helpers of the stages; [`help`] knows what helps against their errors.
//!
//! A run ([`pipeline::run`]) has a thread for each stage that could hold up another, and a bound on each channel between
//! them. Only a file waits where one is full; what a live capture cannot hand on is shed, whole requests at a time, and
//! counted.
//!
//! ```text
//!   capture thread            pacing thread                  sending runtime (tokio)
//!  +------------------+      +--------------------------+   +-----------------------+
//!  | source           |      | wait until due           |   | queue of each target  |
//!  | decode           |event | filter chain             |job| client: wire, reqwest |
//!  | flow             |----->| for each target: sample, |-->|   -> target           |
//!  | http1            |      |   guard, filters         |   |   <- response         |
//!  +------------------+      +--------------------------+   +-----------------------+
//!       | frames (pcap)          | event      | fact                 | fact
//!       v                        v            v                      v
//!  +---------------------------------+   +------------------------------------+
//!  | recording thread -> disk        |   | report thread: ledger, join,       |
//!  +---------------------------------+   |   comparison, histograms -> summary|
//!                                        +------------------------------------+
//!                                             | snapshot, on demand
//!                                             v
//!                                        showing runtime: live page, metrics
//! ```
//!
//! The program needs the feature `cli`, which is on by default: with `default-features = false` a library user gets none of
//! its dependencies.
//!
//! From frames in memory to a summary, without a socket, a clock or a thread:
//!
//! ```
//! use etherparse::PacketBuilder;
//! use shadowtap::capture::{LinkType, MemorySource, Settings};
//! use shadowtap::exchange::Timestamp;
//! use shadowtap::http1::BodyPolicies;
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
//! let engine = pipeline::inspect(Box::new(source), &Settings::default(), BodyPolicies::default(), &mut |event| {
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

// In the order of the data path.
pub mod capture;
pub mod decode;
pub mod flow;
mod head;
pub mod http1;
pub mod recording;

pub mod middleware;
pub mod replay;

pub mod compare;
pub mod inspect;
pub mod report;
pub mod serve;
pub mod telemetry;

pub mod config;
pub mod doctor;
pub mod pipeline;

// What all of them use.
pub mod bounded;
pub mod causes;
mod content_coding;
pub mod exchange;
pub mod files;
pub mod fleet;
pub mod help;
pub(crate) mod json_path;
pub mod priority;
mod quantity;
pub mod route_pattern;
pub mod sandbox;
pub mod sanitize;
mod suggest;

#[doc(hidden)]
pub mod invariants;
#[cfg(test)]
mod testing;
