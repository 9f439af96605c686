//! The client that writes requests as they were captured, byte for byte but for what middleware changed.
//!
//! In goes a request, out comes the [`TargetResponse`] or the kind of its failure. Connections are shared as a load balancer
//! shares them, or mirror those of the capture, one for one. Nothing is followed, decoded or kept: every status is an
//! answer.
//!
//! *What differs from the capture.* `request.rs` says it: Host, the lines of a shared connection, and the line that
//! frames a changed body. Requests of HTTP/1.0 stay so, and end their connection unless the target says otherwise.
//!
//! *Never twice, but for one case.* A connection is looked at before it is used, unless its last response came within some
//! microseconds and the request may be sent again; if its target closes it just then, and
//! the system takes not a single byte, the request goes over another one. A target that was seen to close used connections
//! gets what may not be sent again over those that have rested for a moment: it has mostly closed them by then. A GET, HEAD or OPTIONS on a connection that was
//! used before, and that ends without a byte of a response, goes out once more over a new one (RFC 9110, 9.2.2), and is
//! counted. Anything else goes out once.
//!
//! *Answers belong to their requests.* A connection on which something came before a request was sent is not used. Where
//! more comes than a response, that response and those before it may be those of other requests: the request fails, the
//! connection is closed and counted ([`ConnCounters::desynchronised`]), and who asks ([`Client::desynchronised`]) learns of
//! which connection the responses are in doubt.
//!
//! *Limits of this machine* are not the target's fault: a request that finds no file or port waits for a moment, and is
//! shed then.
//!
//! *Times.* [`TargetResponse::written`] is when the last byte was handed to the system, before the call: a target on the same
//! machine may respond within it. Setting a connection up is apart.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{
    Client, ClientError, ConnCounters, ConnKey, ConnNumber, ConnectionMode, OpenNow, Reason, ResponseOptions,
    ResponseProgress, SendError, SendSettings, TargetResponse, Ticket, hop,
};
use crate::exchange::{FailureKind, Request};

mod addresses;
mod attempt;
mod conn_stats;
mod connect;
mod early;
mod exchange;
mod failure;
mod in_memory;
mod limit;
mod mirrored;
mod pool;
mod request;
mod response;
mod sending;
mod setup;
mod shortage;
mod tls_probe;
mod tls_setup;
mod transport;
mod turns;
mod unasked;
mod upstream;
mod via_proxy;

pub use addresses::{Lookup, Resolve};

pub(crate) use addresses::SystemResolver;
pub(crate) use conn_stats::MAX_SET_UPS;
pub(crate) use early::WrittenRequest;
pub(crate) use early::spin_until;
pub(crate) use in_memory::InMemoryTarget;
pub use limit::fit_connections;
pub(crate) use mirrored::MirroredTicket;
pub use response::MAX_HEAD_BYTES;
pub(crate) use upstream::QUIET;

use connect::Connector;
use mirrored::{MirroredConns, MirroredState, OpeningConn};
use pool::ConnPool;
use request::RewriteRules;
use sending::Sending;
use shortage::Shortage;
use tls_probe::TlsProbe;
use turns::ReadTurns;

/// Idle connections that are looked at when somebody asks what came unasked: some tens of microseconds.
const LOOKED_AT: usize = 32;

/// Sends requests to one target as they were captured.
///
/// [`Client::connections`]: `opened` counts every TCP connection that was made, `peak` those open at once. One that
/// the target closes while it is idle counts until it is next looked at.
#[derive(Debug)]
pub struct WireClient {
    connector: Arc<Connector>,
    tls_probe: TlsProbe,
    /// Host of the target's URL.
    host: String,
    terms: RewriteRules,
    exchanges: exchange::Terms,
    /// Runtime on which connections are made ahead of their first request.
    runtime: Handle,
    sharing: Sharing,
    shortage: Shortage,
}

/// Returns the head of `request` as a client of these settings writes it; `None` where its body is not whole.
pub(super) fn outgoing_head(request: &Request, settings: &SendSettings, keep_host: bool) -> Option<Vec<u8>> {
    let mut rules = RewriteRules::of(settings);
    rules.keep_host |= keep_host;
    let body = request::body(request)?.len();
    Some(request::encode(request, &rules)?.into_head(body))
}

/// Mapping of requests to connections.
#[derive(Debug)]
enum Sharing {
    Pooled(ConnPool),
    Mirrored(Arc<MirroredConns>),
}

impl WireClient {
    /// A client for the target of `settings`, to be made within a runtime. The soft limit on open files is raised; with
    /// https certificates and keys are loaded here, once. The target's name is looked up with the first request.
    ///
    /// # Errors
    ///
    /// Where certificates or a key cannot be used, or the target has no name for TLS.
    pub fn new(settings: &SendSettings) -> Result<Self, ClientError> {
        Self::with_resolver(settings, Arc::new(SystemResolver))
    }

