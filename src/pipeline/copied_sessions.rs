//! Sessions that are copied: a connection each, or all connections of a client.
//!
//! A copy is later than its original by a time that its session tells. Where later requests carry what earlier ones were
//! given, all connections of a client are one session: none of a copy comes before its login.

use std::num::NonZeroUsize;

use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64;

use crate::exchange::{ConnectionId, Event};

/// Connections whose client is remembered; of one past it, the longest without an event, nothing more is copied.
const MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap();

/// The sessions of the connections that are open.
pub(super) struct CopiedSessions(Option<LruCache<ConnectionId, OpenConnection>>);

/// A connection of a client.
struct OpenConnection {
    /// Known from its first request on.
    session: Option<u64>,
    /// Its opening, until then.
    opened: Option<Event>,
}

impl CopiedSessions {
    /// Each connection is a session, or with `by_client` all of a client are.
    pub(super) fn new(by_client: bool) -> Self {
        Self(by_client.then(|| LruCache::new(MAX_CONNECTIONS)))
    }

    /// The session that an event of this connection is copied with, and the opening that is to be copied before it. `None`
    /// where nothing is to be copied, or not yet.
    pub(super) fn of(&mut self, event: &Event, connection: ConnectionId) -> Option<(u64, Option<Event>)> {
        let Some(open) = &mut self.0 else { return Some((connection.0, None)) };
        match event {
            Event::Opened { .. } => {
                open.put(connection, OpenConnection { session: None, opened: Some(event.clone()) });
                None
            }
            Event::Request(request) => {
                let known = open.get_or_insert_mut(connection, || OpenConnection { session: None, opened: None });
                let session = *known.session.get_or_insert_with(|| match request.client.ip() {
                    std::net::IpAddr::V4(ip) => xxh3_64(&ip.octets()),
                    std::net::IpAddr::V6(ip) => xxh3_64(&ip.octets()),
                });
                Some((session, known.opened.take()))
            }
            // One that never had a request needs no copy.
            Event::Closed { .. } => Some((open.pop(&connection)?.session?, None)),
            _ => Some((open.get(&connection)?.session?, None)),
        }
    }
}
