//! A target without a socket: requests are written and responses read as over a connection, in memory.

use tokio::time::Instant;

use super::request::{RewriteRules, encode};
use super::response::ResponseReader;
use crate::exchange::Request;
use crate::replay::{ConnNumber, ResponseOptions, SendSettings, TargetResponse};

/// Writes requests and reads responses as [`super::WireClient`] does.
pub(crate) struct InMemoryTarget {
    rules: RewriteRules,
    max_response: u64,
    connection: ConnNumber,
}

impl InMemoryTarget {
    /// A target of these settings.
    pub(crate) fn new(settings: &SendSettings) -> Self {
        Self { rules: RewriteRules::of(settings), max_response: settings.max_response, connection: ConnNumber::next() }
    }

    /// Writes `request` to `sent`, and reads the bytes of `response`. Returns `None` where the request cannot be written,
    /// or the response is not whole.
    pub(crate) fn exchange(
        &self,
        request: &Request,
        wanted: ResponseOptions,
        sent: &mut dyn FnMut(&[u8]),
        response: &[u8],
    ) -> Option<TargetResponse> {
        let outgoing = encode(request, &self.rules)?;
        sent(&outgoing.head);
        sent(&outgoing.body);
        let now = Instant::now();
        let mut reader = ResponseReader::new(outgoing.asked, wanted, self.max_response);
        if !reader.feed(response, now).ok()? {
            reader.end(now).ok()?;
        }
        let read = reader.finish()?;
        Some(TargetResponse {
            status: read.status,
            body_len: read.body_len,
            body_sha256: read.body_sha256,
            kept: read.kept,
            closed: None,
            written: now,
            first_byte: read.first_byte,
            done: read.done,
            connection: Some(self.connection),
        })
    }
}
