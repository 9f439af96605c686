//! See [`shadowtap::invariants::engine`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shadowtap::invariants::engine(bytes));
