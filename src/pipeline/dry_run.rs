//! A run without its sending: requests pass the chain as they would, and are counted where they would go.
//!
//! One thread reads, in the order of the capture and without waiting for due times; limits run on the due times all the
//! same. No client is made, no process started, and nothing is written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::carry::preview::CarryPreview;
use super::inspect::inspect;
use super::pacer::{LagWitness, RunChains, Timing, beginning, stamp, unfit};
use super::passes::{KnownSpan, PassMapper, PassTag};
use super::protection;
use super::queues::EVENT_QUEUE;
use super::reader::spoe_stats;
use super::run::{Feed, Run, RunError, interests};
use super::tap::Tap;
use crate::capture::spoe::{self, SpoeListener};
use crate::capture::{self, Halt, Polled, Source};
use crate::exchange::{ConnectionId, Event, Outcome, Request, Timestamp};
use crate::http1::BodyPolicies;
use crate::http1::spoe::SpoeExchanges;
use crate::middleware::LoopHeader;
use crate::middleware::allow_deny::WRITES;
use crate::middleware::route::ROUTE;
use crate::recording::{self, Origin};
use crate::replay::{self, ReplayRange, outgoing_head};
use crate::report::collect::dry_run::DryRunTally;
use crate::report::{CaptureStats, TargetSet};

/// What a dry run found.
#[derive(Debug, Default)]
pub struct DryRun {
    /// What would go where.
    pub tally: DryRunTally,
    /// Statistics of the capture.
    pub capture: CaptureStats,
}

/// Reads what `run` is fed with and counts what it would send; a live source for the time `listen`. Sends and writes
/// nothing.
///
/// # Errors
///
/// Where the filter of the capture does not compile.
pub fn dry_run(mut run: Run, listen: Duration) -> Result<DryRun, RunError> {
    run.middleware.sample = protection::first_share(&run);
    let wanted = interests(&run);
    run.range.by_client = !run.middleware.carry_rules().is_empty();
    let mut preview = Preview::new(&run);
    let Run { feed, capture, range, .. } = run;
    let capture = match feed {
        Feed::Files(origin) => preview.files(origin, &capture, range, wanted)?,
        Feed::Live(source) => preview.live(source, Tap::new(&capture, wanted)?, &capture.halt, listen),
        Feed::Spoe(listener) => preview.spoe(listener, &capture, wanted, listen).map_err(RunError::Start)?,
    };
    Ok(DryRun { tally: preview.finish(), capture })
}

/// What was read does not tell yet.
struct Undecided;

/// The pacing thread's work, but for what is sent.
struct Preview {
    tally: DryRunTally,
    chains: RunChains,
    timing: Timing,
    span: KnownSpan,
    mark: Option<LoopHeader>,
    copies: LoopHeader,
    targets: Vec<replay::SendSettings>,
    baseline: Option<replay::SendSettings>,
    writes: bool,
    records: bool,
    needs_bodies: bool,
    carried: CarryPreview,
    most: Option<u64>,
    taken: u64,
    /// What was read behind an event whose stamp is ahead or behind, with that event: it may show that the clock was set.
    held: VecDeque<(Event, PassTag)>,
    /// How many of them show nothing of a stamp that is far ahead.
    looked_at: usize,
    /// The connection of the latest beginning that was passed on.
    last_begun: Option<ConnectionId>,
}

impl Preview {
    fn new(run: &Run) -> Self {
        let label = |target: &replay::SendSettings| match &target.name {
            Some(name) => format!("{name} = {}", target.target),
            None => target.target.to_string(),
        };
        let baseline = run.reference.baseline.as_ref();
        let recorded = run.recorder.as_ref().map(|recorder| format!("recording to {}", recorder.name()));
        let names = run.targets.iter().map(label);
        let names = names.chain(baseline.map(|target| format!("baseline {}", target.target))).chain(recorded);
        let span = KnownSpan::default();
        let mut tally = DryRunTally::new(Arc::clone(&run.patterns), names);
        tally.remarks = remarks(run);
        Self {
            tally,
            chains: RunChains::new(&run.middleware, run.targets.len()),
            timing: run.timing(&span),
            span,
            mark: run.mark.clone(),
            copies: LoopHeader::default().of_run(&run.middleware.run.id),
            targets: run.targets.clone(),
            baseline: baseline.cloned(),
            writes: run.middleware.allow_writes,
            records: run.recorder.is_some(),
            needs_bodies: run.recorder.is_some() || !run.targets.is_empty(),
            carried: CarryPreview::new(run.middleware.carry_rules()),
            most: run.most,
            taken: 0,
            held: VecDeque::new(),
            looked_at: 0,
            last_begun: None,
        }
    }

