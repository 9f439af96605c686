//! The ledger: each request that was seen and each delivery that was begun is counted once, under its end.
//!
//! It looks at outcomes only, in any order, and joins nothing: so it stays right whatever the join had to give up.

use crate::exchange::{HeldBy, Outcome, Shed};
use crate::middleware::external::MIDDLEWARE;
use crate::replay::Destination;
use crate::report::schema::counts::count;
use crate::report::schema::summary::{self, Requests};
use crate::report::schema::target::TargetEnded;

use super::inputs::TargetSet;

/// Requests and deliveries, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    requests: Requests,
    targets: Vec<TargetLedger>,
    baseline: TargetLedger,
    passed: SampleTally,
    sampled_out: SampleTally,
}

/// Deliveries to one target.
#[derive(Clone, Debug, Default)]
struct TargetLedger {
    offered: u64,
    ended: TargetEnded,
    /// Of those that were held, those that were held during a pause.
    paused: u64,
}

/// Requests and bytes on one side of the sample: passed, or sampled out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SampleTally {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

impl SampleTally {
    pub(crate) const fn add(&mut self, bytes: u64) {
        self.requests += 1;
        self.bytes += bytes;
    }
}

impl TargetLedger {
    fn block(&self) -> (u64, u64, TargetEnded) {
        (self.offered, self.offered.saturating_sub(self.ended.total()), self.ended.clone())
    }
}

impl Ledger {
    /// An empty ledger for this many targets.
    #[must_use]
    pub(crate) fn new(targets: usize) -> Self {
        Self { targets: vec![TargetLedger::default(); targets], ..Self::default() }
    }

    /// A request of `bytes` bytes was seen, and ended before any target.
    ///
    /// An outcome that only a delivery can have is a mistake of the caller's; it is kept in the sum under `shed`.
    pub(crate) fn ended(&mut self, outcome: &Outcome, bytes: u64) {
        self.requests.seen += 1;
        let ended = &mut self.requests.ended;
        match outcome {
            Outcome::Kept => {
                ended.kept += 1;
                self.passed.add(bytes);
            }
            Outcome::Filtered(rule) => {
                count(&mut ended.filtered, rule);
                // What a process outside keeps back had passed the sample.
                if rule == MIDDLEWARE {
                    self.passed.add(bytes);
                }
            }
            Outcome::SampledOut => {
                ended.sampled_out += 1;
                self.sampled_out.add(bytes);
            }
            // The limit stands behind the sample: what it keeps back had passed that.
            Outcome::RateLimited => {
                ended.rate_limited += 1;
                self.passed.add(bytes);
            }
            Outcome::Malformed(_) => ended.malformed += 1,
            Outcome::Incomplete(why) => count(&mut ended.incomplete, why.key()),
            Outcome::Shed(place) => count(&mut ended.shed, place.key()),
            Outcome::GuardHeld(_) | Outcome::Sent | Outcome::Failed(_) => count(&mut ended.shed, outcome.key()),
        }
    }

    /// `requests` requests were shed where they were captured.
    pub(crate) fn shed_unheard(&mut self, requests: u64) {
        self.requests.seen += requests;
        if requests > 0 {
            *self.requests.ended.shed.entry(Shed::Capture.key().to_owned()).or_default() += requests;
        }
    }

    /// A request was seen and offered to `targets`; `sampled` are its bytes where it came by the sample.
    pub(crate) fn offered(&mut self, targets: TargetSet, sampled: Option<u64>) {
        self.requests.seen += 1;
        self.requests.offered += 1;
        if let Some(bytes) = sampled {
            self.passed.add(bytes);
        }
        for target in targets.iter() {
            if let Some(target) = self.targets.get_mut(target) {
                target.offered += 1;
            }
        }
    }

    /// Counts a request that goes to the baseline in addition to the targets it was offered to.
    pub(crate) const fn offered_to_baseline(&mut self) {
        self.baseline.offered += 1;
    }

