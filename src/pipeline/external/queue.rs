//! Messages that wait to be written to one external process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::ExternalPhase;
use crate::middleware::external::OutgoingMessage;
use crate::pipeline::budget::BudgetShare;

/// Messages that wait for one process: this many in the channel and as many in its queue. Past it requests wait or are
/// shed (`middleware`); responses are not sent, and counted.
pub(super) const QUEUE: usize = 1024;
/// Bytes of lines that are written at once, but for a line that is longer by itself.
const BATCH_BYTES: usize = 64 << 10;

/// A message on its way to a process.
pub(super) struct WriteJob {
    pub(super) message: OutgoingMessage,
    /// Instant after which the message is of no use.
    pub(super) deadline: Instant,
    /// Set once all of it was written, where somebody wants to know.
    pub(super) taken: Option<Arc<AtomicBool>>,
    /// Its share of the memory that such may take.
    pub(super) held: BudgetShare,
}

/// Reason that writing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteEnd {
    /// All was written, and nothing comes any more.
    All,
    /// The process takes nothing any more.
    Refused,
}

/// Messages in their order. What is too late is dropped, whether or not the process reads.
pub(super) struct WriteQueue {
    jobs: mpsc::Receiver<WriteJob>,
    waiting: VecDeque<WriteJob>,
    phase: watch::Receiver<ExternalPhase>,
    is_closing: bool,
    /// Nothing comes any more.
    has_ended: bool,
}

impl WriteQueue {
    pub(super) fn new(jobs: mpsc::Receiver<WriteJob>, phase: watch::Receiver<ExternalPhase>) -> Self {
        Self { jobs, waiting: VecDeque::new(), phase, is_closing: false, has_ended: false }
    }

    /// Returns whether the run is closing the process's input.
    pub(super) const fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Does one thing that has to be done, as soon as there is one. Nothing is lost where it is dropped.
    pub(super) async fn tend(&mut self) {
        let expires = self.waiting.front().map(|job| job.deadline);
        let Self { jobs, waiting, phase, is_closing, has_ended } = self;
        tokio::select! {
            biased;
            () = until(expires) => {
                let now = Instant::now();
                while pop_if(waiting, |job| job.deadline <= now).is_some() {}
            }
            // A sender that is gone closes as well.
            _ = phase.wait_for(|phase| *phase != ExternalPhase::Open), if !*is_closing => {
                *is_closing = true;
                jobs.close();
            }
            job = jobs.recv(), if !*has_ended && waiting.len() < QUEUE => match job {
                Some(job) => waiting.push_back(job),
                None => *has_ended = true,
            },
        }
    }

    /// Writes what comes, until nothing comes any more or nobody takes it.
    pub(super) async fn write(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> WriteEnd {
        let mut batch = WriteBatch::default();
        loop {
            while self.waiting.is_empty() {
                if self.has_ended {
                    return WriteEnd::All;
                }
                self.tend().await;
            }
            batch.fill(&mut self.waiting);
            while !batch.rest().is_empty() {
                let expires = batch.expires;
                tokio::select! {
                    biased;
                    wrote = to.write(batch.rest()) => match wrote {
                        Ok(bytes) if bytes > 0 => batch.advance(bytes),
                        _ => return WriteEnd::Refused,
                    },
                    () = until(expires) => batch.evict(),
                    () = self.tend() => {}
                }
            }
        }
    }
}

/// Lines that are written together.
#[derive(Default)]
struct WriteBatch {
    bytes: Vec<u8>,
    /// Bytes already written.
    at: usize,
    /// End offset of each line, and the flag to set once the line is written.
    lines: VecDeque<(usize, Option<Arc<AtomicBool>>)>,
    held: Vec<BudgetShare>,
    /// Instant after which the whole batch is of no use. It is still written, or the next line would begin in the
    /// middle of one; but its share of the memory is released.
    expires: Option<Instant>,
}

impl WriteBatch {
    /// Takes what fits of what waits; it is empty by now.
    fn fill(&mut self, waiting: &mut VecDeque<WriteJob>) {
        self.bytes.clear();
        // What one large message took is given back.
        self.bytes.shrink_to(2 * BATCH_BYTES);
        self.at = 0;
        self.held.clear();
        while let Some(job) = pop_if(waiting, |_| self.bytes.len() < BATCH_BYTES) {
            job.message.encode(&mut self.bytes);
            self.lines.push_back((self.bytes.len(), job.taken));
            self.held.push(job.held);
            self.expires = Some(job.deadline);
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        let at = self.at;
        while let Some((_, taken)) = pop_if(&mut self.lines, |(end, _)| *end <= at) {
            if let Some(taken) = taken {
                taken.store(true, Ordering::Relaxed);
            }
        }
    }

    fn evict(&mut self) {
        self.held.clear();
        self.expires = None;
    }
}

/// Takes the first where it is wanted.
pub(super) fn pop_if<T>(queue: &mut VecDeque<T>, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(wanted) { queue.pop_front() } else { None }
}

/// Ready at that instant; never where there is none.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exchange::{ConnectionId, ExchangeId, Head, Timestamp};
    use crate::middleware::external::{MessageId, MessageType};