    /// Reads files, as often as they are to be replayed, or until the run is halted.
    fn files(
        &mut self,
        origin: Origin,
        capture: &capture::Settings,
        range: ReplayRange,
        wanted: BodyPolicies,
    ) -> Result<CaptureStats, RunError> {
        let passes = range.passes.max(1);
        let mut mapper = PassMapper::new(range, Arc::clone(&self.span));
        let mut all = CaptureStats::default();
        let mut next = Some(origin);
        for pass in 1..=passes {
            let Some(origin) = next.take() else { break };
            mapper.begin(pass);
            let read = inspect(origin, capture, wanted, &mut |event| {
                mapper.take(event, &mut |event, part| self.event(event, part));
                !mapper.is_over() && !capture.halt.is_set() && !self.has_enough()
            })?;
            mapper.finish(&mut |event, part| self.event(event, part));
            all.add(read);
            if pass < passes && !capture.halt.is_set() {
                next = recording::open(capture).ok();
            }
        }
        all.warnings.extend(mapper.remark());
        Ok(all)
    }

    /// Listens for a while, or until the run is halted.
    fn live(
        &mut self,
        mut source: Box<dyn Source + Send>,
        mut tap: Tap,
        halt: &Halt,
        listen: Duration,
    ) -> CaptureStats {
        let begun = Instant::now();
        while begun.elapsed() < listen && !halt.is_set() && !self.has_enough() {
            let mut take = |event| self.event(event, PassTag::default());
            match source.poll() {
                Polled::Frame(frame) => drop(tap.frame(&frame, &mut take)),
                Polled::Idle(now) => tap.idle(now, &mut take),
                Polled::End => break,
            }
        }
        tap.engine(&*source)
    }

