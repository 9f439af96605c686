//! Requests go out by reqwest, once more where that is safe, and the heads of their responses come back.
//!
//! All of it is done on one thread. One that goes out once more waits for nobody there: else those that were answered, and ask for
//! more, would be before it on each connection, and it would be left for the next one again and again.

use std::sync::Arc;

use tokio::time::Instant;

use super::connecting::{self, ConnectFailures};
use super::connections::{ConnectorLayer, HttpConnStats};
use super::encode;
use super::goaway::CutShort;
use super::repeat::{self, FailedOn, Repeats};
use super::runtime::OneThread;
use super::setup;
use crate::exchange::Request;
use crate::replay::{ClientError, SendSettings, TargetUrl};

/// What sends the requests of one client.
#[derive(Debug)]
pub(super) struct Sender {
    thread: OneThread,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    target: TargetUrl,
    ledger: HttpConnStats,
    failures: ConnectFailures,
    cut_short: Arc<CutShort>,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum NoResponse {
    /// Nothing was sent: reqwest cannot say the request.
    Unsayable,
    Failed(reqwest::Error),
}

impl Sender {
    pub(super) fn new(settings: &SendSettings, ledger: &HttpConnStats) -> Result<Self, ClientError> {
        let (failures, cut_short) = (ConnectFailures::default(), Arc::new(CutShort::default()));
        let layer = ConnectorLayer::new(ledger, &failures, &cut_short, settings.target.is_tls());
        let http = setup::client(settings, layer)?;
        let thread = OneThread::start().map_err(|error| setup::no_thread(settings, &error))?;
        let shared = Shared { http, target: settings.target.clone(), ledger: ledger.clone(), failures, cut_short };
        Ok(Self { thread, shared: Arc::new(shared) })
    }

    /// Sends a request, and waits for the head of its response, which comes with the time at which it went out.
    pub(super) async fn send(&self, request: &Arc<Request>) -> Result<(reqwest::Response, Instant), NoResponse> {
        let (shared, request, called) = (Arc::clone(&self.shared), Arc::clone(request), Instant::now());
        self.thread.run(async move { shared.send(&request, called).await }).await
    }
}

impl Shared {
    async fn send(&self, request: &Request, called: Instant) -> Result<(reqwest::Response, Instant), NoResponse> {
        let (mut repeats, mut written) = (Repeats::default(), called);
        loop {
            let before = self.ledger.open_now().opened;
            let error = match self.failures.share(self.execute(request)).await {
                Ok(response) => {
                    self.ledger.answered();
                    return Ok((response, written));
                }
                Err(NoResponse::Failed(error)) => error,
                Err(unsayable) => return Err(unsayable),
            };
            self.cut_short.note(&error);
            let was_cut_short = repeat::was_given_up(&error) && self.cut_short.has_connection_of(&error).await;
            // Where none was opened meanwhile, it went over one that was there.
            let was_open = before > 0 && self.ledger.open_now().opened == before;
            let failed = FailedOn { was_open, was_cut_short, answers: self.ledger.answers() };
            if !repeats.may_follow(&error, request, &failed) {
                return Err(NoResponse::Failed(error));
            }
            self.ledger.retried();
            written = Instant::now();
        }
    }

    /// Sends a request over the connection that there is, or over the next one.
    async fn execute(&self, request: &Request) -> Result<reqwest::Response, NoResponse> {
        loop {
            let encoded = encode::encode(request, &self.target).ok_or(NoResponse::Unsayable)?;
            match self.http.execute(encoded).await {
                Err(error) if connecting::has_waited_in_vain(&error) => tokio::task::yield_now().await,
                result => return result.map_err(NoResponse::Failed),
            }
        }
    }
}
