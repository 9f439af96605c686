//! Filters for requests before they are sent: match, sample, limit, rewrite, route, redact.
//!
//! A [`Request`] goes in; the same request comes out, changed or not, or the [`Outcome`] that ended it. There is no
//! clock and no socket here, and the same requests in the same order always end the same way. A changed body keeps its
//! kind of framing, and its length is written anew; nothing else ever changes `Content-Length` or `Transfer-Encoding`.
//!
//! A request that passes unchanged costs no allocation. Exceptions are the keys of samples and limits, whose tables
//! grow now and then, and chunked bodies that an expression has to search.

use crate::exchange::{Outcome, Request};

pub(crate) mod allow_deny;
pub mod body;
pub mod carry;
pub(crate) mod carry_set;
pub mod chain;
pub mod condition;
pub mod context;
mod cookies;
pub mod credentials;
pub(crate) mod dynamic_share;
pub(crate) mod edit;
pub mod external;
pub mod file;
pub(crate) mod http_date;
pub mod json;
pub mod key;
pub mod limit;
mod lines;
pub(crate) mod loop_header;
pub mod masking;
pub(crate) mod name_value;
pub mod path;
pub mod patterns;
mod query;
pub mod redact;
pub mod replace_url;
pub mod rewrite;
pub mod round_robin;
pub mod route;
pub mod sample;
pub mod secret;
pub(crate) mod secret_names;
pub(crate) mod selection;
pub(crate) mod set_cookie;
pub mod share;
pub(crate) mod spec;
pub(crate) mod template;
pub mod unreadable;
pub(crate) mod value_change;

pub(crate) use allow_deny::AllowDeny;
pub use chain::{Chain, SampledShare};
pub(crate) use context::PseudonymKey;
pub use context::{Context, RunIdentity};
pub(crate) use dynamic_share::DynamicShare;
pub use file::ChainFile;
pub use key::SampleKey;
pub use limit::LimitSpec;
pub(crate) use limit::Limiter;
pub use loop_header::LoopHeader;
pub use patterns::PatternSet;
pub use rewrite::Rewrite;
pub use sample::Sampler;
pub use selection::Selection;
pub use share::{Share, ShareError};
pub use template::Template;

/// One link of the chain.
pub trait Filter: Send + std::fmt::Debug {
    /// Passes the request on, changed or not, or ends it.
    ///
    /// # Errors
    ///
    /// How the request ended, where it goes no further.
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome>;

    /// The sampler that it is, for the report.
    fn sampler(&self) -> Option<&Sampler> {
        None
    }
}

/// Chain files, and what the flags say; the files in their order first, then the flags in the order match, sample,
/// limit, rewrite.
#[derive(Clone, Debug, Default)]
pub struct ChainSettings {
    /// Chain files, in their order.
    pub files: Vec<ChainFile>,
    /// Chain files of single targets, by number: for what is on its way there only, after everything else.
    pub for_targets: Vec<(usize, ChainFile)>,
    /// Identity of the run.
    pub run: RunIdentity,
    /// Methods that pass; empty: all.
    pub allow_methods: Vec<String>,
    /// A path-and-query matching any of these passes; empty: all.
    pub allow_paths: PatternSet,
    /// A path-and-query matching any of these ends.
    pub deny_paths: PatternSet,
    /// Hosts that pass, without port, compared without case; empty: all.
    pub allow_hosts: Vec<String>,
    /// True when methods other than GET, HEAD and OPTIONS pass.
    pub allow_writes: bool,
    /// The share that passes.
    pub sample: Share,
    /// Share that replaces `sample` when it can be changed during the run.
    pub dial: Option<DynamicShare>,
    /// Unit that the sample keeps together.
    pub sample_by: SampleKey,
    /// Seed of the sample: nodes with the same seed choose the same.
    pub seed: u64,
    /// No more than this, of what is in the sample.
    pub limit: Option<LimitSpec>,
    /// The part of that limit which is this run's, where it is that of several.
    pub limit_share: Option<DynamicShare>,
    /// Header lines to set (name, value; see [`Template`]).
    pub set_headers: Vec<(String, String)>,
    /// Header lines to remove.
    pub remove_headers: Vec<String>,
    /// Cookies to set (name, value; see [`Template`]).
    pub set_cookies: Vec<(String, String)>,
    /// Cookies to remove.
    pub remove_cookies: Vec<String>,
}

