//! Values that were carried from responses into later requests: the block `carry` of a target.

use serde::{Deserialize, Serialize};

/// Where the values of a rule come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CarryKind {
    /// The target issued them, or they are known otherwise.
    #[default]
    Carried,
    /// They are tokens signed here.
    Jwt,
    /// They are times moved by the distance from the capture.
    Time,
}

/// What became of one rule at one target. No value is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CarrySummary {
    /// Where its values come from.
    #[serde(default)]
    pub kind: CarryKind,
    /// Values of production for which the target's are known.
    pub learnt: u64,
    /// Pairs known before the run that were used.
    #[serde(default)]
    pub seeded: u64,
    /// Values that a login program gave.
    #[serde(default)]
    pub logins: u64,
    /// Runs of it that gave none.
    #[serde(default)]
    pub failed_logins: u64,
    /// Requests that went out with a value of the target.
    pub carried: u64,
    /// Requests that went out with a value made here.
    #[serde(default)]
    pub made: u64,
    /// Requests with a value of which none can be made: it is no token, or no time.
    #[serde(default)]
    pub not_made: u64,
    /// Requests that waited for one.
    pub waited: u64,
    /// Requests that went out with production's value, because the target's did not come in time.
    pub gave_up: u64,
    /// Requests with a value that no response had issued: it began before the capture, or the target issued none.
    pub unknown: u64,
    /// How many such values there were: sessions, mostly.
    pub unknown_values: u64,
    /// Values that production issued and the target did not, in the same exchange.
    pub not_issued: u64,
    /// Values that were issued again, to the same client address, with another counterpart: of those behind one address
    /// nobody can say whose is whose.
    pub reissued: u64,
    /// Requests that went out with production's value, because the target's cannot stand in its place: a line end in a header,
    /// say.
    #[serde(default)]
    pub unfit: u64,
    /// Requests with a value that had been issued to another client address.
    pub foreign: u64,
    /// Values that were forgotten for want of room.
    pub evicted: u64,
}
