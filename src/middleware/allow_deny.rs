//! Selection of requests by method, host and path; also the rules for writes and for requests that no replay can carry.
//!
//! A request goes in; the same request comes out, or `Filtered` with the name of the first rule that it broke. Nothing
//! is changed here.

use std::collections::HashSet;

use smallvec::SmallVec;

use super::context::HeadFields;
use super::{ChainSettings, Context, Filter, PatternSet};
use crate::exchange::{Outcome, Request};
use crate::head::is_passed_over;

/// A method that is not on the list.
pub(crate) const ALLOW_METHOD: &str = "allow-method";
/// A host that is not on the list, or no host at all.
pub(crate) const ALLOW_HOST: &str = "allow-host";
/// A path-and-query that no allowing expression matches.
pub(crate) const ALLOW_PATH: &str = "allow-path";
/// A path-and-query that a denying expression matches.
pub(crate) const DENY_PATH: &str = "deny-path";
/// A method that may change something.
pub(crate) const WRITES: &str = "writes";
/// CONNECT asks for a tunnel, which is no request that could be replayed (RFC 9110, 9.3.6).
pub(crate) const CONNECT: &str = "connect";
/// Upgrade asks to leave HTTP (RFC 9110, 7.8).
pub(crate) const UPGRADE: &str = "upgrade";

/// Filter by method, host and path. Requests that cannot be replayed are reported before it, and `writes` after it, so
/// that its count is the number of requests that `--allow-writes` would let pass.
#[derive(Clone, Debug)]
pub(crate) struct AllowDeny {
    methods: Vec<String>,
    hosts: HashSet<Box<[u8]>>,
    allow: PatternSet,
    deny: PatternSet,
}

impl AllowDeny {
    /// The filter that `settings` ask for.
    #[must_use]
    pub(crate) fn new(settings: &ChainSettings) -> Self {
        Self {
            methods: settings.allow_methods.clone(),
            hosts: settings
                .allow_hosts
                .iter()
                .map(|host| lower(without_brackets(host).as_bytes()).into_vec().into())
                .collect(),
            allow: settings.allow_paths.clone(),
            deny: settings.deny_paths.clone(),
        }
    }

    /// The rule that this request breaks first of those that choose by method, host and path: whether it could be
    /// replayed is not asked.
    #[must_use]
    pub(crate) fn choice(&self, request: &Request) -> Option<&'static str> {
        let method = request.method();
        let path = request.path_and_query();
        first_broken([
            (ALLOW_METHOD, !self.methods.is_empty() && !self.methods.iter().any(|m| m.as_bytes() == method)),
            (ALLOW_HOST, !self.hosts.is_empty() && !self.allows_host(request)),
            (ALLOW_PATH, !self.allow.is_empty() && !self.allow.is_match(path)),
            (DENY_PATH, self.deny.is_match(path)),
        ])
    }

    /// Returns whether every request passes that could be replayed.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.hosts.is_empty() && self.allow.is_empty() && self.deny.is_empty()
    }

    fn allows_host(&self, request: &Request) -> bool {
        let host = request_host(HeadFields::of(&request.head));
        self.hosts.contains(&*lower(host))
    }
}

