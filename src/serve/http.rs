//! HTTP routes at the address: metrics, events for the page, and commands.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::{Stream, unfold};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::access::{Access, AccessRefused, HEALTH, METRICS, READY};
use super::connection_limit::{Answering, HEAD_TIMEOUT};
use super::control::ControlCommand;
use super::{RunView, metrics, page};
use crate::report::Snapshot;

/// Pages that get events at once. A further one is asked to come back later.
const MAX_PAGES: usize = 16;

/// Longest body of a command, in bytes: a share is a few characters. A longer one gets a 413.
const MAX_WISH: usize = 256;

/// Time between two events.
const EVERY: Duration = Duration::from_secs(1);

/// Events from one with evidence to the next: routes, curves and the like are most of what a page shows, and move slowly.
const EVIDENCE_EVERY: u32 = 5;

/// Header fields of every response: it must not be framed, sniffed or cached.
const ALWAYS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Policy of the page, in addition to the one in the page itself: it must not be framed.
const OF_PAGE: &str = "frame-ancestors 'none'";

/// Policy of any other response: a browser may do nothing with it.
const OF_OTHERS: &str = "default-src 'none'; frame-ancestors 'none'";

/// State that every response is made from.
#[derive(Clone)]
struct PageServer {
    run: Arc<dyn RunView>,
    access: Arc<Access>,
    pages: Arc<Semaphore>,
}

/// Returns the routes for `run`.
pub(super) fn router(run: Arc<dyn RunView>, access: Access) -> Router {
    let served = PageServer { run, access: Arc::new(access), pages: Arc::new(Semaphore::new(MAX_PAGES)) };
    Router::new()
        .route("/", get(show))
        .route(METRICS, get(scrape))
        .route(HEALTH, get(|| async { "ok\n" }))
        .route(READY, get(ready))
        .route("/events", get(events))
        .route("/control/{wish}", post(steer))
        .layer(DefaultBodyLimit::max(MAX_WISH))
        .layer(from_fn_with_state(served.clone(), guarded))
        .with_state(served)
}

/// Serves nothing that [`Access`] refuses, and nothing but HTTP/1.1.
async fn guarded(State(served): State<PageServer>, request: Request, next: Next) -> Response {
    let is_page = request.uri().path() == "/" && request.method() != Method::POST;
    let mut response = if request.version() == Version::HTTP_11 {
        match served.access.check(request.method(), request.uri().path(), request.headers()) {
            Ok(()) => answered(request, next).await,
            Err(AccessRefused::Token) if is_page => locked(&served.access),
            Err(refused) => (refused.status(), format!("{refused}\n")).into_response(),
        }
    } else {
        (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1 is spoken here\n").into_response()
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let policy = response.headers_mut().entry(header::CONTENT_SECURITY_POLICY);
    policy.or_insert(HeaderValue::from_static(OF_OTHERS));
    response
}

/// A body that does not come in the time of a head is not waited for.
async fn answered(request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let late = (StatusCode::REQUEST_TIMEOUT, "the request did not come whole in time\n");
    timeout(HEAD_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| late.into_response())
}

/// The page without anything of the run: it asks for the token, and for events with it.
fn locked(access: &Access) -> Response {
    (StatusCode::UNAUTHORIZED, page_headers(), page::page(access, None, true)).into_response()
}

fn page_headers() -> [(HeaderName, &'static str); 2] {
    [(header::CONTENT_SECURITY_POLICY, OF_PAGE), (header::CONTENT_TYPE, "text/html; charset=utf-8")]
}

async fn ready(State(served): State<PageServer>) -> Response {
    match served.run.look(false).await {
        Some(_) => "ok\n".into_response(),
        None => too_early(),
    }
}

async fn scrape(State(served): State<PageServer>) -> Response {
    match served.run.look(false).await {
        Some(seen) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&seen)).into_response(),
        None => too_early(),
    }
}

fn too_early() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the run has not begun yet\n").into_response()
}

async fn show(State(served): State<PageServer>) -> Response {
    let first = match served.run.look(true).await {
        Some(seen) => json(&seen, served.access.steers(), true),
        None => None,
    };
    (page_headers(), page::page(&served.access, first.as_deref(), false)).into_response()
}

async fn events(State(served): State<PageServer>, answering: Option<Extension<Answering>>) -> Response {
    let Ok(place) = Arc::clone(&served.pages).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "as many pages are open as can be shown\n").into_response();
    };
    Sse::new(each_second(served, (place, answering))).keep_alive(KeepAlive::default()).into_response()
}

/// One event a second, the first at once and with evidence; a page that reads slowly gets fewer. The last has the whole
/// run.
fn each_second(
    served: PageServer,
    place: (OwnedSemaphorePermit, Option<Extension<Answering>>),
) -> impl Stream<Item = Result<Event, Infallible>> {
    let page = EventPage { ended: served.run.ended(), served, _place: place, last: None, since: 0, is_over: false };
    unfold(page, |mut page| async move { Some((Ok(page.next().await?), page)) })
}

/// A page that is told of events.
struct EventPage {
    served: PageServer,
    ended: watch::Receiver<bool>,
    _place: (OwnedSemaphorePermit, Option<Extension<Answering>>),
    /// When the last event was made.
    last: Option<Instant>,
    /// Events since the last one with evidence.
    since: u32,
    /// Whether it was told of the end.
    is_over: bool,
}

impl EventPage {
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        if let Some(last) = self.last {
            tokio::select! {
                () = tokio::time::sleep_until(last + EVERY) => {}
                // Who could say so is gone only with the run.
                _ = self.ended.wait_for(|ended| *ended) => {}
            }
        }
        self.last = Some(Instant::now());
        self.is_over = *self.ended.borrow();
        let evidence = self.since == 0 || self.is_over;
        self.since = (self.since + 1) % EVIDENCE_EVERY;
        Some(match self.served.run.look(evidence).await {
            Some(seen) => event_stream(&seen, self.served.access.steers(), evidence),
            None => Event::default().comment("the run has not begun yet"),
        })
    }
}

fn event_stream(seen: &Snapshot, steers: bool, evidence: bool) -> Event {
    json(seen, steers, evidence).map_or_else(|| Event::default().comment("nothing"), |told| Event::default().data(told))
}

fn json(seen: &Snapshot, steers: bool, evidence: bool) -> Option<String> {
    page::page_events(seen, steers, evidence)
        .inspect_err(|error| tracing::warn!("the live page was not told how the run goes: {error}"))
        .ok()
}

async fn steer(State(served): State<PageServer>, Path(word): Path<String>, body: String) -> Response {
    let command = match word.as_str() {
        "pause" => ControlCommand::Pause,
        "resume" => ControlCommand::Resume,
        "stop" => ControlCommand::Stop,
        "share" => match body.trim().parse() {
            Ok(share) => ControlCommand::Sample(share),
            Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        },
        _ => return (StatusCode::NOT_FOUND, "what can be asked for: share, pause, resume, stop\n").into_response(),
    };
    served.run.steer(command);
    StatusCode::NO_CONTENT.into_response()
}
