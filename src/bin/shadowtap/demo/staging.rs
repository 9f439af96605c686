//! Staging server of the demo. It responds as production did when the demo was recorded, with three built-in
//! differences ([`SLOWER`], [`FAIL_EVERY`], [`REGION`]). It takes a listener and serves HTTP on it. [`StagingCounts`]
//! counts the differences made, so that the demo can check the report against them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, ETAG, HeaderName, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION, VARY,
};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::site;

/// Difference one: `/v2/programs` takes this much longer.
pub(crate) const SLOWER: Duration = Duration::from_millis(60);

/// Difference two: every so-manyth `/v2/search` is a 503.
pub(crate) const FAIL_EVERY: u64 = 7;

/// Difference three: `/v2/profile` says this too.
pub(crate) const REGION: &str = "\"region\":\"eu-west-1\",";

/// Longest request body read, in bytes. A longer one gets status 413. The recorded ones have a few hundred bytes.
const MAX_BODY: usize = 64 * 1024;

/// Bodies as nginx compressed them while the demo was recorded: another zlib would make other bytes of them.
pub(super) const COMPRESSED: [(&str, &[u8]); 8] = [
    ("channels.json", include_bytes!("../../../../testdata/demo-gzip/channels.gz")),
    ("programs-mon.json", include_bytes!("../../../../testdata/demo-gzip/programs-mon.gz")),
    ("programs-tue.json", include_bytes!("../../../../testdata/demo-gzip/programs-tue.gz")),
    ("programs-wed.json", include_bytes!("../../../../testdata/demo-gzip/programs-wed.gz")),
    ("programs-thu.json", include_bytes!("../../../../testdata/demo-gzip/programs-thu.gz")),
    ("programs-fri.json", include_bytes!("../../../../testdata/demo-gzip/programs-fri.gz")),
    ("programs-sat.json", include_bytes!("../../../../testdata/demo-gzip/programs-sat.gz")),
    ("programs-sun.json", include_bytes!("../../../../testdata/demo-gzip/programs-sun.gz")),
];

/// Counts of responses that differed on purpose.
#[derive(Debug, Default)]
pub(crate) struct StagingCounts {
    slowed: AtomicU64,
    searches: AtomicU64,
    failed: AtomicU64,
    changed: AtomicU64,
}

impl StagingCounts {
    /// Returns the number of responses to `/v2/programs`, each [`SLOWER`].
    pub(crate) fn slowed(&self) -> u64 {
        self.slowed.load(Ordering::Relaxed)
    }

