//! The pacing thread's work: each whole request waits until it is due, passes the chain, and is offered to its targets
//! and recorded.

mod chains;
mod ending;
mod external;
mod lag_witness;
mod leap;
mod lookahead;
mod next;
mod opening;
mod pause;
mod pulled;
mod responses;
mod shared;
mod stage;
#[cfg(test)]
mod testing;
pub(super) mod timing;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::dispatch::TargetDispatcher;
use super::external::{AcceptedRequest, ExternalStage};
use super::own_processor::ProcessorNumber;
use super::passes::PassTag;
use super::recorder::EventSender;
use super::reference_traffic::ReferenceSender;
use super::request_record::request_record;
use super::wakeups::wake_in_time;
use crate::exchange::{ConnectionId, Event, ExchangeId, Framing, Outcome, Request, RequestState, Shed, Timestamp};
use crate::middleware::context::ResponseFilter;
use crate::middleware::route::ROUTE;
use crate::priority::Priority;
use crate::replay::{ConnKey, Delivery, Destination, ResponseOptions, TargetId};
use crate::report::{ReportEvent, RequestRecord, TargetSet};

pub(super) use chains::RunChains;
use chains::options_after;
pub(super) use lag_witness::{LagWitness, beginning, stamp};
use lookahead::Lookahead;
use next::{PacerStep, Upcoming};
use opening::Opening;
use pause::Stopped;
use responses::{AwaitingResponse, IssuedTo};
pub(super) use shared::SharedPacer;
pub(super) use stage::{ChainEnd, PacerChannels, PacerSettings};
pub(super) use timing::Timing;

/// What the pacer does besides waiting for what is due.
enum PacerMode {
    /// Nothing.
    Plain,
    /// It reads events before they are due, so that connections open in time.
    Lookahead(Lookahead),
    /// It passes requests through processes outside, after the chain.
    External(ExternalStage),
}

impl PacerMode {
    const fn external(&self) -> Option<&ExternalStage> {
        if let Self::External(external) = self { Some(external) } else { None }
    }

    const fn external_mut(&mut self) -> Option<&mut ExternalStage> {
        if let Self::External(external) = self { Some(external) } else { None }
    }

    const fn ahead(&self) -> Option<&Lookahead> {
        if let Self::Lookahead(ahead) = self { Some(ahead) } else { None }
    }

    const fn ahead_mut(&mut self) -> Option<&mut Lookahead> {
        if let Self::Lookahead(ahead) = self { Some(ahead) } else { None }
    }
}

/// What the stages behind the pacer gave it.
pub(super) struct PacerInputs {
    pub(super) timing: Timing,
    pub(super) external: Option<ExternalStage>,
    /// By target.
    pub(super) dispatchers: Vec<TargetDispatcher>,
    pub(super) reference: ReferenceSender,
    pub(super) recording: Option<EventSender>,
    pub(super) facts: mpsc::Sender<ReportEvent>,
    /// Whether requests are made by those who send them.
    pub(super) is_pulled: bool,
}

/// The pacing thread.
pub(super) struct Pacer {
    settings: PacerSettings,
    channels: PacerChannels,
    /// Requests whose response is still to come; only those that were offered or kept.
    asked: HashMap<ExchangeId, AwaitingResponse, foldhash::fast::RandomState>,
    taken: u64,
    /// Connections of a file that are open.
    open: u64,
    epoch: Instant,
    opening: Opening,
    /// The connection of the last request, or the one that opened last.
    last_begun: Option<ConnectionId>,
    /// Time before a request is due at which it is taken up.
    lead: Duration,
}

/// The rule that keeps back what is captured while a run that only records is paused.
const PAUSED: &str = "paused";

impl Pacer {
    /// Works until the events end or the run is stopped; returns what the chain has to say at the end.
    fn run(mut self) -> ChainEnd {
        wake_in_time();
        self.settings.priority.iter().for_each(Priority::come_first);
        self.settings.processor.into_iter().for_each(ProcessorNumber::enter);
        while let Some(step) = self.next() {
            if self.take_step(step).is_err() {
                break;
            }
        }
        self.finish()
    }

