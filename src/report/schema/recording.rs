//! What a run recorded.

use serde::{Deserialize, Serialize};

use super::counts::{CountMap, is_zero};
use crate::recording::Recorded;
use crate::report::units::counted;

/// Key of records lost to the disk.
pub(super) const DISK: &str = "disk";
/// Key of records that found no room on their way to a store.
pub(super) const STORE: &str = "store";

/// Totals of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordingSummary {
    /// Files that were made.
    pub files: u64,
    /// The last of them.
    pub last: Option<String>,
    /// Records in them: messages (.gor), exchanges (JSON lines), frames (captures).
    pub records: u64,
    /// Whole requests in them; `None` where frames are recorded, and where it was not counted.
    #[serde(default)]
    pub requests: Option<u64>,
    /// Bytes of the records, before compression.
    pub bytes: u64,
    /// Records that are not in them though they should be, by place: `disk`, `store`, `queue`.
    pub lost: CountMap,
    /// Requests among those that found no room on their way to a store.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub requests_lost: u64,
    /// Bytes that a store has, compressed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stored_bytes: u64,
    /// Records that the format cannot hold, by reason.
    pub left_out: CountMap,
    /// Exchanges that were written without their response, because too many waited for theirs.
    pub given_up: u64,
    /// Files whose end could not be written: what is in them can be read.
    #[serde(default)]
    pub unfinished: u64,
    /// What a dashcam wrote out; the rest is then about its ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<SavedSummary>,
}

/// What a dashcam wrote out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SavedSummary {
    /// Saves, a file each.
    pub count: u64,
    /// Saves, or pieces of them, that could not be written.
    pub failed: u64,
    /// Records in the files.
    pub records: u64,
    /// Whole requests in them; `None` where frames are recorded.
    pub requests: Option<u64>,
    /// Bytes of the records, before compression.
    pub bytes: u64,
    /// The files, up to 64.
    pub files: Vec<String>,
}

impl RecordingSummary {
    /// Builds the summary of a recording; `unrecorded` is the number of records that found no room on their way there.
    #[must_use]
    pub fn new(recorded: &Recorded, unrecorded: u64) -> Self {
        let some = |counts: &[(&str, u64)]| {
            let some = counts.iter().filter(|(_, count)| *count > 0);
            some.map(|(why, count)| ((*why).to_owned(), *count)).collect()
        };
        let place = if recorded.is_store { STORE } else { DISK };
        Self {
            files: recorded.files,
            last: recorded.last.as_ref().map(|path| path.display().to_string()),
            records: recorded.records,
            requests: recorded.requests,
            bytes: recorded.bytes,
            lost: some(&[(place, recorded.lost_records), ("queue", unrecorded)]),
            requests_lost: recorded.lost_requests,
            stored_bytes: recorded.stored_bytes,
            left_out: recorded.left_out.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect(),
            given_up: recorded.given_up,
            unfinished: recorded.unfinished,
            saved: recorded.saved.as_ref().map(|saved| SavedSummary {
                count: saved.count,
                failed: saved.failed,
                records: saved.records,
                requests: recorded.requests.map(|_| saved.requests),
                bytes: saved.bytes,
                files: saved.files.iter().map(|path| path.display().to_string()).collect(),
            }),
        }
    }

    /// Its file, or how many there are, for people.
    #[must_use]
    pub(crate) fn in_files(&self) -> String {
        if let Some(saved) = &self.saved {
            return match (saved.count, saved.files.first()) {
                (0, _) => "a ring, of which nothing was saved".to_owned(),
                (1, Some(only)) => format!("a ring, and saved to {only}"),
                (count, _) => format!("a ring, and saved to {}", counted(count, "file")),
            };
        }
        match (self.files, &self.last) {
            (1, Some(only)) => only.clone(),
            (files, Some(last)) => format!("{}, the last of them {last}", counted(files, "file")),
            (_, None) if self.lost.contains_key(STORE) || self.stored_bytes > 0 => "the store".to_owned(),
            (_, None) => "no file".to_owned(),
        }
    }
}
