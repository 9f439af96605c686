//! Who takes part in a recording, as far as it is written in the store: what was read there, and when it was seen to change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ledger::PartitionRecord;
use crate::fleet::{FleetDecision, FleetMember, FleetOrders, FleetView, MemberFigures, MemberState, member_name};
use crate::recording::nats::names;
use crate::recording::nats::node::{self, NodeRecord};

/// Time without a sign of life after which a partition is taken from its holder: longer than that one is sure of it.
pub(super) const LOST: Duration = Duration::from_secs(6);
/// Time without hearing of itself after which a member knows that it does not hear the store: less than others have.
const ECHO: Duration = Duration::from_secs(4);

/// What a replayer says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MemberRecord {
    pub(super) host: String,
    pub(super) began: String,
    pub(super) beat: u64,
    pub(super) held: usize,
    pub(super) ended: bool,
    /// The revision of the key by which its schedule begins; 0 before it does.
    #[serde(default)]
    pub(super) zero: u64,
    /// Number of the last order that it has taken up.
    #[serde(default)]
    pub(super) order: u64,
    /// How it stands.
    #[serde(default)]
    pub(super) figures: MemberFigures,
}

impl MemberRecord {
    /// The same, for whoever looks at all.
    pub(super) fn member(&self, id: &str, state: MemberState, heard: Duration) -> FleetMember {
        FleetMember {
            id: id.to_owned(),
            host: self.host.clone(),
            began: self.began.clone(),
            state: if self.ended { MemberState::Ended } else { state },
            heard_ms: u64::try_from(heard.as_millis()).unwrap_or(u64::MAX),
            partitions: self.held,
            order: self.order,
            beat: self.beat,
            figures: self.figures.clone(),
            ..FleetMember::default()
        }
    }
}

/// A key of the store, and when it was seen to change.
struct Seen {
    revision: u64,
    value: Bytes,
    changed: Instant,
}

/// A partition as it stands in the store.
pub(super) struct FoundPartition {
    pub(super) record: PartitionRecord,
    /// 0 where nobody has written it yet.
    pub(super) revision: u64,
    /// Its holder was not heard of for too long.
    pub(super) is_lost: bool,
}

/// Everybody who was heard of.
pub(super) struct Roster {
    run: String,
    /// This member.
    id: String,
    seen: BTreeMap<String, Seen>,
    /// Since when the store can be heard.
    heard: Instant,
    /// When this member was last heard of, as the others hear of it.
    echo: Instant,
    /// Members of the run, by their key.
    records: BTreeMap<String, Arc<MemberRecord>>,
    orders: FleetOrders,
    decision: Option<(Arc<FleetDecision>, u64)>,
    /// All that stood in the store at the beginning was seen.
    is_whole: bool,
    /// Decisions up to this number are of members that were gone by then.
    stale: u64,
}

impl Roster {
    pub(super) fn new(run: &str, id: &str) -> Self {
        Self {
            run: run.to_owned(),
            id: id.to_owned(),
            seen: BTreeMap::new(),
            heard: Instant::now(),
            echo: Instant::now(),
            records: BTreeMap::new(),
            orders: FleetOrders::default(),
            decision: None,
            is_whole: false,
            stale: 0,
        }
    }

    /// The store cannot be heard: what was seen says nothing about who is still there.
    pub(super) fn is_deaf(&mut self) {
        self.heard = Instant::now();
    }

    /// Returns whether this member does not even hear of itself: then what it hears is not what the store has, whatever the
    /// connection looks like. Asked anew, the store has as long again.
    pub(super) fn has_no_echo(&mut self) -> bool {
        let is_silent = self.echo.elapsed() >= ECHO;
        if is_silent {
            self.echo = Instant::now();
            self.is_deaf();
        }
        is_silent
    }

    /// A key stands in the store like this.
    pub(super) fn see(&mut self, entry: kv::Entry) {
        let is_last = entry.seen_current;
        self.note(entry.key, entry.revision, entry.value);
        if is_last {
            self.is_whole();
        }
    }

    /// All that stood in the store was seen.
    pub(super) fn is_whole(&mut self) {
        if !std::mem::replace(&mut self.is_whole, true) && self.others().is_empty() {
            self.stale = self.decision.as_ref().map_or(0, |(decision, _)| decision.number);
        }
    }

    /// The orders that stand; `None` as long as that is not known.
    pub(super) fn orders(&self) -> Option<&FleetOrders> {
        self.is_whole.then_some(&self.orders)
    }

