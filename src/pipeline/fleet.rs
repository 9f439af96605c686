//! A replay as one of several: it goes by what was ordered for all, says how it stands, and hears how the others do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::control::Control;
use super::protection::{ProtectionController, shared_names};
use crate::fleet::{FleetOrders, MemberFigures, OutcomeCounts, TargetFigures};
use crate::middleware::{DynamicShare, Share};
use crate::recording::StoreSession;
use crate::replay::Delivery;
use crate::replay::guard::Observation;
use crate::serve::control::ControlCommand;

/// Time between two looks at what was ordered.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two words of how this member stands.
const SAY: Duration = Duration::from_secs(1);
/// Words that the counts of the last moments look back: 10 s.
const RECENT: usize = 10;
/// Most targets of which others are told.
const MAX_TARGETS: usize = 16;
/// Longest reason of a guard that others are told, in characters.
const MAX_REASON: usize = 200;

/// Outcomes of deliveries, by target. Clones are one and the same; where nobody shares the recording, nothing is counted.
#[derive(Clone, Default)]
pub(super) struct FleetCounts(Option<Arc<Mutex<Vec<OutcomeCounts>>>>);

impl FleetCounts {
    pub(super) fn new(targets: usize, is_shared: bool) -> Self {
        let counts = vec![OutcomeCounts::default(); targets.min(MAX_TARGETS)];
        Self(is_shared.then(|| Arc::new(Mutex::new(counts))))
    }

    /// Counts how a delivery ended.
    pub(super) fn observe(&self, delivery: &Delivery) {
        let Some(counts) = &self.0 else { return };
        let Some(seen) = Observation::of(delivery, Instant::now()) else { return };
        let Some(target) = delivery.destination.target() else { return };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = counts.get_mut(target.index()) {
            counts.take(seen.failed, seen.late, seen.status, seen.service);
        }
    }

    fn so_far(&self) -> Vec<OutcomeCounts> {
        let counts = self.0.as_ref().map(|counts| counts.lock().unwrap_or_else(PoisonError::into_inner).clone());
        counts.unwrap_or_default()
    }
}

/// Connects a run to the others that share its recording.
#[derive(Clone)]
pub(super) struct FleetLink {
    pub(super) session: Arc<dyn StoreSession>,
    pub(super) control: Control,
    pub(super) protection: ProtectionController,
    pub(super) counts: FleetCounts,
    /// The part of `--limit` that is this run's: that of the requests.
    pub(super) limit_share: DynamicShare,
}

impl FleetLink {
    /// Begins; ends with the runtime, or when it is aborted.
    pub(super) fn start(self, runtime: &Runtime) -> JoinHandle<()> {
        runtime.spawn(self.run())
    }

    /// All deliveries have ended: says how the run stands for the last time.
    pub(super) fn end(&self) {
        self.session.publish(self.figures(&mut VecDeque::new()));
    }

