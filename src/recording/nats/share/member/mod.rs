//! The thread that speaks with the store for a replayer: it takes its share of the partitions, says in time that it holds them
//! and what became of their requests, and gives them back.

mod absence;
mod join;
mod orders;
mod schedule;
mod taken;
mod telling;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::kv;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::ledger::{PartitionLedger, PartitionRecord};
use super::partitions::{Held, Partitions};
use super::roster::{FoundPartition, MemberRecord, Roster};
use crate::recording::access::StoreAccess;
use crate::recording::nats::assemble::Assembler;
use crate::recording::nats::connect::{Store, words};
use crate::recording::nats::feed::{self, FeedItem};
use crate::recording::nats::names;
use crate::recording::nats::node;
use crate::recording::nats::summaries;
use crate::recording::place::StoreUrl;
use absence::Absence;
use join::join;
pub(in crate::recording) use join::look;
use taken::TakenPartitions;
use telling::Told;

/// Time between two looks at who holds what.
const LOOK: Duration = Duration::from_millis(250);
/// Time after which the store is told what became of requests.
const TELL: Duration = Duration::from_millis(200);
/// Time after which it is told that a partition is held, whatever became of it.
const RENEW: Duration = Duration::from_millis(1500);
/// Time between two signs of life of a member.
const BEAT: Duration = Duration::from_secs(1);
/// Time that an answer of the store may take.
const ANSWER: Duration = Duration::from_secs(2);
/// Messages of a partition that are read ahead.
const AHEAD: usize = 8;
/// Partitions that are taken at once, so that several members that come together share them.
const TAKEN_AT_ONCE: usize = 4;

/// What the thread that reads has to know.
pub(super) enum MemberCommand {
    Open {
        partition: u16,
        tenure: u64,
        items: mpsc::Receiver<FeedItem>,
        assembler: Assembler,
    },
    Close {
        partition: u16,
    },
    Remark(String),
    /// The recording is gone, as these words say: nothing more comes.
    Gone(String),
}

/// What the thread works on.
pub(super) struct Reading {
    pub(super) url: StoreUrl,
    pub(super) access: StoreAccess,
    pub(super) follow: bool,
    pub(super) mirrored: bool,
    pub(super) partitions: Arc<Partitions>,
    pub(super) ended: Arc<(Mutex<bool>, Condvar)>,
    pub(super) to: mpsc::Sender<MemberCommand>,
}

/// Works until the run has ended.
pub(super) async fn run(reading: Reading) {
    let (ended, partitions) = (Arc::clone(&reading.ended), Arc::clone(&reading.partitions));
    let known = match join(&reading).await {
        Some(store) => Member::new(reading, store).work().await,
        None => Err("this run never got there".to_owned()),
    };
    partitions.lock().concluded = Some(known);
    *ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    ended.1.notify_all();
}

/// A partition that is held, as far as only this thread has to know.
struct Tenure {
    number: u64,
    revision: u64,
    beat: u64,
    told: Instant,
    is_telling: bool,
}

struct Member {
    reading: Reading,
    store: Store,
    id: String,
    record: MemberRecord,
    roster: Roster,
    tenures: HashMap<u16, Tenure>,
    tellings: FuturesUnordered<Told>,
    next_tenure: u64,
    /// The last places of partitions, once every node has ended.
    ends: HashMap<u16, u64>,
    is_told_of_lost_node: bool,
    /// Partitions that were taken from lost replayers, and were not told yet.
    taken: TakenPartitions,
    /// It is not known whether what is held still is, and that was told.
    is_unsure: bool,
    beat: Instant,
    absence: Absence,
}

impl Member {
    fn new(reading: Reading, store: Store) -> Self {
        let began = jiff::Timestamp::now();
        let id = format!("{}-{}", std::process::id(), began.as_nanosecond());
        let record = MemberRecord { host: node::host(), began: began.to_string(), ..MemberRecord::default() };
        Self {
            roster: Roster::new(&reading.url.run, &id),
            reading,
            store,
            id,
            record,
            tenures: HashMap::new(),
            tellings: FuturesUnordered::new(),
            next_tenure: 0,
            ends: HashMap::new(),
            is_told_of_lost_node: false,
            taken: TakenPartitions::default(),
            is_unsure: false,
            beat: Instant::now(),
            absence: Absence::default(),
        }
    }

