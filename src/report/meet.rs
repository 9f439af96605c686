//! Where the answers to one request are held against each other, and what that tells is counted.

use crate::exchange::Outcome;
use crate::replay::{Answer, Delivery};

use super::compare::{self, Bodies, Found};
use super::evidence::Compared;
use super::join::{Arrival, Joined};
use super::noise::Why;
use super::results::{Line, answer_side, production_side};
use super::routes::OTHER;
use super::{Production, Reporter, RequestNote};

/// Whom a delivery went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// This target.
    Target(usize),
    /// The baseline.
    Baseline,
    /// This target, a second time.
    Check(usize),
}

/// The number of the baseline, as deliveries number it, beside so many targets.
#[must_use]
pub const fn baseline_number(targets: usize) -> usize {
    targets
}

/// The number under which a target is asked a second time.
#[must_use]
pub const fn check_number(targets: usize, target: usize) -> usize {
    targets + 1 + target
}

impl Reporter {
    /// Whether a delivery with this number is one to a target, for its own sake.
    #[must_use]
    pub fn is_target(&self, number: usize) -> bool {
        matches!(self.role(number), Role::Target(_))
    }

    fn role(&self, number: usize) -> Role {
        let targets = self.urls.len();
        match number.checked_sub(targets) {
            None => Role::Target(number),
            Some(0) => Role::Baseline,
            Some(beyond) => Role::Check(beyond - 1),
        }
    }

    pub(super) fn delivered(&mut self, delivery: Box<Delivery>) {
        match self.role(delivery.target) {
            Role::Check(_) => self.checks.ended(&delivery.outcome),
            Role::Target(_) | Role::Baseline => {
                self.ledger.delivered(delivery.target, &delivery.outcome);
                if self.is_target(delivery.target) {
                    self.evidence.delivered(&delivery);
                }
                if let Some(tally) = self.targets.get_mut(delivery.target) {
                    tally.timed(&delivery);
                }
            }
        }
        match self.joins.delivered(delivery) {
            Arrival::Waiting => {}
            Arrival::Complete(joined) => self.joined(joined),
            Arrival::Late(delivery) => self.compared(None, &delivery, None),
        }
    }

    pub(super) fn joined(&mut self, joined: Joined) {
        let Joined { note, deliveries, production } = joined;
        self.evidence.joined(note.route.as_ref(), production.as_ref().ok());
        match &production {
            Ok(production) => self.production.answered(production),
            Err(why) => self.production.unjoined(why.key()),
        }
        let meeting = Meeting { note: &note, route: note.route.as_deref().unwrap_or(OTHER) };
        for delivery in &deliveries {
            match self.role(delivery.target) {
                Role::Check(target) => self.checked(&meeting, target, delivery, &deliveries),
                Role::Target(_) | Role::Baseline => {
                    self.compared(Some(&meeting), delivery, production.as_ref().ok());
                }
            }
        }
        if let Ok(production) = production {
            self.repeated(&meeting, production);
        }
    }

    /// Holds an answer against production's, where both are known.
    fn compared(&mut self, meeting: Option<&Meeting<'_>>, delivery: &Delivery, production: Option<&Production>) {
        let found = meeting.and_then(|meeting| self.found(meeting, delivery, production));
        let role = self.role(delivery.target);
        if let (Some(meeting), Some(found)) = (meeting, &found) {
            match role {
                Role::Target(target) => self.noise.take(meeting.route, target, found),
                Role::Baseline if production.is_some_and(|production| production.damage.is_none()) => {
                    self.noise.own(meeting.route, Why::Baseline, found);
                }
                Role::Baseline | Role::Check(_) => {}
            }
        }
        let Some(tally) = self.targets.get_mut(delivery.target) else { return };
        let url = self.urls.get(delivery.target).map_or("", String::as_str);
        if role != Role::Baseline {
            self.watch.delivered(url, meeting.map(|meeting| meeting.note), delivery, production, found.as_ref());
        }
        let unknown = found.as_ref().map(|found| found.body_unknown);
        let differences = tally.compared(delivery, production, found);
        if role == Role::Baseline {
            return;
        }
        let looked = Compared { unknown, differences: &differences };
        self.evidence.compared(meeting.map(|meeting| meeting.note), delivery, production, url, looked);
        let recent = self.recent.as_mut().filter(|recent| recent.wants() && !differences.is_empty());
        if recent.is_some() || self.results.wanted() {
            let line = Line::delivered(meeting.map(|meeting| meeting.note), delivery, url, production, differences);
            if let Some(recent) = recent {
                recent.keep(&line);
            }
            self.results.write(&line);
        }
    }

    /// In what an answer differs from production's.
    fn found(&self, meeting: &Meeting<'_>, delivery: &Delivery, production: Option<&Production>) -> Option<Found> {
        let (answer, production) = (answer(delivery)?, production?);
        let bodies = match production.damage {
            Some(_) => Bodies::Damaged,
            None if self.in_haste => Bodies::InHaste,
            None => Bodies::Whole,
        };
        let host = meeting.note.words.host();
        let one = production_side(production, host);
        let other = answer_side(answer, self.host(delivery.target), host);
        Some(compare::compare(&self.compare, meeting.note.words.method(), &one, &other, bodies))
    }

    /// Holds production's answer against its last one to the same request.
    fn repeated(&mut self, meeting: &Meeting<'_>, production: Production) {
        let Some(key) = meeting.note.repeat else { return };
        if production.damage.is_some() || self.in_haste || !self.noise.wants(meeting.route, Why::Repeats) {
            return;
        }
        if let Some(before) = self.repeats.before(key) {
            let host = meeting.note.words.host();
            let (one, other) = (production_side(before, host), production_side(&production, host));
            let found = compare::compare(&self.compare, meeting.note.words.method(), &one, &other, Bodies::Whole);
            if !found.body_unknown {
                self.noise.own(meeting.route, Why::Repeats, &found);
            }
        }
        self.repeats.remember(key, production);
    }

    /// Holds a target's second answer against its first.
    fn checked(&mut self, meeting: &Meeting<'_>, target: usize, check: &Delivery, deliveries: &[Box<Delivery>]) {
        let first = deliveries.iter().find(|delivery| delivery.target == target);
        let (Some(first), Some(second)) = (first.and_then(|first| answer(first)), answer(check)) else { return };
        let host = meeting.note.words.host();
        let (one, other) = (answer_side(first, self.host(target), host), answer_side(second, self.host(target), host));
        let bodies = if self.in_haste { Bodies::InHaste } else { Bodies::Whole };
        let found = compare::compare(&self.compare, meeting.note.words.method(), &one, &other, bodies);
        self.checks.compared(&found);
        if !found.body_unknown {
            self.noise.own(meeting.route, Why::SelfCheck, &found);
        }
    }

    fn host(&self, number: usize) -> &[u8] {
        self.hosts.get(number).map_or(&[][..], Vec::as_slice)
    }
}

/// A request whose answers meet.
struct Meeting<'a> {
    note: &'a RequestNote,
    route: &'a str,
}

fn answer(delivery: &Delivery) -> Option<&Answer> {
    delivery.answer.as_ref().filter(|_| delivery.outcome == Outcome::Sent)
}
