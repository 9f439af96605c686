//! Access control: the rights to read and to control a run.
//!
//! A browser on this machine acts for whatever page it has open, so a page of another origin must neither read nor
//! control. Reading requires that the Host names this machine (else somebody else's name has been pointed at it, DNS
//! rebinding); only `/metrics` and the probes, at an address that is open to others anyway, are read under any name. At
//! such an address the page and its events, which show the content of requests and responses, require the token of
//! `--control-token-file`, and are absent without one. `--metrics-token` closes the metrics and the probes.
//!
//! Control requires the same, that the browser does not report another origin of the request, and a token: the one of
//! `--control-token-file`, or else, on loopback, one that is in the page and that no other origin can read.
//!
//! A token comes in a header, never in a cookie: cookies go to every port of a host, so to the traffic that is recorded
//! there, too.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::token::Token;

/// Header by which a browser reports the origin of a request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Path of the metrics.
pub(super) const METRICS: &str = "/metrics";
/// Path of the liveness probe: the process responds.
pub(super) const HEALTH: &str = "/healthz";
/// Path of the readiness probe: the run has begun.
pub(super) const READY: &str = "/readyz";

/// The words that open what is not open to all.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Of who may steer the run, and at an address that others reach see the page.
    pub control: Option<Token>,
    /// Of who may read the metrics and the probes; without one everybody may.
    pub metrics: Option<Token>,
}

/// Rights to read and to control.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    loopback: bool,
    /// The names that this address has, in lower case, besides any IP address.
    names: Vec<String>,
    steering: Steering,
    metrics: Option<Token>,
}

#[derive(Clone, Debug)]
enum Steering {
    /// Nobody.
    Off,
    /// Everybody who has the page: the token is in it.
    Page(Token),
    /// Whoever knows the token of the file.
    File(Token),
}

/// Reason that a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AccessRefused {
    /// The Host is not this machine.
    #[error("the Host header names another machine: open this page by its address")]
    Host,
    /// Another origin's page sent it.
    #[error("this request comes from a page of another origin")]
    Origin,
    /// No token, or another one.
    #[error("this needs the token: Authorization: Bearer TOKEN")]
    Token,
    /// No token, or another one, where only the page has it.
    #[error(
        "only the page of the run has the token: begin the run with --control-token-file FILE and send that one, use \
         `shadowtap control`, or reload the page"
    )]
    PageAlone,
    /// Nobody may see the page here.
    #[error("the page is shown at an address that others reach only where the run is begun with --control-token-file")]
    NoPage,
    /// Nobody may steer here.
    #[error("the run cannot be steered at an address that others reach, unless it is begun with --control-token-file")]
    Off,
    /// Neither read nor steered.
    #[error("this method is not known here")]
    Method,
}

impl AccessRefused {
    /// The status that says so.
    #[must_use]
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::NoPage | Self::Off => StatusCode::FORBIDDEN,
            Self::Token | Self::PageAlone => StatusCode::UNAUTHORIZED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

impl Access {
    /// For what listens at `address`, typed with the name or address `typed`.
    #[must_use]
    pub(crate) fn new(address: SocketAddr, typed: &str, tokens: Tokens) -> Self {
        let loopback = address.ip().is_loopback();
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let steering = match tokens.control {
            Some(token) => Steering::File(token),
            None if loopback => Steering::Page(Token::random()),
            None => Steering::Off,
        };
        let mut names = vec!["localhost".to_owned(), typed.to_ascii_lowercase()];
        // What others call it means nothing on loopback.
        if !loopback {
            names.push(node.to_ascii_lowercase());
        }
        Self { loopback, names, steering, metrics: tokens.metrics }
    }

    /// Returns whether anybody may control the run.
    #[must_use]
    pub(crate) const fn steers(&self) -> bool {
        !matches!(self.steering, Steering::Off)
    }

    /// Returns whether anybody may open the page.
    #[must_use]
    pub(crate) const fn shows_page(&self) -> bool {
        self.loopback || self.steers()
    }

    /// Returns the token in the page, if there is one.
    #[must_use]
    pub(crate) fn page_token(&self) -> Option<&str> {
        match &self.steering {
            Steering::Page(token) => Some(token.word()),
            Steering::File(_) | Steering::Off => None,
        }
    }

    /// Whether a request may have what it asks for.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub(crate) fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), AccessRefused> {
        let monitoring = matches!(path, METRICS | HEALTH | READY);
        let public = monitoring && !self.loopback;
        if !public && !self.is_here(only(headers, &HOST)) {
            return Err(AccessRefused::Host);
        }
        match *method {
            Method::GET | Method::HEAD if monitoring => self.may_monitor(headers),
            Method::GET | Method::HEAD => self.may_see(headers),
            Method::POST => self.may_steer(headers),
            _ => Err(AccessRefused::Method),
        }
    }