    fn take_step(&mut self, step: PacerStep) -> Result<(), Stopped> {
        match step {
            PacerStep::Event(event, part, due) => self.event(event, part, due),
            PacerStep::Outside(step) => self.outside(step),
        }
    }

    fn event(&mut self, event: Event, part: PassTag, due: Option<Instant>) -> Result<(), Stopped> {
        match event {
            Event::Request(request) => self.request(request, due),
            Event::Response { of, response } => self.response(of, response, due),
            Event::Damaged { of, why } => self.damaged(of, why),
            Event::Orphan { .. } => self.report(ReportEvent::Orphan),
            Event::Opened { .. } => {
                self.of_file(part, self.open.saturating_add(1));
                Ok(())
            }
            Event::Closed { connection, .. } => {
                // Of those that opened outside the part that is replayed only the end is told.
                self.of_file(part, self.open.saturating_sub(1));
                let (conn, due) = (part.conn(connection), self.due_or_now(due));
                if self.settings.mode.external_mut().is_none_or(|external| external.closes(conn, due)) {
                    self.closed(conn, due);
                }
                Ok(())
            }
        }
    }

    /// Takes note of how many connections of a capture are open: of those in a file, whose time is that of the replay.
    fn of_file(&mut self, part: PassTag, open: u64) {
        if part.copy == 0 && !matches!(self.settings.timing, Timing::Live) {
            self.open = open;
            self.channels.progress.open.store(open, Ordering::Relaxed);
        }
    }

    fn closed(&mut self, conn: ConnKey, due: Instant) {
        let dispatchers = self.channels.dispatchers.iter_mut().chain(&mut self.settings.reference.baseline);
        dispatchers.for_each(|dispatcher| dispatcher.closed(conn, due));
    }

    fn request(&mut self, mut request: Box<Request>, due: Option<Instant>) -> Result<(), Stopped> {
        if self.settings.most.is_some_and(|most| self.taken >= most) {
            // What was read ahead of the end is not part of the run.
            return Ok(());
        }
        if let Some(outcome) = unfit(&request, self.needs_bodies()) {
            return self.end(self.note(&request), outcome);
        }
        let due = self.wait_until(due)?;
        self.reload();
        let clock =
            if self.settings.chains.all.is_timeless() { Timestamp::default() } else { self.clock(&request, due) };
        // What the report says of a request is what was captured, not what the chain made of it.
        let note = self.note(&request);
        let passed = self.marked(&request).and_then(|()| self.settings.chains.all.apply_at(&mut request, clock));
        self.notice();
        match passed {
            Err(outcome) => self.end(note, outcome),
            Ok(()) => self.passed(note, request, due),
        }
    }

    /// Goes by the chain files as they are now.
    fn reload(&mut self) {
        let PacerSettings { chains, reloads, mode, .. } = &mut self.settings;
        if reloads.has_changed().unwrap_or(false)
            && let Some(settings) = &*reloads.borrow_and_update()
        {
            chains.replace(settings);
            if let Some(ahead) = mode.ahead_mut() {
                ahead.replace(settings);
            }
        }
    }

    /// Ends what a run like this one has sent.
    fn marked(&self, request: &Request) -> Result<(), Outcome> {
        self.settings.mark.as_ref().map_or(Ok(()), |mark| mark.check(request))
    }

    /// A request passed the chain, which says where it goes.
    fn passed(&mut self, note: RequestRecord, request: Box<Request>, due: Option<Instant>) -> Result<(), Stopped> {
        let targets = self.settings.chains.targets();
        if targets.is_empty() && !self.channels.dispatchers.is_empty() {
            return self.end(note, Outcome::filtered(ROUTE));
        }
        let chain = &self.settings.chains.all;
        let place = chain.place().unwrap_or_default();
        let wanted = options_after(chain, ResponseOptions { carried: chain.carried(), ..ResponseOptions::HASH });
        // Responses go on to recordings and processes only.
        let goes_outside = self.settings.mode.external().is_some();
        let goes_on = self.channels.recording.is_some() || goes_outside;
        let response_filters = if goes_on { chain.response_filters().to_vec() } else { Vec::new() };
        // What is only recorded leaves for nowhere: the clock is not asked.
        let stays = self.channels.dispatchers.is_empty() && !goes_outside;
        let (due, capture_delay) = if stays { (due, None) } else { self.settings.timing.leave(request.last_byte, due) };
        let passed = AcceptedRequest { note, request, due, capture_delay, targets, wanted, place, response_filters };
        if goes_outside { self.give(passed) } else { self.take(passed) }
    }

