//! The beginning of a body, for people: decoded, and without secrets.

use super::budget::Budget;
use super::indexed_head::IndexedHead;
use super::path::cut_at;
use super::tree::{self, TreeNode};
use super::{ContentKind, content, decode, in_utf_8, kind, shown};
use crate::exchange::Head;
use crate::middleware::secret_names::SecretNames;

/// Longest excerpt, in bytes; it ends in `…` where there is more.
pub(crate) const MAX_EXCERPT: usize = 1500;
/// Bytes of a body, decoded, of which an excerpt is made; of a longer one there is none.
const MAX_DECODED: usize = 256 << 10;
/// Bytes of memory that it may take.
const MEMORY: usize = 8 << 20;

/// Returns the beginning of a body; `None` where it is no text, or cannot be decoded within bounds.
#[must_use]
pub(crate) fn excerpt(head: &Head, body: &[u8], secrets: &SecretNames) -> Option<String> {
    let (head, budget) = (&IndexedHead::new(head), Budget::new(MEMORY));
    let content = secrets.text(decode::decoded(head, body, MAX_DECODED, &budget).ok()?);
    let content = in_utf_8(head, content, &budget);
    let kind = kind(content::of_value(head.get("content-type")), &content);
    if kind == ContentKind::Json || tree::may_be_json(&content) {
        if let Some(documents) = tree::read(&content, &budget) {
            let texts: Vec<String> = documents.iter().map(|document| json(document, secrets)).collect();
            return Some(cut(&texts.join("\n")));
        }
        if budget.exceeded().is_some() {
            return None;
        }
    }
    if kind == ContentKind::Other {
        return None;
    }
    Some(cut(std::str::from_utf8(&content).ok()?))
}

fn json(document: &TreeNode<'_>, secrets: &SecretNames) -> String {
    shown::as_json(document, MAX_EXCERPT, secrets)
}

fn cut(text: &str) -> String {
    let beginning = cut_at(text, MAX_EXCERPT);
    if beginning.len() == text.len() { text.to_owned() } else { format!("{beginning}…") }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[track_caller]
    fn check(lines: &str, body: &[u8], expected: Option<&str>) {
        let head = Head::new(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes());
        assert_eq!(excerpt(&head, body, &SecretNames::default()).as_deref(), expected, "{lines}");
    }

    #[test]
    fn text_and_json_are_shown_decoded_and_without_secrets() {
        check("Content-Type: text/plain\r\n", b"maintenance\n", Some("maintenance\n"));
        let body = br#"{ "token": "abc", "items": [1, 2.50], "ok": null }"#;
        check("", body, Some(r#"{"token":"***","items":[1,2.5],"ok":null}"#));
        check(
            "Content-Type: application/x-ndjson\r\n",
            b"{\"a\":1}\n{\"pwd\":2}\n",
            Some("{\"a\":1}\n{\"pwd\":\"***\"}"),
        );
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"<h1>503</h1>").unwrap();
        let lines = "Content-Type: text/html\r\nContent-Encoding: gzip\r\n";
        check(lines, &gzip.finish().unwrap(), Some("<h1>503</h1>"));
        check("", b"", Some(""));
    }

    #[test]
    fn what_is_no_text_or_too_long_is_none_or_cut() {
        check("Content-Type: image/png\r\n", b"\x89PNG", None);
        check("Content-Encoding: gzip\r\n", b"no gzip", None);
        check("", &[0xff; 9], None);
        let long = "é".repeat(2_000);
        let shown =
            excerpt(&Head::new(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), long.as_bytes(), &SecretNames::default()).unwrap();
        assert!(shown.ends_with('…') && shown.len() <= MAX_EXCERPT + 3, "{}", shown.len());
        let many = format!("[{}1]", "1,".repeat(100_000));
        let shown =
            excerpt(&Head::new(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), many.as_bytes(), &SecretNames::default()).unwrap();
        assert!(shown.len() <= MAX_EXCERPT + 3);
        check("", &vec![b'a'; MAX_DECODED + 1], None);
    }
}
