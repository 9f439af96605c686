//! What is known of one value at one destination.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::exchanges::ENTRY;
use crate::exchange::ExchangeId;
use crate::middleware::carry::{Issued, coding};

/// How long a program is not asked again about a value for which it failed: twice as long each time, up to the second one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(60);

/// A value that production issued, under one rule and in one copy of the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ValueKey {
    pub(super) rule: usize,
    /// The client that it was issued to, where the same value had been issued to another one before.
    client: Option<IpAddr>,
    pass: u32,
    copy: u32,
    pub(super) value: Bytes,
}

impl ValueKey {
    /// That of a value without percent coding.
    pub(super) fn of(rule: usize, id: ExchangeId, value: &[u8]) -> Self {
        Self { rule, client: None, pass: id.pass, copy: id.copy, value: Bytes::copy_from_slice(value) }
    }

    /// That of a value as it was issued.
    pub(super) fn issued(rule: usize, of: ExchangeId, value: &[u8]) -> Self {
        Self::of(rule, of, &coding::plain(value))
    }

    pub(super) fn of_client(&self, client: IpAddr) -> Self {
        Self { client: Some(client), ..self.clone() }
    }
}

/// What stands for a value at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Value {
        new: Bytes,
        /// The old one was issued in percent coding.
        was_coded: bool,
    },
    /// The destination had the client forget it.
    Deleted,
}

/// What is known of a value when a request brings it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Known(Known),
    /// Production issued it, and the destination has not answered yet.
    Pending,
    /// Nobody issued it: it began before the capture, or its counterpart never came.
    Unknown,
}

/// A value that production issued.
#[derive(Debug)]
pub(super) struct CarriedValue {
    /// Client that it was issued to.
    pub(super) client: IpAddr,
    pub(super) state: EntryState,
}

#[derive(Debug)]
pub(super) enum EntryState {
    Known(Known),
    /// Awaited from the exchange; whoever waits is told by dropping these.
    Pending {
        from: ExchangeId,
        waiting: Vec<oneshot::Sender<()>>,
    },
    /// A program was asked; whoever waits is told likewise.
    LoggingIn {
        failures: u32,
        waiting: Vec<oneshot::Sender<()>>,
    },
    /// It failed so often, and is asked again from then on.
    NoLogin {
        failures: u32,
        again: Instant,
    },
}

pub(super) fn known(issued: &Issued, was_coded: bool) -> Known {
    match issued {
        Issued::Value(new) => Known::Value { new: new.clone(), was_coded },
        Issued::Deleted => Known::Deleted,
    }
}

/// How long no program is asked about a value after so many failures.
pub(super) fn pause(failures: u32) -> Duration {
    MAX_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1)))
}

/// Bytes that an entry takes.
pub(super) fn size(key: &ValueKey, entry: Option<&CarriedValue>) -> usize {
    let known = match entry.map(|entry| &entry.state) {
        Some(EntryState::Known(Known::Value { new, .. })) => new.len(),
        _ => 0,
    };
    ENTRY + key.value.len() + known
}
