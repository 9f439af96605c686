//! See [`shadowtap::invariants::decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shadowtap::invariants::decode(bytes));
