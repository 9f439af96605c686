//! Connections that did not process all of their streams, by the word of a `GOAWAY`.
//!
//! hyper opens the streams of a connection one after the other. Where the target takes no more at once, the latest waits, and the
//! requests after it are not streams yet. A `GOAWAY` that names an earlier stream than that of any request rules the latest out with
//! it (RFC 9113, 6.8); hyper drops it without saying so.
//!
//! h2 gives the same error to a request that comes after the `GOAWAY` and becomes no stream, which would prove nothing. hyper asks
//! for that right before: on one thread (see [`super::runtime`]) there is none.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::http::Extensions;
use hyper_util::client::legacy::Error;
use hyper_util::client::legacy::connect::{Connected, HttpInfo};

use super::failure::chain;
use super::repeat;

/// Connections that are remembered: those of a client end one after the other.
const REMEMBERED: usize = 16;
/// Turns of the others until they have said why they failed, where their connection ended at the same moment: the task of each
/// stream, then that of its request.
const TURNS: usize = 3;

/// The connections that were cut short lately.
#[derive(Debug, Default)]
pub(super) struct CutShort(Mutex<VecDeque<ConnKey>>);

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ConnKey {
    local: SocketAddr,
    remote: SocketAddr,
}

impl CutShort {
    /// Notes what the failure of one request says of its connection.
    pub(super) fn note(&self, error: &reqwest::Error) {
        if let Some(key) = repeat::is_ruled_out(error).then(|| of(error)).flatten() {
            self.add(key);
        }
    }

    /// Forgets a connection at whose addresses another was opened.
    pub(super) fn opened(&self, connected: &Connected) {
        if let Some(opened) = key(connected) {
            self.keys().retain(|key| *key != opened);
        }
    }

    /// Returns whether the connection of a request that failed so ruled out its latest stream. Those that failed with it have
    /// their turns first.
    pub(super) async fn has_connection_of(&self, error: &reqwest::Error) -> bool {
        let Some(key) = of(error) else { return false };
        for _ in 0..TURNS {
            if self.keys().contains(&key) {
                return true;
            }
            tokio::task::yield_now().await;
        }
        self.keys().contains(&key)
    }

    fn add(&self, key: ConnKey) {
        let mut keys = self.keys();
        if keys.contains(&key) {
            return;
        }
        if keys.len() == REMEMBERED {
            keys.pop_front();
        }
        keys.push_back(key);
    }

    fn keys(&self) -> MutexGuard<'_, VecDeque<ConnKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection of the request that failed so.
fn of(error: &reqwest::Error) -> Option<ConnKey> {
    chain(error).find_map(|cause| cause.downcast_ref::<Error>()?.connect_info()).and_then(key)
}

fn key(connected: &Connected) -> Option<ConnKey> {
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    let ends = extras.get::<HttpInfo>()?;
    Some(ConnKey { local: ends.local_addr(), remote: ends.remote_addr() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_each_once() {
        let cut = CutShort::default();
        let key = |port| ConnKey { local: ([127, 0, 0, 1], port).into(), remote: ([127, 0, 0, 1], 80).into() };
        for port in [1, 1].into_iter().chain(2..=17) {
            cut.add(key(port));
        }
        assert_eq!(cut.keys().len(), REMEMBERED);
        assert!(!cut.keys().contains(&key(1)) && cut.keys().contains(&key(2)) && cut.keys().contains(&key(17)));
    }
}
