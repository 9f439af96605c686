//! A client with scripted responses: the in-memory counterpart of the network in unit tests.
//!
//! A request goes in, the response that a function returns comes out, after the delay that the function sets. Nothing
//! leaves the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    BegunResponse, Client, ConnCounters, ResponseOptions, ResponseProgress, RetainedResponse, SendError,
    TargetResponse, Ticket,
};
use crate::exchange::{FailureKind, Head, Request, digest};

/// A script's reply to a request.
#[derive(Clone, Debug)]
pub(crate) struct ScriptedReply {
    after: Option<Duration>,
    result: Result<(u16, Bytes), FailureKind>,
    /// How the body goes on, where it does not end.
    endless: Option<EndlessBody>,
}

/// What the head of a response tells of a body that does not end.
#[derive(Clone, Copy, Debug)]
struct EndlessBody {
    length: Option<u64>,
    is_stream: bool,
}

impl ScriptedReply {
    /// Returns a response that comes at once.
    #[must_use]
    pub(crate) fn status(status: u16, body: impl Into<Bytes>) -> Self {
        Self { after: Some(Duration::ZERO), result: Ok((status, body.into())), endless: None }
    }

    /// A failure, at once.
    #[must_use]
    pub(crate) const fn failure(kind: FailureKind) -> Self {
        Self { after: Some(Duration::ZERO), result: Err(kind), endless: None }
    }

    /// Returns a reply that never comes.
    #[must_use]
    pub(crate) const fn never() -> Self {
        Self { after: None, result: Err(FailureKind::Timeout), endless: None }
    }

    /// The same, as a stream that goes on until it is closed.
    #[must_use]
    pub(crate) const fn stream(mut self) -> Self {
        self.endless = Some(EndlessBody { length: None, is_stream: true });
        self
    }

    /// The same, where the head announces so many bytes, of which no more come.
    #[must_use]
    pub(crate) const fn stalled(mut self, length: Option<u64>) -> Self {
        self.endless = Some(EndlessBody { length, is_stream: false });
        self
    }

    /// The same, later.
    #[must_use]
    pub(crate) const fn after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }
}

/// A client whose responses are a function of the requests.
#[derive(Debug)]
pub(crate) struct MemoryClient<F> {
    script: F,
    busy: AtomicU64,
    peak: AtomicU64,
}

impl<F> MemoryClient<F> {
    /// Returns a client that responds as `script` says.
    pub(crate) const fn new(script: F) -> Self {
        Self { script, busy: AtomicU64::new(0), peak: AtomicU64::new(0) }
    }
}

/// One request in flight; it is over when this is dropped, even if the response was abandoned.
struct InFlightReply<'a>(&'a AtomicU64);

impl Drop for InFlightReply<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F: Fn(&Request) -> ScriptedReply + Send + Sync + 'static> Client for MemoryClient<F> {
    async fn send(
        &self,
        _: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, SendError> {
        self.peak.fetch_max(self.busy.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let _busy = InFlightReply(&self.busy);
        let written = Instant::now();
        let reply = (self.script)(&request);
        match reply.after {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
        let (status, body) = reply.result?;
        let now = Instant::now();
        let mut closed = None;
        if let Some(EndlessBody { length, is_stream }) = reply.endless {
            progress.note(|| BegunResponse { at: now, length, is_stream }, body.len() as u64);
            closed = progress.unless_closing(std::future::pending::<()>()).await.err();
        }
        Ok(TargetResponse {
            status,
            body_len: body.len() as u64,
            body_sha256: if wanted.hash && closed.is_none() { digest(&body) } else { None },
            kept: wanted.kept.map(|most| {
                let head = Head::new(format!("HTTP/1.1 {status}\r\n\r\n").into_bytes());
                Box::new(RetainedResponse::new(head, (body.len() <= most).then(|| body.clone())))
            }),
            closed,
            written,
            first_byte: now,
            done: Instant::now(),
            connection: None,
        })
    }

    /// As many connections as a pool would have needed.
    fn connections(&self) -> ConnCounters {
        let peak = self.peak.load(Ordering::Relaxed);
        ConnCounters { opened: peak, peak, ..ConnCounters::default() }
    }
}