    /// The same, with another resolver than the system's.
    ///
    /// # Errors
    ///
    /// Where certificates or a key cannot be used, or the target has no name for TLS.
    pub fn with_resolver(settings: &SendSettings, resolver: Arc<dyn Resolve>) -> Result<Self, ClientError> {
        let limit = limit::connection_limit(settings);
        let connector = setup::connector(settings, resolver)?;
        let sharing = match settings.connections {
            ConnectionMode::Pooled => Sharing::Pooled(ConnPool::default()),
            ConnectionMode::Mirrored => Sharing::Mirrored(Arc::new(MirroredConns::new(Some(limit)))),
        };
        Ok(Self {
            connector: Arc::new(connector),
            tls_probe: TlsProbe::new(settings.timeout),
            host: settings.target.host().to_owned(),
            terms: RewriteRules::of(settings),
            exchanges: exchange::Terms { max_response: settings.max_response, turns: ReadTurns::default() },
            runtime: Handle::current(),
            sharing,
            shortage: Shortage::default(),
        })
    }

    /// Returns whether the client mirrors connections, and needs to know of captured ones.
    #[must_use]
    pub(crate) const fn mirrors(&self) -> bool {
        matches!(self.sharing, Sharing::Mirrored(_))
    }

    /// Connections opened so far, and those that are open now.
    #[must_use]
    pub(crate) fn open_now(&self) -> OpenNow {
        self.connector.ledger.open_now()
    }
}

impl Client for WireClient {
    fn open(&self, lane: ConnKey, due: Instant) {
        let Sharing::Mirrored(lanes) = &self.sharing else { return };
        let mut place = lanes.enqueue(lane);
        let (connector, timeout) = (Arc::clone(&self.connector), self.connector.timeout);
        self.runtime.spawn(async move {
            tokio::time::sleep_until(due).await;
            if !place.come_unless_closed().await {
                return;
            }
            let opening = tokio::spawn(async move {
                let connecting = connector.connect(Instant::now());
                tokio::time::timeout(timeout, connecting).await.unwrap_or(Err(FailureKind::Timeout.into()))
            });
            place.put(MirroredState::Opening(OpeningConn(opening)));
        });
    }

    fn enqueue(&self, lane: ConnKey) -> Ticket {
        match &self.sharing {
            Sharing::Pooled(_) => Ticket::default(),
            Sharing::Mirrored(lanes) => Ticket { lane: Some(Box::new(lanes.enqueue(lane))), early: None },
        }
    }

    fn refuses(&self, request: &Request) -> Option<&'static str> {
        hop::refused(request)
    }

    async fn send(
        &self,
        mut turn: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, SendError> {
        let id = request.id;
        let (link, outgoing, begun) = if let Some(early) = turn.early.take() {
            (Some(early.written.link), early.written.outgoing, early.written.at)
        } else {
            let outgoing = self.encode(&request, wanted);
            let outgoing = outgoing.ok_or_else(|| SendError::failed(FailureKind::Protocol, NOT_WHOLE))?;
            (None, outgoing, Instant::now())
        };
        drop(request);
        self.connector.addresses.keep_fresh(begun);
        let sending = Sending { id, outgoing: &outgoing, wanted, begun, progress };
        let result = match &self.sharing {
            Sharing::Pooled(pool) => self.pooled(pool, &sending, link).await,
            Sharing::Mirrored(_) => self.mirrored(turn, &sending).await,
        };
        match result {
            Ok(response) => {
                self.tls_probe.responded();
                Ok(response)
            }
            Err(error) => {
                // Boxed, as what connects is.
                let explained = Box::pin(self.tls_probe.explain(error, begun, (&self.connector, &self.host)));
                let error = explained.await;
                tracing::debug!(%id, %error, "a request failed");
                Err(error)
            }
        }
    }

    fn close(&self, lane: ConnKey, due: Instant) {
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

    fn connections(&self) -> ConnCounters {
        match &self.sharing {
            Sharing::Pooled(pool) => pool.look(usize::MAX),
            Sharing::Mirrored(lanes) => lanes.look(),
        }
        self.connector.ledger.take(&self.connector.addresses)
    }

    fn desynchronised(&self) -> Vec<ConnNumber> {
        if let Sharing::Pooled(pool) = &self.sharing {
            pool.look(LOOKED_AT);
        }
        self.connector.ledger.newly_desynchronised()
    }
}

/// Reason of a request whose framing describes another body than it has.
const NOT_WHOLE: Reason = Reason::new("the request's body is not the one that its head tells of");
