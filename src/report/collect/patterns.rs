//! Routes that somebody wrote down: `GET /v2/channels/{id}/now`, one a line, the first that matches counts.
//!
//! A file's text comes in; out comes the name of a route for each method and target. What no pattern matches is named
//! by its shape (`route_name`).

use super::route_name;
use crate::exchange::wire_text;
use crate::route_pattern::{RoutePattern, RouteSet, path};

/// Patterns of one file: past it the file is refused.
pub(crate) const MAX_PATTERNS: usize = 2000;

/// Patterns in their order; without any, every route is named by its shape.
#[derive(Clone, Debug, Default)]
pub struct RoutePatterns {
    set: RouteSet,
}

/// Errors of a file of patterns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoutePatternError {
    /// A line that is none.
    #[error("line {line}: `{text}`: {why}; write a method and a path, such as GET /v2/channels/{{id}}/now")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// Text of the line.
        text: String,
        /// Fault of the line.
        why: &'static str,
    },
    /// There are too many.
    #[error("{0} routes are too many: {MAX_PATTERNS} at most")]
    Many(usize),
    /// They do not fit.
    #[error("the routes are too much together: {0}")]
    Large(String),
}

impl RoutePatterns {
    /// Reads a file: a pattern a line; empty lines, and those that begin with `#`, are left out.
    ///
    /// # Errors
    ///
    /// The first line that is no pattern, or that there are too many.
    pub fn parse(text: &str) -> Result<Self, RoutePatternError> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut patterns = Vec::new();
        for (at, line) in lines {
            let wrong = |why| RoutePatternError::Line { line: at + 1, text: line.chars().take(80).collect(), why };
            patterns.push(RoutePattern::parse(line).map_err(wrong)?);
        }
        if patterns.len() > MAX_PATTERNS {
            return Err(RoutePatternError::Many(patterns.len()));
        }
        Ok(Self { set: RouteSet::compile(patterns).map_err(RoutePatternError::Large)? })
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

    /// Returns the number of the pattern that names the route of a method and a target, from 0.
    pub(crate) fn index(&self, method: &[u8], target: &[u8]) -> Option<usize> {
        self.set.first_index(method, path(target))
    }

    /// Returns the patterns as they were written, in their order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.set.patterns().iter().map(|pattern| match pattern.method() {
            Some(method) => format!("{method} {}", pattern.path()),
            None => pattern.path().to_owned(),
        })
    }

    /// The first pattern that matches.
    fn written(&self, method: &[u8], target: &[u8]) -> Option<String> {
        let pattern = self.set.first(method, path(target))?;
        Some(match pattern.method() {
            Some(method) => format!("{method} {}", pattern.path()),
            None => format!("{} {}", wire_text(method.get(..method.len().min(64)).unwrap_or_default()), pattern.path()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route_pattern::MAX_PATTERN;

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
            GET /seg-{n}.ts
            GET /img/*/thumb";
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
            ("GET /img/a/b/thumb", "GET /img/*/thumb"),
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
            ("GET /a\nget /a", "line 2: `get /a`: methods are told apart by case, and are in capitals"),
            ("GET /a /b", "line 1: `GET /a /b`: a path has no blanks in it"),
            ("GET /a?b", "line 1: `GET /a?b`: a route has no query"),
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
            RoutePatterns::parse(&format!("GET /{}", "a".repeat(MAX_PATTERN)))
                .unwrap_err()
                .to_string()
                .contains("too long")
        );
    }
}