    /// Checks the right to read the metrics; a token for control suffices, too.
    fn may_monitor(&self, headers: &HeaderMap) -> Result<(), AccessRefused> {
        let Some(token) = &self.metrics else { return Ok(()) };
        let (shown, steers) = (bearer(headers), self.token());
        let known = shown.is_some_and(|shown| token.is(shown) || steers.is_some_and(|token| token.is(shown)));
        if known { Ok(()) } else { Err(AccessRefused::Token) }
    }

    fn may_see(&self, headers: &HeaderMap) -> Result<(), AccessRefused> {
        if self.loopback {
            return Ok(());
        }
        let token = self.token().ok_or(AccessRefused::NoPage)?;
        if bearer(headers).is_some_and(|shown| token.is(shown)) { Ok(()) } else { Err(AccessRefused::Token) }
    }

    /// The token of who may steer.
    const fn token(&self) -> Option<&Token> {
        match &self.steering {
            Steering::Off => None,
            Steering::Page(token) | Steering::File(token) => Some(token),
        }
    }

    fn may_steer(&self, headers: &HeaderMap) -> Result<(), AccessRefused> {
        let token = self.token().ok_or(AccessRefused::Off)?;
        if from_elsewhere(headers) {
            return Err(AccessRefused::Origin);
        }
        if bearer(headers).is_some_and(|shown| token.is(shown)) {
            return Ok(());
        }
        // A program cannot know it, and has to be told what to do instead.
        Err(if self.page_token().is_some() { AccessRefused::PageAlone } else { AccessRefused::Token })
    }

    /// Returns whether a Host header names this machine: by an IP address, or by a name that is known for it.
    fn is_here(&self, host: Option<&HeaderValue>) -> bool {
        let Some(host) = host.and_then(|host| host.to_str().ok()) else { return false };
        let name = without_port(host).to_ascii_lowercase();
        let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        literal.is_ok() || self.names.contains(&name)
    }
}

/// Returns whether a browser reports that another origin's page sent the request. Other clients report nothing.
fn from_elsewhere(headers: &HeaderMap) -> bool {
    let here = headers.get(HOST).map(|host| [b"http://", host.as_bytes()].concat());
    let other_origin = headers.get_all(ORIGIN).iter().any(|origin| Some(origin.as_bytes()) != here.as_deref());
    let other_site = headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "same-origin" && site != "none");
    other_origin || other_site
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    only(headers, &AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")
}