impl ChainSettings {
    /// Returns the settings of the filters for one target only; `None` where there are none.
    #[must_use]
    pub fn of_target(&self, target: usize) -> Option<Self> {
        let files: Vec<ChainFile> =
            self.for_targets.iter().filter(|(of, _)| *of == target).map(|(_, file)| file.clone()).collect();
        // Whether writes pass was settled before.
        (!files.is_empty()).then(|| Self { files, run: self.run.clone(), allow_writes: true, ..Self::default() })
    }

    /// The same, but that as many may pass as want to.
    #[must_use]
    pub(crate) fn without_limits(&self) -> Self {
        let mut settings = Self { limit: None, ..self.clone() };
        let files = settings.files.iter_mut().chain(settings.for_targets.iter_mut().map(|(_, file)| file));
        files.for_each(|file| file.links.retain(|link| !matches!(link.action, spec::FilterAction::Limit(_))));
        settings
    }

    /// Returns whether any filter changes requests.
    #[must_use]
    pub fn rewrites(&self) -> bool {
        let lists = [self.set_headers.is_empty(), self.remove_headers.is_empty(), self.remove_cookies.is_empty()];
        lists.contains(&false) || !self.set_cookies.is_empty() || self.links().any(spec::FilterSpec::rewrites)
    }

    /// Returns whether any request may be kept back, other than writes.
    #[must_use]
    pub(crate) fn selects(&self) -> bool {
        let lists = [self.allow_paths.is_empty(), self.deny_paths.is_empty()];
        lists.contains(&false)
            || !self.allow_methods.is_empty()
            || !self.allow_hosts.is_empty()
            || self.sample != Share::default()
            || self.limit.is_some()
            || self.links().any(spec::FilterSpec::selects)
    }

    /// Returns whether any filter limits a rate, other than those of single targets.
    #[must_use]
    pub fn limits(&self) -> bool {
        self.limit.is_some() || self.links().any(|link| matches!(link.action, spec::FilterAction::Limit(_)))
    }

    /// Returns whether a filter may set the Host header: then a client has to keep it instead of the target's name.
    #[must_use]
    pub(crate) fn sets_host(&self) -> bool {
        self.set_headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"))
            || self.links().any(spec::FilterSpec::touches_host)
    }

    /// Returns whether a chain file lets writes pass that would be kept back otherwise.
    #[must_use]
    pub fn allows_some_writes(&self) -> bool {
        self.links().any(|link| link.allowed_writes().is_some())
    }

    /// Returns whether a chain file lets some writes of this method pass.
    #[must_use]
    pub(crate) fn allows_some(&self, method: &str) -> bool {
        let allowed = self.links().filter_map(spec::FilterSpec::allowed_writes);
        allowed.map(|condition| condition.of_method(method)).any(|holds| holds != Some(false))
    }

    /// The share that is asked for, where one word says it: that of the flags, or that of the only sample of the chain
    /// files where every request comes to it.
    #[must_use]
    pub(crate) fn asked_share(&self) -> Share {
        let mut samples = self.links().filter_map(|link| match &link.action {
            spec::FilterAction::Sample(sample) => Some(link.when.tests.is_empty().then_some(sample.share)),
            _ => None,
        });
        match (samples.next(), samples.next()) {
            (Some(Some(share)), None) if self.sample == Share::default() => share,
            _ => self.sample,
        }
    }

