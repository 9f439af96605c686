//! One target's queue: jobs come in as they fall due, one [`Delivery`] goes out for each of them.
//!
//! A job waits here while the target has as many requests in flight as it may, and that wait is lag. Nothing else
//! waits: each request in flight has a task to itself, with its own time limit, and none can hold up or harm another.

mod idle;
mod in_flight;
mod prepared;
mod waits;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::{BeforeSend, Client, Delivery, Destination, Job, ProductionEnds, Pulled, RequestSource, TargetLimits};
use crate::exchange::{Outcome, Shed};
use crate::recording::StoreSession;
use idle::IdleWorkers;
pub use in_flight::InFlight;
use prepared::{PreparedJob, SendPlace};
use worker::SendWorker;

/// Most requests in flight that can be asked for: it is cut to this. Each holds a task and, mostly, a connection.
pub(crate) const MAX_IN_FLIGHT: usize = 1 << 20;

/// Most requests of a target that wait for values beside those in flight; past it they wait among them.
const MAX_ASIDE: u32 = 1 << 14;

/// Requests that wait, below which some more are made where they do not come by themselves.
const FEW_WAITING: usize = 8;

/// Pause before requests are asked for again that cannot be made now: far shorter than the queue takes to empty.
const PULL_PAUSE: Duration = Duration::from_millis(1);

/// Statistics of a target's queue at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Most requests that awaited their response at once.
    pub peak_in_flight: u64,
}

/// What a target's queue shares with others of its run.
#[derive(Clone, Default)]
pub struct TargetLinks {
    /// How many requests it has in flight.
    pub in_flight: Arc<InFlight>,
    /// How production's responses ended.
    pub production: Arc<ProductionEnds>,
    /// What is done to requests before they are sent, where anything is.
    pub(crate) before_send: Option<Arc<dyn BeforeSend>>,
    /// The store that is asked before a request goes out, where one is.
    pub(crate) session: Option<Arc<dyn StoreSession>>,
    /// What makes requests when somebody can send them, where they do not come by themselves.
    pub(crate) source: Option<Arc<dyn RequestSource>>,
    /// Its requests keep the Host that they have.
    pub(crate) keeps_host: bool,
    /// The places for requests in flight, where somebody else takes some of them, too.
    pub(crate) places: Option<Arc<Semaphore>>,
}

impl TargetLimits {
    /// Returns how many requests may be in flight, streams apart.
    pub(crate) fn places(&self) -> usize {
        self.max_in_flight.clamp(1, MAX_IN_FLIGHT)
    }
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
/// not count), `jobs` is closed from this side, queued jobs end as `Shed(RunEnded)` (`Shed(Stopped)` where they were due long before), and those in flight have
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
    let (places, streams) = (limits.places(), limits.max_streams.min(MAX_IN_FLIGHT));
    let ordinary = links.places.clone().unwrap_or_else(|| Arc::new(Semaphore::new(places)));
    let worker = Arc::new(SendWorker {
        destination,
        client,
        limits,
        queue: TargetQueue { jobs: Mutex::new(Some(jobs)), source: links.source.clone() },
        deliveries,
        links,
        ordinary,
        beside: Arc::new(Semaphore::new(streams)),
        aside: Arc::new(Semaphore::new(MAX_ASIDE as usize)),
        idle: IdleWorkers::default(),
    });
    let SendWorker { limits, queue, deliveries, links, ordinary, beside, aside, idle, .. } = &*worker;
    let ends_idle = idle.end_when_dropped();
    let stop_for_tasks = stop.clone();
    let spawn = |job, place| {
        if let Some((job, place)) = idle.give(PreparedJob::new(job), SendPlace::Ordinary(place)) {
            tokio::spawn(Arc::clone(&worker).run(job, place, stop_for_tasks.clone()));
        }
    };
    // The place first: a job that was taken must not wait while others that came later are sent.
    while let Some(Ok(place)) = unless_stopped(&mut stop, Arc::clone(ordinary).acquire_owned()).await
        && let Some(Some(job)) = next_unwritten(&mut stop, queue, &spawn).await
    {
        spawn(job, place);
    }
    let unsent = |job: &Job| Delivery::unsent(job.request.id, destination, not_reached(job.due, limits, links));
    if let Some(mut jobs) = queue.end() {
        jobs.close();
        while let Some(mut job) = jobs.recv().await {
            match job.turn.take_place() {
                Some(place) => spawn(job, place),
                None => report(deliveries, Box::new(unsent(&job))).await,
            }
        }
    }
    drop(ends_idle);
    // From here on nobody steps aside any more. Those who wait there take an ordinary place before they give theirs back.
    let _aside = aside.acquire_many(MAX_ASIDE).await;
    // Every task gives its place back when it has ended: all places are free when all have.
    for (semaphore, all) in [(ordinary, places), (beside, streams)] {
        drop(semaphore.acquire_many(u32::try_from(all).unwrap_or(u32::MAX)).await);
    }
    QueueStats { peak_in_flight: links.in_flight.peak() }
}