    fn note(&self, request: &Request) -> RequestRecord {
        request_record(request, self.settings.evidence, &self.settings.secrets)
    }

    /// Returns whether requests are sent or recorded with their bodies: recorded frames have these already.
    fn needs_bodies(&self) -> bool {
        self.channels.recording.is_some() || !self.channels.dispatchers.is_empty()
    }

    /// The clock that limits run on: due times, or the time of sending where there are none.
    fn clock(&self, request: &Request, due: Option<Instant>) -> Timestamp {
        match self.settings.timing {
            // What a store has kept goes out at once, whenever it was captured.
            Timing::Live if !self.settings.is_shared => request.last_byte,
            Timing::Live | Timing::Paced { .. } => {
                let since = due.unwrap_or_else(Instant::now).saturating_duration_since(self.epoch);
                Timestamp::default().plus(since)
            }
        }
    }

    /// Records a request that passed, and offers it to the targets.
    fn take(&mut self, passed: AcceptedRequest) -> Result<(), Stopped> {
        let AcceptedRequest { mut note, mut request, due, capture_delay, targets, wanted, place, response_filters } =
            passed;
        let (id, at, is_head) = (note.id, request.last_byte, request.method() == b"HEAD");
        if self.channels.dispatchers.is_empty() && self.held_by_hand().is_some() {
            return self.end(note, Outcome::filtered(PAUSED));
        }
        self.taken += 1;
        if self.settings.most == Some(self.taken) {
            self.channels.enough.notify_one();
        }
        if self.channels.dispatchers.is_empty() {
            return self.keep(note, request, response_filters);
        }
        let recorded = self.channels.recording.as_ref().is_some_and(|to| to.send(Event::Request(request.clone())));
        let issues = (!wanted.carried.is_empty()).then(|| IssuedTo {
            client: request.client.ip(),
            rules: wanted.carried,
            targets,
            baseline: self.settings.reference.choose_baseline(&request),
        });
        self.asked.insert(id, AwaitingResponse { at, recorded, is_head, issues, response_filters });
        self.channels.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.channels.progress.in_flight.fetch_add(targets.len() as u64, Ordering::Relaxed);
        note.share = Some(self.settings.control.share());
        self.report(ReportEvent::Offered { note: Box::new(note), targets, capture_delay })?;
        let copies = (id.copy > 0).then_some(&self.settings.copies);
        if let Some(mark) = self.settings.mark.as_ref().or(copies) {
            mark.put(&mut request);
        }
        let chosen = self.settings.reference.choose(&request, targets);
        let copy = (!chosen.is_none()).then(|| request.clone());
        if copy.is_some() {
            self.report(chosen.fact(id))?;
        }
        self.offer(request, targets, due, (wanted, place))?;
        let Some(copy) = copy else { return Ok(()) };
        let refused = self.settings.reference.send(&chosen, &copy, due, wanted);
        refused.into_iter().try_for_each(|(to, why)| self.refused(Delivery::unsent(id, to, why)))
    }

    /// Reports a delivery that ended before it was queued.
    fn refused(&self, mut delivery: Delivery) -> Result<(), Stopped> {
        if delivery.outcome == Outcome::Shed(Shed::Stopped) {
            delivery.outcome = self.not_reached();
        }
        if let Some(carry) = &self.settings.carry {
            carry.ended(&delivery);
        }
        self.report(ReportEvent::Delivered(Box::new(delivery)))
    }

