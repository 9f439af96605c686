//! One process: kept alive, written to and read from.
//!
//! Its input, its output and its complaints are looked after at the same time, and none of them ever waits for another:
//! so it may read slowly, or write without reading, and nothing stands still but itself.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::queue::{WriteEnd, WriteQueue, until};
use super::{ExternalCounts, ExternalPhase, WorkerMessage};
use crate::middleware::external::{CommandLine, DecodeError, ExternalSettings, IncomingMessage, MessageDecoder};
use crate::pipeline::budget::{Budget, BudgetRefused, BudgetShare};
use crate::pipeline::children::{self, OwnChild};
use crate::pipeline::queues::FULL_PAUSE;
use crate::pipeline::stderr::log_lines;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// Longest wait for the rest of a process's output after it has ended: the rest is in the pipe already.
const GRACE: Duration = Duration::from_millis(250);
/// Pause before a process that died is started anew; doubled with each death that follows, up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a process is started anew.
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// A process that lived this long died of something new.
const STEADY: Duration = Duration::from_secs(30);

/// Starts a process.
pub(super) fn start(command: &CommandLine) -> std::io::Result<OwnChild> {
    let mut process = Command::new(&command.program);
    process.args(&command.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    children::start(&mut process)
}

/// Reason that a process is finished with.
enum WorkerEnd {
    Exited(ExitStatus),
    /// It closed its output: nothing sent to it can have an effect.
    Silent,
    /// It closed its input.
    Deaf,
    /// Every message was written to it.
    Finished,
    /// It was not done in time, at the end of the run.
    Overdue,
}

/// Looks after one process and those that take its place.
pub(super) struct Worker {
    pub(super) settings: Arc<ExternalSettings>,
    pub(super) queue: WriteQueue,
    pub(super) phase: watch::Receiver<ExternalPhase>,
    pub(super) back: WorkerSender,
    pub(super) counts: Arc<ExternalCounts>,
}

impl Worker {
    /// Works until the run closes it; `child` is the first one.
    pub(super) async fn run(mut self, child: OwnChild) {
        let mut child = Some(child);
        let mut deaths = 0;
        loop {
            if let Some(child) = child.take() {
                let begun = Instant::now();
                let end = self.converse(child).await;
                if self.queue.is_closing() {
                    break;
                }
                deaths = if begun.elapsed() >= STEADY { 0 } else { deaths };
                self.died(&end);
            }
            self.pause(pause(deaths)).await;
            if self.queue.is_closing() {
                break;
            }
            deaths += 1;
            match start(&self.settings.command) {
                Ok(new) => child = Some(new),
                Err(error) => tracing::warn!("cannot start the middleware again: {error}; trying on"),
            }
        }
        self.back.send(WorkerMessage::Gone, None).await;
    }

    /// Lets time pass; what waits gets too late meanwhile.
    async fn pause(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while !self.queue.is_closing() {
            tokio::select! {
                () = until(Some(end)) => return,
                () = self.queue.tend() => {}
            }
        }
    }

    /// Writes messages to a process and reads its messages, until either side ends.
    async fn converse(&mut self, mut child: OwnChild) -> WorkerEnd {
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return WorkerEnd::Silent;
        };
        let counts = Arc::clone(&self.counts);
        let mut reading = tokio::spawn(read(stdout, self.back.clone(), counts));
        let mut complaints = tokio::spawn(log_lines(stderr, "middleware"));
        let end = tokio::select! {
            _ = &mut reading => WorkerEnd::Silent,
            wrote = self.queue.write(&mut stdin) => if wrote == WriteEnd::All { WorkerEnd::Finished } else { WorkerEnd::Deaf },
            status = child.wait() => status.map_or(WorkerEnd::Silent, WorkerEnd::Exited),
            () = overdue(self.phase.clone(), self.settings.timeout) => WorkerEnd::Overdue,
        };
        drop(stdin);
        let end = match end {
            // Whoever closed its output is most likely ending.
            WorkerEnd::Silent => match timeout(GRACE, child.wait()).await {
                Ok(Ok(status)) => WorkerEnd::Exited(status),
                _ => WorkerEnd::Silent,
            },
            end => end,
        };
        let owed = match end {
            WorkerEnd::Exited(_) => GRACE,
            WorkerEnd::Finished | WorkerEnd::Deaf => self.settings.timeout,
            WorkerEnd::Silent | WorkerEnd::Overdue => Duration::ZERO,
        };
        if !reading.is_finished() {
            tokio::select! {
                _ = timeout(owed, &mut reading) => {}
                () = over(self.phase.clone()) => {}
            }
        }
        reading.abort();
        put_down(&mut child).await;
        if !complaints.is_finished() {
            timeout(GRACE, &mut complaints).await.ok();
        }
        complaints.abort();
        end
    }

    /// Logs the end of a process: a warning for the first one, debug messages after that.
    fn died(&self, end: &WorkerEnd) {
        let how = match end {
            WorkerEnd::Exited(status) => status.to_string(),
            WorkerEnd::Silent => "it closed its output".to_owned(),
            WorkerEnd::Deaf => "it closed its input".to_owned(),
            WorkerEnd::Finished | WorkerEnd::Overdue => "it was not done in time".to_owned(),
        };
        let command = &self.settings.command;
        if self.counts.restarts.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "the middleware `{command}` ended ({how}); it is started again, each time after a longer pause"
            );
        } else {
            tracing::debug!("the middleware `{command}` ended again ({how})");
        }
    }
}

