//! The file of a node at work: what it takes while the store is away, what it gives back, and what an earlier start has left in it.

use std::collections::{BTreeMap, VecDeque};

use super::batch::OutgoingPiece;
use super::connect::{Store, words};
use super::names;
use super::node::NodeRecord;
use super::spool::{self, Spool};
use super::transit::Transit;
use crate::quantity::several;
use crate::recording::spool_settings::SpoolSettings;

/// What is counted.
const REQUESTS: (&str, &str) = ("request", "requests");

/// Pieces that are read ahead of what is sent.
const AHEAD: usize = 16;
/// Bytes of them.
const AHEAD_BYTES: usize = 1 << 20;

/// A file, and what an earlier start has left in it.
pub(super) struct Spooling {
    spool: Spool,
    /// Requests of other starts that are not stored, by node and session.
    left: BTreeMap<(u32, String), LeftRequests>,
    /// The file does not take what is written to it.
    is_failing: bool,
}

/// Requests that an earlier start has left.
#[derive(Clone, Copy, Debug, Default)]
struct LeftRequests {
    all: u64,
    waiting: u64,
}

impl Spooling {
    /// Opens the file, where there is to be one. What cannot be sent stays in it, and then it is not used.
    pub(super) async fn open(store: &Store, settings: Option<&SpoolSettings>, transit: &Transit) -> Option<Self> {
        let (spool, found) = match Spool::open(settings?, &store.url.name) {
            Ok(opened) => opened,
            Err(error) => {
                transit.notice(format!("{error}. What comes waits in memory alone"));
                return None;
            }
        };
        let (file, requests) = (spool.path().display(), found.requests());
        for (node, session) in found.sessions.keys() {
            let known = store.keys.get(names::node(*node)).await;
            let began = match known {
                Ok(value) => value.and_then(|value| NodeRecord::read(&value)).map(|record| record.began),
                Err(error) => {
                    transit.notice(format!("cannot find out whose {file} is: {}. It is not used", words(&error)));
                    return None;
                }
            };
            if began.is_none_or(|began| *session != format!("{node}-{began}")) {
                transit.notice(format!(
                    "{file} holds {} of a recording of this name that is not there any more (node {node}, \
                     {session}): nothing of it is sent, and the file is not used; move it away",
                    several(requests, REQUESTS)
                ));
                return None;
            }
        }
        if found.is_cut {
            transit.notice(format!("the end of {file} was cut as its node was killed: what was cut is lost"));
        }
        if found.damaged > 0 {
            let damaged = several(found.damaged, ("batch that is", "batches that are"));
            transit.notice(format!("{file} has {damaged} not what was written: what was there is lost"));
        }
        if requests > 0 {
            transit.notice(format!(
                "{file} holds {} that an earlier start of this node left, to be sent first. What that had in memory is lost",
                several(requests, REQUESTS)
            ));
        }
        let left = found.sessions.into_iter().filter(|(_, requests)| *requests > 0);
        let left = left.map(|(whose, all)| (whose, LeftRequests { all, waiting: all })).collect();
        Some(Self { spool, left, is_failing: false })
    }

    /// Returns whether the store has all that was ever in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.spool.is_empty()
    }

    /// Moves on what waits: into the file where it `spills`, or where older pieces are in there; else to the queue of what is
    /// sent. Then reads ahead. Whatever happens, pieces stay in order.
    pub(super) fn move_on(
        &mut self,
        (queue, waiting): (&mut VecDeque<OutgoingPiece>, &mut VecDeque<OutgoingPiece>),
        spills: bool,
        id: impl Fn(&OutgoingPiece) -> String,
        transit: &Transit,
    ) {
        if spills && !self.spool.has_unread() {
            // What is next to be sent goes into the file first.
            let kept = queue.iter().rposition(|piece| piece.spooled.is_some()).map_or(0, |last| last + 1);
            let mut first = queue.split_off(kept);
            first.append(waiting);
            *waiting = first;
        }
        if spills || self.spool.has_unread() {
            while let Some(piece) = waiting.front()
                && self.spool.has_room(piece)
                && self.append(&id(piece), piece, transit)
            {
                waiting.pop_front();
            }
        }
        if !self.spool.has_unread() && (self.is_failing || !spills) {
            queue.append(waiting);
        }
        self.read_ahead(queue, transit);
    }

    fn append(&mut self, id: &str, piece: &OutgoingPiece, transit: &Transit) -> bool {
        match self.spool.append(id, piece) {
            Ok(()) => {
                self.is_failing = false;
                transit.is_spooled(piece);
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    let file = self.spool.path().display();
                    transit.notice(format!("cannot write {file}: {error}. What comes waits in memory alone"));
                }
                false
            }
        }
    }

    fn read_ahead(&mut self, queue: &mut VecDeque<OutgoingPiece>, transit: &Transit) {
        while self.spool.has_unread()
            && queue.len() < AHEAD
            && queue.iter().map(|piece| piece.payload.len()).sum::<usize>() < AHEAD_BYTES
        {
            match self.spool.read() {
                Ok(piece) => queue.extend(piece),
                Err(error) => {
                    transit.notice(format!(
                        "cannot read {}: {error}. What is in it stays there",
                        self.spool.path().display()
                    ));
                    return;
                }
            }
        }
    }

    /// A piece of the file is in the store. Returns the node that is done with it, where that was the last of an earlier start.
    pub(super) fn is_stored(&mut self, piece: &OutgoingPiece, transit: &Transit) -> Option<(u32, u64)> {
        let spooled = piece.spooled.as_ref()?;
        if let Err(error) = self.spool.is_stored(spooled.end) {
            transit.notice(format!("cannot write {}: {error}", self.spool.path().display()));
        }
        let whose = (piece.header.node, spool::session(&spooled.id).to_owned());
        let Some(left) = self.left.get_mut(&whose) else {
            // It is of this start.
            transit.is_stored(piece);
            return None;
        };
        left.waiting = left.waiting.saturating_sub(u64::from(piece.requests));
        if left.waiting > 0 {
            return None;
        }
        let all = left.all;
        let (requests, path) = (several(all, REQUESTS), self.spool.path().display());
        transit.notice(format!("stored what an earlier start left in {path}: {requests}"));
        // Its further pieces, of responses alone, are of nobody's count.
        left.waiting = u64::MAX;
        Some((whose.0, all))
    }

    /// Removes the file, unless there is something in it.
    pub(super) fn close(self) {
        let file = self.spool.path().to_owned();
        if let Err(error) = self.spool.close() {
            tracing::warn!("cannot remove {}: {error}", file.display());
        }
    }
}

/// Says in the store that a node of an earlier start has ended, with so many more requests.
pub(super) async fn end_node(store: &Store, node: u32, requests: u64) -> Result<(), String> {
    let value = store.keys.get(names::node(node)).await.map_err(|error| words(&error))?;
    let Some(mut record) = value.and_then(|value| NodeRecord::read(&value)) else { return Ok(()) };
    record.published += requests;
    record.ended = true;
    record.beat += 1;
    record.put(&store.keys, node).await.map_err(|error| words(&error))
}
