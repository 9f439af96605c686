//! What a node records: events come in, batches leave for the store.
//!
//! Nobody here waits for the store. What is on its way takes bounded memory; past that exchanges are left out, and counted: whole
//! ones, or the response alone where its request is on its way already.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::batch::RecordKind;
use super::connect::Store;
use super::publisher;
use super::runtime;
use super::spool::Spool;
use super::transit::{NodeSession, Transit};
use crate::exchange::{Damage, Event, ExchangeId, Request, Response, Timestamp};
use crate::http1::one_shot::RequestHint;
use crate::recording::access::StoreAccess;
use crate::recording::event_codec;
use crate::recording::output::RecordingOutput;
use crate::recording::place::StoreUrl;
use crate::recording::record::{RecordError, Recorded};
use crate::recording::session::StoreSession;
use crate::recording::spool_settings::SpoolSettings;

/// Exchanges whose response may still come. Past it those of others are left out.
const MAX_UNANSWERED: usize = 1 << 17;
/// Time that the end of a run has to bring what is on its way to the store.
const DRAIN: Duration = Duration::from_secs(10);

/// Records into a store.
pub(in crate::recording) struct NatsOutput {
    url: StoreUrl,
    access: StoreAccess,
    session: Arc<NodeSession>,
    transit: Arc<Transit>,
    spool: Option<SpoolSettings>,
    partitions: u16,
    is_started: bool,
    /// Requests that are on their way, and what their responses are to know of them.
    asked: HashMap<ExchangeId, (u16, RequestHint), foldhash::fast::RandomState>,
    /// Requests that found no room: nor do their responses.
    refused: HashSet<ExchangeId, foldhash::fast::RandomState>,
    record: Vec<u8>,
}

impl NatsOutput {
    /// A recording at `url`, of which `memory` bytes may be on their way at once, and more in a file.
    pub(in crate::recording) fn new(
        url: StoreUrl,
        access: StoreAccess,
        memory: usize,
        spool: Option<SpoolSettings>,
    ) -> Self {
        let partitions = url.settings.partitions();
        let file = spool.as_ref().map(|spool| spool.path.clone());
        let transit = Arc::new(Transit::new(url.to_string(), partitions, memory).with_spool(file));
        Self {
            spool,
            session: Arc::new(NodeSession::new(Arc::clone(&transit))),
            url,
            access,
            transit,
            partitions,
            is_started: false,
            asked: HashMap::default(),
            refused: HashSet::default(),
            record: Vec::new(),
        }
    }

    /// Starts what brings batches to the store: not before the first event, since a run gives up rights until then.
    fn start(&mut self) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        let (url, access, transit) = (self.url.clone(), self.access.clone(), Arc::clone(&self.transit));
        let spool = self.spool.clone();
        if let Err(error) = runtime::spawn("store", || publisher::run(url, access, transit, spool)) {
            self.transit.give_up(format!("cannot start a thread for {}: {error}", self.url));
        }
    }

    fn request(&mut self, request: &Request) {
        self.record.clear();
        if !event_codec::request(request, &mut self.record) {
            return;
        }
        let partition = partition(request.id, self.partitions);
        if self.transit.push(partition, RecordKind::Request, &self.record) {
            if self.asked.len() < MAX_UNANSWERED {
                self.asked.insert(request.id, (partition, RequestHint::by(&request.head)));
            }
        } else if self.refused.len() < MAX_UNANSWERED {
            self.refused.insert(request.id);
        }
    }

    fn response(&mut self, of: ExchangeId, response: Result<&Response, Damage>) {
        if self.refused.remove(&of) {
            self.transit.lose_response();
            return;
        }
        let Some((partition, asked)) = self.asked.remove(&of) else { return };
        self.record.clear();
        match response {
            Ok(response) => event_codec::response(of, asked, response, &mut self.record),
            Err(why) => event_codec::no_response(of, why, &mut self.record),
        }
        if !self.transit.push(partition, RecordKind::Response, &self.record) {
            self.record.clear();
            event_codec::no_response(of, Damage::Shed, &mut self.record);
            self.transit.push_anyway(partition, &self.record);
        }
    }
}

/// Returns the partition of an exchange: that of its connection.
fn partition(id: ExchangeId, partitions: u16) -> u16 {
    let hash = xxh3_64(&id.connection.0.to_le_bytes());
    u16::try_from(hash % u64::from(partitions.max(1))).unwrap_or_default()
}

impl RecordingOutput for NatsOutput {
    fn name(&self) -> String {
        self.url.to_string()
    }

    fn preflight(&mut self, _now: Timestamp) -> Result<(), RecordError> {
        // Before anything is made there.
        if let Some(spool) = &self.spool {
            let checked = Spool::check(spool, &self.url.name);
            checked.map_err(|source| RecordError::Write { path: spool.path.clone(), source })?;
        }
        let opened = runtime::block_on(Store::open_or_make(&self.url, &self.access));
        let store = opened.map_err(|source| RecordError::Write { path: self.name().into(), source })??;
        self.partitions = store.meta.partitions;
        self.transit.divide_into(self.partitions);
        Ok(())
    }

    fn event(&mut self, event: Event) {
        self.start();
        match event {
            Event::Request(request) => self.request(&request),
            Event::Response { of, response } => self.response(of, Ok(&response)),
            Event::Damaged { of, why } => self.response(of, Err(why)),
            Event::Opened { .. } | Event::Closed { .. } | Event::Orphan { .. } => {}
        }
    }

    fn tick(&mut self, _now: Timestamp) {
        self.start();
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.transit.take_notices()
    }

    fn stored(&self) -> Recorded {
        self.transit.stored()
    }

    fn finish(&mut self) -> Recorded {
        self.transit.drain(DRAIN);
        self.transit.stored()
    }

    fn session(&self) -> Option<Arc<dyn StoreSession>> {
        Some(Arc::clone(&self.session) as Arc<dyn StoreSession>)
    }
}
