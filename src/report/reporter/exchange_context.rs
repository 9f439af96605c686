//! Join of the responses to one request, and the counting of their comparison.

use std::sync::Arc;

use crate::compare::{Effort, ResponseDiff, Unknown};
use crate::exchange::{ExchangeId, Outcome};
use crate::replay::{Delivery, Destination};
use crate::report::collect::by_route::ExchangeComparison;
use crate::report::collect::comparer::{ComparedExchange, Comparer, ComparisonTask, FoundInExchange};
use crate::report::collect::inputs::{Production, RepeatKey, RequestRecord};
use crate::report::collect::join::{DeliveryJoin, Joined};
use crate::report::collect::recent::CountedComparison;
use crate::report::collect::repeats;
use crate::report::collect::results::ResultLine;
use crate::report::collect::route_name::OTHER;
use crate::report::schema::noise::NoiseSource;

use super::desynchronised::CountedAs;
use super::{Reporter, tally_of};

impl Reporter {
    /// From now on comparisons that take time are left to whoever calls this: each is given out by
    /// [`Reporter::next_comparison`], and has to come back to [`Reporter::compared`].
    pub(crate) fn defer_comparisons(&mut self) -> Arc<Comparer> {
        self.defers = true;
        Arc::clone(&self.comparer)
    }

    /// The next comparison that was deferred.
    pub(crate) fn next_comparison(&mut self) -> Option<ComparisonTask> {
        self.deferred.pop_front()
    }

    /// Counts what came of a comparison.
    pub fn compared(&mut self, compared: ComparedExchange) {
        self.count_compared(compared.joined, compared.found);
    }

    /// Does a comparison by hashes alone, and counts what comes of it.
    pub(crate) fn compare_unread(&mut self, task: ComparisonTask, why: Unknown) {
        let compared = self.comparer.compare(task, Some(why));
        self.compared(compared);
    }

    /// From now on every body that differs is left unread, since the run has ended.
    pub(super) fn compare_no_more(&mut self) {
        if self.defers {
            self.unread = Some(Unknown::RunEnded);
            while let Some(task) = self.next_comparison() {
                self.compare_unread(task, Unknown::RunEnded);
            }
        }
    }

    pub(super) fn delivered(&mut self, mut delivery: Box<Delivery>) {
        self.doubt_new(&mut delivery);
        delivery.sent_as.hide(self.comparer.secrets());
        match delivery.destination {
            Destination::SelfCheck(_) => self.checks.ended(&delivery.outcome),
            Destination::Target(_) | Destination::Baseline => {
                self.ledger.delivered(delivery.destination, &delivery.outcome);
                if delivery.destination.target().is_some() {
                    self.evidence.delivered(&delivery);
                }
                self.observed(&delivery);
                if self.tally(delivery.destination).is_some_and(|tally| tally.timed(&delivery)) {
                    self.log_failure(&delivery);
                }
            }
        }
        match self.joins.delivered(delivery) {
            DeliveryJoin::Waiting => {}
            DeliveryJoin::Complete(joined) => self.joined(joined),
            DeliveryJoin::Late(delivery) => self.delivery_compared(None, &delivery, None, None),
        }
    }

    /// Plays a delivery through, where that was asked for: now, since production's response may never come.
    fn observed(&mut self, delivery: &Delivery) {
        let Some(observe) = &mut self.observe else { return };
        let url = delivery.destination.target().and_then(|target| self.urls.get(target.index()));
        if let Some((url, at)) = url.zip(self.joins.first_byte(delivery.id)) {
            observe.delivered(url, at, delivery);
        }
    }

    /// Logs a failure, the first for its reason: the others are counted in the report.
    pub(super) fn log_failure(&self, delivery: &Delivery) {
        let (Outcome::Failed(kind), Some(reason)) = (&delivery.outcome, &delivery.reason) else { return };
        let url = match delivery.destination.target() {
            Some(target) => self.urls.get(target.index()),
            None => self.baseline.as_ref().map(|baseline| &baseline.url),
        };
        let Some(url) = url else { return };
        let name = self.asked.names.get(url).unwrap_or(url);
        let kind = kind.key().replace('_', " ");
        tracing::warn!("{name}: {kind}: {reason} (first: {}; the report counts further ones)", delivery.id);
    }

    pub(super) fn joined(&mut self, joined: Joined) {
        self.evidence.joined(joined.note.route.as_ref(), joined.production.as_ref().ok());
        match &joined.production {
            Ok(production) => self.production.answered(production),
            Err(why) => self.production.unjoined(why.key()),
        }
        match self.comparer.attempt(&joined, self.unread, self.effort()) {
            Some(found) => self.count_compared(joined, found),
            None => self.deferred.push_back(ComparisonTask::new(joined)),
        }
    }

    /// How far a comparison may go at once.
    fn effort(&self) -> Effort {
        if self.defers && self.unread.is_none() { Effort::Quick } else { Effort::Full }
    }

