//! Batches on their way into the store: several at once, each until the store has it.
//!
//! Where one fails, those behind it wait until it is known of all what became of them; then the rest goes again, in order. The
//! store knows a batch that comes twice by its id.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::batch::OutgoingPiece;
use super::connect::{Store, words};
use super::heartbeat::{Absence, Heartbeat};
use super::names::{self, HEADER};
use super::node::{self, NodeRecord};
use super::spooling::{self, Spooling};
use super::summaries;
use super::transit::{Stage, Transit};
use crate::causes::say_with_help;
use crate::recording::access::StoreAccess;
use crate::recording::place::StoreUrl;
use crate::recording::spool_settings::SpoolSettings;

/// Longest time that an exchange waits for others to travel with.
const LINGER: Duration = Duration::from_millis(8);
/// Messages that are on their way at once.
const WINDOW: usize = 128;
/// Bytes of them.
const WINDOW_BYTES: usize = 8 << 20;
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(250);
/// Time between two signs of life.
const BEAT: Duration = Duration::from_secs(2);
/// Time without a connection after which that is told.
const AWAY: Duration = Duration::from_secs(1);

/// How a server says that its disk, or what it may take of it, is full.
const NO_SPACE: &str = "error code 10023";

type Sent = Pin<Box<dyn Future<Output = (u64, Result<(), PublishError>)> + Send>>;

/// Publishes what is in `transit` until the run has ended.
pub(super) async fn run(url: StoreUrl, access: StoreAccess, transit: Arc<Transit>, spool: Option<SpoolSettings>) {
    let began = jiff::Timestamp::now().to_string();
    let record = NodeRecord { host: node::host(), began, ..NodeRecord::default() };
    let Some((store, number)) = join(&url, &access, &record, &transit).await else {
        transit.conclude(Err("this node never got there".to_owned()));
        return;
    };
    transit.belong_to(number);
    let session = format!("{number}-{}", record.began);
    let spool = Spooling::open(&store, spool.as_ref(), &transit).await;
    let mut publisher = Publisher {
        store,
        session,
        transit: Arc::clone(&transit),
        queue: VecDeque::new(),
        waiting: VecDeque::new(),
        spool,
        done: Vec::new(),
        sent: BTreeMap::new(),
        sent_bytes: 0,
        waits: FuturesUnordered::new(),
        next: 0,
        pause: None,
        away: None,
        heartbeat: Heartbeat::new(number, record),
        is_gone: false,
        doubts: false,
    };
    publisher.publish().await;
    let ended = publisher.end().await;
    transit.conclude(ended);
}

/// Connects and takes a number, however long that takes; `None` where the run ends before.
async fn join(url: &StoreUrl, access: &StoreAccess, record: &NodeRecord, transit: &Transit) -> Option<(Store, u32)> {
    let mut is_told = false;
    loop {
        let joined = match Store::open_or_make(url, access).await {
            Ok(store) => node::register(&store, record).await.map(|number| (store, number)),
            Err(error) => Err(error),
        };
        match joined {
            Ok(joined) => return Some(joined),
            Err(error) if !std::mem::replace(&mut is_told, true) => {
                transit.notice(format!(
                    "{}. What is recorded waits in memory, and is left out past that",
                    say_with_help(&error)
                ));
            }
            Err(_) => {}
        }
        if transit.stage() > Stage::Recording {
            return None;
        }
        sleep(PAUSE).await;
    }
}

/// The id of a piece's message: the store knows by it what comes twice.
fn id(session: &str, piece: &OutgoingPiece) -> String {
    format!("{session}-{}-{}-{}", piece.partition, piece.header.batch, piece.header.piece)
}

/// What is wrong, for people.
fn why(error: &PublishError) -> String {
    match error.kind() {
        // A cluster is about to find another server for it, or it was thrown away: that is looked into.
        PublishErrorKind::StreamNotFound => "no server has the recording now".to_owned(),
        _ => match words(error) {
            words if words.contains(NO_SPACE) => "the server's disk or its max_file_store is full".to_owned(),
            words => words,
        },
    }
}

