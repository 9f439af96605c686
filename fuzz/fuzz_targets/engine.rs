//! See [`shadowtap::laws::engine`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shadowtap::laws::engine(bytes));
