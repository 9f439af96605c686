//! See [`shadowtap::invariants::capture_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shadowtap::invariants::capture_file(bytes));
