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

/// Time that a connection waits before it carries a request that may not go twice, where the target was seen to close
/// used ones: those that close at all mostly do so a moment after a response.
const REST: Duration = Duration::from_millis(1);

/// A connection that was closed within this time is of such a target; what waited longer may have met a limit that any
/// server has.
const SOON: Duration = Duration::from_millis(10);

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

impl Idle {
    /// Removes the connection that was used last; of a target that closes used ones, for a request that may not go twice,
    /// the last one that has rested.
    fn pop(&mut self, may_be_repeated: bool) -> Option<IdleConn> {
        if may_be_repeated || !self.conns.back()?.link.needs_rest() {
            return self.conns.pop_back();
        }
        let now = Instant::now();
        let rested = self.conns.iter().rposition(|idle| now >= idle.since + REST)?;
        self.conns.remove(rested)
    }
}

impl ConnPool {
    /// The connection that was used last and is still alive; dead ones go on the way. Where the request `may_be_repeated`, one
    /// whose target ended it just now is no loss. Otherwise none that needs rest is taken.
    pub(super) fn take(&self, now: Instant, may_be_repeated: bool) -> Option<Box<UpstreamConn>> {
        loop {
            // The lock is not held while the system is asked.
            let IdleConn { mut link, since, until } = self.idle().pop(may_be_repeated)?;
            // One that came back after `now` may have done so at any time since.
            let age = now.checked_duration_since(since);
            let is_fresh = may_be_repeated && age.is_some_and(|age| age < FRESH);
            if now >= until {
                continue;
            }
            if is_fresh && link.is_trusted() || link.is_ready() {
                return Some(link);
            }
            if age.is_none_or(|age| age < SOON) {
                link.closed_soon();
            }
        }
    }

    /// The connection that has waited for longest, to be looked at when it has rested: at the time beside it.
    pub(super) fn take_resting(&self) -> Option<(Box<UpstreamConn>, Instant)> {
        let IdleConn { link, since, .. } = self.idle().conns.pop_front()?;
        let rest = if link.needs_rest() { REST } else { Duration::ZERO };
        Some((link, since + rest))
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
    use std::sync::Arc;

    use tokio::net::{TcpListener, TcpStream};

    use super::super::addresses::AddressEntry;
    use super::super::conn_stats::ConnStats;
    use super::super::transport::Transport;
    use super::super::upstream::UpstreamStream;
    use super::*;
    use crate::replay::ConnNumber;

    /// A pool's connections, and the target's ends of them.
    struct Opened {
        ledger: Arc<ConnStats>,
        listener: TcpListener,
        theirs: Vec<TcpStream>,
    }

    impl Opened {
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            Self { ledger: Arc::default(), listener, theirs: Vec::new() }
        }

        /// One more, as it is after a response.
        async fn link(&mut self) -> Box<UpstreamConn> {
            let address = self.listener.local_addr().unwrap();
            let ours = TcpStream::connect(address).await.unwrap();
            self.theirs.push(self.listener.accept().await.unwrap().0);
            let entry = Arc::new(AddressEntry::new(address.into()));
            Box::new(UpstreamConn::new(UpstreamStream::Plain(Transport::Tcp(ours)), entry, self.ledger.open()))
        }
    }

    fn number(link: Option<Box<UpstreamConn>>) -> Option<ConnNumber> {
        link.map(|link| link.number)
    }

    #[tokio::test]
    async fn of_a_target_that_closes_used_connections_one_that_rested_is_taken_for_what_may_not_go_twice() {
        let (mut opened, pool) = (Opened::new().await, ConnPool::default());
        // The last one has not rested, however slow this machine is.
        let now = Instant::now();
        let gave = [now - REST * 9, now - REST * 2, now + POOL_IDLE / 2];
        let mut numbers = Vec::new();
        for since in gave.iter().chain(&gave[2..]) {
            let link = opened.link().await;
            numbers.push(Some(link.number));
            pool.give(link, *since, None);
        }
        assert_eq!(number(pool.take(now, false)), numbers[3], "nothing is known against the target");
        opened.ledger.failed_reused();
        assert_eq!(number(pool.take(now, false)), numbers[1]);
        assert_eq!(number(pool.take(now, false)), numbers[0]);
        assert_eq!(number(pool.take(now, false)), None);
        let (link, rested) = pool.take_resting().unwrap();
        assert_eq!((Some(link.number), rested), (numbers[2], gave[2] + REST));
        pool.give(link, gave[2], None);
        assert_eq!(number(pool.take(now, true)), numbers[2], "what may be repeated waits for nothing");
    }

    #[tokio::test]
    async fn what_was_closed_soon_after_a_response_is_held_against_the_target_and_what_waited_long_is_not() {
        for (age, expected) in [(SOON * 2, false), (SOON / 2, true)] {
            let (mut opened, pool) = (Opened::new().await, ConnPool::default());
            let now = Instant::now();
            pool.give(opened.link().await, now - age, None);
            opened.theirs.clear();
            assert!(pool.take(now, false).is_none());
            assert_eq!(opened.ledger.has_failed_reused(), expected, "{age:?}");
        }
    }

    #[test]
    fn what_a_target_says_of_its_patience_is_not_used_up() {
        for (says, usable_for) in [(0, 0), (1, 500), (2, 1_000), (5, 4_000), (60, 59_000)] {
            assert_eq!(usable(Duration::from_secs(says)), Duration::from_millis(usable_for), "{says}");
        }
    }
}
