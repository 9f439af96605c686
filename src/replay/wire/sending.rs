//! One request over whichever connection: a pooled one, its own, or a new one; once more only where that is safe.

use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::time::Instant;

use super::WireClient;
use super::exchange::{ExchangeError, SendResult, exchange};
use super::mirrored::MirroredState;
use super::pool::ConnPool;
use super::request::EncodedRequest;
use super::upstream::{QUIET, Readiness, UpstreamConn};
use super::{shortage, unasked};
use crate::exchange::ExchangeId;
use crate::replay::{ResponseOptions, ResponseProgress, SendError, TargetResponse, Ticket};

/// Time that a connection must stay quiet once a target has said something unasked.
const SUSPECT_QUIET: Duration = Duration::from_millis(100);
/// New connections that are not used for one request, because something came before it was sent; with the next one it fails.
const MAX_UNASKED: u32 = 3;

impl WireClient {
    /// Over `first`, to which it was written already, or a pooled connection, or a new one.
    pub(super) async fn pooled(
        &self,
        pool: &ConnPool,
        sending: &Sending<'_>,
        mut first: Option<Box<UpstreamConn>>,
    ) -> Result<TargetResponse, SendError> {
        let mut tries = Tries::default();
        loop {
            let pooled = match first.take() {
                None if !tries.retried => idle(pool, sending).await,
                first => first,
            };
            let (mut link, used) = match pooled {
                Some(link) => (link, true),
                None => match Box::pin(self.fresh(sending, &mut tries)).await? {
                    Some(link) => (Box::new(link), false),
                    None => continue,
                },
            };
            match self.over(&mut link, sending).await {
                Ok(answered) => {
                    if answered.reusable {
                        pool.give(link, answered.read.done, answered.read.idle_timeout);
                    }
                    return Ok(answer(answered, sending.progress));
                }
                Err(failed) => self.again(sending, &mut tries, used, failed)?,
            }
        }
    }

    /// Over the connection of the request's lane, which is opened anew where the target has ended it.
    pub(super) async fn mirrored(&self, mut turn: Ticket, sending: &Sending<'_>) -> Result<TargetResponse, SendError> {
        let mut tries = Tries::default();
        loop {
            let kept = match turn.lane.as_mut().map(|place| place.take()).unwrap_or_default() {
                MirroredState::Open(mut link) => link.is_ready().then_some(link),
                MirroredState::Opening(mut opening) => match (&mut opening.0).await {
                    // Its target may have ended it since.
                    Ok(Ok(mut link)) => link.is_ready().then_some(link),
                    _ => None,
                },
                MirroredState::None => None,
            };
            let (mut link, used) = match kept {
                Some(link) => (link, true),
                None => match Box::pin(self.fresh(sending, &mut tries)).await? {
                    Some(link) => (link, false),
                    None => continue,
                },
            };
            let exchanged = {
                let exchange = pin!(self.over(&mut link, sending));
                leaving_place(exchange, sending.progress, &mut turn).await
            };
            match exchanged {
                Ok(answered) => {
                    if let (true, Some(place)) = (answered.reusable, turn.lane.as_mut()) {
                        place.put(MirroredState::Open(link));
                    }
                    return Ok(answer(answered, sending.progress));
                }
                Err(failed) => self.again(sending, &mut tries, used, failed)?,
            }
        }
    }

