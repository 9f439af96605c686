//! A replayer, as its run sees it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::partitions::{Asked, Partitions};
use crate::exchange::ExchangeId;
use crate::fleet::{FleetDecision, FleetOrders, FleetView, MemberFigures};
use crate::recording::session::{
    Admission, AdmissionWait, EndTicket, FleetProgress, RequestEnd, ScheduleZero, StoreSession,
};

/// Time after which is asked again whether a partition is held.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Time that the store has to say where the schedule begins.
const AGREE: Duration = Duration::from_secs(5);
/// Time that the store has to take note of a run's summary.
const CONCLUDE: Duration = Duration::from_secs(10);

/// A run that replays, as a member of its fleet.
pub(super) struct ReplaySession {
    pub(super) partitions: Arc<Partitions>,
    /// Rung when the store knows of the end, or will not.
    pub(super) ended: Arc<(Mutex<bool>, Condvar)>,
}

impl StoreSession for ReplaySession {
    fn admit(&self, id: ExchangeId, is_write: bool) -> AdmissionWait<'_> {
        Box::pin(async move {
            loop {
                match self.partitions.ask(id, is_write) {
                    Asked::Known(admission) => return admission,
                    Asked::Wait(answer) => return answer.await.unwrap_or(Admission::Moved),
                    Asked::Later => tokio::time::sleep(ASK_AGAIN).await,
                }
            }
        })
    }

    fn ended(&self, id: ExchangeId, end: RequestEnd) -> Option<EndTicket> {
        self.partitions.end(id, end)
    }

    fn counts(&self, ticket: EndTicket) -> Option<bool> {
        self.partitions.counts(ticket)
    }

    fn agree(&self, proposed: ScheduleZero, speed: f64) -> ScheduleZero {
        let zero = self.partitions.agree(proposed, AGREE).unwrap_or_else(|| {
            tracing::warn!("the store did not say in time where the schedule begins: this replayer begins its own");
            proposed
        });
        self.partitions.horizon.goes_by(zero, speed, self.stood_still());
        zero
    }

    fn begins_without_times(&self) {
        self.partitions.horizon.is_off();
    }

    fn share(&self) -> f64 {
        self.partitions.share()
    }

    fn fleet(&self) -> Option<FleetProgress> {
        Some(self.partitions.progress())
    }

    fn view(&self) -> Option<Arc<FleetView>> {
        self.partitions.bulletin.lock().view.clone()
    }

    fn obeyed(&self, orders: &FleetOrders) {
        self.partitions.bulletin.lock().obey(orders);
        self.partitions.bell.notify_one();
    }

    fn stood_still(&self) -> Duration {
        self.partitions.bulletin.lock().stood_still()
    }

    fn publish(&self, figures: MemberFigures) {
        self.partitions.bulletin.lock().figures = figures;
    }

    fn decide(&self, decision: FleetDecision) {
        self.partitions.bulletin.lock().decision = Some(decision);
        self.partitions.bell.notify_one();
    }

    fn conclude(&self, summary: Vec<u8>) -> Result<(), String> {
        {
            let mut state = self.partitions.lock();
            state.summary = Some(summary);
            state.is_stopping = true;
        }
        self.partitions.bell.notify_one();
        let (ended, rung) = &*self.ended;
        let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(rung.wait_timeout_while(guard, CONCLUDE, |ended| !*ended));
        let known = self.partitions.lock().concluded.take();
        known.unwrap_or_else(|| Err("the store did not answer in time".to_owned()))
    }
}

/// A run that says nothing has ended all the same.
impl Drop for ReplaySession {
    fn drop(&mut self) {
        self.partitions.lock().is_stopping = true;
        self.partitions.bell.notify_one();
    }
}
