//! Reasons of failed deliveries: the first of each reason with its count, never a line for each failure.

use crate::exchange::{ExchangeId, FailureKind, Outcome};
use crate::replay::{Delivery, Desynchronised, Reason};
use crate::report::schema::failures::{DesynchronisedSummary, FailureReason};

/// Reasons that are counted separately at one target. Further ones are counted together, under the kind of the failure.
const MAX_REASONS: usize = 32;
/// Reason under which further reasons are counted.
const OTHERS: Reason = Reason::new("other reasons");

impl DesynchronisedSummary {
    /// Returns the summary of a target's desynchronised connections; `None` where there were none.
    #[must_use]
    pub fn of(connections: &Desynchronised) -> Option<Self> {
        (connections.connections > 0).then(|| Self {
            deliveries: connections.deliveries,
            connections: connections.connections,
            before_a_request: connections.before_a_request,
            earlier: connections.earlier,
            taken_back: 0,
            first: connections.first.map(|first| first.to_string()),
        })
    }
}

/// The reasons of one target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons(Vec<Counted>);

#[derive(Clone, Debug)]
struct Counted {
    kind: FailureKind,
    reason: Reason,
    count: u64,
    first: ExchangeId,
}

impl Reasons {
    /// Counts a delivery, where it failed and it is known why. Returns whether it is the first that failed for its reason.
    pub(crate) fn delivered(&mut self, delivery: &Delivery) -> bool {
        match (&delivery.outcome, &delivery.reason) {
            (Outcome::Failed(kind), Some(reason)) => self.count(*kind, reason, delivery.id),
            _ => false,
        }
    }

    fn count(&mut self, kind: FailureKind, reason: &Reason, id: ExchangeId) -> bool {
        let known = |what: &str, all: &[Counted]| {
            all.iter().position(|counted| counted.kind == kind && counted.reason.what == what)
        };
        let at = known(&reason.what, &self.0);
        let is_full = at.is_none() && self.0.len() >= MAX_REASONS;
        let reason = if is_full { &OTHERS } else { reason };
        if let Some(counted) = at.or_else(|| known(&reason.what, &self.0)).and_then(|at| self.0.get_mut(at)) {
            counted.count += 1;
            return false;
        }
        self.0.push(Counted { kind, reason: reason.clone(), count: 1, first: id });
        !is_full
    }

    /// The most frequent first.
    pub(crate) fn finish(&self) -> Vec<FailureReason> {
        let mut all = self.0.clone();
        all.sort_by_key(|counted| std::cmp::Reverse(counted.count));
        let told = |counted: &Counted| FailureReason {
            kind: counted.kind.key().to_owned(),
            reason: counted.reason.to_string(),
            count: counted.count,
            first: counted.first.to_string(),
        };
        all.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::delivery;
    use super::*;

    fn failed(n: u32, kind: FailureKind, reason: Reason) -> Delivery {
        Delivery { reason: Some(Box::new(reason)), ..delivery(n, Outcome::Failed(kind), None) }
    }

    #[test]
    fn a_reason_is_told_once_with_the_particulars_of_the_first() {
        let mut reasons = Reasons::default();
        let short = |n| failed(n, FailureKind::Truncated, Reason::new("short").with(format_args!("{n} of 9")));
        let firsts = [1, 2, 3].map(|n| reasons.delivered(&short(n)));
        assert_eq!(firsts, [true, false, false]);
        assert!(reasons.delivered(&failed(4, FailureKind::Connect, Reason::new("refused"))));
        assert!(!reasons.delivered(&delivery(5, Outcome::Sent, Some(200))));
        let told: Vec<_> =
            reasons.finish().into_iter().map(|row| (row.kind, row.reason, row.count, row.first)).collect();
        let row = |kind: &str, reason: &str, count, first: &str| (kind.into(), reason.into(), count, first.into());
        assert_eq!(told, [row("truncated", "short: 1 of 9", 3, "1.1"), row("connect", "refused", 1, "1.4")]);
    }

    #[test]
    fn reasons_beyond_the_bound_are_counted_together() {
        let mut reasons = Reasons::default();
        for n in 0..100 {
            let reason = Reason { what: format!("reason {n}").into(), example: None };
            let is_first = reasons.delivered(&failed(n + 1, FailureKind::Reset, reason));
            assert_eq!(is_first, (n as usize) < MAX_REASONS, "{n}");
        }
        let told = reasons.finish();
        assert_eq!((told.len(), told[0].reason.as_str(), told[0].count), (MAX_REASONS + 1, "other reasons", 68));
        assert_eq!(told.iter().map(|row| row.count).sum::<u64>(), 100);
    }
}
