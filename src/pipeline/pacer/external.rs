//! Requests on their way through processes outside: given when they passed the chain, taken when they come back.
//!
//! What the pacing thread waits for, it waits for together with what comes back, so that nothing piles up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::next::{ExternalStep, PacerStep};
use super::{AwaitingResponse, Pacer};
use crate::exchange::{Damage, Event, ExchangeId, Outcome, Request, Response, Shed};
use crate::pipeline::external::{AcceptedRequest, ExternalStage, Resolution};
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::FULL_PAUSE;
use crate::replay::ConnKey;
use crate::report::TargetSet;

/// Time at the end of the run in which owed echoes are awaited before the input of the processes is closed, which makes
/// those write that write nothing before; until then they are sent the last responses.
const LINGER: Duration = Duration::from_millis(500);
/// Time between two looks at whether everything has ended.
const LOOK: Duration = Duration::from_millis(5);

impl Pacer {
    /// Returns the next step, a message from a process or an event, whichever comes first; none where there are no more
    /// events or the run was stopped.
    pub(super) fn next_of_both(&mut self) -> Option<PacerStep> {
        let external = self.settings.external.as_ref()?;
        let late = external.expires().map_or_else(crossbeam_channel::never, |at| crossbeam_channel::at(at.into_std()));
        crossbeam_channel::select_biased! {
            recv(self.channels.stopped) -> _ => None,
            // Before the clock is looked at: what has come back is not late.
            recv(external.back()) -> back => Some(PacerStep::Outside(ExternalStep::Back(back.ok()?.0))),
            recv(late) -> _ => Some(PacerStep::Outside(ExternalStep::Late)),
            recv(self.channels.events) -> queued => {
                let upcoming = self.upcoming(queued.ok()?);
                Some(self.step(upcoming))
            }
        }
    }

    /// False where the run was stopped.
    pub(super) fn outside(&mut self, step: ExternalStep) -> bool {
        let Some(external) = &mut self.settings.external else { return true };
        match step {
            ExternalStep::Back(back) => {
                let settled = external.settle(back);
                self.settled(settled)
            }
            ExternalStep::Late => {
                let now = Instant::now();
                while let Some(settled) = self.settings.external.as_mut().and_then(|external| external.expire(now)) {
                    if !self.settled(settled) {
                        return false;
                    }
                }
                true
            }
        }
    }

    /// Does what processes bring about until `end`; false where the run was stopped.
    pub(super) fn outside_until(&mut self, end: Instant) -> bool {
        while Instant::now() < end {
            let Some(external) = &self.settings.external else { return true };
            let wake = external.expires().map_or(end, |late| late.min(end));
            let step = crossbeam_channel::select_biased! {
                recv(self.channels.stopped) -> _ => return false,
                recv(external.back()) -> back => back.ok().map(|(back, _)| ExternalStep::Back(back)),
                recv(crossbeam_channel::at(wake.into_std())) -> _ => (wake < end).then_some(ExternalStep::Late),
            };
            if step.is_some_and(|step| !self.outside(step)) {
                return false;
            }
        }
        true
    }

    /// Gives a request to a process. Where there is no room it is shed, but without a schedule it waits, for as long as
    /// it would for its echo.
    pub(super) fn give(&mut self, passed: AcceptedRequest) -> bool {
        let id = passed.note.id;
        let mut passed = passed;
        let mut until = None;
        loop {
            let Some(external) = &mut self.settings.external else { return true };
            external.latest = passed.request.last_byte;
            let timeout = external.timeout();
            let Err(back) = external.give(passed) else { return true };
            let until = *until.get_or_insert_with(|| Instant::now() + timeout);
            if back.due.is_some() || Instant::now() >= until {
                return self.end(back.note, Outcome::Shed(Shed::Middleware));
            }
            if !self.outside_until(Instant::now() + FULL_PAUSE) {
                tracing::debug!(%id, "stopped while it waited for room before the middleware");
                return self.end(back.note, Outcome::Shed(Shed::Stopped));
            }
            passed = *back;
        }
    }

    /// Does what comes of a message, or of time that passed.
    fn settled(&mut self, settled: Resolution) -> bool {
        match settled {
            Resolution::Nothing => true,
            Resolution::Passed { passed, answered, changed } => {
                let conn = passed.note.id.into();
                let went_on = self.came_back(passed, changed)
                    && answered.is_none_or(|event| self.event(event, PassTag::default(), None));
                self.done(conn);
                went_on
            }
            Resolution::Ended { note, outcome } => {
                let conn = note.id.into();
                let went_on = self.end(note, outcome);
                self.done(conn);
                went_on
            }
            Resolution::MadeUp(request) => self.made_up(request),
            Resolution::Response { of, response } => {
                self.record(match response {
                    Some(response) => Event::Response { of, response },
                    None => Event::Damaged { of, why: Damage::Shed },
                });
                true
            }
        }
    }

