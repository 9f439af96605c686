//! Sequence numbers that wrap.

/// Numbers below this are too small to be chosen at random: both of a connection are once in 65,536 times.
const SMALL: u32 = 1 << 24;
/// Both numbers of a connection are divisible by this once in a million times.
const ROUND: u32 = 1000;

/// A TCP sequence number (RFC 9293, 3.4): arithmetic is modulo 2^32, and only differences of less than half of
/// that have a sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seq(pub u32);

impl Seq {
    /// Returns the distance of this number ahead of `other`; negative where it is behind.
    #[must_use]
    pub(crate) const fn ahead_of(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0).cast_signed() as i64
    }

    /// This number moved on by `bytes`.
    #[must_use]
    pub(crate) const fn plus(self, bytes: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "arithmetic modulo 2^32 is what is wanted")]
        Self(self.0.wrapping_add(bytes as u32))
    }
}

/// Returns whether the numbers of both sides look like those of a generator, or of a test, rather than random ones: it may
/// begin every connection with the same.
pub(super) fn look_made_up(numbers: [u32; 2]) -> bool {
    numbers.iter().all(|number| *number < SMALL) || numbers.iter().all(|number| number % ROUND == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_hold_across_the_wrap() {
        assert_eq!(Seq(5).ahead_of(Seq(u32::MAX - 4)), 10);
        assert_eq!(Seq(u32::MAX - 4).ahead_of(Seq(5)), -10);
        assert_eq!(Seq(u32::MAX).plus(1), Seq(0));
        assert_eq!(Seq(7).plus(1 << 32), Seq(7));
    }
}
