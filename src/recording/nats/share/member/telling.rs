//! What the store is told of the partitions that are held, and what it answers.

use std::pin::Pin;

use async_nats::jetstream::kv::{self, UpdateErrorKind};
use tokio::time::{Instant, timeout};

use super::{ANSWER, Member, MemberCommand, RENEW, TELL, value};
use crate::recording::nats::names;
use crate::recording::nats::share::ledger::PartitionRecord;
use crate::recording::nats::share::partitions::{EndCounts, WaitingWrite};
use crate::recording::session::Admission;

pub(super) type Told = Pin<Box<dyn Future<Output = (u16, u64, Telling)> + Send>>;

/// What the store was told of a partition.
pub(super) struct Telling {
    began: Instant,
    beat: u64,
    writes: Vec<WaitingWrite>,
    /// What had ended by then.
    ends: EndCounts,
    result: Result<u64, kv::UpdateError>,
}

/// What the store has of a partition, after what it was told last may have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// That very thing, at this revision.
    Written(u64),
    /// What this member wrote before that, at this revision: it came late, and so the last one was refused.
    Before(u64),
    /// Somebody else holds the partition.
    Lost,
    Unknown,
}

impl Finding {
    /// Reads what stands there: whether it is this member's, its beat and its revision. Where the last telling was not refused,
    /// it may still come.
    fn of(entry: Option<(bool, u64, u64)>, told: u64, is_refused: bool) -> Self {
        match entry {
            Some((true, beat, revision)) if beat == told => Self::Written(revision),
            Some((true, _, revision)) if is_refused => Self::Before(revision),
            Some((true, ..)) => Self::Unknown,
            None if !is_refused => Self::Unknown,
            Some((false, ..)) | None => Self::Lost,
        }
    }
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
            // Whoever was stopped waits no more, and does not send.
            held.writes.retain(|write| !write.answer.is_closed());
            let writes = std::mem::take(&mut held.writes);
            for write in &writes {
                held.ledger.intend(write.at, write.place);
            }
            held.is_changed = false;
            tenure.beat += 1;
            (tenure.told, tenure.is_telling) = (Instant::now(), true);
            let holder = if leaves { "" } else { self.id.as_str() };
            let value = value(&held.ledger.record(holder, tenure.beat));
            let (keys, revision, ends) = (self.store.keys.clone(), tenure.revision, held.ends);
            let (partition, number, beat, began) = (*partition, tenure.number, tenure.beat, tenure.told);
            let key = names::run_partition(&self.reading.url.run, partition);
            self.tellings.push(Box::pin(async move {
                let result = keys.update(key, value, revision).await;
                (partition, number, Telling { began, beat, writes, ends, result })
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
                Finding::Written(revision) => revision,
                Finding::Lost => return self.lose(partition).await,
                Finding::Before(revision) => return self.tell_again(partition, telling.writes, Some(revision)),
                Finding::Unknown => return self.tell_again(partition, telling.writes, None),
            },
        };
        let Some(tenure) = self.tenures.get_mut(&partition) else { return };
        tenure.revision = revision;
        let mut state = self.reading.partitions.lock();
        let Some(held) = state.held.get_mut(&partition) else { return };
        (held.sure, held.known) = (telling.began, telling.ends);
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

    /// What was told is not written, or not known to be: what waits for it waits on, and it is told again, over what stands at
    /// this revision.
    fn tell_again(&mut self, partition: u16, writes: Vec<WaitingWrite>, over: Option<u64>) {
        if let (Some(tenure), Some(revision)) = (self.tenures.get_mut(&partition), over) {
            tenure.revision = revision;
        }
        let mut state = self.reading.partitions.lock();
        if let Some(held) = state.held.get_mut(&partition) {
            held.writes.splice(0..0, writes);
            held.is_changed = true;
        }
    }

    /// Finds out what stands in the store after a failure.
    async fn found(&self, partition: u16, beat: u64, error: &kv::UpdateError) -> Finding {
        let key = names::run_partition(&self.reading.url.run, partition);
        let Ok(Ok(entry)) = timeout(ANSWER, self.store.keys.entry(key)).await else { return Finding::Unknown };
        let is_refused = error.kind() == UpdateErrorKind::WrongLastRevision;
        let entry = entry.map(|entry| {
            let record = serde_json::from_slice::<PartitionRecord>(&entry.value).unwrap_or_default();
            (record.holder == self.id, record.beat, entry.revision)
        });
        Finding::of(entry, beat, is_refused)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_late_is_written_over_and_not_waited_for_forever() {
        let own = |beat| Some((true, beat, 40 + beat));
        assert_eq!(Finding::of(own(7), 7, true), Finding::Written(47));
        assert_eq!(Finding::of(own(7), 7, false), Finding::Written(47));
        // An earlier telling got there after all, behind its time: this one was refused for it.
        assert_eq!(Finding::of(own(6), 7, true), Finding::Before(46));
        assert_eq!(Finding::of(own(6), 7, false), Finding::Unknown, "it may still come");
        assert_eq!(Finding::of(Some((false, 9, 49)), 7, true), Finding::Lost);
        assert_eq!(Finding::of(Some((false, 9, 49)), 7, false), Finding::Lost);
        assert_eq!(Finding::of(None, 7, true), Finding::Lost);
        assert_eq!(Finding::of(None, 7, false), Finding::Unknown);
    }
}
