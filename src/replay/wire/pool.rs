//! Connections that wait for their next request.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::upstream::UpstreamConn;

/// Time that an unused connection is kept: shorter than common servers and balancers keep it (60 s), since a connection
/// that they close while a request is on its way costs that request.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Time since its last response for which a connection is taken for what it was then: to ask the system takes about 5 % of
/// a request. What a target does in that time may as well happen while a request is on its way.
const FRESH: Duration = Duration::from_micros(20);

/// Idle connections. Their number is bounded by that of the requests in flight at once: each brought one back.
#[derive(Debug, Default)]
pub(super) struct ConnPool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    conns: VecDeque<IdleConn>,
    /// The next one to be looked at.
    next: usize,
}

#[derive(Debug)]
struct IdleConn {
    link: Box<UpstreamConn>,
    /// When its last response was read, or it was looked at otherwise.
    since: Instant,
    /// Until when it may be used.
    until: Instant,
}

impl ConnPool {
    /// The connection that was used last and is still alive; dead ones go on the way. Where the request `may_be_repeated`, one
    /// whose target ended it just now is no loss.
    pub(super) fn take(&self, now: Instant, may_be_repeated: bool) -> Option<Box<UpstreamConn>> {
        loop {
            // The lock is not held while the system is asked.
            let IdleConn { mut link, since, until } = self.idle().conns.pop_back()?;
            // One that came back after `now` may have done so at any time since.
            let age = now.checked_duration_since(since);
            let is_fresh = may_be_repeated && age.is_some_and(|age| age < FRESH);
            if now < until && (is_fresh && link.is_trusted() || link.is_ready()) {
                return Some(link);
            }
        }
    }

    /// Returns whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.idle().conns.is_empty()
    }

    /// Takes a connection back, and lets those go that nobody has wanted for long. A target that says how long it keeps a
    /// connection idle is not relied upon to do so to the end.
    pub(super) fn give(&self, link: Box<UpstreamConn>, now: Instant, idle_timeout: Option<Duration>) {
        let idle_for = idle_timeout.map_or(POOL_IDLE, |time| usable(time).min(POOL_IDLE));
        if idle_for.is_zero() {
            return;
        }
        let mut idle = self.idle();
        idle.conns.push_back(IdleConn { link, since: now, until: now + idle_for });
        let old = |idle: &IdleConn| now >= idle.until;
        let expired = if idle.conns.front().is_some_and(old) { idle.conns.pop_front() } else { None };
        drop(idle);
        drop(expired);
    }

    /// Looks at so many of them at most, in turn, so that what came unasked is counted; dead ones go.
    pub(super) fn look(&self, most: usize) {
        let mut idle = self.idle();
        let mut dead = Vec::new();
        for _ in 0..most.min(idle.conns.len()) {
            let at = if idle.next < idle.conns.len() { idle.next } else { 0 };
            let is_dead = idle.conns.get_mut(at).is_some_and(|one| !one.link.is_ready());
            if is_dead {
                dead.extend(idle.conns.swap_remove_front(at));
            }
            idle.next = at + usize::from(!is_dead);
        }
        drop(idle);
        drop(dead);
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the part of a target's idle timeout in which a connection may be used: a request sent in the last second may
/// cross the connection's end.
fn usable(time: Duration) -> Duration {
    time.saturating_sub(Duration::from_secs(1)).max(time / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_says_of_its_patience_is_not_used_up() {
        for (says, usable_for) in [(0, 0), (1, 500), (2, 1_000), (5, 4_000), (60, 59_000)] {
            assert_eq!(usable(Duration::from_secs(says)), Duration::from_millis(usable_for), "{says}");
        }
    }
}
