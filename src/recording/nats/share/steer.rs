//! A person looks at all replayers of a run, and gives them orders.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::kv::{self, UpdateErrorKind};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::roster::{LOST, MemberRecord};
use crate::fleet::{FleetOrders, FleetStatus, FleetWord, MemberState, OrderReceipt};
use crate::recording::access::StoreAccess;
use crate::recording::nats::clock;
use crate::recording::nats::connect::{Store, refused};
use crate::recording::nats::names;
use crate::recording::nats::runtime;
use crate::recording::place::StoreUrl;
use crate::recording::store_error::StoreError;

/// Time that the store has to say what stands in it.
const ANSWER: Duration = Duration::from_secs(5);
/// Time that replayers have to take up an order.
const TAKE_UP: Duration = Duration::from_secs(5);
/// Times that an order is tried where others order at the same time.
const TRIES: usize = 10;

/// How the fleet stands in the run that the URL names.
pub(in crate::recording) fn status(url: &StoreUrl, access: &StoreAccess) -> Result<FleetStatus, StoreError> {
    runtime::with_store(url, access, async |store| {
        let (mut desk, _) = Desk::open(&store).await?;
        desk.now = clock::now(&store).await;
        Ok(desk.status())
    })
}

/// Gives an order to all replayers of the run that the URL names, and waits until those that are there have taken it up, or for
/// some seconds.
pub(in crate::recording) fn steer(
    url: &StoreUrl,
    access: &StoreAccess,
    word: FleetWord,
    by: &str,
) -> Result<OrderReceipt, StoreError> {
    runtime::with_store(url, access, async |store| {
        let (mut desk, mut watch) = Desk::open(&store).await?;
        desk.now = clock::now(&store).await;
        let there = desk.order(&store, word, by).await?;
        let given = desk.orders.clone();
        let until = Instant::now() + TAKE_UP;
        while desk.is_awaited(&there, given.number) {
            match timeout_at(until, watch.next()).await {
                Ok(Some(entry)) => desk.see(&entry.map_err(|error| refused(&store.url, "read", &error))?),
                Ok(None) | Err(_) => break,
            }
        }
        // Whoever was there then counts as there now: it has the time to answer.
        let mut status = desk.status();
        for replayer in status.replayers.iter_mut().filter(|one| there.contains(&one.id)) {
            if replayer.state == MemberState::Lost {
                replayer.state = MemberState::There;
            }
        }
        Ok(OrderReceipt { word, given, status })
    })
}

/// What stands in the store of a run.
struct Desk {
    run: String,
    orders: FleetOrders,
    revision: u64,
    /// Members by id, with when they last wrote.
    members: BTreeMap<String, (MemberRecord, u64)>,
    /// What time it is there.
    now: u64,
}

impl Desk {
    /// Reads all that stands there, and goes on watching.
    async fn open(store: &Store) -> Result<(Self, kv::Watch), StoreError> {
        let failed = |error: &(dyn std::error::Error + 'static)| refused(&store.url, "read", error);
        let (orders, members) = (FleetOrders::default(), BTreeMap::new());
        let mut desk = Self { run: store.url.run.clone(), orders, revision: 0, members, now: 0 };
        let mut watch = store.keys.watch_with_history(">").await.map_err(|error| failed(&error))?;
        loop {
            let next = timeout(ANSWER, watch.next()).await.map_err(|error| failed(&error))?;
            let Some(entry) = next else { return Ok((desk, watch)) };
            let entry = entry.map_err(|error| failed(&error))?;
            let is_last = entry.seen_current;
            desk.see(&entry);
            if is_last {
                return Ok((desk, watch));
            }
        }
    }

    fn see(&mut self, entry: &kv::Entry) {
        let at = clock::nanos(entry.created.unix_timestamp_nanos());
        self.now = self.now.max(at);
        if entry.key == names::run_orders(&self.run) {
            self.orders = serde_json::from_slice(&entry.value).unwrap_or_default();
            self.revision = entry.revision;
        } else if let Some(id) = entry.key.strip_prefix(&names::run_member(&self.run, "")) {
            let record = serde_json::from_slice(&entry.value).unwrap_or_default();
            self.members.insert(id.to_owned(), (record, at));
        }
    }

    /// Writes the order down; returns who was there then.
    async fn order(&mut self, store: &Store, word: FleetWord, by: &str) -> Result<Vec<String>, StoreError> {
        let failed = |error: &(dyn std::error::Error + 'static)| refused(&store.url, "steer", error);
        let key = names::run_orders(&self.run);
        for _ in 0..TRIES {
            let orders = self.orders.with(word, by, self.now);
            let value = serde_json::to_vec(&orders).map_err(|error| failed(&error))?;
            match store.keys.update(&key, value.into(), self.revision).await {
                Ok(revision) => {
                    (self.orders, self.revision) = (orders, revision);
                    let there = self.status().replayers.into_iter().filter(|one| one.state == MemberState::There);
                    return Ok(there.map(|one| one.id).collect());
                }
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                    let entry = store.keys.entry(&key).await.map_err(|error| failed(&error))?;
                    if let Some(entry) = entry {
                        self.see(&entry);
                    }
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(failed(&std::io::Error::other("others give orders all the time")))
    }

    /// Returns whether one of those has not taken up this order.
    fn is_awaited(&self, there: &[String], order: u64) -> bool {
        let behind = |id: &String| self.members.get(id).is_some_and(|(record, _)| record.order < order);
        there.iter().any(behind)
    }

    fn status(&self) -> FleetStatus {
        let members = self.members.iter().map(|(id, (record, at))| {
            let heard = Duration::from_nanos(self.now.saturating_sub(*at));
            let state = if heard >= LOST { MemberState::Lost } else { MemberState::There };
            record.member(id, state, heard)
        });
        FleetStatus::new(&self.run, self.orders.clone(), members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_not_heard_of_are_lost_and_not_waited_for() {
        let seconds = |seconds: u64| seconds * 1_000_000_000;
        let record = |order, ended| MemberRecord { ended, order, ..MemberRecord::default() };
        let members = [("a", 2, false, 99), ("b", 1, false, 98), ("c", 1, false, 90), ("d", 1, true, 50)];
        let members = members.map(|(id, order, ended, at)| (id.to_owned(), (record(order, ended), seconds(at))));
        let orders = FleetOrders { number: 2, ..FleetOrders::default() };
        let desk = Desk { run: "1".to_owned(), orders, revision: 7, members: members.into(), now: seconds(100) };
        let states = desk.status().replayers.iter().map(|one| one.state).collect::<Vec<_>>();
        assert_eq!(states, [MemberState::There, MemberState::There, MemberState::Lost, MemberState::Ended]);
        assert!(desk.is_awaited(&["a".to_owned(), "b".to_owned()], 2) && !desk.is_awaited(&["a".to_owned()], 2));
        assert_eq!(desk.status().behind(2).map(|one| one.id.clone()).collect::<Vec<_>>(), ["b"]);
    }
}
