//! Spans of deliveries, from the moment that a client is given the request.

use std::sync::Arc;

use super::clock::wall_clock;
use crate::exchange::{Request, Timestamp};
use crate::middleware::masking;
use crate::middleware::secret_names::SecretNames;
use crate::replay::{SendError, TargetResponse};
use crate::telemetry::{FinishedSpan, SpanSender, SpanStatus, TraceParent};

/// Makes the spans of one target.
#[derive(Clone)]
pub(super) struct TargetSpans {
    pub(super) target: Arc<str>,
    pub(super) secrets: SecretNames,
    pub(super) to: SpanSender,
}

/// A span that has begun. One that is dropped was given up: its time was over.
pub(super) struct OpenSpan {
    spans: TargetSpans,
    id: String,
    method: Vec<u8>,
    path: Vec<u8>,
    begun: Timestamp,
    production: Option<TraceParent>,
    status: Option<SpanStatus>,
}

impl TargetSpans {
    /// Begins the span of a request.
    pub(super) fn begin(&self, request: &Request) -> OpenSpan {
        let path = self.secrets.noted_target(request.path_and_query());
        OpenSpan {
            spans: self.clone(),
            id: request.id.to_string(),
            method: request.method().to_vec(),
            path: masking::target(&path).into_owned(),
            begun: wall_clock(),
            production: request.head.get("traceparent").and_then(TraceParent::parse),
            status: None,
        }
    }
}

impl OpenSpan {
    /// Ends it as the delivery did.
    pub(super) fn end(mut self, result: &Result<TargetResponse, SendError>) {
        self.status = Some(match result {
            Ok(response) => SpanStatus::Answered(response.status),
            Err(error) => SpanStatus::Failed(error.kind().map_or("shed", |kind| kind.key()).to_owned()),
        });
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let take = std::mem::take::<Vec<u8>>;
        self.spans.to.send(FinishedSpan {
            id: std::mem::take(&mut self.id),
            method: take(&mut self.method),
            path: take(&mut self.path),
            target: Arc::clone(&self.spans.target),
            begun: self.begun,
            ended: wall_clock(),
            status: self.status.take().unwrap_or_else(|| SpanStatus::Failed("timeout".to_owned())),
            production: self.production,
        });
    }
}
