//! Reporting of target responses to the external processes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ResponseSender;
use crate::exchange::{ExchangeId, Request, Timestamp};
use crate::middleware::external::{MessageType, OutgoingMessage, framed_by_length};
use crate::pipeline::clock::wall_clock;
use crate::replay::{
    AnyClient, Client, ConnCounters, ConnNumber, ResponseOptions, ResponseProgress, RetainedResponse, SendError,
    TargetResponse, Ticket,
};

/// Longest response body sent to a process, in bytes. Of a longer one the head alone is sent: each request in flight
/// may hold this much.
const MAX_TOLD_BODY: usize = 256 << 10;

/// A client that reports each response to the processes before it passes it on.
pub(in crate::pipeline) struct NotifyingClient {
    pub(in crate::pipeline) client: Arc<AnyClient>,
    pub(in crate::pipeline) responses: ResponseSender,
}

impl Client for NotifyingClient {
    fn refuses(&self, request: &Request) -> Option<&'static str> {
        self.client.refuses(request)
    }

    async fn send(
        &self,
        turn: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, SendError> {
        let (id, at, begun) = (request.id, wall_clock(), Instant::now());
        let more = ResponseOptions { kept: Some(wanted.kept.unwrap_or_default().max(MAX_TOLD_BODY)), ..wanted };
        let mut answer = self.client.send(turn, request, more, progress).await?;
        if let Some(kept) = &answer.kept {
            self.responses
                .send(id, notify(&self.responses, id, at, answer.done.saturating_duration_since(begun), kept));
        }
        if wanted.kept.is_none() {
            answer.kept = None;
        }
        Ok(answer)
    }

    fn connections(&self) -> ConnCounters {
        self.client.connections()
    }

    fn desynchronised(&self) -> Vec<ConnNumber> {
        self.client.desynchronised()
    }
}

fn notify(
    responses: &ResponseSender,
    id: ExchangeId,
    at: Timestamp,
    latency: Duration,
    kept: &RetainedResponse,
) -> OutgoingMessage {
    let (head, body) = (kept.head.clone(), kept.body.clone());
    let head = match &body {
        Some(body) => framed_by_length(head, body),
        None => head,
    };
    OutgoingMessage { kind: MessageType::Replayed, id: responses.name(id), at, latency, head, body }
}
