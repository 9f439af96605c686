//! The values that are known at one destination, within a bound.

use std::collections::HashSet;
use std::net::IpAddr;

use bytes::Bytes;
use lru::LruCache;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::IssuedByRule;
use super::entry::{CarriedValue, EntryState, Known, Seen, ValueKey, known, pause, size};
use super::exchanges::{MAX_EXCHANGES, OpenExchange, OpenExchanges, values};
use crate::exchange::ExchangeId;
use crate::middleware::carry::{Issued, Placed, ResponsePart, coding};
use crate::middleware::carry_set::CarrySet;
use crate::report::schema::carry::{CarryKind, CarrySummary};

/// Bytes that the values of one destination may take; past it those go that were not used for longest.
const MAX_BYTES: usize = 16 << 20;
/// Values without a counterpart that are told apart, of each rule.
const MAX_STRANGERS: usize = 1 << 16;

/// The values of one destination.
#[derive(Debug)]
pub(super) struct CarriedValues {
    known: LruCache<ValueKey, CarriedValue>,
    bytes: usize,
    open: OpenExchanges,
    /// The values that a request was sent with, until it is answered.
    carried: LruCache<ExchangeId, Vec<ValueKey>>,
    carried_bytes: usize,
    rules: Vec<RuleCounts>,
}

#[derive(Debug)]
struct RuleCounts {
    /// Where in a response its values are.
    part: ResponsePart,
    counts: CarrySummary,
    /// Hashes of the values without a counterpart.
    strangers: HashSet<u64>,
}

impl CarriedValues {
    /// No values yet, of rules of these kinds that find theirs in these parts of a response.
    pub(super) fn new(rules: impl IntoIterator<Item = (ResponsePart, CarryKind)>) -> Self {
        let counted = |(part, kind)| {
            let counts = CarrySummary { kind, ..CarrySummary::default() };
            RuleCounts { part, counts, strangers: HashSet::new() }
        };
        Self {
            known: LruCache::unbounded(),
            bytes: 0,
            open: OpenExchanges::new(),
            carried: LruCache::unbounded(),
            carried_bytes: 0,
            rules: rules.into_iter().map(counted).collect(),
        }
    }

    /// Production issued these to `client`.
    pub(super) fn production(&mut self, of: ExchangeId, client: IpAddr, issued: &IssuedByRule) {
        let mut open = self.open.take(of);
        // Where it was told twice, what it said first stays.
        if open.production.is_none() {
            for (rule, value) in values(issued) {
                let key = self.slot(ValueKey::issued(rule, of, value), client);
                if open.part(self.part(rule)).is_none() && self.known.peek(&key).is_none() {
                    let state = EntryState::Pending { from: of, waiting: Vec::new() };
                    self.put(key, CarriedValue { client, state });
                }
            }
            for part in ResponsePart::ALL {
                if let Some(new) = open.part(part) {
                    self.pair((of, part), client, issued, new);
                }
            }
            open.production = Some((client, issued.clone()));
        }
        self.keep(of, open);
    }

    /// The destination issued these in these parts of its response.
    pub(super) fn answered(&mut self, of: ExchangeId, parts: &[ResponsePart], issued: &IssuedByRule) {
        let mut open = self.open.take(of);
        for part in parts {
            let is_in = |(rule, _): &&(usize, Vec<Issued>)| self.part(*rule) == *part;
            let new: IssuedByRule = issued.iter().filter(is_in).cloned().collect();
            if open.answer(*part, new)
                && let (Some((client, old)), Some(new)) = (&open.production, open.part(*part))
            {
                self.pair((of, *part), *client, old, new);
            }
        }
        self.keep(of, open);
    }

    /// Keeps what is known of an exchange, until all of it is.
    fn keep(&mut self, of: ExchangeId, open: OpenExchange) {
        if open.is_over() {
            self.forget(of);
            return;
        }
        self.open.keep(of, open);
        while let Some((of, first)) = self.open.drop_first() {
            if let Some((client, issued)) = first.production {
                for part in ResponsePart::ALL {
                    self.give_up((of, part), client, &issued);
                }
            }
        }
    }

