//! What the replayers that share a recording tell each other: orders of people, what each of them sees of the targets, and what
//! a guard or a ramp has decided for all.
//!
//! These are values. Who stores them is `recording`, who goes by them is `pipeline`.

mod decision;
mod member;
mod order;
mod receipt;
mod window;

pub use decision::{FleetDecision, GuardDecision};
pub use member::{
    FleetMember, FleetStatus, FleetTotals, MemberFigures, MemberState, MemberTarget, TargetFigures, member_name,
};
pub use order::{FleetOrders, FleetWord};
pub use receipt::{OrderReceipt, Overtaken};
pub use window::OutcomeCounts;

use std::sync::Arc;

/// What a member knows of all, as the store has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetView {
    /// What people have ordered.
    pub orders: FleetOrders,
    /// What was decided last for all; `None` where nobody has yet, or nobody who did is there any more.
    pub decision: Option<Arc<FleetDecision>>,
    /// Decisions have higher numbers than this.
    pub stale: u64,
    /// Every member that was heard of in this run, this one among them, by when they began.
    pub members: Vec<Arc<FleetMember>>,
    /// The id of this member.
    pub me: String,
    /// The run.
    pub run: String,
}

impl FleetView {
    /// How the fleet stands, for whoever looks.
    #[must_use]
    pub fn status(&self) -> FleetStatus {
        FleetStatus::new(&self.run, self.orders.clone(), self.members.iter().map(|member| FleetMember::clone(member)))
    }
}
