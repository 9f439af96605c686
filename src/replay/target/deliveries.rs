//! Where deliveries go that have ended.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::replay::Delivery;

/// Sender of ended deliveries.
pub struct Deliveries<D> {
    to: mpsc::Sender<D>,
    observe: Option<Arc<Observe>>,
}

/// Sees how a delivery ended.
type Observe = dyn Fn(&Delivery) + Send + Sync;

impl<D> Deliveries<D> {
    /// Has `observe` called with each delivery as soon as it has ended, before it is reported: whatever waits on the way
    /// of the reports, that does not.
    #[must_use]
    pub(crate) fn observed(to: mpsc::Sender<D>, observe: impl Fn(&Delivery) + Send + Sync + 'static) -> Self {
        Self { to, observe: Some(Arc::new(observe)) }
    }
}

impl<D> From<mpsc::Sender<D>> for Deliveries<D> {
    fn from(to: mpsc::Sender<D>) -> Self {
        Self { to, observe: None }
    }
}

impl<D> Clone for Deliveries<D> {
    fn clone(&self) -> Self {
        Self { to: self.to.clone(), observe: self.observe.clone() }
    }
}

pub(super) async fn report<D: From<Box<Delivery>>>(deliveries: &Deliveries<D>, delivery: Delivery) {
    if let Some(observe) = &deliveries.observe {
        observe(&delivery);
    }
    let id = delivery.id;
    if deliveries.to.send(Box::new(delivery).into()).await.is_err() {
        tracing::debug!(%id, "a delivery ended after its receiver was gone");
    }
}
