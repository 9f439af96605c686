//! One target's queue: jobs come in as they fall due, one [`Delivery`] goes out for each of them.
//!
//! A job waits here while the target has as many requests in flight as it may, and that wait is lag. Nothing else
//! waits: each request in flight has a task to itself, with its own time limit, and none can hold up or harm another.

mod in_flight;
mod waits;

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::response_watch::ResponseWatch;
use super::{
    BeforeSend, Client, Delivery, Destination, Job, Prepared, ProductionEnds, Reason, ResponseProgress, SendError,
    TargetLimits, TargetResponse,
};
use crate::exchange::{ExchangeId, FailureKind, Outcome, Shed};
pub use in_flight::InFlight;
use waits::{ReusableTimeout, StopWait, WatchedSend};

/// Most requests in flight that can be asked for: it is cut to this. Each holds a task and, mostly, a connection.
pub(crate) const MAX_IN_FLIGHT: usize = 1 << 20;

/// Most requests of a target that wait for values beside those in flight; past it they wait among them.
const MAX_ASIDE: u32 = 1 << 14;

/// Statistics of a target's queue at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Most requests that awaited their response at once.
    pub peak_in_flight: u64,
}

/// What a target's queue shares with others of its run.
#[derive(Clone, Debug, Default)]
pub struct TargetLinks {
    /// How many requests it has in flight.
    pub in_flight: Arc<InFlight>,
    /// How production's responses ended.
    pub production: Arc<ProductionEnds>,
    /// What is done to requests before they are sent, where anything is.
    pub(crate) before_send: Option<Arc<dyn BeforeSend>>,
}

impl From<Arc<InFlight>> for TargetLinks {
    fn from(in_flight: Arc<InFlight>) -> Self {
        Self { in_flight, ..Self::default() }
    }
}

/// Sender of ended deliveries.
pub struct Deliveries<D> {
    to: mpsc::Sender<D>,
    observe: Option<Arc<Observe>>,
}

/// Sees how a delivery ended.
type Observe = dyn Fn(&Delivery) + Send + Sync;

impl<D> Deliveries<D> {
    /// Has `observe` called with each delivery as soon as it has ended, before it is reported: whatever waits on the way
    /// of the reports, that does not.
    #[must_use]
    pub(crate) fn observed(to: mpsc::Sender<D>, observe: impl Fn(&Delivery) + Send + Sync + 'static) -> Self {
        Self { to, observe: Some(Arc::new(observe)) }
    }
}

impl<D> From<mpsc::Sender<D>> for Deliveries<D> {
    fn from(to: mpsc::Sender<D>) -> Self {
        Self { to, observe: None }
    }
}

impl<D> Clone for Deliveries<D> {
    fn clone(&self) -> Self {
        Self { to: self.to.clone(), observe: self.observe.clone() }
    }
}

