//! Values that targets issued go into later requests, in the place of those that production issued.
//!
//! Production's response and a target's response to one request come in, in whatever order; values of both that were
//! issued under one rule belong together. A request that is about to be sent has its values replaced. Where the
//! counterpart of one is still on its way, the request waits for it.

mod exchanges;
pub(super) mod preview;
mod values;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exchange::{ExchangeId, Head, Outcome, Request};
use crate::middleware::carry::{
    CarryRule, Issued, IssuedResponse, Placed, ResponsePart, UntilKnown, ValuePlaces, coding,
};
use crate::middleware::carry_set::CarrySet;
use crate::middleware::value_change::ValueChange;
use crate::replay::{BeforeSend, Delivery, Destination, Prepared, TargetId};
use crate::report::TargetSet;
use crate::report::schema::carry::CarrySummary;

use values::{CarriedValues, Known, Seen, ValueKey};

/// Bytes of a body, as it is coded, in which values are looked for; a longer one issues none.
const MAX_READ_BODY: usize = 1 << 20;
/// Values of one response that are kept under one rule.
const MOST: usize = 2;

/// The rules of a run, and the values that are known at each destination.
#[derive(Debug)]
pub(super) struct Carry {
    rules: Vec<CarryRule>,
    /// Of each target, and of the baseline after them.
    values: Vec<Mutex<CarriedValues>>,
}

/// What a response issues, by rule.
pub(super) type IssuedByRule = Vec<(usize, Vec<Issued>)>;

impl Carry {
    /// For these rules and so many targets; `None` where there are no rules.
    pub(super) fn new(rules: Vec<CarryRule>, targets: usize) -> Option<Self> {
        if rules.is_empty() || targets == 0 {
            return None;
        }
        let parts = || rules.iter().map(|rule| rule.from.part());
        let values = (0..=targets).map(|_| Mutex::new(CarriedValues::new(parts()))).collect();
        Some(Self { rules, values })
    }

    /// Bytes of a response's body that the rules read: none, where all of them read heads.
    pub(super) fn bytes_read(&self) -> usize {
        if self.rules.iter().any(CarryRule::is_in_bodies) { MAX_READ_BODY } else { 0 }
    }

    /// Production's response to a request of this client; `None` where there is none, or it is damaged.
    pub(super) fn production(
        &self,
        of: ExchangeId,
        (client, rules): (IpAddr, CarrySet),
        destinations: impl Iterator<Item = Destination>,
        response: Option<&IssuedResponse<'_>>,
    ) {
        let issued = response.map(|response| self.issued(rules, &ResponsePart::ALL, response)).unwrap_or_default();
        for destination in destinations {
            if let Some(values) = self.learns_from(destination) {
                lock(values).production(of, client, &issued);
            }
        }
    }

    /// These targets, and the baseline.
    pub(super) fn destinations(targets: TargetSet, baseline: bool) -> impl Iterator<Item = Destination> {
        let targets = targets.iter().map(|target| Destination::Target(TargetId::at(target)));
        targets.chain(baseline.then_some(Destination::Baseline))
    }

    /// The head of a destination's response has come; the body is still on its way.
    pub(super) fn answered_head(&self, from: Destination, of: ExchangeId, rules: CarrySet, head: &Head) {
        self.answered(from, of, (rules, &[ResponsePart::Head]), &IssuedResponse::new(head, None));
    }

    /// These parts of a destination's response have come.
    pub(super) fn answered(
        &self,
        from: Destination,
        of: ExchangeId,
        (rules, parts): (CarrySet, &[ResponsePart]),
        response: &IssuedResponse<'_>,
    ) {
        let Some(values) = self.learns_from(from) else { return };
        let issued = self.issued(rules, parts, response);
        lock(values).answered(of, parts, &issued);
    }

    /// The end of a delivery: what had no response issues nothing more.
    pub(super) fn ended(&self, delivery: &Delivery) {
        if delivery.answer.is_none()
            && let Some(values) = self.learns_from(delivery.destination)
        {
            lock(values).answered(delivery.id, &ResponsePart::ALL, &IssuedByRule::new());
        }
    }