struct Publisher {
    store: Store,
    /// Sets this start of this node apart from every other one.
    session: String,
    transit: Arc<Transit>,
    queue: VecDeque<OutgoingPiece>,
    /// Pieces that were made, and go to the queue or into the file next.
    waiting: VecDeque<OutgoingPiece>,
    spool: Option<Spooling>,
    /// Nodes of earlier starts of which everything is stored now, and how many requests that was.
    done: Vec<(u32, u64)>,
    /// Pieces of which it is not known whether they are stored, by the order in which they were sent.
    sent: BTreeMap<u64, OutgoingPiece>,
    sent_bytes: usize,
    waits: FuturesUnordered<Sent>,
    next: u64,
    /// When to go on after a failure.
    pause: Option<Instant>,
    /// Since when there is no connection.
    away: Option<Instant>,
    heartbeat: Heartbeat,
    /// Something of the recording is gone for good.
    is_gone: bool,
    /// No server had the recording: first it is to be known whether it is still the same.
    doubts: bool,
}

impl Publisher {
    async fn publish(&mut self) {
        let mut ticks = interval(LINGER);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = Instant::now();
        let transit = Arc::clone(&self.transit);
        loop {
            let mut all = transit.stage() > Stage::Recording;
            tokio::select! {
                Some((order, result)) = self.waits.next() => self.answered(order, &result),
                _ = ticks.tick() => {
                    self.look_after_connection();
                    all = all || !self.is_behind();
                }
                Some(absence) = self.heartbeat.next() => self.has_beaten(absence),
                () = transit.bell.notified() => {}
            }
            let is_crowded = self.spool.is_some() && transit.is_crowded();
            self.cut(all || is_crowded);
            self.move_on(is_crowded);
            self.send().await;
            self.end_earlier().await;
            let rest = if self.doubts { PAUSE } else { BEAT };
            if beat.elapsed() >= rest && self.store.is_connected() && !self.heartbeat.is_on_way() {
                beat = Instant::now();
                self.heartbeat.begin(&self.store, &self.transit.stored());
            }
            let is_empty = self.is_gone || self.has_sent_all();
            match transit.stage() {
                Stage::Recording => {}
                Stage::Draining if !is_empty => {}
                Stage::Draining if !self.is_gone && !transit.is_empty() => {}
                Stage::Draining => transit.reach(Stage::Drained),
                Stage::Drained | Stage::Ended => break,
            }
        }
        if let Some(spool) = self.spool.take() {
            spool.close();
        }
    }

    /// Notices when the connection is gone, and there is something to send over it.
    fn look_after_connection(&mut self) {
        if self.store.is_connected() {
            self.away = None;
            return;
        }
        let since = *self.away.get_or_insert_with(Instant::now);
        if since.elapsed() >= AWAY && !(self.queue.is_empty() && self.transit.is_empty()) {
            self.failed("the connection is lost");
        }
    }

    /// Returns whether nothing waits any more, in memory or in the file.
    fn has_sent_all(&self) -> bool {
        let is_spooled = self.spool.as_ref().is_some_and(|spool| !spool.is_empty());
        self.queue.is_empty() && self.waiting.is_empty() && self.sent.is_empty() && !is_spooled
    }

    /// Returns whether there is more than can be sent at once: then batches may as well fill up.
    fn is_behind(&self) -> bool {
        self.pause.is_some() || !self.queue.is_empty() || !self.store.is_connected()
    }

    /// Makes batches of what was gathered. Where not even the file has room it stays where it is: what comes then finds none.
    fn cut(&mut self, all: bool) {
        if !self.waiting.is_empty() {
            return;
        }
        for batch in self.transit.take(all) {
            match batch.pieces() {
                Ok(pieces) => {
                    self.transit.made(&pieces);
                    self.waiting.extend(pieces);
                }
                Err(error) => self.transit.notice(format!("cannot compress a batch, which is lost: {error}")),
            }
        }
    }

    /// Bytes that may be on their way at once: where there is a file, what cannot go there takes a part of memory only.
    fn window_bytes(&self) -> usize {
        if self.spool.is_some() { WINDOW_BYTES.min(self.transit.quarter()) } else { WINDOW_BYTES }
    }

