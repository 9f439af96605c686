//! Counts of connections made, and of connections not known to be closed; and no connection but for HTTP/2.
//!
//! Every connection passes through a layer around reqwest's connector; their ends do not, so they are inferred from the
//! ends of the exchanges on them. One over which another protocol was settled is closed here, before anything is sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::Connection;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use super::connecting::ConnectFailures;
use super::failure::NotHttp2;
use super::goaway::CutShort;
use crate::replay::wire::MAX_SET_UPS;
use crate::replay::{ConnCounters, OpenNow};

/// The connections of one client. Clones share one count.
#[derive(Clone, Debug, Default)]
pub(super) struct HttpConnStats(Arc<Mutex<ConnCounts>>);

#[derive(Debug, Default)]
struct ConnCounts {
    opened: u64,
    /// Opened and not known to be closed. For a moment it may be below zero: see [`Ledger::abandoned`].
    open: i64,
    peak: i64,
    set_up: Vec<Duration>,
    retried: u64,
    answers: u64,
}

impl HttpConnStats {
    /// Returns the counts so far, and hands over the set-up times.
    pub(super) fn take(&self) -> ConnCounters {
        let mut state = self.state();
        let set_up = std::mem::take(&mut state.set_up);
        ConnCounters {
            opened: state.opened,
            peak: u64::try_from(state.peak).unwrap_or(0),
            set_up,
            retried: state.retried,
            ..ConnCounters::default()
        }
    }

    /// Returns the number of connections opened, and of those not known to be closed.
    pub(super) fn open_now(&self) -> OpenNow {
        let state = self.state();
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        OpenNow { opened: state.opened, open: count(state.open), peak: count(state.peak) }
    }

    /// An exchange begins. Unless the guard learns better, its connection is closed when the guard is dropped.
    pub(super) fn in_use(&self) -> ConnInUse {
        ConnInUse { ledger: self.clone(), now: ConnEnd::Closed }
    }

    /// A request goes out once more.
    pub(super) fn retried(&self) {
        self.state().retried += 1;
    }

    /// A response began.
    pub(super) fn answered(&self) {
        self.state().answers += 1;
    }

    /// Returns the number of responses that began so far.
    pub(super) fn answers(&self) -> u64 {
        self.state().answers
    }

    fn opened(&self, took: Duration) {
        let mut state = self.state();
        state.opened += 1;
        state.open += 1;
        state.peak = state.peak.max(state.open);
        if state.set_up.len() < MAX_SET_UPS {
            state.set_up.push(took);
        }
    }

    fn closed(&self) {
        self.state().open -= 1;
    }

    /// A connection attempt was dropped: its exchange was, too, which will count a closed connection that it never
    /// had (or just did so).
    fn abandoned(&self) {
        self.state().open += 1;
    }

    fn state(&self) -> MutexGuard<'_, ConnCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// State of a connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnEnd {
    Closed,
    Open,
}

/// The connection of one exchange.
#[derive(Debug)]
pub(super) struct ConnInUse {
    ledger: HttpConnStats,
    now: ConnEnd,
}

impl ConnInUse {
    /// The exchange failed before it had a connection.
    pub(super) const fn never_was(&mut self) {
        self.now = ConnEnd::Open;
    }

    /// Notes that the response was read to its end: connections of HTTP/2 carry many, and end by themselves.
    pub(super) const fn ended(&mut self) {
        self.now = ConnEnd::Open;
    }
}

impl Drop for ConnInUse {
    fn drop(&mut self) {
        if self.now == ConnEnd::Closed {
            self.ledger.closed();
        }
    }
}

/// What counts the connections of a connector.
#[derive(Clone, Debug)]
pub(super) struct ConnectorLayer {
    ledger: HttpConnStats,
    failures: ConnectFailures,
    cut_short: Arc<CutShort>,
    settles: bool,
}

impl ConnectorLayer {
    /// The layer around a connector, whose attempts may fail for several requests. With `settles`, TLS settles the protocol.
    pub(super) fn new(
        ledger: &HttpConnStats,
        failures: &ConnectFailures,
        cut_short: &Arc<CutShort>,
        settles: bool,
    ) -> Self {
        Self { ledger: ledger.clone(), failures: failures.clone(), cut_short: Arc::clone(cut_short), settles }
    }
}

impl<S> Layer<S> for ConnectorLayer {
    type Service = CountingConnector<S>;

    fn layer(&self, connector: S) -> CountingConnector<S> {
        CountingConnector { connector, layer: self.clone() }
    }
}

/// A connector that counts the connections it opens, and opens none but for HTTP/2.
#[derive(Clone, Debug)]
pub(super) struct CountingConnector<S> {
    connector: S,
    layer: ConnectorLayer,
}

impl<S, D> Service<D> for CountingConnector<S>
where
    S: Service<D>,
    S::Response: Connection,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, destination: D) -> Self::Future {
        if let Some(error) = self.layer.failures.awaited() {
            return Box::pin(async move { Err(error.into()) });
        }
        let layer = self.layer.clone();
        let attempt = ConnAttempt { ledger: layer.ledger.clone(), finished: false };
        let connecting = self.connector.call(destination);
        Box::pin(async move {
            let started = Instant::now();
            let result = match connecting.await {
                Ok(connection) if layer.settles && !connection.connected().is_negotiated_h2() => Err(NotHttp2.into()),
                result => result.map_err(Into::into),
            };
            attempt.finish(result.is_ok().then(|| started.elapsed()));
            if let Ok(connection) = &result {
                layer.failures.opened();
                layer.cut_short.opened(&connection.connected());
            }
            result.map_err(|error| layer.failures.failed(error).into())
        })
    }
}

/// One attempt to connect, which may be dropped on the way.
struct ConnAttempt {
    ledger: HttpConnStats,
    finished: bool,
}

impl ConnAttempt {
    fn finish(mut self, took: Option<Duration>) {
        self.finished = true;
        if let Some(took) = took {
            self.ledger.opened(took);
        }
    }
}

impl Drop for ConnAttempt {
    fn drop(&mut self) {
        if !self.finished {
            self.ledger.abandoned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(ledger: &HttpConnStats) -> u64 {
        ledger.take().peak
    }

    #[test]
    fn what_stays_open_adds_up_and_what_ends_badly_does_not() {
        let ledger = HttpConnStats::default();
        ledger.opened(Duration::ZERO);
        let mut kept = ledger.in_use();
        kept.ended();
        drop(kept);
        ledger.opened(Duration::ZERO);
        assert_eq!(peak(&ledger), 2);
        drop(ledger.in_use());
        ledger.opened(Duration::ZERO);
        assert_eq!(peak(&ledger), 2);
        assert_eq!(ledger.take().opened, 3);
    }

    #[test]
    fn an_exchange_without_a_connection_closes_none() {
        let ledger = HttpConnStats::default();
        let mut refused = ledger.in_use();
        refused.never_was();
        drop(refused);
        let waiting = ledger.in_use();
        drop(ConnAttempt { ledger: ledger.clone(), finished: false });
        drop(waiting);
        ledger.opened(Duration::ZERO);
        assert_eq!(peak(&ledger), 1);
    }

    #[test]
    fn set_up_times_are_handed_over_once_and_bounded() {
        let ledger = HttpConnStats::default();
        (0..=MAX_SET_UPS).for_each(|_| ledger.opened(Duration::from_millis(1)));
        let taken = ledger.take();
        assert_eq!((taken.opened, taken.set_up.len()), (MAX_SET_UPS as u64 + 1, MAX_SET_UPS));
        assert!(ledger.take().set_up.is_empty());
    }
}