    /// Programs that its links run.
    pub fn programs(&self) -> impl Iterator<Item = &external::CommandLine> {
        self.links().filter_map(|link| match &link.action {
            spec::FilterAction::Carry(rule) => rule.login.as_ref(),
            _ => None,
        })
    }

    /// The rules of its `carry` links, by number.
    #[must_use]
    pub(crate) fn carry_rules(&self) -> Vec<carry::CarryRule> {
        Self::carry_rules_of(&self.files)
    }

    /// Those of these files.
    pub(crate) fn carry_rules_of(files: &[ChainFile]) -> Vec<carry::CarryRule> {
        let rules = files.iter().flat_map(|file| &file.links).filter_map(|link| match &link.action {
            spec::FilterAction::Carry(rule) => Some(rule.clone()),
            _ => None,
        });
        rules.collect()
    }

    /// The names and expressions under which `carry` links find values.
    #[must_use]
    pub(crate) fn secret_names(&self) -> secret_names::SecretNames {
        let rules = self.carry_rules();
        if rules.is_empty() { secret_names::SecretNames::default() } else { carry::secrets(&rules).into() }
    }

    /// The links of the chain files, in order.
    fn links(&self) -> impl Iterator<Item = &spec::FilterSpec> + Clone {
        self.files.iter().flat_map(|file| &file.links)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Requests for the tests of the links.

    use crate::exchange::{Body, ConnectionId, ExchangeId, Framing, Head, Request, RequestState, Timestamp};

    /// Request `id.1` from `10.0.0.1:5000` with this head.
    pub(crate) fn request(connection: u64, head: &str) -> Request {
        // Each has ends of its own.
        let (block, port) =
            (u8::try_from(connection >> 14 & 0xff).unwrap(), 5_000 + u16::try_from(connection & 0x3fff).unwrap());
        Request {
            id: ExchangeId::new(ConnectionId(connection), 1),
            client: ([10, 0, block, 1], port).into(),
            server: "10.0.0.2:80".parse().unwrap(),
            head: Head::new(head.as_bytes().to_vec()),
            body: Body::EMPTY,
            first_byte: Timestamp::from_nanos(0),
            last_byte: Timestamp::from_nanos(0),
            state: RequestState::Whole,
        }
    }

    /// The same with this body, in chunks where the head says so.
    pub(super) fn with_body(head: &str, body: &str) -> Request {
        let is_chunked = head.contains("chunked");
        let framing = if is_chunked { Framing::Chunked } else { Framing::Length(body.len() as u64) };
        let mut request = request(1, head);
        request.body = Body { framing, len: 0, sha256: None, wire: Some(body.to_owned().into()) };
        request.body.len = request.body.content().unwrap().len() as u64;
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_without_settings_lets_reads_pass_unchanged() {
        let head = "GET /a HTTP/1.1\r\nhOST:h\r\nX: 1\r\nX: 2\r\n\r\n";
        let mut request = testing::request(1, head);
        assert_eq!(Chain::new(&ChainSettings::default()).apply(&mut request), Ok(()));
        assert_eq!(request.head.as_bytes(), head.as_bytes());
    }

    #[test]
    fn matching_comes_before_sampling_and_sampling_before_rewriting() {
        let settings = ChainSettings {
            sample: Share(0.0),
            set_headers: vec![("X".to_owned(), "2".to_owned())],
            allow_methods: vec!["GET".to_owned()],
            ..ChainSettings::default()
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
        let settings = ChainSettings {
            sample: Share(0.5),
            sample_by: SampleKey::Header("user".to_owned()),
            set_headers: vec![("User".to_owned(), "nobody".to_owned())],
            ..ChainSettings::default()
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
        let set = |name: &str| ChainSettings {
            set_headers: vec![(name.to_owned(), "h".to_owned())],
            ..ChainSettings::default()
        };
        assert!(set("hOST").sets_host());
        assert!(!set("X-Host").sets_host());
    }
}
