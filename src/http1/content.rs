//! Kind of a body by its head: the bodies that can be parsed, and those that are compared by hash alone.

use crate::exchange::{Head, HeaderLines};

/// Bytes of bodies that are kept whatever their heads say of them: to ask that takes longer than to keep them.
pub(crate) const SMALL: usize = 4096;

/// Kind of a body's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentKind {
    /// JSON (RFC 8259), or a format made of it (RFC 6839, 3.1).
    Json,
    /// Something that people can read, line by line.
    Text,
    /// Bytes, of a type that says no more or that nobody knows: JSON may be in it.
    Binary,
    /// Pictures, films, sounds, fonts, archives.
    Other,
    /// The head does not say.
    Unknown,
}

impl ContentKind {
    /// Returns whether the content may be readable.
    pub(crate) fn may_be_read(self) -> bool {
        self != Self::Other
    }
}

/// Returns the kind of the content by its head, whatever its content coding.
pub(crate) fn of(head: &Head) -> ContentKind {
    of_raw(head.as_bytes())
}

/// The same of a head that nobody has taken over yet.
pub(crate) fn of_raw(head: &[u8]) -> ContentKind {
    of_value(HeaderLines::of(head).named("content-type").next().map(|line| line.value))
}

/// The kind that this value of `Content-Type` says.
pub(crate) fn of_value(content_type: Option<&[u8]>) -> ContentKind {
    content_type.map_or(ContentKind::Unknown, of_type)
}

/// Returns whether content of this type is JSON documents, one per line.
pub(crate) fn is_json_lines(content_type: Option<&[u8]>) -> bool {
    let value = content_type.unwrap_or_default();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    [&b"ndjson"[..], b"jsonl", b"jsonlines", b"json-lines"].iter().any(|name| essence.ends_with(name))
}

/// Whether the head says that the content goes on until somebody closes it.
pub(crate) fn is_endless(head: &[u8]) -> bool {
    HeaderLines::of(head).named("content-type").any(|line| is_endless_type(line.value))
}

/// Whether a content type says so: server-sent events, and pages that replace each other.
pub(crate) fn is_endless_type(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"text/event-stream"[..], b"multipart/x-mixed-replace"].iter().any(|name| essence.eq_ignore_ascii_case(name))
}

/// The charset of a content type (RFC 9110, 8.3.2).
pub(crate) fn charset(content_type: Option<&[u8]>) -> Option<&[u8]> {
    let value = content_type?;
    let parameters = value.split(|byte| *byte == b';').skip(1);
    parameters.map(<[u8]>::trim_ascii).find_map(|parameter| {
        let (name, value) = parameter.split_at_checked("charset=".len())?;
        name.eq_ignore_ascii_case(b"charset=").then(|| value.trim_ascii()).map(unquoted)
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

fn of_type(value: &[u8]) -> ContentKind {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let ends = |with: &[u8]| {
        essence.len() >= with.len()
            && essence.iter().rev().zip(with.iter().rev()).all(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    let begins = |with: &[u8]| essence.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    let has_json = essence.windows(4).any(|part| part.eq_ignore_ascii_case(b"json"));
    if essence.is_empty() {
        ContentKind::Unknown
    } else if ends(b"/json") || ends(b"+json") {
        ContentKind::Json
    } else if begins(b"text/")
        || [&b"/xml"[..], b"+xml", b"javascript", b"ecmascript", b"yaml", b"toml", b"graphql"].into_iter().any(ends)
        || has_json
        || [&b"/x-www-form-urlencoded"[..], b"mpegurl", b"/sql", b"/csv", b"/problem"].into_iter().any(ends)
    {
        ContentKind::Text
    } else if [&b"image/"[..], b"video/", b"audio/", b"font/"].into_iter().any(begins)
        || [&b"zip"[..], b"/pdf", b"compressed", b"-tar", b"/wasm"].into_iter().any(ends)
    {
        ContentKind::Other
    } else {
        ContentKind::Binary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Head {
        Head::new(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes())
    }

    #[test]
    fn a_content_type_says_what_a_body_is() {
        for (value, content) in [
            ("application/json", ContentKind::Json),
            ("Application/JSON; charset=utf-8", ContentKind::Json),
            ("application/problem+json", ContentKind::Json),
            ("application/x-ndjson", ContentKind::Text),
            ("text/html;charset=utf-8", ContentKind::Text),
            ("image/svg+xml", ContentKind::Text),
            ("application/vnd.apple.mpegurl", ContentKind::Text),
            ("application/dash+xml", ContentKind::Text),
            ("image/png", ContentKind::Other),
            ("application/octet-stream", ContentKind::Binary),
            ("binary/octet-stream", ContentKind::Binary),
            ("application/vnd.acme.v2", ContentKind::Binary),
            ("application/zip", ContentKind::Other),
            ("application/jsonl", ContentKind::Text),
            ("json", ContentKind::Text),
            (" ; charset=x", ContentKind::Unknown),
        ] {
            assert_eq!(of(&head(&format!("Content-Type: {value}\r\n"))), content, "{value}");
        }
        assert_eq!(of(&head("")), ContentKind::Unknown);
    }

    #[test]
    fn json_lines_have_types_of_their_own() {
        for (value, lines) in [
            ("application/x-ndjson", true),
            ("Application/JSONL; charset=utf-8", true),
            ("application/json", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_json_lines(Some(value.as_bytes())), lines, "{value}");
        }
    }

    #[test]
    fn streams_have_types_of_their_own() {
        for (value, endless) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("multipart/x-mixed-replace; boundary=frame", true),
            ("text/event-stream-of-mine", false),
            ("multipart/form-data", false),
        ] {
            let head = head(&format!("Content-Type: {value}\r\n"));
            assert_eq!(is_endless(head.as_bytes()), endless, "{value}");
        }
    }

    #[test]
    fn a_charset_is_found_among_parameters() {
        let charset = |value: &str| {
            super::charset(Some(value.as_bytes())).map(|charset| String::from_utf8_lossy(charset).into_owned())
        };
        assert_eq!(charset("text/html; a=b; Charset=\"ISO-8859-1\"").as_deref(), Some("ISO-8859-1"));
        assert_eq!(charset("text/html;charset=utf-8 ").as_deref(), Some("utf-8"));
        assert_eq!(charset("text/html"), None);
    }
}
