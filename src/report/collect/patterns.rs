//! Routes that somebody wrote down: `GET /v2/channels/{id}/now`, one a line, the first that matches counts.
//!
//! A file's text comes in; out comes the name of a route for each method and target. What no pattern matches is named
//! by its shape ([`route_name::name`]).

use std::fmt;

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::route_name;
use crate::exchange::{path_and_query, wire_text};

/// Patterns of one file: past it the file is refused.
pub const MAX_PATTERNS: usize = 2000;

/// Longest line in bytes: past it the file is refused.
pub const MAX_LINE: usize = 1024;

/// Bytes that all patterns may take once they are compiled: past it the file is refused.
const MAX_COMPILED: usize = 64 << 20;

/// Patterns in their order; without any, every route is named by its shape.
#[derive(Clone, Default)]
pub struct RoutePatterns {
    set: RegexSet,
    patterns: Vec<NamedPattern>,
}

/// One pattern as it names routes.
#[derive(Clone, Debug)]
struct NamedPattern {
    /// `*` for every method alike; `None` for each method by itself.
    method: Option<String>,
    path: String,
}

/// What is wrong with a file of patterns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutePatternError {
    /// A line that is none.
    #[error("line {line}: `{text}`: {why}; write a method and a path, such as GET /v2/channels/{{id}}/now")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What it says.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There are too many.
    #[error("{0} routes are too many: {MAX_PATTERNS} at most")]
    Many(usize),
    /// They do not fit.
    #[error("the routes are too much together: {0}")]
    Large(String),
}

impl fmt::Debug for RoutePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.patterns).finish()
    }
}

impl RoutePatterns {
    /// Reads a file: a pattern a line; empty lines, and those that begin with `#`, are left out.
    pub fn parse(text: &str) -> Result<Self, RoutePatternError> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (mut patterns, mut expressions) = (Vec::new(), Vec::new());
        for (at, line) in lines {
            let wrong = |why| RoutePatternError::Line { line: at + 1, text: line.chars().take(80).collect(), why };
            let pattern = NamedPattern::parse(line).map_err(wrong)?;
            expressions.push(pattern.expression().map_err(wrong)?);
            patterns.push(pattern);
        }
        if patterns.len() > MAX_PATTERNS {
            return Err(RoutePatternError::Many(patterns.len()));
        }
        let set = RegexSetBuilder::new(&expressions).unicode(false).size_limit(MAX_COMPILED).build();
        Ok(Self { set: set.map_err(|error| RoutePatternError::Large(error.to_string()))?, patterns })
    }

    /// The route of a method and a target as captured.
    #[must_use]
    pub fn name(&self, method: &[u8], target: &[u8]) -> String {
        let mut name = String::new();
        self.name_in(method, target, &mut name);
        name
    }

    /// The same, in the memory that `name` has: with millions of requests there are few routes.
    pub(crate) fn name_in(&self, method: &[u8], target: &[u8], name: &mut String) {
        name.clear();
        match self.written(method, target) {
            Some(written) => name.push_str(&written),
            None => route_name::push_name(method, target, name),
        }
    }

    /// The first pattern that matches.
    fn written(&self, method: &[u8], target: &[u8]) -> Option<String> {
        if self.patterns.is_empty() {
            return None;
        }
        let path = path_and_query(target);
        let path = path.get(..memchr::memchr2(b'?', b'#', path).unwrap_or(path.len())).unwrap_or_default();
        let found = self.set.matches(path);
        let mut matching = found.iter().filter_map(|at| self.patterns.get(at));
        let pattern = matching.find(|pattern| pattern.takes(method))?;
        Some(match &pattern.method {
            Some(method) => format!("{method} {}", pattern.path),
            None => format!("{} {}", wire_text(method.get(..method.len().min(64)).unwrap_or_default()), pattern.path),
        })
    }
}

