//! The comparison of all responses to one request, apart from what is counted of it.
//!
//! Most comparisons cost no more than to receive what is compared, and are done where the responses meet. For the others a
//! [`ComparisonTask`] leaves the reporter, goes to whoever has time for it, and comes back as a [`ComparedExchange`]. How
//! much one of them costs is the target's choice, within the bounds of [`compare`]: so nothing waits for it.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::compare::{
    self, BodyKnowledge, CompareRules, ComparedResponse, Effort, EndlessBodies, KnownPairs, ResponseDiff, ResponsePair,
    Unknown,
};
use crate::exchange::{Damage, Outcome};
use crate::middleware::secret_names::SecretNames;
use crate::replay::{ClosedEarly, Delivery, Destination, TargetId, TargetResponse};

use super::inputs::{Production, RequestRecord};
use super::join::Joined;
use super::results::{answer_side, production_side};

/// Compares responses: under the rules of a run, and with what it knows of its targets.
#[derive(Debug)]
pub(crate) struct Comparer {
    rules: CompareRules,
    /// Host and port of each target.
    hosts: Vec<Vec<u8>>,
    /// Host and port of the baseline; empty where there is none.
    baseline: Vec<u8>,
    known: KnownPairs,
    /// No difference at all.
    same: Arc<ResponseDiff>,
}

/// The responses to one request, before they are compared.
#[derive(Debug)]
pub(crate) struct ComparisonTask {
    joined: Joined,
}

/// The responses to one request, and in what they differ.
#[derive(Debug)]
pub struct ComparedExchange {
    pub(crate) joined: Joined,
    pub(crate) found: FoundInExchange,
}

/// Results of the comparisons of one request.
#[derive(Debug, Default)]
pub(crate) struct FoundInExchange {
    /// Of each delivery, where both responses are known.
    pub(crate) deliveries: SmallVec<[Option<Arc<ResponseDiff>>; 1]>,
    /// Of production's response and its last one to the same request.
    pub(crate) repeat: Option<Arc<ResponseDiff>>,
}

impl ComparisonTask {
    pub(crate) const fn new(joined: Joined) -> Self {
        Self { joined }
    }

    /// Bytes that it holds, but for bodies that have their own share of the memory.
    #[must_use]
    pub(crate) fn weight(&self) -> usize {
        let kept = |kept: &crate::replay::RetainedResponse| {
            let body = kept.body.as_ref().filter(|_| kept.held.is_none());
            kept.head.as_bytes().len() + body.map_or(0, bytes::Bytes::len)
        };
        let production = self.joined.production.as_ref().ok().into_iter().chain(self.joined.before.as_deref());
        let productions = production.filter_map(|production| production.kept.as_deref());
        let answers = self.joined.deliveries.iter().filter_map(|delivery| delivery.answer.as_ref()?.kept.as_deref());
        let sent: usize = self.joined.deliveries.iter().map(|delivery| delivery.sent_as.len()).sum();
        size_of::<Self>() + self.joined.note.text.len() + sent + productions.chain(answers).map(kept).sum::<usize>()
    }
}

impl Comparer {
    pub(crate) fn new(rules: CompareRules, hosts: Vec<Vec<u8>>, baseline: Vec<u8>) -> Self {
        Self { rules, hosts, baseline, known: KnownPairs::default(), same: Arc::default() }
    }

    /// Returns a warning for each rule that left out nothing, though it could have.
    pub(crate) fn unmet_rules(&self) -> impl Iterator<Item = String> {
        let warning =
            |rule| format!("--ignore {rule} left out nothing in the responses compared: is it spelled right?");
        self.rules.unmet().map(warning)
    }

    /// Names that are masked in what is kept of requests.
    pub(crate) const fn secrets(&self) -> &SecretNames {
        self.rules.secrets()
    }

    /// Does a task; where bodies are to be left `unread`, by their hashes.
    #[must_use]
    pub(crate) fn compare(&self, task: ComparisonTask, unread: Option<Unknown>) -> ComparedExchange {
        let ComparisonTask { joined } = task;
        let found = self.attempt(&joined, unread, Effort::Full).unwrap_or_default();
        ComparedExchange { joined, found }
    }

    /// Compares all responses to one request with this effort; `None` where that does not do.
    pub(crate) fn attempt(&self, joined: &Joined, unread: Option<Unknown>, effort: Effort) -> Option<FoundInExchange> {
        let of = OneRequest { comparer: self, note: &joined.note, unread, effort };
        let production = joined.production.as_ref().ok();
        let mut found = FoundInExchange::default();
        for delivery in &joined.deliveries {
            let known = answer(delivery);
            found.deliveries.push(match (delivery.destination, known, production) {
                (Destination::SelfCheck(target), Some(second), _) => {
                    let first =
                        joined.deliveries.iter().find(|delivery| delivery.destination == Destination::Target(target));
                    match first.and_then(|first| Some((answer(first)?, first.sent_as.host()))) {
                        Some(first) => Some(of.check(target, first, (second, delivery.sent_as.host()))?),
                        None => None,
                    }
                }
                (Destination::Target(_) | Destination::Baseline, Some(answer), Some(production)) => {
                    Some(of.delivery(delivery, answer, production)?)
                }
                _ => None,
            });
        }
        found.repeat = match (production, &joined.before) {
            (Some(production), Some(before)) => Some(of.repeat(before, production)?),
            _ => None,
        };
        Some(found)
    }

