//! Connections that wait for their next request.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::link::Link;

/// How long an unused connection is kept: shorter than common servers and balancers do (60 s), since one that they
/// close while a request is on its way costs that request.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Idle connections. Their number is bounded by that of the requests in flight at once: each brought one back.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<VecDeque<Idle>>);

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    /// The connection that was used last and is still alive; dead ones go on the way.
    pub(super) fn take(&self, now: Instant) -> Option<Link> {
        loop {
            // The lock is not held while the system is asked.
            let Idle { mut link, since } = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_back()?;
            if now.saturating_duration_since(since) < POOL_IDLE && link.is_alive() {
                return Some(link);
            }
        }
    }

    /// Takes a connection back, and lets those go that nobody has wanted for long.
    pub(super) fn give(&self, link: Link, now: Instant) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back(Idle { link, since: now });
        let old = |idle: &Idle| now.saturating_duration_since(idle.since) >= POOL_IDLE;
        let expired = if idle.front().is_some_and(old) { idle.pop_front() } else { None };
        drop(idle);
        drop(expired);
    }
}
