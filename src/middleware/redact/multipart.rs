//! Multipart bodies (RFC 2046, 5.1; RFC 7578): each part by its name, its content by its type.

use crate::middleware::unreadable::Unreadable;
use crate::middleware::value_change::ValueChange;

/// Redacts what parts hold.
pub(in crate::middleware) trait PartRedactor {
    /// Whether a part of this name is redacted whole.
    fn names(&self, name: &[u8]) -> bool;
    /// Redacts the content of such a part.
    fn field(&self, value: &[u8]) -> ValueChange;
    /// Whether JSON is looked into.
    fn seeks_json(&self) -> bool;
    /// Redacts the content of another part, which stands this deep; nothing where it holds nothing.
    fn nested(&self, kind: Option<&[u8]>, content: &[u8], depth: u8) -> Result<Option<Vec<u8>>, Unreadable>;
}

/// Returns the body without what is redacted; nothing where it holds nothing of it.
pub(in crate::middleware) fn redact(
    by: &impl PartRedactor,
    content_type: &[u8],
    content: &[u8],
    depth: u8,
) -> Result<Option<Vec<u8>>, Unreadable> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty());
    let delimiter = [b"--", boundary.ok_or(Unreadable::NotMultipart)?.as_slice()].concat();
    let parts = parts(content, &delimiter).ok_or(Unreadable::NotMultipart)?;
    let mut out = Vec::with_capacity(content.len());
    let mut is_changed = false;
    for part in parts {
        match redacted(by, part, depth)? {
            PartChange::Keep => add(&mut out, &delimiter, part),
            PartChange::New(part) => {
                is_changed = true;
                add(&mut out, &delimiter, &part);
            }
            PartChange::Remove => is_changed = true,
        }
    }
    out.extend_from_slice(&delimiter);
    out.extend_from_slice(b"--\r\n");
    Ok(is_changed.then_some(out))
}

enum PartChange {
    Keep,
    New(Vec<u8>),
    Remove,
}

fn add(out: &mut Vec<u8>, delimiter: &[u8], part: &[u8]) {
    for piece in [delimiter, b"\r\n", part, b"\r\n"] {
        out.extend_from_slice(piece);
    }
}

/// The parts between delimiters, without the line ends that belong to these; `None` where the last delimiter is missing.
/// What stands before the first and after the last is no part, and is not kept where anything changes.
fn parts<'a>(content: &'a [u8], delimiter: &[u8]) -> Option<Vec<&'a [u8]>> {
    let mut parts = Vec::new();
    let mut begun: Option<usize> = None;
    let mut at = 0;
    for found in memchr::memmem::find_iter(content, delimiter) {
        let is_at_line = found == 0 || content.get(found - 1) == Some(&b'\n');
        let after = content.get(found + delimiter.len()..)?;
        if found < at || !is_at_line || !ends_line(after) {
            continue;
        }
        if let Some(begin) = begun {
            let part = content.get(begin..found.saturating_sub(1).max(begin))?;
            parts.push(part.strip_suffix(b"\r").unwrap_or(part));
        }
        if after.starts_with(b"--") {
            return Some(parts);
        }
        let line = memchr::memchr(b'\n', after)?;
        at = found + delimiter.len() + line + 1;
        begun = Some(at);
    }
    None
}

/// Returns whether a delimiter ends here: another boundary may begin with the same letters.
fn ends_line(after: &[u8]) -> bool {
    let line = after.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"--") || line.trim_ascii().is_empty()
}

fn redacted(by: &impl PartRedactor, part: &[u8], depth: u8) -> Result<PartChange, Unreadable> {
    let (head, content) = split(part).ok_or(Unreadable::NotMultipart)?;
    let disposition = header(head, "content-disposition").unwrap_or_default();
    let name = parameter(&disposition, "name");
    // The character set and the language of an extended name stand before its last apostrophe (RFC 8187).
    let extended = parameter(&disposition, "name*");
    let extended = extended.as_deref().and_then(|name| name.rsplit(|byte| *byte == b'\'').next());
    let new = if name.as_deref().into_iter().chain(extended).any(|name| by.names(name) || by.names(&plain(name))) {
        match by.field(content) {
            ValueChange::Remove => return Ok(PartChange::Remove),
            ValueChange::Value(new) => Some(new),
            ValueChange::Keep | ValueChange::Name(_) => None,
        }
    } else {
        let kind = header(head, "content-type");
        let coding = header(head, "content-transfer-encoding").unwrap_or_default().to_ascii_lowercase();
        if by.seeks_json() && !matches!(coding.as_slice(), b"" | b"7bit" | b"8bit" | b"binary") {
            return Err(Unreadable::Coding);
        }
        by.nested(kind.as_deref(), content, depth + 1)?
    };
    Ok(match new {
        Some(new) => PartChange::New([head, &new].concat()),
        None => PartChange::Keep,
    })
}

/// The head of a part with the empty line that ends it, and its content.
fn split(part: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(rest) = part.strip_prefix(b"\r\n").or_else(|| part.strip_prefix(b"\n")) {
        return part.split_at_checked(part.len() - rest.len());
    }
    let after = |end: &[u8]| memchr::memmem::find(part, end).map(|at| at + end.len());
    let end = match (after(b"\r\n\r\n"), after(b"\n\n")) {
        (Some(one), Some(other)) => one.min(other),
        (one, other) => one.or(other)?,
    };
    part.split_at_checked(end)
}

/// The value of a part's header, folded lines joined.
fn header(head: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut lines = head.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (found, value) = line.split_at_checked(colon)?;
        if !found.trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
            continue;
        }
        let mut value = value.get(1..)?.trim_ascii().to_vec();
        while let Some(more) = lines.next_if(|line| line.starts_with(b" ") || line.starts_with(b"\t")) {
            value.push(b' ');
            value.extend_from_slice(more.trim_ascii());
        }
        return Some(value);
    }
    None
}

/// The value of a parameter, quoted or not.
pub(super) fn parameter(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut rest = value.get(memchr::memchr(b';', value)? + 1..)?;
    loop {
        let equals = memchr::memchr2(b'=', b';', rest)?;
        let found = rest.get(..equals)?.trim_ascii();
        let has_value = rest.get(equals) == Some(&b'=');
        rest = rest.get(equals + 1..)?;
        if !has_value {
            continue;
        }
        let (value, after) = parameter_value(rest.trim_ascii_start());
        if found.eq_ignore_ascii_case(name.as_bytes()) {
            return Some(value);
        }
        rest = after.get(memchr::memchr(b';', after)? + 1..)?;
    }
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end).unwrap_or_default();
        return (value.trim_ascii().to_vec(), after);
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            b'\\' => value.extend(bytes.next().map(|(_, byte)| *byte)),
            byte => value.push(*byte),
        }
    }
    (value, b"")
}

/// A name without its percent coding.
fn plain(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while let Some(byte) = name.get(at) {
        let digits = name.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'%');
        out.push(decoded.unwrap_or(*byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    out
}