    /// The part of a response in which a rule's values are.
    fn part(&self, rule: usize) -> ResponsePart {
        self.rules.get(rule).map_or(ResponsePart::Head, |rule| rule.part)
    }

    /// Both have answered, as far as this part of their responses goes.
    fn pair(&mut self, (of, part): (ExchangeId, ResponsePart), client: IpAddr, old: &IssuedByRule, new: &IssuedByRule) {
        let carried = self.carried.peek(&of).cloned().unwrap_or_default();
        for rule in (0..self.rules.len()).filter(|rule| self.part(*rule) == part).collect::<Vec<_>>() {
            let under = |issued: &IssuedByRule| {
                issued.iter().find(|(number, _)| *number == rule).map(|(_, values)| values.clone()).unwrap_or_default()
            };
            let (old, new) = (under(old), under(new));
            if old.is_empty() {
                let mut carried = carried.iter().filter(|key| key.rule == rule);
                // The destination alone gave another value to the session that the request came with.
                if let ([issued], Some(key), None) = (new.as_slice(), carried.next(), carried.next()) {
                    self.renew(key, issued);
                }
            } else if let ([Issued::Value(old)], [new]) = (old.as_slice(), new.as_slice()) {
                // Of several nobody can say which stands for which.
                let key = self.slot(ValueKey::issued(rule, of, old), client);
                self.learn(key, client, known(new, coding::is_coded(old)));
            }
        }
        self.give_up((of, part), client, old);
    }

    /// Where a value is kept that was issued to this client: a value that others were given, too, once for each.
    fn slot(&self, key: ValueKey, client: IpAddr) -> ValueKey {
        let is_of_another = self.known.peek(&key).is_some_and(|entry| entry.client != client);
        if is_of_another { key.of_client(client) } else { key }
    }

    /// Where a value is found that this client brings back.
    fn found(&self, key: &ValueKey, client: IpAddr) -> ValueKey {
        let own = key.of_client(client);
        if self.known.contains(&own) { own } else { key.clone() }
    }

    fn learn(&mut self, key: ValueKey, client: IpAddr, known: Known) {
        let before = match self.known.peek(&key).map(|entry| &entry.state) {
            Some(EntryState::Known(before)) => Some(before),
            _ => None,
        };
        let (is_new, is_reissued) = (before.is_none(), before.is_some_and(|before| *before != known));
        if let Some(rule) = self.rules.get_mut(key.rule) {
            rule.counts.learnt += u64::from(is_new);
            rule.counts.reissued += u64::from(is_reissued);
        }
        self.put(key, CarriedValue { client, state: EntryState::Known(known) });
    }

    /// Takes a pair that is known before the run.
    pub(super) fn seed(&mut self, key: &ValueKey, client: IpAddr, new: Bytes, was_coded: bool) {
        let key = self.slot(key.clone(), client);
        if let Some(rule) = self.rules.get_mut(key.rule) {
            rule.counts.seeded += 1;
        }
        self.put(key, CarriedValue { client, state: EntryState::Known(Known::Value { new, was_coded }) });
    }

    /// Returns whether a program is to be asked about a value that is not known: not while it is asked, and not for a while
    /// after it failed.
    pub(super) fn begin_login(&mut self, key: &ValueKey, client: IpAddr) -> bool {
        let failures = match self.known.peek(key).map(|entry| &entry.state) {
            None => 0,
            Some(EntryState::NoLogin { failures, again }) if *again <= Instant::now() => *failures,
            Some(_) => return false,
        };
        self.put(key.clone(), CarriedValue { client, state: EntryState::LoggingIn { failures, waiting: Vec::new() } });
        true
    }