    /// Returns the number of responses to `/v2/search` with status 503.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Returns the number of responses to `/v2/profile` with a [`REGION`].
    pub(crate) fn changed(&self) -> u64 {
        self.changed.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn of(slowed: u64, failed: u64, changed: u64) -> Self {
        let tally = Self::default();
        tally.slowed.store(slowed, Ordering::Relaxed);
        tally.failed.store(failed, Ordering::Relaxed);
        tally.changed.store(changed, Ordering::Relaxed);
        tally
    }
}

/// Serves requests on `listener` until `shutdown` is ready and the requests in progress have their responses.
pub(crate) async fn serve(
    listener: TcpListener,
    tally: Arc<StagingCounts>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let staging = Arc::new(Staging { tally, ..Staging::new() });
    let router = Router::new().fallback(answer).with_state(staging);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// [`site::MODIFIED`] in words.
const MODIFIED: (HeaderName, &str) = (LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT");
const RANGES: (HeaderName, &str) = (ACCEPT_RANGES, "bytes");
/// Of pages that may go out compressed.
const VARIES: (HeaderName, &str) = (VARY, "Accept-Encoding");

/// State of the server: the files under production's document root, and the built-in differences.
struct Staging {
    pages: HashMap<String, Bytes>,
    compressed: HashMap<&'static str, &'static [u8]>,
    tally: Arc<StagingCounts>,
}

/// Route of a path; the twin of the `location` blocks in `testdata/production.conf`.
enum StagingRoute {
    Page(String),
    Text(&'static str),
    Moved,
    NoContent,
    Nowhere,
}

async fn answer(State(staging): State<Arc<Staging>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    // Read to its end before the answer, as nginx does in effect: else the connection could not be used again.
    if axum::body::to_bytes(body, MAX_BODY).await.is_err() {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    if head.uri.path() == "/v2/search" && staging.is_failing() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no capacity\n").into_response();
    }
    if head.uri.path() == "/v2/programs" {
        staging.tally.slowed.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(SLOWER).await;
    }
    match staging.place(&head.uri, &head.headers) {
        StagingRoute::Page(name) => staging.page(&name, &head.headers),
        StagingRoute::Text(text) => ([(CONTENT_TYPE, "text/plain")], text).into_response(),
        StagingRoute::Moved => {
            let headers = [(LOCATION, "/v2/channels"), (CONTENT_TYPE, "text/html")];
            (StatusCode::MOVED_PERMANENTLY, headers, site::MOVED).into_response()
        }
        StagingRoute::NoContent => StatusCode::NO_CONTENT.into_response(),
        StagingRoute::Nowhere => not_found(),
    }
}

impl Staging {
    fn new() -> Self {
        let mut pages: HashMap<String, Bytes> =
            site::files().into_iter().map(|(name, page)| (name, Bytes::from(page))).collect();
        for (_, page) in pages.iter_mut().filter(|(name, _)| name.starts_with("profile-")) {
            let changed = String::from_utf8_lossy(page).replacen('{', &format!("{{{REGION}"), 1);
            *page = Bytes::from(changed);
        }
        Self { pages, compressed: COMPRESSED.into_iter().collect(), tally: Arc::default() }
    }

    fn is_failing(&self) -> bool {
        let failing = (self.tally.searches.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(FAIL_EVERY);
        self.tally.failed.fetch_add(u64::from(failing), Ordering::Relaxed);
        failing
    }

    fn place(&self, uri: &Uri, headers: &HeaderMap) -> StagingRoute {
        match uri.path() {
            "/" => StagingRoute::Page("home.html".to_owned()),
            "/health" => StagingRoute::Text(site::HEALTH),
            "/old" => StagingRoute::Moved,
            "/v2/channels" => StagingRoute::Page("channels.json".to_owned()),
            "/v2/programs" => StagingRoute::Page(format!("programs-{}.json", argument(uri, "day"))),
            "/v2/search" => {
                let hits = format!("search-{}.json", argument(uri, "q"));
                StagingRoute::Page(if self.pages.contains_key(&hits) { hits } else { "search-none.json".to_owned() })
            }
            "/v2/profile" => StagingRoute::Page(format!("profile-{}.json", session(headers))),
            "/v2/events" => StagingRoute::NoContent,
            other => match other.strip_prefix("/v2/channels/") {
                Some(number) => StagingRoute::Page(format!("channel-{number}.json")),
                None => StagingRoute::Nowhere,
            },
        }
    }

    /// A page as nginx serves a file: with an entity tag, fresh copies confirmed, the long ones compressed.
    fn page(&self, name: &str, headers: &HeaderMap) -> Response {
        let Some(page) = self.pages.get(name) else { return not_found() };
        if name.starts_with("profile-") {
            self.tally.changed.fetch_add(1, Ordering::Relaxed);
        }
        let tag = site::entity_tag(page.len());
        if text(headers, IF_NONE_MATCH).contains(&tag) {
            return (StatusCode::NOT_MODIFIED, [MODIFIED], [(ETAG, tag)]).into_response();
        }
        let kind = (CONTENT_TYPE, if name.ends_with("html") { "text/html" } else { "application/json" });
        match self.compressed.get(name) {
            Some(compressed) if text(headers, ACCEPT_ENCODING).contains("gzip") => {
                // A body of unknown length goes out chunked, as what nginx compresses does.
                let chunk = Ok::<_, Infallible>(Bytes::from_static(compressed));
                let body = Body::from_stream(futures_util::stream::iter([chunk]));
                let weak = format!("W/{tag}");
                ([kind, MODIFIED, VARIES, (CONTENT_ENCODING, "gzip")], [(ETAG, weak)], body).into_response()
            }
            Some(_) => ([kind, MODIFIED, VARIES, RANGES], [(ETAG, tag)], page.clone()).into_response(),
            None => ([kind, MODIFIED, RANGES], [(ETAG, tag)], page.clone()).into_response(),
        }
    }
}

fn not_found() -> Response {
    let tag = site::entity_tag(site::NOT_FOUND.len());
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "application/json")], [(ETAG, tag)], site::NOT_FOUND).into_response()
}

/// The value of `name` in the query as it stands there, like nginx's `$arg_name`.
fn argument<'a>(uri: &'a Uri, name: &str) -> &'a str {
    let mut pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

/// The session cookie, like nginx's `$cookie_session`.
fn session(headers: &HeaderMap) -> &str {
    let mut cookies = text(headers, COOKIE).split(';').filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(name, _)| *name == "session").map_or("", |(_, value)| value)
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    struct StagingResponse {
        address: SocketAddr,
        tally: Arc<StagingCounts>,
    }

    async fn staging() -> StagingResponse {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tally = Arc::new(StagingCounts::default());
        tokio::spawn(serve(listener, Arc::clone(&tally), std::future::pending()));
        StagingResponse { address, tally }
    }

    impl StagingResponse {
        /// Sends one request on a connection of its own; gives the head and the body as they came.
        async fn raw(&self, request: &str) -> (String, Vec<u8>) {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = request.replacen("\r\n", "\r\nHost: tv\r\nConnection: close\r\n", 1);
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            let end = memchr::memmem::find(&answer, b"\r\n\r\n").unwrap() + 4;
            let body = answer.split_off(end);
            (String::from_utf8(answer).unwrap().to_ascii_lowercase(), body)
        }