    /// Records a request where nothing is sent. Where it is frames that are recorded, it is kept in them.
    fn keep(
        &mut self,
        note: RequestRecord,
        request: Box<Request>,
        response_filters: Vec<Arc<dyn ResponseFilter>>,
    ) -> Result<(), Stopped> {
        let (id, at, is_head) = (note.id, request.last_byte, request.method() == b"HEAD");
        let recorded = self.channels.recording.is_some();
        if self.channels.recording.as_ref().is_some_and(|to| !to.send(Event::Request(request))) {
            return self.end(note, Outcome::Shed(Shed::Recording));
        }
        self.asked.insert(id, AwaitingResponse { at, recorded, is_head, issues: None, response_filters });
        self.channels.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.channels.progress.kept_back.fetch_add(1, Ordering::Relaxed);
        self.report(ReportEvent::Kept { note: Box::new(note) })
    }

    fn offer(
        &mut self,
        request: Box<Request>,
        targets: TargetSet,
        due: Option<Instant>,
        (wanted, place): (ResponseOptions, u64),
    ) -> Result<(), Stopped> {
        let id = request.id;
        let clock =
            if self.settings.chains.has_some_of_targets() { self.clock(&request, due) } else { Timestamp::default() };
        let (held, share) = (self.held_by_hand(), self.settings.control.share());
        let mut left = targets.len();
        let mut request = Some(request);
        for target in targets.iter() {
            left -= 1;
            let copy = if left == 0 { request.take() } else { request.clone() };
            let (Some(mut copy), Some(dispatcher)) = (copy, self.channels.dispatchers.get_mut(target)) else { break };
            let mut wanted = wanted;
            let admitted = match self.settings.chains.of_target(target) {
                Some(chain) => {
                    let admitted = chain.apply_at(&mut copy, clock);
                    wanted = options_after(chain, wanted);
                    admitted
                }
                None => Ok(()),
            };
            let mut held = || held.clone().map_or_else(|| dispatcher.lets_in(place, share), Err);
            let refused = match (admitted.and_then(|()| held()), due) {
                (Err(outcome), _) => Some(outcome),
                (Ok(()), Some(due)) => dispatcher.offer(copy, due, wanted).map(Outcome::Shed),
                (Ok(()), None) if self.settings.is_pulled => dispatcher.put(copy, wanted).map(Outcome::Shed),
                (Ok(()), None) => dispatcher.wait(copy, wanted, &self.channels.runtime).map(Outcome::Shed),
            };
            if let Some(outcome) = refused {
                self.refused(Delivery::unsent(id, Destination::Target(TargetId::at(target)), outcome))?;
            }
        }
        Ok(())
    }

    /// Returns how a request ends to which the run did not come.
    const fn not_reached(&self) -> Outcome {
        Outcome::Shed(self.settings.not_reached)
    }

    fn end(&self, note: RequestRecord, outcome: Outcome) -> Result<(), Stopped> {
        self.channels.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.channels.progress.kept_back.fetch_add(1, Ordering::Relaxed);
        self.report(ReportEvent::Ended { note: Box::new(note), outcome })
    }

    /// Logs the chains' notices at once.
    fn notice(&mut self) {
        for notice in self.settings.chains.take_notices() {
            tracing::warn!("{notice}");
        }
    }

    /// Records an event. The sender counts events that find no room.
    fn record(&self, event: Event) {
        if let Some(recording) = &self.channels.recording {
            recording.send(event);
        }
    }

    /// An error where nobody takes facts any more.
    fn report(&self, fact: ReportEvent) -> Result<(), Stopped> {
        match self.channels.facts.try_send(fact) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(fact)) => self.channels.facts.blocking_send(fact).map_err(|_| Stopped),
            Err(TrySendError::Closed(_)) => Err(Stopped),
        }
    }
}

/// Returns the reason a request must not be sent or recorded at all, whatever the chain decides.
pub(super) fn unfit(request: &Request, needs_body: bool) -> Option<Outcome> {
    match request.state {
        RequestState::Malformed(why) => Some(Outcome::Malformed(why)),
        RequestState::Incomplete(why) => Some(Outcome::Incomplete(why)),
        RequestState::Whole if needs_body && request.body.framing != Framing::None && request.body.wire.is_none() => {
            Some(Outcome::Shed(Shed::BodyLimit))
        }
        RequestState::Whole => None,
    }
}
