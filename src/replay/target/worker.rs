//! One place among the requests in flight, and the requests that are sent in it one after another.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::idle::{Handed, IdleWorkers};
use super::prepared::{PreparedJob, SendPlace};
use super::waits::{ReusableTimeout, StopWait, WatchedSend};
use super::{Deliveries, TargetLinks, TargetQueue, not_reached, report, report_at_once, stopped, unless_stopped};
use crate::exchange::{ExchangeId, FailureKind, Outcome, Shed};
use crate::recording::Admission;
use crate::replay::response_watch::ResponseWatch;
use crate::replay::{
    Client, Delivery, Destination, Job, Prepared, Reason, ResponseProgress, SendError, SentAs, TargetLimits,
    TargetResponse,
};

/// What all places among the requests in flight share, and what a request in one needs. Where another one waits when that
/// has ended, its place takes that as well: a new task for each would cost more than to send it.
pub(super) struct SendWorker<C, D> {
    pub(super) destination: Destination,
    pub(super) client: Arc<C>,
    pub(super) limits: TargetLimits,
    pub(super) queue: TargetQueue,
    pub(super) deliveries: Deliveries<D>,
    pub(super) links: TargetLinks,
    /// Places for streams.
    pub(super) beside: Arc<Semaphore>,
    /// Places for ordinary requests.
    pub(super) ordinary: Arc<Semaphore>,
    /// Places for those who wait for a value.
    pub(super) aside: Arc<Semaphore>,
    pub(super) idle: IdleWorkers,
}

