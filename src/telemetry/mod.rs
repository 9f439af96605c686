//! Telemetry to other systems during a run: spans of deliveries (OTLP over HTTP), and a word when a guard changes its mind
//! (a webhook).
//!
//! Spans and words come in through bounded queues that nobody waits for; they leave over HTTP, on a thread of their own.
//! What finds no room, or is not taken in time, is counted. Nothing of it reaches the targets or the report, but for the
//! counts.

mod client;
mod endpoint;
mod otlp;
mod sender;
mod traceparent;
mod webhook;

pub use endpoint::{Endpoint, EndpointError};
pub use sender::Telemetry;
pub use traceparent::TraceParent;

pub(crate) use otlp::{FinishedSpan, SpanStatus};
pub(crate) use sender::{SpanSender, TelemetryStage, WordSender};
pub(crate) use webhook::GuardWord;