/// The next job that needs a place. One that was written has a place, and goes on in that.
async fn next_unwritten(
    stop: &mut watch::Receiver<bool>,
    queue: &TargetQueue,
    spawn: impl Fn(Job, OwnedSemaphorePermit),
) -> Option<Option<Job>> {
    loop {
        let Some(mut job) = unless_stopped(stop, queue.next()).await? else { return Some(None) };
        match job.turn.take_place() {
            Some(place) => spawn(job, place),
            None => return Some(Some(job)),
        }
    }
}

/// The jobs that wait, in their order; none once the run is stopped or the queue was closed.
struct TargetQueue {
    jobs: Mutex<Option<mpsc::Receiver<Job>>>,
    /// Makes more of them, where they do not come by themselves.
    source: Option<Arc<dyn RequestSource>>,
}

impl TargetQueue {
    /// The next job, as soon as there is one. To be called by one task only.
    async fn next(&self) -> Option<Job> {
        let Some(source) = &self.source else {
            return std::future::poll_fn(|cx| {
                self.jobs().as_mut().map_or(Poll::Ready(None), |jobs| jobs.poll_recv(cx))
            })
            .await;
        };
        loop {
            if let Some(job) = self.waiting() {
                return Some(job);
            }
            match source.pull() {
                // Others have their turn first, which this one gives them the time for.
                Pulled::Queued if self.is_empty() => tokio::task::yield_now().await,
                Pulled::Queued => {}
                Pulled::Later => tokio::time::sleep(PULL_PAUSE).await,
                Pulled::Over => return self.waiting(),
            }
        }
    }

    /// A job that waits already, or that can be made at once.
    fn at_hand(&self) -> Option<Job> {
        let mut job = match (self.waiting_of(), &self.source) {
            ((None, _), Some(source)) if source.pull() != Pulled::Later => self.waiting(),
            ((Some(job), left), Some(source)) => {
                if left < FEW_WAITING {
                    // Before there are none: two threads that need some at once would wait for each other.
                    source.pull_ahead();
                }
                Some(job)
            }
            ((waiting, _), _) => waiting,
        }?;
        // It is sent in the place of whoever asks.
        drop(job.turn.take_place());
        Some(job)
    }

    fn waiting(&self) -> Option<Job> {
        self.waiting_of().0
    }

    /// A job that waits, and how many do besides.
    fn waiting_of(&self) -> (Option<Job>, usize) {
        let mut jobs = self.jobs();
        jobs.as_mut().map_or((None, 0), |jobs| (jobs.try_recv().ok(), jobs.len()))
    }

    fn is_empty(&self) -> bool {
        self.jobs().as_ref().is_none_or(mpsc::Receiver::is_empty)
    }

    /// Nobody gets a job any more.
    fn end(&self) -> Option<mpsc::Receiver<Job>> {
        self.jobs().take()
    }

