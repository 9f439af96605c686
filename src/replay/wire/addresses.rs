//! The addresses behind the target's name: looked up, looked up again, taken in turn, and set aside while they fail.
//!
//! In goes a name, out come addresses in the order in which they are to be tried. A name that cannot be looked up
//! again keeps the addresses that it had. No connection is made here.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::failure;
use crate::exchange::{FailureKind, Shed};
use crate::replay::{AddressShare, ConnectTo, PeerAddress, Reason, SendError};

/// Most addresses of one name that are used; further ones of a lookup are ignored.
const MAX_ADDRESSES: usize = 256;
/// Most addresses that are remembered for the report over a whole run; later ones are used, and not in it.
const MAX_REMEMBERED: usize = 4096;
/// Back-off of an address after its first failure; doubled after each further failure.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// The longest that an address is set aside.
const MAX_BACK_OFF: Duration = Duration::from_secs(60);
/// Time for which a name that could not be looked up is not asked for again: requests in between fail at once.
const FAILED_LOOKUP: Duration = Duration::from_secs(1);

/// Result of a lookup.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Something that knows the addresses of names.
pub trait Resolve: Send + Sync + std::fmt::Debug + 'static {
    /// The addresses of `host` now, each with `port`.
    fn lookup(&self, host: &str, port: u16) -> Lookup;
}

/// The system's resolver, with its hosts file and its search order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn lookup(&self, host: &str, port: u16) -> Lookup {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// One address, and what is known of it.
#[derive(Debug)]
pub(super) struct AddressEntry {
    pub(super) peer: PeerAddress,
    opened: AtomicU64,
    failed: AtomicU64,
    requests: AtomicU64,
    /// The name does not lead to it any more.
    gone: AtomicBool,
    aside: Mutex<Backoff>,
}

/// Until when an address is set aside, and for how long the next time.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    until: Option<Instant>,
    failures: u32,
}

impl AddressEntry {
    pub(super) fn new(peer: PeerAddress) -> Self {
        Self {
            peer,
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            aside: Mutex::default(),
        }
    }

    /// A connection to it was made.
    pub(super) fn works(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        *lock(&self.aside) = Backoff::default();
    }

    /// An attempt failed, or another address was quicker by far.
    pub(super) fn fails(&self, now: Instant) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut aside = lock(&self.aside);
        let back_off = FIRST_BACK_OFF.saturating_mul(1 << aside.failures.min(16)).min(MAX_BACK_OFF);
        *aside = Backoff { until: Some(now + back_off), failures: aside.failures + 1 };
    }

    /// A request was written to it.
    pub(super) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns whether the name no longer resolves to it.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn is_aside(&self, now: Instant) -> bool {
        lock(&self.aside).until.is_some_and(|until| now < until)
    }
}

/// All addresses of one name.
#[derive(Debug)]
pub(super) struct Addresses {
    host: String,
    port: u16,
    every: Duration,
    resolver: Arc<dyn Resolve>,
    state: Mutex<ResolverState>,
    /// Held while the name is looked up for the first time: others wait for the same result.
    first: tokio::sync::Mutex<()>,
    /// Milliseconds after `begun` when the name is to be looked up again.
    next_lookup: AtomicU64,
    begun: Instant,
}

#[derive(Debug, Default)]
struct ResolverState {
    current: Vec<Arc<AddressEntry>>,
    remembered: Vec<Arc<AddressEntry>>,
    /// Index of the next address in turn.
    turn: usize,
    /// Time and error of the last failed lookup.
    failed: Option<(Instant, SendError)>,
}

impl Addresses {
    /// Only a name is ever looked up.
    pub(super) fn new(to: &ConnectTo, every: Duration, resolver: Arc<dyn Resolve>) -> Self {
        let mut state = ResolverState::default();
        let (host, port, known) = match to {
            ConnectTo::Name(host, port) => (host.clone(), *port, None),
            ConnectTo::Address(address) => (String::new(), 0, Some(PeerAddress::Tcp(*address))),
            ConnectTo::Unix(path) => (String::new(), 0, Some(PeerAddress::Unix(Arc::new(path.clone())))),
        };
        let next_lookup = if known.is_some() { u64::MAX } else { millis(every) };
        if let Some(known) = known {
            state.set([known]);
        }
        Self {
            host,
            port,
            every,
            resolver,
            state: Mutex::new(state),
            first: tokio::sync::Mutex::default(),
            next_lookup: AtomicU64::new(next_lookup),
            begun: Instant::now(),
        }
    }

