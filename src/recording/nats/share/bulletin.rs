//! What passes between a run and the thread that speaks with the store about all members: how they stand, and what this one says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fleet::{FleetDecision, FleetOrders, FleetView, MemberFigures};

/// Both sides of it.
#[derive(Default)]
pub(super) struct Bulletin(Mutex<BulletinState>);

#[derive(Default)]
pub(super) struct BulletinState {
    /// All of them, as the store has it.
    pub(super) view: Option<Arc<FleetView>>,
    /// How this member stands.
    pub(super) figures: MemberFigures,
    /// Number of the last order that is taken up.
    pub(super) obeyed: u64,
    /// How long it has stood still by orders before, and since when it does now.
    stood_still: Duration,
    since: Option<Instant>,
    /// What is to be decided for all.
    pub(super) decision: Option<FleetDecision>,
}

impl Bulletin {
    pub(super) fn lock(&self) -> MutexGuard<'_, BulletinState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BulletinState {
    /// The run goes by these orders from now on.
    pub(super) fn obey(&mut self, orders: &FleetOrders) {
        self.obeyed = orders.number;
        let now = Instant::now();
        match (orders.paused, self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(since)) => {
                self.stood_still += now.saturating_duration_since(since);
                self.since = None;
            }
            _ => {}
        }
    }

    /// How long it has stood still by now.
    pub(super) fn stood_still(&self) -> Duration {
        self.stood_still + self.since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::FleetWord;

    #[tokio::test(start_paused = true)]
    async fn pauses_count_from_when_they_are_taken_up() {
        let mut state = BulletinState::default();
        let paused = FleetOrders::default().with(FleetWord::Pause, "a", 0);
        state.obey(&paused);
        tokio::time::advance(Duration::from_secs(3)).await;
        state.obey(&paused);
        assert_eq!((state.obeyed, state.stood_still()), (1, Duration::from_secs(3)));
        tokio::time::advance(Duration::from_secs(2)).await;
        state.obey(&paused.with(FleetWord::Resume, "a", 9));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((state.obeyed, state.stood_still()), (2, Duration::from_secs(5)));
    }
}
