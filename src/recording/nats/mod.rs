//! Recordings on NATS JetStream: the engine behind `nats://`.
//!
//! Events of a node go out in batches, each to the partition of its connections ([`output`]); a reader takes them batch by batch
//! ([`input`]). A recording `evening` is the stream `shadowtap-evening`, and the bucket of keys of that name, which says who
//! takes part. Here alone in this folder there are a clock, threads and sockets.

mod assemble;
mod batch;
mod clock;
mod connect;
mod decode;
mod feed;
mod heartbeat;
mod input;
mod names;
mod node;
mod output;
mod probe;
mod publisher;
mod readers;
mod runtime;
mod share;
mod spool;
mod spooling;
mod summaries;
mod transit;

pub(super) use input::NatsInput;
pub(super) use output::NatsOutput;
pub(super) use probe::probe;
pub(super) use share::{SharedInput, account, status, steer};
