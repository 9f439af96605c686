//! The client that a run was asked for, behind one type.

use tokio::time::Instant;

use super::wire::WrittenRequest;
use super::{
    Client, ClientError, ConnCounters, ConnKey, ConnNumber, HttpClient, OpenNow, ResponseOptions, ResponseProgress,
    SendError, SendSettings, TargetResponse, Ticket, WireClient,
};
use crate::exchange::Request;

/// Whichever client [`SendSettings::client`] names: reqwest where HTTP/2 may be spoken, wire for HTTP/1.
#[derive(Debug)]
pub enum AnyClient {
    /// See [`WireClient`].
    Wire(Box<WireClient>),
    /// See [`HttpClient`].
    Reqwest(Box<HttpClient>),
}

impl AnyClient {
    /// Returns whether the client needs to know of captured connections.
    #[must_use]
    pub(crate) const fn mirrors(&self) -> bool {
        match self {
            Self::Wire(client) => client.mirrors(),
            Self::Reqwest(_) => false,
        }
    }

    /// Connections opened so far, and those that are open now; nothing is handed over.
    #[must_use]
    pub(crate) fn open_now(&self) -> OpenNow {
        match self {
            Self::Wire(client) => client.open_now(),
            Self::Reqwest(client) => client.open_now(),
        }
    }

    /// Writes a request to an idle connection when it is due, where the client can: see [`WireClient::write_at`].
    pub(crate) fn write_at(&self, due: Instant, request: &Request, wanted: ResponseOptions) -> Option<WrittenRequest> {
        match self {
            Self::Wire(client) => client.write_at(due, request, wanted),
            Self::Reqwest(_) => None,
        }
    }

    /// Opens a connection for requests to come, where the client shares them.
    pub(crate) async fn open_idle(&self) {
        if let Self::Wire(client) = self {
            client.open_idle().await;
        }
    }

    /// The client that `settings` ask for. To be called within a runtime.
    ///
    /// # Errors
    ///
    /// Where certificates or a key cannot be used, or the client cannot be set up.
    pub fn new(settings: &SendSettings) -> Result<Self, ClientError> {
        // What is HTTP/1 from the start goes by wire, whatever was chosen: reqwest would not notice what comes unasked.
        Ok(if settings.may_speak_http2() {
            Self::Reqwest(Box::new(HttpClient::new(settings)?))
        } else {
            Self::Wire(Box::new(WireClient::new(settings)?))
        })
    }
}

impl Client for AnyClient {
    fn open(&self, lane: ConnKey, due: Instant) {
        match self {
            Self::Wire(client) => client.open(lane, due),
            Self::Reqwest(client) => client.open(lane, due),
        }
    }

    fn enqueue(&self, lane: ConnKey) -> Ticket {
        match self {
            Self::Wire(client) => client.enqueue(lane),
            Self::Reqwest(client) => client.enqueue(lane),
        }
    }

    fn refuses(&self, request: &Request) -> Option<&'static str> {
        match self {
            Self::Wire(client) => client.refuses(request),
            Self::Reqwest(client) => client.refuses(request),
        }
    }

    async fn send(
        &self,
        turn: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, SendError> {
        match self {
            Self::Wire(client) => client.send(turn, request, wanted, progress).await,
            // In a box: its state is many times as large, and would be moved about with every request of the other.
            Self::Reqwest(client) => Box::pin(client.send(turn, request, wanted, progress)).await,
        }
    }

    fn close(&self, lane: ConnKey, due: Instant) {
        match self {
            Self::Wire(client) => client.close(lane, due),
            Self::Reqwest(client) => client.close(lane, due),
        }
    }

    fn connections(&self) -> ConnCounters {
        match self {
            Self::Wire(client) => client.connections(),
            Self::Reqwest(client) => client.connections(),
        }
    }

    fn desynchronised(&self) -> Vec<ConnNumber> {
        match self {
            Self::Wire(client) => client.desynchronised(),
            Self::Reqwest(client) => client.desynchronised(),
        }
    }
}