/// The pause after so many deaths in a row, with some chance in it: several workers that died of the same do not come
/// back at the same moment.
fn pause(deaths: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(deaths)).min(LAST_PAUSE);
    longest.mul_f64(rand::random_range(0.5..1.0))
}

/// Ends a process that has not ended by itself, and what it started in its group.
async fn put_down(child: &mut OwnChild) {
    let Some(id) = child.id() else { return };
    let group = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // Where it has just ended by itself there is nothing to end.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    timeout(GRACE, child.wait()).await.ok();
}

/// Ready when the run closes the input and the time for what is owed has passed, or when the run is over.
async fn overdue(mut phase: watch::Receiver<ExternalPhase>, time: Duration) {
    phase.wait_for(|phase| *phase != ExternalPhase::Open).await.ok();
    tokio::select! {
        () = sleep(time) => {}
        () = over(phase) => {}
    }
}

/// Ready when nobody waits for anything any more.
async fn over(mut phase: watch::Receiver<ExternalPhase>) {
    phase.wait_for(|phase| *phase == ExternalPhase::Over).await.ok();
}

/// Hands messages to the pacing thread.
#[derive(Clone)]
pub(super) struct WorkerSender {
    pub(super) to: Sender<(WorkerMessage, BudgetShare)>,
    /// Memory that messages on their way may take.
    pub(super) bytes: Budget,
}

impl WorkerSender {
    /// Waits for room for as long as it takes. Where nobody takes anything any more, it is gone.
    async fn said(&self, said: IncomingMessage) {
        let held = loop {
            match self.bytes.try_hold(said.payload.len().max(1)) {
                Ok(held) => break held,
                Err(BudgetRefused::Closed) => return,
                Err(BudgetRefused::Full) => sleep(FULL_PAUSE).await,
            }
        };
        self.send(WorkerMessage::Said(said), held).await;
    }

    async fn send(&self, back: WorkerMessage, held: BudgetShare) {
        let mut entry = (back, held);
        while let Err(TrySendError::Full(refused)) = self.to.try_send(entry) {
            entry = refused;
            sleep(FULL_PAUSE).await;
        }
    }
}

/// Reads messages to the end.
async fn read(mut from: impl AsyncRead + Unpin, to: WorkerSender, counts: Arc<ExternalCounts>) {
    let mut decoder = MessageDecoder::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut lines = Vec::new();
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        decoder.feed(buffer.get(..bytes).unwrap_or_default(), &mut |line| lines.push(line));
        for line in lines.drain(..) {
            match line {
                Ok(said) => to.said(said).await,
                Err(why) => garbage(&counts, why),
            }
        }
    }
    if let Some(why) = decoder.finish() {
        garbage(&counts, why);
    }
}

fn garbage(counts: &ExternalCounts, why: DecodeError) {
    if counts.garbage.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(
            "the middleware wrote a line to its standard output that is no message: {why}; what is meant for people \
             belongs on standard error"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_not_all_the_same() {
        for (deaths, longest) in [(0, FIRST_PAUSE), (1, 2 * FIRST_PAUSE), (40, LAST_PAUSE)] {
            let pauses: Vec<_> = (0..50).map(|_| pause(deaths)).collect();
            assert!(pauses.iter().all(|pause| (longest / 2..=longest).contains(pause)), "{deaths}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{deaths}");
        }
    }
}
