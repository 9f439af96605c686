//! The client that writes requests as they were captured, byte for byte but for what middleware changed.
//!
//! In goes a request, out comes the [`Answer`] or the kind of its failure. Connections are shared as a load balancer
//! shares them, or mirror those of the capture, one for one. Nothing is followed, decoded, kept or retried: every
//! status is an answer.
//!
//! *What differs from the capture.* `request.rs` says it: Host, the lines of a shared connection, and the line that
//! frames a changed body. Requests of HTTP/1.0 stay so, and end their connection unless the target says otherwise.
//!
//! *Never twice.* A pooled connection is looked at before it is used; if its target closes it just then, and the
//! system takes not a single byte, the request goes over another one. Once a byte was taken it does not.
//!
//! *Times.* [`Answer::written`] is when the system had taken the last byte; setting a connection up is apart.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{
    Answer, Client, ClientError, ConnectionMode, Connections, Lane, OpenNow, Settings, Turn, Wanted, hop, tls,
};
use crate::exchange::{FailureKind, Request};

mod addresses;
mod attempt;
mod connect;
mod exchange;
mod failure;
mod lane;
mod ledger;
mod limit;
mod link;
mod pool;
mod request;
mod response;

pub use addresses::{Lookup, Resolve, SystemResolver};
pub use lane::Place;
pub use limit::{ConnectionLimit, connection_limit};
pub use response::MAX_HEAD_BYTES;

use addresses::Addresses;
use attempt::Attempts;
use connect::{Connector, Tls};
use exchange::{Answered, exchange};
use lane::{Connection, Lanes, Opening};
use ledger::Ledger;
use link::Link;
use pool::Pool;
use request::{Outgoing, Terms};

/// Sends requests to one target as they were captured.
///
/// [`Client::connections`]: `opened` counts every TCP connection that was made, `peak` those open at once. One that
/// the target closes while it is idle counts until it is next looked at.
#[derive(Debug)]
pub struct WireClient {
    connector: Arc<Connector>,
    terms: Terms,
    max_response: u64,
    timeout: Duration,
    /// Where connections are made ahead of their first request.
    runtime: Handle,
    sharing: Sharing,
}

/// Which connection a request goes over.
#[derive(Debug)]
enum Sharing {
    Pooled(Pool),
    Mirrored(Arc<Lanes>),
}

impl WireClient {
    /// A client for the target of `settings`, to be made within a runtime. The soft limit on open files is raised; with
    /// https certificates and keys are loaded here, once. The target's name is looked up with the first request.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        Self::with_resolver(settings, Arc::new(SystemResolver))
    }

    /// The same, with another resolver than the system's.
    pub fn with_resolver(settings: &Settings, resolver: Arc<dyn Resolve>) -> Result<Self, ClientError> {
        let limit = connection_limit(settings).connections;
        let url = &settings.target.0;
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(80);
        let connector = Connector {
            addresses: Arc::new(Addresses::new(host, port, settings.resolve_every, resolver)),
            attempts: Attempts::default(),
            tls: if settings.target.is_tls() { Some(session(settings, host)?) } else { None },
            ledger: Arc::new(Ledger::default()),
        };
        let sharing = match settings.connections {
            ConnectionMode::Pooled => Sharing::Pooled(Pool::default()),
            ConnectionMode::Mirrored => Sharing::Mirrored(Arc::new(Lanes::new(Some(limit)))),
        };
        Ok(Self {
            connector: Arc::new(connector),
            terms: Terms {
                authority: settings.target.authority(),
                keep_host: settings.keep_host,
                shared: settings.connections == ConnectionMode::Pooled,
            },
            max_response: settings.max_response,
            timeout: settings.timeout,
            runtime: Handle::current(),
            sharing,
        })
    }

    /// Whether it mirrors connections, and has to be told of them.
    #[must_use]
    pub const fn mirrors(&self) -> bool {
        matches!(self.sharing, Sharing::Mirrored(_))
    }

    /// Connections opened so far, and those that are open now.
    #[must_use]
    pub fn open_now(&self) -> OpenNow {
        self.connector.ledger.open_now()
    }

    /// Over a pooled connection, or over a new one.
    async fn pooled(
        &self,
        pool: &Pool,
        outgoing: &Outgoing,
        wanted: Wanted,
        begun: Instant,
    ) -> Result<Answer, FailureKind> {
        loop {
            let (mut link, used) = match pool.take(begun) {
                Some(link) => (link, true),
                None => (self.connector.connect().await?, false),
            };
            link.address.asked();
            match exchange(&mut link, outgoing, wanted, self.max_response).await {
                Ok(answered) => {
                    if answered.reusable {
                        pool.give(link, answered.read.done);
                    }
                    return Ok(answer(answered));
                }
                // Closed between the look at it and the write: the system took nothing.
                Err(failed) if failed.untouched && used => {}
                Err(failed) => return Err(failed.kind),
            }
        }
    }

    /// Over the connection of its lane, which is opened again where the target has ended it.
    async fn mirrored(&self, mut turn: Turn, outgoing: &Outgoing, wanted: Wanted) -> Result<Answer, FailureKind> {
        let mut own = None;
        loop {
            let kept = match turn.0.as_mut().map(|place| place.take()).unwrap_or_default() {
                Connection::Open(mut link) => link.is_alive().then_some((link, true)),
                Connection::Opening(mut opening) => match (&mut opening.0).await {
                    // Its target may have ended it since.
                    Ok(Ok(mut link)) => link.is_alive().then_some((link, true)),
                    _ => None,
                },
                Connection::None => None,
            };
            let (link, used) = match kept {
                Some(kept) => kept,
                None => (self.connector.connect().await?, false),
            };
            let link: &mut Link = own.insert(link);
            link.address.asked();
            match exchange(link, outgoing, wanted, self.max_response).await {
                Ok(answered) => {
                    if let (true, Some(place), Some(link)) = (answered.reusable, turn.0.as_mut(), own.take()) {
                        place.put(Connection::Open(link));
                    }
                    return Ok(answer(answered));
                }
                Err(failed) if failed.untouched && used => {}
                Err(failed) => return Err(failed.kind),
            }
        }
    }
}

