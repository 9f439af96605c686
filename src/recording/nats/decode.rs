//! Events out of batches.

use super::assemble::WholeBatch;
use super::names::CONNECTIONS_PER_NODE;
use crate::exchange::{ConnectionId, Event, ExchangeId};
use crate::http1::{BodyPolicies, MAX_HEAD_BYTES, MAX_KEPT_BODY};
use crate::quantity::several;
use crate::recording::event_codec::EventReader;
use crate::recording::place::StoreUrl;

/// Longest batch that is decompressed: what was gathered when the longest message came, and that.
const MAX_BATCH: usize = MAX_KEPT_BODY + MAX_HEAD_BYTES + (2 << 20);

/// What could not be read.
#[derive(Debug, Default)]
pub(super) struct BatchTrouble {
    /// Messages that are no batches.
    pub(super) foreign: u64,
    /// Batches that are damaged.
    damaged: u64,
    /// The first of them, and what is wrong with it.
    first: Option<String>,
}

impl BatchTrouble {
    /// Says it for people.
    pub(super) fn words(&self, url: &StoreUrl) -> Vec<String> {
        let foreign = (self.foreign > 0).then(|| {
            let messages = several(self.foreign, ("message", "messages"));
            format!("{url} has {messages} that no node has recorded")
        });
        let damaged = self.first.as_ref().map(|first| {
            format!("{url} has {}; the first is {first}", several(self.damaged, ("damaged batch", "damaged batches")))
        });
        foreign.into_iter().chain(damaged).collect()
    }

    fn damaged(&mut self, batch: &WholeBatch, why: impl std::fmt::Display) {
        self.damaged += 1;
        self.first.get_or_insert_with(|| format!("message {}: {why}", batch.at));
    }
}

/// Hands on the events of a batch, requests with their place in it. Connections are numbered over all nodes.
pub(super) fn events(
    batch: &WholeBatch,
    interests: BodyPolicies,
    trouble: &mut BatchTrouble,
    mut hand_on: impl FnMut(Event, u32),
) {
    let events = match zstd::bulk::decompress(&batch.packed, MAX_BATCH) {
        Ok(events) => events,
        Err(error) => return trouble.damaged(batch, error),
    };
    let mut reader = EventReader::new(&events, interests);
    let mut place = 0;
    loop {
        match reader.next() {
            Ok(Some(event)) => {
                let is_request = matches!(event, Event::Request(_));
                hand_on(of_node(event, batch.header.node), place);
                place += u32::from(is_request);
            }
            Ok(None) => return,
            Err(error) => return trouble.damaged(batch, error),
        }
    }
}

/// The event with the number that its connection has in the recording.
fn of_node(mut event: Event, node: u32) -> Event {
    let within = |id: &mut ExchangeId| {
        let own = id.connection.0 % CONNECTIONS_PER_NODE;
        id.connection = ConnectionId(u64::from(node) * CONNECTIONS_PER_NODE + own);
    };
    match &mut event {
        Event::Request(request) => within(&mut request.id),
        Event::Response { of, .. } | Event::Damaged { of, .. } => within(of),
        _ => {}
    }
    event
}