impl<C: Client, D: From<Box<Delivery>> + Send + 'static> SendWorker<C, D> {
    /// Sends `first`, what waits in the queue then, and what it is given later.
    pub(super) async fn run(self: Arc<Self>, first: PreparedJob, place: SendPlace, stop: watch::Receiver<bool>) {
        let alarm = pin!(tokio::time::sleep(self.limits.timeout));
        let mut watched = stop.clone();
        let stopped = pin!(stopped(&mut watched));
        let (mut alarm, mut stopped) = (ReusableTimeout::new(alarm), StopWait::new(stopped, &stop));
        let (inbox, mut handed) = mpsc::channel(1);
        let mut next = Some(Handed { job: first, place, inbox });
        while let Some(Handed { job, mut place, inbox }) = next {
            let mut job = Some(job);
            while let Some(one) = job {
                let waits = (&mut alarm, &mut stopped);
                let told = if self.goes_at_once(&one, &stop) {
                    Some(self.send(one.job, &mut place, waits).await)
                } else {
                    // In a place of its own: what goes at once is not to be moved about with what this takes.
                    Box::pin(self.one(one, &mut place, waits, &stop)).await
                };
                if let Some(told) = told
                    && let Some(full) = report_at_once(&self.deliveries, told)
                {
                    full.await;
                }
                // The place of a stream is for streams: whoever waits for an ordinary one has got it.
                job = match place {
                    SendPlace::Ordinary(_) => self.queue.at_hand().map(PreparedJob::new),
                    SendPlace::Beside(_) => None,
                };
            }
            // The place goes back last: whoever gets it finds this worker.
            let waits = self.idle.wait(inbox);
            drop(place);
            next = if waits { handed.recv().await } else { None };
        }
    }

    /// Returns whether a request waits for nothing and nobody, and may be sent: most do.
    fn goes_at_once(&self, job: &PreparedJob, stop: &watch::Receiver<bool>) -> bool {
        job.job.turn.is_free()
            && self.links.before_send.is_none()
            && self.links.session.is_none()
            && self.client.refuses(&job.job.request).is_none()
            && !*stop.borrow()
    }

    /// Sends a request in this place, or sets it aside until its values are known; `None` where it is told later.
    async fn one(
        self: &Arc<Self>,
        mut job: PreparedJob,
        place: &mut SendPlace,
        waits: (&mut ReusableTimeout<'_>, &mut StopWait<'_, impl Future<Output = ()>>),
        stop: &watch::Receiver<bool>,
    ) -> Option<Box<Delivery>> {
        // Where nothing is waited for any more, a request would go out in vain, and be counted as one that had no response.
        if *stop.borrow() && job.job.turn.written_at().is_none() {
            return Some(self.unsent(&job, self.not_reached(&job.job)));
        }
        match self.prepare_early(&mut job) {
            Prepared::Ready => {}
            Prepared::Ended(outcome) => return Some(self.unsent(&job, outcome)),
            // The others go on meanwhile, unless very many wait.
            Prepared::Waits { changed, at_most } => {
                if let Ok(aside) = Arc::clone(&self.aside).try_acquire_owned() {
                    tokio::spawn(Arc::clone(self).wait_aside(job, (changed, at_most), aside, stop.clone()));
                    return None;
                }
            }
        }
        Some(self.deliver(job, place, waits, stop).await)
    }

    fn unsent(&self, job: &PreparedJob, outcome: Outcome) -> Box<Delivery> {
        let carry_wait = job.carry_wait;
        Box::new(Delivery { carry_wait, ..Delivery::unsent(job.job.request.id, self.destination, outcome) })
    }

    fn not_reached(&self, job: &Job) -> Outcome {
        not_reached(job.due, &self.limits, &self.links)
    }

    /// Prepares a request whose turn it is. Others are prepared when it is: what comes before them may issue their values.
    fn prepare_early(&self, job: &mut PreparedJob) -> Prepared {
        if job.job.turn.is_free() { self.prepare(job) } else { Prepared::Ready }
    }

    /// Prepares a request for this destination, or says what it has to wait for.
    fn prepare(&self, job: &mut PreparedJob) -> Prepared {
        let PreparedJob { job, is_prepared, carry_wait } = job;
        let rules = job.wanted.carried;
        let Some(before_send) = self.links.before_send.as_ref().filter(|_| !*is_prepared && !rules.is_empty()) else {
            return Prepared::Ready;
        };
        let prepared = before_send.prepare(self.destination, &mut job.request, rules, *carry_wait);
        *is_prepared = !matches!(prepared, Prepared::Waits { .. });
        prepared
    }

    /// Waits until a request has its values, or has waited for long enough; how it ended, where it may not be sent.
    async fn wait_for_values(
        &self,
        job: &mut PreparedJob,
        mut wait: (oneshot::Receiver<()>, Duration),
        mut stop: watch::Receiver<bool>,
    ) -> Option<Outcome> {
        loop {
            if !waited(job, wait, &mut stop).await {
                return Some(self.not_reached(&job.job));
            }
            match self.prepare(job) {
                Prepared::Ready => return None,
                Prepared::Ended(outcome) => return Some(outcome),
                Prepared::Waits { changed, at_most } => wait = (changed, at_most),
            }
        }
    }

    /// Waits beside the requests in flight, and takes a place among them then: there it is prepared, or set aside again.
    fn wait_aside(
        self: Arc<Self>,
        mut job: PreparedJob,
        wait: (oneshot::Receiver<()>, Duration),
        aside: OwnedSemaphorePermit,
        stop: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut stopped = stop.clone();
            let place = async {
                let is_over = waited(&mut job, wait, &mut stopped).await;
                let place = Arc::clone(&self.ordinary).acquire_owned();
                if is_over { unless_stopped(&mut stopped, place).await } else { None }
            };
            match place.await {
                Some(Ok(place)) => {
                    drop(aside);
                    self.run(job, SendPlace::Ordinary(place), stop).await;
                }
                _ => report(&self.deliveries, self.unsent(&job, self.not_reached(&job.job))).await,
            }
        })
    }

    /// Sends a request when it is its turn and its values are known.
    async fn deliver(
        &self,
        mut job: PreparedJob,
        place: &mut SendPlace,
        (alarm, stopped): (&mut ReusableTimeout<'_>, &mut StopWait<'_, impl Future<Output = ()>>),
        stop: &watch::Receiver<bool>,
    ) -> Box<Delivery> {
        if let Some(outcome) = self.held_back(&mut job.job, alarm, stopped).await {
            return self.unsent(&job, outcome);
        }
        let ended = match self.prepare(&mut job) {
            Prepared::Ready => None,
            Prepared::Ended(outcome) => Some(outcome),
            Prepared::Waits { changed, at_most } => {
                self.wait_for_values(&mut job, (changed, at_most), stop.clone()).await
            }
        };
        if let Some(outcome) = ended {
            return self.unsent(&job, outcome);
        }
        if let Some(outcome) = self.refused(&job, stop.clone()).await {
            return self.unsent(&job, outcome);
        }
        let PreparedJob { mut job, carry_wait, .. } = job;
        // The wait for values is no lag, and nothing that users would feel.
        job.due = job.due.map(|due| due + carry_wait.unwrap_or_default());
        let mut delivery = self.send(job, place, (alarm, stopped)).await;
        delivery.carry_wait = carry_wait;
        delivery
    }

    /// Asks the store that the run shares with others, where there is one: how the request ended, where it may not go out.
    async fn refused(&self, job: &PreparedJob, mut stop: watch::Receiver<bool>) -> Option<Outcome> {
        let session = self.links.session.as_ref()?;
        let (id, is_write) = (job.job.request.id, !job.job.request.changes_nothing());
        match unless_stopped(&mut stop, session.admit(id, is_write)).await {
            Some(Admission::Send) => None,
            Some(Admission::Uncertain) => Some(Outcome::Shed(Shed::Uncertain)),
            Some(Admission::Moved) => Some(Outcome::Shed(Shed::Moved)),
            None => Some(self.not_reached(&job.job)),
        }
    }

    /// Waits for the request's turn; how it ended, where it may not be sent or has waited for too long.
    async fn held_back(
        &self,
        job: &mut Job,
        alarm: &mut ReusableTimeout<'_>,
        stop: &mut StopWait<'_, impl Future<Output = ()>>,
    ) -> Option<Outcome> {
        if let Some(rule) = self.client.refuses(&job.request) {
            return Some(Outcome::filtered(rule));
        }
        if job.turn.is_free() {
            return None;
        }
        let (until, due) = (Instant::now() + self.limits.timeout, job.due);
        let ended = {
            let mut turn = pin!(job.turn.ready());
            std::future::poll_fn(|cx| {
                if turn.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                if alarm.poll_until(until, cx).is_ready() {
                    return Poll::Ready(Some(Outcome::Shed(Shed::Connections)));
                }
                stop.poll(cx).map_or(Poll::Pending, |_| Poll::Ready(Some(not_reached(due, &self.limits, &self.links))))
            })
            .await
        };
        match ended {
            Some(Outcome::Shed(Shed::Connections)) if job.turn.is_behind() => Some(Outcome::Shed(Shed::ConnectionBusy)),
            ended => ended,
        }
    }

    async fn send(
        &self,
        job: Job,
        place: &mut SendPlace,
        (alarm, stop): (&mut ReusableTimeout<'_>, &mut StopWait<'_, impl Future<Output = ()>>),
    ) -> Box<Delivery> {
        let Job { held, request, due, turn, wanted } = job;
        let (id, sent) = (request.id, turn.written_at().unwrap_or_else(Instant::now));
        let head = wanted.rewritten.then(|| Box::new(request.head.clone()));
        let sent_as = SentAs { keeps_host: wanted.keep_host || self.links.keeps_host, head };
        let in_flight = self.links.in_flight.enter();
        let progress = ResponseProgress::default();
        let mut watched =
            WatchedSend { watch: ResponseWatch::new(&self.limits, sent), links: &self.links, id, asked: None };
        let mut sending = pin!(self.client.send(turn, request, wanted, &progress));
        let result = std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = poll_caught(sending.as_mut(), cx, id) {
                    return Poll::Ready(result);
                }
                if self.steps_aside(&progress, place) {
                    // The client is to know that.
                    continue;
                }
                match ready!(watched.poll(&progress, alarm, stop, cx)) {
                    Ok(why) if progress.closing().is_none() => progress.close(why),
                    Ok(_) => return Poll::Ready(Err(SendError::failed(FailureKind::Timeout, NOT_CLOSED))),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await;
        drop((in_flight, held));
        let unsent = Delivery { sent_as, ..Delivery::unsent(id, self.destination, Outcome::Sent) };
        delivery(unsent, due, sent, result)
    }

    /// Gives the place of a stream to ordinary requests, where there is one beside them; says whether it just did.
    fn steps_aside(&self, progress: &ResponseProgress, place: &mut SendPlace) -> bool {
        if !progress.begun().is_some_and(|begun| begun.is_stream) || matches!(place, SendPlace::Beside(_)) {
            return false;
        }
        let Ok(beside) = Arc::clone(&self.beside).try_acquire_owned() else { return false };
        *place = SendPlace::Beside(beside);
        progress.step_aside();
        true
    }
}