    /// Second sends to a target are not kept here.
    fn destination(&mut self, destination: Destination) -> Option<&mut TargetLedger> {
        match destination {
            Destination::Target(target) => self.targets.get_mut(target.index()),
            Destination::Baseline => Some(&mut self.baseline),
            Destination::SelfCheck(_) => None,
        }
    }

    /// A delivery ended. An outcome that no delivery can have is kept in the sum under `shed`.
    pub(crate) fn delivered(&mut self, destination: Destination, outcome: &Outcome) {
        let Some(TargetLedger { ended, paused, .. }) = self.destination(destination) else { return };
        match outcome {
            Outcome::Sent => ended.sent += 1,
            Outcome::Filtered(rule) => count(&mut ended.filtered, rule),
            Outcome::SampledOut => ended.sampled_out += 1,
            Outcome::RateLimited => ended.rate_limited += 1,
            Outcome::GuardHeld(by) => {
                ended.guard_held += 1;
                *paused += u64::from(*by == HeldBy::Paused);
            }
            Outcome::Shed(place) => count(&mut ended.shed, place.key()),
            Outcome::Failed(kind) => count(&mut ended.failed, kind.key()),
            Outcome::Kept | Outcome::Malformed(_) | Outcome::Incomplete(_) => count(&mut ended.shed, outcome.key()),
        }
    }

    /// A delivery that ended as [`Outcome::Sent`] ends as `outcome` after all.
    pub(crate) fn ends_otherwise(&mut self, destination: Destination, outcome: &Outcome) {
        if let Some(sent) = self.destination(destination).map(|target| &mut target.ended.sent)
            && *sent > 0
        {
            *sent -= 1;
            self.delivered(destination, outcome);
        }
    }

    /// Returns whether both sums can still hold: no target has ended more than it was offered.
    #[must_use]
    pub(crate) fn balances(&self) -> bool {
        self.requests.seen == self.requests.offered + self.requests.in_flight + self.requests.ended.total()
            && self.targets.iter().chain([&self.baseline]).all(|target| target.offered >= target.ended.total())
    }

    /// The block of requests.
    #[must_use]
    pub(crate) fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Offered, in flight and ended of one target.
    #[must_use]
    pub(crate) fn target(&self, target: usize) -> (u64, u64, TargetEnded) {
        self.targets.get(target).map(TargetLedger::block).unwrap_or_default()
    }

    /// The same of the baseline.
    #[must_use]
    pub(crate) fn baseline(&self) -> (u64, u64, TargetEnded) {
        self.baseline.block()
    }

    /// Returns the deliveries to one target that were held during a pause.
    #[must_use]
    pub(crate) fn paused(&self, target: usize) -> u64 {
        self.targets.get(target).map(|target| target.paused).unwrap_or_default()
    }