    async fn run(self) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut obeyed, mut said, mut before) = (None, None::<Instant>, VecDeque::new());
        loop {
            ticks.tick().await;
            self.limit_share.set(Share(self.session.share()));
            if let Some(view) = self.session.view() {
                self.obey(&view.orders, &mut obeyed);
                self.protection.hear_fleet(&view);
            }
            if said.is_none_or(|said| said.elapsed() >= SAY) {
                said = Some(Instant::now());
                self.session.publish(self.figures(&mut before));
            }
        }
    }

    /// Goes by the orders, where there are new ones since those that it went by last.
    fn obey(&self, orders: &FleetOrders, obeyed: &mut Option<FleetOrders>) {
        let known = obeyed.get_or_insert_with(|| FleetOrders { stop: orders.stop, ..FleetOrders::default() });
        if orders.number <= known.number {
            return;
        }
        let who = format!("by {} for all replayers", orders.by);
        if let Some(share) = orders.share.filter(|_| orders.share != known.share) {
            self.control.obey_for(ControlCommand::Sample(Share(share.clamp(0.0, 1.0))), &who);
        }
        if orders.paused != known.paused {
            let command = if orders.paused { ControlCommand::Pause } else { ControlCommand::Resume };
            self.control.obey_for(command, &who);
        }
        if orders.stop > known.stop {
            self.control.obey_for(ControlCommand::Stop, &who);
        }
        known.clone_from(orders);
        self.session.obeyed(orders);
    }

    /// How this member stands. `before` has the counts of the words before this one.
    fn figures(&self, before: &mut VecDeque<Vec<OutcomeCounts>>) -> MemberFigures {
        let (state, totals) = (self.control.state(), self.counts.so_far());
        let none = OutcomeCounts::default();
        let urls: Vec<_> = state.targets.iter().map(|target| target.target.clone()).collect();
        let named = state.targets.into_iter().zip(shared_names(&urls));
        let targets = named.zip(&totals).enumerate().map(|(index, ((target, name), total))| {
            let oldest = before.front().and_then(|counts| counts.get(index)).unwrap_or(&none);
            let mut guard = target.guard;
            if let Some(reason) = guard.as_mut().and_then(|guard| guard.reason.as_mut()) {
                *reason = reason.chars().take(MAX_REASON).collect();
            }
            TargetFigures { target: name, total: total.clone(), recent: total.since(oldest), guard }
        });
        let figures = MemberFigures {
            share: state.share,
            paused: state.paused,
            stopping: state.stopping,
            step: state.ramp.map(|ramp| (ramp.step, ramp.steps)),
            targets: targets.collect(),
            recent_s: u32::try_from(before.len()).unwrap_or_default(),
        };
        before.push_back(totals);
        if before.len() > RECENT {
            before.pop_front();
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::FleetWord;

    /// What the run was told that it goes by.
    #[derive(Default)]
    struct Told(Mutex<Vec<u64>>);

    impl StoreSession for Told {
        fn obeyed(&self, orders: &FleetOrders) {
            self.0.lock().unwrap().push(orders.number);
        }

        fn conclude(&self, _: Vec<u8>) -> Result<(), String> {
            Ok(())
        }
    }

    /// Goes by these orders one after another; returns the control, and what was acknowledged.
    fn obeyed(all: &[FleetOrders]) -> (Control, Vec<u64>) {
        let (session, control) = (Arc::<Told>::default(), Control::default());
        let link = FleetLink {
            session: Arc::clone(&session) as Arc<dyn StoreSession>,
            control: control.clone(),
            protection: ProtectionController::none(&control),
            counts: FleetCounts::default(),
            limit_share: DynamicShare::default(),
        };
        let mut known = None;
        for orders in all {
            link.obey(orders, &mut known);
        }
        let told = session.0.lock().unwrap().clone();
        (control, told)
    }

    #[test]
    fn orders_are_taken_up_once_and_acknowledged() {
        let none = FleetOrders::default();
        let share = none.with(FleetWord::Sample(Share(0.25)), "a", 1);
        let paused = share.with(FleetWord::Pause, "a", 2);
        let (control, told) = obeyed(&[none, share.clone(), share, paused.clone(), paused]);
        assert_eq!((control.share(), control.is_paused(), told), (Share(0.25), true, vec![1, 2]));
    }

    #[test]
    fn whoever_joins_takes_up_what_stands_but_no_stop_of_before() {
        let orders = FleetOrders::default().with(FleetWord::Stop, "a", 1).with(FleetWord::Pause, "a", 2);
        let (control, told) = obeyed(std::slice::from_ref(&orders));
        assert_eq!((control.is_paused(), control.state().stopping, told), (true, false, vec![2]));
        let (control, _) = obeyed(&[orders.clone(), orders.with(FleetWord::Stop, "a", 3)]);
        assert!(control.state().stopping && !control.is_paused());
    }
}
