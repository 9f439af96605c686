//! Values that were carried from responses into later requests: the block `carry` of a target.

use serde::{Deserialize, Serialize};

/// What became of one rule at one target. No value is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CarrySummary {
    /// Values of production for which the target's are known.
    pub learnt: u64,
    /// Requests that went out with a value of the target.
    pub carried: u64,
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