    /// What became of each rule at a destination so far.
    pub(super) fn counts(&self, of: Destination) -> BTreeMap<String, CarrySummary> {
        let Some(values) = self.learns_from(of) else { return BTreeMap::new() };
        let counts = lock(values).counts();
        self.rules.iter().map(|rule| rule.name.clone()).zip(counts).collect()
    }

    fn issued(&self, rules: CarrySet, parts: &[ResponsePart], response: &IssuedResponse<'_>) -> IssuedByRule {
        let rules = rules.numbers().filter_map(|number| Some((number, self.rules.get(number)?)));
        let rules = rules.filter(|(_, rule)| parts.contains(&rule.from.part()));
        // More than two are as good as two: of several nobody can say which is which.
        let issued =
            rules.map(|(number, rule)| (number, rule.issued(response).into_iter().take(MOST).collect::<Vec<_>>()));
        issued.filter(|(_, values)| !values.is_empty()).collect()
    }

    /// The values of a destination whose responses count: a second send to a target begins no session.
    fn learns_from(&self, destination: Destination) -> Option<&Mutex<CarriedValues>> {
        match destination {
            Destination::Target(target) => self.values.get(target.index()),
            Destination::Baseline => self.values.last(),
            Destination::SelfCheck(_) => None,
        }
    }

    /// The values of the rules that stand in `request`.
    fn found(&self, request: &mut Request, rules: CarrySet) -> Vec<ValueKey> {
        let id = request.id;
        let mut found = Vec::new();
        ValuePlaces::of(request).each(&self.rules, rules, &mut |number, value| {
            found.push(ValueKey::of(number, id, &coding::plain(value)));
            ValueChange::Keep
        });
        found
    }

    /// Puts what is known in the place of the values that were found.
    fn replace(&self, request: &mut Request, rules: CarrySet, found: &[ValueKey], seen: &[Seen]) -> Placed {
        ValuePlaces::of(request).each(&self.rules, rules, &mut |number, value| {
            let plain = coding::plain(value);
            let same = |(key, _): &(&ValueKey, &Seen)| key.rule == number && *key.value == *plain;
            match found.iter().zip(seen).find(same) {
                Some((_, Seen::Known(Known::Value { new, was_coded }))) => {
                    ValueChange::Value(coding::in_place_of(value, *was_coded, new))
                }
                Some((_, Seen::Known(Known::Deleted))) => ValueChange::Remove,
                _ => ValueChange::Keep,
            }
        })
    }
}

impl BeforeSend for Carry {
    fn prepare(&self, to: Destination, request: &mut Request, rules: CarrySet, waited: Option<Duration>) -> Prepared {
        let Some(of) = self.learns_from(to.of_first_send()) else { return Prepared::Ready };
        let found = self.found(request, rules);
        if found.is_empty() {
            return Prepared::Ready;
        }
        let mut values = lock(of);
        let (id, client) = (request.id, request.client.ip());
        let seen: Vec<Seen> = found.iter().map(|key| values.look(key, id, client)).collect();
        for (key, state) in found.iter().zip(&seen) {
            let Some(rule) = self.rules.get(key.rule) else { continue };
            match (state, rule.until_known) {
                (Seen::Known(_), _) | (_, UntilKnown::Send) | (Seen::Unknown, UntilKnown::Wait(_)) => {}
                (Seen::Pending, UntilKnown::Wait(at_most)) => {
                    let left = at_most.saturating_sub(waited.unwrap_or_default());
                    if !left.is_zero()
                        && let Some(changed) = values.wait_for(key, client)
                    {
                        return Prepared::Waits { changed, at_most: left };
                    }
                }
                (Seen::Pending | Seen::Unknown, UntilKnown::Drop) => {
                    if to.is_first_send() {
                        values.count(&found, &seen, (client, waited.is_some()), Placed::default());
                    }
                    return Prepared::Ended(Outcome::Filtered(rule.name.clone().into()));
                }
            }
        }
        drop(values);
        let placed = self.replace(request, rules, &found, &seen);
        if to.is_first_send() {
            let mut values = lock(of);
            values.count(&found, &seen, (client, waited.is_some()), placed);
            values.carried(id, client, &found, placed);
        }
        Prepared::Ready
    }
}

fn lock(values: &Mutex<CarriedValues>) -> MutexGuard<'_, CarriedValues> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}
