//! The way into a run: what is left of it, and the store that has it.

use std::collections::BTreeMap;

use tokio::time::sleep;

use super::{LOOK, MemberCommand, PartitionRecord, Reading};
use crate::recording::nats::connect::{Store, refused};
use crate::recording::nats::names;
use crate::recording::nats::share::account::waiting;
use crate::recording::store_error::StoreError;

/// Looks whether there is anything left of this run of the recording.
pub(in crate::recording) async fn look(store: &Store) -> Result<(), StoreError> {
    let mut all = Vec::new();
    for partition in 0..store.meta.partitions {
        let value = store.keys.get(names::run_partition(&store.url.run, partition)).await;
        let value = value.map_err(|error| refused(&store.url, "read", &error))?;
        all.extend(value.and_then(|value| serde_json::from_slice::<PartitionRecord>(&value).ok()));
    }
    let ended: u64 = all.iter().map(|record| record.ended).sum();
    if all.len() == usize::from(store.meta.partitions) && all.iter().all(|record| record.is_over) {
        let late = waiting(store, &all, &mut BTreeMap::new()).await?;
        let (name, run) = (store.url.name.clone(), store.url.run.clone());
        return Err(StoreError::Consumed { name, run, requests: ended, late });
    }
    Ok(())
}

/// Connects, however long that takes; `None` where the run ends before.
pub(super) async fn join(reading: &Reading) -> Option<Store> {
    let mut is_told = false;
    loop {
        match Store::open(&reading.url, &reading.access).await {
            Ok(store) => return Some(store),
            Err(error) if !std::mem::replace(&mut is_told, true) => {
                reading.to.send(MemberCommand::Remark(format!("{error}. It is tried again"))).await.ok();
            }
            Err(_) => {}
        }
        if reading.partitions.lock().is_stopping {
            return None;
        }
        sleep(LOOK).await;
    }
}