    /// A program gave this value, or failed.
    pub(super) fn logged_in(&mut self, key: &ValueKey, new: Option<Bytes>, was_coded: bool) {
        let Some(rule) = self.rules.get_mut(key.rule) else { return };
        rule.counts.logins += u64::from(new.is_some());
        rule.counts.failed_logins += u64::from(new.is_none());
        let Some(CarriedValue { client, state: EntryState::LoggingIn { failures, .. } }) = self.known.peek(key) else {
            return;
        };
        let (client, failures) = (*client, failures + 1);
        let state = match new {
            Some(new) => EntryState::Known(Known::Value { new, was_coded }),
            None => EntryState::NoLogin { failures, again: Instant::now() + pause(failures) },
        };
        self.put(key.clone(), CarriedValue { client, state });
    }

    /// Counts what became of values that are made here.
    pub(super) fn made(&mut self, rules: CarrySet, placed: Placed, failed: CarrySet) {
        for number in rules.numbers() {
            let Some(rule) = self.rules.get_mut(number) else { return };
            rule.counts.made += u64::from(placed.changed.has(number));
            rule.counts.unfit += u64::from(placed.unfit.has(number));
            rule.counts.not_made += u64::from(failed.has(number));
        }
    }

    fn renew(&mut self, key: &ValueKey, issued: &Issued) {
        if let Some(entry) = self.known.get_mut(key) {
            let before = size(key, Some(entry));
            let was_coded = matches!(entry.state, EntryState::Known(Known::Value { was_coded: true, .. }));
            entry.state = EntryState::Known(known(issued, was_coded));
            self.bytes = self.bytes + size(key, Some(entry)) - before;
        }
    }

    /// What is still awaited from this part of a response never comes.
    fn give_up(&mut self, (of, part): (ExchangeId, ResponsePart), client: IpAddr, issued: &IssuedByRule) {
        for (rule, value) in values(issued) {
            if self.part(rule) != part {
                continue;
            }
            let key = self.found(&ValueKey::issued(rule, of, value), client);
            let awaited =
                |entry: &CarriedValue| matches!(&entry.state, EntryState::Pending { from, .. } if *from == of);
            if self.known.peek(&key).is_some_and(awaited) {
                self.known.pop(&key);
                self.bytes -= size(&key, None);
                if let Some(rule) = self.rules.get_mut(rule) {
                    rule.counts.not_issued += 1;
                }
            }
        }
    }

    fn put(&mut self, key: ValueKey, entry: CarriedValue) {
        self.bytes += size(&key, Some(&entry));
        if let Some((key, old)) = self.known.push(key, entry) {
            self.bytes -= size(&key, Some(&old));
        }
        while self.bytes > MAX_BYTES
            && let Some((key, old)) = self.known.pop_lru()
        {
            self.bytes -= size(&key, Some(&old));
            if let Some(rule) = self.rules.get_mut(key.rule) {
                rule.counts.evicted += 1;
            }
        }
    }

    /// What is known of a value that is about to be sent in this exchange, by this client.
    pub(super) fn look(&mut self, key: &ValueKey, by: ExchangeId, client: IpAddr) -> Seen {
        let key = self.found(key, client);
        // What is issued in this exchange or after it is no answer to it.
        let is_later =
            |from: &ExchangeId| from.connection == by.connection && from.index >= by.index && from.pass == by.pass;
        match self.known.get(&key).map(|entry| &entry.state) {
            Some(EntryState::Known(known)) => Seen::Known(known.clone()),
            Some(EntryState::Pending { from, .. }) if !is_later(from) => Seen::Pending,
            Some(EntryState::LoggingIn { .. }) => Seen::Pending,
            _ => Seen::Unknown,
        }
    }

    /// Tells when what is known of a pending value changes.
    pub(super) fn wait_for(&mut self, key: &ValueKey, client: IpAddr) -> Option<oneshot::Receiver<()>> {
        let key = &self.found(key, client);
        let state = &mut self.known.get_mut(key)?.state;
        let (EntryState::Pending { waiting, .. } | EntryState::LoggingIn { waiting, .. }) = state else { return None };
        let (told, changed) = oneshot::channel();
        waiting.retain(|told| !told.is_closed());
        waiting.push(told);
        Some(changed)
    }

