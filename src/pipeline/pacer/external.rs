//! Requests on their way through processes outside: given when they passed the chain, taken when they come back.
//!
//! What the pacing thread waits for, it waits for together with what comes back, so that nothing piles up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::next::{ExternalStep, PacerStep};
use super::pause::Stopped;
use super::{AwaitingResponse, Pacer};
use crate::exchange::{Damage, Event, ExchangeId, Outcome, Request, Response, Shed};
use crate::pipeline::external::{AcceptedRequest, ExternalStage, Resolution};
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::FULL_PAUSE;
use crate::replay::ConnKey;
use crate::replay::ResponseOptions;
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
        let external = self.settings.mode.external()?;
        let late = external.expires().map_or_else(crossbeam_channel::never, |at| crossbeam_channel::at(at.into_std()));
        if !self.opening.events().is_empty() {
            return crossbeam_channel::select_biased! {
                recv(self.channels.stopped) -> _ => None,
                recv(external.back()) -> back => Some(PacerStep::Outside(ExternalStep::Back(back.ok()?.0))),
                recv(late) -> _ => Some(PacerStep::Outside(ExternalStep::Late)),
                default => {
                    let queued = self.opening.pop()?;
                    let upcoming = self.upcoming(queued);
                    Some(self.step(upcoming))
                }
            };
        }
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

    pub(super) fn outside(&mut self, step: ExternalStep) -> Result<(), Stopped> {
        let Some(external) = self.settings.mode.external_mut() else { return Ok(()) };
        match step {
            ExternalStep::Back(back) => {
                let settled = external.settle(back);
                self.settled(settled)
            }
            ExternalStep::Late => {
                let now = Instant::now();
                while let Some(settled) = self.settings.mode.external_mut().and_then(|external| external.expire(now)) {
                    self.settled(settled)?;
                }
                Ok(())
            }
        }
    }

    /// Does what processes bring about until `end`.
    pub(super) fn outside_until(&mut self, end: Instant) -> Result<(), Stopped> {
        while Instant::now() < end {
            let Some(external) = self.settings.mode.external() else { return Ok(()) };
            let wake = external.expires().map_or(end, |late| late.min(end));
            let step = crossbeam_channel::select_biased! {
                recv(self.channels.stopped) -> _ => return Err(Stopped),
                recv(external.back()) -> back => back.ok().map(|(back, _)| ExternalStep::Back(back)),
                recv(crossbeam_channel::at(wake.into_std())) -> _ => (wake < end).then_some(ExternalStep::Late),
            };
            step.map_or(Ok(()), |step| self.outside(step))?;
        }
        Ok(())
    }

    /// Gives a request to a process. Where there is no room it is shed, but without a schedule it waits, for as long as
    /// it would for its echo.
    pub(super) fn give(&mut self, passed: AcceptedRequest) -> Result<(), Stopped> {
        let id = passed.note.id;
        let mut passed = passed;
        let mut until = None;
        loop {
            let Some(external) = self.settings.mode.external_mut() else { return Ok(()) };
            external.latest = passed.request.last_byte;
            let timeout = external.timeout();
            let Err(back) = external.give(passed) else { return Ok(()) };
            let until = *until.get_or_insert_with(|| Instant::now() + timeout);
            if back.due.is_some() || Instant::now() >= until {
                return self.end(back.note, Outcome::Shed(Shed::Middleware));
            }
            if self.outside_until(Instant::now() + FULL_PAUSE).is_err() {
                tracing::debug!(%id, "stopped while it waited for room before the middleware");
                return self.end(back.note, self.not_reached());
            }
            passed = *back;
        }
    }

    /// Does what comes of a message, or of time that passed.
    fn settled(&mut self, settled: Resolution) -> Result<(), Stopped> {
        match settled {
            Resolution::Nothing => Ok(()),
            Resolution::Passed { passed, answered, changed } => {
                let conn = passed.note.id.into();
                let answered =
                    |pacer: &mut Self| answered.map_or(Ok(()), |event| pacer.event(event, PassTag::default(), None));
                let ended = self.came_back(passed, changed).and_then(|()| answered(self));
                self.done(conn);
                ended
            }
            Resolution::Ended { note, outcome } => {
                let conn = note.id.into();
                let ended = self.end(note, outcome);
                self.done(conn);
                ended
            }
            Resolution::MadeUp(request) => self.made_up(request),
            Resolution::Response { of, response } => {
                self.record(match response {
                    Some(response) => Event::Response { of, response },
                    None => Event::Damaged { of, why: Damage::Shed },
                });
                Ok(())
            }
        }
    }

    /// A request came back: what was changed in it may not make a write of it, or a tunnel.
    fn came_back(&mut self, mut passed: AcceptedRequest, changed: bool) -> Result<(), Stopped> {
        if self.has_enough() {
            return Ok(());
        }
        passed.wanted.rewritten |= changed;
        match if changed { self.settings.chains.all.admit(&passed.request) } else { Ok(()) } {
            Ok(()) => self.take(passed),
            Err(outcome) => self.end(passed.note, outcome),
        }
    }

    /// Offers a request that a process made up: it is due now, has a connection of its own, and has no production
    /// response.
    fn made_up(&mut self, request: Box<Request>) -> Result<(), Stopped> {
        if self.has_enough() {
            return Ok(());
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
        let passed = AcceptedRequest {
            note,
            request,
            due,
            capture_delay: None,
            targets,
            wanted: ResponseOptions::HASH,
            place,
            response_filters,
        };
        let ended = self.take(passed).and_then(|()| self.damaged(id, Damage::NoResponse));
        self.closed(id.into(), now);
        ended
    }

    fn has_enough(&self) -> bool {
        self.settings.most.is_some_and(|most| self.taken >= most)
    }

    /// Closes a connection that was to close after the last of its requests that waited.
    fn done(&mut self, conn: ConnKey) {
        if let Some(due) = self.settings.mode.external_mut().and_then(|external| external.done(conn)) {
            self.closed(conn, due);
        }
    }

    /// Queues production's result behind a request that waits for its echo; the processes get it at once.
    pub(super) fn follow(&mut self, of: ExchangeId, event: impl FnOnce() -> Event) {
        let Some(external) = self.settings.mode.external_mut().filter(|external| external.waits(of)) else { return };
        external.follow(of, event());
    }

    /// Sends production's response to the processes. A recording gets the response as it comes back, and not at all
    /// where it does not: data that a process masks must not reach the disk unmasked.
    pub(super) fn response_outside(&mut self, of: ExchangeId, response: Box<Response>, asked: &AwaitingResponse) {
        let Some(external) = self.settings.mode.external_mut() else { return };
        if !asked.recorded {
            external.send_response(of, &response);
        } else if external.give_response(of, asked.is_head, response).is_err() {
            self.record(Event::Damaged { of, why: Damage::Shed });
        }
    }

    /// Winds up after the last event: owed echoes may still come, and the last messages sent may have an effect.
    pub(super) fn wind_up(&mut self) {
        if self.finish_outside().is_err() {
            let waited = self.settings.mode.external_mut().map(ExternalStage::stopped).unwrap_or_default();
            // Where nobody takes facts any more, nobody misses these.
            for note in waited {
                self.end(note, self.not_reached()).ok();
            }
        }
        // The processes end now. What production answers after this is recorded no more: nobody is there to give it back.
        if let Some(external) = self.settings.mode.external() {
            external.end();
        }
    }

    /// Waits for what processes still owe.
    fn finish_outside(&mut self) -> Result<(), Stopped> {
        let Some(timeout) = self.settings.mode.external().map(ExternalStage::timeout) else { return Ok(()) };
        let lingers = Instant::now() + LINGER.min(timeout);
        loop {
            let owed = self.is_owed();
            let in_flight = self.channels.progress.in_flight.load(Ordering::Relaxed) > 0;
            if !(owed || in_flight) || (owed && Instant::now() >= lingers) {
                break;
            }
            if self.channels.facts.is_closed() {
                // The report died, and with it whoever counts what is in flight.
                return Err(Stopped);
            }
            self.look_outside()?;
        }
        self.settings.mode.external().into_iter().for_each(ExternalStage::close);
        let end = Instant::now() + timeout;
        while Instant::now() < end && self.settings.mode.external().is_some_and(ExternalStage::lives) {
            self.look_outside()?;
        }
        while self.is_owed() {
            self.look_outside()?;
        }
        Ok(())
    }

    fn is_owed(&self) -> bool {
        self.settings.mode.external().is_some_and(ExternalStage::is_owed)
    }

    fn look_outside(&mut self) -> Result<(), Stopped> {
        self.outside_until(Instant::now() + LOOK)
    }
}

/// A place for a request that came by no sample: as good as any, and another for the next one.
fn place_of(id: ExchangeId) -> u64 {
    /// The golden ratio of 2^64: its multiples lie evenly.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    (id.connection.0 ^ u64::from(id.index)).wrapping_mul(STEP)
}
