//! Readers that the store keeps.
//!
//! Each lives on one server of a cluster, which the cluster chooses: for a minute or so after a server is lost that may be it.
//! Then nobody answers, and another one is made.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use tokio::time::timeout;

use super::connect::{NO_ANSWER, words};

/// Time that a reader may take to be made.
const ANSWER: Duration = Duration::from_secs(2);
/// Readers that are asked for, one after the other. Of three servers one is lost: then one question of 243 finds it each time.
const ATTEMPTS: usize = 5;

/// Makes a reader of a stream.
pub(super) async fn make(stream: &Stream, config: pull::Config) -> Result<PullConsumer, String> {
    for _ in 0..ATTEMPTS {
        if let Ok(made) = timeout(ANSWER, stream.create_consumer(config.clone())).await {
            return made.map_err(|error| words(&error));
        }
    }
    Err(NO_ANSWER.to_owned())
}
