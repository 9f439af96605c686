//! What a format cannot hold.

use std::collections::BTreeMap;

use crate::exchange::{Damage, Framing};

/// How many records were left out, by reason.
pub type Unsupported = BTreeMap<&'static str, u64>;

/// Whether what is missing of a response shows in what is there: its head says that more was to come.
pub(super) fn damage_shows(framing: Framing, why: Option<Damage>) -> bool {
    why.is_none() || matches!(framing, Framing::Length(1..) | Framing::Chunked)
}
