//! http1
/// Longest head that is parsed.
pub const MAX_HEAD_BYTES: usize = 1 << 20;