        async fn check(&self, request: &str, status: u16, body: &str) {
            let (head, got) = self.raw(&format!("{request}\r\n")).await;
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{request}: {head}");
            assert_eq!(String::from_utf8(got).unwrap(), body, "{request}");
        }
    }

    fn page(name: &str) -> String {
        site::files().into_iter().find(|(known, _)| known == name).unwrap().1
    }

    #[tokio::test]
    async fn every_place_answers_what_production_has_there() {
        let staging = staging().await;
        let rows = [
            ("GET / HTTP/1.1\r\n", 200, page("home.html")),
            ("GET /health HTTP/1.1\r\n", 200, site::HEALTH.to_owned()),
            ("GET /old HTTP/1.1\r\n", 301, site::MOVED.to_owned()),
            ("GET /v2/channels HTTP/1.1\r\n", 200, page("channels.json")),
            ("GET /v2/channels/7 HTTP/1.1\r\n", 200, page("channel-7.json")),
            ("GET /v2/channels/41 HTTP/1.1\r\n", 404, site::NOT_FOUND.to_owned()),
            ("GET /v2/programs?from=20:00&day=sat HTTP/1.1\r\n", 200, page("programs-sat.json")),
            ("GET /v2/programs HTTP/1.1\r\n", 404, site::NOT_FOUND.to_owned()),
            ("GET /v2/search?q=d%C3%A9tective&limit=9 HTTP/1.1\r\n", 200, page("search-d%C3%A9tective.json")),
            ("GET /v2/search?q=nothing HTTP/1.1\r\n", 200, page("search-none.json")),
            ("GET /v2/profile HTTP/1.1\r\n", 404, site::NOT_FOUND.to_owned()),
            ("GET /v1/epg.xml HTTP/1.1\r\n", 404, site::NOT_FOUND.to_owned()),
            ("HEAD /v2/channels HTTP/1.1\r\n", 200, String::new()),
            ("HEAD /health HTTP/1.1\r\n", 200, String::new()),
            ("POST /v2/events HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 204, String::new()),
            ("POST /v2/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", 204, String::new()),
        ];
        for (request, status, body) in rows {
            staging.check(request, status, &body).await;
        }
    }

    #[tokio::test]
    async fn a_copy_that_is_still_fresh_is_confirmed_without_a_body() {
        let staging = staging().await;
        let tag = site::entity_tag(page("programs-mon.json").len());
        let request = |tag: &str| format!("GET /v2/programs?day=mon HTTP/1.1\r\nIf-None-Match: {tag}\r\n");
        staging.check(&request(&tag), 304, "").await;
        staging.check(&request(&format!("W/{tag}")), 304, "").await;
        staging.check(&request("\"other\""), 200, &page("programs-mon.json")).await;
    }

    #[tokio::test]
    async fn lists_are_compressed_and_chunked_where_the_client_takes_it() {
        let staging = staging().await;
        for (name, path) in [("channels.json", "/v2/channels"), ("programs-sun.json", "/v2/programs?day=sun")] {
            let (head, body) = staging.raw(&format!("GET {path} HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n")).await;
            assert!(head.contains("transfer-encoding: chunked\r\n") && head.contains("content-encoding: gzip\r\n"));
            let start = memchr::memmem::find(&body, b"\r\n").unwrap() + 2;
            let mut content = String::new();
            let mut unpacked = flate2::read::GzDecoder::new(&body[start..]);
            std::io::Read::read_to_string(&mut unpacked, &mut content).unwrap();
            assert_eq!(content, page(name));
        }
    }

    #[tokio::test]
    async fn every_seventh_search_fails_and_is_counted() {
        let staging = staging().await;
        let mut failed = Vec::new();
        for n in 1..=15 {
            let (head, _) = staging.raw("GET /v2/search?q=news HTTP/1.1\r\n\r\n").await;
            if head.starts_with("http/1.1 503 ") {
                failed.push(n);
            }
        }
        assert_eq!(failed, [7, 14]);
        assert_eq!(staging.tally.failed(), 2);
    }

    #[tokio::test]
    async fn a_profile_says_more_than_production_did() {
        let staging = staging().await;
        let (head, body) = staging.raw("GET /v2/profile HTTP/1.1\r\nCookie: theme=dark; session=u3\r\n\r\n").await;
        assert!(head.starts_with("http/1.1 200 "));
        let body = String::from_utf8(body).unwrap();
        assert_eq!(body.replacen(REGION, "", 1), page("profile-u3.json"));
        assert_ne!(body, page("profile-u3.json"));
        assert_eq!(staging.tally.changed(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn programs_take_longer_by_what_is_built_in() {
        let staging = Arc::new(Staging::new());
        let request = Request::get("/v2/programs?day=mon").body(Body::empty()).unwrap();
        let before = tokio::time::Instant::now();
        let response = answer(State(Arc::clone(&staging)), request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(before.elapsed(), SLOWER);
        assert_eq!(staging.tally.slowed(), 1);
    }
}
