//! What became of each request, for a store that the run shares with others.
//!
//! A request that was kept from the target counts only once the store knows of it: until then another replayer may get its
//! partition, and end it, too. What was sent counts at once, whatever the store knows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::{ExchangeId, Outcome, Shed};
use crate::recording::{EndTicket, RequestEnd, StoreSession};
use crate::report::ReportEvent;

/// Events that wait until the store knows of them. Past it the oldest count as they are.
const MAX_WAITING: usize = 1 << 16;
/// Time that the store has for that once all requests have ended. Past it the others count as they are.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks at that.
const LOOK: Duration = Duration::from_millis(10);

/// Follows each request until the last of its deliveries has ended, and holds back what may not count.
pub(super) struct StoreEnds {
    session: Arc<dyn StoreSession>,
    /// Requests with deliveries that have not ended.
    open: HashMap<ExchangeId, OpenRequest, foldhash::fast::RandomState>,
    /// What is not known to count, oldest first.
    waiting: VecDeque<(EndTicket, Vec<ReportEvent>)>,
}

/// Deliveries of a request that have not ended, and how the others have.
struct OpenRequest {
    left: usize,
    end: RequestEnd,
    /// Those that were not sent.
    unsent: Vec<ReportEvent>,
}

impl StoreEnds {
    pub(super) fn new(session: Arc<dyn StoreSession>) -> Self {
        Self { session, open: HashMap::default(), waiting: VecDeque::new() }
    }

    /// Takes a fact on its way to the report, and puts into `counted` what counts by now.
    pub(super) fn pass(&mut self, fact: ReportEvent, counted: &mut Vec<ReportEvent>) {
        match &fact {
            ReportEvent::Ended { note, outcome } => {
                let end = end_of(outcome);
                match self.session.ended(note.id, end) {
                    Some(ticket) => self.wait(ticket, vec![fact], counted),
                    None => counted.push(fact),
                }
            }
            ReportEvent::Offered { note, targets, .. } if !targets.is_empty() => {
                let open = OpenRequest { left: targets.len(), end: RequestEnd::GivenUp, unsent: Vec::new() };
                self.open.insert(note.id, open);
                counted.push(fact);
            }
            ReportEvent::Kept { note } | ReportEvent::Offered { note, .. } => {
                // Nothing is to be taken back of it.
                self.session.ended(note.id, RequestEnd::Sent);
                counted.push(fact);
            }
            ReportEvent::Delivered(delivery) if delivery.destination.target().is_some() => {
                self.delivered(delivery.id, end_of(&delivery.outcome), fact, counted);
            }
            _ => counted.push(fact),
        }
    }

    fn delivered(&mut self, id: ExchangeId, end: RequestEnd, fact: ReportEvent, counted: &mut Vec<ReportEvent>) {
        let Some(open) = self.open.get_mut(&id) else { return counted.push(fact) };
        open.left = open.left.saturating_sub(1);
        open.end = match (open.end, end) {
            (RequestEnd::Sent, _) | (_, RequestEnd::Sent) => RequestEnd::Sent,
            (RequestEnd::Unsent, _) | (_, RequestEnd::Unsent) => RequestEnd::Unsent,
            _ => RequestEnd::GivenUp,
        };
        if end == RequestEnd::Unsent {
            open.unsent.push(fact);
        } else {
            counted.push(fact);
        }
        if open.left > 0 {
            return;
        }
        let Some(OpenRequest { end, unsent, .. }) = self.open.remove(&id) else { return };
        match self.session.ended(id, end) {
            Some(ticket) => self.wait(ticket, unsent, counted),
            None => counted.extend(unsent),
        }
    }

    fn wait(&mut self, ticket: EndTicket, facts: Vec<ReportEvent>, counted: &mut Vec<ReportEvent>) {
        self.waiting.push_back((ticket, facts));
        if self.waiting.len() > MAX_WAITING
            && let Some((_, facts)) = self.waiting.pop_front()
        {
            counted.extend(facts);
        }
    }

    /// Puts into `counted` what the store has learned of; what is another replayer's now counts as moved.
    pub(super) fn settle(&mut self, counted: &mut Vec<ReportEvent>) {
        while let Some((ticket, _)) = self.waiting.front()
            && let Some(counts) = self.session.counts(*ticket)
            && let Some((_, facts)) = self.waiting.pop_front()
        {
            counted.extend(facts.into_iter().map(|fact| if counts { fact } else { moved(fact) }));
        }
    }

    /// Waits for what is not known yet, for some seconds; all has ended.
    pub(super) fn finish(mut self, counted: &mut Vec<ReportEvent>) {
        let until = Instant::now() + LAST_WAIT;
        self.settle(counted);
        while !self.waiting.is_empty() && Instant::now() < until {
            thread::sleep(LOOK);
            self.settle(counted);
        }
        let open = self.open.into_values().flat_map(|open| open.unsent);
        counted.extend(self.waiting.into_iter().flat_map(|(_, facts)| facts).chain(open));
    }
}

/// Returns how a request ended, as its store sees it.
const fn end_of(outcome: &Outcome) -> RequestEnd {
    match outcome {
        Outcome::Sent | Outcome::Failed(_) => RequestEnd::Sent,
        Outcome::Shed(Shed::Stopped | Shed::RunEnded | Shed::Moved) => RequestEnd::GivenUp,
        _ => RequestEnd::Unsent,
    }
}

