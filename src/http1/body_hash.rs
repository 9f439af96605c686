//! The hash of a body that is being read: made on the way, or only where the content is not kept.

use sha2::{Digest as _, Sha256};

use crate::exchange::{Framing, digest};

/// Timing of a body's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashTiming {
    Never,
    Always,
    /// Only where the content is not kept. From kept content the hash can be made on demand, which is rare.
    Unkept,
}

/// The hash of a body that is being read.
#[derive(Debug)]
pub(super) enum BodyHash {
    None,
    /// It is not begun as long as all of the content is kept, and kept as it is.
    Later,
    /// It begins with the first byte: most bodies are there at once, and need no place for it.
    Due,
    Begun(Box<Sha256>),
}

impl BodyHash {
    pub(super) fn of(hashed: HashTiming, framing: Framing, is_kept: bool) -> Self {
        match hashed {
            HashTiming::Never => Self::None,
            // What is empty has none.
            _ if matches!(framing, Framing::None | Framing::Length(0)) => Self::None,
            // Chunks are kept with their framing, which is not content.
            HashTiming::Unkept if is_kept && framing != Framing::Chunked => Self::Later,
            HashTiming::Always | HashTiming::Unkept => Self::Due,
        }
    }

    /// The content will not be kept any more; this much of it there was so far.
    pub(super) fn begin(&mut self, content: &[u8]) {
        if matches!(self, Self::Later) {
            *self = Self::Begun(Box::new(Sha256::new_with_prefix(content)));
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        if matches!(self, Self::Due) {
            *self = Self::Begun(Box::default());
        }
        if let Self::Begun(hash) = self {
            hash.update(bytes);
        }
    }
    /// Returns whether there is to be one, in the end or on demand.
    pub(super) const fn is_wanted(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The hash of a body of which nothing came yet, where these are all of its bytes.
    pub(super) fn of_whole(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        if matches!(self, Self::Due) { digest(bytes) } else { None }
    }

    /// The hash of what there was; `None` where it is not begun.
    pub(super) fn finish(self) -> Option<[u8; 32]> {
        if let Self::Begun(hash) = self { Some(hash.finalize().into()) } else { None }
    }
}