    fn jobs(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how a request ends that is not sent since the run ends. What was made ahead, or has just become due, is not part of
/// the run any more; what has been due for longer than responses have to end is lost to a target that is behind. Of a run that
/// is shared, others have it.
fn not_reached(due: Option<Instant>, limits: &TargetLimits, links: &TargetLinks) -> Outcome {
    let is_behind = links.session.is_none() && due.is_some_and(|due| due.elapsed() >= limits.drain);
    Outcome::Shed(if is_behind { Shed::Stopped } else { Shed::RunEnded })
}

/// Reports how a request ended, as soon as there is room for that.
async fn report<D: From<Box<Delivery>>>(deliveries: &Deliveries<D>, delivery: Box<Delivery>) {
    if let Some(full) = report_at_once(deliveries, delivery) {
        full.await;
    }
}

/// Reports how a request ended; what is returned waits for room, where there is none.
fn report_at_once<D: From<Box<Delivery>>>(
    deliveries: &Deliveries<D>,
    delivery: Box<Delivery>,
) -> Option<impl Future<Output = ()>> {
    if let Some(observe) = &deliveries.observe {
        observe(&delivery);
    }
    let id = delivery.id;
    let gone = move || tracing::debug!(%id, "a delivery ended after its receiver was gone");
    match deliveries.to.try_send(delivery.into()) {
        Ok(()) => None,
        Err(mpsc::error::TrySendError::Closed(_)) => {
            gone();
            None
        }
        Err(mpsc::error::TrySendError::Full(delivery)) => Some(async move {
            if deliveries.to.send(delivery).await.is_err() {
                gone();
            }
        }),
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
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use bytes::Bytes;

    use tokio::time::Instant;

    use super::*;
    use crate::exchange::{Body, ConnectionId, ExchangeId, FailureKind, Head, Request, RequestState, Timestamp};
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

    #[tokio::test(start_paused = true)]
    async fn a_request_that_filters_changed_is_told_as_it_was_sent() {
        let sends = TargetFixture::new(LIMITS, |_| ScriptedReply::status(200, ""));
        let wanted = ResponseOptions { keep_host: true, rewritten: true, ..ResponseOptions::HASH };
        sends.feed([job(1, None), Job { wanted, ..job(2, None) }]).await;
        let (ended, _) = sends.finish().await;
        let sent: Vec<_> =
            ended.iter().map(|delivery| (delivery.sent_as.keeps_host, delivery.sent_as.host())).collect();
        assert_eq!(sent, [(false, &b""[..]), (true, b"h")]);
    }

    const FAILED_LATE: Outcome = Outcome::Failed(FailureKind::Timeout);
    const NOT_REACHED: Outcome = Outcome::Shed(Shed::RunEnded);

    /// Makes three jobs at a time, ten times.
    struct Threes {
        jobs: mpsc::Sender<Job>,
        made: AtomicU64,
    }

    impl RequestSource for Threes {
        fn pull(&self) -> Pulled {
            let made = self.made.fetch_add(1, Ordering::Relaxed);
            (0..3).for_each(|n| self.jobs.try_send(job(3 * made + n, None)).unwrap());
            if made < 10 { Pulled::Queued } else { Pulled::Over }
        }

        fn pull_ahead(&self) {
            self.pull();
        }
    }

    #[test]
    fn more_requests_are_made_before_there_are_none() {
        let (sender, jobs) = mpsc::channel(1000);
        let source = Arc::new(Threes { jobs: sender, made: AtomicU64::new(0) });
        let shared = Arc::clone(&source) as Arc<dyn RequestSource>;
        let queue = TargetQueue { jobs: Mutex::new(Some(jobs)), source: Some(shared) };
        let taken: Vec<_> = (0..6).map(|_| queue.at_hand().unwrap().request.id.connection.0).collect();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5]);
        let waiting = queue.jobs().as_ref().unwrap().len();
        assert!((FEW_WAITING..FEW_WAITING + 3).contains(&waiting), "{waiting}");
    }

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
    async fn whoever_has_sent_sends_what_comes_later_and_ends_with_the_target() {
        let mut rig = TargetFixture::new(LIMITS, |_| ScriptedReply::status(200, "hello"));
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        for id in 1..=20 {
            rig.feed([job(id, None)]).await;
            assert_eq!(rig.deliveries.recv().await.unwrap().outcome, Outcome::Sent);
            assert_eq!(tasks(), 2, "the target, and one that sends");
        }
        rig.finish().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(tasks(), 0);
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
        assert_eq!(outcomes(&ended), [FAILED_LATE, Outcome::Sent, NOT_REACHED, NOT_REACHED, NOT_REACHED]);
        assert_eq!(start.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_queued_at_a_stop_has_not_failed_however_many_were_in_flight() {
        // As in a live run, which has had its time before the stop.
        let limits = TargetLimits { max_in_flight: 64, drain: Duration::ZERO, ..LIMITS };
        let rig = TargetFixture::new(limits, |_| ScriptedReply::never());
        rig.feed((1..=900).map(|id| job(id, None))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.stop.send(true).unwrap();
        let (ended, _) = rig.finish().await;
        let failed: Vec<_> = ended.iter().filter(|delivery| delivery.outcome == FAILED_LATE).collect();
        assert_eq!((ended.len(), failed.len()), (900, 64), "those that were in flight");
        assert!(failed.iter().all(|delivery| delivery.service == Some(Duration::from_secs(1))));
        assert_eq!(outcomes(&ended).iter().filter(|outcome| **outcome == NOT_REACHED).count(), 836);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_due_long_before_a_stop_is_lost_and_what_is_due_just_then_is_not() {
        for (drain, expected) in [(LIMITS.drain, [Shed::Stopped, Shed::RunEnded]), (Duration::ZERO, [Shed::Stopped; 2])]
        {
            let limits = TargetLimits { max_in_flight: 1, drain, ..LIMITS };
            let rig = TargetFixture::new(limits, |_| ScriptedReply::never());
            let due = Instant::now();
            rig.feed((1..=2).map(|id| job(id, Some(due)))).await;
            tokio::time::sleep(LIMITS.drain).await;
            rig.feed([job(3, Some(Instant::now()))]).await;
            rig.stop.send(true).unwrap();
            let (ended, _) = rig.finish().await;
            assert_eq!(outcomes(&ended)[1..], expected.map(Outcome::Shed));
        }
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
