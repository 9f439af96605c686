//! The sums of a recording: from what its nodes and replayers wrote, and the headers of what is left to replay.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use tokio::time::timeout;

use super::ledger::PartitionRecord;
use super::roster::MemberRecord;
use crate::recording::access::StoreAccess;
use crate::recording::account::{FleetAccount, MemberAccount, NodeAccount};
use crate::recording::nats::connect::{NO_ANSWER, Store, refused};
use crate::recording::nats::names::{self, BatchHeader, HEADER};
use crate::recording::nats::node;
use crate::recording::nats::readers;
use crate::recording::nats::runtime;
use crate::recording::nats::summaries;
use crate::recording::place::StoreUrl;
use crate::recording::store_error::StoreError;

/// Headers that are asked for at once.
const AT_ONCE: usize = 1000;
/// Time without another one after which all were read.
const QUIET: Duration = Duration::from_secs(1);
/// Time that the server has to say what is left, and times that nothing comes before that counts as no answer.
const ANSWER: Duration = Duration::from_secs(5);
const MAX_SILENCES: u32 = 5;

/// What is counted of a node's summary.
#[derive(Default, Deserialize)]
struct NodeSummary {
    requests: NodeRequests,
    #[serde(default)]
    frames: NodeFrames,
    #[serde(default)]
    tcp: NodeTcp,
    #[serde(default)]
    recording: Option<NodeRecording>,
}

#[derive(Default, Deserialize)]
struct NodeRequests {
    seen: u64,
    #[serde(default)]
    ended: NodeEnds,
}

