//! Shares of requests: `50%`.

use std::fmt;
use std::str::FromStr;

/// A share from 0 to 1, exact to 0.01 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl Default for Share {
    /// All of it.
    fn default() -> Self {
        Self(1.0)
    }
}

impl Share {
    /// Returns the number of the 2^64 hashes that are in the share. Multiplication by a power of two is exact, and the
    /// rounding is monotonic: the hashes of a smaller share are among those of a larger one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 saturates, and a share is never negative: the product lies in 0..=2^64"
    )]
    pub(crate) fn threshold(self) -> u128 {
        if self.0 >= 1.0 {
            // The same, without a float of 128 bits.
            return 1 << 64;
        }
        (self.0.clamp(0.0, 1.0) * 2.0_f64.powi(64)) as u128
    }

    /// With as many digits as people read.
    #[must_use]
    pub fn rounded(self) -> Self {
        let scale = if self.0 < 0.1 { 10_000.0 } else { 1000.0 };
        Self((self.0 * scale).round() / scale)
    }
}

/// Reason why a typed text is not a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// There is no percent sign, so a half could be meant as well as half a percent.
    #[error("`{typed}` has no percent sign; write 50% for a half, 0.5% for one in two hundred")]
    NoPercent {
        /// What was typed.
        typed: String,
    },
    /// The part before the percent sign is not a decimal number.
    #[error("`{typed}` is not a share; write a decimal number and a percent sign, such as 50% or 0.5%")]
    NotANumber {
        /// What was typed.
        typed: String,
    },
    /// It is less than nothing, or more than all.
    #[error("`{typed}`: a share lies between 0% and 100%")]
    OutOfRange {
        /// What was typed.
        typed: String,
    },
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(typed: &str) -> Result<Self, ShareError> {
        let own = || typed.to_owned();
        let number = typed.trim().strip_suffix('%').ok_or_else(|| ShareError::NoPercent { typed: own() })?.trim_end();
        let decimal = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        let percent: f64 =
            number.parse().ok().filter(|_| decimal).ok_or_else(|| ShareError::NotANumber { typed: own() })?;
        if (0.0..=100.0).contains(&percent) {
            Ok(Self(percent / 100.0))
        } else {
            Err(ShareError::OutOfRange { typed: own() })
        }
    }
}

/// As typed: `50%`, `0.5%`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Eight decimals hide what binary fractions cannot say.
        let text = format!("{:.8}", self.0 * 100.0);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}
