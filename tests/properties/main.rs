//! What holds for every input of a kind, over inputs made at random: streams that a capture loses parts of, messages
//! cut anywhere, captures with faults in them, files that are not whole.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what breaks in a helper fails the test that called it"
)]

mod capture;
mod flow;
mod http1;
mod tap;

#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/flow.rs"]
mod packets;

use proptest::prelude::ProptestConfig;

/// As many cases as fit into the time that a test run may take, times `PROPERTIES_TIMES` where that is set.
fn cases(cases: u32) -> ProptestConfig {
    let times: u32 = std::env::var("PROPERTIES_TIMES").map_or(1, |times| times.parse().unwrap());
    ProptestConfig { cases: cases * times, max_shrink_time: 20_000, ..ProptestConfig::default() }
}
