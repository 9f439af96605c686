//! What a store would say to a run: asked before it, and nothing of it stays.

use async_nats::jetstream;
use tokio::time::Instant;

use super::connect::{self, Store};
use super::runtime;
use super::{clock, names, share};
use crate::recording::access::StoreAccess;
use crate::recording::place::StoreUrl;
use crate::recording::probe::{RecordingProbe, StoreProbe, StoreUse, StoredRecording};
use crate::recording::store_error::StoreError;

/// Asks the store at `url` what it would say to a run.
pub(in crate::recording) fn probe(
    url: &StoreUrl,
    access: &StoreAccess,
    to: StoreUse,
) -> Result<StoreProbe, StoreError> {
    let done = runtime::block_on(async {
        let (client, context) = connect::connect(url, access).await?;
        let version = client.server_info().version;
        let recording = match connect::stream(url, &context).await {
            Ok(_) => there(url, access, to).await,
            Err(StoreError::Missing { .. }) if to == StoreUse::Record => makable(url, &context).await,
            Err(error) => Err(error),
        };
        Ok(StoreProbe { version, recording })
    });
    done.map_err(|error| StoreError::Connect { server: url.to_string(), why: error.to_string() })?
}

/// Looks at a recording that is there.
async fn there(url: &StoreUrl, access: &StoreAccess, to: StoreUse) -> Result<RecordingProbe, StoreError> {
    let store = match to {
        StoreUse::Record => Store::open_or_make(url, access).await?,
        StoreUse::Replay => Store::open(url, access).await?,
    };
    let info = store.stream().await?.cached_info().clone();
    let stored = StoredRecording {
        bytes: info.state.bytes,
        max_bytes: u64::try_from(info.config.max_bytes).ok().filter(|bytes| *bytes > 0),
        retention: info.config.max_age,
    };
    if to == StoreUse::Replay {
        share::look(&store).await?;
    }
    let before = clock::here().nanos();
    let asked = Instant::now();
    let there = clock::ask(&store).await;
    let clock_ahead_ns = there.map(|there| ahead(there, before, asked));
    Ok(RecordingProbe { stored: Some(stored), clock_ahead_ns })
}

/// Makes what a recording needs under another name, and throws it away again: only so a server says whether it has the room.
async fn makable(url: &StoreUrl, context: &jetstream::Context) -> Result<RecordingProbe, StoreError> {
    let mut trial = url.clone();
    trial.name = format!("{}-doctor-{}", url.name, std::process::id());
    let name = names::stream(&trial.name);
    let before = clock::here().nanos();
    let asked = Instant::now();
    connect::create(url, context, connect::stream_config(&trial)).await?;
    let made = context.get_stream(&name).await;
    let there = made.ok().map(|stream| clock::nanos(stream.cached_info().created.unix_timestamp_nanos()));
    let clock_ahead_ns = there.map(|there| ahead(there, before, asked));
    context.delete_stream(&name).await.map_err(|error| connect::refused(&trial, "delete", &error))?;
    Ok(RecordingProbe { stored: None, clock_ahead_ns })
}

/// By how much the clock of the store is ahead of that of this host, which said `before` when it was asked.
fn ahead(there: u64, before: u64, asked: Instant) -> i64 {
    // When the answer was made, somewhere on its way there and back: half of that either way is nothing.
    let took = i64::try_from(asked.elapsed().as_nanos()).unwrap_or(i64::MAX);
    let difference = i64::try_from(i128::from(there) - i128::from(before)).unwrap_or(i64::MAX);
    match difference {
        ..0 => difference,
        _ if difference <= took => 0,
        _ => difference - took,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_differs_by_less_than_the_answer_took_agrees() {
        let asked = Instant::now().checked_sub(Duration::from_millis(10)).unwrap();
        let before = 1_000_000_000_000;
        assert_eq!(ahead(before + 5_000_000, before, asked), 0);
        assert_eq!(ahead(before - 3_000_000_000, before, asked), -3_000_000_000);
        assert!((2_900_000_000..=2_990_000_000).contains(&ahead(before + 3_000_000_000, before, asked)));
    }
}