    /// A request came back: what was changed in it may not make a write of it, or a tunnel.
    fn came_back(&mut self, passed: AcceptedRequest, changed: bool) -> bool {
        if self.has_enough() {
            return true;
        }
        match if changed { self.settings.chains.all.admit(&passed.request) } else { Ok(()) } {
            Ok(()) => self.take(passed),
            Err(outcome) => self.end(passed.note, outcome),
        }
    }

    /// Offers a request that a process made up: it is due now, has a connection of its own, and has no production
    /// response.
    fn made_up(&mut self, request: Box<Request>) -> bool {
        if self.has_enough() {
            return true;
        }
        let (id, note) = (request.id, self.note(&request));
        if let Err(outcome) = self.settings.chains.all.admit(&request) {
            return self.end(note, outcome);
        }
        let now = Instant::now();
        let due = (!self.settings.timing.is_unscheduled()).then_some(now);
        self.channels.dispatchers.iter_mut().for_each(|dispatcher| dispatcher.opened(id.into(), now));
        let targets = TargetSet::first(self.channels.dispatchers.len());
        let (place, response_filters) = (place_of(id), Vec::new());
        let passed = AcceptedRequest { note, request, due, targets, keep_host: false, place, response_filters };
        let went_on = self.take(passed) && self.damaged(id, Damage::NoResponse);
        self.closed(id.into(), now);
        went_on
    }

    fn has_enough(&self) -> bool {
        self.settings.most.is_some_and(|most| self.taken >= most)
    }

    /// Closes a connection that was to close after the last of its requests that waited.
    fn done(&mut self, conn: ConnKey) {
        if let Some(due) = self.settings.external.as_mut().and_then(|external| external.done(conn)) {
            self.closed(conn, due);
        }
    }

    /// Queues production's result behind a request that waits for its echo; the processes get it at once.
    pub(super) fn follow(&mut self, of: ExchangeId, event: impl FnOnce() -> Event) {
        let Some(external) = self.settings.external.as_mut().filter(|external| external.waits(of)) else { return };
        external.follow(of, event());
    }

    /// Sends production's response to the processes. A recording gets the response as it comes back, and not at all
    /// where it does not: data that a process masks must not reach the disk unmasked.
    pub(super) fn response_outside(&mut self, of: ExchangeId, response: Box<Response>, asked: &AwaitingResponse) {
        let Some(external) = &mut self.settings.external else { return };
        if !asked.recorded {
            external.send_response(of, &response);
        } else if external.give_response(of, asked.is_head, response).is_err() {
            self.record(Event::Damaged { of, why: Damage::Shed });
        }
    }

    /// Winds up after the last event: owed echoes may still come, and the last messages sent may have an effect.
    pub(super) fn wind_up(&mut self) {
        if self.finish_outside().is_none() {
            let waited = self.settings.external.as_mut().map(ExternalStage::stopped).unwrap_or_default();
            for note in waited {
                self.end(note, Outcome::Shed(Shed::Stopped));
            }
        }
        // The processes end now. What production answers after this is recorded no more: nobody is there to give it back.
        if let Some(external) = &self.settings.external {
            external.end();
        }
    }

    /// None where the run was stopped.
    fn finish_outside(&mut self) -> Option<()> {
        let timeout = self.settings.external.as_ref().map(ExternalStage::timeout)?;
        let lingers = Instant::now() + LINGER.min(timeout);
        loop {
            let owed = self.settings.external.as_ref()?.is_owed();
            let in_flight = self.channels.progress.in_flight.load(Ordering::Relaxed) > 0;
            if !(owed || in_flight) || (owed && Instant::now() >= lingers) {
                break;
            }
            if self.channels.facts.is_closed() {
                // The report died, and with it whoever counts what is in flight.
                return None;
            }
            self.look_outside()?;
        }
        self.settings.external.as_ref()?.close();
        let end = Instant::now() + timeout;
        while Instant::now() < end && self.settings.external.as_ref()?.lives() {
            self.look_outside()?;
        }
        while self.settings.external.as_ref()?.is_owed() {
            self.look_outside()?;
        }
        Some(())
    }

    fn look_outside(&mut self) -> Option<()> {
        self.outside_until(Instant::now() + LOOK).then_some(())
    }
}

/// A place for a request that came by no sample: as good as any, and another for the next one.
fn place_of(id: ExchangeId) -> u64 {
    /// The golden ratio of 2^64: its multiples lie evenly.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    (id.connection.0 ^ u64::from(id.index)).wrapping_mul(STEP)
}
