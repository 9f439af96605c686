//! Why it is not known whether two bodies differ.

use serde::{Deserialize, Serialize};

/// Reason why it is not known whether two bodies differ. The target's response decides the cost of a comparison, so
/// every cost has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Production's was captured in part.
    Damaged,
    /// One of them was not kept: it is longer than what is compared, or there was no memory for it.
    NotKept,
    /// Too many responses waited to be looked into.
    QueueFull,
    /// It waited for too long to be looked into.
    Late,
    /// The run ended first.
    RunEnded,
    /// Decoded, one of them is too long.
    DecodedSize,
    /// One of them has too many JSON values.
    Values,
    /// There was no memory to look into them.
    Memory,
    /// Production's is known from an access log alone.
    NotLogged,
}

impl Unknown {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Damaged,
        Self::NotKept,
        Self::QueueFull,
        Self::Late,
        Self::RunEnded,
        Self::DecodedSize,
        Self::Values,
        Self::Memory,
        Self::NotLogged,
    ];

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::NotKept => "not_kept",
            Self::QueueFull => "queue_full",
            Self::Late => "late",
            Self::RunEnded => "run_ended",
            Self::DecodedSize => "decoded_size",
            Self::Values => "values",
            Self::Memory => "memory",
            Self::NotLogged => "not_logged",
        }
    }

    /// In words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Damaged => "captured in part",
            Self::NotKept => "not kept (longer than --max-compare-body, or no memory for them)",
            Self::QueueFull => "too many at once",
            Self::Late => "compared too late",
            Self::RunEnded => "the run ended first",
            Self::DecodedSize => "too long once decoded",
            Self::Values => "too many JSON values",
            Self::Memory => "no memory to compare them",
            Self::NotLogged => "not in the access log",
        }
    }
}
