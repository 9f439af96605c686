//! What became of each request, for a store that the run shares with others.

use std::collections::HashMap;
use std::sync::Arc;

use crate::exchange::{ExchangeId, Outcome, Shed};
use crate::recording::StoreSession;
use crate::report::ReportEvent;

/// Follows each request until the last of its deliveries has ended.
pub(super) struct StoreEnds {
    session: Arc<dyn StoreSession>,
    /// Requests with deliveries that have not ended.
    open: HashMap<ExchangeId, OpenRequest, foldhash::fast::RandomState>,
}

/// Deliveries of a request that have not ended, and whether one of the others has ended for good.
#[derive(Clone, Copy, Debug)]
struct OpenRequest {
    left: usize,
    for_good: bool,
}

impl StoreEnds {
    pub(super) fn new(session: Arc<dyn StoreSession>) -> Self {
        Self { session, open: HashMap::default() }
    }

    /// Takes note of a fact on its way to the report.
    pub(super) fn note(&mut self, fact: &ReportEvent) {
        match fact {
            ReportEvent::Ended { note, outcome } => self.session.ended(note.id, is_for_good(outcome)),
            ReportEvent::Kept { note } => self.session.ended(note.id, true),
            ReportEvent::Offered { note, targets, .. } if targets.is_empty() => self.session.ended(note.id, true),
            ReportEvent::Offered { note, targets, .. } => {
                self.open.insert(note.id, OpenRequest { left: targets.len(), for_good: false });
            }
            ReportEvent::Delivered(delivery) if delivery.destination.target().is_some() => {
                let Some(open) = self.open.get_mut(&delivery.id) else { return };
                open.left = open.left.saturating_sub(1);
                open.for_good |= is_for_good(&delivery.outcome);
                if open.left == 0 {
                    let for_good = open.for_good;
                    self.open.remove(&delivery.id);
                    self.session.ended(delivery.id, for_good);
                }
            }
            _ => {}
        }
    }
}

/// Returns whether a request that ended so is not to be had by anybody else.
const fn is_for_good(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Shed(Shed::Stopped | Shed::Moved))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::exchange::FailureKind;
    use crate::replay::{Delivery, Destination, TargetId};
    use crate::report::{RequestRecord, TargetSet};

    #[derive(Default)]
    struct Told(Mutex<Vec<(u32, bool)>>);

    impl StoreSession for Told {
        fn ended(&self, id: ExchangeId, for_good: bool) {
            self.0.lock().unwrap().push((id.index, for_good));
        }

        fn conclude(&self, _: Vec<u8>) -> Result<(), String> {
            Ok(())
        }
    }

    fn delivered(n: u32, target: usize, outcome: Outcome) -> ReportEvent {
        let id = crate::testing::request(n, "GET / HTTP/1.1\r\n\r\n").id;
        ReportEvent::Delivered(Box::new(Delivery::unsent(id, Destination::Target(TargetId::at(target)), outcome)))
    }

    #[test]
    fn a_request_ends_with_its_last_delivery_and_for_good_if_any_did() {
        let told = Arc::<Told>::default();
        let mut ends = StoreEnds::new(Arc::clone(&told) as Arc<dyn StoreSession>);
        for n in 1..=2 {
            let request = crate::testing::request(n, "GET / HTTP/1.1\r\n\r\n");
            let note: RequestRecord = crate::pipeline::request_record::request_record(
                &request,
                false,
                &crate::middleware::secret_names::SecretNames::default(),
            );
            ends.note(&ReportEvent::Offered {
                note: Box::new(note),
                targets: TargetSet::first(2),
                capture_delay: None,
            });
        }
        ends.note(&delivered(1, 0, Outcome::Failed(FailureKind::Reset)));
        assert!(told.0.lock().unwrap().is_empty());
        ends.note(&delivered(1, 1, Outcome::Shed(Shed::Stopped)));
        ends.note(&delivered(2, 0, Outcome::Shed(Shed::Moved)));
        ends.note(&delivered(2, 1, Outcome::Shed(Shed::Stopped)));
        assert_eq!(*told.0.lock().unwrap(), [(1, true), (2, false)]);
    }
}
