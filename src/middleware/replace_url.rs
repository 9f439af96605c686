//! Path and query are rewritten as one text, by the first of several rules that matches.
//!
//! In goes a request, out comes the same request with another path and query: bytes that would break the request line
//! are percent-encoded (RFC 3986, 2.1). Text and expressions meet as on the wire, nothing is decoded.

use regex::bytes::Regex;

use super::path::encoded;
use super::{Context, Filter, Template};
use crate::exchange::{Outcome, Request};

/// The link that rewrites path and query.
#[derive(Clone, Debug)]
pub struct ReplaceUrl {
    rules: Vec<(Regex, Template)>,
}

impl ReplaceUrl {
    /// Replaces every match of the first of these expressions that matches at all.
    #[must_use]
    pub const fn new(rules: Vec<(Regex, Template)>) -> Self {
        Self { rules }
    }
}

impl Filter for ReplaceUrl {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        let seen = context.path_and_query(request);
        let Some((regex, with)) = self.rules.iter().find(|(regex, _)| regex.is_match(seen)) else { return Ok(()) };
        let new = with.resolved(request, context).replace(regex, seen);
        if let Some(new) = new {
            context.set_target(request, &encoded(new, b"#"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    fn check(rules: &[(&str, &str)], before: &str, after: &str) {
        let rules = rules.iter().map(|(regex, with)| {
            let regex = Regex::new(regex).unwrap();
            let with = Template::replacement(with, &regex).unwrap();
            (regex, with)
        });
        let mut request = request(1, &format!("GET {before} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let mut context = Context::default();
        context.begin(&request, request.last_byte, false);
        ReplaceUrl::new(rules.collect()).apply(&mut request, &mut context).unwrap();
        assert_eq!(String::from_utf8_lossy(request.target()), after, "{before}");
        assert_eq!(context.path_and_query(&request), request.target(), "{before}");
    }

    #[test]
    fn the_first_rule_that_matches_is_the_only_one() {
        let rules = [("^/v1/", "/v2/"), ("^/v2/", "/v3/"), (r"^/x\?id=(\d+)$", "/x/$1")];
        check(&rules, "/v1/a?b=/v1/", "/v2/a?b=/v1/");
        check(&rules, "/v2/a", "/v3/a");
        check(&rules, "/x?id=7", "/x/7");
        check(&rules, "/y", "/y");
    }

    #[test]
    fn what_would_end_the_request_line_is_encoded() {
        check(&[("b", " #")], "/abc?d", "/a%20%23c?d");
        check(&[("(?s)^.*$", "one?x=1")], "/a?q", "/one?x=1");
    }
}
