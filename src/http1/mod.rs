//! Byte streams to messages: heads, body framing, and the pairing of responses with requests.
//!
//! The input is the [`Chunk`]s of the flow table, the output is [`Event`]s. A connection of another protocol is
//! recognized, counted and skipped. Bytes are parsed as they come: any division into chunks gives the same messages.
//! Nothing here is ever an error: unreadable input is reported as such.

mod body;
mod body_hash;
pub(crate) mod content;
mod conversation;
mod framing_fields;
mod head;
mod message;
mod methods;
pub(crate) mod one_shot;
mod pairing;
mod plain_head;
pub(crate) mod spoe;
mod spoe_count;
mod stream;
mod strict_response;

use crate::decode::Endpoint;
use crate::exchange::{Event, Timestamp};
use crate::flow::{Chunk, Side, Slab, Slot};
pub(crate) use body::{BodyProgress, BodyReader};
pub(crate) use body_hash::HashTiming;
pub(crate) use content::ContentKind;
use conversation::Conversation;
pub(crate) use head::{StartCheck, end as head_end, response_begins};
pub(crate) use message::{read_request, read_response};
use stream::StreamPiece;
pub(crate) use strict_response::{RequestContext, ResponseHeadError, StrictResponseHead, read as read_answer};

/// Longest head that is parsed, in bytes. A longer one is malformed, and what follows it is looked for anew.
pub const MAX_HEAD_BYTES: usize = 1 << 20;
/// Most header lines of a head that is parsed. More make it malformed.
pub(crate) const MAX_HEADER_LINES: usize = 1000;
/// Longest body that is kept, in bytes. A longer one is counted and hashed to its end, and not kept.
pub const MAX_KEPT_BODY: usize = 64 << 20;

/// Processing of a body's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyPolicy {
    /// Count them.
    #[default]
    Count,
    /// Count and hash them.
    Hash,
    /// Count, hash and keep them, up to [`MAX_KEPT_BODY`].
    Keep,
    /// Count them, keep those of bodies that people or programs can read, up to so many KiB as framed, and hash what is
    /// not kept.
    Read(u16),
}

impl BodyPolicy {
    /// Returns the timing of the hash.
    pub(crate) const fn hashes(self) -> HashTiming {
        match self {
            Self::Count => HashTiming::Never,
            Self::Hash | Self::Keep => HashTiming::Always,
            Self::Read(_) => HashTiming::Unkept,
        }
    }

    /// Bytes that are kept at most of a body under this head.
    pub(crate) fn keeps(self, head: &[u8]) -> Option<usize> {
        match self {
            Self::Count | Self::Hash => None,
            Self::Keep => Some(MAX_KEPT_BODY),
            Self::Read(most) => content::of_raw(head).may_be_read().then_some(usize::from(most) << 10),
        }
    }
}

/// Body policies by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyPolicies {
    /// Of requests.
    pub request_body: BodyPolicy,
    /// Of responses.
    pub response_body: BodyPolicy,
}

/// Connections by what they carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// HTTP/1.
    pub http1: u64,
    /// TLS.
    pub tls: u64,
    /// HTTP/2 without TLS.
    pub http2: u64,
    /// HTTP/1 that changed to another protocol (CONNECT, Upgrade).
    pub upgraded: u64,
    /// Anything else that carried bytes.
    pub unknown: u64,
    /// Messages that were not kept, because what is held of all took too much memory.
    pub let_go: u64,
}

impl StreamStats {
    /// Counts an open connection under what it turned out to carry.
    fn change(&mut self, before: Protocol, after: Protocol) {
        if before != after {
            self.of(before).into_iter().for_each(|count| *count = count.saturating_sub(1));
            self.of(after).into_iter().for_each(|count| *count += 1);
        }
    }

    /// The count of a protocol that an open connection can be known by: any may still turn out to be another than unknown.
    const fn of(&mut self, protocol: Protocol) -> Option<&mut u64> {
        match protocol {
            Protocol::Nothing | Protocol::Unknown => None,
            Protocol::Http1 => Some(&mut self.http1),
            Protocol::Tls => Some(&mut self.tls),
            Protocol::Http2 => Some(&mut self.http2),
            Protocol::Upgraded => Some(&mut self.upgraded),
        }
    }
}

/// Protocol of a connection, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// No byte was seen yet.
    #[default]
    Nothing,
    Http1,
    Tls,
    Http2,
    Upgraded,
    Unknown,
}

/// Facts about a connection before it carries bytes.
#[derive(Clone, Copy, Debug)]
struct ConnectionStart {
    connection: crate::exchange::ConnectionId,
    ends: [Endpoint; 2],
    server: Option<(Side, bool)>,
}

