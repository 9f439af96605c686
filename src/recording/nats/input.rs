//! All of a recording, read from its beginning: by `inspect` and `report`, beside whoever replays it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::assemble::{Assembler, WholeBatch};
use super::connect::Store;
use super::decode::{self, BatchTrouble};
use super::feed::{self, FeedItem};
use super::names;
use super::node::{self, FoundNode};
use super::runtime;
use crate::exchange::Event;
use crate::http1::{BodyPolicies, BodyPolicy};
use crate::quantity::several;
use crate::recording::EventSource;
use crate::recording::access::StoreAccess;
use crate::recording::account::NodeAccount;
use crate::recording::input::RecordingInput;
use crate::recording::place::StoreUrl;
use crate::recording::store_error::StoreError;
use crate::recording::store_reading::StoreReading;

/// Messages that are read ahead.
const AHEAD: usize = 64;
/// Time for which nothing can be read after which that is the end.
const PATIENCE: Duration = Duration::from_secs(12);
/// Time between two looks whether something has come.
const LOOK: Duration = Duration::from_millis(1);

/// Reads all of a recording.
pub(in crate::recording) struct NatsInput {
    url: StoreUrl,
    access: StoreAccess,
    reading: StoreReading,
    interests: BodyPolicies,
    /// Where messages come from; none before the first is asked for.
    items: Option<mpsc::Receiver<FeedItem>>,
    /// Messages that there were when it was opened, and how many of them were read.
    all: u64,
    read: u64,
    assembler: Assembler,
    batches: VecDeque<WholeBatch>,
    events: VecDeque<Event>,
    trouble: BatchTrouble,
    /// Nodes that have not ended.
    recording: Vec<NodeAccount>,
    failed: Option<String>,
    /// Since when nothing can be read.
    failing: Option<Instant>,
    is_over: bool,
}