    /// Counts a request that goes on with these values, or is kept back for them.
    pub(super) fn count(
        &mut self,
        found: &[ValueKey],
        seen: &[Seen],
        (client, waited): (IpAddr, bool),
        placed: Placed,
    ) {
        for (number, rule) in self.rules.iter_mut().enumerate() {
            let of_rule = || found.iter().zip(seen).filter(move |(key, _)| key.rule == number);
            let some = |wanted: fn(&Seen) -> bool| of_rule().any(|(_, seen)| wanted(seen));
            let counts = &mut rule.counts;
            counts.carried += u64::from(placed.changed.has(number));
            counts.unfit += u64::from(placed.unfit.has(number));
            let is_pending = some(|seen| matches!(seen, Seen::Pending));
            counts.gave_up += u64::from(is_pending && waited);
            counts.unknown += u64::from(some(|seen| matches!(seen, Seen::Unknown)) || (is_pending && !waited));
            counts.waited += u64::from(waited && of_rule().next().is_some());
            let foreign = |key: &ValueKey| {
                let of_client = self.known.contains(&key.of_client(client));
                !of_client && self.known.peek(key).is_some_and(|entry| entry.client != client)
            };
            counts.foreign += u64::from(of_rule().any(|(key, _)| foreign(key)));
            for (key, _) in of_rule().filter(|(_, seen)| matches!(seen, Seen::Unknown)) {
                if rule.strangers.len() < MAX_STRANGERS && rule.strangers.insert(fingerprint(&key.value)) {
                    counts.unknown_values += 1;
                }
            }
        }
    }

    /// Takes note of the values that a request was sent with.
    pub(super) fn carried(&mut self, id: ExchangeId, client: IpAddr, found: &[ValueKey], placed: Placed) {
        let carried = found.iter().filter(|key| placed.changed.has(key.rule));
        let mut known: Vec<ValueKey> = carried.map(|key| self.found(key, client)).collect();
        known.dedup();
        if known.is_empty() {
            return;
        }
        self.forget(id);
        self.carried_bytes += known.iter().map(|key| size(key, None)).sum::<usize>();
        self.carried.push(id, known);
        while (self.carried.len() > MAX_EXCHANGES || self.carried_bytes > MAX_BYTES)
            && let Some((oldest, _)) = self.carried.peek_lru()
        {
            self.forget(*oldest);
        }
    }

    /// What a request was sent with is of no use any more.
    fn forget(&mut self, of: ExchangeId) {
        let known = self.carried.pop(&of).unwrap_or_default();
        self.carried_bytes -= known.iter().map(|key| size(key, None)).sum::<usize>();
    }

    pub(super) fn counts(&self) -> Vec<CarrySummary> {
        self.rules.iter().map(|rule| rule.counts.clone()).collect()
    }
}

