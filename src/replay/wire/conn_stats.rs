//! Counts of connections made, and of open ones.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::exchange::ExchangeId;
use crate::replay::{ConnCounters, ConnNumber, Desynchronised, OpenNow};

use super::addresses::Addresses;

/// Most set-up times that are held between two calls of [`crate::replay::Client::connections`], 16 bytes each;
/// further connections are counted, but their times are not.
pub(crate) const MAX_SET_UPS: usize = 1 << 18;

/// History of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    /// Requests whose whole response came.
    pub(super) exchanges: u64,
    /// The last of them.
    pub(super) last: Option<ExchangeId>,
    /// Its response had no body, whatever its head says.
    pub(super) bodiless: bool,
    /// A response came to each request that was written: any further bytes belong to none.
    pub(super) is_idle: bool,
    /// It was quiet for a moment before its first request.
    pub(super) is_settled: bool,
}

/// Desynchronised connections that wait to be handed over. The responses on further ones are counted as earlier, and stand.
const MAX_NEWLY: usize = 1 << 16;

/// The connections of one client.
#[derive(Debug, Default)]
pub(super) struct ConnStats {
    opened: AtomicU64,
    open: AtomicU64,
    peak: AtomicU64,
    set_up: Mutex<Vec<Duration>>,
    retried: AtomicU64,
    desynchronised: Mutex<Desynchronised>,
    /// Those that were not handed over yet.
    newly: Mutex<Vec<ConnNumber>>,
    /// True once bytes came on a connection that belong to no request.
    is_suspect: AtomicBool,
    /// True once a request failed over a connection that had carried others, or one was closed soon after a response.
    has_failed_reused: AtomicBool,
}

/// One connection; it counts as open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenGuard(Arc<ConnStats>);

impl OpenGuard {
    pub(super) fn ledger(&self) -> &ConnStats {
        &self.0
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnStats {
    /// A connection is open, though not yet set up.
    pub(super) fn open(self: &Arc<Self>) -> OpenGuard {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.peak.fetch_max(open, Ordering::Relaxed);
        OpenGuard(Arc::clone(self))
    }

    /// A connection was set up in this time. Past [`MAX_SET_UPS`] between two calls of [`Ledger::take`] it is not kept.
    pub(super) fn set_up(&self, took: Duration) {
        let mut set_up = self.set_up.lock().unwrap_or_else(PoisonError::into_inner);
        if set_up.len() < MAX_SET_UPS {
            set_up.push(took);
        }
    }

    /// A request goes out once more.
    pub(super) fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// A request failed over a connection that had carried others, or would have: it was closed already.
    pub(super) fn failed_reused(&self) {
        self.has_failed_reused.store(true, Ordering::Relaxed);
    }

    /// Returns whether one ever did.
    pub(super) fn has_failed_reused(&self) -> bool {
        self.has_failed_reused.load(Ordering::Relaxed)
    }

    /// On this connection, of this history, something came that answers no request; `failed` of its requests are told so
    /// by their own deliveries.
    pub(super) fn desynchronised(&self, connection: ConnNumber, history: &History, failed: u64) {
        self.is_suspect.store(true, Ordering::Relaxed);
        let mut all = self.desynchronised.lock().unwrap_or_else(PoisonError::into_inner);
        all.connections += 1;
        all.deliveries += failed;
        all.before_a_request += u64::from(history.exchanges == 0);
        all.earlier += history.exchanges.saturating_sub(failed);
        all.first = all.first.or(history.last);
        drop(all);
        let mut newly = self.newly.lock().unwrap_or_else(PoisonError::into_inner);
        if history.exchanges > failed && newly.len() < MAX_NEWLY {
            newly.push(connection);
        }
    }

    /// The desynchronised connections whose earlier responses nobody was told of; the next call begins anew.
    pub(super) fn newly_desynchronised(&self) -> Vec<ConnNumber> {
        std::mem::take(&mut *self.newly.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether bytes ever came that belong to no request.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Relaxed)
    }

    /// Returns the number of connections opened, and of those still open.
    pub(super) fn open_now(&self) -> OpenNow {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OpenNow { opened: of(&self.opened), open: of(&self.open), peak: of(&self.peak) }
    }

    /// Returns the counts so far, and hands over the set-up times.
    pub(super) fn take(&self, addresses: &Addresses) -> ConnCounters {
        ConnCounters {
            opened: self.opened.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
            set_up: std::mem::take(&mut *self.set_up.lock().unwrap_or_else(PoisonError::into_inner)),
            addresses: addresses.shares(),
            retried: self.retried.load(Ordering::Relaxed),
            desynchronised: self.desynchronised.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
