//! Redaction in the content of a body: JSON in its forms, forms, multipart, event streams.
//!
//! The input is a content without its codings, the result is a new content where something was redacted. An unreadable
//! content is distinguished from one without secrets: it may hold anything.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::json::{self, JsonChange, JsonPath};
use super::super::query;
use super::super::value_change::ValueChange;
use super::multipart::{self, PartRedactor};
use super::{RedactRules, Unreadable};

/// The byte order mark of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// Prefixes that some servers put before JSON, so that no browser runs it as a script.
const GUARDS: [&str; 4] = [")]}',", ")]}'", "for(;;);", "while(1);"];
/// Separates the texts of a sequence (RFC 7464).
const RECORD_SEPARATOR: char = '\u{1e}';
/// Deepest nesting of multipart in multipart, and of JSON in strings of JSON. What is deeper is unreadable.
const MAX_NESTED: u8 = 4;

/// Kind of a body, by its declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentKind {
    Json,
    EventStream,
    Form,
    Multipart,
    /// Text that is none of these.
    Text,
    /// Pictures, sound, film, fonts, styles.
    Media,
    /// It does not say.
    Unlabeled,
    /// Anything else: XML, protobuf, archives.
    Other,
}

impl ContentKind {
    fn of(content_type: Option<&[u8]>) -> Self {
        let Some(value) = content_type else { return Self::Unlabeled };
        let essence = value.split(|byte| matches!(byte, b';' | b',')).next().unwrap_or_default();
        let kind = essence.trim_ascii().to_ascii_lowercase();
        let begins = |with: &[u8]| kind.starts_with(with);
        let ends = |with: &[u8]| kind.ends_with(with);
        match kind.as_slice() {
            b"" => Self::Unlabeled,
            b"text/event-stream" => Self::EventStream,
            b"application/x-www-form-urlencoded" => Self::Form,
            _ if memchr::memmem::find(&kind, b"json").is_some() => Self::Json,
            _ if begins(b"multipart/") => Self::Multipart,
            b"application/javascript" | b"application/x-javascript" | b"application/xhtml+xml" => Self::Text,
            _ if ends(b"/xml") || ends(b"+xml") => Self::Other,
            b"text/css" => Self::Media,
            _ if begins(b"text/") => Self::Text,
            _ if [&b"image/"[..], b"audio/", b"video/", b"font/"].into_iter().any(begins) => Self::Media,
            _ => Self::Other,
        }
    }
}

/// Redacts contents by these rules.
pub(super) struct ContentRedactor<'a> {
    pub(super) rules: &'a RedactRules,
    pub(super) run_key: &'a [u8],
}