    /// Listens to HAProxy for a while, or until the run is halted.
    fn spoe(
        &mut self,
        listener: SpoeListener,
        capture: &capture::Settings,
        wanted: BodyPolicies,
        listen: Duration,
    ) -> std::io::Result<CaptureStats> {
        let begun = Instant::now();
        let (from, agent) = spoe::start(listener, capture.halt.clone(), capture.max_memory.0 / 16)?;
        let mut exchanges = SpoeExchanges::new(wanted);
        while begun.elapsed() < listen && !capture.halt.is_set() && !self.has_enough() {
            match from.next(Duration::from_millis(20)) {
                Ok(Some(notice)) => exchanges.take(&notice, &mut |event| self.event(event, PassTag::default())),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        capture.halt.set();
        let stats = spoe_stats(&from, &exchanges);
        drop(from);
        agent.join().map_err(|_| std::io::Error::other("the thread that answers HAProxy ended early"))?;
        Ok(stats)
    }

    fn has_enough(&self) -> bool {
        self.most.is_some_and(|most| self.taken >= most)
    }

    fn event(&mut self, event: Event, part: PassTag) {
        self.held.push_back((event, part));
        self.pass_on(false);
    }

    /// Passes on what was read, as far as it is known when it is due; all of it once reading `is_over`.
    fn pass_on(&mut self, is_over: bool) {
        while !self.waits(is_over) {
            let Ok(before) = self.heed_little(is_over) else { break };
            let Some((event, part)) = self.held.pop_front() else { break };
            if let Some((of, _)) = beginning(&event, part) {
                self.last_begun = Some(of);
            }
            self.one(event, part, before);
        }
    }

    /// Returns whether the next event leaps ahead, and nothing shows yet whether the capture's clock comes back. Where it
    /// does, no time passes, as in a run.
    fn waits(&mut self, is_over: bool) -> bool {
        let Some((event, part)) = self.held.front() else { return false };
        self.timing.reach(part.pass);
        let (at, pass) = (stamp(event, *part, self.needs_bodies), part.pass);
        let Some(leap) = at.and_then(|at| self.timing.leap(at)) else { return false };
        let comes_back = self.held.iter().skip(1 + self.looked_at).any(|(event, part)| {
            let later = stamp(event, *part, self.needs_bodies).filter(|_| part.pass == pass);
            later.is_some_and(|later| leap.is_wrong_by(later))
        });
        if comes_back {
            self.timing.set(leap.at());
        }
        let waits = !comes_back && !is_over && self.held.len() <= EVENT_QUEUE;
        self.looked_at = if waits { self.held.len() - 1 } else { 0 };
        waits
    }

    /// Returns the stamp by which the next event is due where its own is a little ahead and wrong, and heeds a clock that was
    /// set back by little, as a run does.
    ///
    /// # Errors
    ///
    /// Where what follows has yet to tell.
    fn heed_little(&mut self, is_over: bool) -> Result<Option<Timestamp>, Undecided> {
        let Some((event, part)) = self.held.front() else { return Ok(None) };
        if let Some((witness, before)) = self.timing.lead_of(event, *part, self.needs_bodies) {
            return Ok(self.is_set_back(witness, is_over)?.then_some(before));
        }
        if let Some((witness, at)) = self.timing.lag_of(event, *part, self.last_begun)
            && self.is_set_back(witness, is_over)?
        {
            self.timing.set_back(at);
        }
        Ok(None)
    }

    /// Looks at what follows the next event.
    fn is_set_back(&self, mut witness: LagWitness, is_over: bool) -> Result<bool, Undecided> {
        let pass = self.held.front().map(|(_, part)| part.pass);
        let mut of_pass = self.held.iter().skip(1).filter(|(_, part)| Some(part.pass) == pass);
        match of_pass.find_map(|(event, part)| witness.note(event, *part)) {
            Some(told) => Ok(told),
            None if is_over || self.held.len() > EVENT_QUEUE => Ok(witness.suffices()),
            None => Err(Undecided),
        }
    }

    fn one(&mut self, event: Event, part: PassTag, before: Option<Timestamp>) {
        let mut request = match event {
            Event::Request(request) => request,
            Event::Response { of, response } => return self.carried.response(of, Some(&response)),
            Event::Damaged { of, .. } => return self.carried.response(of, None),
            _ => return,
        };
        if self.has_enough() {
            return;
        }
        self.tally.seen += 1;
        if let Some(outcome) = unfit(&request, self.needs_bodies) {
            return self.tally.keep_back(&outcome, None);
        }
        let clock = self.clock(&request, part, before);
        // The route is that of the request as captured.
        let route = self.tally.route(&request);
        let marked = self.mark.as_ref().map_or(Ok(()), |mark| mark.check(&request));
        if let Err(outcome) = marked {
            return self.tally.keep_back(&outcome, None);
        }
        if let Err(outcome) = self.chains.all.apply_at(&mut request, clock) {
            return self.tally.keep_back(&outcome, self.chains.all.ended_by());
        }
        let targets = self.chains.targets();
        if targets.is_empty() && !self.targets.is_empty() {
            return self.tally.keep_back(&Outcome::filtered(ROUTE), None);
        }
        self.taken += 1;
        self.carried.request(&mut request, self.chains.all.carried());
        self.send(request, &route, targets, clock);
    }

    /// When the request is due, on the clock that limits run on: by its own stamp, or by the one `before` it.
    fn clock(&mut self, request: &Request, part: PassTag, before: Option<Timestamp>) -> Timestamp {
        self.timing.reach(part.pass);
        match self.timing {
            Timing::Live => request.last_byte,
            Timing::Paced { .. } => match self.timing.due(before.unwrap_or_else(|| request.last_byte.plus(part.delay)))
            {
                Some(due) => {
                    let since = due.saturating_duration_since(self.timing.begun().unwrap_or(due));
                    self.tally.length = self.tally.length.max(Some(since));
                    Timestamp::default().plus(since)
                }
                // As fast as responses come, which nobody knows before.
                None => request.last_byte,
            },
        }
    }

    /// Counts a request that passed the chain at each of its destinations.
    fn send(&mut self, mut request: Box<Request>, route: &str, targets: TargetSet, clock: Timestamp) {
        let keep_host = self.chains.all.host_was_set();
        let Self { tally, chains, targets: settings, .. } = self;
        let mut destinations = tally.destinations.iter_mut();
        let recorded = if self.records { destinations.next_back() } else { None };
        if let Some(recorded) = recorded {
            recorded.send(&request, route, || request.head.as_bytes().to_vec());
        }
        let copies = (request.id.copy > 0).then_some(&self.copies);
        if let Some(mark) = self.mark.as_ref().or(copies) {
            mark.put(&mut request);
        }
        for (number, settings) in settings.iter().enumerate() {
            let Some(destination) = destinations.next() else { break };
            if !targets.contains(number) {
                continue;
            }
            let mut copy = request.clone();
            let mut keep_host = keep_host;
            if let Some(chain) = chains.of_target(number) {
                if let Err(outcome) = chain.apply_at(&mut copy, clock) {
                    destination.keep_back(&outcome, chain.ended_by());
                    continue;
                }
                keep_host |= chain.host_was_set();
            }
            match outgoing_head(&copy, settings, keep_host) {
                Ok(head) => destination.send(&copy, route, || head),
                Err(outcome) => destination.keep_back(&outcome, None),
            }
        }
        if let (Some(settings), Some(destination)) = (&self.baseline, destinations.next()) {
            match outgoing_head(&request, settings, keep_host) {
                _ if !self.writes && !request.changes_nothing() => {
                    destination.keep_back(&Outcome::filtered(WRITES), None);
                }
                Ok(head) => destination.send(&request, route, || head),
                Err(outcome) => destination.keep_back(&outcome, None),
            }
        }
    }

    fn finish(mut self) -> DryRunTally {
        self.pass_on(true);
        self.tally.remarks.extend(self.chains.remarks());
        self.tally.carried = self.carried.finish();
        self.tally
    }
}

/// What a dry run cannot know, for people.
fn remarks(run: &Run) -> Vec<String> {
    let is_unscheduled = run.pace().0 == replay::Pace::Max;
    let limits = run.middleware.limits();
    let found = [
        (run.external.is_some(), "--middleware is not started: what it would change or drop is not known".to_owned()),
        (
            run.targets.iter().any(|target| target.guard.is_some()),
            "the guard sees no responses here: what it would hold back is not known".to_owned(),
        ),
        (run.ramp.is_some(), format!("the ramp stays at its first share, {}", run.middleware.sample)),
        (is_unscheduled && limits, "--speed max: rate limits run on the capture's times here".to_owned()),
        (run.reference.self_check > 0.0, "--self-check sends some reads once more; those are not counted".to_owned()),
    ];
    found.into_iter().filter(|(holds, _)| *holds).map(|(_, words)| words).collect()
}
