//! GoReplay's record format, `.gor`: one message a record, request and response under one id.
//!
//! ```text
//! TYPE SP ID SP TIME [SP LATENCY] LF  message as on the wire  LF U+1F435 U+1F648 U+1F649 LF
//! ```
//!
//! TYPE is 1 for a request, 2 for its response, 3 for what a replay got. TIME is when the first byte was captured, in
//! nanoseconds since 1970; LATENCY how long it took to the last one. GoReplay makes ids of 24 hex digits: the client's
//! port, the server's port, the client's IPv4 address (or the end of an IPv6 one), and a TCP number. Nothing can be
//! escaped: a message that has the separating line in it cannot be held.

mod pairing;
mod read;
mod write;

pub(super) use pairing::RecordPairing;
pub(super) use read::{GorReader, is_gor};
pub(crate) use write::GorWriter;

/// End of a record: a line of three emoji, and the end of the line before it.
pub(super) const SEPARATOR: &[u8] = b"\n\xf0\x9f\x90\xb5\xf0\x9f\x99\x88\xf0\x9f\x99\x89\n";

/// The id of a record, as far as it has a known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RecordId<'a>(&'a [u8]);

impl RecordId<'_> {
    /// Client port, server port and address, where this is one of GoReplay's ids of 24 digits.
    fn ends(self) -> Option<(u16, u16, u32)> {
        if self.0.len() != 24 {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = self.0.get(from..to)?;
            let plain = digits.iter().all(u8::is_ascii_hexdigit);
            u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| plain)?, 16).ok()
        };
        number(16, 24)?;
        Some((u16::try_from(number(0, 4)?).ok()?, u16::try_from(number(4, 8)?).ok()?, number(8, 16)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_24_digits_tell_who_asked_and_others_tell_nothing() {
        assert_eq!(RecordId(b"c8220050c000020700000001").ends(), Some((51234, 80, 0xc000_0207)));
        assert_eq!(RecordId(b"c8220050c00002070000000g").ends(), None);
        assert_eq!(RecordId(b"+8220050c000020700000001").ends(), None);
        assert_eq!(RecordId(b"da39a3ee5e6b4b0d3255bfef95601890afd80709").ends(), None);
    }
}
