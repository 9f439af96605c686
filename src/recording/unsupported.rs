//! What a format cannot hold.

use std::collections::BTreeMap;

use crate::exchange::{Damage, Framing};

/// Number of records left out, by reason.
pub(crate) type Unsupported = BTreeMap<&'static str, u64>;

/// Returns whether the recorded part of a response shows that the rest is missing: its head says that more was to come.
pub(super) fn damage_shows(framing: Framing, why: Option<Damage>) -> bool {
    why.is_none() || matches!(framing, Framing::Length(1..) | Framing::Chunked)
}