impl Client for WireClient {
    fn open(&self, lane: Lane, due: Instant) {
        let Sharing::Mirrored(lanes) = &self.sharing else { return };
        let mut place = lanes.line_up(lane);
        let (connector, timeout) = (Arc::clone(&self.connector), self.timeout);
        self.runtime.spawn(async move {
            tokio::time::sleep_until(due).await;
            if !place.come_unless_closed().await {
                return;
            }
            let opening = tokio::spawn(async move {
                tokio::time::timeout(timeout, connector.connect()).await.unwrap_or(Err(FailureKind::Timeout))
            });
            place.put(Connection::Opening(Opening(opening)));
        });
    }

    fn line_up(&self, lane: Lane) -> Turn {
        match &self.sharing {
            Sharing::Pooled(_) => Turn::default(),
            Sharing::Mirrored(lanes) => Turn(Some(Box::new(lanes.line_up(lane)))),
        }
    }

    fn refuses(&self, request: &Request) -> Option<&'static str> {
        hop::refused(request, self.terms.shared)
    }

    async fn send(&self, turn: Turn, request: Box<Request>, wanted: Wanted) -> Result<Answer, FailureKind> {
        let outgoing = if wanted.keep_host && !self.terms.keep_host {
            request::encode(&request, &Terms { keep_host: true, ..self.terms.clone() })
        } else {
            request::encode(&request, &self.terms)
        };
        let outgoing = outgoing.ok_or(FailureKind::Protocol)?;
        let id = request.id;
        drop(request);
        let begun = Instant::now();
        self.connector.addresses.keep_fresh(begun);
        let result = match &self.sharing {
            Sharing::Pooled(pool) => self.pooled(pool, &outgoing, wanted, begun).await,
            Sharing::Mirrored(_) => self.mirrored(turn, &outgoing, wanted).await,
        };
        result.inspect_err(|kind| tracing::debug!(%id, kind = kind.key(), "a request failed"))
    }

    fn close(&self, lane: Lane, due: Instant) {
        let Sharing::Mirrored(lanes) = &self.sharing else { return };
        if due <= Instant::now() {
            lanes.close(lane);
            return;
        }
        let lanes = Arc::clone(lanes);
        self.runtime.spawn(async move {
            tokio::time::sleep_until(due).await;
            lanes.close(lane);
        });
    }

    fn connections(&self) -> Connections {
        self.connector.ledger.take(&self.connector.addresses)
    }
}

fn session(settings: &Settings, host: &str) -> Result<Tls, ClientError> {
    let plain = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(plain)
        .map_err(|error| ClientError::Setup { url: settings.target.to_string(), why: error.to_string() })?;
    Ok(Tls { connector: Arc::new(tls::config(settings)?).into(), name })
}

fn answer(answered: Answered) -> Answer {
    let Answered { read, written, .. } = answered;
    Answer {
        status: read.status,
        body_len: read.body_len,
        body_sha256: read.body_sha256,
        kept: read.kept,
        written,
        first_byte: read.first_byte,
        done: read.done,
    }
}
