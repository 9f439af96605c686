//! One request and its response over one connection, both ways at once.
//!
//! A request's bytes and an open [`UpstreamConn`](super::upstream::UpstreamConn) go in; the response comes out, or the
//! reason that there is none and whether any byte of the request may have been sent. Reading continues while the
//! request is being written: a target may respond early.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::conn_stats::History;
use super::failure;
use super::request::EncodedRequest;
use super::response::{ReadResponse, ResponseError, ResponseReader};
use super::turns::{ReadTurn, ReadTurns};
use super::unasked::{self, Unasked};
use super::upstream::UpstreamConn;
use crate::exchange::{ExchangeId, FailureKind};
use crate::replay::{ConnNumber, Reason, ResponseOptions, ResponseProgress, SendError, tls_refusal};

/// Time that a body waits for the 100 that its head asked for (RFC 9110, 10.1.1: not indefinitely).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Reason that there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExchangeError {
    pub(super) error: SendError,
    /// Not a byte of the request was taken by the system: it may go over another connection.
    pub(super) nothing_sent: bool,
    /// The connection ended without a byte of a response: a request that changes nothing may go over another one.
    pub(super) closed_unanswered: bool,
}

/// Settings common to all exchanges of a client.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) max_response: u64,
    pub(super) turns: ReadTurns,
}

/// A response, and when the last byte of the request was handed to the system.
#[derive(Debug)]
pub(super) struct SendResult {
    pub(super) read: ReadResponse,
    pub(super) written: Instant,
    pub(super) connection: ConnNumber,
    /// The connection can carry another request.
    pub(super) reusable: bool,
}

/// Sends `outgoing` over `link` and reads the response to its end. The caller sets the time limit by dropping the
/// future, and then has to drop the link, too.
pub(super) async fn exchange(
    link: &mut UpstreamConn,
    id: ExchangeId,
    outgoing: &EncodedRequest,
    wanted: ResponseOptions,
    terms: &Terms,
    progress: &ResponseProgress,
) -> Result<SendResult, ExchangeError> {
    link.history.is_idle = false;
    // It may have been said before the request came (RFC 9110, 15.5.9).
    let heeds_408 = outgoing.changes_nothing && (link.history.exchanges > 0 || link.history.is_settled);
    let mut running = WireExchange::new(outgoing, wanted, terms);
    let ahead = std::mem::take(&mut link.written_ahead);
    (running.head_sent, running.written) = (ahead.bytes, ahead.whole);
    std::future::poll_fn(|cx| match running.poll(link, cx) {
        Poll::Pending if running.closes(progress) => Poll::Ready(Ok(())),
        polled => polled,
    })
    .await?;
    let history = History { exchanges: link.history.exchanges + 1, last: Some(id), ..link.history };
    let sent = running.finish(link, history)?;
    if heeds_408 && sent.read.status == 408 && !sent.read.reusable && progress.begun().is_none() {
        return Err(ExchangeError { closed_unanswered: true, ..failed(unasked::idle_timeout()) });
    }
    Ok(sent)
}

/// Invariant: `written` is set when, and only when, the last byte was handed to the system: to when that began. A target
/// on the same machine may have responded by the time it ends.
struct WireExchange<'a> {
    outgoing: &'a EncodedRequest,
    head_sent: usize,
    body_sent: usize,
    /// When the last piece was handed over.
    handed: Option<Instant>,
    gate: ExpectContinue,
    written: Option<Instant>,
    reader: ResponseReader,
    turns: &'a ReadTurns,
    turn: ReadTurn,
}

/// State of the body's permission to be sent.
enum ExpectContinue {
    Open,
    /// It waits for a 100, or for its timeout, which begins when the head is written.
    Closed(Option<Pin<Box<Sleep>>>),
    /// The connection takes nothing more; what it has to say is still read.
    Shut(SendError),
}

impl<'a> WireExchange<'a> {
    fn new(outgoing: &'a EncodedRequest, wanted: ResponseOptions, terms: &'a Terms) -> Self {
        Self {
            outgoing,
            head_sent: 0,
            body_sent: 0,
            handed: None,
            gate: if outgoing.expects { ExpectContinue::Closed(None) } else { ExpectContinue::Open },
            written: None,
            reader: ResponseReader::new(outgoing.asked, wanted, terms.max_response),
            turns: &terms.turns,
            turn: ReadTurn::default(),
        }
    }

    /// Notes how far the response has come; says whether it is to be closed there.
    fn closes(&self, progress: &ResponseProgress) -> bool {
        let Some((begun, received)) = self.reader.begun() else { return false };
        progress.note(|| begun, received);
        if let Some(head) = self.reader.early_head() {
            progress.note_head(|| head.clone());
        }
        progress.closing().is_some()
    }