/// Sends each job to `destination` and reports its end to `deliveries`; every job ends exactly once.
///
/// Returns when `jobs` is closed and everything in flight has ended. When `stop` becomes true (a dropped sender does
/// not count), `jobs` is closed from this side, queued jobs end as `Shed(Stopped)`, and those in flight have
/// [`TargetLimits::drain`] before they end as `Failed(Timeout)`. A job that panics the client ends as
/// `Failed(Protocol)`.
///
/// `deliveries` may carry anything that a delivery turns into. While it is full, ended requests keep their slot among
/// those in flight, so that nothing piles up; while its receiver is gone, deliveries are dropped.
pub async fn run_target<C, D>(
    destination: Destination,
    client: Arc<C>,
    jobs: mpsc::Receiver<Job>,
    limits: TargetLimits,
    mut stop: watch::Receiver<bool>,
    deliveries: impl Into<Deliveries<D>>,
    links: impl Into<TargetLinks>,
) -> QueueStats
where
    C: Client,
    D: From<Box<Delivery>> + Send + 'static,
{
    let (deliveries, links) = (deliveries.into(), links.into());
    let (places, streams) = (limits.max_in_flight.clamp(1, MAX_IN_FLIGHT), limits.max_streams.min(MAX_IN_FLIGHT));
    let semaphore = Arc::new(Semaphore::new(places));
    let aside = Arc::new(Semaphore::new(MAX_ASIDE as usize));
    let beside = Arc::new(Semaphore::new(streams));
    let queue = Arc::new(TargetQueue(Mutex::new(Some(jobs))));
    let stop_for_tasks = stop.clone();
    let spawn = |job, place| {
        let sending = SendWorker {
            destination,
            client: Arc::clone(&client),
            limits,
            queue: Arc::clone(&queue),
            deliveries: deliveries.clone(),
            links: links.clone(),
            beside: Arc::clone(&beside),
            ordinary: Arc::clone(&semaphore),
            aside: Arc::clone(&aside),
        };
        tokio::spawn(sending.run(PreparedJob::new(job), SendPlace::Ordinary(place), stop_for_tasks.clone()));
    };
    // The place first: a job that was taken must not wait while others that came later are sent.
    while let Some(Ok(place)) = unless_stopped(&mut stop, Arc::clone(&semaphore).acquire_owned()).await
        && let Some(Some(job)) = unless_stopped(&mut stop, queue.next()).await
    {
        spawn(job, place);
    }
    if let Some(mut jobs) = queue.end() {
        jobs.close();
        while let Some(job) = jobs.recv().await {
            report(&deliveries, shed(destination, &job)).await;
        }
    }
    // From here on nobody steps aside any more. Those who wait there take an ordinary place before they give theirs back.
    let _aside = aside.acquire_many(MAX_ASIDE).await;
    // Every task gives its place back when it has ended: all places are free when all have.
    for (semaphore, all) in [(semaphore, places), (beside, streams)] {
        drop(semaphore.acquire_many(u32::try_from(all).unwrap_or(u32::MAX)).await);
    }
    QueueStats { peak_in_flight: links.in_flight.peak() }
}

/// The jobs that wait, in their order; none once the run is stopped or the queue was closed.
struct TargetQueue(Mutex<Option<mpsc::Receiver<Job>>>);

impl TargetQueue {
    /// The next job, as soon as there is one. To be called by one task only.
    async fn next(&self) -> Option<Job> {
        std::future::poll_fn(|cx| self.jobs().as_mut().map_or(Poll::Ready(None), |jobs| jobs.poll_recv(cx))).await
    }

    /// A job that waits already.
    fn at_hand(&self) -> Option<Job> {
        self.jobs().as_mut()?.try_recv().ok()
    }

    /// Nobody gets a job any more.
    fn end(&self) -> Option<mpsc::Receiver<Job>> {
        self.jobs().take()
    }

