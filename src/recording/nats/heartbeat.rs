//! Signs of life of a node: what it has recorded so far, told to the store now and then, beside everything else.

use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::connect::{Store, words};
use super::node::NodeRecord;
use crate::recording::record::Recorded;

/// Signs of life in a row after which what is not there counts as gone.
const ABSENT: u32 = 2;

/// What of the recording is not there any more, and how often in a row that has to be so before it counts.
pub(super) type Absence = (&'static str, u32);
/// A sign of life on its way, and what was absent.
type SignOfLife = Pin<Box<dyn Future<Output = Option<Absence>> + Send>>;

/// Signs of life of this node.
pub(super) struct Heartbeat {
    node: u32,
    record: NodeRecord,
    /// One that is on its way.
    on_way: FuturesUnordered<SignOfLife>,
    /// How many in a row found something of the recording not there.
    absent: u32,
}

impl Heartbeat {
    /// No sign of life yet of the node of this number.
    pub(super) fn new(node: u32, record: NodeRecord) -> Self {
        Self { node, record, on_way: FuturesUnordered::new(), absent: 0 }
    }

    /// The number of the node.
    pub(super) const fn node(&self) -> u32 {
        self.node
    }

    /// Returns whether one is on its way.
    pub(super) fn is_on_way(&self) -> bool {
        !self.on_way.is_empty()
    }

    /// Begins to give one, which does not wait for the store: that may take its time.
    pub(super) fn begin(&mut self, store: &Store, stored: &Recorded) {
        let record = self.record_now(stored, false);
        let (store, node) = (store.clone(), self.node);
        self.on_way.push(Box::pin(async move {
            match record.is_known(&store.keys, node).await {
                Ok(false) => return Some(("another one goes by its name now", 1)),
                Ok(true) => drop(record.put(&store.keys, node).await),
                Err(_) => {}
            }
            store.absent().await.map(|words| (words, ABSENT))
        }));
    }

    /// Waits for the one that is on its way, and returns what was absent; `None` where there is none.
    pub(super) async fn next(&mut self) -> Option<Option<Absence>> {
        self.on_way.next().await
    }

    /// Takes note of what was absent, and returns what counts as gone. What is absent once may be about to come.
    pub(super) fn note(&mut self, absence: Option<Absence>) -> Option<&'static str> {
        let Some((words, enough)) = absence else {
            self.absent = 0;
            return None;
        };
        self.absent += 1;
        (self.absent >= enough).then_some(words)
    }

    /// Gives one, and waits until the store has it.
    pub(super) async fn beat(&mut self, store: &Store, stored: &Recorded, ended: bool) -> Result<(), String> {
        let record = self.record_now(stored, ended);
        record.put(&store.keys, self.node).await.map_err(|error| words(&error))
    }

    fn record_now(&mut self, stored: &Recorded, ended: bool) -> NodeRecord {
        self.record.beat += 1;
        self.record.ended = ended;
        self.record.published = stored.requests.unwrap_or_default();
        self.record.lost = stored.lost_requests;
        self.record.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_counts_as_gone_once_it_was_so_often_enough_in_a_row() {
        let mut heartbeat = Heartbeat::new(1, NodeRecord::default());
        let often = Some(("its stream is gone", ABSENT));
        assert_eq!([often, None, often].map(|absence| heartbeat.note(absence)), [None; 3]);
        assert_eq!(heartbeat.note(often), Some("its stream is gone"));
        assert_eq!(heartbeat.note(Some(("at once", 1))), Some("at once"));
    }
}
