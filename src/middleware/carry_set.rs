//! Which carry rules apply to a request.

/// Most rules of a run: each is a bit of a [`CarrySet`].
pub(crate) const MAX_RULES: usize = 64;

/// Rules by number: those that a request came by on its way through the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CarrySet(u64);

impl CarrySet {
    /// No rule.
    pub(crate) const NONE: Self = Self(0);

    /// Returns whether there are none.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn add(&mut self, number: usize) {
        if number < MAX_RULES {
            self.0 |= 1 << number;
        }
    }

    /// Those that are in both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are not in the other one.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether it has this one.
    pub(crate) const fn has(self, number: usize) -> bool {
        number < MAX_RULES && self.0 & (1 << number) != 0
    }

    /// The numbers in it, smallest first.
    pub(crate) fn numbers(self) -> impl Iterator<Item = usize> {
        (0..MAX_RULES).filter(move |number| self.has(*number))
    }
}