    struct QueueFixture {
        jobs: mpsc::Sender<WriteJob>,
        phase: watch::Sender<ExternalPhase>,
        queue: WriteQueue,
    }

    fn rig() -> QueueFixture {
        let (jobs, receiver) = mpsc::channel(QUEUE);
        let (phase, watched) = watch::channel(ExternalPhase::Open);
        QueueFixture { jobs, phase, queue: WriteQueue::new(receiver, watched) }
    }

    fn job(after: Duration, head: usize) -> (WriteJob, Arc<AtomicBool>) {
        let taken = Arc::<AtomicBool>::default();
        let message = OutgoingMessage {
            kind: MessageType::Request,
            id: MessageId::of(ExchangeId::new(ConnectionId(1), 1)),
            at: Timestamp::default(),
            latency: Duration::ZERO,
            head: Head::new(vec![b'x'; head]),
            body: None,
        };
        (WriteJob { message, deadline: Instant::now() + after, taken: Some(Arc::clone(&taken)), held: None }, taken)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn all_that_waits_is_written_and_then_the_input_ends() {
        let mut rig = rig();
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        let taken: Vec<_> = (0..100)
            .map(|n| {
                let (job, taken) = job(SECOND, n * 20);
                rig.jobs.try_send(job).ok().unwrap();
                taken
            })
            .collect();
        rig.phase.send_replace(ExternalPhase::Closing);
        assert_eq!(rig.queue.write(&mut near).await, WriteEnd::All);
        drop(near);
        let mut written = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut far, &mut written).await.unwrap();
        assert_eq!(written.lines().count(), 100);
        assert!(taken.iter().all(|taken| taken.load(Ordering::Relaxed)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_process_does_not_read_is_dropped_in_time_and_was_never_taken() {
        let mut rig = rig();
        let (mut near, _far) = tokio::io::duplex(10);
        let all: Vec<_> = (0..50).map(|_| job(SECOND, 100_000)).collect();
        let taken: Vec<_> = all.into_iter().map(|(job, taken)| (rig.jobs.try_send(job).ok(), taken).1).collect();
        let writing = tokio::time::timeout(2 * SECOND, rig.queue.write(&mut near));
        assert!(writing.await.is_err(), "the line that was begun is never given up");
        assert!(rig.queue.waiting.is_empty());
        assert!(taken.iter().all(|taken| !taken.load(Ordering::Relaxed)));
        assert_eq!(rig.jobs.capacity(), QUEUE, "and there is room for more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_closed_its_input_takes_nothing() {
        let mut rig = rig();
        let (mut near, far) = tokio::io::duplex(10);
        drop(far);
        rig.jobs.try_send(job(SECOND, 100).0).ok().unwrap();
        assert_eq!(rig.queue.write(&mut near).await, WriteEnd::Refused);
    }
}