    async fn work(mut self) -> Result<(), String> {
        let partitions = Arc::clone(&self.reading.partitions);
        self.beat(false).await.ok();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = self.watch().await;
        while !partitions.lock().is_stopping {
            tokio::select! {
                Some((partition, tenure, telling)) = self.tellings.next() => self.told(partition, tenure, telling).await,
                entry = next_of(&mut watch) => match entry {
                    Some(entry) => self.see(entry),
                    None => watch = self.watch().await,
                },
                _ = ticks.tick() => {
                    self.look().await;
                    if self.roster.has_no_echo() {
                        watch = None;
                    }
                }
                () = partitions.bell.notified() => {}
            }
            self.obey().await;
            self.decide().await;
            self.agree().await;
            self.tell();
        }
        self.end().await
    }

    /// Watches what others write; all that stands there comes first.
    async fn watch(&mut self) -> Option<kv::Watch> {
        self.roster.is_deaf();
        if let Ok(Ok(watch)) = timeout(ANSWER, self.store.keys.watch_with_history(">")).await {
            return Some(watch);
        }
        sleep(LOOK).await;
        None
    }

    async fn look(&mut self) {
        self.tell_of_silence().await;
        if !self.store.is_connected() {
            self.roster.is_deaf();
            return;
        }
        if self.beat.elapsed() >= BEAT {
            self.beat(false).await.ok();
            self.look_for_recording().await;
        }
        if self.absence.is_for_good() {
            return;
        }
        self.show();
        self.finish_partitions().await;
        // Before the orders that stand are taken up nothing is read, so nothing goes out against them.
        if !self.is_in_order() {
            return;
        }
        let all = usize::from(self.store.meta.partitions);
        let share = all.div_ceil(self.roster.members());
        if self.tenures.len() > share {
            self.leave(self.tenures.len() - share);
        }
        let before = share.saturating_sub(self.tenures.len()).min(TAKEN_AT_ONCE);
        let mut missing = before;
        // Each begins elsewhere, so that several seldom want the same one.
        let from = usize::try_from(xxhash_rust::xxh3::xxh3_64(self.id.as_bytes()) % all as u64).unwrap_or_default();
        for partition in (0..all).map(|number| u16::try_from((from + number) % all).unwrap_or_default()) {
            if missing == 0 {
                break;
            }
            missing -= usize::from(!self.tenures.contains_key(&partition) && self.take(partition).await);
        }
        if missing == before {
            self.reading.partitions.horizon.settle();
        }
        if self.taken.are_all() {
            self.tell_of_taken().await;
        }
        self.share();
    }

    /// Takes a partition that nobody holds, or whose holder is lost.
    async fn take(&mut self, partition: u16) -> bool {
        let FoundPartition { record: found, revision, is_lost } = self.roster.partition(partition);
        if found.is_over || !(found.holder.is_empty() || is_lost) {
            return false;
        }
        let mut ledger = PartitionLedger::of(&found);
        if is_lost {
            ledger.has_moved();
        }
        let key = names::run_partition(&self.reading.url.run, partition);
        let (began, beat) = (Instant::now(), found.beat + 1);
        let value = value(&ledger.record(&self.id, beat));
        let Ok(Ok(revision)) = timeout(ANSWER, self.store.keys.update(&key, value.clone(), revision)).await else {
            return false;
        };
        if is_lost {
            self.taken.add(self.roster.name_of(&found.holder), partition);
        }
        self.roster.note(key, revision, value);
        self.open(partition, ledger, (revision, beat, began)).await;
        true
    }

    /// Begins to read a partition that is held now.
    async fn open(&mut self, partition: u16, ledger: PartitionLedger, (revision, beat, began): (u64, u64, Instant)) {
        self.next_tenure += 1;
        let tenure = self.next_tenure;
        let (to, items) = mpsc::channel(AHEAD);
        let subject = names::partition(&self.reading.url.name, partition);
        let floor = ledger.floor();
        let is_cut = match self.store.stream().await {
            Ok(stream) => stream.cached_info().state.first_sequence > floor + 1,
            Err(_) => true,
        };
        let assembler = Assembler::after(partition, ledger.cursors(), is_cut);
        tokio::spawn(feed::run(self.store.clone(), subject, floor + 1, to));
        self.tenures.insert(partition, Tenure { number: tenure, revision, beat, told: began, is_telling: false });
        self.reading.partitions.lock().held.insert(partition, Held::new(tenure, ledger, began));
        self.reading.to.send(MemberCommand::Open { partition, tenure, items, assembler }).await.ok();
    }