/// A short stand-in for a value that is only to be told apart from others.
fn fingerprint(value: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::entry::MAX_PAUSE;
    use super::*;
    use crate::exchange::ConnectionId;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn rules(parts: &[ResponsePart]) -> CarriedValues {
        CarriedValues::new(parts.iter().map(|part| (*part, CarryKind::Carried)))
    }

    fn id(index: u32) -> ExchangeId {
        ExchangeId::new(ConnectionId(1), index)
    }

    fn issued(values: &[&str]) -> IssuedByRule {
        let value = |text: &&str| match *text {
            "-" => Issued::Deleted,
            text => Issued::Value(Bytes::copy_from_slice(text.as_bytes())),
        };
        if values.is_empty() { Vec::new() } else { vec![(0, values.iter().map(value).collect())] }
    }

    fn key(value: &str) -> ValueKey {
        ValueKey::of(0, id(1), value.as_bytes())
    }

    /// What came of a request in which a value of the rule was replaced.
    fn all() -> Placed {
        let mut placed = Placed::default();
        placed.changed.add(0);
        placed
    }

    fn look(values: &mut CarriedValues, value: &str) -> String {
        match values.look(&key(value), id(u32::MAX), CLIENT) {
            Seen::Known(Known::Value { new, .. }) => String::from_utf8(new.to_vec()).unwrap(),
            Seen::Known(Known::Deleted) => "(deleted)".to_owned(),
            Seen::Pending => "(pending)".to_owned(),
            Seen::Unknown => "(unknown)".to_owned(),
        }
    }

    /// One exchange after another: what production issued, and the target.
    fn after(exchanges: &[(&[&str], &[&str])]) -> CarriedValues {
        let mut values = rules(&[ResponsePart::Head]);
        for (index, (old, new)) in (1..).zip(exchanges) {
            values.production(id(index), CLIENT, &issued(old));
            values.answered(id(index), &ResponsePart::ALL, &issued(new));
        }
        values
    }

    #[test]
    fn values_of_one_exchange_belong_together_whoever_answers_first() {
        let mut values = after(&[(&["a"], &["A"])]);
        assert_eq!(look(&mut values, "a"), "A");
        values.answered(id(2), &ResponsePart::ALL, &issued(&["B"]));
        assert_eq!(look(&mut values, "b"), "(unknown)");
        values.production(id(2), CLIENT, &issued(&["b"]));
        assert_eq!(look(&mut values, "b"), "B");
        assert_eq!(values.counts()[0].learnt, 2);
    }

    #[test]
    fn what_is_in_a_head_is_known_before_the_body_has_ended() {
        let mut values = rules(&[ResponsePart::Head, ResponsePart::Body]);
        let issued = |head: &'static str, body: &'static str| -> IssuedByRule {
            vec![(0, vec![Issued::Value(head.into())]), (1, vec![Issued::Value(body.into())])]
        };
        let look = |values: &mut CarriedValues, rule, value: &str| {
            values.look(&ValueKey::of(rule, id(1), value.as_bytes()), id(u32::MAX), CLIENT)
        };
        let value = |text: &'static str| Seen::Known(Known::Value { new: text.into(), was_coded: false });
        values.answered(id(1), &[ResponsePart::Head], &issued("A", "B")[..1].to_vec());
        values.production(id(1), CLIENT, &issued("a", "b"));
        assert_eq!((look(&mut values, 0, "a"), look(&mut values, 1, "b")), (value("A"), Seen::Pending));
        // What failed after its head issues nothing more, and what it had issued stays.
        let mut failed = rules(&[ResponsePart::Head, ResponsePart::Body]);
        failed.production(id(1), CLIENT, &issued("a", "b"));
        failed.answered(id(1), &[ResponsePart::Head], &issued("A", "B"));
        failed.answered(id(1), &ResponsePart::ALL, &IssuedByRule::new());
        assert_eq!((look(&mut failed, 0, "a"), look(&mut failed, 1, "b")), (value("A"), Seen::Unknown));
        values.answered(id(1), &[ResponsePart::Body], &issued("A", "B"));
        assert_eq!(look(&mut values, 1, "b"), value("B"));
        assert_eq!((values.open.held(), failed.open.held()), ((0, 0), (0, 0)));
    }

    #[test]
    fn a_value_is_pending_until_the_destination_has_answered_with_one_or_without() {
        let mut values = rules(&[ResponsePart::Head]);
        values.production(id(1), CLIENT, &issued(&["a"]));
        values.production(id(2), CLIENT, &issued(&["b"]));
        assert_eq!((look(&mut values, "a"), look(&mut values, "b")), ("(pending)".into(), "(pending)".into()));
        let (mut first, mut second) =
            (values.wait_for(&key("a"), CLIENT).unwrap(), values.wait_for(&key("b"), CLIENT).unwrap());
        assert!(first.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        values.answered(id(1), &ResponsePart::ALL, &issued(&["A"]));
        values.answered(id(2), &ResponsePart::ALL, &Vec::new());
        assert_eq!((look(&mut values, "a"), look(&mut values, "b")), ("A".into(), "(unknown)".into()));
        for told in [&mut first, &mut second] {
            assert!(told.try_recv() == Err(oneshot::error::TryRecvError::Closed), "it was told");
        }
        assert_eq!((values.counts()[0].learnt, values.counts()[0].not_issued), (1, 1));
        assert!(values.wait_for(&key("a"), CLIENT).is_none());
    }

    #[test]
    fn rotation_deletion_and_renewal_are_followed() {
        let mut values = after(&[(&["a"], &["A"]), (&["b"], &["B"]), (&["c"], &["-"]), (&["-"], &["-"])]);
        let seen = ["a", "b", "c"].map(|value| look(&mut values, value));
        assert_eq!(seen, ["A", "B", "(deleted)"]);
        // The target alone renews the session that a request came with.
        values.carried(id(5), CLIENT, &[key("a")], all());
        values.production(id(5), CLIENT, &issued(&[]));
        values.answered(id(5), &ResponsePart::ALL, &issued(&["A2"]));
        assert_eq!(look(&mut values, "a"), "A2");
        // With two sessions in one request nobody can tell which one.
        values.carried(id(6), CLIENT, &[key("a"), key("b")], all());
        values.production(id(6), CLIENT, &issued(&[]));
        values.answered(id(6), &ResponsePart::ALL, &issued(&["A3"]));
        assert_eq!((look(&mut values, "a"), look(&mut values, "b")), ("A2".into(), "B".into()));
    }

    #[test]
    fn of_several_values_none_is_carried_since_nobody_knows_which_stands_for_which() {
        let mut values = after(&[(&["a", "b"], &["A", "B"]), (&["c", "d"], &["C"])]);
        let seen = ["a", "b", "c", "d"].map(|value| look(&mut values, value));
        assert_eq!(seen, ["(unknown)"; 4]);
        assert_eq!(values.counts()[0].not_issued, 4);
    }

    #[test]
    fn a_value_that_two_clients_were_given_is_kept_for_each() {
        let mut values = after(&[(&["guest"], &["A"])]);
        values.production(id(2), OTHER, &issued(&["guest"]));
        let by = |values: &mut CarriedValues, client| values.look(&key("guest"), id(9), client);
        assert_eq!(by(&mut values, OTHER), Seen::Pending, "it is not that of the other one");
        values.answered(id(2), &ResponsePart::ALL, &issued(&["B"]));
        let value = |text: &'static str| Seen::Known(Known::Value { new: text.into(), was_coded: false });
        assert_eq!((by(&mut values, CLIENT), by(&mut values, OTHER)), (value("A"), value("B")));
        values.count(&[key("guest")], &[value("B")], (OTHER, false), all());
        assert_eq!((values.counts()[0].foreign, values.counts()[0].reissued), (0, 0));
        // From behind one address nobody can tell who is who: that is counted.
        values.production(id(3), CLIENT, &issued(&["guest"]));
        values.answered(id(3), &ResponsePart::ALL, &issued(&["C"]));
        assert_eq!((by(&mut values, CLIENT), values.counts()[0].reissued), (value("C"), 1));
    }

    #[test]
    fn no_request_waits_for_what_its_own_response_issues_or_a_later_one() {
        let mut values = rules(&[ResponsePart::Head]);
        values.production(id(3), CLIENT, &issued(&["a"]));
        let seen = [2, 3, 4].map(|index| values.look(&key("a"), id(index), CLIENT));
        assert_eq!(seen, [Seen::Unknown, Seen::Unknown, Seen::Pending]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_is_asked_once_a_value_and_later_again_after_it_failed() {
        let mut values = rules(&[ResponsePart::Head]);
        let key = key("a");
        assert!(values.begin_login(&key, CLIENT) && !values.begin_login(&key, OTHER), "it is asked already");
        let mut told = values.wait_for(&key, OTHER).unwrap();
        for (failures, millis) in [(1, 1000), (2, 2000), (3, 4000)] {
            values.logged_in(&key, None, false);
            assert!(told.try_recv() == Err(oneshot::error::TryRecvError::Closed) || failures > 1, "it was told");
            assert_eq!(look(&mut values, "a"), "(unknown)");
            tokio::time::advance(Duration::from_millis(millis - 1)).await;
            assert!(!values.begin_login(&key, CLIENT), "{failures}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(values.begin_login(&key, CLIENT), "{failures}");
            assert_eq!(look(&mut values, "a"), "(pending)");
        }
        values.logged_in(&key, Some("A".into()), false);
        assert_eq!((look(&mut values, "a"), values.begin_login(&key, CLIENT)), ("A".into(), false));
        let counts = values.counts()[0].clone();
        assert_eq!((counts.logins, counts.failed_logins, pause(40)), (1, 3, MAX_PAUSE));
    }

    #[test]
    fn copies_and_passes_have_values_of_their_own() {
        let mut values = after(&[(&["a"], &["A"])]);
        let copy = ValueKey::of(0, ExchangeId { copy: 1, ..id(9) }, b"a");
        let pass = ValueKey::of(0, ExchangeId { pass: 2, ..id(9) }, b"a");
        assert_eq!(
            (values.look(&copy, id(9), CLIENT), values.look(&pass, id(9), CLIENT)),
            (Seen::Unknown, Seen::Unknown)
        );
    }

    #[test]
    fn what_a_request_carries_is_counted_once_for_each_rule() {
        let mut values = after(&[(&["a"], &["A"]), (&["b"], &["B"])]);
        let keys = [key("a"), key("b"), key("x"), key("x")];
        let seen: Vec<Seen> = keys.iter().map(|key| values.look(key, id(9), OTHER)).collect();
        values.count(&keys, &seen, (OTHER, true), all());
        values.count(&keys[2..], &seen[2..], (CLIENT, false), Placed::default());
        let counts = CarrySummary {
            learnt: 2,
            carried: 1,
            waited: 1,
            unknown: 2,
            unknown_values: 1,
            foreign: 1,
            ..CarrySummary::default()
        };
        assert_eq!(values.counts(), [counts]);
    }

    #[test]
    fn values_past_the_bound_go_the_oldest_first_and_are_counted() {
        let mut values = rules(&[ResponsePart::Head]);
        let long = "v".repeat(10_000);
        for index in 1..=4_000 {
            values.production(id(index), CLIENT, &issued(&[&format!("{index}")]));
            values.answered(id(index), &ResponsePart::ALL, &issued(&[&long]));
        }
        let counts = values.counts()[0].clone();
        assert!(values.bytes <= MAX_BYTES && counts.evicted > 2_000, "{} {counts:?}", values.bytes);
        assert_eq!((look(&mut values, "1"), look(&mut values, "4000")), ("(unknown)".into(), long));
        let held: usize = values.known.iter().map(|(key, entry)| size(key, Some(entry))).sum();
        assert_eq!((held, values.open.held()), (values.bytes, (0, 0)));
    }

    #[test]
    fn what_requests_were_sent_with_is_kept_within_a_bound() {
        let mut values = rules(&[ResponsePart::Head]);
        let long = "v".repeat(10_000);
        for index in 1..=4_000 {
            let key = ValueKey::of(0, id(index), format!("{index}{long}").as_bytes());
            values.carried(id(index), CLIENT, std::slice::from_ref(&key), all());
            values.carried(id(index), CLIENT, &[key], all());
        }
        assert!(values.carried_bytes <= MAX_BYTES && values.carried.len() > 1_000, "{}", values.carried.len());
        (1..=4_000).for_each(|index| values.forget(id(index)));
        assert_eq!((values.carried.len(), values.carried_bytes), (0, 0));
    }

    #[test]
    fn exchanges_that_one_side_never_answers_are_given_up_at_a_bound() {
        let mut values = rules(&[ResponsePart::Head]);
        for index in 1..=u32::try_from(MAX_EXCHANGES).unwrap() + 10 {
            values.production(id(index), CLIENT, &issued(&[&format!("{index}")]));
        }
        let (open, bytes) = values.open.held();
        assert!(open <= MAX_EXCHANGES && bytes <= MAX_BYTES);
        let last = format!("{}", MAX_EXCHANGES + 10);
        assert_eq!((look(&mut values, "1"), look(&mut values, &last)), ("(unknown)".into(), "(pending)".into()));
    }
}