    /// Production answered: compares that with what it answered to the same request before, and gives that back where it
    /// takes time. Now, and not when the targets have answered: in which order they do says nothing of production.
    pub(super) fn repeated(&mut self, of: ExchangeId, production: &Production) -> Option<Box<Production>> {
        let key = self.repeat_key(self.joins.awaiting_production(of)?, production)?;
        let (before, effort) = (self.repeats.before(key), self.effort());
        self.repeats.remember(key, production);
        let (before, note) = (before?, self.joins.awaiting_production(of)?);
        let Some(found) = self.comparer.repeat(note, (&before, production), effort) else {
            return Some(Box::new(before));
        };
        if found.body_unknown.is_none() {
            self.noise.own(note.route.as_deref().unwrap_or(OTHER), NoiseSource::Repeats, &found);
        }
        None
    }

    /// Counts what came of the comparisons of one request.
    fn count_compared(&mut self, mut joined: Joined, mut found: FoundInExchange) {
        self.doubt_joined(&mut joined, &mut found);
        let Joined { note, deliveries, production, .. } = joined;
        let meeting = ExchangeContext { note: &note, route: note.route.as_deref().unwrap_or(OTHER) };
        for (delivery, found) in deliveries.iter().zip(found.deliveries) {
            match delivery.destination {
                Destination::SelfCheck(_) => self.checked(&meeting, delivery, found),
                Destination::Target(_) | Destination::Baseline => {
                    self.delivery_compared(Some(&meeting), delivery, production.as_ref().ok(), found);
                }
            }
        }
        if let Some(found) = found.repeat.filter(|found| found.body_unknown.is_none()) {
            self.noise.own(meeting.route, NoiseSource::Repeats, &found);
        }
    }

    /// Counts the differences between a response and production's, where both are known.
    fn delivery_compared(
        &mut self,
        meeting: Option<&ExchangeContext<'_>>,
        delivery: &Delivery,
        production: Option<&Production>,
        found: Option<Arc<ResponseDiff>>,
    ) {
        let (role, target) = (delivery.destination, delivery.destination.target());
        let tells_noise =
            meeting.zip(found.as_deref()).is_some_and(|(meeting, found)| self.learn(role, meeting, production, found));
        let note = meeting.map(|meeting| meeting.note);
        let mut counted = CountedAs::new(note.and_then(|note| note.route.as_ref()), production);
        let url = target.and_then(|target| self.urls.get(target.index())).map_or("", String::as_str);
        if target.is_some() {
            counted.demands = self.watch.delivered(url, note, delivery, production, found.as_deref());
        }
        let Some(tally) = tally_of(&mut self.targets, &mut self.baseline, delivery.destination) else { return };
        tally.compared(delivery, production, found.as_deref());
        let unknown = found.as_ref().map(|found| found.body_unknown);
        let differences = found.as_ref().map_or(&[][..], |found| &found.differences);
        if let Some(target) = target {
            let looked = ExchangeComparison { unknown: unknown.map(|unknown| unknown.is_some()), differences };
            self.evidence.compared(note, delivery, production, url, looked);
            let recent = self.recent.as_mut().filter(|recent| recent.wants() && !differences.is_empty());
            if recent.is_some() || self.results.wanted() {
                let line = ResultLine::delivered(note, delivery, url, production, differences);
                let line = line.unknown(unknown.flatten());
                if let Some(recent) = recent {
                    recent.keep((delivery.id, target), &line);
                }
                self.results.write(&line);
            }
        }
        counted.compared = found.map(|found| CountedComparison::new(found, tells_noise));
        self.remember(delivery, counted);
    }

    /// Takes in what a comparison tells of noise; returns whether it told anything.
    fn learn(
        &mut self,
        role: Destination,
        meeting: &ExchangeContext<'_>,
        production: Option<&Production>,
        found: &ResponseDiff,
    ) -> bool {
        match role {
            Destination::Target(target) => {
                self.noise.take(meeting.route, target.index(), found);
                true
            }
            Destination::Baseline if production.is_some_and(Production::is_whole) => {
                self.noise.own(meeting.route, NoiseSource::Baseline, found)
            }
            Destination::Baseline | Destination::SelfCheck(_) => false,
        }
    }

    /// Returns the key for comparing production's response with its previous one to the same request, where that
    /// comparison is of use.
    fn repeat_key(&self, note: &RequestRecord, production: &Production) -> Option<RepeatKey> {
        let (key, route) = (note.repeat?, note.route.as_deref().unwrap_or(OTHER));
        let tells = production.is_whole() && self.unread.is_none() && self.noise.wants(route, NoiseSource::Repeats);
        let response = production.kept.as_deref().filter(|_| tells);
        repeats::varied(key, note.text.head(), response).filter(|_| tells)
    }

    /// Counts the differences between a target's second response and its first, where both are known.
    fn checked(&mut self, meeting: &ExchangeContext<'_>, delivery: &Delivery, found: Option<Arc<ResponseDiff>>) {
        let mut counted = CountedAs::new(meeting.note.route.as_ref(), None);
        if let Some(found) = found {
            self.checks.compared(&found);
            let is_known = found.body_unknown.is_none();
            let tells_noise = is_known && self.noise.own(meeting.route, NoiseSource::SelfCheck, &found);
            counted.compared = Some(CountedComparison::new(found, tells_noise));
        }
        self.remember(delivery, counted);
    }
}

/// A request whose responses are compared.
struct ExchangeContext<'a> {
    note: &'a RequestRecord,
    route: &'a str,
}
