//! Values that targets issued go into later requests, in the place of those that production issued.
//!
//! Production's response and a target's response to one request come in, in whatever order; values of both that were
//! issued under one rule belong together. A request that is about to be sent has its values replaced. Where the
//! counterpart of one is still on its way, the request waits for it.

mod entry;
mod exchanges;
mod login;
pub(super) mod preview;
mod values;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::clock::wall_clock;
use crate::exchange::{ExchangeId, Head, Outcome, Request, Timestamp};
use crate::middleware::carry::{
    CarryRule, Issued, IssuedResponse, Placed, ResponsePart, UntilKnown, ValueMaker, ValuePlaces, coding,
};
use crate::middleware::carry_set::CarrySet;
use crate::middleware::value_change::ValueChange;
use crate::replay::{BeforeSend, Delivery, Destination, Prepared, TargetId};
use crate::report::TargetSet;
use crate::report::schema::carry::{CarryKind, CarrySummary};

use entry::{Known, Seen, ValueKey};
use login::{LoginRequest, Logins};
use values::CarriedValues;

/// Bytes of a body, as it is coded, in which values are looked for; a longer one issues none.
const MAX_READ_BODY: usize = 1 << 20;
/// Values of one response that are kept under one rule.
const MOST: usize = 2;

/// Tokens made here that are kept for a moment: to sign takes long.
const MAX_MADE: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// How long they are used, at most.
const MADE_FOR: Duration = Duration::from_secs(10);

/// The rules of a run, and the values that are known at each destination.
#[derive(Debug)]
pub(super) struct Carry {
    rules: Vec<CarryRule>,
    /// Rules whose values are made here.
    makers: CarrySet,
    /// Of each target, and of the baseline after them.
    values: Vec<Arc<Mutex<CarriedValues>>>,
    /// Their names, for programs.
    names: Vec<String>,
    logins: Logins,
    made: Mutex<LruCache<(usize, Bytes), (Bytes, Instant)>>,
}

/// What a response issues, by rule.
pub(super) type IssuedByRule = Vec<(usize, Vec<Issued>)>;

impl Carry {
    /// For these rules and targets of these names, and the baseline after them; `None` where there are no rules.
    pub(super) fn new(rules: Vec<CarryRule>, names: Vec<String>, runtime: Handle) -> Option<Self> {
        if rules.is_empty() || names.is_empty() {
            return None;
        }
        let kinds = || rules.iter().map(|rule| (rule.part(), kind(rule)));
        let values = names.iter().map(|_| Arc::new(Mutex::new(CarriedValues::new(kinds())))).collect();
        let mut makers = CarrySet::NONE;
        for (number, _) in rules.iter().enumerate().filter(|(_, rule)| rule.makes.is_some()) {
            makers.add(number);
        }
        Some(Self {
            rules,
            makers,
            values,
            names,
            logins: Logins::new(runtime),
            made: Mutex::new(LruCache::new(MAX_MADE)),
        })
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
        let rules = rules.filter(|(_, rule)| parts.contains(&rule.part()));
        // More than two are as good as two: of several nobody can say which is which.
        let issued =
            rules.map(|(number, rule)| (number, rule.issued(response).into_iter().take(MOST).collect::<Vec<_>>()));
        issued.filter(|(_, values)| !values.is_empty()).collect()
    }

    /// The values of a destination whose responses count: a second send to a target begins no session.
    fn learns_from(&self, destination: Destination) -> Option<&Arc<Mutex<CarriedValues>>> {
        match destination {
            Destination::Target(target) => self.values.get(target.index()),
            Destination::Baseline => self.values.last(),
            Destination::SelfCheck(_) => None,
        }
    }

    /// What is known of a value that is about to be sent to `to` in the exchange `of`, by this client. Where nothing is, what
    /// is known before the run stands for it, or a program is asked.
    fn look(
        &self,
        values: &mut CarriedValues,
        (found, to): (&FoundValue, Destination),
        of: ExchangeId,
        client: IpAddr,
    ) -> Seen {
        let FoundValue { key, value } = found;
        let seen = values.look(key, of, client);
        let Some(rule) = self.rules.get(key.rule).filter(|_| seen == Seen::Unknown) else { return seen };
        let target = to.target().map(TargetId::index);
        if let Some(seed) = rule.seeds.as_ref().and_then(|seeds| seeds.get(&key.value, target)) {
            values.seed(key, client, seed.new.clone(), seed.was_coded);
            return values.look(key, of, client);
        }
        if let Some(command) = &rule.login
            && let Some(learns) = self.learns_from(to)
            && let Some(room) = self.logins.room()
            && values.begin_login(key, client)
        {
            let target = self.names.get(target.unwrap_or(self.names.len() - 1)).cloned().unwrap_or_default();
            let (rule, command, value) = (rule.name.clone(), command.clone(), value.clone());
            self.logins.ask(LoginRequest { rule, command, target, key: key.clone(), value }, room, learns);
            return Seen::Pending;
        }
        seen
    }

