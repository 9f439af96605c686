//! What goes to the external processes and comes back from them, on the pacing thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::{Event, ExchangeId, Outcome, Request, Response};
use crate::middleware::context::ResponseFilter;
use crate::middleware::external::IncomingMessage;
use crate::pipeline::budget::BudgetShare;
use crate::replay::ResponseOptions;
use crate::report::{RequestRecord, TargetSet};

/// Message from the tasks.
pub(in crate::pipeline) enum WorkerMessage {
    Said(IncomingMessage),
    /// A process has ended, and none takes its place.
    Gone,
}

/// Something that comes back, with its share of the memory that such may take.
pub(in crate::pipeline) type QueuedWorkerMessage = (WorkerMessage, BudgetShare);

/// A request that passed the chain.
pub(in crate::pipeline) struct AcceptedRequest {
    pub(in crate::pipeline) note: RequestRecord,
    pub(in crate::pipeline) request: Box<Request>,
    pub(in crate::pipeline) due: Option<Instant>,
    /// Time from its last byte on the wire until it was due, of a live capture.
    pub(in crate::pipeline) capture_delay: Option<Duration>,
    /// Targets of the request.
    pub(in crate::pipeline) targets: TargetSet,
    /// How it is sent: whether a filter gave it its Host, and which values it may carry.
    pub(in crate::pipeline) wanted: ResponseOptions,
    /// Its place in the sample, see [`crate::middleware::Chain::place`].
    pub(in crate::pipeline) place: u64,
    /// The links that redacted it, and are to redact its response.
    pub(in crate::pipeline) response_filters: Vec<Arc<dyn ResponseFilter>>,
}

/// Production's response to a request that still waits, or the report that there is none.
pub(in crate::pipeline) type ProductionResult = Event;

/// Result of a message, or of a timeout.
pub(in crate::pipeline) enum Resolution {
    /// A request came back.
    Passed {
        passed: AcceptedRequest,
        answered: Option<ProductionResult>,
        /// True when any part of it was changed.
        changed: bool,
    },
    /// A request did not come back.
    Ended { note: RequestRecord, outcome: Outcome },
    /// A request that was never sent to the process.
    MadeUp(Box<Request>),
    /// A response came back; `None` where it did not.
    Response { of: ExchangeId, response: Option<Box<Response>> },
    /// Something that changes nothing.
    Nothing,
}
