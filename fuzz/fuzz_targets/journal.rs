//! See [`shadowtap::laws::journal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shadowtap::laws::journal(bytes));