    /// The addresses to try, in order: whose turn it is first, those set aside last.
    pub(super) async fn in_order(&self) -> Result<Vec<Arc<AddressEntry>>, SendError> {
        if lock(&self.state).current.is_empty() {
            self.resolve_first().await?;
        }
        let now = Instant::now();
        let mut state = lock(&self.state);
        let len = state.current.len();
        let turn = state.turn % len.max(1);
        state.turn = turn + 1;
        let mut order: Vec<_> = (turn..turn + len).filter_map(|at| state.current.get(at % len).cloned()).collect();
        order.sort_by_key(|address| address.is_aside(now));
        Ok(order)
    }

    /// Looks the name up again where it is time to; nobody waits for it. To be called within a runtime.
    pub(super) fn keep_fresh(self: &Arc<Self>, now: Instant) {
        let elapsed = millis(now.saturating_duration_since(self.begun));
        let next = self.next_lookup.load(Ordering::Relaxed);
        let mine = || {
            let then = elapsed.saturating_add(millis(self.every).max(1));
            self.next_lookup.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if elapsed >= next && mine() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.resolve_again().await });
        }
    }

    /// Returns the share of each address so far.
    pub(super) fn shares(&self) -> Vec<AddressShare> {
        let state = lock(&self.state);
        let share = |address: &Arc<AddressEntry>| AddressShare {
            address: address.peer.clone(),
            opened: address.opened.load(Ordering::Relaxed),
            failed: address.failed.load(Ordering::Relaxed),
            requests: address.requests.load(Ordering::Relaxed),
        };
        state.remembered.iter().map(share).collect()
    }

    async fn resolve_first(&self) -> Result<(), SendError> {
        let _only_one = self.first.lock().await;
        {
            let state = lock(&self.state);
            if !state.current.is_empty() {
                return Ok(());
            }
            if let Some((_, error)) = state.failed.as_ref().filter(|(at, _)| at.elapsed() < FAILED_LOOKUP) {
                return Err(error.clone());
            }
        }
        match self.resolver.lookup(&self.host, self.port).await {
            Ok(found) if !found.is_empty() => {
                lock(&self.state).set(found.into_iter().map(PeerAddress::from));
                Ok(())
            }
            // The resolver takes a shortage of this machine for a name that is unknown.
            Err(_) if failure::lacks_files() => Err(SendError::Shed(Shed::OpenFiles)),
            failed => {
                let why = failed.map_or_else(|error| error.to_string(), |_| "it has no address".to_owned());
                tracing::warn!("cannot look up {}: {why}", self.host);
                let reason = Reason::new("the name cannot be looked up").with(why);
                let error = SendError::failed(FailureKind::Dns, reason);
                lock(&self.state).failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn resolve_again(&self) {
        match self.resolver.lookup(&self.host, self.port).await {
            Ok(found) if !found.is_empty() => lock(&self.state).set(found.into_iter().map(PeerAddress::from)),
            failed => {
                let why = failed.map_or_else(|error| error.to_string(), |_| "it has no address".to_owned());
                tracing::warn!("cannot look up {} again: {why}; its addresses stay as they were", self.host);
            }
        }
    }
}

impl ResolverState {
    /// These are the addresses from now on; what is known of those that stay is kept.
    fn set(&mut self, found: impl IntoIterator<Item = PeerAddress>) {
        let mut seen = HashSet::new();
        let found: Vec<_> = found.into_iter().filter(|peer| seen.insert(peer.clone())).take(MAX_ADDRESSES).collect();
        for address in &self.current {
            address.gone.store(!found.contains(&address.peer), Ordering::Relaxed);
        }
        self.current = found.into_iter().map(|peer| self.address(peer)).collect();
    }

    fn address(&mut self, peer: PeerAddress) -> Arc<AddressEntry> {
        let known = self.remembered.iter().find(|address| address.peer == peer).map(Arc::clone);
        known.map_or_else(
            || {
                let new = Arc::new(AddressEntry::new(peer));
                if self.remembered.len() < MAX_REMEMBERED {
                    self.remembered.push(Arc::clone(&new));
                }
                new
            },
            |address| {
                address.gone.store(false, Ordering::Relaxed);
                address
            },
        )
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resolver that returns the addresses in it.
    #[derive(Debug, Default)]
    struct ScriptedResolver(Mutex<Option<Vec<SocketAddr>>>);

    impl ScriptedResolver {
        fn says(&self, addresses: Option<&[&str]>) {
            *lock(&self.0) = addresses.map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
        }
    }

    impl Resolve for ScriptedResolver {
        fn lookup(&self, _: &str, _: u16) -> Lookup {
            let answer = lock(&self.0).clone().ok_or_else(|| io::Error::other("no such name"));
            Box::pin(std::future::ready(answer))
        }
    }

    const EVERY: Duration = Duration::from_secs(30);

    fn rig(addresses: Option<&[&str]>) -> (Arc<ScriptedResolver>, Arc<Addresses>) {
        let script = Arc::new(ScriptedResolver::default());
        script.says(addresses);
        let resolver: Arc<dyn Resolve> = Arc::clone(&script) as _;
        (script, Arc::new(Addresses::new(&ConnectTo::Name("h".to_owned(), 80), EVERY, resolver)))
    }

    async fn order(addresses: &Addresses) -> Vec<String> {
        addresses.in_order().await.unwrap().iter().map(|address| address.peer.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_take_turns_and_those_that_failed_come_last() {
        let (_, addresses) = rig(Some(&["10.0.0.1:80", "[::1]:80", "10.0.0.3:80", "10.0.0.1:80"]));
        assert_eq!(order(&addresses).await, ["10.0.0.1:80", "[::1]:80", "10.0.0.3:80"]);
        assert_eq!(order(&addresses).await, ["[::1]:80", "10.0.0.3:80", "10.0.0.1:80"]);
        addresses.in_order().await.unwrap()[0].fails(Instant::now());
        assert_eq!(order(&addresses).await, ["10.0.0.1:80", "[::1]:80", "10.0.0.3:80"]);
        assert_eq!(order(&addresses).await, ["[::1]:80", "10.0.0.1:80", "10.0.0.3:80"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_comes_back_later_after_each_failure() {
        let (_, addresses) = rig(Some(&["10.0.0.1:80"]));
        let address = addresses.in_order().await.unwrap().remove(0);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let now = Instant::now();
            address.fails(now);
            assert!(address.is_aside(now + Duration::from_millis(seconds * 1000 - 1)), "{seconds}");
            assert!(!address.is_aside(now + Duration::from_secs(seconds)), "{seconds}");
        }
        address.works();
        assert!(!address.is_aside(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_again_and_lost_addresses_are_gone() {
        let (script, addresses) = rig(Some(&["10.0.0.1:80", "10.0.0.2:80"]));
        let before = addresses.in_order().await.unwrap();
        script.says(Some(&["10.0.0.2:80", "10.0.0.3:80"]));
        addresses.keep_fresh(Instant::now());
        tokio::time::sleep(EVERY).await;
        assert!(!before[0].is_gone());
        addresses.keep_fresh(Instant::now());
        tokio::task::yield_now().await;
        assert_eq!(before.iter().map(|address| address.is_gone()).collect::<Vec<_>>(), [true, false]);
        assert_eq!(addresses.shares().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_cannot_be_looked_up_again_keeps_its_addresses() {
        let (script, addresses) = rig(Some(&["10.0.0.1:80"]));
        order(&addresses).await;
        script.says(None);
        tokio::time::sleep(EVERY).await;
        addresses.keep_fresh(Instant::now());
        tokio::task::yield_now().await;
        assert_eq!(order(&addresses).await, ["10.0.0.1:80"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_addresses_fails_and_is_asked_for_again_after_a_second() {
        let (script, addresses) = rig(None);
        assert_eq!(addresses.in_order().await.unwrap_err().kind(), Some(FailureKind::Dns));
        script.says(Some(&["10.0.0.1:80"]));
        assert_eq!(addresses.in_order().await.unwrap_err().kind(), Some(FailureKind::Dns));
        tokio::time::sleep(FAILED_LOOKUP).await;
        assert_eq!(order(&addresses).await, ["10.0.0.1:80"]);
    }

    #[tokio::test]
    async fn an_address_is_its_own_and_never_looked_up() {
        let resolver: Arc<dyn Resolve> = Arc::new(ScriptedResolver::default());
        for typed in ["127.0.0.1:81", "[::1]:81", "[fe80::1%7]:81", "unix:/run/app.sock"] {
            let addresses = Addresses::new(&typed.parse().unwrap(), EVERY, Arc::clone(&resolver));
            assert_eq!(order(&addresses).await, [typed]);
        }
    }
}