impl ContentRedactor<'_> {
    /// Returns whether a body of this type may hold anything to redact: others are not even decoded.
    pub(super) fn concerns(&self, content_type: Option<&[u8]>) -> bool {
        let kind = ContentKind::of(content_type);
        !self.rules.json.is_empty()
            || !self.rules.params.is_empty()
                && !matches!(kind, ContentKind::Json | ContentKind::EventStream | ContentKind::Media)
    }

    /// Returns the content without what is redacted; nothing where it holds nothing of it.
    pub(super) fn redact(&self, content_type: Option<&[u8]>, content: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        self.nested(content_type, content, 0)
    }

    /// Returns whether JSON values are redacted, and the content begins as JSON objects and arrays do.
    fn seems_json(&self, content: &[u8]) -> bool {
        let text = content.strip_prefix(BOM).unwrap_or(content).trim_ascii_start();
        self.seeks_json()
            && (matches!(text.first(), Some(b'{' | b'[' | 0x1e))
                || GUARDS.iter().any(|guard| text.starts_with(guard.as_bytes())))
    }

    /// A body whose type does not say what it is; or a part of one, this deep.
    fn untold(&self, kind: ContentKind, content: &[u8], depth: u8) -> Result<Option<Vec<u8>>, Unreadable> {
        if self.seeks_json() && kind == ContentKind::Other {
            return Err(Unreadable::Type);
        }
        // UTF-16 and what is no text at all.
        let is_text = !content.contains(&0) && !content.starts_with(b"\xff\xfe") && !content.starts_with(b"\xfe\xff");
        if self.seeks_json() && !is_text {
            return Err(Unreadable::Type);
        }
        if !self.rules.params.is_empty()
            && let Some(new) = self.form(content)?
        {
            return Ok(Some(new));
        }
        // CSV, JSONP, scripts and pages with data: what is sought may stand there, and nobody knows where it ends.
        let is_field = depth > 0 && kind == ContentKind::Unlabeled;
        if !is_field && self.mentions(content) { Err(Unreadable::Type) } else { Ok(None) }
    }

    /// Returns whether a text may hold a value under a name that is sought.
    fn mentions(&self, text: &[u8]) -> bool {
        let keys = self.rules.json.iter().map(|path| path.last_key().map(str::as_bytes));
        let mut names = keys.chain(self.rules.params.iter().map(|name| Some(name.as_bytes())));
        let lower = text.to_ascii_lowercase();
        names.any(|name| name.is_none_or(|name| stands_before_value(&lower, &name.to_ascii_lowercase())))
    }

    /// Fields of a form (`application/x-www-form-urlencoded`).
    fn form(&self, content: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut unreadable = None;
        let new = self.pairs(content, |byte| byte == b'&', &mut |value| match self.within_value(value) {
            Ok(Some(new)) => ValueChange::Value(new),
            Ok(None) => ValueChange::Keep,
            Err(why) => {
                unreadable = Some(why);
                ValueChange::Keep
            }
        });
        unreadable.map_or(Ok(new), Err)
    }

    /// JSON in a form's field.
    fn within_value(&self, value: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        if !self.seems_json(value) {
            return Ok(None);
        }
        match self.json(None, value) {
            // Words in brackets are no JSON, and no secret behind a key either.
            Err(_) if !value.trim_ascii_start().starts_with(b"{") => Ok(None),
            settled => settled,
        }
    }

    /// Redacts the pairs of name and value between separators. `other` says what becomes of values under other names.
    pub(super) fn pairs(
        &self,
        text: &[u8],
        is_separator: impl Fn(u8) -> bool,
        other: &mut dyn FnMut(&[u8]) -> ValueChange,
    ) -> Option<Vec<u8>> {
        // Nothing is copied before the first piece that changes.
        let mut out = Vec::new();
        let (mut is_changed, mut rest, mut before) = (false, text, None::<u8>);
        // The separator before what was taken out stands before what follows.
        let mut carried: Option<Option<u8>> = None;
        loop {
            let end = rest.iter().position(|byte| is_separator(*byte));
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let change = self.pair(piece, other);
            let lead = match carried.take() {
                Some(carried) if before != Some(b'#') => carried,
                _ => before,
            };
            if !is_changed && change != ValueChange::Keep {
                is_changed = true;
                let unchanged = (text.len() - rest.len()).saturating_sub(usize::from(before.is_some()));
                out.extend_from_slice(text.get(..unchanged).unwrap_or_default());
            }
            if change == ValueChange::Remove {
                carried = Some(lead);
            } else if is_changed {
                out.extend(lead);
                match change {
                    ValueChange::Value(value) => query::piece_with_value(&mut out, piece, &value),
                    _ => out.extend_from_slice(piece),
                }
            }
            let Some(end) = end else { break };
            before = rest.get(end).copied();
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        is_changed.then_some(out)
    }

    fn pair(&self, piece: &[u8], other: &mut dyn FnMut(&[u8]) -> ValueChange) -> ValueChange {
        let found = self.rules.params.iter().find_map(|name| query::value(piece, name));
        if let Some(value) = found {
            return self.field(&value);
        }
        match query::decoded(piece) {
            Some((_, value)) if !value.is_empty() => other(&value),
            _ => ValueChange::Keep,
        }
    }

    /// JSON after the `data:` of events.
    fn event_stream(&self, content: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut out = Vec::with_capacity(content.len());
        let mut is_changed = false;
        for line in content.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let data = line.strip_prefix(b"data:");
            if data.is_some_and(|data| !self.seems_json(data) && self.seeks_json() && self.mentions(data)) {
                return Err(Unreadable::Type);
            }
            let data = data.filter(|data| self.seems_json(data));
            match data.map(|data| self.json(None, data)).transpose()?.flatten() {
                Some(new) => {
                    is_changed = true;
                    out.extend_from_slice(b"data:");
                    out.extend_from_slice(&new);
                }
                None => out.extend_from_slice(line),
            }
        }
        Ok(is_changed.then_some(out))
    }

    /// One JSON text or several, in UTF-8 or in a character set that has ASCII's structure.
    fn json(&self, content_type: Option<&[u8]>, content: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        if !self.seeks_json() {
            return Ok(None);
        }
        if !has_known_charset(content_type.unwrap_or_default()) {
            return Err(Unreadable::Charset);
        }
        let (mark, rest) = match content.strip_prefix(BOM) {
            Some(rest) => (BOM, rest),
            None => (&b""[..], content),
        };
        let (text, is_latin) = match std::str::from_utf8(rest) {
            Ok(text) => (Cow::Borrowed(text), false),
            // Each byte a letter: structure and keys in ASCII are found, and all else goes back as it was.
            Err(_) => (rest.iter().copied().map(char::from).collect(), true),
        };
        let new = self.texts(&text).map_err(|json::NotJson| Unreadable::NotJson)?;
        Ok(new.map(|new| {
            let new = if is_latin { latin(&new) } else { new.into_bytes() };
            [mark, &new].concat()
        }))
    }

    /// JSON texts one after another, however they are separated.
    fn texts(&self, text: &str) -> Result<Option<String>, json::NotJson> {
        let start = text.trim_start();
        let guard = GUARDS.into_iter().find(|guard| start.starts_with(guard)).map_or(0, str::len);
        let (before, mut rest) = text.split_at_checked(text.len() - start.len() + guard).unwrap_or(("", text));
        let mut out = before.to_owned();
        let mut is_changed = false;
        loop {
            let end = rest.find(RECORD_SEPARATOR);
            let part = end.map_or(rest, |end| rest.get(..end).unwrap_or_default());
            is_changed |= self.stream(part, &mut out)?;
            let Some(end) = end else { break };
            out.push(RECORD_SEPARATOR);
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        Ok(is_changed.then_some(out))
    }

    /// The same between two separators; says whether anything changed.
    fn stream(&self, part: &str, out: &mut String) -> Result<bool, json::NotJson> {
        let mut copied = 0;
        let mut texts = serde_json::Deserializer::from_str(part).into_iter::<&RawValue>();
        while let Some(text) = texts.next() {
            let text = text.map_err(|_| json::NotJson)?.get();
            let end = texts.byte_offset();
            let start = end.saturating_sub(text.len());
            if part.get(start..end) != Some(text) {
                return Err(json::NotJson);
            }
            if let Some(new) = self.text(text, 0)? {
                out.push_str(part.get(copied..start).unwrap_or_default());
                out.push_str(&new);
                copied = end;
            }
        }
        out.push_str(part.get(copied..).unwrap_or_default());
        Ok(copied > 0)
    }

    /// One JSON text; `depth` is in how many strings it stands.
    fn text(&self, text: &str, depth: u8) -> Result<Option<String>, json::NotJson> {
        if text.starts_with('"') {
            // A text within a string is coded twice: no pointer leads into it.
            let inner: String = serde_json::from_str(text).map_err(|_| json::NotJson)?;
            return if inner.trim_start().starts_with(['{', '[']) { Err(json::NotJson) } else { Ok(None) };
        }
        let mut now: Option<String> = None;
        for pointer in self.rules.json.iter().filter(|path| depth == 0 || path.is_deep()) {
            let before = now.as_deref().unwrap_or(text);
            if let Some(new) = json::edit(before, pointer, None, &mut |value| self.value(value))? {
                now = Some(new);
            }
        }
        if self.rules.json.iter().any(JsonPath::is_deep) {
            let before = now.as_deref().unwrap_or(text);
            let within = json::within_strings(before, &mut |inner| self.within_string(inner, depth))?;
            now = within.or(now);
        }
        Ok(now)
    }

    /// JSON in a string: a key at any depth may stand there, too.
    fn within_string(&self, inner: &str, depth: u8) -> Result<Option<String>, json::NotJson> {
        if serde_json::from_str::<&RawValue>(inner).is_err() {
            // Words in braces are no JSON, and no secret behind a key either.
            let after = inner.trim_start().strip_prefix(['{', '[']).unwrap_or_default();
            return if after.trim_start().starts_with(['"', '{']) { Err(json::NotJson) } else { Ok(None) };
        }
        if depth >= MAX_NESTED { Err(json::NotJson) } else { self.text(inner, depth + 1) }
    }

    fn value(&self, text: &str) -> JsonChange {
        self.rules.json_value(text, self.run_key)
    }
}

