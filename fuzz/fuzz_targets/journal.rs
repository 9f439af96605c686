//! See [`shadowtap::invariants::journal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shadowtap::invariants::journal(bytes));
