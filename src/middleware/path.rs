//! The path is rewritten; the query stays.
//!
//! In goes a request, out comes the same request with another path, still one path: bytes that would end it or break
//! the request line are percent-encoded (RFC 3986, 3.3). Path and expression meet as on the wire, nothing is decoded.

use regex::bytes::Regex;

use super::{Context, Filter, Template, query};
use crate::exchange::{Outcome, Request};

/// The link that rewrites paths.
#[derive(Clone, Debug)]
pub struct ReplacePath {
    regex: Regex,
    with: Template,
}

impl ReplacePath {
    /// Replaces every match of `regex` in a path.
    #[must_use]
    pub const fn new(regex: Regex, with: Template) -> Self {
        Self { regex, with }
    }
}

impl Filter for ReplacePath {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        let seen = context.path_and_query(request);
        let path = query::path(seen);
        // What names the capture is written out only where it is used.
        if !self.with.is_settled() && !self.regex.is_match(path) {
            return Ok(());
        }
        let Some(new) = self.with.resolved(request, context).replace(&self.regex, path) else { return Ok(()) };
        let mut target = encoded(new, b"?#");
        if let Some(query) = query::query(seen) {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        context.set_target(request, &target);
        Ok(())
    }
}

/// One path, or with its query: it begins with a slash, and what would end it is encoded: blanks, control characters, and
/// these.
pub(super) fn encoded(path: Vec<u8>, ended_by: &[u8]) -> Vec<u8> {
    let ends = |byte: &u8| byte.is_ascii_control() || *byte == b' ' || ended_by.contains(byte);
    if path.first() == Some(&b'/') && !path.iter().any(ends) {
        return path;
    }
    let mut out = Vec::with_capacity(path.len() + 1);
    if path.first() != Some(&b'/') {
        out.push(b'/');
    }
    for byte in path {
        if ends(&byte) {
            out.extend(format!("%{byte:02X}").into_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    fn check(regex: &str, with: &str, before: &str, after: &str) {
        let regex = Regex::new(regex).unwrap();
        let with = Template::replacement(with, &regex).unwrap();
        let mut request = request(1, &format!("GET {before} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let mut context = Context::default();
        context.begin(&request, request.last_byte, false);
        ReplacePath::new(regex, with).apply(&mut request, &mut context).unwrap();
        assert_eq!(String::from_utf8_lossy(request.target()), after, "{before}");
        assert_eq!(context.path_and_query(&request), request.target(), "{before}");
    }

    #[test]
    fn the_path_changes_and_the_query_stays_byte_for_byte() {
        check("^/v1/", "/v2/", "/v1/a?x=/v1/&y=%2f+", "/v2/a?x=/v1/&y=%2f+");
        check("^/v(\\d)/(.*)$", "/$2/v$1", "/v1/a%20b", "/a%20b/v1");
        check("^/v1/", "/v2/", "http://h/v1/a?b", "/v2/a?b");
        check("^/", "/api/", "http://h/a?b", "/api/a?b");
        check("^/", "/api/", "http://h", "/api/");
        check("^/", "/api/", "HTTP://h:80?x=%E9", "/api/?x=%E9");
        check("^/caf%E9", "/th%E9", "/caf%E9/%2f?%E9", "/th%E9/%2f?%E9");
        check("^/v1/", "/v2/", "/v3/a?b", "/v3/a?b");
    }

    #[test]
    fn what_would_end_a_path_is_encoded_and_it_begins_with_a_slash() {
        check("^/", "", "/a", "/a");
        check("b", " ?#", "/abc", "/a%20%3F%23c");
        check(".*", "", "/a?q", "/?q");
    }
}
