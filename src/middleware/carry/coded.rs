//! Bodies behind content codings (RFC 9110, 8.4): taken off to look into them, put on again after a change.

use std::borrow::Cow;

use super::super::redact::MAX_DECODED;
use crate::content_coding::{self, MAX_CODINGS};

/// The content without its codings; `None` where that cannot be had.
pub(super) fn decoded<'a>(content: Cow<'a, [u8]>, encodings: impl Iterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let codings = content_coding::codings(encodings);
    if codings.len() > MAX_CODINGS {
        return None;
    }
    codings
        .iter()
        .rev()
        .try_fold(content, |content, coding| content_coding::decode(coding, &content, MAX_DECODED).ok().map(Cow::Owned))
}

/// The content with the codings put on again, in their order; `None` where one of them can only be taken off.
pub(super) fn encoded<'a>(content: Vec<u8>, encodings: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let codings = content_coding::codings(encodings);
    codings.iter().try_fold(content, |content, coding| content_coding::encode(coding, &content))
}
