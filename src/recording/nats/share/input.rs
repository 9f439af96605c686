//! Events of the partitions that this member holds, in the order of their times.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::horizon::Horizon;
use super::member::{self, MemberCommand, Reading};
use super::partitions::{Partitions, Place, ReadSoFar, Taking};
use super::session::ReplaySession;
use crate::exchange::{Event, ExchangeId, Timestamp};
use crate::http1::{BodyPolicies, BodyPolicy};
use crate::quantity::several;
use crate::recording::EventSource;
use crate::recording::access::StoreAccess;
use crate::recording::input::RecordingInput;
use crate::recording::nats::assemble::{Assembler, WholeBatch};
use crate::recording::nats::clock;
use crate::recording::nats::decode::{self, BatchTrouble};
use crate::recording::nats::feed::FeedItem;
use crate::recording::nats::runtime;
use crate::recording::place::StoreUrl;
use crate::recording::session::StoreSession;
use crate::recording::store_error::StoreError;
use crate::recording::store_reading::StoreReading;

/// Commands of the thread that speaks with the store which wait to be carried out.
const COMMANDS: usize = 1024;
/// Time between two looks whether something has come.
const LOOK: Duration = Duration::from_millis(1);
/// Time for which events wait for those of a partition that has not said what it has.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time for which a batch is waited for that others of its node have overtaken.
const OVERTAKEN: Duration = Duration::from_secs(3);
/// The same of the rest of a batch that comes in pieces.
const IN_PIECES: Duration = Duration::from_secs(30);
/// Requests whose response is still handed on. Past it those of others are left out.
const MAX_UNANSWERED: usize = 1 << 17;

/// A partition that is read.
struct PartitionQueue {
    tenure: u64,
    items: mpsc::Receiver<FeedItem>,
    assembler: Assembler,
    events: VecDeque<(Event, Place)>,
    /// There is nothing more at the moment.
    is_caught_up: bool,
    /// Why it cannot be read now, until that is told.
    failed: Option<String>,
    /// Since when a batch, or a piece of one, is missing.
    missing: Option<Instant>,
    /// The last place that was read.
    through: u64,
    /// Requests that had expired when that was told last, and how far it was read then.
    expired: u64,
    told: Option<ReadSoFar>,
}

/// Reads what this member holds.
pub(in crate::recording) struct SharedInput {
    url: StoreUrl,
    access: StoreAccess,
    reading: StoreReading,
    interests: BodyPolicies,
    partitions: Arc<Partitions>,
    session: Arc<ReplaySession>,
    commands: Option<mpsc::Receiver<MemberCommand>>,
    queues: HashMap<u16, PartitionQueue>,
    unanswered: HashSet<ExchangeId, foldhash::fast::RandomState>,
    trouble: BatchTrouble,
    expired: u64,
    /// What is to be said of how it went.
    remarks: Vec<String>,
    /// Why the recording is gone.
    gone: Option<String>,
    waits: Option<Instant>,
}

