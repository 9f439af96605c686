//! Which captured connections the clients have to be told of: those over which a request is sent.
//!
//! A connection is told with its first request that passed the chain. Of many none ever does: they speak something
//! else, or are not in the sample, and a target is not to be bothered with them.

use std::collections::HashMap;

use crate::exchange::{ConnectionId, Timestamp};

/// Connections of which no request was sent yet; as many at most as the flow table follows.
#[derive(Debug)]
pub(super) struct Mirror {
    wanted: bool,
    opened: HashMap<ConnectionId, Timestamp, foldhash::fast::RandomState>,
}

impl Mirror {
    /// `wanted` where there is a client that mirrors connections.
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, opened: HashMap::default() }
    }

    /// A connection opened.
    pub(super) fn opened(&mut self, connection: ConnectionId, at: Timestamp) {
        if self.wanted {
            self.opened.insert(connection, at);
        }
    }

    /// A request is sent; when its connection opened, where this is the first over it.
    pub(super) fn first(&mut self, connection: ConnectionId) -> Option<Timestamp> {
        if self.wanted { self.opened.remove(&connection) } else { None }
    }

    /// A connection ended; says whether the clients know of it.
    pub(super) fn closed(&mut self, connection: ConnectionId) -> bool {
        self.wanted && self.opened.remove(&connection).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_known_from_its_first_request_to_its_end() {
        let mut mirror = Mirror::new(true);
        let at = Timestamp::from_nanos(5);
        mirror.opened(ConnectionId(1), at);
        mirror.opened(ConnectionId(2), at);
        assert_eq!(mirror.first(ConnectionId(1)), Some(at));
        assert_eq!(mirror.first(ConnectionId(1)), None);
        assert!(mirror.closed(ConnectionId(1)));
        assert!(!mirror.closed(ConnectionId(2)));
    }

    #[test]
    fn where_nobody_mirrors_nothing_is_remembered() {
        let mut mirror = Mirror::new(false);
        mirror.opened(ConnectionId(1), Timestamp::from_nanos(5));
        assert_eq!((mirror.first(ConnectionId(1)), mirror.closed(ConnectionId(1))), (None, false));
    }
}