    /// Returns the shares that the sample reached, of the requests that came as far as the sample.
    ///
    /// Malformed, incomplete and filtered requests never came there; requests shed before any target may or may not
    /// have, and are left out too. Keys are counted by the sample itself, and `kernel` is what the kernel let through.
    #[must_use]
    pub(crate) fn sample(&self, asked: f64, keys: Option<f64>, kernel: Option<f64>) -> summary::SampleSummary {
        let share = |of: fn(SampleTally) -> u64| {
            let all = of(self.passed) + of(self.sampled_out);
            (all > 0).then(|| of(self.passed) as f64 / all as f64)
        };
        let decided = self.passed.requests + self.sampled_out.requests;
        let (requests, bytes) = (share(|r| r.requests), share(|r| r.bytes));
        summary::SampleSummary { asked, decided, requests, keys, bytes, kernel }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{FailureKind, Incomplete, Malformed};
    use crate::replay::TargetId;

    const FIRST: Destination = Destination::Target(TargetId::at(0));

    fn every_outcome() -> Vec<Outcome> {
        let mut all = vec![
            Outcome::Kept,
            Outcome::filtered("writes"),
            Outcome::SampledOut,
            Outcome::RateLimited,
            Outcome::Malformed(Malformed::BadChunk),
            Outcome::GuardHeld(HeldBy::Guard),
            Outcome::GuardHeld(HeldBy::Paused),
            Outcome::Sent,
        ];
        all.extend(Incomplete::ALL.map(Outcome::Incomplete));
        all.extend(
            [Shed::TargetQueue, Shed::Stopped, Shed::BodyLimit, Shed::Capture, Shed::Middleware].map(Outcome::Shed),
        );
        all.extend(FailureKind::ALL.map(Outcome::Failed));
        all
    }

    #[test]
    fn every_outcome_keeps_the_sum_of_requests() {
        for outcome in every_outcome() {
            let mut ledger = Ledger::new(1);
            ledger.ended(&outcome, 1);
            assert!(ledger.balances(), "{outcome:?}");
            assert_eq!(ledger.requests().ended.total(), 1, "{outcome:?}");
        }
    }

    #[test]
    fn every_outcome_keeps_the_sum_of_a_target() {
        for outcome in every_outcome() {
            let mut ledger = Ledger::new(1);
            ledger.offered(TargetSet::first(1), Some(1));
            assert_eq!(ledger.target(0).1, 1);
            ledger.delivered(FIRST, &outcome);
            assert!(ledger.balances(), "{outcome:?}");
            let (offered, in_flight, ended) = ledger.target(0);
            assert_eq!((offered, in_flight, ended.total()), (1, 0, 1), "{outcome:?}");
        }
    }

    #[test]
    fn a_delivery_that_ends_otherwise_keeps_the_sum() {
        let mut ledger = Ledger::new(1);
        ledger.offered(TargetSet::first(1), Some(1));
        ledger.delivered(FIRST, &Outcome::Sent);
        for _ in 0..2 {
            ledger.ends_otherwise(FIRST, &Outcome::Failed(FailureKind::Desynchronised));
            let (offered, in_flight, ended) = ledger.target(0);
            assert_eq!((offered, in_flight, ended.sent, ended.failed["desynchronised"]), (1, 0, 0, 1));
        }
    }

    #[test]
    fn what_a_pause_holds_back_is_told_apart_from_what_the_guard_does() {
        let mut ledger = Ledger::new(1);
        for by in [HeldBy::Guard, HeldBy::Paused, HeldBy::Paused] {
            ledger.offered(TargetSet::first(1), None);
            ledger.delivered(FIRST, &Outcome::GuardHeld(by));
        }
        assert_eq!((ledger.target(0).2.guard_held, ledger.paused(0)), (3, 2));
    }

    #[test]
    fn a_delivery_that_was_never_offered_shows_as_an_imbalance() {
        let mut ledger = Ledger::new(1);
        ledger.delivered(FIRST, &Outcome::Sent);
        assert!(!ledger.balances());
    }

    #[test]
    fn the_sample_is_judged_by_what_came_as_far_as_it() {
        let mut ledger = Ledger::new(1);
        ledger.offered(TargetSet::first(1), Some(200));
        // Recorded, and sent nowhere.
        ledger.ended(&Outcome::Kept, 100);
        ledger.ended(&Outcome::SampledOut, 100);
        ledger.ended(&Outcome::SampledOut, 0);
        ledger.ended(&Outcome::filtered("deny-path"), 5000);
        ledger.ended(&Outcome::Incomplete(Incomplete::Gap), 5000);
        ledger.offered(TargetSet::first(1), None);
        let sample = ledger.sample(0.5, None, None);
        assert_eq!((sample.decided, sample.requests, sample.bytes), (4, Some(0.5), Some(0.75)));
        assert_eq!(
            Ledger::new(1).sample(0.5, Some(0.4), None),
            summary::SampleSummary { asked: 0.5, keys: Some(0.4), ..Default::default() }
        );
    }
}
