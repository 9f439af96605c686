//! Where a request goes: to a target, to the baseline, or to a target a second time.

/// A target of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(usize);

/// Where a delivery goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A target.
    Target(TargetId),
    /// The baseline: another server like production, asked to find noise.
    Baseline,
    /// A target that is asked a second time, to find noise.
    SelfCheck(TargetId),
}

impl TargetId {
    /// The target at this place, counted from 0 in the order of the settings.
    #[must_use]
    pub const fn at(index: usize) -> Self {
        Self(index)
    }

    /// Returns its place, counted from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

impl Destination {
    /// Returns the target, where the delivery is a regular one.
    #[must_use]
    pub const fn target(self) -> Option<TargetId> {
        match self {
            Self::Target(target) => Some(target),
            Self::Baseline | Self::SelfCheck(_) => None,
        }
    }

    /// Returns whether it is no second send.
    #[must_use]
    pub(crate) const fn is_first_send(self) -> bool {
        !matches!(self, Self::SelfCheck(_))
    }

    /// Returns the destination whose connections and tally a delivery shares: of a second send, that of the first.
    #[must_use]
    pub(crate) const fn of_first_send(self) -> Self {
        match self {
            Self::SelfCheck(target) => Self::Target(target),
            Self::Target(_) | Self::Baseline => self,
        }
    }
}