    /// What was decided last, and the revision of its key; 0 where nobody has decided yet.
    pub(super) fn decision(&self) -> (Option<&Arc<FleetDecision>>, u64) {
        self.decision.as_ref().map_or((None, 0), |(decision, revision)| (Some(decision), *revision))
    }

    pub(super) fn note(&mut self, key: String, revision: u64, value: Bytes) {
        let changed = Instant::now();
        if self.seen.get(&key).is_none_or(|seen| revision > seen.revision) {
            if key == names::run_member(&self.run, &self.id) {
                self.echo = changed;
            }
            self.read(&key, revision, &value);
            self.seen.insert(key, Seen { revision, value, changed });
        }
    }

    /// Reads what concerns all members of the run.
    fn read(&mut self, key: &str, revision: u64, value: &[u8]) {
        if key == names::run_orders(&self.run) {
            self.orders = serde_json::from_slice(value).unwrap_or_default();
        } else if key == names::run_decision(&self.run) {
            self.decision = serde_json::from_slice(value).ok().map(|decision| (Arc::new(decision), revision));
        } else if key.starts_with(&names::run_member(&self.run, "")) {
            self.records.insert(key.to_owned(), Arc::new(serde_json::from_slice(value).unwrap_or_default()));
        }
    }

    /// What is known of all; `None` as long as that is not all.
    pub(super) fn view(&self) -> Option<FleetView> {
        let prefix = names::run_member(&self.run, "");
        let member = |(key, record): (&String, &Arc<MemberRecord>)| {
            let id = key.strip_prefix(&prefix).unwrap_or(key);
            let seen = self.seen.get(key);
            let is_lost = id != self.id && seen.is_some_and(|seen| self.is_silent(seen, LOST));
            let state = if is_lost { MemberState::Lost } else { MemberState::There };
            Arc::new(record.member(id, state, seen.map(|seen| seen.changed.elapsed()).unwrap_or_default()))
        };
        let mut members: Vec<_> = self.records.iter().map(member).collect();
        members.sort_by(|a, b| (&a.began, &a.id).cmp(&(&b.began, &b.id)));
        let decision = self.decision.as_ref().map(|(decision, _)| Arc::clone(decision));
        let decision = decision.filter(|decision| decision.number > self.stale);
        let (orders, me, run) = (self.orders.clone(), self.id.clone(), self.run.clone());
        self.is_whole.then_some(FleetView { orders, decision, stale: self.stale, members, me, run })
    }

    /// Returns whether a key was not written for so long, for all of which the store could be heard.
    fn is_silent(&self, seen: &Seen, time: Duration) -> bool {
        self.heard.elapsed() >= time && seen.changed.elapsed() >= time
    }

    fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Seen)> {
        self.seen.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The name of a member for people.
    pub(super) fn name_of(&self, id: &str) -> String {
        let record = self.records.get(&names::run_member(&self.run, id));
        member_name(record.map_or("", |record| &record.host), id)
    }

    /// The number of members that are there, this one among them.
    pub(super) fn members(&self) -> usize {
        self.others().len() + 1
    }

    /// Returns whether another member that is there keeps a schedule by this revision of its key.
    pub(super) fn keep_schedule(&self, revision: u64) -> bool {
        self.others().iter().any(|other| other.zero == revision)
    }

    /// What the other members that are there say of themselves.
    fn others(&self) -> Vec<&MemberRecord> {
        let prefix = names::run_member(&self.run, "");
        let others = self.under(&prefix).filter(|(key, seen)| !key.ends_with(&self.id) && !self.is_silent(seen, LOST));
        let records = others.filter_map(|(key, _)| self.records.get(key));
        records.map(Arc::as_ref).filter(|record| !record.ended).collect()
    }

    /// A partition, as it was seen last.
    pub(super) fn partition(&self, partition: u16) -> FoundPartition {
        let seen = self.seen.get(&names::run_partition(&self.run, partition));
        let record =
            seen.and_then(|seen| serde_json::from_slice::<PartitionRecord>(&seen.value).ok()).unwrap_or_default();
        let is_held = !record.holder.is_empty() && record.holder != self.id;
        FoundPartition {
            revision: seen.map_or(0, |seen| seen.revision),
            is_lost: is_held && seen.is_some_and(|seen| self.is_silent(seen, LOST)),
            record,
        }
    }

    /// The nodes that count as ended though they did not say so; `None` where one still records.
    pub(super) fn lost_nodes(&self) -> Option<Vec<String>> {
        let mut lost = Vec::new();
        for (_, seen) in self.under("n.") {
            let record = NodeRecord::read(&seen.value).unwrap_or_default();
            if record.ended {
                continue;
            }
            if !self.is_silent(seen, node::LOST) {
                return None;
            }
            lost.push(format!("{} (since {})", record.host, record.began));
        }
        Some(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Roster {
        Roster::new("1", "me")
    }

    fn node(ended: bool) -> Bytes {
        serde_json::to_vec(&NodeRecord { host: "a".to_owned(), ended, ..NodeRecord::default() }).unwrap().into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_counts_until_it_ends_or_is_not_heard_of() {
        let mut roster = roster();
        let beat = |beat| Bytes::from(serde_json::to_vec(&MemberRecord { beat, ..MemberRecord::default() }).unwrap());
        roster.note("r.1.m.other".to_owned(), 1, beat(1));
        roster.note("r.2.m.of-another-run".to_owned(), 2, beat(1));
        roster.note("r.1.m.me".to_owned(), 3, beat(1));
        assert_eq!(roster.members(), 2);
        tokio::time::advance(LOST).await;
        assert_eq!(roster.members(), 1);
        roster.note("r.1.m.other".to_owned(), 4, beat(2));
        assert_eq!((roster.members(), roster.keep_schedule(9)), (2, false));
        let keeps = MemberRecord { beat: 3, zero: 9, ..MemberRecord::default() };
        roster.note("r.1.m.other".to_owned(), 5, serde_json::to_vec(&keeps).unwrap().into());
        assert_eq!((roster.keep_schedule(8), roster.keep_schedule(9)), (false, true));
        tokio::time::advance(LOST).await;
        assert!(!roster.keep_schedule(9), "it may be of hours ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stands_still_says_nothing_of_who_is_lost() {
        let mut roster = roster();
        let held = PartitionRecord { holder: "other".to_owned(), ..PartitionRecord::default() };
        roster.note("r.1.p.3".to_owned(), 7, serde_json::to_vec(&held).unwrap().into());
        for _ in 0..8 {
            tokio::time::advance(Duration::from_secs(1)).await;
            roster.has_no_echo();
        }
        assert!(!roster.partition(3).is_lost, "nobody was heard");
        for _ in 0..8 {
            tokio::time::advance(Duration::from_secs(1)).await;
            roster.echo = Instant::now();
            roster.has_no_echo();
        }
        assert!(roster.partition(3).is_lost, "others were");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_lost_while_the_store_cannot_be_heard() {
        let mut roster = roster();
        let held = PartitionRecord { holder: "other".to_owned(), ..PartitionRecord::default() };
        roster.note("r.1.p.3".to_owned(), 7, serde_json::to_vec(&held).unwrap().into());
        tokio::time::advance(LOST).await;
        roster.is_deaf();
        assert!(!roster.partition(3).is_lost);
        tokio::time::advance(LOST).await;
        assert!(roster.partition(3).is_lost && roster.partition(3).revision == 7);
        assert_eq!((roster.partition(4).revision, roster.partition(4).is_lost), (0, false));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_hear_itself_counts_nobody_as_lost() {
        let mut roster = roster();
        roster.note("n.0".to_owned(), 1, node(false));
        let own = |roster: &mut Roster, revision| roster.note("r.1.m.me".to_owned(), revision, Bytes::new());
        for revision in 2..=12 {
            tokio::time::advance(ECHO).await;
            assert!(roster.has_no_echo() && !roster.has_no_echo());
            assert_eq!(roster.lost_nodes(), None);
            own(&mut roster, 1);
            tokio::time::advance(ECHO / 2).await;
            own(&mut roster, revision);
            tokio::time::advance(ECHO / 2).await;
            assert!(!roster.has_no_echo());
            tokio::time::advance(ECHO / 2).await;
            assert!(roster.has_no_echo());
        }
        for revision in 20..=30 {
            own(&mut roster, revision);
            tokio::time::advance(ECHO / 2).await;
            assert!(!roster.has_no_echo());
        }
        assert!(roster.lost_nodes().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_recording_ends_with_the_last_node_or_once_that_is_lost() {
        let mut roster = roster();
        roster.note("n.0".to_owned(), 1, node(false));
        roster.note("ns.0".to_owned(), 2, Bytes::new());
        assert_eq!(roster.lost_nodes(), None);
        roster.note("n.0".to_owned(), 3, node(true));
        assert_eq!(roster.lost_nodes(), Some(Vec::new()));
        roster.note("n.1".to_owned(), 4, node(false));
        tokio::time::advance(node::LOST).await;
        assert_eq!(roster.lost_nodes().unwrap().len(), 1);
    }
}