    /// Compares production's response to a request with its previous one, with this effort; `None` where that does not do.
    pub(crate) fn repeat(
        &self,
        note: &RequestRecord,
        (before, production): (&Production, &Production),
        effort: Effort,
    ) -> Option<Arc<ResponseDiff>> {
        OneRequest { comparer: self, note, unread: None, effort }.repeat(before, production)
    }

    fn host(&self, destination: Destination) -> &[u8] {
        match destination {
            Destination::Target(target) | Destination::SelfCheck(target) => {
                self.hosts.get(target.index()).map_or(&[], Vec::as_slice)
            }
            Destination::Baseline => &self.baseline,
        }
    }
}

/// Common inputs of the comparisons of one request. Each comparison returns `None` where the effort does not suffice.
struct OneRequest<'a> {
    comparer: &'a Comparer,
    note: &'a RequestRecord,
    unread: Option<Unknown>,
    effort: Effort,
}

impl OneRequest<'_> {
    /// Compares a target's response with production's.
    fn delivery(
        &self,
        delivery: &Delivery,
        answer: &TargetResponse,
        production: &Production,
    ) -> Option<Arc<ResponseDiff>> {
        let bodies = match (production.damage, answer.closed) {
            (None, None) if !production.left => self.whole(),
            (None, Some(_)) if !production.left => BodyKnowledge::Unfinished,
            (Some(Damage::NotLogged), _) => BodyKnowledge::NotLogged,
            (Some(damage), _) if !damage.is_open() => BodyKnowledge::Damaged,
            (_, closed) => BodyKnowledge::UpTo(EndlessBodies {
                may_be_short: closed.is_some_and(ClosedEarly::may_be_short),
                unread: self.unread,
            }),
        };
        let host = self.note.text.host();
        let one = production_side(production, host);
        let own = self.comparer.host(delivery.destination);
        let other = answer_side(answer, (own, delivery.sent_as.host()), host);
        self.sides(&one, &other, bodies)
    }

    /// Compares a target's second response with its first.
    ///
    /// Each comes with the Host that it was asked for with.
    fn check(
        &self,
        target: TargetId,
        (first, first_sent): (&TargetResponse, &[u8]),
        (second, second_sent): (&TargetResponse, &[u8]),
    ) -> Option<Arc<ResponseDiff>> {
        let (host, own) = (self.note.text.host(), self.comparer.host(Destination::Target(target)));
        // Where each of them was closed says nothing of the target.
        let are_whole = first.closed.is_none() && second.closed.is_none();
        let bodies = if are_whole { self.whole() } else { BodyKnowledge::Damaged };
        let first = answer_side(first, (own, first_sent), host);
        self.sides(&first, &answer_side(second, (own, second_sent), host), bodies)
    }

    /// Compares production's response with its previous one.
    fn repeat(&self, before: &Production, production: &Production) -> Option<Arc<ResponseDiff>> {
        let host = self.note.text.host();
        self.sides(&production_side(before, host), &production_side(production, host), self.whole())
    }

    fn sides(
        &self,
        one: &ComparedResponse<'_>,
        other: &ComparedResponse<'_>,
        bodies: BodyKnowledge,
    ) -> Option<Arc<ResponseDiff>> {
        let Comparer { rules, known, same, .. } = self.comparer;
        let method = self.note.text.method();
        let is_whole = matches!(bodies, BodyKnowledge::Whole | BodyKnowledge::Unread(_));
        let pair = ResponsePair::new(method, one, other).filter(|_| is_whole).map(|pair| known.hashed(pair));
        // What is known needs no reading.
        if let Some(found) = pair.and_then(|pair| known.get(&pair)) {
            return Some(found);
        }
        let found = compare::attempt(rules, method, one, other, bodies, self.effort)?;
        if found == ResponseDiff::default() {
            return Some(Arc::clone(same));
        }
        let found = Arc::new(found);
        if let Some(pair) = pair.filter(|_| bodies == BodyKnowledge::Whole) {
            known.learn(&pair, &found);
        }
        Some(found)
    }

    fn whole(&self) -> BodyKnowledge {
        self.unread.map_or(BodyKnowledge::Whole, BodyKnowledge::Unread)
    }
}

fn answer(delivery: &Delivery) -> Option<&TargetResponse> {
    delivery.answer.as_ref().filter(|_| delivery.outcome == Outcome::Sent)
}
