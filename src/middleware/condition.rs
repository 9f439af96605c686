//! Which requests: by method, path, route, host, client, header, cookie, parameter and body; all, any and not.
//!
//! In goes a request as earlier links left it, out comes yes or no. Nothing is changed here, and a request that lacks
//! what is asked for is a no.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use regex::bytes::Regex;

use super::{Context, PatternSet, allow_deny, cookies, query};
use crate::exchange::Request;
use crate::route_pattern::{self, RouteSet};

/// Tests that all have to hold; without any it holds for every request.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// The tests, in the order in which they are asked.
    pub tests: Vec<Test>,
}

/// One test. A list holds where one of it does.
#[derive(Clone, Debug)]
pub enum Test {
    /// The method, exactly.
    Method(Vec<String>),
    /// Path and query.
    Path(PatternSet),
    /// The route: method and path, without the query.
    Route(RouteSet),
    /// The host without port.
    Host(HostSet),
    /// The network of the client.
    Client(Vec<IpNet>),
    /// A header.
    Header(NamedValue),
    /// A cookie.
    Cookie(NamedValue),
    /// A query parameter, decoded.
    Param(NamedValue),
    /// User and password of basic authentication (RFC 7617), decoded.
    BasicAuth(Regex),
    /// The content of the body, transfer coding removed.
    Body(PatternSet),
    /// The body has more bytes than this.
    BodyOver(u64),
    /// The body has fewer bytes than this.
    BodyUnder(u64),
    /// The media type of the body, without parameters.
    ContentType(Vec<MediaType>),
    /// Each of them holds.
    All(Vec<Condition>),
    /// One of them holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Condition),
}

/// A named value and what is asked of it.
#[derive(Clone, Debug)]
pub struct NamedValue {
    name: String,
    value: ValueTest,
}

/// Test of a named value; of several under one name, any may pass.
#[derive(Clone, Debug)]
pub enum ValueTest {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It matches.
    Matches(Regex),
}

/// Hosts of a list: looked up, however many there are.
#[derive(Clone, Debug, Default)]
pub struct HostSet {
    names: HashSet<Box<[u8]>>,
    /// Domains that hosts are below of.
    domains: HashSet<Box<[u8]>>,
}

/// `a.example`, or `*.a.example` for every host below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPattern {
    name: String,
    below: bool,
}

/// `application/json`, `text/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    kind: String,
    any_subtype: bool,
}

impl Condition {
    /// Returns whether it holds for this request.
    #[must_use]
    pub fn holds(&self, request: &Request, context: &Context) -> bool {
        self.tests.iter().all(|test| test.holds(request, context))
    }

    /// Returns whether it holds for every request of this method (`Some(true)`), for none (`Some(false)`), or for some
    /// (`None`), as far as can be known without a request.
    pub(super) fn of_method(&self, method: &str) -> Option<bool> {
        all(self.tests.iter().map(|test| test.of_method(method)))
    }
}

/// Returns the conjunction of all of these.
fn all(mut each: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    each.try_fold(Some(true), |so_far, one| match (so_far, one) {
        (_, Some(false)) => Err(()),
        (Some(true), one) => Ok(one),
        (so_far, _) => Ok(so_far),
    })
    .unwrap_or(Some(false))
}

impl Test {
    fn holds(&self, request: &Request, context: &Context) -> bool {
        match self {
            Self::Method(methods) => methods.iter().any(|method| method.as_bytes() == context.method(request)),
            Self::Path(patterns) => patterns.is_match(context.path_and_query(request)),
            Self::Route(routes) => {
                let path = route_pattern::path(context.path_and_query(request));
                routes.first(context.method(request), path).is_some()
            }
            Self::Host(hosts) => hosts.has(allow_deny::request_host(context.fields(request))),
            Self::Client(networks) => is_within(request.client.ip(), networks),
            Self::Header(named) => named.asks(context.fields(request).get_all(&named.name).map(Cow::Borrowed)),
            Self::Cookie(named) => {
                let all = context.fields(request).get_all("cookie").flat_map(cookies::cookies);
                let values = all.filter(|(name, _)| *name == named.name.as_bytes()).map(|(_, value)| value);
                named.asks(values.map(Cow::Borrowed))
            }
            Self::Param(named) => named.asks(query::values(context.path_and_query(request), &named.name)),
            Self::BasicAuth(regex) => {
                let user = context.fields(request).get("authorization").and_then(basic_auth);
                user.is_some_and(|user| regex.is_match(&user))
            }
            Self::Body(patterns) => request.body.content().is_some_and(|content| {
                context.may_search(patterns.steps(content.len())) && patterns.is_match(&content)
            }),
            Self::BodyOver(bytes) => request.body.len > *bytes,
            Self::BodyUnder(bytes) => request.body.len < *bytes,
            Self::ContentType(types) => {
                media_type(request, context).is_some_and(|kind| types.iter().any(|known| known.is(kind)))
            }
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(request, context)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(request, context)),
            Self::Not(condition) => !condition.holds(request, context),
        }
    }

    fn of_method(&self, method: &str) -> Option<bool> {
        let not = |one: Option<bool>| one.map(|holds| !holds);
        match self {
            Self::Method(methods) => Some(methods.iter().any(|one| one == method)),
            Self::All(conditions) => all(conditions.iter().map(|condition| condition.of_method(method))),
            Self::Any(conditions) => not(all(conditions.iter().map(|condition| not(condition.of_method(method))))),
            Self::Not(condition) => not(condition.of_method(method)),
            _ => None,
        }
    }
}

