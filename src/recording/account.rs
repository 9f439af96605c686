//! What became of all requests of a recording in a store: on its nodes, and in a run that replays it.

use serde::{Deserialize, Serialize};

/// A node, as far as it has given an account of itself; a summary has it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeAccount {
    /// Its number.
    pub node: u32,
    /// The name of its host.
    pub host: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// It said that it ended.
    pub ended: bool,
    /// Requests that it saw; `None` where it did not say.
    pub seen: Option<u64>,
    /// Requests that ended there, by a filter or for want of room, and are not in the store.
    pub ended_there: Option<u64>,
    /// Requests that it stored.
    pub published: u64,
    /// When it was last heard of, RFC 3339; empty where that is not known.
    #[serde(default)]
    pub heard: String,
    /// It did not say that it ended, and was not heard of for so long that it counts as killed or cut off.
    #[serde(default)]
    pub gone: bool,
    /// What is known to be lost there: frames, gaps in streams, and requests without room.
    #[serde(default)]
    pub lost: u64,
}

impl NodeAccount {
    /// Returns its name for people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("node {} ({})", self.node, self.host)
    }

    /// Describes that it was killed or cut off, and when it was last heard of; `None` where it was not.
    #[must_use]
    pub fn cut_off(&self) -> Option<String> {
        let heard = self.heard.replace('T', " ").replace('Z', " UTC");
        let heard = if heard.is_empty() { "at a time that is not known" } else { &heard };
        self.gone.then(|| format!("was killed or cut off: last heard of {heard}"))
    }

    /// Describes that nobody knows what it saw, and so what was lost there; `None` where it said so.
    #[must_use]
    pub fn untold(&self) -> Option<String> {
        let what = if self.ended || self.gone { "did not say what it saw" } else { "has not said yet what it saw" };
        self.seen.is_none().then(|| format!("{} {what}", self.name()))
    }
}

/// A replayer, as far as it has given an account of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberAccount {
    /// The name of its host.
    pub host: String,
    /// Sets it apart from every other one.
    pub id: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// It said that it ended.
    pub ended: bool,
    /// What it came to: a summary, as JSON; `None` where it has not said so.
    pub summary: Option<Vec<u8>>,
}

/// All of a recording. `published` = `ended` + `waiting` + `expired`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetAccount {
    /// Its nodes.
    pub nodes: Vec<NodeAccount>,
    /// Requests that nodes stored.
    pub published: u64,
    /// The run.
    pub run: String,
    /// Requests that have ended in it.
    pub ended: u64,
    /// Those among them of which nobody knows whether they were sent.
    pub uncertain: u64,
    /// Requests that have not ended, and are in the store.
    pub waiting: u64,
    /// Those among them that came after the run was over.
    pub late: u64,
    /// Requests that are not in the store any more, and did not end.
    pub expired: u64,
    /// Replayers that took part.
    pub members: Vec<MemberAccount>,
    /// Partitions that went from a replayer that was lost to another one.
    pub moved: u64,
}