impl NamedPattern {
    fn parse(line: &str) -> Result<Self, &'static str> {
        if line.len() > MAX_LINE {
            return Err("is too long");
        }
        let (method, path) = match line.split_once(char::is_whitespace) {
            Some((method, path)) => (Some(method), path.trim()),
            None => (None, line),
        };
        if !path.starts_with('/') {
            return Err("a path begins with /");
        }
        if path.contains(char::is_whitespace) {
            return Err("a path has no blanks in it");
        }
        if path.contains(['?', '#']) {
            return Err("a route has no query");
        }
        Ok(Self { method: method.map(str::to_owned), path: path.to_owned() })
    }

    fn takes(&self, method: &[u8]) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == "*" || wanted.as_bytes() == method)
    }

    /// `{name}` is anything but `/` and not nothing; `*` at the end is whatever follows.
    fn expression(&self) -> Result<String, &'static str> {
        let (path, rest) = match self.path.strip_suffix('*') {
            Some(path) => (path, "(?s-u:.*)"),
            None => (self.path.as_str(), ""),
        };
        if path.contains('*') {
            return Err("* stands at the end only; for one part of a path write {name}");
        }
        let mut expression = "^".to_owned();
        let mut left = path;
        while let Some((before, after)) = left.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a { has no }")?;
            if name.is_empty() || name.contains(['/', '{']) {
                return Err("between { and } stands a name");
            }
            expression.push_str(&regex::escape(before));
            expression.push_str("[^/]+");
            left = after;
        }
        if left.contains('}') {
            return Err("a } has no {");
        }
        expression.push_str(&regex::escape(left));
        expression.push_str(rest);
        expression.push('$');
        Ok(expression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, request: &str) -> String {
        let (method, target) = request.split_once(' ').unwrap();
        RoutePatterns::parse(text).unwrap().name(method.as_bytes(), target.as_bytes())
    }

    #[test]
    fn the_first_pattern_that_matches_names_the_route_and_what_none_matches_is_named_by_its_shape() {
        let text = "
            # channels
            GET /v2/channels/{id}/now
            GET /v2/channels/{name}/{what}
            /v2/epg/{day}
            * /v1/*
            GET /seg-{n}.ts";
        for (request, route) in [
            ("GET /v2/channels/cnn/now?x=1", "GET /v2/channels/{id}/now"),
            ("GET http://tv/v2/channels/bbc/now", "GET /v2/channels/{id}/now"),
            ("GET /v2/channels/bbc/next", "GET /v2/channels/{name}/{what}"),
            ("POST /v2/channels/bbc/now", "POST /v2/channels/bbc/now"),
            ("GET /v2/epg/friday", "GET /v2/epg/{day}"),
            ("HEAD /v2/epg/friday", "HEAD /v2/epg/{day}"),
            ("DELETE /v1/users/7/x", "* /v1/*"),
            ("GET /seg-a7.ts", "GET /seg-{n}.ts"),
            ("GET /seg-.ts", "GET /seg-.ts"),
            ("GET /v2/epg/", "GET /v2/epg/"),
            ("GET /v3/users/7", "GET /v3/users/{id}"),
        ] {
            assert_eq!(named(text, request), route, "{request}");
        }
    }

    #[test]
    fn signs_in_a_path_are_themselves() {
        assert_eq!(named("GET /a.b/(c)+", "GET /a.b/(c)+"), "GET /a.b/(c)+");
        assert_eq!(named("GET /a.b", "GET /axb"), "GET /axb");
    }

    #[test]
    fn bytes_that_are_no_text_are_matched_too() {
        let patterns = RoutePatterns::parse("GET /{any}/x").unwrap();
        assert_eq!(patterns.name(b"GET", b"/\xff\n\xfe/x"), "GET /{any}/x");
    }

    #[test]
    fn what_is_no_pattern_is_told_with_its_line() {
        for (text, told) in [
            ("\nGET v2", "line 2: `GET v2`: a path begins with /"),
            ("GET /a /b", "line 1: `GET /a /b`: a path has no blanks in it"),
            ("GET /a?b", "line 1: `GET /a?b`: a route has no query"),
            ("GET /a/*/b", "line 1: `GET /a/*/b`: * stands at the end only"),
            ("GET /a/{b", "line 1: `GET /a/{b`: a { has no }"),
            ("GET /a/b}", "line 1: `GET /a/b}`: a } has no {"),
            ("GET /{}", "line 1: `GET /{}`: between { and } stands a name"),
        ] {
            let error = RoutePatterns::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(told) && error.ends_with("such as GET /v2/channels/{id}/now"), "{error}");
        }
        let many = "GET /a\n".repeat(MAX_PATTERNS + 1);
        assert_eq!(RoutePatterns::parse(&many).unwrap_err().to_string(), "2001 routes are too many: 2000 at most");
        assert!(
            RoutePatterns::parse(&format!("GET /{}", "a".repeat(MAX_LINE)))
                .unwrap_err()
                .to_string()
                .contains("too long")
        );
    }
}