impl SharedInput {
    /// Looks whether it is there. Nothing is left open, since a run gives up rights until it reads.
    pub(in crate::recording) fn open(
        url: StoreUrl,
        access: StoreAccess,
        reading: StoreReading,
    ) -> Result<Self, StoreError> {
        runtime::with_store(&url, &access, async |store| member::look(&store).await)?;
        let partitions = Arc::<Partitions>::default();
        let session =
            ReplaySession { partitions: Arc::clone(&partitions), ended: Arc::new((Mutex::new(false), Condvar::new())) };
        Ok(Self {
            url,
            access,
            reading,
            interests: BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep },
            partitions,
            session: Arc::new(session),
            commands: None,
            queues: HashMap::new(),
            unanswered: HashSet::default(),
            trouble: BatchTrouble::default(),
            expired: 0,
            remarks: Vec::new(),
            gone: None,
            waits: None,
        })
    }

    /// Starts what speaks with the store.
    fn start(&mut self) -> mpsc::Receiver<MemberCommand> {
        let (to, commands) = mpsc::channel(COMMANDS);
        let reading = Reading {
            url: self.url.clone(),
            access: self.access.clone(),
            follow: self.reading.follow,
            mirrored: self.reading.mirrored,
            partitions: Arc::clone(&self.partitions),
            ended: Arc::clone(&self.session.ended),
            to,
        };
        if let Err(error) = runtime::spawn("store", move || member::run(reading)) {
            self.remarks.push(format!("{} was not read: cannot start a thread: {error}", self.url));
        }
        commands
    }

    /// Carries out what the thread that speaks with the store has found; false once that has ended.
    fn obey(&mut self) -> bool {
        let mut commands = self.commands.take().unwrap_or_else(|| self.start());
        let goes_on = loop {
            match commands.try_recv() {
                Ok(MemberCommand::Open { partition, tenure, items, assembler }) => {
                    let queue = PartitionQueue {
                        tenure,
                        items,
                        assembler,
                        events: VecDeque::new(),
                        is_caught_up: false,
                        failed: None,
                        missing: None,
                        through: 0,
                        expired: 0,
                        told: None,
                    };
                    self.queues.insert(partition, queue);
                }
                Ok(MemberCommand::Close { partition }) => drop(self.queues.remove(&partition)),
                Ok(MemberCommand::Remark(words)) => {
                    tracing::warn!("{words}");
                    self.remarks.push(words);
                }
                Ok(MemberCommand::Gone(words)) => {
                    tracing::warn!("{words}");
                    self.gone = Some(words);
                    break false;
                }
                Err(mpsc::error::TryRecvError::Empty) => break true,
                Err(mpsc::error::TryRecvError::Disconnected) => break false,
            }
        };
        self.commands = Some(commands);
        goes_on
    }

    /// Takes what has come of each partition that has no event at hand.
    fn fetch(&mut self) {
        let Self { queues, interests, partitions, trouble, reading, expired, remarks, url, .. } = self;
        for (partition, queue) in queues.iter_mut() {
            let mut whole = Vec::new();
            while queue.events.is_empty() && queue.take(trouble, &mut whole) {
                for batch in whole.drain(..) {
                    queue.decode(&batch, (*interests, reading.ports.as_slice()), partitions, trouble);
                }
            }
            // It is the same of every partition.
            if let Some(words) = queue.failed.take().map(|why| format!("cannot read {url} for now: {why}"))
                && !remarks.contains(&words)
            {
                tracing::warn!("{words}. It is tried again");
                remarks.push(words);
            }
            let so_far = queue.so_far();
            if queue.events.is_empty() && queue.told != Some(so_far) {
                let lost = queue.assembler.expired - std::mem::replace(&mut queue.expired, queue.assembler.expired);
                *expired += lost;
                queue.told = Some(so_far);
                partitions.read(*partition, queue.tenure, so_far, lost);
            }
        }
    }

    /// The partition whose next event is the earliest, and its time; none where it is better to wait for others.
    fn earliest(&mut self) -> Option<(Timestamp, u16)> {
        let at_hand =
            self.queues.iter().filter_map(|(partition, queue)| Some((time(&queue.events.front()?.0), *partition)));
        let earliest = at_hand.min()?;
        let all_known = self.queues.values().all(|queue| !queue.events.is_empty() || queue.is_caught_up);
        if all_known || self.reading.follow {
            self.waits = None;
            return Some(earliest);
        }
        let since = *self.waits.get_or_insert_with(Instant::now);
        (since.elapsed() >= PATIENCE).then_some(earliest)
    }

    /// Hands on the next event of a partition; `None` where nobody is to have it.
    fn hand_on(&mut self, partition: u16) -> Option<Event> {
        let events = &mut self.queues.get_mut(&partition)?.events;
        let taking = match events.front()? {
            (Event::Request(request), place) => self.partitions.take(request.id, *place),
            _ => Taking::Taken,
        };
        if taking == Taking::Waits {
            // It comes to its end when it is due, as this one would.
            thread::sleep(LOOK);
            return None;
        }
        let (event, _) = events.pop_front()?;
        match &event {
            Event::Request(request) => {
                let id = request.id;
                if taking == Taking::Gone {
                    return None;
                }
                if self.unanswered.len() < MAX_UNANSWERED {
                    self.unanswered.insert(id);
                }
                Some(event)
            }
            Event::Response { of, .. } | Event::Damaged { of, .. } => self.unanswered.remove(of).then_some(event),
            _ => Some(event),
        }
    }
}

