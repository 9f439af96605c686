//! The clock of the store, by which it notes when a key was written: that of this host may be another.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};

use super::connect::Store;
use crate::exchange::Timestamp;

/// Time after which the store forgets what it was asked with.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// What time it is there, in nanoseconds since 1970; that of this host where it does not say.
pub(super) async fn now(store: &Store) -> u64 {
    match ask(store).await {
        Some(now) => now,
        None => here().nanos(),
    }
}

/// What time it is on this host.
pub(super) fn here() -> Timestamp {
    Timestamp::from_nanos(nanos(jiff::Timestamp::now().as_nanosecond()))
}

/// A reader says when it was made, and servers say nothing of their clock otherwise.
pub(super) async fn ask(store: &Store) -> Option<u64> {
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        inactive_threshold: FORGOTTEN,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = store.stream().await.ok()?.create_consumer(config).await.ok()?;
    Some(nanos(consumer.cached_info().created.unix_timestamp_nanos()))
}

/// What a clock says, as far as it is after 1970.
pub(super) fn nanos(since_1970: i128) -> u64 {
    u64::try_from(since_1970).unwrap_or_default()
}
