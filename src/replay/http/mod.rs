//! A client that speaks HTTP/2 over the network, through reqwest; TLS through rustls; requests share connections.
//!
//! A request goes in, the [`TargetResponse`] or the kind of its failure comes out. Every status is a response:
//! redirects are not followed, cookies not kept, content not decoded, proxies of the environment not used.
//!
//! *Changes that reqwest makes to a request.* The target is normalized as browsers do it: dot segments are resolved,
//! `<`, `>`, `"`, `` ` ``, blanks and bytes past ASCII are percent-encoded, in a query `'` too (`/a/../b//c'` is sent
//! as `/b//c'`, `/?c'` as `/?c%27`). Header names are sent in lower case, lines of one name together. Where there is no
//! Accept, `accept: */*` is added. Trailers are not sent. `Expect` is sent, but the body follows at once. Host is taken
//! from the URL (`:authority`), chunks are no more than the content in them, and a body with another transfer coding
//! cannot be sent (RFC 9113, 8.2.2).
//!
//! *HTTP/2 alone.* Without TLS it is spoken at once. With TLS it is offered beside HTTP/1.1: a connection over which the
//! target chose HTTP/1.1 is closed unused, which is reported once, and from then on the requests go by the
//! [`WireClient`]. For in HTTP/1 a response belongs to a request by its place alone; hyper shows nobody what comes in
//! between, and reads interim responses without end before it yields. HTTP/2 numbers both.
//!
//! *Never twice without proof.* reqwest's own retries are off. hyper sends a request again only where it had chosen a
//! pooled connection that turned out closed before the first byte of the request was handed to it. What the target says
//! it did not process, since it ends the connection or refuses a stream, goes out once more (RFC 9113, 8.7), and is counted;
//! so is what a connection had not taken when it ended, and a read that one that was open before left unanswered.
//!
//! *One thread* opens the connections of a client, and hands requests to them; bodies are read by whoever sends. On several,
//! hyper loses requests when a connection ends.
//!
//! *Times.* reqwest does not show when the last byte was written: [`TargetResponse::written`] is the moment of the
//! call, so service time here includes waiting for a new connection, where one is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub(super) use self::setup::install_crypto;

use self::connections::{ConnInUse, HttpConnStats};
use self::failure::Stage;
use self::sender::{NoResponse, Sender};
use super::{
    BegunResponse, Client, ClientError, ClosedEarly, ConnCounters, ConnNumber, DEFAULT_MAX_CONNECTIONS, OpenNow,
    Reason, ResponseOptions, ResponseProgress, RetainedResponse, SendError, SendSettings, TargetResponse, TargetUrl,
    Ticket, WireClient, hop, tls_refusal,
};
use crate::exchange::{Digest, ExchangeId, FailureKind, Head, Request};
use crate::http1::content;

mod connecting;
mod connections;
mod encode;
mod failure;
mod goaway;
mod repeat;
mod runtime;
mod sender;
mod setup;

/// A client that sends requests to one target over shared connections.
///
/// [`Client::connections`]: `opened` counts every connection that was made. `peak` is the most of them that were not
/// known to be closed. A connection is known to be closed after a failed or abandoned exchange; one that the target closes
/// while it is idle is not noticed, so the true peak may be lower. Set-up times hold at most `MAX_SET_UPS` entries
/// between two calls.
#[derive(Debug)]
pub struct HttpClient {
    sender: Sender,
    /// For a target that takes nothing but HTTP/1.1.
    http1: WireClient,
    /// True once the target chose HTTP/1.1.
    is_http1: AtomicBool,
    /// Requests that the client for HTTP/1.1 may send at once: each has a connection of its own.
    http1_places: Semaphore,
    target: TargetUrl,
    ledger: HttpConnStats,
    max_response: u64,
    /// True when TLS is the only step of a connection to the target that can fail after TCP.
    direct_tls: bool,
}

/// Why HTTP/2 brought no response.
#[derive(Debug)]
enum Http2Error {
    /// The target chose HTTP/1.1; nothing was sent.
    NotSpoken,
    Failed(SendError),
}

impl From<SendError> for Http2Error {
    fn from(error: SendError) -> Self {
        Self::Failed(error)
    }
}

