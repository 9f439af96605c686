//! Orders of people to all replayers of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::middleware::Share;

/// An order to all replayers of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FleetWord {
    /// Let this share in.
    Sample(Share),
    /// Send nothing for now; what is held stays held.
    Pause,
    /// Go on.
    Resume,
    /// End in order.
    Stop,
}

/// All orders of a run that stand. Each new one goes over those before it, with the next number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetOrders {
    /// Number of the last order; 0 before the first.
    pub number: u64,
    /// The last order, as it was typed.
    pub word: String,
    /// Who gave it: user and host.
    pub by: String,
    /// When, by the clock of the store: RFC 3339.
    pub at: String,
    /// The share that was ordered, from 0 to 1.
    pub share: Option<f64>,
    /// True while nothing is to be sent.
    pub paused: bool,
    /// Since when, by the clock of the store: nanoseconds since 1970.
    pub paused_since: u64,
    /// Nanoseconds of all pauses that are over.
    pub stood_still: u64,
    /// Number of the last order to end; 0 where there was none. Who joined later does not go by it.
    pub stop: u64,
}

impl FleetOrders {
    /// Returns the orders once this one was given too; `now` is by the clock of the store, in nanoseconds since 1970.
    #[must_use]
    pub fn with(&self, word: FleetWord, by: &str, now: u64) -> Self {
        let mut orders = Self { number: self.number + 1, by: by.to_owned(), ..self.clone() };
        let typed = match word {
            FleetWord::Sample(share) => {
                orders.share = Some(share.0);
                format!("sample {share}")
            }
            FleetWord::Pause => {
                if !orders.paused {
                    (orders.paused, orders.paused_since) = (true, now);
                }
                "pause".to_owned()
            }
            FleetWord::Resume => {
                orders.go_on(now);
                "resume".to_owned()
            }
            // Whoever begins after that begins afresh.
            FleetWord::Stop => {
                orders.go_on(now);
                (orders.share, orders.stop) = (None, orders.number);
                "stop".to_owned()
            }
        };
        orders.word = typed;
        let nanos = i128::from(now);
        orders.at = jiff::Timestamp::from_nanosecond(nanos).map(|at| format!("{at:.3}")).unwrap_or_default();
        orders
    }

    fn go_on(&mut self, now: u64) {
        self.stood_still = self.stopped_for(now);
        (self.paused, self.paused_since) = (false, 0);
    }

    /// Returns for how long the schedule has stood still by now: nanoseconds of all pauses, the current one included.
    #[must_use]
    pub fn stopped_for(&self, now: u64) -> u64 {
        let current = if self.paused { now.saturating_sub(self.paused_since) } else { 0 };
        self.stood_still.saturating_add(current)
    }

    /// The same as a length of time.
    #[must_use]
    pub fn stood_still(&self, now: u64) -> Duration {
        Duration::from_nanos(self.stopped_for(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_rise_and_stand_until_another_one_goes_over_them() {
        let share = FleetOrders::default().with(FleetWord::Sample(Share(0.25)), "a@b", 10);
        let paused = share.with(FleetWord::Pause, "c@d", 20);
        assert_eq!((paused.number, paused.share, paused.paused, paused.paused_since), (2, Some(0.25), true, 20));
        assert_eq!((paused.word.as_str(), paused.by.as_str()), ("pause", "c@d"));
        let again = paused.with(FleetWord::Pause, "c@d", 25);
        assert_eq!((again.number, again.paused_since), (3, 20), "it goes on from when it began");
        let resumed = again.with(FleetWord::Resume, "a@b", 50);
        assert_eq!((resumed.paused, resumed.stood_still, resumed.share), (false, 30, Some(0.25)));
        assert_eq!(resumed.with(FleetWord::Resume, "a@b", 70).stood_still, 30, "nothing stood still since");
    }

    #[test]
    fn a_stop_leaves_nothing_for_whoever_begins_after_it() {
        let orders = FleetOrders::default().with(FleetWord::Sample(Share(0.5)), "a", 0).with(FleetWord::Pause, "a", 5);
        let stopped = orders.with(FleetWord::Stop, "a", 9);
        assert_eq!((stopped.number, stopped.stop, stopped.share, stopped.paused), (3, 3, None, false));
        assert_eq!(stopped.with(FleetWord::Pause, "a", 10).stop, 3, "who goes on ending goes on ending");
    }

    #[test]
    fn a_pause_counts_while_it_lasts() {
        let paused = FleetOrders::default().with(FleetWord::Pause, "a", 100);
        assert_eq!((paused.stopped_for(100), paused.stopped_for(160)), (0, 60));
        let resumed = paused.with(FleetWord::Resume, "a", 200);
        assert_eq!((resumed.stopped_for(200), resumed.stopped_for(900)), (100, 100));
    }
}