impl NamedValue {
    /// A name, and what is asked of what stands under it.
    #[must_use]
    pub fn new(name: impl Into<String>, value: ValueTest) -> Self {
        Self { name: name.into(), value }
    }

    fn asks<'a>(&self, mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> bool {
        match &self.value {
            ValueTest::Present => values.next().is_some(),
            ValueTest::Absent => values.next().is_none(),
            ValueTest::Matches(regex) => values.any(|value| regex.is_match(&value)),
        }
    }
}

impl FromIterator<HostPattern> for HostSet {
    fn from_iter<I: IntoIterator<Item = HostPattern>>(all: I) -> Self {
        let mut set = Self::default();
        for HostPattern { name, below } in all {
            let name = allow_deny::lower(name.as_bytes()).into_vec().into();
            if below {
                set.domains.insert(name)
            } else {
                set.names.insert(name)
            };
        }
        set
    }
}

impl HostSet {
    fn has(&self, host: &[u8]) -> bool {
        let host = allow_deny::lower(host);
        let is_below = || {
            // Before the dot there has to be something.
            memchr::memchr_iter(b'.', &host)
                .any(|dot| dot > 0 && host.get(dot + 1..).is_some_and(|domain| self.domains.contains(domain)))
        };
        self.names.contains(&*host) || !self.domains.is_empty() && is_below()
    }
}

impl HostPattern {
    /// A host, or `*.` and the domain that it is below of.
    ///
    /// # Errors
    ///
    /// Where it is empty, or more than a host.
    pub(crate) fn new(typed: &str) -> Result<Self, allow_deny::HostError> {
        let below = typed.strip_prefix("*.");
        let name = allow_deny::host(below.unwrap_or(typed))?;
        Ok(Self { name: allow_deny::without_brackets(&name).to_owned(), below: below.is_some() })
    }
}

impl MediaType {
    /// `type/subtype` or `type/*`; `None` where it is neither.
    #[must_use]
    pub fn new(typed: &str) -> Option<Self> {
        let (kind, subtype) = typed.split_once('/')?;
        let is_word = |word: &str| super::name_value::is_token(word) && !word.contains('*');
        match subtype {
            "*" if is_word(kind) => Some(Self { kind: format!("{kind}/"), any_subtype: true }),
            subtype if is_word(kind) && is_word(subtype) => Some(Self { kind: typed.to_owned(), any_subtype: false }),
            _ => None,
        }
    }

    fn is(&self, kind: &[u8]) -> bool {
        if !self.any_subtype {
            return kind.eq_ignore_ascii_case(self.kind.as_bytes());
        }
        kind.get(..self.kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(self.kind.as_bytes()))
    }
}

/// The media type of the body without its parameters (RFC 9110, 8.3).
pub(super) fn media_type<'a>(request: &'a Request, context: &'a Context) -> Option<&'a [u8]> {
    let value = context.fields(request).get("content-type")?;
    value.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii)
}

/// Returns `user:password` of an Authorization header; `None` where it is of another scheme, or no base64.
fn basic_auth(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, coded) = value.split_at_checked(6)?;
    let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
    is_basic.then(|| data_encoding::BASE64.decode(coded.trim_ascii()).ok()).flatten()
}

fn is_within(client: IpAddr, networks: &[IpNet]) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| network.contains(&client))
}
