//! What would differ from one run to the next: time, and random bytes. Both seed hash tables, whose walks differ by them.
//!
//! These two stand before the ones of the C library.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicI64, Ordering};

/// 2026-11-21 20:00 UTC.
const START: i64 = 1_795_291_200;
/// How far the clock goes with each look at it.
const STEP_NS: i64 = 1_000;

/// The C library's `struct timespec`.
#[repr(C)]
pub struct TimeSpec {
    seconds: i64,
    nanos: c_long,
}

/// Stands for the C library's function of this name: each call tells a time a microsecond later.
///
/// # Safety
///
/// `time` has to be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(_clock: c_int, time: *mut TimeSpec) -> c_int {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let now = NOW.fetch_add(STEP_NS, Ordering::Relaxed);
    let told = TimeSpec { seconds: START + now / 1_000_000_000, nanos: now % 1_000_000_000 };
    // SAFETY: the caller gives a place for it.
    unsafe { time.write(told) };
    0
}

/// Stands for the C library's function of this name: the bytes are always the same.
///
/// # Safety
///
/// `buffer` has to be valid for writes of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, _flags: c_uint) -> isize {
    // SAFETY: the caller gives a place for them.
    unsafe { buffer.cast::<u8>().write_bytes(0x5a, len) };
    isize::try_from(len).unwrap_or(isize::MAX)
}