/// Returns what ended here as something that another replayer has.
fn moved(fact: ReportEvent) -> ReportEvent {
    match fact {
        ReportEvent::Ended { note, .. } => ReportEvent::Ended { note, outcome: Outcome::Shed(Shed::Moved) },
        ReportEvent::Delivered(mut delivery) => {
            delivery.outcome = Outcome::Shed(Shed::Moved);
            ReportEvent::Delivered(delivery)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::exchange::FailureKind;
    use crate::replay::{Delivery, Destination, TargetId};
    use crate::report::{RequestRecord, TargetSet};

    /// What the store was told, and what it says of what was not sent.
    #[derive(Default)]
    struct Told {
        ended: Mutex<Vec<(u32, RequestEnd)>>,
        counts: Mutex<Option<bool>>,
    }

    impl StoreSession for Told {
        fn ended(&self, id: ExchangeId, end: RequestEnd) -> Option<EndTicket> {
            self.ended.lock().unwrap().push((id.index, end));
            (end == RequestEnd::Unsent).then(EndTicket::default)
        }

        fn counts(&self, _: EndTicket) -> Option<bool> {
            *self.counts.lock().unwrap()
        }

        fn conclude(&self, _: Vec<u8>) -> Result<(), String> {
            Ok(())
        }
    }

    fn note(n: u32) -> Box<RequestRecord> {
        let request = crate::testing::request(n, "GET / HTTP/1.1\r\n\r\n");
        let secrets = crate::middleware::secret_names::SecretNames::default();
        Box::new(crate::pipeline::request_record::request_record(&request, false, &secrets))
    }

    fn offered(n: u32, targets: usize) -> ReportEvent {
        ReportEvent::Offered { note: note(n), targets: TargetSet::first(targets), capture_delay: None }
    }

    fn delivered(n: u32, target: usize, outcome: Outcome) -> ReportEvent {
        let id = crate::testing::request(n, "GET / HTTP/1.1\r\n\r\n").id;
        ReportEvent::Delivered(Box::new(Delivery::unsent(id, Destination::Target(TargetId::at(target)), outcome)))
    }

    /// The outcomes among these facts.
    fn outcomes(facts: &[ReportEvent]) -> Vec<Outcome> {
        let outcome = |fact: &ReportEvent| match fact {
            ReportEvent::Ended { outcome, .. } => Some(outcome.clone()),
            ReportEvent::Delivered(delivery) => Some(delivery.outcome.clone()),
            _ => None,
        };
        facts.iter().filter_map(outcome).collect()
    }

    fn ends() -> (Arc<Told>, StoreEnds) {
        let told = Arc::<Told>::default();
        (Arc::clone(&told), StoreEnds::new(told as Arc<dyn StoreSession>))
    }

    #[test]
    fn a_request_ends_with_its_last_delivery_and_for_good_if_any_did() {
        let ((told, mut ends), mut counted) = (ends(), Vec::new());
        (1..=2).for_each(|n| ends.pass(offered(n, 2), &mut counted));
        ends.pass(delivered(1, 0, Outcome::Failed(FailureKind::Reset)), &mut counted);
        assert!(told.ended.lock().unwrap().is_empty());
        ends.pass(delivered(1, 1, Outcome::Shed(Shed::Stopped)), &mut counted);
        ends.pass(delivered(2, 0, Outcome::Shed(Shed::Moved)), &mut counted);
        ends.pass(delivered(2, 1, Outcome::Shed(Shed::Stopped)), &mut counted);
        assert_eq!(*told.ended.lock().unwrap(), [(1, RequestEnd::Sent), (2, RequestEnd::GivenUp)]);
        assert_eq!(counted.len(), 6);
    }

    #[test]
    fn what_was_not_sent_counts_once_the_store_knows_and_as_moved_where_another_one_has_it() {
        for (counts, expected) in [(true, Outcome::SampledOut), (false, Outcome::Shed(Shed::Moved))] {
            let ((told, mut ends), mut counted) = (ends(), Vec::new());
            ends.pass(ReportEvent::Ended { note: note(1), outcome: Outcome::SampledOut }, &mut counted);
            ends.pass(offered(2, 1), &mut counted);
            ends.pass(delivered(2, 0, Outcome::SampledOut), &mut counted);
            ends.settle(&mut counted);
            assert_eq!(outcomes(&counted), [], "nobody knows yet");
            *told.counts.lock().unwrap() = Some(counts);
            ends.settle(&mut counted);
            assert_eq!(outcomes(&counted), [expected.clone(), expected]);
        }
    }

    #[test]
    fn beside_a_delivery_that_was_sent_another_one_counts_too() {
        let ((told, mut ends), mut counted) = (ends(), Vec::new());
        ends.pass(offered(1, 2), &mut counted);
        ends.pass(delivered(1, 0, Outcome::SampledOut), &mut counted);
        assert_eq!(counted.len(), 1);
        ends.pass(delivered(1, 1, Outcome::Sent), &mut counted);
        assert_eq!(outcomes(&counted), [Outcome::Sent, Outcome::SampledOut]);
        assert_eq!(*told.ended.lock().unwrap(), [(1, RequestEnd::Sent)]);
    }
}
