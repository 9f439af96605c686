//! HAR 1.2, the HTTP archives of browsers and proxies: one object of JSON that lists exchanges.
//!
//! An archive holds content without its codings, and no connection whose messages could be read anew: heads are made of
//! its lists of headers. What only a capture knows (addresses, what is damaged) stands in `_shadowtap`.

mod document;
mod entry;
mod message;
mod read;
mod write;

pub(super) use document::begins_archive;
pub(super) use read::{HarExchange, HarReader};
pub use write::HarWriter;

/// Key of an entry that has what HAR has no place for.
const OWN: &str = "_shadowtap";
