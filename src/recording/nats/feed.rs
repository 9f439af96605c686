//! Messages out of the store, in the order in which it has them: from one place on, whatever happens to the connection.
//!
//! The store keeps a reader in memory, and forgets it: with a restart, or once nothing was asked for long enough. It may also
//! have sent what never arrived. Then another reader begins behind the last message that was handed over.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::connect::{Store, words};
use super::names::{BatchHeader, HEADER};
use super::readers;

/// Messages that are asked for at once. To bound their bytes would be an error of servers of version 2.9.
const AT_ONCE: usize = 16;
/// Time after which is asked again where nothing comes.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Time after which the store forgets a reader that asks for nothing.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Time between two questions after which it may have forgotten: sooner, since clocks differ.
const OLD: Duration = Duration::from_secs(45);
/// Silence after which it is looked whether the reader is still there.
const QUIET: Duration = Duration::from_secs(2);
/// How a server says that it has this reader no more: another one goes on, or tells what is wrong.
const ENDS: [&str; 3] = ["Consumer Deleted", "Leadership Change", "Server Shutdown"];
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

/// Reads until something fails, the store needs another reader, or nobody takes it any more.
async fn read(store: &Store, subject: &str, next: &mut u64, to: &mpsc::Sender<FeedItem>) -> Result<(), String> {
    let connects = connects(store);
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
    let consumer = readers::make(&stream, config).await?;
    let is_more = consumer.cached_info().num_pending > 0;
    if !is_more && to.send(FeedItem::CaughtUp).await.is_err() {
        return Ok(());
    }
    let mut reader = Reader { store, consumer, connects, arrived: 0, is_more, next, to };
    while reader.take_batch().await? {}
    Ok(())
}

/// How often the client has connected.
fn connects(store: &Store) -> u64 {
    store.client.statistics().connects.load(Ordering::Relaxed)
}

/// A reader that the store knows.
struct Reader<'a> {
    store: &'a Store,
    consumer: PullConsumer,
    /// How often the client had connected before it began.
    connects: u64,
    /// Messages that arrived. The store numbers those that it sends.
    arrived: u64,
    /// The store has said that there is more.
    is_more: bool,
    next: &'a mut u64,
    to: &'a mpsc::Sender<FeedItem>,
}

impl Reader<'_> {
    /// Asks for messages, and hands them over; false where another reader is to go on, or nobody takes them any more.
    ///
    /// All that comes is taken at once: what the client holds it drops when the time of a question is over.
    async fn take_batch(&mut self) -> Result<bool, String> {
        let asked = Instant::now();
        let batch = self.consumer.batch().max_messages(AT_ONCE).expires(ASK_AGAIN).messages().await;
        let mut batch = batch.map_err(|error| words(&error))?;
        let mut at_hand = VecDeque::new();
        let (mut is_open, before) = (true, self.arrived);
        while is_open || !at_hand.is_empty() {
            tokio::select! {
                biased;
                message = timeout(QUIET, batch.next()), if is_open => match message {
                    Ok(Some(Ok(message))) if self.arrived(&message, &mut at_hand) => {}
                    Ok(Some(Ok(_))) => return Ok(false),
                    Ok(Some(Err(error))) => {
                        let why = words(&*error);
                        return if ENDS.iter().any(|end| why.contains(end)) { Ok(false) } else { Err(why) };
                    }
                    Ok(None) => is_open = false,
                    Err(_) if self.is_gone().await => return Ok(false),
                    Err(_) => {}
                },
                room = self.to.reserve(), if !at_hand.is_empty() => {
                    let Ok(room) = room else { return Ok(false) };
                    if let Some((at, item)) = at_hand.pop_front() {
                        room.send(item);
                        *self.next = at.map_or(*self.next, |at| at + 1);
                    }
                }
            }
            if self.to.is_closed() {
                return Ok(false);
            }
        }
        if self.arrived == before {
            let info = self.consumer.get_info().await;
            return match info {
                Ok(info) => Ok(info.delivered.consumer_sequence <= self.arrived),
                Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(false),
                Err(error) => Err(words(&error)),
            };
        }
        Ok(asked.elapsed() < OLD)
    }

    /// Takes a message; false where one before it is missing.
    fn arrived(&mut self, message: &Message, at_hand: &mut VecDeque<(Option<u64>, FeedItem)>) -> bool {
        let Ok(info) = message.info() else {
            at_hand.push_back((None, FeedItem::Foreign));
            return true;
        };
        self.arrived += 1;
        if info.consumer_sequence != self.arrived {
            return false;
        }
        let at = info.stream_sequence;
        self.is_more = info.pending > 0;
        at_hand.push_back((Some(at), item(message, at)));
        if !self.is_more {
            at_hand.push_back((None, FeedItem::CaughtUp));
        }
        true
    }

    /// After a silence: returns whether this reader is known to get nothing any more. The store is asked only where there is more.
    async fn is_gone(&self) -> bool {
        // What was asked over a connection that is gone is answered nowhere.
        if connects(self.store) != self.connects {
            return true;
        }
        let Some(info) = (if self.is_more { timeout(QUIET, self.consumer.get_info()).await.ok() } else { None }) else {
            return false;
        };
        info.is_err_and(|error| error.kind() == ConsumerInfoErrorKind::NotFound)
    }
}

fn item(message: &Message, at: u64) -> FeedItem {
    let header = message.headers.as_ref().and_then(|headers| headers.get(HEADER));
    let header = header.and_then(|header| BatchHeader::read(header.as_str()));
    let partition = message.subject.rsplit('.').next().and_then(|partition| partition.parse().ok());
    match (header, partition) {
        (Some(header), Some(partition)) => {
            FeedItem::Message(FeedMessage { partition, header, at, payload: message.payload.clone() })
        }
        _ => FeedItem::Foreign,
    }
}