impl NatsInput {
    /// Looks whether it is there. Nothing is left open, since a run gives up rights until it reads.
    pub(in crate::recording) fn open(
        url: StoreUrl,
        access: StoreAccess,
        reading: StoreReading,
    ) -> Result<Self, StoreError> {
        let (all, first, recording) = runtime::with_store(&url, &access, async |store| {
            let stream = store.stream().await?;
            let state = &stream.cached_info().state;
            let recording =
                node::all(&store).await?.iter().filter(|node| !node.record.ended).map(FoundNode::account).collect();
            Ok((state.messages, state.first_sequence, recording))
        })?;
        Ok(Self {
            url,
            access,
            reading,
            interests: BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep },
            items: None,
            all,
            read: 0,
            assembler: Assembler::new(first > 1),
            batches: VecDeque::new(),
            events: VecDeque::new(),
            trouble: BatchTrouble::default(),
            recording,
            failed: None,
            failing: None,
            is_over: false,
        })
    }

    /// The next batch; `None` at the end.
    fn batch(&mut self) -> Option<WholeBatch> {
        loop {
            if let Some(batch) = self.batches.pop_front() {
                return Some(batch);
            }
            if self.is_over {
                return None;
            }
            let mut whole = Vec::new();
            match self.item()? {
                FeedItem::Message(message) => {
                    (self.failed, self.failing) = (None, None);
                    self.read += 1;
                    self.assembler.take(message, &mut whole);
                }
                FeedItem::CaughtUp if self.reading.follow => {}
                FeedItem::CaughtUp => {
                    (self.failed, self.is_over) = (None, true);
                    self.assembler.give_up(&mut whole);
                }
                FeedItem::Foreign => self.trouble.foreign += 1,
                FeedItem::Failed(why) => {
                    if self.failed.is_none() {
                        tracing::warn!("cannot read {}: {why}. It is tried again", self.url);
                    }
                    self.failed = Some(why);
                    let since = *self.failing.get_or_insert_with(Instant::now);
                    if !self.reading.follow && since.elapsed() >= PATIENCE {
                        self.is_over = true;
                        self.assembler.give_up(&mut whole);
                    }
                }
            }
            self.batches.extend(whole);
        }
    }

    fn item(&mut self) -> Option<FeedItem> {
        let Self { url, access, items, .. } = self;
        let items = items.get_or_insert_with(|| start(url.clone(), access.clone()));
        loop {
            match items.try_recv() {
                Ok(item) => return Some(item),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) if self.reading.halt.is_set() => return None,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Describes the nodes that have not ended, or were killed.
fn not_ended(nodes: &[NodeAccount], url: &StoreUrl) -> Vec<String> {
    let gone = nodes.iter().filter_map(|node| {
        let words = node.cut_off()?;
        Some(format!("{} {words}; what it had not stored by then is not here", node.name()))
    });
    let still = match nodes.iter().filter(|node| !node.gone).count() {
        0 => None,
        1 => Some(format!("1 node of {url} has not ended: what it records later is not here")),
        count => Some(format!("{count} nodes of {url} have not ended: what they record later is not here")),
    };
    gone.chain(still).collect()
}

/// Starts what reads.
fn start(url: StoreUrl, access: StoreAccess) -> mpsc::Receiver<FeedItem> {
    let (to, items) = mpsc::channel(AHEAD);
    let failed = to.clone();
    let started = runtime::spawn("store", move || async move {
        match Store::open(&url, &access).await {
            Ok(store) => feed::run(store, names::partitions(&url.name), 0, to).await,
            Err(error) => drop(to.send(FeedItem::Failed(error.to_string())).await),
        }
    });
    if let Err(error) = started {
        failed.try_send(FeedItem::Failed(format!("cannot start a thread: {error}"))).ok();
    }
    items
}

impl EventSource for NatsInput {
    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let batch = self.batch()?;
            let (events, ports) = (&mut self.events, &self.reading.ports);
            decode::events(&batch, self.interests, &mut self.trouble, |event, _| match &event {
                Event::Request(request) if !ports.is_empty() && !ports.contains(&request.server.port()) => {}
                _ => events.push_back(event),
            });
        }
    }

    fn warnings(&self) -> Vec<String> {
        let lost = self.assembler.expired;
        let expired = (lost > 0).then(|| {
            format!(
                "{} of {} {} not there any more: its retention or max-bytes has let {} go",
                several(lost, ("request", "requests")),
                self.url,
                if lost == 1 { "is" } else { "are" },
                if lost == 1 { "it" } else { "them" },
            )
        });
        let recording = if self.reading.follow { Vec::new() } else { not_ended(&self.recording, &self.url) };
        self.unread().into_iter().chain(expired).chain(recording).chain(self.trouble.words(&self.url)).collect()
    }

    fn unread(&self) -> Vec<String> {
        let failed = self.failed.as_ref();
        failed.map(|why| format!("{} was not read to its end: {why}", self.url)).into_iter().collect()
    }

    fn progress(&self) -> Option<f64> {
        (!self.reading.follow && self.all > 0).then(|| (self.read as f64 / self.all as f64).min(1.0))
    }
}

impl RecordingInput for NatsInput {
    fn set_interests(&mut self, interests: BodyPolicies) {
        self.interests = interests;
    }

    fn is_followed(&self) -> bool {
        self.reading.follow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_were_killed_are_not_said_to_record() {
        let url: StoreUrl = "nats://127.0.0.1/a".parse().unwrap();
        let node = |node, gone| NodeAccount {
            node,
            host: "vm".to_owned(),
            heard: "2026-11-30T22:31:07Z".to_owned(),
            gone,
            ..NodeAccount::default()
        };
        let killed = "node 1 (vm) was killed or cut off: last heard of 2026-11-30 22:31:07 UTC; what it had not stored by \
                      then is not here";
        let one = not_ended(&[node(0, false), node(1, true)], &url);
        assert_eq!(one[0], killed);
        assert!(one[1].starts_with("1 node of ") && one[1].contains(" has not ended: what it records "), "{one:?}");
        let two = not_ended(&[node(0, false), node(1, false)], &url);
        assert!(two.len() == 1 && two[0].contains(" have not ended: what they record "), "{two:?}");
        assert!(not_ended(&[], &url).is_empty());
    }
}
