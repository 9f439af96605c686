//! The thread that sends telemetry, and the queues before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;

use super::client::EndpointClient;
use super::endpoint::Endpoint;
use super::otlp::{self, FinishedSpan};
use super::webhook::GuardWord;
use crate::report::schema::telemetry::{TelemetryCounts, TelemetrySummary};

/// Spans that wait to be sent; past it they are dropped, and counted.
const SPAN_QUEUE: usize = 8192;
/// Spans of one request.
const BATCH: usize = 512;
/// Longest time that a span waits for others.
const GATHER: Duration = Duration::from_secs(2);
/// Words that wait to be sent; past it likewise. Guards change rarely.
const WORD_QUEUE: usize = 64;
/// Time that what is left has at the end of a run.
const END: Duration = Duration::from_secs(5);

/// Where telemetry of a run goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// Spans of deliveries, over OTLP.
    pub traces: Option<Endpoint>,
    /// A word when a guard changes.
    pub webhook: Option<Endpoint>,
}

/// What became of the entries of one queue.
#[derive(Debug, Default)]
struct Counts {
    offered: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Entries that were neither sent nor refused were dropped: there was no room, or no time.
    fn total(&self, endpoint: &Endpoint) -> TelemetryCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (offered, sent, failed) = (of(&self.offered), of(&self.sent), of(&self.failed));
        let dropped = offered.saturating_sub(sent + failed);
        TelemetryCounts { endpoint: endpoint.to_string(), sent, failed, dropped }
    }
}

/// Takes entries, and never waits.
#[derive(Debug)]
pub(crate) struct QueueSender<T> {
    to: Sender<T>,
    counts: Arc<Counts>,
}

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> Self {
        Self { to: self.to.clone(), counts: Arc::clone(&self.counts) }
    }
}

impl<T> QueueSender<T> {
    /// Hands an entry on; drops it where there is no room.
    pub(crate) fn send(&self, entry: T) {
        Counts::add(&self.counts.offered, 1);
        // It is counted as dropped, since it is never sent.
        self.to.try_send(entry).ok();
    }
}

/// Takes spans.
pub(crate) type SpanSender = QueueSender<FinishedSpan>;
/// Takes words of guards.
pub(crate) type WordSender = QueueSender<GuardWord>;

