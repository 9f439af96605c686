//! A node that records, as the store knows it.

use async_nats::jetstream::kv::{self, CreateErrorKind};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::clock;
use super::connect::{Store, refused};
use super::names;
use crate::recording::account::NodeAccount;
use crate::recording::store_error::StoreError;

/// Time without a sign of life after which a node counts as ended.
pub(super) const LOST: Duration = Duration::from_secs(20);

/// What a node says of itself, every now and then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeRecord {
    /// The name of its host.
    pub(super) host: String,
    /// When it began, RFC 3339.
    pub(super) began: String,
    /// Counts up for as long as it is there.
    pub(super) beat: u64,
    /// It has ended, and all that it had is in the store.
    pub(super) ended: bool,
    /// Requests that are in the store.
    pub(super) published: u64,
    /// Requests that found no room on their way.
    pub(super) lost: u64,
}

impl NodeRecord {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    fn value(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Returns whether the store still knows this node by its number; an error where that cannot be found out.
    pub(super) async fn is_known(&self, keys: &kv::Store, node: u32) -> Result<bool, kv::EntryError> {
        let found = keys.get(names::node(node)).await?;
        let found = found.and_then(|value| Self::read(&value));
        Ok(found.is_some_and(|found| found.began == self.began && found.host == self.host))
    }

    /// Says it in the store.
    pub(super) async fn put(&self, keys: &kv::Store, node: u32) -> Result<(), kv::PutError> {
        keys.put(names::node(node), self.value()).await.map(drop)
    }
}

/// Takes the first number that no node has.
pub(super) async fn register(store: &Store, record: &NodeRecord) -> Result<u32, StoreError> {
    for number in 0..names::MAX_NODES {
        match store.keys.create(names::node(number), record.value()).await {
            Ok(_) => return Ok(number),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&store.url, "take part in", &error)),
        }
    }
    Err(StoreError::Foreign {
        name: store.url.name.clone(),
        server: store.url.to_string(),
        why: format!("{} nodes have taken part already: record under another name", names::MAX_NODES),
    })
}

/// A node that took part.
pub(super) struct FoundNode {
    pub(super) number: u32,
    pub(super) record: NodeRecord,
    /// When it was last heard of, by the clock of the store, in nanoseconds since 1970.
    heard: u64,
    /// It did not say that it ended, and has not been heard of for too long.
    is_gone: bool,
}

impl FoundNode {
    /// What is known of it without its summary.
    pub(super) fn account(&self) -> NodeAccount {
        let seconds = i64::try_from(self.heard / 1_000_000_000).unwrap_or_default();
        NodeAccount {
            node: self.number,
            host: self.record.host.clone(),
            began: self.record.began.clone(),
            ended: self.record.ended,
            published: self.record.published,
            heard: jiff::Timestamp::from_second(seconds).map(|heard| heard.to_string()).unwrap_or_default(),
            gone: self.is_gone,
            lost: self.record.lost,
            ..NodeAccount::default()
        }
    }
}

/// All nodes that ever took part.
pub(super) async fn all(store: &Store) -> Result<Vec<FoundNode>, StoreError> {
    let mut all = Vec::new();
    for number in 0..names::MAX_NODES {
        let entry = store.keys.entry(names::node(number)).await;
        let entry = entry.map_err(|error| refused(&store.url, "read who takes part in", &error))?;
        let Some(entry) = entry.filter(|entry| entry.operation == kv::Operation::Put) else { break };
        let heard = clock::nanos(entry.created.unix_timestamp_nanos());
        let record = NodeRecord::read(&entry.value);
        all.extend(record.map(|record| FoundNode { number, record, heard, is_gone: false }));
    }
    if all.iter().any(|node| !node.record.ended) {
        let now = clock::now(store).await;
        for node in all.iter_mut().filter(|node| !node.record.ended) {
            node.is_gone = Duration::from_nanos(now.saturating_sub(node.heard)) >= LOST;
        }
    }
    Ok(all)
}

/// The name of this host.
pub(super) fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
