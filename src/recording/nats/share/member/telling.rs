//! What the store is told of the partitions that are held, and what it answers.

use std::pin::Pin;

use async_nats::jetstream::kv::{self, UpdateErrorKind};
use tokio::time::{Instant, timeout};

use super::{ANSWER, Member, MemberCommand, RENEW, TELL, value};
use crate::recording::nats::names;
use crate::recording::nats::share::ledger::PartitionRecord;
use crate::recording::nats::share::partitions::WaitingWrite;
use crate::recording::session::Admission;

pub(super) type Told = Pin<Box<dyn Future<Output = (u16, u64, Telling)> + Send>>;

/// What the store was told of a partition.
pub(super) struct Telling {
    began: Instant,
    beat: u64,
    writes: Vec<WaitingWrite>,
    result: Result<u64, kv::UpdateError>,
}

impl Member {
    /// Says in the store what is to be said of each partition.
    pub(super) fn tell(&mut self) {
        let mut state = self.reading.partitions.lock();
        for (partition, tenure) in &mut self.tenures {
            let Some(held) = state.held.get_mut(partition) else { continue };
            held.ledger.advance(held.pending);
            let leaves = held.is_leaving && held.on_way == 0;
            let since = tenure.told.elapsed();
            let is_due = since >= RENEW || (held.is_changed && since >= TELL) || !held.writes.is_empty() || leaves;
            if tenure.is_telling || !is_due {
                continue;
            }
            let writes = std::mem::take(&mut held.writes);
            for write in &writes {
                held.ledger.intend(write.at, write.place);
            }
            held.is_changed = false;
            tenure.beat += 1;
            (tenure.told, tenure.is_telling) = (Instant::now(), true);
            let holder = if leaves { "" } else { self.id.as_str() };
            let value = value(&held.ledger.record(holder, tenure.beat));
            let (keys, revision) = (self.store.keys.clone(), tenure.revision);
            let (partition, number, beat, began) = (*partition, tenure.number, tenure.beat, tenure.told);
            let key = names::run_partition(&self.reading.url.run, partition);
            self.tellings.push(Box::pin(async move {
                let result = keys.update(key, value, revision).await;
                (partition, number, Telling { began, beat, writes, result })
            }));
        }
    }

    /// The store was told of a partition, or could not be.
    pub(super) async fn told(&mut self, partition: u16, number: u64, telling: Telling) {
        let Some(tenure) = self.tenures.get_mut(&partition).filter(|tenure| tenure.number == number) else { return };
        tenure.is_telling = false;
        let revision = match telling.result {
            Ok(revision) => revision,
            Err(error) => match self.found(partition, telling.beat, &error).await {
                Some(Some(revision)) => revision,
                Some(None) => return self.lose(partition).await,
                // It is not known: what waits for it waits on, and it is told again.
                None => {
                    let mut state = self.reading.partitions.lock();
                    if let Some(held) = state.held.get_mut(&partition) {
                        held.writes.splice(0..0, telling.writes);
                    }
                    return;
                }
            },
        };
        let Some(tenure) = self.tenures.get_mut(&partition) else { return };
        tenure.revision = revision;
        let mut state = self.reading.partitions.lock();
        let Some(held) = state.held.get_mut(&partition) else { return };
        held.sure = telling.began;
        for write in telling.writes {
            write.answer.send(Admission::Send).ok();
        }
        if held.is_leaving && held.on_way == 0 && held.writes.is_empty() && !held.is_changed {
            // The store says that nobody holds it.
            state.lose(partition);
            drop(state);
            self.tenures.remove(&partition);
        }
    }

    /// After a failure: the revision of what this member wrote last, or that somebody else holds the partition; `None` where
    /// that is not known.
    async fn found(&self, partition: u16, beat: u64, error: &kv::UpdateError) -> Option<Option<u64>> {
        let key = names::run_partition(&self.reading.url.run, partition);
        let entry = timeout(ANSWER, self.store.keys.entry(key)).await.ok()?.ok()?;
        let is_certain = error.kind() == UpdateErrorKind::WrongLastRevision;
        let Some(entry) = entry else { return is_certain.then_some(None) };
        let record = serde_json::from_slice::<PartitionRecord>(&entry.value).unwrap_or_default();
        if record.holder == self.id {
            // What was written is this, or what stood before it: then it may still come.
            return (record.beat == beat).then_some(Some(entry.revision));
        }
        Some(None)
    }

    /// Somebody else holds a partition.
    async fn lose(&mut self, partition: u16) {
        self.tenures.remove(&partition);
        self.reading.partitions.lock().lose(partition);
        self.reading.to.send(MemberCommand::Close { partition }).await.ok();
        self.remark(format!(
            "partition {partition} was lost to another replayer: the store was not heard of for too long"
        ))
        .await;
    }
}