    /// Ready when the response is whole, or never will be.
    fn poll(&mut self, link: &mut UpstreamConn, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        loop {
            self.poll_write(link, cx)?;
            ready!(self.turn.poll(self.turns, cx));
            let (reader, turn) = (&mut self.reader, &mut self.turn);
            let waits = matches!(self.gate, ExpectContinue::Closed(_));
            let take = |bytes: &[u8]| {
                turn.read(bytes.len());
                take(reader, bytes)
            };
            match link.poll_read(cx, take) {
                Poll::Ready(Ok(Ok(true))) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Ok(false))) if waits && (reader.continued() || reader.is_final()) => self.open_gate(),
                Poll::Ready(Ok(Ok(false))) => {}
                Poll::Ready(Ok(Err(broken))) => {
                    tracing::debug!(why = %broken, "a response that cannot be read");
                    let closed = broken == ResponseError::Ended;
                    return Poll::Ready(Err(ExchangeError {
                        closed_unanswered: closed,
                        ..failed(broken.into_error())
                    }));
                }
                // An end without TLS's farewell may have been made by anybody on the way (RFC 9112, 9.8).
                Poll::Ready(Err(error)) => {
                    let error = self.shut().unwrap_or_else(|| failure::of_connection(&error));
                    let reset = error.kind() == Some(FailureKind::Reset);
                    let closed_unanswered = reset && !self.reader.has_begun();
                    return Poll::Ready(Err(ExchangeError { closed_unanswered, ..failed(error) }));
                }
                Poll::Pending => {
                    self.turn.drained();
                    return Poll::Pending;
                }
            }
        }
    }

    /// After a 100 the body goes; after a final response it does not.
    fn open_gate(&mut self) {
        self.gate = if self.reader.is_final() { ExpectContinue::Shut(unfinished()) } else { ExpectContinue::Open };
    }

    /// Writes what can be written; an error is one only where not a byte had gone.
    fn poll_write(&mut self, link: &mut UpstreamConn, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
        if self.written.is_some() || matches!(self.gate, ExpectContinue::Shut(_)) {
            return Ok(());
        }
        if let Poll::Ready(Err(error)) = self.poll_send(link, cx) {
            let error = failure::of_connection(&error);
            if self.head_sent == 0 && !link.is_tls() {
                return Err(ExchangeError { nothing_sent: true, ..failed(error) });
            }
            self.gate = ExpectContinue::Shut(error);
        }
        Ok(())
    }

    fn poll_send(&mut self, link: &mut UpstreamConn, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            let head = self.outgoing.head.get(self.head_sent..).unwrap_or_default();
            let body = match self.gate {
                ExpectContinue::Open => self.outgoing.body.get(self.body_sent..).unwrap_or_default(),
                _ => &[],
            };
            if head.is_empty() && body.is_empty() {
                ready!(link.poll_flush(cx))?;
                if self.is_waiting(cx) {
                    return Poll::Pending;
                }
                if self.body_sent == self.outgoing.body.len() {
                    self.written = self.handed;
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            self.handed = Some(Instant::now());
            let sent = ready!(link.poll_write(cx, head, body))?;
            if sent == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            let of_head = sent.min(head.len());
            self.head_sent += of_head;
            self.body_sent += sent - of_head;
        }
    }

    /// Returns whether the body still waits for a 100.
    fn is_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        let ExpectContinue::Closed(patience) = &mut self.gate else { return false };
        let patience = patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(CONTINUE_PATIENCE)));
        if patience.as_mut().poll(cx).is_ready() {
            self.gate = ExpectContinue::Open;
            return false;
        }
        true
    }

    fn shut(&self) -> Option<SendError> {
        match &self.gate {
            ExpectContinue::Shut(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// The response, unless more came than that.
    fn finish(self, link: &mut UpstreamConn, history: History) -> Result<SendResult, ExchangeError> {
        let (whole, closes) = (self.written.is_some(), self.outgoing.closes);
        let read = self.reader.finish().ok_or_else(|| failed(unfinished()))?;
        let is_idle = whole && read.is_whole && read.followed_by.is_none();
        link.history = History { bodiless: read.bodiless, is_idle, ..history };
        if read.followed_by == Some(Unasked::Response) {
            link.desynchronised();
            return Err(failed(unasked::after_response()));
        }
        if let Some(error) = tls_refusal::failure(&read.refusal, link.is_tls()) {
            return Err(failed(error));
        }
        // Early responses: nothing of the service time is the target's.
        let written = self.written.map_or(read.first_byte, |written| written.min(read.first_byte));
        let reusable = read.reusable && whole && !closes;
        Ok(SendResult { read, written, connection: link.number, reusable })
    }
}

const fn failed(error: SendError) -> ExchangeError {
    ExchangeError { error, nothing_sent: false, closed_unanswered: false }
}

/// The connection takes nothing more, and there is no response.
fn unfinished() -> SendError {
    SendError::failed(FailureKind::Reset, Reason::new("connection closed before a response began"))
}

/// Hands bytes, or the end of the stream, to the reader; says whether the response is whole.
fn take(reader: &mut ResponseReader, bytes: &[u8]) -> Result<bool, ResponseError> {
    let now = Instant::now();
    if bytes.is_empty() { reader.end(now).map(|()| true) } else { reader.feed(bytes, now) }
}
