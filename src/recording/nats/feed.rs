//! Messages out of the store, in the order in which it has them: from one place on, whatever happens to the connection.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::connect::{Store, words};
use super::names::{BatchHeader, HEADER};

/// Messages that are asked for at once. To bound their bytes would be an error of servers of version 2.9.
const AT_ONCE: usize = 16;
/// Time after which is asked again where nothing comes.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Time after which the store forgets a reader that asks for nothing.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// A message of a recording.
#[derive(Clone, Debug)]
pub(super) struct FeedMessage {
    pub(super) partition: u16,
    pub(super) header: BatchHeader,
    /// Its place in the store.
    pub(super) at: u64,
    /// Bytes that it has there.
    pub(super) payload: Bytes,
    /// Messages behind it.
    pub(super) pending: u64,
}

/// What comes out of a feed.
#[derive(Debug)]
pub(super) enum FeedItem {
    Message(FeedMessage),
    /// There is nothing more at the moment.
    CaughtUp,
    /// A message that is none of a recording.
    Foreign,
    /// The store cannot be read now, in words for people; it is tried again.
    Failed(String),
}

/// Hands over what stands under `subject` from the place `from` on, until nobody takes it any more.
pub(super) async fn run(store: Store, subject: String, from: u64, to: mpsc::Sender<FeedItem>) {
    let mut next = from.max(1);
    while !to.is_closed() {
        let read = read(&store, &subject, &mut next, &to).await;
        if let Err(why) = read
            && to.send(FeedItem::Failed(why)).await.is_err()
        {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Reads until something fails, or nobody takes it any more.
async fn read(store: &Store, subject: &str, next: &mut u64, to: &mpsc::Sender<FeedItem>) -> Result<(), String> {
    let stream = store.stream().await.map_err(|error| words(&error))?;
    let config = pull::Config {
        filter_subject: subject.to_owned(),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: *next },
        ack_policy: AckPolicy::None,
        inactive_threshold: FORGOTTEN,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = stream.create_consumer(config).await.map_err(|error| words(&error))?;
    if consumer.cached_info().num_pending == 0 && to.send(FeedItem::CaughtUp).await.is_err() {
        return Ok(());
    }
    loop {
        let batch = consumer.batch().max_messages(AT_ONCE).expires(ASK_AGAIN).messages().await;
        let mut batch = batch.map_err(|error| words(&error))?;
        while let Some(message) = batch.next().await {
            let message = message.map_err(|error| words(&*error))?;
            let item = item(&message, next);
            let is_last = matches!(&item, FeedItem::Message(message) if message.pending == 0);
            if to.send(item).await.is_err() || (is_last && to.send(FeedItem::CaughtUp).await.is_err()) {
                return Ok(());
            }
        }
        if to.is_closed() {
            return Ok(());
        }
    }
}

fn item(message: &Message, next: &mut u64) -> FeedItem {
    let Ok(info) = message.info() else { return FeedItem::Foreign };
    let (at, pending) = (info.stream_sequence, info.pending);
    *next = at + 1;
    let header = message.headers.as_ref().and_then(|headers| headers.get(HEADER));
    let header = header.and_then(|header| BatchHeader::read(header.as_str()));
    let partition = message.subject.rsplit('.').next().and_then(|partition| partition.parse().ok());
    match (header, partition) {
        (Some(header), Some(partition)) => {
            FeedItem::Message(FeedMessage { partition, header, at, payload: message.payload.clone(), pending })
        }
        _ => FeedItem::Foreign,
    }
}
