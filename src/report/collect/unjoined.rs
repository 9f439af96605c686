//! Reasons that production's response to a request is not known.

use crate::exchange::Damage;

/// Reason that a join has no production side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjoined {
    /// The capture has no usable response.
    Damage(Damage),
    /// It followed a switch to another protocol, which is not read.
    Upgraded,
    /// It had to make room for later ones before the response came.
    Evicted,
    /// The run ended first.
    Stopped,
}

impl Unjoined {
    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Damage(why) => why.key(),
            Self::Upgraded => "upgraded",
            Self::Evicted => "evicted",
            Self::Stopped => "stopped",
        }
    }
}

impl From<Damage> for Unjoined {
    fn from(why: Damage) -> Self {
        Self::Damage(why)
    }
}