    /// A new connection; `None` where another one is to be tried. To be boxed: all that connects would otherwise be part of,
    /// and moved about with, each request over a connection that stands.
    async fn fresh(&self, sending: &Sending<'_>, tries: &mut Tries) -> Result<Option<UpstreamConn>, SendError> {
        let connected = self.connector.connect(sending.begun).await;
        if connected.is_ok() {
            self.shortage.ends();
        }
        match connected {
            Ok(mut link) => match link.said_before_a_request() {
                false => Ok(Some(link)),
                true if tries.unasked < MAX_UNASKED => {
                    tries.unasked += 1;
                    Ok(None)
                }
                true => Err(unasked::before_request()),
            },
            // The machine may have room again in a moment: others give theirs back.
            Err(SendError::Shed(place)) => {
                if self.shortage.is_over(&self.host, place, sending.begun.elapsed(), self.connector.timeout) {
                    return Err(SendError::Shed(place));
                }
                tokio::time::sleep(shortage::PAUSE).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Runs one exchange. After the first one of a connection it waits for a moment of quiet: a target that sends a
    /// response before the request has the true one still on its way.
    async fn over(&self, link: &mut UpstreamConn, sending: &Sending<'_>) -> Result<SendResult, ExchangeError> {
        let Sending { id, outgoing, wanted, begun, progress } = *sending;
        link.address.asked();
        let mut answered = exchange(link, id, outgoing, wanted, &self.exchanges, progress).await?;
        let is_settled = link.history.is_settled && !self.connector.ledger.is_suspect();
        if link.history.exchanges > 1 || is_settled || !link.history.is_idle {
            return Ok(answered);
        }
        match self.quiet_after(link, answered.read.done, begun + self.connector.timeout / 2).await {
            Readiness::Ready => Ok(answered),
            Readiness::Closed => {
                link.history.is_idle = false;
                if std::mem::take(&mut answered.reusable) {
                    link.closed_soon();
                }
                Ok(answered)
            }
            Readiness::Spoke => {
                link.desynchronised();
                Err(ExchangeError { error: unasked::after_response(), nothing_sent: false, closed_unanswered: false })
            }
        }
    }

    /// Waits until a connection has been quiet for long enough since `done`, or until `latest`; returns its readiness then.
    async fn quiet_after(&self, link: &mut UpstreamConn, done: Instant, latest: Instant) -> Readiness {
        let ledger = &self.connector.ledger;
        if !ledger.is_suspect() {
            let readiness = link.settle((done + QUIET).min(latest)).await;
            // Another connection may have shown meanwhile what this target does.
            if readiness != Readiness::Ready || !ledger.is_suspect() {
                return readiness;
            }
        }
        link.settle((done + SUSPECT_QUIET).min(latest)).await
    }

    /// Returns `Ok` where a failed request may be sent once more; else the reason that it failed.
    fn again(
        &self,
        sending: &Sending<'_>,
        tries: &mut Tries,
        used: bool,
        failed: ExchangeError,
    ) -> Result<(), SendError> {
        if used {
            self.connector.ledger.failed_reused();
        }
        if failed.nothing_sent && used {
            return Ok(());
        }
        if failed.closed_unanswered && used && sending.outgoing.changes_nothing && !tries.retried {
            tries.retried = true;
            self.connector.ledger.retried();
            return Ok(());
        }
        Err(failed.error)
    }
}

/// One request on its way, over whichever connection.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) id: ExchangeId,
    pub(super) outgoing: &'a EncodedRequest,
    pub(super) wanted: ResponseOptions,
    pub(super) begun: Instant,
    pub(super) progress: &'a ResponseProgress,
}

/// A connection of the pool that is alive. Where none has rested that needs to, the request waits for one: a new connection
/// for each would soon cost more ports than there are.
async fn idle(pool: &ConnPool, sending: &Sending<'_>) -> Option<Box<UpstreamConn>> {
    let may_be_repeated = sending.outgoing.changes_nothing;
    loop {
        let rested = pool.take(sending.begun, may_be_repeated);
        if rested.is_some() || may_be_repeated {
            return rested;
        }
        let (mut link, at) = pool.take_resting()?;
        // Boxed: few requests wait, and each would carry the room for it.
        Box::pin(tokio::time::sleep_until(at)).await;
        if link.is_ready() {
            return Some(link);
        }
    }
}

/// Retries of a request so far.
#[derive(Default)]
struct Tries {
    /// It went out once more, over a new connection.
    retried: bool,
    /// New connections that were not used, because something came before it was sent.
    unasked: u32,
}

/// What `exchange` yields; the turn leaves its place among the connections as soon as this one does not count any more.
async fn leaving_place<T>(
    mut exchange: Pin<&mut impl Future<Output = T>>,
    progress: &ResponseProgress,
    turn: &mut Ticket,
) -> T {
    std::future::poll_fn(|cx| {
        let polled = exchange.as_mut().poll(cx);
        if polled.is_pending()
            && progress.is_beside()
            && let Some(turn) = turn.lane.as_mut()
        {
            turn.leave_place();
        }
        polled
    })
    .await
}

fn answer(answered: SendResult, progress: &ResponseProgress) -> TargetResponse {
    let SendResult { read, written, connection, .. } = answered;
    TargetResponse {
        status: read.status,
        body_len: read.body_len,
        body_sha256: read.body_sha256,
        kept: read.kept,
        closed: if read.is_whole { None } else { progress.closing() },
        written,
        first_byte: read.first_byte,
        done: read.done,
        connection: Some(connection),
    }
}