impl HttpClient {
    /// A client for the target of `settings`, to be made within a runtime. With https the roots of the system are loaded
    /// here.
    ///
    /// # Errors
    ///
    /// Where certificates or a key cannot be used, or reqwest cannot be set up.
    pub fn new(settings: &SendSettings) -> Result<Self, ClientError> {
        let ledger = HttpConnStats::default();
        Ok(Self {
            sender: Sender::new(settings, &ledger)?,
            http1: WireClient::new(settings)?,
            is_http1: AtomicBool::new(false),
            http1_places: Semaphore::new(settings.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS)),
            target: settings.target.clone(),
            ledger,
            max_response: settings.max_response,
            direct_tls: settings.target.is_tls() && settings.proxy.is_none(),
        })
    }

    /// Connections opened so far, and those that are not known to be closed.
    #[must_use]
    pub(crate) fn open_now(&self) -> OpenNow {
        let (http2, http1) = (self.ledger.open_now(), self.http1.open_now());
        OpenNow { opened: http2.opened + http1.opened, open: http2.open + http1.open, peak: http2.peak.max(http1.peak) }
    }

    async fn exchange(
        &self,
        request: &Arc<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, Http2Error> {
        let id = request.id;
        if wanted.keep_host {
            return Err(unsayable().into());
        }
        let mut connection = self.ledger.in_use();
        let sent = self.sender.send(request).await;
        let (response, written) = sent.map_err(|why| self.unanswered(id, why, &mut connection))?;
        let first_byte = Instant::now();
        let status = response.status().as_u16();
        let head = wanted.kept.map(|_| head(&response));
        if let Some(head) = head.as_ref().filter(|_| !wanted.carried.is_empty()) {
            progress.note_head(|| head.clone());
        }
        let content = self.read(response, wanted, progress).await.map_err(|error| match error {
            ReadError::TooLarge => SendError::failed(FailureKind::TooLarge, TOO_LARGE),
            ReadError::Broken(error) => self.failed(id, error, Stage::Body),
        })?;
        let ReadBody { len: body_len, sha256: body_sha256, kept: body, closed, refusal } = content;
        if let Some(error) = tls_refusal::failure(&refusal, self.direct_tls) {
            return Err(error.into());
        }
        if closed.is_none() {
            connection.ended();
        }
        let kept = head.map(|head| Box::new(RetainedResponse::new(head, body.map(Into::into))));
        let done = Instant::now();
        Ok(TargetResponse { status, body_len, body_sha256, kept, closed, written, first_byte, done, connection: None })
    }

    /// What became of a request without a response.
    fn unanswered(&self, id: ExchangeId, why: NoResponse, connection: &mut ConnInUse) -> Http2Error {
        let error = match why {
            NoResponse::Unsayable => {
                connection.never_was();
                return unsayable().into();
            }
            NoResponse::Failed(error) => error,
        };
        if error.is_connect() || error.is_builder() {
            connection.never_was();
        }
        if failure::is_not_http2(&error) {
            return Http2Error::NotSpoken;
        }
        self.failed(id, error, Stage::Head).into()
    }

    /// The same in HTTP/1.1, as captured.
    async fn by_wire(
        &self,
        turn: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, SendError> {
        if !self.is_http1.swap(true, Ordering::Relaxed) {
            tracing::warn!("{} speaks no HTTP/2: it is sent HTTP/1.1, as by --client wire", self.target);
        }
        // Nobody closes it.
        let _place = self.http1_places.acquire().await;
        self.http1.send(turn, request, wanted, progress).await
    }

    /// Reads the content to its end, or until it is to be closed, and keeps nothing of it but what is wanted.
    async fn read(
        &self,
        mut response: reqwest::Response,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<ReadBody, ReadError> {
        let begun = begun(&response);
        let mut hash = wanted.hash.then(Sha256::new);
        let mut in_a_row = 0;
        let may_refuse = tls_refusal::is_possible(response.status().as_u16());
        let kept = wanted.kept.map(|_| Vec::new());
        let mut content = ReadBody { len: 0, sha256: None, kept, closed: None, refusal: Vec::new() };
        loop {
            progress.note(|| begun, content.len);
            let chunk = match progress.unless_closing(response.chunk()).await {
                Ok(chunk) => chunk.map_err(ReadError::Broken)?,
                Err(why) => {
                    content.closed = Some(why);
                    return Ok(content);
                }
            };
            let Some(chunk) = chunk else { break };
            content.len += chunk.len() as u64;
            // A body without end, which never makes its reader wait, must not keep others from being sent.
            in_a_row += chunk.len();
            if in_a_row >= READ_PER_TURN {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
            if content.len > self.max_response {
                return Err(ReadError::TooLarge);
            }
            if let Some(hash) = &mut hash {
                hash.update(&chunk);
            }
            if may_refuse {
                let room = tls_refusal::LOOKED_AT.saturating_sub(content.refusal.len());
                content.refusal.extend(chunk.iter().take(room));
            }
            if let (Some(kept), Some(most)) = (&mut content.kept, wanted.kept) {
                let room = most.saturating_sub(kept.len());
                kept.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            }
        }
        // Of a longer one the beginning is worth something only where it did not end.
        content.kept = content.kept.filter(|kept| kept.len() as u64 == content.len);
        content.sha256 = hash.filter(|_| content.len > 0).map(|hash| hash.finalize().into());
        Ok(content)
    }

    fn failed(&self, id: ExchangeId, error: reqwest::Error, stage: Stage) -> SendError {
        let error = failure::of(error, self.direct_tls, stage);
        tracing::debug!(%id, %error, "a request failed");
        error
    }
}

impl Client for HttpClient {
    fn refuses(&self, request: &Request) -> Option<&'static str> {
        refused(request)
    }

    async fn send(
        &self,
        turn: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> Result<TargetResponse, SendError> {
        if self.is_http1.load(Ordering::Relaxed) {
            return self.by_wire(turn, request, wanted, progress).await;
        }
        let request = Arc::from(request);
        match self.exchange(&request, wanted, progress).await {
            Ok(response) => Ok(response),
            Err(Http2Error::Failed(error)) => Err(error),
            Err(Http2Error::NotSpoken) => {
                self.by_wire(turn, Box::new(Arc::unwrap_or_clone(request)), wanted, progress).await
            }
        }
    }

    fn connections(&self) -> ConnCounters {
        let (http2, mut http1) = (self.ledger.take(), self.http1.connections());
        http1.set_up.extend(http2.set_up);
        let (opened, retried) = (http2.opened + http1.opened, http2.retried + http1.retried);
        ConnCounters { opened, retried, peak: http2.peak.max(http1.peak), ..http1 }
    }

    fn desynchronised(&self) -> Vec<ConnNumber> {
        self.http1.desynchronised()
    }
}

/// Returns the rule by which this client must not send `request`; `None` where it may.
pub(super) fn refused(request: &Request) -> Option<&'static str> {
    // `OPTIONS *` (RFC 9112, 3.2.4) is no URL: reqwest cannot say it.
    if request.target() == b"*" { Some("asterisk") } else { hop::refused(request) }
}

/// Returns the head of `request` as it is handed to reqwest, written as HTTP/1.1 with the host of its URL; `None` where that
/// cannot say it, as a Host of its own.
pub(super) fn outgoing_head(request: &Request, settings: &SendSettings, keep_host: bool) -> Option<Vec<u8>> {
    if keep_host || settings.keep_host {
        return None;
    }
    let encoded = encode::encode(request, &settings.target)?;
    let path = encoded
        .url()
        .query()
        .map_or_else(|| encoded.url().path().to_owned(), |query| format!("{}?{query}", encoded.url().path()));
    let mut headers = encoded.headers().clone();
    headers.insert(HOST, HeaderValue::from_str(&settings.target.authority()).ok()?);
    Some(head_of(&format!("{} {path} HTTP/1.1", encoded.method()), &headers))
}

/// A response that is longer than it may be.
const TOO_LARGE: Reason = Reason::new("the body is longer than --max-response");

/// Bytes that are read of one body before others have their turn.
const READ_PER_TURN: usize = 256 << 10;

fn unsayable() -> SendError {
    SendError::failed(FailureKind::Protocol, Reason::new("the request cannot be said by this client"))
}

enum ReadError {
    TooLarge,
    Broken(reqwest::Error),
}

/// Body as far as it was read.
struct ReadBody {
    len: u64,
    sha256: Option<Digest>,
    kept: Option<Vec<u8>>,
    /// Why it was not read to its end, where it was not.
    closed: Option<ClosedEarly>,
    /// The first bytes of the body of a 400.
    refusal: Vec<u8>,
}

/// What the head of a response tells of its body.
fn begun(response: &reqwest::Response) -> BegunResponse {
    let length = response.content_length();
    let types = response.headers().get_all(CONTENT_TYPE).iter();
    let is_stream = length.is_none() && types.map(HeaderValue::as_bytes).any(content::is_endless_type);
    BegunResponse { at: Instant::now(), length, is_stream }
}

/// The head as reqwest has it: names in lower case, lines of one name together.
fn head(response: &reqwest::Response) -> Head {
    Head::new(head_of(&format!("HTTP/1.1 {}", response.status()), response.headers()))
}

/// A first line and header lines.
fn head_of(first: &str, headers: &HeaderMap) -> Vec<u8> {
    let mut raw = format!("{first}\r\n").into_bytes();
    for (name, value) in headers {
        raw.extend_from_slice(name.as_str().as_bytes());
        raw.extend_from_slice(b": ");
        raw.extend_from_slice(value.as_bytes());
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"\r\n");
    raw
}