    /// Makes values anew that are made here.
    fn make(&self, request: &mut Request, rules: CarrySet, count: Option<&Mutex<CarriedValues>>) {
        let rules = rules.and(self.makers);
        if rules.is_empty() {
            return;
        }
        let (captured, now) = (request.last_byte, wall_clock());
        let mut failed = CarrySet::NONE;
        let placed = ValuePlaces::of(request).each(&self.rules, rules, &mut |at, value| {
            let new = self.made(at.rule, value, captured, now);
            if new.is_none() {
                failed.add(at.rule);
            }
            new.map_or(ValueChange::Keep, ValueChange::Value)
        });
        if let Some(values) = count {
            lock(values).made(rules, placed, failed);
        }
    }

    /// The value that is made of `value`; a token that was made a moment ago is used again.
    fn made(&self, rule: usize, value: &[u8], captured: Timestamp, now: Timestamp) -> Option<Vec<u8>> {
        let maker = self.rules.get(rule)?.makes.as_ref()?;
        let ValueMaker::Jwt(mint) = maker else { return maker.make(value, captured, now) };
        let key = (rule, Bytes::copy_from_slice(value));
        let lasts = mint.lasts.map_or(MADE_FOR, |lasts| MADE_FOR.min(lasts / 2));
        let at = Instant::now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((new, _)) = made.get(&key).filter(|(_, since)| at.saturating_duration_since(*since) < lasts) {
            return Some(new.to_vec());
        }
        drop(made);
        let new = maker.make(value, captured, now)?;
        made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.put(key, (Bytes::copy_from_slice(&new), at));
        Some(new)
    }

    /// The values of the rules that stand in `request`.
    fn found(&self, request: &mut Request, rules: CarrySet) -> Vec<FoundValue> {
        let id = request.id;
        let mut found = Vec::new();
        ValuePlaces::of(request).each(&self.rules, rules, &mut |at, value| {
            let key = ValueKey::of(at.rule, id, &coding::plain(value));
            found.push(FoundValue { key, value: Bytes::copy_from_slice(value) });
            ValueChange::Keep
        });
        found
    }

    /// Puts what is known in the place of the values that were found.
    fn replace(&self, request: &mut Request, rules: CarrySet, found: &[ValueKey], seen: &[Seen]) -> Placed {
        let rules = rules.without(self.makers);
        ValuePlaces::of(request).each(&self.rules, rules, &mut |at, value| {
            let plain = coding::plain(value);
            let decodes = self.rules.get(at.rule).is_some_and(|rule| rule.decodes(at.place));
            let same = |(key, _): &(&ValueKey, &Seen)| key.rule == at.rule && *key.value == *plain;
            match found.iter().zip(seen).find(same) {
                Some((_, Seen::Known(Known::Value { new, was_coded }))) => {
                    ValueChange::Value(coding::in_place_of(value, *was_coded, decodes, new))
                }
                Some((_, Seen::Known(Known::Deleted))) => ValueChange::Remove,
                _ => ValueChange::Keep,
            }
        })
    }
}

/// A value in a request.
struct FoundValue {
    key: ValueKey,
    /// As it stands there.
    value: Bytes,
}

impl BeforeSend for Carry {
    fn prepare(&self, to: Destination, request: &mut Request, rules: CarrySet, waited: Option<Duration>) -> Prepared {
        let Some(of) = self.learns_from(to.of_first_send()) else { return Prepared::Ready };
        let counts = to.is_first_send().then_some(&**of);
        let found = self.found(request, rules.without(self.makers));
        if found.is_empty() {
            self.make(request, rules, counts);
            return Prepared::Ready;
        }
        let (id, client) = (request.id, request.client.ip());
        let mut values = lock(of);
        let look = |found| self.look(&mut values, (found, to.of_first_send()), id, client);
        let seen: Vec<Seen> = found.iter().map(look).collect();
        let found: Vec<ValueKey> = found.into_iter().map(|found| found.key).collect();
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
        if let Some(counts) = counts {
            let mut values = lock(counts);
            values.count(&found, &seen, (client, waited.is_some()), placed);
            values.carried(id, client, &found, placed);
        }
        self.make(request, rules, counts);
        Prepared::Ready
    }
}

/// What a rule does, for the report.
fn kind(rule: &CarryRule) -> CarryKind {
    match rule.makes {
        None => CarryKind::Carried,
        Some(ValueMaker::Jwt(_)) => CarryKind::Jwt,
        Some(ValueMaker::ShiftTime) => CarryKind::Time,
    }
}

fn lock(values: &Mutex<CarriedValues>) -> MutexGuard<'_, CarriedValues> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}
