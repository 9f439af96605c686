//! What a store would say to a run.

use std::time::Duration;

use super::store_error::StoreError;

/// What a run would do with a recording in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreUse {
    /// Record into it: it is made where it is not there.
    Record,
    /// Replay it.
    Replay,
}

/// A server that answers.
#[derive(Debug)]
pub struct StoreProbe {
    /// Its version.
    pub version: String,
    /// The recording there, or what would become of the run.
    pub recording: Result<RecordingProbe, StoreError>,
}

/// A recording that a run could use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingProbe {
    /// What is there; `None` where it would be made.
    pub stored: Option<StoredRecording>,
    /// Nanoseconds by which the clock of the store is ahead of that of this host; below zero where it is behind.
    pub clock_ahead_ns: Option<i64>,
}

/// A recording that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecording {
    /// Its bytes.
    pub bytes: u64,
    /// Most bytes that are kept; `None` where that has no limit.
    pub max_bytes: Option<u64>,
    /// How long an exchange is kept.
    pub retention: Duration,
}