/// The thread, and what hands entries to it.
#[derive(Default)]
pub(crate) struct TelemetryStage {
    pub(crate) spans: Option<SpanSender>,
    pub(crate) words: Option<WordSender>,
    thread: Option<JoinHandle<()>>,
    closing: watch::Sender<bool>,
    counts: Vec<(SentKind, Endpoint, Arc<Counts>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SentKind {
    Traces,
    Webhook,
}

impl TelemetryStage {
    /// Starts the thread, where there is anything to send.
    ///
    /// # Errors
    ///
    /// In words, where a client or the thread cannot be had.
    pub(crate) fn start(settings: &Telemetry) -> Result<Self, String> {
        let mut stage = Self::default();
        let closing = stage.closing.subscribe();
        let (mut spans, mut words) = (None, None);
        if let Some(endpoint) = &settings.traces {
            let (sender, queue, counts) = stage.queue(SentKind::Traces, endpoint, SPAN_QUEUE);
            stage.spans = Some(sender);
            spans = Some(Worker {
                client: EndpointClient::new(endpoint.clone(), "/v1/traces")?,
                queue,
                counts,
                told: false,
            });
        }
        if let Some(endpoint) = &settings.webhook {
            let (sender, queue, counts) = stage.queue(SentKind::Webhook, endpoint, WORD_QUEUE);
            stage.words = Some(sender);
            words = Some(Worker { client: EndpointClient::new(endpoint.clone(), "/")?, queue, counts, told: false });
        }
        if spans.is_none() && words.is_none() {
            return Ok(stage);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let work = async move {
            let both = async {
                tokio::join!(
                    async {
                        if let Some(spans) = spans {
                            spans.spans(closing.clone()).await;
                        }
                    },
                    async {
                        if let Some(words) = words {
                            words.words(closing.clone()).await;
                        }
                    },
                )
            };
            tokio::select! {
                _ = both => {}
                () = late(closing.clone()) => {}
            }
        };
        let thread = std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || runtime.block_on(work));
        stage.thread = Some(thread.map_err(|error| error.to_string())?);
        Ok(stage)
    }

    fn queue<T>(
        &mut self,
        kind: SentKind,
        endpoint: &Endpoint,
        room: usize,
    ) -> (QueueSender<T>, Receiver<T>, Arc<Counts>) {
        let (to, queue) = mpsc::channel(room);
        let counts = Arc::<Counts>::default();
        self.counts.push((kind, endpoint.clone(), Arc::clone(&counts)));
        (QueueSender { to, counts: Arc::clone(&counts) }, queue, counts)
    }

    /// Ends it: what is left has a few seconds. Returns what became of everything, where there was anything to send.
    pub(crate) fn finish(mut self) -> Option<TelemetrySummary> {
        self.closing.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the telemetry thread died");
        }
        let of = |wanted: SentKind| {
            let found = self.counts.iter().find(|(kind, ..)| *kind == wanted);
            found.map(|(_, endpoint, counts)| counts.total(endpoint))
        };
        (!self.counts.is_empty())
            .then(|| TelemetrySummary { traces: of(SentKind::Traces), webhook: of(SentKind::Webhook) })
    }
}

/// Ready once the run has ended, and the time for what is left is over.
async fn late(mut closing: watch::Receiver<bool>) {
    closing.wait_for(|closing| *closing).await.ok();
    tokio::time::sleep(END).await;
}

/// Sends what is in one queue.
struct Worker<T> {
    client: EndpointClient,
    queue: Receiver<T>,
    counts: Arc<Counts>,
    /// That it fails was said.
    told: bool,
}

impl<T> Worker<T> {
    /// Counts entries that were sent, or refused; the first refusal is told.
    fn settle(&mut self, count: usize, sent: Result<(), String>, what: &str) {
        match sent {
            Ok(()) => Counts::add(&self.counts.sent, count),
            Err(why) => {
                Counts::add(&self.counts.failed, count);
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!("{what} cannot be sent, and the run goes on without: {why}");
                }
            }
        }
    }
}

impl Worker<FinishedSpan> {
    async fn spans(mut self, closing: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        while gather(&mut self.queue, &mut batch, closing.clone()).await {
            let sent = self.client.post(&otlp::request(&batch)).await;
            self.settle(batch.len(), sent, "traces (--otlp)");
            batch.clear();
        }
    }
}

impl Worker<GuardWord> {
    async fn words(mut self, closing: watch::Receiver<bool>) {
        while let Some(word) = next(&mut self.queue, closing.clone()).await {
            let sent = self.client.post(&word.body()).await;
            self.settle(1, sent, "the webhook (--webhook)");
        }
    }
}

/// The next entry; `None` once the run has ended and there is none left.
async fn next<T>(queue: &mut Receiver<T>, mut closing: watch::Receiver<bool>) -> Option<T> {
    if let Ok(entry) = queue.try_recv() {
        return Some(entry);
    }
    tokio::select! {
        entry = queue.recv() => entry,
        _ = closing.wait_for(|closing| *closing) => queue.try_recv().ok(),
    }
}

/// Gathers entries for a while, or until there are enough; false once the run has ended and there is none left.
async fn gather<T>(queue: &mut Receiver<T>, batch: &mut Vec<T>, mut closing: watch::Receiver<bool>) -> bool {
    let Some(first) = next(queue, closing.clone()).await else { return false };
    batch.push(first);
    let time = tokio::time::sleep(GATHER);
    tokio::pin!(time);
    while batch.len() < BATCH {
        tokio::select! {
            entry = queue.recv() => match entry {
                Some(entry) => batch.push(entry),
                None => break,
            },
            () = &mut time => break,
            _ = closing.wait_for(|closing| *closing) => {
                while batch.len() < BATCH && let Ok(entry) = queue.try_recv() {
                    batch.push(entry);
                }
                break;
            }
        }
    }
    true
}
