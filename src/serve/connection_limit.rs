//! Limits on connections of viewers: their number, their share per client, and the time for which they may be silent.
//!
//! A connection without a response in progress may be closed at any time for a new one, the oldest first: one client
//! never takes more than its part, and all of them together never keep another one out.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

/// Connections that are served at once. Past it the oldest without a response in progress is closed for a new one.
const MAX_CONNECTIONS: usize = 64;

/// Connections of one client at once. Past it the oldest of its own without a response in progress is closed for a new
/// one; a browser opens six at most.
const MAX_PER_CLIENT: usize = 16;

/// Time from the connection, or from a request's first byte, to the end of its head.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for which a connection may say nothing after a response, or take nothing of one.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Marks a connection as having a response in progress for as long as it is held.
#[derive(Clone, Debug)]
pub(super) struct Answering(#[expect(dead_code, reason = "only that it is held counts")] Arc<()>);

/// The connections that are open.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionLimit(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    /// In the order in which they came: [`MAX_CONNECTIONS`] at most.
    slots: Vec<Slot>,
    next: u64,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    client: IpAddr,
    answering: Arc<()>,
    close: Arc<Notify>,
}

/// A slot for one connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    limit: ConnectionLimit,
    number: u64,
    answering: Arc<()>,
    close: Arc<Notify>,
}

impl ConnectionLimit {
    /// Admits a connection of `client`, and closes another one for it where that is needed. `None` where all candidates
    /// have a response in progress.
    pub(super) fn admit(&self, client: IpAddr) -> Option<Admitted> {
        let client = network(client);
        let mut open = self.lock();
        let own = open.slots.iter().filter(|slot| slot.client == client).count();
        if own >= MAX_PER_CLIENT {
            open.close_oldest(|slot| slot.client == client)?;
        } else if open.slots.len() >= MAX_CONNECTIONS {
            open.close_oldest(|_| true)?;
        }
        let (number, answering, close) = (open.next, Arc::new(()), Arc::new(Notify::new()));
        open.next += 1;
        open.slots.push(Slot { number, client, answering: Arc::clone(&answering), close: Arc::clone(&close) });
        Some(Admitted { limit: self.clone(), number, answering, close })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nobody panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Closes the oldest of these without a response in progress.
    fn close_oldest(&mut self, of: impl Fn(&Slot) -> bool) -> Option<()> {
        let oldest =
            self.slots.iter().position(|slot| of(slot) && !is_answering(&slot.answering, SLOT_AND_ADMITTED))?;
        self.slots.remove(oldest).close.notify_one();
        Some(())
    }
}

/// Number of holders of the mark of a connection without a response in progress: its slot, and the admitted connection.
const SLOT_AND_ADMITTED: usize = 2;

fn is_answering(mark: &Arc<()>, at_rest: usize) -> bool {
    Arc::strong_count(mark) > at_rest
}

impl Admitted {
    /// Returns the mark of this connection for a response in progress.
    pub(super) fn answering(&self) -> Answering {
        Answering(Arc::clone(&self.answering))
    }

    /// Ready when another connection needs the place of this one.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    /// Returns whether a response is in progress.
    fn is_answering(&self) -> bool {
        // The slot is gone once another connection has taken its place: then this one ends anyway.
        is_answering(&self.answering, SLOT_AND_ADMITTED)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let number = self.number;
        self.limit.lock().slots.retain(|slot| slot.number != number);
    }
}

/// Returns the address that counts as one client: of IPv6, the network that one machine is given.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// One connection, which may say nothing, or take nothing, only for so long.
pub(super) struct TimedStream {
    stream: TcpStream,
    admitted: Arc<Admitted>,
    state: State,
    reading: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
}

/// Event that is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The end of a head.
    Head,
    /// The end of a response.
    Answering,
    /// The first byte of the next head.
    Idle,
}

impl TimedStream {
    pub(super) fn new(stream: TcpStream, admitted: Arc<Admitted>) -> Self {
        Self { stream, admitted, state: State::Head, reading: Box::pin(sleep(HEAD_TIMEOUT)), writing: None }
    }

    fn begin(&mut self, state: State, timeout: Duration) {
        self.state = state;
        self.reading.as_mut().reset(Instant::now() + timeout);
    }
}

fn timed_out<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl AsyncRead for TimedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let answering = this.admitted.is_answering();
        match (answering, this.state) {
            (true, State::Head | State::Idle) => this.begin(State::Answering, IDLE_TIMEOUT),
            (false, State::Answering) => this.begin(State::Idle, IDLE_TIMEOUT),
            _ => {}
        }
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            if this.state == State::Idle {
                this.begin(State::Head, HEAD_TIMEOUT);
            }
            return Poll::Ready(read);
        }
        // While it is answered the timer only wakes this up to look again.
        while this.reading.as_mut().poll(cx).is_ready() {
            if !answering {
                return timed_out();
            }
            this.begin(State::Answering, IDLE_TIMEOUT);
        }
        Poll::Pending
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Poll::Ready(written) = Pin::new(&mut this.stream).poll_write(cx, bytes) {
            this.writing = None;
            return Poll::Ready(written);
        }
        ready!(this.writing.get_or_insert_with(|| Box::pin(sleep(IDLE_TIMEOUT))).as_mut().poll(cx));
        timed_out()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn is_closed(admitted: &Admitted) -> bool {
        let waker = std::task::Waker::noop();
        std::pin::pin!(admitted.closed()).poll(&mut Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn a_client_past_its_part_closes_its_own_oldest_and_nobody_elses() {
        let limit = ConnectionLimit::default();
        let other = limit.admit(client(2)).unwrap();
        let own: Vec<_> = (0..MAX_PER_CLIENT + 3).map(|_| limit.admit(client(1)).unwrap()).collect();
        let closed: Vec<_> = own.iter().map(is_closed).collect();
        assert_eq!(closed.iter().filter(|closed| **closed).count(), 3);
        assert_eq!(closed[..3], [true; 3]);
        assert!(!is_closed(&other));
    }

    #[test]
    fn what_is_answered_is_closed_for_nobody() {
        let limit = ConnectionLimit::default();
        let own: Vec<_> = (0..MAX_PER_CLIENT).map(|_| limit.admit(client(1)).unwrap()).collect();
        let mut answering: Vec<_> = own.iter().map(Admitted::answering).collect();
        assert!(limit.admit(client(1)).is_none());
        answering.remove(5);
        assert!(limit.admit(client(1)).is_some());
        assert_eq!(own.iter().position(is_closed), Some(5));
    }

    #[test]
    fn many_clients_together_keep_nobody_out() {
        let limit = ConnectionLimit::default();
        let all: Vec<_> = (0..8 * MAX_CONNECTIONS)
            .map(|number| limit.admit(client(u8::try_from(number % 200).unwrap())).unwrap())
            .collect();
        assert_eq!(all.iter().filter(|admitted| !is_closed(admitted)).count(), MAX_CONNECTIONS);
        assert_eq!(limit.lock().slots.len(), MAX_CONNECTIONS);
        drop(all);
        assert!(limit.lock().slots.is_empty());
    }

    #[test]
    fn a_client_is_an_address_and_of_ipv6_a_network() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("2001:db8:1:2::3", "2001:db8:1:2:ffff::9") && same("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(!same("2001:db8:1:2::3", "2001:db8:1:3::3") && !same("10.0.0.1", "10.0.0.2"));
    }
}