impl PartitionQueue {
    /// Takes what has come; false where there is nothing.
    fn take(&mut self, trouble: &mut BatchTrouble, whole: &mut Vec<WholeBatch>) -> bool {
        match self.items.try_recv() {
            Ok(FeedItem::Message(message)) => {
                self.is_caught_up = false;
                self.through = message.at;
                self.assembler.take(message, whole);
            }
            Ok(FeedItem::CaughtUp) => self.is_caught_up = true,
            Ok(FeedItem::Foreign) => trouble.foreign += 1,
            Ok(FeedItem::Failed(why)) => {
                self.is_caught_up = false;
                self.failed = Some(why);
            }
            Err(_) => {
                let patience = match (self.assembler.waits(), self.assembler.has_pieces()) {
                    (true, _) => OVERTAKEN,
                    (false, true) => IN_PIECES,
                    (false, false) => {
                        self.missing = None;
                        return false;
                    }
                };
                let since = *self.missing.get_or_insert_with(Instant::now);
                if since.elapsed() < patience {
                    return false;
                }
                self.missing = None;
                self.assembler.give_up(whole);
            }
        }
        true
    }

    fn so_far(&self) -> ReadSoFar {
        let pending = self.assembler.pending();
        ReadSoFar { pending, through: self.through, is_all: self.is_caught_up && pending.is_none() }
    }

    fn decode(
        &mut self,
        batch: &WholeBatch,
        (interests, ports): (BodyPolicies, &[u16]),
        partitions: &Partitions,
        trouble: &mut BatchTrouble,
    ) {
        let (tenure, partition, at) = (self.tenure, batch.partition, batch.at);
        self.told = None;
        if !partitions.begin(tenure, batch) {
            return;
        }
        let mut left_out = Vec::new();
        let mut requests = 0;
        decode::events(batch, interests, trouble, |event, index| {
            let place = Place { partition, tenure, at, index };
            if let Event::Request(request) = &event {
                requests = index + 1;
                if !ports.is_empty() && !ports.contains(&request.server.port()) {
                    left_out.push((request.id, place));
                    return;
                }
            }
            self.events.push_back((event, place));
        });
        for (id, place) in left_out {
            if partitions.take(id, place) == Taking::Taken {
                partitions.leave_out(id);
            }
        }
        // What cannot be read of a damaged batch has ended, too.
        partitions.end_unread(tenure, batch, requests);
    }
}

/// Returns the time by which events of several partitions are ordered.
fn time(event: &Event) -> Timestamp {
    match event {
        Event::Request(request) => request.last_byte,
        Event::Response { response, .. } | Event::Orphan { response, .. } => response.last_byte,
        Event::Opened { at, .. } | Event::Closed { at, .. } => *at,
        Event::Damaged { .. } => Timestamp::default(),
    }
}

impl EventSource for SharedInput {
    fn next(&mut self) -> Option<Event> {
        loop {
            let goes_on = self.obey();
            if self.reading.halt.is_set() || !goes_on {
                return None;
            }
            let (has_room, is_complete, on_way) = {
                let state = self.partitions.lock();
                (state.has_room(), state.is_complete, state.on_way.len())
            };
            let horizon = if self.reading.follow { Horizon::All } else { self.partitions.horizon(clock::here()) };
            self.fetch();
            match self.earliest().filter(|(at, _)| has_room && horizon.has(*at, on_way)) {
                Some((_, partition)) => {
                    if let Some(event) = self.hand_on(partition) {
                        return Some(event);
                    }
                }
                None if is_complete => return None,
                None => thread::sleep(LOOK),
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let lost = self.expired;
        let expired = (lost > 0).then(|| {
            format!(
                "{} of {} {} not there any more: its retention or max-bytes has let {} go",
                several(lost, ("request", "requests")),
                self.url,
                if lost == 1 { "is" } else { "are" },
                if lost == 1 { "it" } else { "them" },
            )
        });
        self.unread()
            .into_iter()
            .chain(self.remarks.iter().cloned())
            .chain(expired)
            .chain(self.trouble.words(&self.url))
            .collect()
    }

    fn unread(&self) -> Vec<String> {
        self.gone.iter().cloned().collect()
    }
}

impl RecordingInput for SharedInput {
    fn set_interests(&mut self, interests: BodyPolicies) {
        self.interests = interests;
    }

    fn is_followed(&self) -> bool {
        self.reading.follow
    }

    fn left_out(&mut self, id: ExchangeId) {
        self.partitions.leave_out(id);
    }

    fn session(&self) -> Option<Arc<dyn StoreSession>> {
        Some(Arc::clone(&self.session) as Arc<dyn StoreSession>)
    }
}
