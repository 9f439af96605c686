//! What is done to a request before it is sent: match, sample, rewrite.
//!
//! In goes a [`Request`], out comes the same request, changed or not, or the [`Outcome`] that ended it. There is no
//! clock and no socket here, and the same requests in the same order always end the same way. Nobody here looks at
//! bodies or at what surrounds them: a chain never touches `Content-Length` or `Transfer-Encoding`.
//!
//! A request that passes unchanged costs no allocation (but for the set of sample keys, which grows now and then).

use regex::bytes::Regex;

use crate::exchange::{Outcome, Request};

pub mod filter;
pub mod mark;
pub mod pair;
pub mod rewrite;
pub mod sample;
pub mod selection;

pub use filter::Filter;
pub use mark::Mark;
pub use rewrite::Rewrite;
pub use sample::{SampleKey, Sampler, Share};
pub use selection::Selection;

/// One link of the chain.
pub trait Link: Send {
    /// Passes the request on, changed or not, or ends it.
    fn apply(&mut self, request: &mut Request) -> Result<(), Outcome>;
}

/// What the flags say; applied in the order match, sample, rewrite.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Methods that pass; empty: all.
    pub allow_methods: Vec<String>,
    /// A path-and-query matching any of these passes; empty: all.
    pub allow_paths: Vec<Regex>,
    /// A path-and-query matching any of these ends.
    pub deny_paths: Vec<Regex>,
    /// Hosts that pass, without port, compared without case; empty: all.
    pub allow_hosts: Vec<String>,
    /// Whether methods other than GET, HEAD and OPTIONS pass.
    pub allow_writes: bool,
    /// The share that passes.
    pub sample: Share,
    /// What the sample keeps together.
    pub sample_by: SampleKey,
    /// Seed of the sample: nodes with the same seed choose the same.
    pub seed: u64,
    /// Header lines to set (name, value).
    pub set_headers: Vec<(String, String)>,
    /// Header lines to remove.
    pub remove_headers: Vec<String>,
    /// Cookies to set (name, value).
    pub set_cookies: Vec<(String, String)>,
    /// Cookies to remove.
    pub remove_cookies: Vec<String>,
}

impl Settings {
    /// Whether anything is changed in requests.
    #[must_use]
    pub fn rewrites(&self) -> bool {
        let lists = [self.set_headers.is_empty(), self.remove_headers.is_empty(), self.remove_cookies.is_empty()];
        lists.contains(&false) || !self.set_cookies.is_empty()
    }

    /// Whether any request may be kept back, but for writes.
    #[must_use]
    pub fn selects(&self) -> bool {
        let lists = [self.allow_paths.is_empty(), self.deny_paths.is_empty()];
        lists.contains(&false)
            || !self.allow_methods.is_empty()
            || !self.allow_hosts.is_empty()
            || self.sample != Share::default()
    }

    /// Whether a link sets the Host header: then a client has to keep it instead of naming the target.
    #[must_use]
    pub fn sets_host(&self) -> bool {
        self.set_headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"))
    }
}

/// The links that the flags ask for, in their fixed order.
#[derive(Debug)]
pub struct Chain {
    filter: Filter,
    sampler: Sampler,
    rewrite: Rewrite,
}

impl Chain {
    /// A chain that does what `settings` say.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            filter: Filter::new(settings),
            sampler: Sampler::new(settings.sample, settings.sample_by.clone(), settings.seed),
            rewrite: Rewrite::new(settings),
        }
    }

    /// Passes the request through every link, or ends it at the first that says so.
    pub fn apply(&mut self, request: &mut Request) -> Result<(), Outcome> {
        let links: [&mut dyn Link; 3] = [&mut self.filter, &mut self.sampler, &mut self.rewrite];
        links.into_iter().try_for_each(|link| link.apply(request))
    }

    /// The share of distinct sample keys that is in, from 0 to 1, of those seen so far. `None` when sampling by
    /// request, before the first key, and past [`sample::MAX_COUNTED_KEYS`].
    #[must_use]
    pub fn key_share(&self) -> Option<f64> {
        self.sampler.key_share()
    }
}

#[cfg(test)]
mod testing {
    //! Requests for the tests of the links.

    use crate::exchange::{Body, ConnectionId, ExchangeId, Head, Request, RequestState, Timestamp};

    /// Request `id.1` from `10.0.0.1:5000` with this head.
    pub(super) fn request(connection: u64, head: &str) -> Request {
        Request {
            id: ExchangeId::new(ConnectionId(connection), 1),
            client: "10.0.0.1:5000".parse().unwrap(),
            server: "10.0.0.2:80".parse().unwrap(),
            head: Head::new(head.as_bytes().to_vec()),
            body: Body::EMPTY,
            first_byte: Timestamp::from_nanos(0),
            last_byte: Timestamp::from_nanos(0),
            state: RequestState::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_without_settings_lets_reads_pass_unchanged() {
        let head = "GET /a HTTP/1.1\r\nhOST:h\r\nX: 1\r\nX: 2\r\n\r\n";
        let mut request = testing::request(1, head);
        assert_eq!(Chain::new(&Settings::default()).apply(&mut request), Ok(()));
        assert_eq!(request.head.as_bytes(), head.as_bytes());
    }

    #[test]
    fn matching_comes_before_sampling_and_sampling_before_rewriting() {
        let settings = Settings {
            sample: Share(0.0),
            set_headers: vec![("X".to_owned(), "2".to_owned())],
            allow_methods: vec!["GET".to_owned()],
            ..Settings::default()
        };
        let mut chain = Chain::new(&settings);
        let mut head = testing::request(1, "HEAD / HTTP/1.1\r\nX: 1\r\n\r\n");
        assert_eq!(chain.apply(&mut head), Err(Outcome::filtered("allow-method")));
        let mut get = testing::request(1, "GET / HTTP/1.1\r\nX: 1\r\n\r\n");
        assert_eq!(chain.apply(&mut get), Err(Outcome::SampledOut));
        assert_eq!(get.head.get("x"), Some(&b"1"[..]));
    }

    #[test]
    fn the_sample_key_is_read_as_captured_though_a_rewrite_changes_it() {
        let settings = Settings {
            sample: Share(0.5),
            sample_by: SampleKey::Header("user".to_owned()),
            set_headers: vec![("User".to_owned(), "nobody".to_owned())],
            ..Settings::default()
        };
        let mut chain = Chain::new(&settings);
        let passed = (0..1000)
            .filter(|user| {
                let mut request = testing::request(1, &format!("GET / HTTP/1.1\r\nUser: {user}\r\n\r\n"));
                chain.apply(&mut request).is_ok()
            })
            .count();
        assert!((400..600).contains(&passed), "{passed}");
    }

    #[test]
    fn settings_tell_whether_a_host_is_set() {
        let set = |name: &str| Settings { set_headers: vec![(name.to_owned(), "h".to_owned())], ..Settings::default() };
        assert!(set("hOST").sets_host());
        assert!(!set("X-Host").sets_host());
    }
}
