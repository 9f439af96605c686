//! Values that name the capture: `{client.ip}`, `{id}`, `{run}`; and what a regular expression found: `$1`, `${name}`.
//!
//! In goes what stood in a chain file or behind a flag; out comes a value that is written for each request anew. Braces
//! around anything but a word are plain text, so that JSON can be a value; `{{word}}` is a word in plain braces.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use percent_encoding::{AsciiSet, percent_encode};
use regex::bytes::{Captures, Regex};

use super::Context;
use crate::exchange::Request;
use crate::suggest::nearest;

/// Reason why a template is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// There is no such variable.
    #[error("`{{{name}}}` names nothing that a request has{}; write one of {VARIABLES}, or `{{{{{name}}}}}` for the plain text",
        .hint.map(|hint| format!("; did you mean `{{{hint}}}`?")).unwrap_or_default())]
    Variable {
        /// Text between the braces.
        name: String,
        /// Closest known name.
        hint: Option<&'static str>,
    },
    /// The expression has no such group.
    #[error(
        "`${name}` names no group of `{regex}`; write `${{1}}` where letters or digits follow the number, and `$$` for a dollar"
    )]
    Group {
        /// The group.
        name: String,
        /// The expression.
        regex: String,
    },
}

/// Variable of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    ClientIp,
    ClientPort,
    ServerIp,
    ServerPort,
    Id,
    Run,
    At,
    Host,
    Method,
}

/// Every variable with its name.
const NAMES: [(&str, Variable); 9] = [
    ("client.ip", Variable::ClientIp),
    ("client.port", Variable::ClientPort),
    ("server.ip", Variable::ServerIp),
    ("server.port", Variable::ServerPort),
    ("id", Variable::Id),
    ("run", Variable::Run),
    ("at", Variable::At),
    ("host", Variable::Host),
    ("method", Variable::Method),
];

const VARIABLES: &str = "{client.ip}, {client.port}, {server.ip}, {server.port}, {id}, {run}, {at}, {host}, {method}";

/// Bytes by which a text mostly grows at most; one that grows by more costs another allocation.
const ROOM: usize = 32;
/// Longest text that replacing makes, in bytes, but for the last match.
pub(super) const MAX_REPLACED: usize = 64 << 20;

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(Vec<u8>),
    Variable(Variable),
    Group(usize),
}

/// A value, ready to be written for any request.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Template {
    pieces: Vec<TemplatePart>,
}

impl Template {
    /// A value that may name the capture.
    ///
    /// # Errors
    ///
    /// Where a name in braces means nothing here.
    pub fn new(typed: &str) -> Result<Self, TemplateError> {
        Self::parse(typed, None)
    }

    /// What a match of `regex` is replaced by: it may name the capture and the groups of the expression.
    ///
    /// # Errors
    ///
    /// Where a name in braces means nothing here.
    pub(crate) fn replacement(typed: &str, regex: &Regex) -> Result<Self, TemplateError> {
        Self::parse(typed, Some(regex))
    }