#[derive(Default, Deserialize)]
struct NodeEnds {
    #[serde(default)]
    shed: BTreeMap<String, u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeFrames {
    kernel_dropped: u64,
    interface_dropped: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeTcp {
    gaps: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeRecording {
    requests_lost: Option<u64>,
}

impl NodeSummary {
    /// What was lost at the node, of whose requests so many ended there: what it could not store may be in the store by now,
    /// sent by its next start.
    fn lost(&self, ended_there: u64) -> u64 {
        let requests = self.requests.ended.shed.values().sum::<u64>()
            + self.recording.as_ref().and_then(|recording| recording.requests_lost).unwrap_or_default();
        self.frames.kernel_dropped + self.frames.interface_dropped + self.tcp.gaps + requests.min(ended_there)
    }
}

/// Adds up what became of all requests of the recording at `url`, in its run.
pub(in crate::recording) fn account(url: &StoreUrl, access: &StoreAccess) -> Result<FleetAccount, StoreError> {
    runtime::with_store(url, access, async |store| add_up(&store).await)
}

async fn add_up(store: &Store) -> Result<FleetAccount, StoreError> {
    let failed = |error: &(dyn std::error::Error + 'static)| refused(&store.url, "read", error);
    let run = store.url.run.clone();
    let mut partitions = Vec::new();
    for partition in 0..store.meta.partitions {
        let value = store.keys.get(names::run_partition(&run, partition)).await.map_err(|error| failed(&error))?;
        let record = value.and_then(|value| serde_json::from_slice::<PartitionRecord>(&value).ok());
        partitions.push(record.unwrap_or_default());
    }
    // How far each node had come in each partition, as far as anybody wrote that.
    let mut published = BTreeMap::new();
    for (partition, record) in (0u16..).zip(&partitions) {
        for (node, requests) in record.published() {
            published.insert((partition, node), requests);
        }
    }
    let waiting = waiting(store, &partitions, &mut published).await?;
    let is_over = partitions.iter().all(|record| record.is_over);
    let mut account = FleetAccount {
        ended: partitions.iter().map(|record| record.ended).sum(),
        uncertain: partitions.iter().map(|record| record.uncertain).sum(),
        moved: partitions.iter().map(|record| record.moved).sum(),
        waiting,
        late: if is_over { waiting } else { 0 },
        run,
        members: members(store).await?,
        ..FleetAccount::default()
    };
    for found in node::all(store).await? {
        let of_node = published.iter().filter(|((_, node), _)| *node == found.number);
        let stored: u64 = of_node.map(|(_, requests)| requests).sum();
        let node = completed(found.account(), stored, summary(store, found.number).await.as_ref());
        account.published += node.published;
        account.nodes.push(node);
    }
    account.expired = account.published.saturating_sub(account.ended + account.waiting);
    Ok(account)
}

/// Completes what is known of a node by what of it was found in the store, and by what it came to.
fn completed(mut node: NodeAccount, stored: u64, summary: Option<&NodeSummary>) -> NodeAccount {
    node.published = node.published.max(stored);
    if let Some(summary) = summary {
        let ended_there = summary.requests.seen.saturating_sub(node.published);
        (node.seen, node.ended_there) = (Some(summary.requests.seen), Some(ended_there));
        node.lost = summary.lost(ended_there);
    }
    node
}

/// Counts the requests in the store that have not ended.
pub(super) async fn waiting(
    store: &Store,
    partitions: &[PartitionRecord],
    published: &mut BTreeMap<(u16, u32), u64>,
) -> Result<u64, StoreError> {
    let failed = |error: &(dyn std::error::Error + 'static)| refused(&store.url, "read", error);
    let from = partitions.iter().map(|record| record.floor).min().unwrap_or_default() + 1;
    let stream = store.stream().await?;
    let config = pull::Config {
        filter_subject: names::partitions(&store.url.name),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
        ack_policy: AckPolicy::None,
        headers_only: true,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let silent = |why: String| refused(&store.url, "read", &std::io::Error::other(why));
    let consumer = readers::make(&stream, config).await.map_err(silent)?;
    let mut left = consumer.cached_info().num_pending;
    let (mut waiting, mut silences) = (0, 0);
    while left > 0 {
        let batch = consumer.batch().max_messages(AT_ONCE).expires(QUIET).messages().await;
        let mut batch = batch.map_err(|error| failed(&error))?;
        let before = left;
        while let Some(message) = batch.next().await {
            let message = message.map_err(|error| failed(&*error))?;
            left = left.saturating_sub(1);
            let Ok(info) = message.info() else { continue };
            let header = message.headers.as_ref().and_then(|headers| headers.get(HEADER));
            let header = header.and_then(|header| BatchHeader::read(header.as_str()));
            let partition = message.subject.rsplit('.').next().and_then(|word| word.parse::<u16>().ok());
            let (Some(header), Some(partition)) = (header, partition) else { continue };
            let record = partitions.get(usize::from(partition));
            if header.piece > 0 || record.is_some_and(|record| info.stream_sequence <= record.floor) {
                continue;
            }
            let done = record.map_or(0, |record| record.done_at(info.stream_sequence));
            waiting += u64::from(header.requests).saturating_sub(done);
            let so_far = published.entry((partition, header.node)).or_default();
            *so_far = (*so_far).max(header.first + u64::from(header.requests));
        }
        // What was let go meanwhile is not waited for.
        if left == before {
            let info = timeout(ANSWER, consumer.get_info()).await.map_err(|_| silent(NO_ANSWER.to_owned()))?;
            left = info.map_err(|error| failed(&error))?.num_pending;
            silences += 1;
        }
        if silences > MAX_SILENCES {
            return Err(silent(NO_ANSWER.to_owned()));
        }
    }
    Ok(waiting)
}

/// What a node came to, where it has said so.
async fn summary(store: &Store, node: u32) -> Option<NodeSummary> {
    let json = summaries::get(store, &names::node_summary(node)).await?;
    serde_json::from_slice(&json).ok()
}

/// The replayers that took part in the run, in the order in which they began: of the keys that the bucket has now.
async fn members(store: &Store) -> Result<Vec<MemberAccount>, StoreError> {
    let prefix = format!("{}{}", store.keys.prefix, names::run_member(&store.url.run, ""));
    let failed = |error: &(dyn std::error::Error + 'static)| refused(&store.url, "read who takes part in", error);
    let subjects = store.keys.stream.info_with_subjects(format!("{prefix}*")).await.map_err(|error| failed(&error))?;
    let subjects: Vec<(String, usize)> = subjects.try_collect().await.map_err(|error| failed(&error))?;
    let mut members = Vec::new();
    for (subject, _) in subjects {
        let Some(id) = subject.strip_prefix(&prefix) else { continue };
        let value = store.keys.get(names::run_member(&store.url.run, id)).await.map_err(|error| failed(&error))?;
        let Some(value) = value else { continue };
        let MemberRecord { host, began, ended, .. } = serde_json::from_slice(&value).unwrap_or_default();
        let summary = summaries::get(store, &names::run_summary(&store.url.run, id)).await;
        members.push(MemberAccount { host, id: id.to_owned(), began, ended, summary });
    }
    members.sort_by(|one, other| (&one.began, &one.id).cmp(&(&other.began, &other.id)));
    Ok(members)
}
