//! The load of a run: which share it let in, and which connections that took.

use super::super::judge::GateInput;
use super::{ReadinessFinding, ReadinessPlan, SAME};
use crate::middleware::Share;
use crate::report::schema::steps::StepCause;
use crate::report::schema::summary::Summary;
use crate::report::schema::target::TargetSummary;
use crate::report::units::{counted, number};

/// What the summary knows of the load of a run.
#[derive(Clone, Debug)]
pub(super) struct RunLoad {
    /// The largest share that was sent.
    pub(super) top: f64,
    /// The smallest share at which the ramp went back or the guard throttled, and why.
    pub(super) broke: Option<(f64, String)>,
    /// Most connections to the target at once.
    peak: u64,
    /// Shares over time with the connections that were open then.
    open: Vec<(f64, u64)>,
    limit: Option<u64>,
    pub(super) input: GateInput,
}

impl RunLoad {
    pub(super) fn of(summary: &Summary, plan: &ReadinessPlan, top: f64) -> Self {
        let none = TargetSummary::default();
        let target = summary.targets.get(&plan.target).unwrap_or(&none);
        let mut share = summary.steps.iter().find(|step| step.target.is_none()).map_or(top, |step| step.from);
        let mut broke: Option<(f64, String)> = None;
        for step in &summary.steps {
            let is_of_target = step.target.as_ref().is_none_or(|url| *url == plan.target);
            let is_worse = step.to < step.from && step.what != StepCause::Control;
            let at = if step.target.is_none() { step.from } else { share };
            if is_of_target && is_worse && broke.as_ref().is_none_or(|(broke, _)| at < *broke) {
                broke = Some((at, step.reason.clone()));
            }
            if step.target.is_none() {
                share = step.to;
            }
        }
        let timeline = summary.timeline.as_ref();
        let at = timeline.and_then(|timeline| timeline.targets.iter().position(|url| *url == plan.target));
        let points = timeline.into_iter().flat_map(|timeline| &timeline.points);
        let open = points.filter_map(|point| point.share.zip(point.targets.get(at?)?.connections)).collect();
        let input = GateInput::of(summary, target);
        Self { top, broke, peak: target.peak_connections, open, limit: plan.connections, input }
    }

    /// Connections that a share takes: by proportion of the most there were, and no fewer than were open at it.
    fn connections(&self, share: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of connections by a share of at most 1"
        )]
        let part = (self.peak as f64 * (share / self.top.max(share)).min(1.0)).ceil() as u64;
        let seen = self.open.iter().filter(|(at, _)| *at <= share + SAME).map(|(_, open)| *open).max();
        part.max(seen.unwrap_or_default())
    }
}

pub(super) fn connections(share: Share, load: &RunLoad) -> ReadinessFinding {
    let takes = load.connections(share.0);
    let text = counted(takes, "connection");
    let Some(limit) = load.limit else {
        return ReadinessFinding { holds: true, words: format!("some {text} (no limit was stated)") };
    };
    let holds = takes <= limit;
    let words = format!("some {text}, {} {}", if holds { "of at most" } else { "more than" }, number(limit));
    ReadinessFinding { holds, words }
}
