//! See [`shadowtap::laws::decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shadowtap::laws::decode(bytes));
