//! Connections that wait for their next request.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::upstream::UpstreamConn;
use crate::replay::{MAX_SENDERS, sender};

/// Time that an unused connection is kept: shorter than common servers and balancers keep it (60 s), since a connection
/// that they close while a request is on its way costs that request.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Idle connections, of each thread that sends apart: the one that opened a connection is woken by what comes over it. Their
/// number is bounded by that of the requests in flight at once: each brought one back.
#[derive(Debug, Default)]
pub(super) struct ConnPool([Mutex<Idle>; MAX_SENDERS]);

#[derive(Debug, Default)]
struct Idle {
    conns: VecDeque<IdleConn>,
    /// The next one to be looked at.
    next: usize,
}

#[derive(Debug)]
struct IdleConn {
    link: UpstreamConn,
    /// Until when it may be used.
    until: Instant,
}

impl ConnPool {
    /// The connection that this thread used last and is still alive; dead ones go on the way.
    pub(super) fn take(&self, now: Instant) -> Option<UpstreamConn> {
        loop {
            // The lock is not held while the system is asked.
            let IdleConn { mut link, until } = self.own().conns.pop_back()?;
            if now < until && link.is_ready() {
                return Some(link);
            }
        }
    }

    /// Returns whether this thread has none.
    pub(super) fn is_empty(&self) -> bool {
        self.own().conns.is_empty()
    }

    /// Takes a connection back, and lets those go that nobody has wanted for long. A target that says how long it keeps a
    /// connection idle is not relied upon to do so to the end.
    pub(super) fn give(&self, link: UpstreamConn, now: Instant, idle_timeout: Option<Duration>) {
        let idle_for = idle_timeout.map_or(POOL_IDLE, |time| usable(time).min(POOL_IDLE));
        if idle_for.is_zero() {
            return;
        }
        let mut idle = self.own();
        idle.conns.push_back(IdleConn { link, until: now + idle_for });
        let old = |idle: &IdleConn| now >= idle.until;
        let expired = if idle.conns.front().is_some_and(old) { idle.conns.pop_front() } else { None };
        drop(idle);
        drop(expired);
    }

    /// Looks at so many of each thread's at most, in turn, so that what came unasked is counted; dead ones go.
    pub(super) fn look(&self, most: usize) {
        self.0.iter().for_each(|idle| look(locked(idle), most));
    }

    fn own(&self) -> MutexGuard<'_, Idle> {
        let [first, ..] = &self.0;
        locked(self.0.get(sender(MAX_SENDERS)).unwrap_or(first))
    }
}

fn locked(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(mut idle: MutexGuard<'_, Idle>, most: usize) {
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

/// Returns the part of a target's idle timeout in which a connection may be used: a request sent in the last second may
/// cross the connection's end.
fn usable(time: Duration) -> Duration {
    time.saturating_sub(Duration::from_secs(1)).max(time / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_thread_that_sends_takes_its_own_connections() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let settings = crate::replay::SendSettings::new(url.parse().unwrap());
        let client = std::sync::Arc::new(crate::replay::WireClient::new(&settings).unwrap());
        client.open_idle().await;
        let has_some = |number: usize| {
            let client = std::sync::Arc::clone(&client);
            let asked = std::thread::spawn(move || {
                crate::replay::become_sender(number);
                matches!(&client.sharing, super::super::Sharing::Pooled(pool) if !pool.is_empty())
            });
            asked.join().unwrap()
        };
        assert_eq!([0, 1, 2, 3].map(has_some), [true, false, false, false]);
        assert_eq!(client.open_now().open, 1);
    }

    #[test]
    fn what_a_target_says_of_its_patience_is_not_used_up() {
        for (says, usable_for) in [(0, 0), (1, 500), (2, 1_000), (5, 4_000), (60, 59_000)] {
            assert_eq!(usable(Duration::from_secs(says)), Duration::from_millis(usable_for), "{says}");
        }
    }
}
