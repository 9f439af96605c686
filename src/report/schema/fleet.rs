//! The block `fleet` of the summary: what is known of all that share a recording.

use serde::{Deserialize, Serialize};

use crate::recording::{FleetAccount, FleetProgress, NodeAccount};
use crate::report::units::number;

/// What a replayer knows of all that share its recording; and the sums of all, where somebody added them up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FleetEnd {
    /// The run has come to its end: every request has ended, here or elsewhere.
    pub over: bool,
    /// How many they are; 0 where it has not.
    pub ended: u64,
    /// Requests that this replayer left out unseen: they are of other ports, or lie outside what it replays.
    pub left_out: u64,
    /// Requests that it gave up unsent: another replayer has them, or nobody yet.
    #[serde(default)]
    pub given_up: u64,
    /// Requests that it sent after their partition had moved, or just before: they have another end at another replayer.
    #[serde(default)]
    pub again: u64,
    /// What became of every request of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<FleetSums>,
}

/// What became of every request of a recording: `seen` = `ended_there` + `published`; `published` = `ended` + `waiting` +
/// `expired`; `ended` = `outcomes` + `unaccounted`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FleetSums {
    /// The run.
    pub run: String,
    /// Its nodes.
    pub nodes: Vec<NodeAccount>,
    /// Requests that nodes saw; `None` where one did not say.
    pub seen: Option<u64>,
    /// Requests that ended there; `None` likewise.
    pub ended_there: Option<u64>,
    /// Requests that nodes stored.
    pub published: u64,
    /// Requests that have ended in the run.
    pub ended: u64,
    /// Those among them of which nobody knows whether they were sent.
    pub uncertain: u64,
    /// Requests that have not ended, and are in the store.
    pub waiting: u64,
    /// Those among them that came after the run was over: another run replays them.
    #[serde(default)]
    pub late: u64,
    /// Requests that are not in the store any more, and did not end: they are lost.
    pub expired: u64,
    /// Partitions that went from a replayer that was lost to another one.
    pub moved: u64,
    /// Replayers that took part.
    pub replayers: Vec<FleetReplayer>,
    /// Of the requests that ended, those whose outcome is in the summary of a replayer.
    pub outcomes: u64,
    /// The others; below zero where replayers have more outcomes than the store knows of.
    pub unaccounted: i64,
    /// Deliveries on top of that: they went out at a replayer that had lost their requests, which ended at another one, too.
    #[serde(default)]
    pub again: u64,
}

/// A replayer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FleetReplayer {
    /// Its host and process.
    pub name: String,
    /// When it began.
    pub began: String,
    /// It said that it ended.
    pub ended: bool,
    /// Requests that ended at it; `None` where it has left no summary.
    pub outcomes: Option<u64>,
}

impl FleetEnd {
    /// What is known to be lost beside what the replayers lost themselves.
    pub(crate) fn lost(&self) -> u64 {
        self.sums.as_ref().map_or(0, FleetSums::lost)
    }

    /// Why it is not known what was lost, a reason each; empty where it is.
    pub(crate) fn loss_unknown(&self) -> Vec<String> {
        self.sums.as_ref().map(FleetSums::loss_unknown).unwrap_or_default()
    }
}

impl From<FleetProgress> for FleetEnd {
    fn from(FleetProgress { over, ended, left_out, given_up, again }: FleetProgress) -> Self {
        Self { over, ended, left_out, given_up, again, sums: None }
    }
}

impl FleetSums {
    /// The sums of the store, with what replayers came to.
    #[must_use]
    pub fn new(account: &FleetAccount, replayers: Vec<FleetReplayer>, again: u64) -> Self {
        let nodes = account.nodes.clone();
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let outcomes = replayers.iter().filter_map(|replayer| replayer.outcomes).fold(0, u64::saturating_add);
        Self {
            run: account.run.clone(),
            seen: nodes.iter().map(|node| node.seen).sum(),
            ended_there: nodes.iter().map(|node| node.ended_there).sum(),
            nodes,
            published: account.published,
            ended: account.ended,
            uncertain: account.uncertain,
            waiting: account.waiting,
            late: account.late,
            expired: account.expired,
            moved: account.moved,
            replayers,
            outcomes,
            again,
            unaccounted: signed(account.ended).saturating_sub(signed(outcomes)),
        }
    }

    /// What is known to be lost: on nodes, and in the store.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.nodes.iter().map(|node| node.lost).fold(self.expired, u64::saturating_add)
    }

    /// Why it is not known what was lost, a reason each; empty where it is.
    #[must_use]
    pub fn loss_unknown(&self) -> Vec<String> {
        let outcomes = match self.unaccounted {
            ..=0 => None,
            1 => Some("1 outcome is in no summary".to_owned()),
            more => Some(format!("{} outcomes are in no summary", number(more.unsigned_abs()))),
        };
        self.nodes.iter().filter_map(NodeAccount::untold).chain(outcomes).collect()
    }

    /// Replayers that have left no summary.
    pub fn missing(&self) -> impl Iterator<Item = &FleetReplayer> {
        self.replayers.iter().filter(|replayer| replayer.outcomes.is_none())
    }
}
