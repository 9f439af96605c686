//! The chain that every request passes, and what is done on the way to single targets only.

use crate::middleware::context::UnreadableCounts;
use crate::middleware::{Chain, ChainSettings};
use crate::replay::ResponseOptions;
use crate::report::TargetSet;

/// Returns `before` with what `chain` asks for of the request that it passed last.
pub(super) const fn options_after(chain: &Chain, before: ResponseOptions) -> ResponseOptions {
    let keep_host = before.keep_host || chain.host_was_set();
    ResponseOptions { keep_host, rewritten: before.rewritten || chain.has_changed(), ..before }
}

/// The chains of a run.
pub(in crate::pipeline) struct RunChains {
    /// For every request.
    pub(in crate::pipeline) all: Chain,
    of_targets: Vec<Option<Chain>>,
}

impl RunChains {
    /// Builds the chains of `settings` for a number of targets.
    pub(in crate::pipeline) fn new(settings: &ChainSettings, targets: usize) -> Self {
        let of_target = |target| Some(Chain::new(&settings.of_target(target)?));
        Self { all: Chain::new(settings), of_targets: (0..targets).map(of_target).collect() }
    }

    /// Does from now on what `settings` say.
    pub(super) fn replace(&mut self, settings: &ChainSettings) {
        self.all.replace(settings);
        for (target, chain) in self.of_targets.iter_mut().enumerate() {
            if let (Some(chain), Some(settings)) = (chain, settings.of_target(target)) {
                chain.replace(&settings);
            }
        }
    }

    /// Every chain.
    fn each(&self) -> impl Iterator<Item = &Chain> {
        std::iter::once(&self.all).chain(self.of_targets.iter().flatten())
    }

    /// Returns the remarks for the end of the run, in text for people.
    pub(in crate::pipeline) fn remarks(&self) -> Vec<String> {
        self.each().flat_map(Chain::remarks).collect()
    }

    /// Bodies that were to be redacted and could not be looked into.
    pub(super) fn unreadable(&self) -> UnreadableCounts {
        let mut all = UnreadableCounts::default();
        self.each().for_each(|chain| all.add(chain.bodies().unreadable));
        all
    }

    /// Returns the notices to be logged at once; mostly there are none.
    pub(super) fn take_notices(&mut self) -> Vec<String> {
        if !self.each().any(Chain::has_notices) {
            return Vec::new();
        }
        let chains = std::iter::once(&mut self.all).chain(self.of_targets.iter_mut().flatten());
        chains.flat_map(Chain::take_notices).collect()
    }

    /// Returns whether any target has a chain of its own.
    pub(super) fn has_some_of_targets(&self) -> bool {
        self.of_targets.iter().any(Option::is_some)
    }

    /// Returns the chain of a target, where it has one.
    pub(in crate::pipeline) fn of_target(&mut self, target: usize) -> Option<&mut Chain> {
        self.of_targets.get_mut(target)?.as_mut()
    }

    /// The targets that a route chose for the last request; all, where there is none.
    pub(in crate::pipeline) fn targets(&self) -> TargetSet {
        let all = self.of_targets.len();
        match self.all.targets() {
            Some(chosen) => chosen.iter().copied().filter(|target| *target < all).collect(),
            None => TargetSet::first(all),
        }
    }
}
