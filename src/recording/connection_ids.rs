//! Connection numbers of records, where the file itself has no usable number.

use xxhash_rust::xxh3::xxh3_128;

use crate::exchange::{ConnectionId, ExchangeId};

use super::recent::Recent;

/// Connections that are remembered. Past it those that were not heard of for longest get a new number when they are.
const MAX_CONNECTIONS: usize = 1 << 18;

/// Remembered state of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownConnection {
    connection: ConnectionId,
    exchanges: u32,
}

/// Numbers connections in the order in which they turn up.
#[derive(Debug)]
pub(super) struct ConnectionIds {
    known: Recent<u128, KnownConnection>,
    count: u64,
}

impl Default for ConnectionIds {
    fn default() -> Self {
        Self { known: Recent::new(MAX_CONNECTIONS), count: 0 }
    }
}

impl ConnectionIds {
    /// Returns the connection identified by these bytes.
    pub(super) fn connection(&mut self, name: &[u8]) -> ConnectionId {
        self.known(name).connection
    }

    /// Its next exchange.
    pub(super) fn exchange(&mut self, name: &[u8]) -> ExchangeId {
        let known = self.known(name);
        known.exchanges = known.exchanges.saturating_add(1);
        ExchangeId::new(known.connection, known.exchanges)
    }

    /// The only exchange of a connection that is not known.
    pub(super) fn lone(&mut self) -> ExchangeId {
        self.count += 1;
        ExchangeId::new(ConnectionId(self.count), 1)
    }

    fn known(&mut self, name: &[u8]) -> &mut KnownConnection {
        let key = xxh3_128(name);
        let known = self.known.get(key).copied().unwrap_or_else(|| {
            self.count += 1;
            KnownConnection { connection: ConnectionId(self.count), exchanges: 0 }
        });
        // Put back where it was: a look-up that fails cannot hand on its place.
        self.known.insert(key, known)
    }
}