/// A header's value; `None` where there are several.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";
    const METRICS_TOKEN: &str = "fedcba9876543210";

    fn access(address: &str, token: bool) -> Access {
        access_with(address, token, false)
    }

    fn access_with(address: &str, control: bool, metrics: bool) -> Access {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let token = |word: &str| {
            std::fs::write(&file, word).unwrap();
            Some(Token::read(&file).unwrap())
        };
        let control = if control { token(TOKEN) } else { None };
        let metrics = if metrics { token(METRICS_TOKEN) } else { None };
        let address: SocketAddr = address.parse().unwrap();
        Access::new(address, &address.ip().to_string(), Tokens { control, metrics })
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    #[track_caller]
    fn reads(access: &Access, path: &str, host: &str, expected: Result<(), AccessRefused>) {
        assert_eq!(access.check(&Method::GET, path, &headers(&[("host", host)])), expected, "{path} at {host}");
    }

    #[test]
    fn a_host_that_names_another_machine_reads_nothing_on_loopback() {
        let access = access("127.0.0.1:9184", false);
        for host in ["127.0.0.1:9184", "localhost:9184", "LOCALHOST", "[::1]:9184", "10.0.0.1"] {
            reads(&access, "/", host, Ok(()));
            reads(&access, "/metrics", host, Ok(()));
        }
        for host in ["evil.example:9184", "localhost.evil.example", "127.0.0.1.evil.example", "", "localhost:"] {
            reads(&access, "/", host, Err(AccessRefused::Host));
            reads(&access, "/metrics", host, Err(AccessRefused::Host));
        }
        let mut two = headers(&[("host", "127.0.0.1")]);
        two.append(HOST, "evil.example".parse().unwrap());
        assert_eq!(access.check(&Method::GET, "/", &two), Err(AccessRefused::Host));
        assert_eq!(access.check(&Method::GET, "/", &HeaderMap::new()), Err(AccessRefused::Host));
    }

    /// Asserts the verdict on a GET at this address with this token.
    #[track_caller]
    fn reads_with(access: &Access, path: &str, token: &str, expected: Result<(), AccessRefused>) {
        let bearer = format!("Bearer {token}");
        let lines = [("host", "10.1.2.3:9184"), ("authorization", bearer.as_str())];
        assert_eq!(access.check(&Method::GET, path, &headers(&lines)), expected, "{path} with {token:?}");
        assert_eq!(access.check(&Method::HEAD, path, &headers(&lines)), expected, "{path} with {token:?}");
    }

    #[test]
    fn at_an_open_address_monitoring_is_read_under_any_name_and_the_page_with_the_token_only() {
        for address in ["0.0.0.0:9184", "10.1.2.3:9184", "[::]:9184"] {
            let (without, with) = (access(address, false), access(address, true));
            for path in ["/metrics", "/healthz", "/readyz"] {
                reads(&without, path, "node1.example:9184", Ok(()));
                reads(&with, path, "node1.example:9184", Ok(()));
            }
            for path in ["/", "/events", "/anything", "/metrics/", "//metrics"] {
                reads(&with, path, "node1.example:9184", Err(AccessRefused::Host));
                reads(&with, path, "10.1.2.3:9184", Err(AccessRefused::Token));
                reads_with(&with, path, "", Err(AccessRefused::Token));
                reads_with(&with, path, "0123456789abcdeF", Err(AccessRefused::Token));
                reads_with(&with, path, TOKEN, Ok(()));
                reads_with(&without, path, TOKEN, Err(AccessRefused::NoPage));
            }
        }
    }

    #[test]
    fn a_token_for_the_metrics_closes_them_and_the_probes_and_opens_nothing_else() {
        for address in ["127.0.0.1:9184", "0.0.0.0:9184"] {
            let access = access_with(address, true, true);
            for path in ["/metrics", "/healthz", "/readyz"] {
                reads(&access, path, "10.1.2.3:9184", Err(AccessRefused::Token));
                reads_with(&access, path, "fedcba987654321", Err(AccessRefused::Token));
                reads_with(&access, path, METRICS_TOKEN, Ok(()));
                reads_with(&access, path, TOKEN, Ok(()));
            }
            steers(&access, &[("authorization", "Bearer fedcba9876543210")], Err(AccessRefused::Token));
        }
        reads_with(&access_with("0.0.0.0:9184", true, true), "/events", METRICS_TOKEN, Err(AccessRefused::Token));
        reads_with(&access_with("0.0.0.0:9184", false, true), "/events", METRICS_TOKEN, Err(AccessRefused::NoPage));
    }

    /// Asserts the verdict on a POST with these header fields in addition to Host and the right token.
    #[track_caller]
    fn steers(access: &Access, lines: &[(&'static str, &str)], expected: Result<(), AccessRefused>) {
        let bearer = format!("Bearer {}", access.page_token().unwrap_or(TOKEN));
        let all = [&[("host", "127.0.0.1:9184"), ("authorization", bearer.as_str())], lines].concat();
        assert_eq!(access.check(&Method::POST, "/control/pause", &headers(&all)), expected, "{lines:?}");
    }

    #[test]
    fn a_page_of_another_origin_steers_nothing() {
        let access = access("127.0.0.1:9184", false);
        steers(&access, &[], Ok(()));
        steers(&access, &[("origin", "http://127.0.0.1:9184"), ("sec-fetch-site", "same-origin")], Ok(()));
        for origin in ["http://evil.example", "null", "http://127.0.0.1:8080", "https://127.0.0.1:9184", ""] {
            steers(&access, &[("origin", origin)], Err(AccessRefused::Origin));
        }
        for site in ["cross-site", "same-site", ""] {
            steers(&access, &[("sec-fetch-site", site)], Err(AccessRefused::Origin));
        }
        steers(&access, &[("host", "evil.example:9184")], Err(AccessRefused::Host));
    }

    #[test]
    fn whoever_steers_shows_the_token() {
        for access in [access("127.0.0.1:9184", false), access("127.0.0.1:9184", true), access("10.0.0.1:9184", true)] {
            steers(&access, &[], Ok(()));
            let refused = if access.page_token().is_some() { AccessRefused::PageAlone } else { AccessRefused::Token };
            for wrong in ["Bearer ", "Bearer 0123456789abcdeF", "0123456789abcdef", "Basic 0123456789abcdef"] {
                steers(&access, &[("authorization", wrong)], Err(refused));
            }
            let bare = headers(&[("host", "127.0.0.1:9184")]);
            assert_eq!(access.check(&Method::POST, "/control/stop", &bare), Err(refused));
        }
        let advice = AccessRefused::PageAlone.to_string();
        assert!(advice.contains("--control-token-file FILE") && advice.contains("`shadowtap control`"), "{advice}");
    }

    #[test]
    fn the_token_of_a_file_does_not_stand_in_the_page() {
        assert!(access("127.0.0.1:9184", false).page_token().is_some());
        assert_eq!(access("127.0.0.1:9184", true).page_token(), None);
    }

    #[test]
    fn at_an_open_address_nobody_steers_without_a_token_file() {
        let access = access("0.0.0.0:9184", false);
        steers(&access, &[], Err(AccessRefused::Off));
        assert!(AccessRefused::Off.to_string().contains("--control-token-file"));
    }

    #[test]
    fn other_methods_are_refused() {
        let access = access("127.0.0.1:9184", false);
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
            let refused = access.check(&method, "/", &headers(&[("host", "127.0.0.1")]));
            assert_eq!(refused, Err(AccessRefused::Method), "{method}");
        }
    }
}