/// Waits for what a request is to carry; false where the run is stopped first.
async fn waited(
    job: &mut PreparedJob,
    (changed, at_most): (oneshot::Receiver<()>, Duration),
    stop: &mut watch::Receiver<bool>,
) -> bool {
    let since = Instant::now();
    let is_over = unless_stopped(stop, tokio::time::timeout(at_most, changed)).await.is_some();
    *job.carry_wait.get_or_insert_default() += since.elapsed();
    is_over
}

/// A client that goes on with a response that it was to close.
const NOT_CLOSED: Reason = Reason::new("the response could not be closed");

/// Polls one send; a panic in it is this request's failure and nobody else's.
fn poll_caught(
    send: Pin<&mut impl Future<Output = Result<TargetResponse, SendError>>>,
    cx: &mut Context<'_>,
    id: ExchangeId,
) -> Poll<Result<TargetResponse, SendError>> {
    // Not by an adapter: what is wrapped is moved, and this is large.
    std::panic::catch_unwind(AssertUnwindSafe(|| send.poll(cx))).unwrap_or_else(|_| {
        tracing::error!("the client panicked over request {id}, which is counted as failed");
        let why = "the client panicked, which is a fault of shadowtap";
        Poll::Ready(Err(SendError::failed(FailureKind::Protocol, Reason::new(why))))
    })
}

/// How a send ended; `unsent` says of what.
fn delivery(
    unsent: Delivery,
    due: Option<Instant>,
    sent: Instant,
    result: Result<TargetResponse, SendError>,
) -> Box<Delivery> {
    // In its place at once: it is large.
    let mut delivery = Box::new(unsent);
    delivery.lag = due.map(|due| sent.saturating_duration_since(due));
    match result {
        Ok(answer) => {
            delivery.service = Some(answer.first_byte.saturating_duration_since(answer.written));
            delivery.response = Some(answer.first_byte.saturating_duration_since(due.unwrap_or(sent)));
            delivery.answer = Some(answer);
        }
        Err(error) => {
            let (outcome, reason) = error.into_outcome();
            // It took as long as it was waited for, at least: percentiles are not those of survivors.
            let waited = |since: Instant| Instant::now().saturating_duration_since(since);
            let is_late = matches!(outcome, Outcome::Failed(FailureKind::Timeout | FailureKind::ConnectTimeout));
            delivery.service = is_late.then(|| waited(sent));
            delivery.response = is_late.then(|| waited(due.unwrap_or(sent)));
            (delivery.outcome, delivery.reason) = (outcome, reason);
        }
    }
    delivery
}