    /// Lets go of some partitions, those with the least on its way first.
    fn leave(&mut self, count: usize) {
        let mut state = self.reading.partitions.lock();
        let leaving = state.held.values().filter(|held| held.is_leaving).count();
        let mut others: Vec<_> = state
            .held
            .iter()
            .filter(|(_, held)| !held.is_leaving)
            .map(|(number, held)| (held.on_way, *number))
            .collect();
        others.sort_unstable();
        for (_, partition) in others.into_iter().take(count.saturating_sub(leaving)) {
            if let Some(held) = state.held.get_mut(&partition) {
                held.is_leaving = true;
            }
            self.reading.to.try_send(MemberCommand::Close { partition }).ok();
        }
    }

    /// Finds out which partitions are over, once every node has ended.
    async fn finish_partitions(&mut self) {
        if self.reading.follow {
            return;
        }
        let all = (0..self.store.meta.partitions).map(|partition| self.roster.partition(partition).record);
        let ended = all.map(|record| record.is_over.then_some(record.ended)).sum::<Option<u64>>();
        if let Some(ended) = ended {
            let mut state = self.reading.partitions.lock();
            (state.is_complete, state.ended_in_all) = (true, ended);
            return;
        }
        if !self.have_nodes_ended().await {
            self.ends.clear();
            return;
        }
        for partition in self.tenures.keys().copied().collect::<Vec<_>>() {
            if self.ends.contains_key(&partition) {
                continue;
            }
            let Ok(stream) = self.store.stream().await else { return };
            let subject = names::partition(&self.reading.url.name, partition);
            let last = match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => message.sequence,
                // Nothing is left to read.
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => 0,
                Err(_) => return,
            };
            self.ends.insert(partition, last);
        }
        let mut state = self.reading.partitions.lock();
        for (partition, last) in &self.ends {
            if let Some(held) = state.held.get_mut(partition) {
                held.ledger.advance(held.pending);
                let is_over = held.is_read && held.on_way == 0 && held.ledger.is_idle() && held.ledger.floor() >= *last;
                held.ledger.is_over(is_over);
                held.is_changed |= is_over;
            }
        }
    }

    /// Returns whether every node has ended, or is lost.
    async fn have_nodes_ended(&mut self) -> bool {
        let Some(lost) = self.roster.lost_nodes() else { return false };
        if !lost.is_empty() && !std::mem::replace(&mut self.is_told_of_lost_node, true) {
            let words = format!("nodes that did not say that they ended count as lost: {}", lost.join(", "));
            self.remark(words).await;
        }
        true
    }

    /// Says which partitions were taken from lost replayers, once no more are.
    async fn tell_of_taken(&mut self) {
        for words in self.taken.drain(self.reading.mirrored) {
            self.remark(words).await;
        }
    }

    async fn remark(&self, words: String) {
        self.reading.to.send(MemberCommand::Remark(words)).await.ok();
    }

    /// Gives back what is held, and says what the run came to.
    async fn end(mut self) -> Result<(), String> {
        self.decide().await;
        self.tell_of_taken().await;
        while let Ok(Some((partition, number, telling))) = timeout(ANSWER, self.tellings.next()).await {
            self.told(partition, number, telling).await;
        }
        let mut failed = None;
        for (partition, tenure) in &self.tenures {
            let record = {
                let mut state = self.reading.partitions.lock();
                let Some(held) = state.held.get_mut(partition) else { continue };
                held.ledger.advance(held.pending);
                held.ledger.record("", tenure.beat + 1)
            };
            let key = names::run_partition(&self.reading.url.run, *partition);
            match timeout(ANSWER, self.store.keys.update(key, value(&record), tenure.revision)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => failed = Some(words(&error)),
                Err(error) => failed = Some(error.to_string()),
            }
        }
        let summary = self.reading.partitions.lock().summary.take();
        if let Some(summary) = summary {
            summaries::put(&self.store, &names::run_summary(&self.reading.url.run, &self.id), &summary).await?;
        }
        self.beat(true).await?;
        failed.map_or(Ok(()), Err)
    }
}

fn value(record: &PartitionRecord) -> Bytes {
    serde_json::to_vec(record).unwrap_or_default().into()
}

/// The next entry; `None` where there is nothing to watch any more.
async fn next_of(watch: &mut Option<kv::Watch>) -> Option<kv::Entry> {
    match watch {
        Some(watch) => watch.next().await.and_then(Result::ok),
        None => None,
    }
}
