//! What holds for every input of a kind, over inputs made at random: streams that a capture loses parts of, messages
//! cut anywhere, captures with faults in them, files that are not whole.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what breaks in a helper fails the test that called it"
)]

mod capture;
mod compare;
mod flow;
mod http1;
mod journal;
mod tap;

#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/flow.rs"]
mod packets;

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// As many cases as fit into the time that a test run may take, the same ones each time. To look further, set
/// `PROPERTIES_TIMES`: so many times as many cases, other ones each time.
fn cases(cases: u32) -> ProptestConfig {
    let times: Option<u32> = std::env::var("PROPERTIES_TIMES").ok().map(|times| times.parse().unwrap());
    let rng_seed = if times.is_some() { RngSeed::Random } else { RngSeed::Fixed(20) };
    ProptestConfig { cases: cases * times.unwrap_or(1), rng_seed, max_shrink_time: 20_000, ..ProptestConfig::default() }
}
