//! Orders and decisions that go for all members, between the store and this run.

use std::sync::Arc;

use async_nats::jetstream::kv;
use tokio::time::{Instant, timeout};

use super::{ANSWER, Member};
use crate::recording::nats::connect::words;
use crate::recording::nats::names;
use crate::recording::nats::share::partitions::SURE;

impl Member {
    /// Says how this member stands.
    pub(super) async fn beat(&mut self, ended: bool) -> Result<(), String> {
        self.beat = Instant::now();
        self.record.beat += 1;
        {
            let bulletin = self.reading.partitions.bulletin.lock();
            (self.record.order, self.record.figures) = (bulletin.obeyed, bulletin.figures.clone());
        }
        self.record.held = self.tenures.len();
        self.record.ended = ended;
        let value = serde_json::to_vec(&self.record).unwrap_or_default();
        let key = names::run_member(&self.reading.url.run, &self.id);
        let put = timeout(ANSWER, self.store.keys.put(key, value.into())).await;
        put.map_err(|error| error.to_string())?.map(drop).map_err(|error| words(&error))
    }

    /// Takes note of what stands in the store. A pause holds at once, whatever the run does then.
    pub(super) fn see(&mut self, entry: kv::Entry) {
        let run = &self.reading.url.run;
        let is_for_all = [names::run_orders(run), names::run_decision(run)].contains(&entry.key);
        self.roster.see(entry);
        let Some(orders) = self.roster.orders() else { return };
        self.reading.partitions.lock().is_paused = orders.paused;
        if is_for_all {
            self.show();
        }
    }

    /// Says once that nothing is sent, since nobody knows any more whose the partitions are; and once that it goes on.
    pub(super) async fn tell_of_silence(&mut self) {
        let is_unsure = {
            let state = self.reading.partitions.lock();
            state.held.values().any(|held| held.sure.elapsed() >= SURE)
        };
        if is_unsure == self.is_unsure {
            return;
        }
        self.is_unsure = is_unsure;
        self.remark(if is_unsure {
            format!(
                "the store was not heard for {} s: nothing is sent until it is, since other replayers may have the partitions",
                SURE.as_secs()
            )
        } else {
            "the store is heard again: sending goes on".to_owned()
        })
        .await;
    }

    /// Shows the run how all members stand.
    pub(super) fn show(&self) {
        let view = self.roster.view().map(Arc::new);
        self.reading.partitions.bulletin.lock().view = view;
    }

    /// Returns whether the run goes by all orders that stand.
    pub(super) fn is_in_order(&self) -> bool {
        self.roster.orders().is_some_and(|orders| orders.number <= self.record.order)
    }

    /// Says in the store what the run goes by, as soon as it does.
    pub(super) async fn obey(&mut self) {
        let obeyed = self.reading.partitions.bulletin.lock().obeyed;
        if obeyed > self.record.order {
            self.beat(false).await.ok();
        }
    }

    /// Writes down what the run has decided for all, over the decision that it knew; where somebody else was faster, theirs
    /// stands. What does not succeed is tried again at the next look.
    pub(super) async fn decide(&mut self) {
        let Some(decision) = self.reading.partitions.bulletin.lock().decision.clone() else { return };
        if !self.store.is_connected() || self.roster.orders().is_none() {
            return;
        }
        let (stored, revision) = self.roster.decision();
        let is_late = stored.is_some_and(|stored| stored.by != self.id && stored.number >= decision.number);
        if !is_late {
            let key = names::run_decision(&self.reading.url.run);
            let Ok(value) = serde_json::to_vec(&decision) else { return };
            let written = timeout(ANSWER, self.store.keys.update(&key, value.clone().into(), revision)).await;
            let Ok(Ok(revision)) = written else { return };
            self.roster.note(key, revision, value.into());
        }
        let mut bulletin = self.reading.partitions.bulletin.lock();
        if bulletin.decision.as_ref() == Some(&decision) {
            bulletin.decision = None;
        }
    }
}
