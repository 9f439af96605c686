//! A body: its framing, its content, and the digest of that.

use std::borrow::Cow;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a body's content.
pub type Digest = [u8; 32];

/// The digest of a content; `None` where there is none.
#[must_use]
pub fn digest(content: &[u8]) -> Option<Digest> {
    (!content.is_empty()).then(|| Sha256::digest(content).into())
}

/// The digest of a content that has `len` bytes; `None` where this is no more than its beginning.
#[must_use]
pub(crate) fn digest_of_whole(content: &[u8], len: u64) -> Option<Digest> {
    (content.len() as u64 == len).then(|| digest(content)).flatten()
}

/// A digest in lower-case hexadecimal.
#[must_use]
pub fn hex(digest: &Digest) -> String {
    data_encoding::HEXLOWER.encode(digest)
}

/// Delimiter of a body's end (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, whatever the head says.
    None,
    /// Content-Length.
    Length(u64),
    /// Transfer-Encoding ending in `chunked`.
    Chunked,
    /// The end of the connection (responses only).
    UntilClose,
}

/// A body, its framing separate from its content.
#[derive(Clone, Debug)]
pub struct Body {
    /// Framing: the delimiter of its end.
    pub framing: Framing,
    /// Content bytes seen: transfer coding removed, content coding kept.
    pub len: u64,
    /// SHA-256 of the content, where it was asked for and the content is not empty or damaged.
    pub sha256: Option<Digest>,
    /// The body as framed on the wire, chunk lines included, where it was asked for and fits the limit.
    pub wire: Option<Bytes>,
}

impl Body {
    /// No body at all.
    pub const EMPTY: Self = Self { framing: Framing::None, len: 0, sha256: None, wire: None };

    /// The content without transfer coding, where the body was kept.
    #[must_use]
    pub fn content(&self) -> Option<Cow<'_, [u8]>> {
        let wire = self.wire.as_deref()?;
        Some(match self.framing {
            Framing::Chunked => Cow::Owned(self.chunks()?.concat()),
            Framing::None | Framing::Length(_) | Framing::UntilClose => Cow::Borrowed(wire),
        })
    }

    /// The chunks of a chunked body in order, or the whole content as one; `None` where it was not kept.
    #[must_use]
    pub fn chunks(&self) -> Option<Vec<Bytes>> {
        let wire = self.wire.as_ref()?;
        if self.framing != Framing::Chunked {
            return Some(if wire.is_empty() { Vec::new() } else { vec![wire.clone()] });
        }
        let mut chunks = Vec::new();
        let mut at = 0;
        while let Some((start, len)) = chunk_size(wire, at).filter(|(_, len)| *len > 0) {
            // The last chunk of a damaged body may be cut.
            let end = start.saturating_add(len).min(wire.len());
            if start < end {
                chunks.push(wire.slice(start..end));
            }
            // The CRLF after the data; a bare LF is told apart by what stands there.
            at = end + if wire.get(end) == Some(&b'\r') { 2 } else { 1 };
        }
        Some(chunks)
    }
}

/// Returns the offset of the data of the chunk at `at`, and its length (RFC 9112, 7.1). A bare LF ends the line as CRLF
/// does.
fn chunk_size(wire: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = wire.get(at..)?;
    let line = rest.get(..memchr::memchr(b'\n', rest)?)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(line.get(..digits)?).ok()?;
    let len = u64::from_str_radix(digits, 16).ok()?;
    Some((at + line.len() + 1, usize::try_from(len).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_content_is_what_the_chunks_hold() {
        let body = Body {
            framing: Framing::Chunked,
            len: 5,
            sha256: None,
            wire: Some(Bytes::from_static(b"2;x=y\r\nab\r\n3\r\ncde\r\n0\r\nT: v\r\n\r\n")),
        };
        assert_eq!(body.content().unwrap().as_ref(), b"abcde");
        assert_eq!(body.chunks().unwrap().len(), 2);
    }

    #[test]
    fn chunks_that_end_in_a_bare_lf_and_a_chunk_that_is_cut_are_content_as_well() {
        let body =
            |wire| Body { framing: Framing::Chunked, len: 5, sha256: None, wire: Some(Bytes::from_static(wire)) };
        assert_eq!(body(b"2\nab\n3\ncde\n0\n\n").content().unwrap().as_ref(), b"abcde");
        assert_eq!(body(b"2\nab\n3 ; \x01\ncde\n0\n\n").content().unwrap().as_ref(), b"abcde");
        assert_eq!(body(b"2\r\nab\r\nffffffffffffffff\r\ncde").content().unwrap().as_ref(), b"abcde");
        assert_eq!(body(b"2\r\nab\r\n3\r\n").chunks().unwrap().len(), 1);
    }
}
