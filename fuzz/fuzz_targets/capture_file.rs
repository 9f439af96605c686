//! See [`shadowtap::laws::capture_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shadowtap::laws::capture_file(bytes));
