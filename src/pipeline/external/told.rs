//! What targets answer, told to the processes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Teller;
use crate::exchange::{ExchangeId, Request, Timestamp};
use crate::middleware::external::{Kind, Told, framed_by_length};
use crate::pipeline::wall_clock;
use crate::replay::{Answer, AnyClient, Client, Connections, Kept, SendError, Turn, Wanted};

/// Longest body of an answer that is told, in bytes. Of a longer one the head alone is: each request in flight may hold
/// as much.
const MAX_TOLD_BODY: usize = 256 << 10;

/// A client that tells each answer before it hands it on.
pub(in crate::pipeline) struct Telling {
    pub(in crate::pipeline) client: Arc<AnyClient>,
    pub(in crate::pipeline) teller: Teller,
}

impl Client for Telling {
    fn refuses(&self, request: &Request) -> Option<&'static str> {
        self.client.refuses(request)
    }

    async fn send(&self, turn: Turn, request: Box<Request>, wanted: Wanted) -> Result<Answer, SendError> {
        let (id, at, begun) = (request.id, wall_clock(), Instant::now());
        let more = Wanted { kept: Some(wanted.kept.unwrap_or_default().max(MAX_TOLD_BODY)), ..wanted };
        let mut answer = self.client.send(turn, request, more).await?;
        if let Some(kept) = &answer.kept {
            self.teller.tell(id, told(&self.teller, id, at, answer.done.saturating_duration_since(begun), kept));
        }
        if wanted.kept.is_none() {
            answer.kept = None;
        }
        Ok(answer)
    }

    fn connections(&self) -> Connections {
        self.client.connections()
    }
}

fn told(teller: &Teller, id: ExchangeId, at: Timestamp, latency: Duration, kept: &Kept) -> Told {
    let (head, body) = (kept.head.clone(), kept.body.clone());
    let head = match &body {
        Some(body) => framed_by_length(head, body),
        None => head,
    };
    Told { kind: Kind::Replayed, id: teller.name(id), at, latency, head, body }
}
