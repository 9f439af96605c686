//! Route patterns: `GET /v2/channels/{id}/now`, `/v2/*`. One language for `--routes`, gates and conditions.
//!
//! A pattern is a path, with a method before it if it is for that method only. `{name}` matches one part of a path or of
//! a segment: anything but `/`, and not nothing. `*` matches whatever stands there, `/` included.

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::exchange::path_and_query;

/// Longest pattern, in bytes.
pub(crate) const MAX_PATTERN: usize = 1024;
/// Bytes that the patterns of one set may take once they are compiled.
const MAX_COMPILED: usize = 64 << 20;

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    /// `*` for all methods alike; `None` where the pattern has no method.
    method: Option<String>,
    path: String,
    /// The path as a regular expression.
    expression: String,
}

impl RoutePattern {
    /// Parses `PATH` or `METHOD PATH`. The error says what is wrong with the text.
    ///
    /// # Errors
    /// Returns a reason, without the text, where it is no pattern.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_PATTERN {
            return Err("is too long");
        }
        let (method, path) = match text.split_once(char::is_whitespace) {
            Some((method, path)) => (Some(method), path.trim()),
            None => (None, text),
        };
        if !path.starts_with(['/', '*']) {
            return Err("a path begins with /");
        }
        if method.is_some_and(|method| method.contains(char::is_lowercase)) {
            return Err("methods are told apart by case, and are in capitals");
        }
        if path.contains(char::is_whitespace) {
            return Err("a path has no blanks in it");
        }
        if path.contains(['?', '#']) {
            return Err("a route has no query");
        }
        let expression = expression(path)?;
        Ok(Self { method: method.map(str::to_owned), path: path.to_owned(), expression })
    }

    /// Returns the method, `*` where the pattern says so; `None` where it has none.
    pub(crate) fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Returns the path as it was written.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn is_of_method(&self, method: &[u8]) -> bool {
        self.method.as_deref().is_none_or(|own| own == "*" || own.as_bytes() == method)
    }
}

/// The path of a pattern as a regular expression.
fn expression(path: &str) -> Result<String, &'static str> {
    let mut expression = "^".to_owned();
    let mut left = path;
    while let Some(at) = left.find(['{', '}', '*']) {
        let (before, sign) = left.split_at(at);
        expression.push_str(&regex::escape(before));
        left = if let Some(after) = sign.strip_prefix('*') {
            expression.push_str("(?s-u:.*)");
            after
        } else {
            let inside = sign.strip_prefix('{').ok_or("a } has no {")?;
            let (name, after) = inside.split_once('}').ok_or("a { has no }")?;
            if name.is_empty() || name.contains(['/', '{', '*']) {
                return Err("between { and } stands a name");
            }
            expression.push_str("[^/]+");
            after
        };
    }
    expression.push_str(&regex::escape(left));
    expression.push('$');
    Ok(expression)
}

/// Patterns in their order, looked for in one pass.
#[derive(Clone, Debug, Default)]
pub struct RouteSet {
    set: RegexSet,
    patterns: Vec<RoutePattern>,
}

impl PartialEq for RouteSet {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl RouteSet {
    /// Compiles patterns.
    ///
    /// # Errors
    /// Returns a reason where together they take more than 64 MiB.
    pub fn compile(patterns: Vec<RoutePattern>) -> Result<Self, String> {
        let expressions = patterns.iter().map(|pattern| &pattern.expression);
        let set = RegexSetBuilder::new(expressions).unicode(false).size_limit(MAX_COMPILED).build();
        Ok(Self { set: set.map_err(|error| error.to_string())?, patterns })
    }

    /// Returns the first pattern that matches a method and a path without its query.
    pub(crate) fn first(&self, method: &[u8], path: &[u8]) -> Option<&RoutePattern> {
        if self.patterns.is_empty() {
            return None;
        }
        let found = self.set.matches(path);
        found.iter().filter_map(|at| self.patterns.get(at)).find(|pattern| pattern.is_of_method(method))
    }

    /// Returns the number of the first pattern that matches, from 0.
    pub(crate) fn first_index(&self, method: &[u8], path: &[u8]) -> Option<usize> {
        let first = self.first(method, path)?;
        self.patterns.iter().position(|pattern| std::ptr::eq(pattern, first))
    }

    /// Returns the patterns in their order.
    pub(crate) fn patterns(&self) -> &[RoutePattern] {
        &self.patterns
    }

    /// Returns whether there is no pattern in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

/// Returns the path of a request target as captured, without scheme, host, query and fragment.
pub(crate) fn path(target: &[u8]) -> &[u8] {
    let path = path_and_query(target);
    match path.get(..memchr::memchr2(b'?', b'#', path).unwrap_or(path.len())) {
        // An address without a path asks for `/` (RFC 9112, 3.2.1).
        Some([]) if !target.is_empty() => b"/",
        path => path.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_a_path_and_perhaps_a_method() {
        for (pattern, method, path, is_of) in [
            ("/v2/*", "GET", "/v2/", true),
            ("/v2/*", "POST", "/v2/a/b", true),
            ("/v2/*", "GET", "/v1/v2/", false),
            ("/v2", "GET", "/v2", true),
            ("/v2", "GET", "/v2/", false),
            ("GET /v2/*", "GET", "/v2/a", true),
            ("GET /v2/*", "POST", "/v2/a", false),
            ("* /v2/*", "POST", "/v2/a", true),
            ("/users/*/items/*", "GET", "/users/7/items/9", true),
            ("/users/*/items/*", "GET", "/users/7/item/9", false),
            ("/users/{id}/items/{n}", "GET", "/users/7/items/9", true),
            ("/users/{id}", "GET", "/users/7/items", false),
            ("/users/{id}", "GET", "/users/", false),
            ("/users/{id}", "GET", "/users/{id}", true),
            ("/seg-{n}.ts", "GET", "/seg-12.ts", true),
            ("/seg-{n}.ts", "GET", "/seg-12xts", false),
            ("*/live*", "GET", "/a/live/b", true),
            ("/a*a", "GET", "/a", false),
            ("*", "GET", "/", true),
            ("/a*b*b", "GET", "/ab", false),
            ("/a.b/(c)+", "GET", "/a.b/(c)+", true),
        ] {
            let set = RouteSet::compile(vec![RoutePattern::parse(pattern).unwrap()]).unwrap();
            assert_eq!(set.first(method.as_bytes(), path.as_bytes()).is_some(), is_of, "{pattern} {method} {path}");
        }
        assert!(RouteSet::default().first(b"GET", b"/").is_none());
    }

    #[test]
    fn a_path_of_a_target_has_no_query() {
        for target in ["/a", "/a?b=/c", "/a#b", "http://h/a?b"] {
            assert_eq!(path(target.as_bytes()), b"/a", "{target}");
        }
    }
}
