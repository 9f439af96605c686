//! The two sides of a comparison: a response as far as it is known, and its head taken apart.

use super::indexed_head::IndexedHead;
use crate::exchange::{Digest, Head, digest_of_whole};

/// One response, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct ComparedResponse<'a> {
    /// Final status.
    pub status: u16,
    /// Status line and header lines, where they were kept.
    pub head: Option<&'a Head>,
    /// Content bytes.
    pub body_len: u64,
    /// SHA-256 of the content; `None` where it is empty, not known, or not made because the content is here.
    pub body_sha256: Option<&'a Digest>,
    /// The content, where it was kept.
    pub body: Option<&'a [u8]>,
    /// Hosts that this side may have been asked under: a `Location` that names one stays on its own stack.
    pub authorities: [&'a [u8]; 3],
}

impl ComparedResponse<'_> {
    /// SHA-256 of the content; `None` where that is empty or not known.
    pub(super) fn sha256(&self) -> Option<Digest> {
        self.body_sha256.copied().or_else(|| digest_of_whole(self.body?, self.body_len))
    }

    /// Returns whether both have the same content, given that the lengths are equal; `None` where that is not known.
    pub(super) fn has_content_of(&self, other: &Self) -> Option<bool> {
        match (self.body, other.body) {
            _ if self.body_len == 0 => Some(true),
            (Some(one), Some(other)) => Some(one == other),
            _ => Some(self.sha256()? == other.sha256()?),
        }
    }
}

/// A response, and its head by the names of its lines.
#[derive(Debug)]
pub(super) struct IndexedResponse<'r, 'a> {
    pub(super) response: &'r ComparedResponse<'a>,
    pub(super) head: Option<IndexedHead<'a>>,
}

impl<'r, 'a> IndexedResponse<'r, 'a> {
    pub(super) fn new(response: &'r ComparedResponse<'a>) -> Self {
        Self { response, head: response.head.map(IndexedHead::new) }
    }
}
