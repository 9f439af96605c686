//! The beginning of a run on schedule: connections are open before the first request is due.
//!
//! A new connection has one request, and is then watched for a moment before it has others. So what is due in the first
//! moment of a run needs a connection each. Where these opened when they are needed, one after another, all that follows
//! were late.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::time::Instant;

use super::pause::Stopped;
use super::{Pacer, RunChains, unfit};
use crate::exchange::{Event, Request, Timestamp};
use crate::middleware::ChainSettings;
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::{EVENT_QUEUE, QueuedEvent};
use crate::replay::wire::QUIET;

/// Connections from which on they are opened before they are needed: a few delay nobody, and open when something is sent.
const LEAST: usize = 8;
/// Longest time for which events are read ahead before a run begins.
const READING: Duration = Duration::from_millis(20);
/// Longest time for which a run waits for its connections.
const OPENING: Duration = Duration::from_millis(500);

/// What the pacer does before the first request is due.
pub(in crate::pipeline) struct Opening {
    /// What the chains of the run are, but for limits.
    preview: RunChains,
    /// Events that were read ahead, in their order.
    events: VecDeque<QueuedEvent>,
    is_over: bool,
}

impl Opening {
    /// Connections will be opened for what passes `preview`; for nothing where there is no preview.
    pub(super) fn new(preview: Option<RunChains>) -> Self {
        let is_over = preview.is_none();
        let preview = preview.unwrap_or_else(|| RunChains::new(&ChainSettings::default(), 0));
        Self { preview, events: VecDeque::new(), is_over }
    }

    /// Events that were read ahead.
    pub(super) const fn events(&self) -> &VecDeque<QueuedEvent> {
        &self.events
    }

    /// An event was read ahead.
    pub(super) fn push(&mut self, queued: QueuedEvent) {
        self.events.push_back(queued);
    }

    /// The next of the events that were read ahead.
    pub(super) fn pop(&mut self) -> Option<QueuedEvent> {
        self.events.pop_front()
    }
}

impl Pacer {
    /// Opens connections before the first request; returns the event that comes next, which is `first` again.
    pub(super) fn opened(&mut self, first: QueuedEvent) -> Result<QueuedEvent, Stopped> {
        if self.opening.is_over || !matches!(first.event, Event::Request(_)) {
            return Ok(first);
        }
        self.opening.is_over = true;
        if !self.opening.events.is_empty() {
            // They come after it.
            return Ok(first);
        }
        let mut needed = vec![0; self.channels.dispatchers.len()];
        self.needed(first, &mut needed);
        let until = Instant::now() + OPENING;
        let dispatchers = self.channels.dispatchers.iter().zip(needed).filter(|(_, needed)| *needed >= LEAST);
        let opening: Vec<Receiver<()>> = dispatchers
            .filter_map(|(dispatcher, needed)| dispatcher.open_idle(needed, until, &self.channels.runtime))
            .collect();
        for all in opening {
            crossbeam_channel::select_biased! {
                recv(self.channels.stopped) -> _ => return Err(Stopped),
                recv(all) -> _ => {}
                default(until.saturating_duration_since(Instant::now())) => {}
            }
        }
        self.opening.events.pop_front().ok_or(Stopped)
    }

    /// Reads ahead from `first` on; counts how many connections each target needs.
    fn needed(&mut self, first: QueuedEvent, needed: &mut [usize]) {
        let (until, mut schedule) = (Instant::now() + READING, self.settings.timing.trial());
        let mut next = Some(first);
        while let Some(queued) = next.take() {
            let mut is_near = true;
            if let (Event::Request(request), Some(schedule)) = (&queued.event, &mut schedule)
                && unfit(request, true).is_none()
            {
                let due = schedule.due(request.last_byte.plus(queued.part.delay)).unwrap_or_default();
                is_near = due < QUIET && queued.part.pass == PassTag::default().pass;
                if is_near {
                    self.opening.count(request, Timestamp::default().plus(due), needed);
                }
            }
            self.opening.events.push_back(queued);
            if is_near && self.opening.events.len() < EVENT_QUEUE {
                next = self.channels.events.recv_deadline(until.into_std()).ok();
            }
        }
    }
}

impl Opening {
    /// Counts a request for the targets that it would go to.
    fn count(&mut self, request: &Request, clock: Timestamp, needed: &mut [usize]) {
        let mut request = request.clone();
        if self.preview.all.apply_at(&mut request, clock).is_err() {
            return;
        }
        for target in self.preview.targets().iter() {
            let passes = match self.preview.of_target(target) {
                Some(chain) => chain.apply_at(&mut request.clone(), clock).is_ok(),
                None => true,
            };
            if let Some(needed) = needed.get_mut(target).filter(|_| passes) {
                *needed += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pacer_of, request};
    use super::super::{PacerMode, Timing};
    use super::*;
    use crate::exchange::ExchangeId;
    use crate::pipeline::passes::KnownSpan;

    fn id(queued: &QueuedEvent) -> Option<ExchangeId> {
        if let Event::Request(request) = &queued.event { Some(request.id) } else { None }
    }

    #[test]
    fn what_is_due_in_the_first_moment_is_counted_and_keeps_its_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let chains = || RunChains::new(&ChainSettings::default(), 2);
        for (pace, expected) in [("1x", 3), ("0.5x", 2), ("1000/s", 5), ("10/s", 1)] {
            let timing = Timing::paced(pace.parse().unwrap(), None, KnownSpan::default());
            let (mut pacer, events, _stop, _) = pacer_of(&runtime, PacerMode::Plain, timing, 8);
            let ms = [0, 4, 9, 11, 30];
            (1..).zip(ms).for_each(|(n, ms)| events.send(request(n, ms)).unwrap());
            drop(events);
            pacer.opening = Opening::new(Some(chains()));
            let first = pacer.channels.events.recv().unwrap();
            let all: Vec<_> = (1..).zip(ms).map(|(n, ms)| id(&request(n, ms))).collect();
            let mut needed = vec![0; 2];
            pacer.needed(first, &mut needed);
            assert_eq!(needed, [expected; 2], "{pace}");
            let read = std::iter::from_fn(|| pacer.at_hand());
            assert_eq!(read.map(|queued| id(&queued)).collect::<Vec<_>>(), all, "{pace}");
        }
    }
}