    /// The text as it is, braces and all.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self { pieces: vec![TemplatePart::Text(text.as_bytes().to_vec())] }
    }

    /// The same for an address: of its own text, bytes beyond ASCII are percent-encoded (RFC 3986, 2.1).
    #[must_use]
    pub(super) fn for_address(mut self) -> Self {
        for piece in &mut self.pieces {
            if let TemplatePart::Text(text) = piece {
                *text = percent_encode(text, &AsciiSet::EMPTY).to_string().into_bytes();
            }
        }
        self
    }

    fn parse(typed: &str, regex: Option<&Regex>) -> Result<Self, TemplateError> {
        let mut template = Self::default();
        let mut rest = typed;
        while let Some((before, special)) = next_special(rest, regex.is_some()) {
            template.text(before);
            rest = match special.strip_prefix('$') {
                Some(after) => template.dollar(after, regex)?,
                None => template.brace(special)?,
            };
        }
        template.text(rest);
        Ok(template)
    }

    /// Takes what begins with a brace; returns what follows.
    fn brace<'t>(&mut self, from: &'t str) -> Result<&'t str, TemplateError> {
        let doubled =
            from.strip_prefix("{{").and_then(word).and_then(|(name, rest)| Some((name, rest.strip_prefix("}}")?)));
        if let Some((name, rest)) = doubled {
            self.text(&format!("{{{name}}}"));
            return Ok(rest);
        }
        let single =
            from.strip_prefix('{').and_then(word).and_then(|(name, rest)| Some((name, rest.strip_prefix('}')?)));
        let Some((name, rest)) = single else {
            self.text("{");
            return Ok(from.strip_prefix('{').unwrap_or_default());
        };
        let Some((_, variable)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let hint = nearest(name, NAMES.iter().map(|(known, _)| *known));
            return Err(TemplateError::Variable { name: name.to_owned(), hint });
        };
        self.pieces.push(TemplatePart::Variable(*variable));
        Ok(rest)
    }

    /// Takes what follows a dollar; returns what follows that.
    fn dollar<'t>(&mut self, after: &'t str, regex: Option<&Regex>) -> Result<&'t str, TemplateError> {
        if let Some(rest) = after.strip_prefix('$') {
            self.text("$");
            return Ok(rest);
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let len = after.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let (name, rest) = braced.or_else(|| after.split_at_checked(len)).unwrap_or((after, ""));
        let group = regex.and_then(|regex| group(name, regex)).ok_or_else(|| TemplateError::Group {
            name: name.to_owned(),
            regex: regex.map(ToString::to_string).unwrap_or_default(),
        })?;
        self.pieces.push(TemplatePart::Group(group));
        Ok(rest)
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(TemplatePart::Text(last)) => last.extend_from_slice(text.as_bytes()),
            _ if text.is_empty() => {}
            _ => self.pieces.push(TemplatePart::Text(text.as_bytes().to_vec())),
        }
    }

    /// Returns whether it names nothing of the capture: then [`Self::resolved`] gives its final value.
    #[must_use]
    pub(crate) fn is_settled(&self) -> bool {
        !self.pieces.iter().any(|piece| matches!(piece, TemplatePart::Variable(_)))
    }

    /// The value for this request.
    #[must_use]
    pub fn value(&self, request: &Request, context: &Context) -> Cow<'_, [u8]> {
        if let [TemplatePart::Text(text)] = self.pieces.as_slice() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                TemplatePart::Text(text) => out.extend_from_slice(text),
                TemplatePart::Variable(variable) => variable.write(&mut out, request, context),
                TemplatePart::Group(_) => {}
            }
        }
        Cow::Owned(out)
    }

    /// The same value with what it names of the capture written out; groups are left.
    #[must_use]
    pub(crate) fn resolved(&self, request: &Request, context: &Context) -> Cow<'_, Self> {
        if self.is_settled() {
            return Cow::Borrowed(self);
        }
        let pieces = self.pieces.iter().map(|piece| match piece {
            TemplatePart::Variable(variable) => {
                let mut text = Vec::new();
                variable.write(&mut text, request, context);
                TemplatePart::Text(text)
            }
            other => other.clone(),
        });
        Cow::Owned(Self { pieces: pieces.collect() })
    }

    /// `text` with every match of `regex` replaced; `None` where there is none. Of the capture only what is
    /// `Self::resolved` is written. What becomes longer than `MAX_REPLACED` is cut anywhere behind it.
    #[must_use]
    pub fn replace(&self, regex: &Regex, text: &[u8]) -> Option<Vec<u8>> {
        if !self.pieces.iter().any(|piece| matches!(piece, TemplatePart::Group(_))) {
            return self.replace_plainly(regex, text);
        }
        // Where there are none, there is no need for room to keep groups in.
        if !regex.is_match(text) {
            return None;
        }
        let mut out = Vec::with_capacity(text.len() + ROOM);
        let mut end = 0;
        let mut found = false;
        for captures in regex.captures_iter(text) {
            let Some(whole) = captures.get(0) else { continue };
            if out.len() > MAX_REPLACED {
                return Some(out);
            }
            out.extend_from_slice(text.get(end..whole.start()).unwrap_or_default());
            self.write(&mut out, &captures);
            end = whole.end();
            found = true;
        }
        out.extend_from_slice(text.get(end..).unwrap_or_default());
        found.then_some(out)
    }

    /// The same without groups, which are much slower to find than where a match begins and ends.
    fn replace_plainly(&self, regex: &Regex, text: &[u8]) -> Option<Vec<u8>> {
        let mut matches = regex.find_iter(text).peekable();
        matches.peek()?;
        let mut out = Vec::with_capacity(text.len() + ROOM);
        let mut end = 0;
        for found in matches {
            if out.len() > MAX_REPLACED {
                return Some(out);
            }
            out.extend_from_slice(text.get(end..found.start()).unwrap_or_default());
            for piece in &self.pieces {
                if let TemplatePart::Text(text) = piece {
                    out.extend_from_slice(text);
                }
            }
            end = found.end();
        }
        out.extend_from_slice(text.get(end..).unwrap_or_default());
        Some(out)
    }

    fn write(&self, out: &mut Vec<u8>, groups: &Captures<'_>) {
        for piece in &self.pieces {
            match piece {
                TemplatePart::Text(text) => out.extend_from_slice(text),
                TemplatePart::Group(at) => out.extend_from_slice(groups.get(*at).map_or(b"", |found| found.as_bytes())),
                TemplatePart::Variable(_) => {}
            }
        }
    }
}

