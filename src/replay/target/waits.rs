//! What a request in flight waits for besides its response: its time limit, production's end, the end of the run.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::TargetLinks;
use crate::exchange::ExchangeId;
use crate::replay::production_ends::ProductionEndWait;
use crate::replay::response_watch::{ResponseWatch, Surroundings, WatchStep};
use crate::replay::{BegunResponse, ClosedEarly, ResponseProgress, SendError};

/// A send whose response is waited for.
pub(super) struct WatchedSend<'a> {
    pub(super) watch: ResponseWatch,
    pub(super) links: &'a TargetLinks,
    pub(super) id: ExchangeId,
    /// How production's response ended, once it has been asked.
    pub(super) asked: Option<ProductionEndWait>,
}

impl WatchedSend<'_> {
    /// Why the response is to be closed, or why it has failed; to be polled when its client has nothing new.
    pub(super) fn poll(
        &mut self,
        progress: &ResponseProgress,
        alarm: &mut ReusableTimeout<'_>,
        stop: &mut StopWait<'_, impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ClosedEarly, SendError>> {
        loop {
            let stopped = stop.poll(cx);
            let next = match progress.begun() {
                // Most responses come before anything else does: then the clock is not asked.
                None if stopped.is_none() => {
                    ready!(alarm.poll_until(self.watch.begins_by(), cx));
                    self.watch.before_it_begins(Instant::now(), None)
                }
                None => self.watch.before_it_begins(Instant::now(), stopped),
                Some(begun) => self.since_it_began(*begun, progress.received(), stopped, cx),
            };
            match next {
                WatchStep::Close(why) => return Poll::Ready(Ok(why)),
                WatchStep::Fail(error) => return Poll::Ready(Err(error)),
                WatchStep::Wait(until) => ready!(alarm.poll_until(until, cx)),
            }
        }
    }

    fn since_it_began(
        &mut self,
        begun: BegunResponse,
        received: u64,
        stopped: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> WatchStep {
        let (now, asks_at) = (Instant::now(), ResponseWatch::asks_at(&begun));
        if self.asked.is_none() && now >= asks_at {
            self.asked = Some(self.links.production.ask(self.id));
        }
        let production = self.asked.as_mut().and_then(|asked| asked.poll(cx));
        match self.watch.since_it_began(now, &begun, received, Surroundings { production, stopped }) {
            WatchStep::Wait(until) if self.asked.is_none() => WatchStep::Wait(until.min(asks_at)),
            step => step,
        }
    }
}

/// A timer that is set for each request, and costs nothing while responses come in time: it is only polled when it
/// would have fired for an earlier one. All of its polls are to come from one task.
pub(super) struct ReusableTimeout<'a> {
    sleep: Pin<&'a mut Sleep>,
    /// It was polled since it was set last: it wakes the task by itself.
    is_polled: bool,
}

impl<'a> ReusableTimeout<'a> {
    pub(super) const fn new(sleep: Pin<&'a mut Sleep>) -> Self {
        Self { sleep, is_polled: false }
    }

    /// Ready at that instant.
    pub(super) fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.deadline() > at {
            self.set(at);
        }
        loop {
            if self.is_polled && !self.sleep.is_elapsed() {
                return Poll::Pending;
            }
            self.is_polled = true;
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= at {
                return Poll::Ready(());
            }
            self.set(at);
        }
    }

    fn set(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.is_polled = false;
    }
}

/// The end of the run, which is waited for once and not anew with each request. All of its polls are to come from one task.
pub(super) struct StopWait<'a, S> {
    stopped: Pin<&'a mut S>,
    /// What changes when it is.
    sign: &'a watch::Receiver<bool>,
    is_polled: bool,
    at: Option<Instant>,
}

impl<'a, S: Future<Output = ()>> StopWait<'a, S> {
    /// Waits for `stopped`, which is not ready before `sign` has changed.
    pub(super) const fn new(stopped: Pin<&'a mut S>, sign: &'a watch::Receiver<bool>) -> Self {
        Self { stopped, sign, is_polled: false, at: None }
    }

    /// When the run was stopped, where it was; else whoever polls is woken then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        if self.at.is_some() || (self.is_polled && !self.sign.has_changed().unwrap_or(true)) {
            return self.at;
        }
        self.is_polled = true;
        if self.stopped.as_mut().poll(cx).is_ready() {
            self.at = Some(Instant::now());
        }
        self.at
    }
}