impl PartRedactor for ContentRedactor<'_> {
    fn names(&self, name: &[u8]) -> bool {
        self.rules.params.iter().any(|param| param.as_bytes() == name)
    }

    fn field(&self, value: &[u8]) -> ValueChange {
        self.rules.field(value, self.run_key)
    }

    fn seeks_json(&self) -> bool {
        !self.rules.json.is_empty()
    }

    fn nested(&self, content_type: Option<&[u8]>, content: &[u8], depth: u8) -> Result<Option<Vec<u8>>, Unreadable> {
        let kind = ContentKind::of(content_type);
        if content.is_empty() {
            return Ok(None);
        }
        match kind {
            ContentKind::Json => self.json(content_type, content),
            ContentKind::EventStream => self.event_stream(content),
            ContentKind::Multipart if depth >= MAX_NESTED => Err(Unreadable::NotMultipart),
            ContentKind::Multipart => multipart::redact(self, content_type.unwrap_or_default(), content, depth),
            _ if self.seems_json(content) => self.json(content_type, content),
            ContentKind::Form => self.form(content),
            ContentKind::Text | ContentKind::Unlabeled | ContentKind::Other => self.untold(kind, content, depth),
            ContentKind::Media => Ok(None),
        }
    }
}

/// Returns whether `name` stands in `text` as a word of its own, with what may be its value behind it: after a mark such as in
/// `name: 1`, `"name"`, `name=1` or `<name>`, or in a line of names above others (CSV).
fn stands_before_value(text: &[u8], name: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    memchr::memmem::find_iter(text, name).any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let after = text.get(at + name.len()..).unwrap_or_default();
        if before.is_some_and(is_word) || after.first().is_some_and(is_word) {
            return false;
        }
        let next = after.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(after.len());
        let ends_line = matches!(after.get(next), Some(b'\r' | b'\n'));
        match after.get(next) {
            Some(b'"' | b'\'' | b'`' | b'\\' | b'&' | b'%') if next == 0 => true,
            Some(b':' | b'=' | b',' | b';' | b'|' | b'>') => true,
            _ if after.first() == Some(&b'\t') => true,
            _ => ends_line && !after.trim_ascii().is_empty(),
        }
    })
}

/// Returns whether a type names no character set, or one in which ASCII bytes always are ASCII.
fn has_known_charset(content_type: &[u8]) -> bool {
    multipart::parameter(content_type, "charset").is_none_or(|charset| {
        let charset = charset.to_ascii_lowercase();
        let known: [&[u8]; 6] = [b"utf-8", b"utf8", b"us-ascii", b"ascii", b"latin1", b"latin-1"];
        known.contains(&charset.as_slice()) || charset.starts_with(b"iso-8859-") || charset.starts_with(b"windows-125")
    })
}

/// The text as bytes of which each is a letter; others are escaped, which JSON allows wherever they can stand.
fn latin(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for letter in text.chars() {
        if let Ok(byte) = u8::try_from(u32::from(letter)) {
            out.push(byte);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }
    out
}