    fn jobs(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Job>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's place among those that the target may have in flight.
enum SendPlace {
    /// One of those.
    Ordinary(#[expect(dead_code, reason = "it is held, and given back when it is dropped")] OwnedSemaphorePermit),
    /// One beside them, for a stream.
    Beside(#[expect(dead_code, reason = "it is held, and given back when it is dropped")] OwnedSemaphorePermit),
}

/// One place among the requests in flight, and all that a request in it needs. Where another one waits when that has
/// ended, it takes that as well: a new task for each would cost more than to send it.
struct SendWorker<C, D> {
    destination: Destination,
    client: Arc<C>,
    limits: TargetLimits,
    queue: Arc<TargetQueue>,
    deliveries: Deliveries<D>,
    links: TargetLinks,
    /// Places for streams.
    beside: Arc<Semaphore>,
    /// Places for ordinary requests.
    ordinary: Arc<Semaphore>,
    /// Places for those who wait for a value.
    aside: Arc<Semaphore>,
}

/// A job, and whether it has been prepared for its destination.
struct PreparedJob {
    job: Job,
    is_prepared: bool,
    /// Since when it waits for values that it is to carry.
    waits_since: Option<Instant>,
    carry_wait: Option<Duration>,
}

impl PreparedJob {
    const fn new(job: Job) -> Self {
        Self { job, is_prepared: false, waits_since: None, carry_wait: None }
    }
}

impl<C: Client, D: From<Box<Delivery>> + Send + 'static> SendWorker<C, D> {
    async fn run(self, first: PreparedJob, mut place: SendPlace, stop: watch::Receiver<bool>) {
        let alarm = pin!(tokio::time::sleep(self.limits.timeout));
        let mut watched = stop.clone();
        let stopped = pin!(stopped(&mut watched));
        let (mut alarm, mut stopped) = (ReusableTimeout(alarm), StopWait { stopped, at: None });
        let mut next = Some(first);
        while let Some(mut job) = next {
            let told = match self.prepare_early(&mut job) {
                Prepared::Ready => Some(self.deliver(job, &mut place, (&mut alarm, &mut stopped), &stop).await),
                Prepared::Ended(outcome) => Some(self.unsent(&job, outcome)),
                // The others go on meanwhile, unless very many wait.
                Prepared::Waits { changed, at_most } => match Arc::clone(&self.aside).try_acquire_owned() {
                    Ok(aside) => {
                        tokio::spawn(self.another().wait_aside(job, (changed, at_most), aside, stop.clone()));
                        None
                    }
                    Err(_) => Some(self.deliver(job, &mut place, (&mut alarm, &mut stopped), &stop).await),
                },
            };
            if let Some(told) = told {
                report(&self.deliveries, told).await;
            }
            // The place of a stream is for streams: whoever waits for an ordinary one has got it.
            next = match place {
                SendPlace::Ordinary(_) => self.queue.at_hand().map(PreparedJob::new),
                SendPlace::Beside(_) => None,
            };
        }
    }

    /// A worker of the same target.
    fn another(&self) -> Self {
        Self {
            destination: self.destination,
            client: Arc::clone(&self.client),
            limits: self.limits,
            queue: Arc::clone(&self.queue),
            deliveries: self.deliveries.clone(),
            links: self.links.clone(),
            beside: Arc::clone(&self.beside),
            ordinary: Arc::clone(&self.ordinary),
            aside: Arc::clone(&self.aside),
        }
    }

    fn unsent(&self, job: &PreparedJob, outcome: Outcome) -> Delivery {
        let carry_wait = job.carry_wait;
        Delivery { carry_wait, ..Delivery::unsent(job.job.request.id, self.destination, outcome) }
    }

    /// Prepares a request whose turn it is. Others are prepared when it is: what comes before them may issue their values.
    fn prepare_early(&self, job: &mut PreparedJob) -> Prepared {
        if job.job.turn.is_free() { self.prepare(job) } else { Prepared::Ready }
    }

    /// Prepares a request for this destination, or says what it has to wait for.
    fn prepare(&self, job: &mut PreparedJob) -> Prepared {
        let PreparedJob { job, is_prepared, waits_since, carry_wait } = job;
        let rules = job.wanted.carried;
        let Some(before_send) = self.links.before_send.as_ref().filter(|_| !*is_prepared && !rules.is_empty()) else {
            return Prepared::Ready;
        };
        let waited = waits_since.map(|since| since.elapsed());
        let prepared = before_send.prepare(self.destination, &mut job.request, rules, waited);
        if matches!(prepared, Prepared::Waits { .. }) {
            waits_since.get_or_insert_with(Instant::now);
        } else {
            (*is_prepared, *carry_wait) = (true, waited);
        }
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
            let (changed, at_most) = wait;
            let known = tokio::time::timeout(at_most, changed);
            if unless_stopped(&mut stop, known).await.is_none() {
                return Some(Outcome::Shed(Shed::Stopped));
            }
            match self.prepare(job) {
                Prepared::Ready => return None,
                Prepared::Ended(outcome) => return Some(outcome),
                Prepared::Waits { changed, at_most } => wait = (changed, at_most),
            }
        }
    }

    /// Waits beside the requests in flight, and takes a place among them then.
    fn wait_aside(
        self,
        mut job: PreparedJob,
        wait: (oneshot::Receiver<()>, Duration),
        aside: OwnedSemaphorePermit,
        stop: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if let Some(outcome) = self.wait_for_values(&mut job, wait, stop.clone()).await {
                report(&self.deliveries, self.unsent(&job, outcome)).await;
                return;
            }
            let mut stopped = stop.clone();
            match unless_stopped(&mut stopped, Arc::clone(&self.ordinary).acquire_owned()).await {
                Some(Ok(place)) => {
                    drop(aside);
                    self.run(job, SendPlace::Ordinary(place), stop).await;
                }
                _ => report(&self.deliveries, self.unsent(&job, Outcome::Shed(Shed::Stopped))).await,
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
    ) -> Delivery {
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
        let PreparedJob { mut job, carry_wait, .. } = job;
        // The wait for values is no lag, and nothing that users would feel.
        job.due = job.due.map(|due| due + carry_wait.unwrap_or_default());
        Delivery { carry_wait, ..self.send(job, place, alarm, stopped).await }
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
        let until = Instant::now() + self.limits.timeout;
        let mut turn = pin!(job.turn.ready());
        std::future::poll_fn(|cx| {
            if turn.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if alarm.poll_until(until, cx).is_ready() {
                return Poll::Ready(Some(Outcome::Shed(Shed::Connections)));
            }
            stop.poll(cx).map_or(Poll::Pending, |_| Poll::Ready(Some(Outcome::Shed(Shed::Stopped))))
        })
        .await
    }

    async fn send(
        &self,
        job: Job,
        place: &mut SendPlace,
        alarm: &mut ReusableTimeout<'_>,
        stop: &mut StopWait<'_, impl Future<Output = ()>>,
    ) -> Delivery {
        let (id, due) = (job.request.id, job.due);
        let sent = Instant::now();
        let in_flight = self.links.in_flight.enter();
        let progress = ResponseProgress::default();
        let mut watched =
            WatchedSend { watch: ResponseWatch::new(&self.limits, sent), links: &self.links, id, asked: None };
        let mut sending = pin!(attempt(&*self.client, job, &progress));
        let result = std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = sending.as_mut().poll(cx) {
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
        drop(in_flight);
        delivery(self.destination, id, due, sent, result)
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

/// A client that goes on with a response that it was to close.
const NOT_CLOSED: Reason = Reason::new("the response could not be closed");

/// One send; a panic in it is this request's failure and nobody else's.
async fn attempt<C: Client>(client: &C, job: Job, progress: &ResponseProgress) -> Result<TargetResponse, SendError> {
    let id = job.request.id;
    let send = async { client.send(job.turn, job.request, job.wanted, progress).await };
    AssertUnwindSafe(send).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("the client panicked over request {id}, which is counted as failed");
        Err(SendError::failed(FailureKind::Protocol, Reason::new("the client panicked, which is a fault of shadowtap")))
    })
}

fn delivery(
    destination: Destination,
    id: ExchangeId,
    due: Option<Instant>,
    sent: Instant,
    result: Result<TargetResponse, SendError>,
) -> Delivery {
    let lag = due.map(|due| sent.saturating_duration_since(due));
    let none = Delivery { lag, ..Delivery::unsent(id, destination, Outcome::Sent) };
    match result {
        Ok(answer) => Delivery {
            service: Some(answer.first_byte.saturating_duration_since(answer.written)),
            response: Some(answer.first_byte.saturating_duration_since(due.unwrap_or(sent))),
            answer: Some(answer),
            ..none
        },
        Err(error) => {
            let (outcome, reason) = error.into_outcome();
            // It took as long as it was waited for, at least: percentiles are not those of survivors.
            let waited = |since: Instant| Instant::now().saturating_duration_since(since);
            let is_late = matches!(outcome, Outcome::Failed(FailureKind::Timeout | FailureKind::ConnectTimeout));
            Delivery {
                outcome,
                reason,
                service: is_late.then(|| waited(sent)),
                response: is_late.then(|| waited(due.unwrap_or(sent))),
                ..none
            }
        }
    }
}

fn shed(destination: Destination, job: &Job) -> Delivery {
    Delivery::unsent(job.request.id, destination, Outcome::Shed(Shed::Stopped))
}

async fn report<D: From<Box<Delivery>>>(deliveries: &Deliveries<D>, delivery: Delivery) {
    if let Some(observe) = &deliveries.observe {
        observe(&delivery);
    }
    let id = delivery.id;
    if deliveries.to.send(Box::new(delivery).into()).await.is_err() {
        tracing::debug!(%id, "a delivery ended after its receiver was gone");
    }
}

/// Returns the output of `work`, or `None` where the run is stopped first.
async fn unless_stopped<T>(stop: &mut watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stopped(stop) => None,
        done = work => Some(done),
    }
}

/// Ready when the run is stopped; never where nobody can stop it any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::exchange::{Body, ConnectionId, Head, Request, RequestState, Timestamp};
    use crate::replay::ClosedEarly;
    use crate::replay::memory::{MemoryClient, ScriptedReply};
    use crate::replay::{ProductionEnd, ResponseOptions, TargetId, Ticket};

    const SEVENTH: Destination = Destination::Target(TargetId::at(6));
    const LIMITS: TargetLimits = TargetLimits {
        max_in_flight: 4,
        max_streams: 4,
        timeout: Duration::from_secs(30),
        max_time: Duration::from_secs(300),
        drain: Duration::from_secs(5),
    };

    fn job(connection: u64, due: Option<Instant>) -> Job {
        let request = Request {
            id: ExchangeId::new(ConnectionId(connection), 1),
            client: "10.0.0.1:5000".parse().unwrap(),
            server: "10.0.0.2:80".parse().unwrap(),
            head: Head::new(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()),
            body: Body::EMPTY,
            first_byte: Timestamp::from_nanos(0),
            last_byte: Timestamp::from_nanos(0),
            state: RequestState::Whole,
        };
        Job { held: None, request: Box::new(request), due, turn: Ticket::default(), wanted: ResponseOptions::HASH }
    }

    /// A running target, with its inputs and outputs.
    struct TargetFixture {
        jobs: Option<mpsc::Sender<Job>>,
        stop: watch::Sender<bool>,
        deliveries: mpsc::Receiver<Box<Delivery>>,
        links: TargetLinks,
        running: tokio::task::JoinHandle<QueueStats>,
    }

    impl TargetFixture {
        fn new<F: Fn(&Request) -> ScriptedReply + Send + Sync + 'static>(limits: TargetLimits, script: F) -> Self {
            let (jobs, jobs_out) = mpsc::channel(1000);
            let (deliveries_in, deliveries) = mpsc::channel(1000);
            let (stop, stop_out) = watch::channel(false);
            let links = TargetLinks::default();
            let client = Arc::new(MemoryClient::new(script));
            let running =
                tokio::spawn(run_target(SEVENTH, client, jobs_out, limits, stop_out, deliveries_in, links.clone()));
            Self { jobs: Some(jobs), stop, deliveries, links, running }
        }

        async fn feed(&self, jobs: impl IntoIterator<Item = Job>) {
            for job in jobs {
                self.jobs.as_ref().unwrap().send(job).await.unwrap();
            }
        }

        /// Closes the queue and gives the deliveries, ordered by connection.
        async fn finish(mut self) -> (Vec<Delivery>, QueueStats) {
            self.jobs = None;
            let mut ended = Vec::new();
            while let Some(delivery) = self.deliveries.recv().await {
                ended.push(*delivery);
            }
            ended.sort_by_key(|delivery| delivery.id);
            assert_eq!(self.links.in_flight.now(), 0);
            (ended, self.running.await.unwrap())
        }
    }

    fn outcomes(ended: &[Delivery]) -> Vec<Outcome> {
        ended.iter().map(|delivery| delivery.outcome.clone()).collect()
    }

    const FAILED_LATE: Outcome = Outcome::Failed(FailureKind::Timeout);
    const STOPPED: Outcome = Outcome::Shed(Shed::Stopped);

    #[tokio::test(start_paused = true)]
    async fn every_job_ends_in_one_delivery_with_its_answer() {
        let rig = TargetFixture::new(LIMITS, |_| ScriptedReply::status(200, "hello"));
        rig.feed((1..=100).map(|id| job(id, None))).await;
        let (ended, _) = rig.finish().await;
        assert_eq!(ended.iter().map(|d| d.id.connection.0).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
        let first = &ended[0];
        assert_eq!((first.destination, &first.outcome, first.lag), (SEVENTH, &Outcome::Sent, None));
        let answer = first.answer.as_ref().unwrap();
        assert_eq!((answer.status, answer.body_len, answer.body_sha256.is_some()), (200, 5, true));
    }

    #[tokio::test(start_paused = true)]
    async fn service_counts_from_the_send_and_response_from_when_it_was_due() {
        let limits = TargetLimits { max_in_flight: 1, ..LIMITS };
        let rig =
            TargetFixture::new(limits, |_| ScriptedReply::status(200, Bytes::new()).after(Duration::from_secs(2)));
        let due = Instant::now();
        rig.feed((1..=3).map(|id| job(id, Some(due)))).await;
        let (ended, stats) = rig.finish().await;
        let seconds = |duration: Option<Duration>| duration.unwrap().as_secs();
        assert_eq!(ended.iter().map(|d| seconds(d.lag)).collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(ended.iter().map(|d| seconds(d.service)).collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(ended.iter().map(|d| seconds(d.response)).collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!(stats.peak_in_flight, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_schedule_the_send_is_when_it_was_due() {
        let rig =
            TargetFixture::new(LIMITS, |_| ScriptedReply::status(200, Bytes::new()).after(Duration::from_secs(2)));
        rig.feed([job(1, None)]).await;
        let (ended, _) = rig.finish().await;
        assert_eq!((ended[0].lag, ended[0].response), (None, Some(Duration::from_secs(2))));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_are_in_flight() {
        let rig =
            TargetFixture::new(LIMITS, |_| ScriptedReply::status(200, Bytes::new()).after(Duration::from_secs(1)));
        let start = Instant::now();
        rig.feed((1..=20).map(|id| job(id, None))).await;
        let (ended, stats) = rig.finish().await;
        assert_eq!((ended.len(), stats.peak_in_flight), (20, 4));
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_ends_at_the_time_limit_and_holds_up_nobody() {
        let rig = TargetFixture::new(LIMITS, |request| match request.id.connection.0 {
            2 => ScriptedReply::never(),
            _ => ScriptedReply::status(200, Bytes::new()),
        });
        let start = Instant::now();
        rig.feed((1..=9).map(|id| job(id, Some(start)))).await;
        let (ended, _) = rig.finish().await;
        assert_eq!(ended[1].outcome, FAILED_LATE);
        assert_eq!(
            (ended[1].service, ended[1].response, ended[1].lag),
            (Some(Duration::from_secs(30)), Some(Duration::from_secs(30)), Some(Duration::ZERO))
        );
        assert_eq!(ended.iter().filter(|d| d.outcome == Outcome::Sent).count(), 8);
        let mut sent = ended.iter().filter(|d| d.outcome == Outcome::Sent).filter_map(|d| d.response);
        assert!(sent.all(|response| response.is_zero()));
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    fn closed(delivery: &Delivery) -> Option<ClosedEarly> {
        delivery.answer.as_ref().and_then(|answer| answer.closed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_closed_where_productions_ended_and_holds_up_nobody() {
        let limits = TargetLimits { max_in_flight: 1, ..LIMITS };
        let rig = TargetFixture::new(limits, |request| match request.id.connection.0 {
            1..=3 => ScriptedReply::status(200, "data: 1\n\n").stream(),
            _ => ScriptedReply::status(200, Bytes::new()),
        });
        let start = Instant::now();
        rig.feed((1..=9).map(|id| job(id, Some(start)))).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let due = Instant::now() + Duration::from_secs(2);
        for connection in 1..=2 {
            let id = ExchangeId::new(ConnectionId(connection), 1);
            rig.links.production.note(id, ProductionEnd::Open { len: 9, due });
        }
        rig.links.production.finish();
        let (ended, stats) = rig.finish().await;
        assert!(ended.iter().all(|delivery| delivery.outcome == Outcome::Sent));
        assert!(ended.iter().all(|delivery| delivery.lag == Some(Duration::ZERO)), "all were sent when they were due");
        let took = |delivery: &Delivery| (delivery.answer.as_ref().unwrap().done - start).as_secs();
        for (delivery, at) in ended.iter().zip([12, 12, 10]) {
            assert_eq!((closed(delivery), took(delivery)), (Some(ClosedEarly::ProductionEnded), at));
            assert_eq!(delivery.service, Some(Duration::ZERO), "it counts from its first byte");
        }
        assert!(ended.iter().skip(3).all(|delivery| closed(delivery).is_none() && took(delivery) == 0));
        assert_eq!(stats.peak_in_flight, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_beside_the_others_are_bounded() {
        let limits = TargetLimits { max_in_flight: 1, max_streams: 1, max_time: Duration::from_secs(60), ..LIMITS };
        let rig = TargetFixture::new(limits, |request| match request.id.connection.0 {
            1 | 2 => ScriptedReply::status(200, "data: 1\n\n").stream(),
            _ => ScriptedReply::status(200, Bytes::new()),
        });
        let start = Instant::now();
        rig.feed((1..=4).map(|id| job(id, Some(start)))).await;
        let (ended, _) = rig.finish().await;
        assert_eq!(ended[..2].iter().map(closed).collect::<Vec<_>>(), [Some(ClosedEarly::MaxTime); 2]);
        let lags: Vec<_> = ended.iter().map(|delivery| delivery.lag.unwrap().as_secs()).collect();
        assert_eq!(lags, [0, 0, 60, 60], "the second stream has the only place");
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_to_end_and_does_not_has_failed() {
        let rig = TargetFixture::new(LIMITS, |request| match request.id.connection.0 {
            1 => ScriptedReply::status(200, "xxx").stalled(Some(5000)),
            2 => ScriptedReply::status(200, "xxx").stalled(None),
            _ => ScriptedReply::status(200, "data: 1\n\n").stream(),
        });
        let start = Instant::now();
        rig.feed((1..=3).map(|id| job(id, Some(start)))).await;
        for connection in 2..=3 {
            rig.links.production.note(ExchangeId::new(ConnectionId(connection), 1), ProductionEnd::Whole);
        }
        let (ended, _) = rig.finish().await;
        assert_eq!(outcomes(&ended), [FAILED_LATE, FAILED_LATE, FAILED_LATE]);
        let reasons: Vec<_> = ended.iter().map(|delivery| delivery.reason.as_ref().unwrap().to_string()).collect();
        assert_eq!(
            reasons,
            [
                "the response stalled: 3 of 5,000 bytes, then nothing for 30s",
                "the response stalled: 3 bytes, then nothing for 30s",
                "the response stalled: 9 bytes, then nothing for 30s",
            ]
        );
        assert!(ended.iter().all(|delivery| delivery.service == Some(Duration::from_secs(30))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_closes_streams_at_once_and_counts_them_by_their_heads() {
        let rig = TargetFixture::new(LIMITS, |_| ScriptedReply::status(200, "data: 1\n\n").stream());
        rig.feed((1..=3).map(|id| job(id, None))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        rig.stop.send(true).unwrap();
        let (ended, _) = rig.finish().await;
        assert_eq!(outcomes(&ended), [Outcome::Sent, Outcome::Sent, Outcome::Sent]);
        assert!(ended.iter().all(|delivery| closed(delivery) == Some(ClosedEarly::RunEnded)));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_and_panics_are_their_own_and_nobody_elses() {
        let rig = TargetFixture::new(LIMITS, |request| match request.id.connection.0 {
            1 => ScriptedReply::failure(FailureKind::Reset),
            2 => panic!("on purpose"),
            _ => ScriptedReply::status(503, Bytes::new()),
        });
        rig.feed((1..=3).map(|id| job(id, None))).await;
        let (ended, _) = rig.finish().await;
        assert_eq!(
            outcomes(&ended),
            [Outcome::Failed(FailureKind::Reset), Outcome::Failed(FailureKind::Protocol), Outcome::Sent]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_sheds_the_queue_and_drains_what_is_in_flight() {
        let limits = TargetLimits { max_in_flight: 2, ..LIMITS };
        let rig = TargetFixture::new(limits, |request| match request.id.connection.0 {
            1 => ScriptedReply::never(),
            _ => ScriptedReply::status(200, Bytes::new()).after(Duration::from_secs(3)),
        });
        let start = Instant::now();
        rig.feed((1..=5).map(|id| job(id, None))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.stop.send(true).unwrap();
        let (ended, _) = rig.finish().await;
        assert_eq!(outcomes(&ended), [FAILED_LATE, Outcome::Sent, STOPPED, STOPPED, STOPPED]);
        assert_eq!(start.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_an_idle_target_though_its_queue_stays_open() {
        let rig = TargetFixture::new(LIMITS, |_| ScriptedReply::never());
        tokio::task::yield_now().await;
        rig.stop.send(true).unwrap();
        assert_eq!(rig.running.await.unwrap().peak_in_flight, 0);
        assert!(rig.jobs.unwrap().send(job(1, None)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_stop_stops_nothing() {
        let mut rig =
            TargetFixture::new(LIMITS, |_| ScriptedReply::status(200, Bytes::new()).after(Duration::from_secs(20)));
        rig.stop = watch::channel(false).0;
        rig.feed([job(1, None)]).await;
        assert_eq!(outcomes(&rig.finish().await.0), [Outcome::Sent]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_is_gone_ends_the_run_all_the_same() {
        let mut rig = TargetFixture::new(LIMITS, |_| ScriptedReply::status(200, Bytes::new()));
        rig.feed((1..=50).map(|id| job(id, None))).await;
        rig.deliveries.close();
        rig.jobs = None;
        assert!(rig.running.await.unwrap().peak_in_flight <= 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_delivery_is_seen_at_once_whoever_else_is_late() {
        let (jobs, jobs_out) = mpsc::channel(1000);
        // Nobody fetches what is reported here, and there is room for one.
        let (reports, _reports) = mpsc::channel::<Box<Delivery>>(1);
        let (_stop, stop_out) = watch::channel(false);
        let (ends, seen) = std::sync::mpsc::channel();
        let observed = Deliveries::observed(reports, move |delivery| ends.send(delivery.id).unwrap());
        let client = Arc::new(MemoryClient::new(|_: &Request| ScriptedReply::status(200, "ok")));
        tokio::spawn(run_target(SEVENTH, client, jobs_out, LIMITS, stop_out, observed, TargetLinks::default()));
        for connection in 1..=4 {
            jobs.send(job(connection, None)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(seen.try_iter().count(), 4);
    }
}