fn first_broken<const N: usize>(rules: [(&'static str, bool); N]) -> Option<&'static str> {
    rules.into_iter().find(|(_, broken)| *broken).map(|(rule, _)| rule)
}

/// Returns the rule for requests that no replay can carry; `None` for all others.
pub(super) fn tunnel(method: &[u8], fields: HeadFields<'_>) -> Option<&'static str> {
    first_broken([(CONNECT, method == b"CONNECT"), (UPGRADE, asks_for_upgrade(fields))])
}

/// Returns whether the method may change something: any but GET, HEAD and OPTIONS.
#[must_use]
pub(crate) fn is_write(method: &[u8]) -> bool {
    !matches!(method, b"GET" | b"HEAD" | b"OPTIONS")
}

/// Chooses by method, host and path. What cannot be replayed, and what may not be, the chain asks by itself.
impl Filter for AllowDeny {
    fn apply(&mut self, request: &mut Request, _: &mut Context) -> Result<(), Outcome> {
        self.choice(request).map_or(Ok(()), |rule| Err(Outcome::filtered(rule)))
    }
}

/// Reason why a typed text is not a host that could be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HostError {
    /// Nothing was typed.
    #[error("an empty host matches nothing; write a name such as `www.example.com`")]
    Empty,
    /// More than a host was typed.
    #[error("`{typed}` is more than a host; write it without scheme, port and path: `{host}`")]
    MoreThanAHost {
        /// Text as typed.
        typed: String,
        /// The host in it.
        host: String,
    },
}

/// A host for [`ChainSettings::allow_hosts`]: a name, an IPv4 address, or an IPv6 address with or without brackets.
///
/// # Errors
///
/// Where it is empty, or more than a host.
pub(crate) fn host(typed: &str) -> Result<String, HostError> {
    if typed.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(typed.to_owned());
    }
    let after_scheme = typed.split_once("://").map_or(typed, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let host = String::from_utf8_lossy(host_of(authority.as_bytes())).into_owned();
    match host {
        host if host.is_empty() => Err(HostError::Empty),
        host if host == without_brackets(typed) => Ok(host),
        host => Err(HostError::MoreThanAHost { typed: typed.to_owned(), host }),
    }
}

pub(super) fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// A host in small letters, by which it is looked up.
pub(super) fn lower(host: &[u8]) -> SmallVec<[u8; 64]> {
    host.iter().map(u8::to_ascii_lowercase).collect()
}

/// The host that was asked, without its port; empty where none was named.
pub(super) fn request_host(fields: HeadFields<'_>) -> &[u8] {
    host_of(authority_of(fields.target()).or_else(|| fields.get("host")).unwrap_or_default())
}

/// The authority of an absolute-form target, which overrides the Host header (RFC 9112, 3.2.2).
fn authority_of(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let start = memchr::memmem::find(target, b"://")? + 3;
    let rest = target.get(start..)?;
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    rest.get(..end)
}

/// The host of `user@host:port`; of an IPv6 literal what is between the brackets.
fn host_of(authority: &[u8]) -> &[u8] {
    let start = memchr::memrchr(b'@', authority).map_or(0, |at| at + 1);
    let host = authority.get(start..).unwrap_or_default();
    if let Some(literal) = host.strip_prefix(b"[") {
        let end = memchr::memchr(b']', literal).unwrap_or(literal.len());
        return literal.get(..end).unwrap_or_default();
    }
    let end = memchr::memchr(b':', host).unwrap_or(host.len());
    host.get(..end).unwrap_or_default()
}

/// Upgrade counts only where Connection names it (RFC 9110, 7.8), otherwise a proxy would have dropped it; and where it
/// asks for what the request cannot do without.
fn asks_for_upgrade(fields: HeadFields<'_>) -> bool {
    let mut offers = fields.get_all("upgrade").flat_map(|value| value.split(|byte| *byte == b','));
    offers.any(|offer| !is_passed_over(offer))
        && fields
            .get_all("connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    fn verdict(settings: &ChainSettings, head: &str) -> Option<&'static str> {
        let request = request(1, head);
        let write = !settings.allow_writes && is_write(request.method());
        tunnel(request.method(), HeadFields::of(&request.head))
            .or_else(|| AllowDeny::new(settings).choice(&request))
            .or(write.then_some(WRITES))
    }

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|word| (*word).to_owned()).collect()
    }

    fn regexes(all: &[&str]) -> PatternSet {
        PatternSet::new(all.iter().copied()).unwrap()
    }

    #[test]
    fn only_reads_pass_unless_writes_are_allowed() {
        let mut settings = ChainSettings::default();
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(verdict(&settings, &format!("{method} / HTTP/1.1\r\n\r\n")), None, "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "get", "PROPFIND"] {
            assert_eq!(verdict(&settings, &format!("{method} / HTTP/1.1\r\n\r\n")), Some(WRITES), "{method}");
        }
        settings.allow_writes = true;
        assert_eq!(verdict(&settings, "DELETE / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn tunnels_never_pass() {
        let settings = ChainSettings { allow_writes: true, ..ChainSettings::default() };
        assert_eq!(verdict(&settings, "CONNECT h:443 HTTP/1.1\r\n\r\n"), Some(CONNECT));
        let upgrade = "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive, UPGRADE\r\n\r\n";
        assert_eq!(verdict(&settings, upgrade), Some(UPGRADE));
        assert_eq!(verdict(&settings, "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"), None);
        for offer in ["h2c", "h2,h2c", "TLS/1.2", ""] {
            let offered = format!("GET / HTTP/1.1\r\nUpgrade: {offer}\r\nConnection: Upgrade\r\n\r\n");
            assert_eq!(verdict(&settings, &offered), None, "{offer}");
        }
    }

    #[test]
    fn a_choice_is_not_about_what_could_be_replayed() {
        let filter = AllowDeny::new(&ChainSettings { deny_paths: regexes(&["^/b"]), ..ChainSettings::default() });
        for head in ["CONNECT h:443 HTTP/1.1\r\n\r\n", "DELETE /a HTTP/1.1\r\n\r\n"] {
            assert_eq!(filter.choice(&request(1, head)), None, "{head:?}");
        }
        assert_eq!(filter.choice(&request(1, "DELETE /b HTTP/1.1\r\n\r\n")), Some(DENY_PATH));
    }

    #[test]
    fn methods_are_compared_exactly() {
        let settings =
            ChainSettings { allow_methods: words(&["GET", "POST"]), allow_writes: true, ..ChainSettings::default() };
        assert_eq!(verdict(&settings, "POST / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(verdict(&settings, "Post / HTTP/1.1\r\n\r\n"), Some(ALLOW_METHOD));
        assert_eq!(verdict(&settings, "HEAD / HTTP/1.1\r\n\r\n"), Some(ALLOW_METHOD));
    }

    #[test]
    fn hosts_are_compared_without_case_and_port() {
        let settings =
            ChainSettings { allow_hosts: words(&["a.example", "[2001:db8::1]"]), ..ChainSettings::default() };
        let rows = [
            ("GET / HTTP/1.1\r\nHost: A.Example\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: [2001:db8::2]\r\n\r\n", Some(ALLOW_HOST)),
            ("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", Some(ALLOW_HOST)),
            ("GET / HTTP/1.1\r\nHost: xa.example\r\n\r\n", Some(ALLOW_HOST)),
            ("GET / HTTP/1.0\r\n\r\n", Some(ALLOW_HOST)),
            ("GET http://u:p@a.example:1/x HTTP/1.1\r\nHost: b.example\r\n\r\n", None),
            ("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Some(ALLOW_HOST)),
            ("GET http://a.example?q=/ HTTP/1.1\r\n\r\n", None),
        ];
        for (head, rule) in rows {
            assert_eq!(verdict(&settings, head), rule, "{head:?}");
        }
    }

    #[test]
    fn any_allowing_expression_lets_pass_and_any_denying_one_ends() {
        let settings = ChainSettings {
            allow_paths: regexes(&["^/v2/", "^/health$"]),
            deny_paths: regexes(&["^/v2/payments/", "secret=1"]),
            ..ChainSettings::default()
        };
        let rows = [
            ("/v2/a", None),
            ("/health", None),
            ("/healthy", Some(ALLOW_PATH)),
            ("/v1/a", Some(ALLOW_PATH)),
            ("/v2/payments/1", Some(DENY_PATH)),
            ("/v2/a?secret=1", Some(DENY_PATH)),
            ("http://h/v2/a", None),
        ];
        for (target, rule) in rows {
            assert_eq!(verdict(&settings, &format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")), rule, "{target}");
        }
    }

    #[test]
    fn a_typed_host_is_taken_or_told_how_to_write_it() {
        assert_eq!(host("a.example").unwrap(), "a.example");
        assert_eq!(host("::1").unwrap(), "::1");
        assert_eq!(host("[::1]").unwrap(), "::1");
        assert_eq!(host(""), Err(HostError::Empty));
        for typed in ["a.example:80", "http://a.example", "https://a.example:1/x", "a.example/x"] {
            let error = host(typed).unwrap_err().to_string();
            assert!(error.contains(typed) && error.ends_with("path: `a.example`"), "{error}");
        }
    }
}