/// Parses the streams of all connections.
#[derive(Debug)]
pub struct Http1 {
    interests: BodyPolicies,
    /// Most bytes of incomplete messages held, in all connections. Past it the connection that needs more gives up what
    /// it holds: its body is not kept, its head counts as too large, and its oldest outstanding requests are reported
    /// to have no response.
    max_held: usize,
    held: usize,
    places: Slab<Conversation>,
    stats: StreamStats,
}

impl Http1 {
    /// A parser that has seen nothing yet, with the default limit of 128 MiB.
    #[must_use]
    pub fn new(interests: BodyPolicies) -> Self {
        Self::with_limit(interests, 128 << 20)
    }

    /// A parser that has seen nothing yet; it holds at most `max_held` bytes of messages that are not whole.
    #[must_use]
    pub fn with_limit(interests: BodyPolicies, max_held: usize) -> Self {
        Self { interests, max_held, held: 0, places: Slab::default(), stats: StreamStats::default() }
    }

    /// Bytes held of messages that are not whole yet.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held
    }

    /// Connections so far, by what they carry, open ones included. One that has not shown what it carries counts once it has
    /// closed.
    #[must_use]
    pub const fn stats(&self) -> &StreamStats {
        &self.stats
    }

    /// Asks for the memory that the next chunk of the connection in this slot will need.
    pub(crate) fn fetch(&self, slot: Slot) {
        self.places.fetch(slot);
    }

    /// How many of the next bytes of this side are only counted, whatever they are.
    #[inline]
    #[must_use]
    pub fn passes_over(&self, slot: Slot, side: Side) -> u64 {
        let conversation = self.places.get(slot).filter(|conversation| conversation.is_open());
        conversation.map_or(0, |conversation| conversation.passes_over(side))
    }

    /// Processes the next chunk and emits the events that it completes.
    pub fn take(&mut self, chunk: Chunk<'_>, sink: &mut dyn FnMut(Event)) {
        match chunk {
            Chunk::Opened { slot, connection, at, ends, server } => {
                if let Some(place) = self.places.place(slot) {
                    *place = Conversation::new(ConnectionStart { connection, ends, server }, self.interests);
                }
                sink(Event::Opened { connection, at });
            }
            Chunk::Data { slot, side, at, stretch, offset, received, bytes } => {
                let piece = StreamPiece { at, stretch, offset, received, bytes };
                let Some(conversation) = self.places.get_mut(slot).filter(|conversation| conversation.is_open()) else {
                    return;
                };
                if conversation.inside_body(side, &piece) {
                    return;
                }
                let (before, spoke) = (conversation.held(), conversation.speaks());
                let others = self.held - before;
                conversation.data(side, piece, sink);
                self.stats.change(spoke, conversation.speaks());
                let mut after = conversation.held();
                if after > before && others + after > self.max_held {
                    conversation.evict(side, at, sink);
                    after = conversation.held();
                    self.stats.let_go += 1;
                }
                self.held = others + after;
            }
            Chunk::Gap { slot, side, len, why } => {
                self.follow(slot, |conversation| conversation.gap(side, len, why, sink));
            }
            Chunk::End { slot, side, at } => {
                self.follow(slot, |conversation| conversation.end(side, at, sink));
            }
            Chunk::Closed { slot, at, how } => self.close(slot, at, how, sink),
        }
    }

    /// Does something with a conversation, and follows what all of them hold.
    fn follow(&mut self, slot: Slot, act: impl FnOnce(&mut Conversation)) {
        let place = self.places.get_mut(slot).filter(|conversation| conversation.is_open());
        let Some(conversation) = place else { return };
        let (others, spoke) = (self.held - conversation.held(), conversation.speaks());
        act(conversation);
        self.stats.change(spoke, conversation.speaks());
        self.held = others + conversation.held();
    }

    fn close(&mut self, slot: Slot, at: Timestamp, how: crate::exchange::Close, sink: &mut dyn FnMut(Event)) {
        let place = self.places.get_mut(slot).filter(|conversation| conversation.is_open());
        let Some(mut conversation) = place.map(std::mem::take) else { return };
        self.held -= conversation.held();
        let spoke = conversation.speaks();
        conversation.close(at, how, sink);
        self.stats.change(spoke, conversation.speaks());
        self.stats.unknown += u64::from(conversation.speaks() == Protocol::Unknown);
        let connection = conversation.connection();
        sink(Event::Closed { connection, at, how });
    }
}
