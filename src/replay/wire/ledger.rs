//! How many connections were made, and how many are open.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::replay::http::MAX_SET_UPS;
use crate::replay::{Connections, OpenNow};

use super::addresses::Addresses;

/// The connections of one client.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    opened: AtomicU64,
    open: AtomicU64,
    peak: AtomicU64,
    set_up: Mutex<Vec<Duration>>,
}

/// One connection; it counts as open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenGuard(Arc<Ledger>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ledger {
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

    /// How many were opened, and how many of them are open.
    pub(super) fn open_now(&self) -> OpenNow {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OpenNow { opened: of(&self.opened), open: of(&self.open), peak: of(&self.peak) }
    }

    /// What is known now; the set-up times are handed over.
    pub(super) fn take(&self, addresses: &Addresses) -> Connections {
        Connections {
            opened: self.opened.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
            set_up: std::mem::take(&mut *self.set_up.lock().unwrap_or_else(PoisonError::into_inner)),
            addresses: addresses.shares(),
        }
    }
}