/// As typed, but for spellings that mean the same.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            TemplatePart::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            TemplatePart::Variable(variable) => {
                let name = NAMES.iter().find(|(_, known)| known == variable).map_or("", |(name, _)| name);
                write!(f, "{{{name}}}")
            }
            TemplatePart::Group(at) => write!(f, "${{{at}}}"),
        })
    }
}

impl Variable {
    fn write(self, out: &mut Vec<u8>, request: &Request, context: &Context) {
        let written = match self {
            Self::ClientIp => write!(out, "{}", request.client.ip().to_canonical()),
            Self::ClientPort => write!(out, "{}", request.client.port()),
            Self::ServerIp => write!(out, "{}", request.server.ip().to_canonical()),
            Self::ServerPort => write!(out, "{}", request.server.port()),
            Self::Id => write!(out, "{}", request.id),
            Self::Run => out.write_all(context.run.id.as_bytes()),
            Self::At => write!(out, "{}", request.first_byte),
            Self::Host => out.write_all(context.captured(request).get("host").unwrap_or_default()),
            Self::Method => out.write_all(request.method()),
        };
        // Memory takes everything.
        written.ok();
    }
}

/// Returns the part before the next `{` or, where groups can be named, `$`; and the rest from there.
fn next_special(text: &str, dollars: bool) -> Option<(&str, &str)> {
    let at = text.find(|letter| letter == '{' || (dollars && letter == '$'))?;
    text.split_at_checked(at)
}

/// The word that `text` begins with.
fn word(text: &str) -> Option<(&str, &str)> {
    let len = text.bytes().take_while(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_' | b'-')).count();
    text.split_at_checked(len).filter(|(word, _)| !word.is_empty())
}

fn group(name: &str, regex: &Regex) -> Option<usize> {
    match name.parse::<usize>() {
        Ok(at) => (at < regex.captures_len()).then_some(at),
        Err(_) => regex.capture_names().position(|known| known == Some(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    fn written(typed: &str) -> String {
        let mut context = Context::default();
        let request = request(17, "GET /a HTTP/1.1\r\nHost: tv.example\r\n\r\n");
        context.begin(&request, request.last_byte, false);
        String::from_utf8(Template::new(typed).unwrap().value(&request, &context).into_owned()).unwrap()
    }

    #[test]
    fn variables_name_the_capture_and_other_braces_are_text() {
        for (typed, value) in [
            ("", ""),
            ("plain", "plain"),
            ("{client.ip}:{client.port}", "10.0.0.1:5017"),
            ("{server.ip}:{server.port}", "10.0.0.2:80"),
            ("{id}/{run}", "17.1/run"),
            ("{host} {method}", "tv.example GET"),
            ("{at}", "1970-01-01T00:00:00.000000000Z"),
            (r#"{"a":{"b":"{id}"}}"#, r#"{"a":{"b":"17.1"}}"#),
            ("{{id}} {", "{id} {"),
            ("$1 {}", "$1 {}"),
        ] {
            assert_eq!(written(typed), value, "{typed}");
        }
    }

    #[test]
    fn a_variable_that_does_not_exist_is_told_with_what_was_meant() {
        let error = Template::new("{client_ip}").unwrap_err().to_string();
        assert!(
            error.contains("`{client_ip}` names nothing") && error.contains("did you mean `{client.ip}`"),
            "{error}"
        );
        assert!(error.contains("`{{client_ip}}` for the plain text"), "{error}");
    }

    #[test]
    fn every_match_is_replaced_and_groups_are_named_by_number_and_name() {
        let regex = Regex::new(r"/v(?<major>\d)/(\w+)").unwrap();
        let request = request(1, "GET / HTTP/1.1\r\n\r\n");
        let context = Context::default();
        for (typed, text, value) in [
            ("/$2/v$major", "/v1/a", Some("/a/v1")),
            ("/${1}x/$0", "/v1/a", Some("/1x//v1/a")),
            ("<$$>", "x/v1/a/v2/b", Some("x<$><$>")),
            ("{id}", "/v1/a", Some("1.1")),
            ("", "/w", None),
        ] {
            let template = Template::replacement(typed, &regex).unwrap();
            let resolved = template.resolved(&request, &context);
            let replaced = resolved.replace(&regex, text.as_bytes());
            assert_eq!(replaced.as_deref(), value.map(str::as_bytes), "{typed}");
        }
    }

    #[test]
    fn a_group_that_does_not_exist_is_a_mistake_and_not_nothing() {
        let regex = Regex::new("(a)").unwrap();
        for typed in ["$1abc", "$2", "${x}", "$"] {
            let error = Template::replacement(typed, &regex).unwrap_err().to_string();
            assert!(error.contains("names no group of `(a)`"), "{typed}: {error}");
        }
    }
}