    /// Has what waits sent, or keeps it in the file where memory `is_crowded` and the store does not take it.
    fn move_on(&mut self, is_crowded: bool) {
        // What is in memory at the end of a run that cannot be sent would be lost.
        let is_away = self.pause.is_some() || !self.store.is_connected();
        let is_last = self.transit.stage() > Stage::Recording && is_away;
        let spills = is_last || (is_crowded && self.is_behind());
        let (session, ways) = (&self.session, (&mut self.queue, &mut self.waiting));
        match &mut self.spool {
            Some(spool) => spool.move_on(ways, spills, |piece| id(session, piece), &self.transit),
            None => self.queue.append(&mut self.waiting),
        }
    }

    /// Says of earlier starts that they have ended, once all that they had left is stored.
    async fn end_earlier(&mut self) {
        for (node, requests) in std::mem::take(&mut self.done) {
            if let Err(why) = spooling::end_node(&self.store, node, requests).await {
                self.transit.notice(format!("the store does not know that node {node} has ended: {why}"));
            }
        }
    }

    async fn send(&mut self) {
        // One that somebody has made anew under the same name has other nodes by the same numbers.
        if self.is_gone || self.doubts {
            return;
        }
        if let Some(until) = self.pause {
            // First it is to be known of all of them what became of them.
            if !self.sent.is_empty() || Instant::now() < until || !self.store.is_connected() {
                return;
            }
            self.pause = None;
        }
        while self.store.is_connected()
            && self.waits.len() < WINDOW
            && self.sent_bytes < self.window_bytes()
            && let Some(piece) = self.queue.pop_front()
        {
            let (order, header) = (self.next, piece.header);
            self.next += 1;
            let id = piece.spooled.as_ref().map_or_else(|| id(&self.session, &piece), |spooled| spooled.id.clone());
            let message = PublishMessage::build()
                .payload(piece.payload.clone())
                .header(HEADER, header.to_string().as_str())
                .message_id(id);
            let subject = names::partition(&self.store.url.name, piece.partition);
            self.sent_bytes += piece.payload.len();
            self.sent.insert(order, piece);
            match self.store.context.send_publish(subject, message).await {
                Ok(ack) => self.waits.push(Box::pin(async move { (order, ack.await.map(drop)) })),
                Err(error) => {
                    self.refused(&error);
                    self.settle();
                    return;
                }
            }
        }
    }

    fn answered(&mut self, order: u64, result: &Result<(), PublishError>) {
        match result {
            Ok(()) => {
                if let Some(piece) = self.sent.remove(&order) {
                    self.sent_bytes -= piece.payload.len();
                    match self.spool.as_mut().filter(|_| piece.spooled.is_some()) {
                        Some(spool) => self.done.extend(spool.is_stored(&piece, &self.transit)),
                        None => self.transit.is_stored(&piece),
                    }
                }
                if self.pause.is_none() {
                    self.transit.succeeds();
                }
            }
            Err(error) => self.refused(error),
        }
        self.settle();
    }

    /// Once nothing is on its way after a failure, what is not known to be stored is next again.
    fn settle(&mut self) {
        if self.pause.is_some() && self.waits.is_empty() {
            for piece in std::mem::take(&mut self.sent).into_values().rev() {
                self.queue.push_front(piece);
            }
            self.sent_bytes = 0;
        }
    }

    fn refused(&mut self, error: &PublishError) {
        self.doubts |= error.kind() == PublishErrorKind::StreamNotFound;
        self.failed(&why(error));
    }

    fn failed(&mut self, why: &str) {
        self.pause = Some(Instant::now() + PAUSE);
        self.transit.fails(why);
    }

    /// A sign of life is given, or could not be.
    fn has_beaten(&mut self, absence: Option<Absence>) {
        self.doubts &= absence.is_some();
        if let Some(words) = self.heartbeat.note(absence)
            && !std::mem::replace(&mut self.is_gone, true)
        {
            self.transit.is_gone(words);
        }
    }

    /// Waits for the run's summary, and says in the store that this node has ended.
    async fn end(&mut self) -> Result<(), String> {
        if self.is_gone {
            return Err("it is not there any more".to_owned());
        }
        while self.transit.stage() < Stage::Ended {
            tokio::time::timeout(BEAT, self.transit.bell.notified()).await.ok();
            self.heartbeat.beat(&self.store, &self.transit.stored(), false).await.ok();
        }
        if let Some(summary) = self.transit.take_summary() {
            summaries::put(&self.store, &names::node_summary(self.heartbeat.node()), &summary).await?;
        }
        self.heartbeat.beat(&self.store, &self.transit.stored(), true).await
    }
}
