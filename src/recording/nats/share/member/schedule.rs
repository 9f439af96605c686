//! One schedule for all members: where it begins, and the share of it that each of them has.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{ANSWER, Member};
use crate::exchange::Timestamp;
use crate::recording::nats::names;
use crate::recording::session::ScheduleZero;

/// Time for which a schedule goes on without anybody who is known to keep it: its first member says so within that.
const FRESH: Duration = Duration::from_secs(10);

/// Where a schedule begins, as it stands in the store: nanoseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct ZeroRecord {
    capture: u64,
    wall: u64,
}

impl Member {
    /// Agrees with the others on where the schedule begins, once somebody asks for that. What does not succeed is tried again
    /// at the next look.
    pub(super) async fn agree(&mut self) {
        let Some(proposed) = self.reading.partitions.proposed() else { return };
        let Some((zero, revision)) = self.zero(proposed).await else { return };
        self.record.zero = revision;
        self.beat(false).await.ok();
        self.reading.partitions.begins_at(zero);
    }

    /// Where the schedule begins that others keep, or else as is proposed; and the revision of the key that says so.
    async fn zero(&self, proposed: ScheduleZero) -> Option<(ScheduleZero, u64)> {
        let key = names::run_zero(&self.reading.url.run);
        let found = timeout(ANSWER, self.store.keys.entry(&key)).await.ok()?.ok()?;
        let revision = found.as_ref().map_or(0, |entry| entry.revision);
        let known =
            found.and_then(|entry| serde_json::from_slice::<ZeroRecord>(&entry.value).ok()).map(ZeroRecord::read);
        // One that nobody keeps any more is of members that were all stopped, hours ago perhaps: by that, everything would be due.
        let goes_on =
            |zero: &ScheduleZero| self.roster.keep_schedule(revision) || proposed.wall.since(zero.wall) < FRESH;
        if let Some(zero) = known.filter(goes_on) {
            return Some((zero, revision));
        }
        let record = ZeroRecord { capture: proposed.capture.nanos(), wall: proposed.wall.nanos() };
        let value = serde_json::to_vec(&record).ok()?;
        let revision = timeout(ANSWER, self.store.keys.update(&key, value.into(), revision)).await.ok()?.ok()?;
        Some((proposed, revision))
    }

    /// Finds out which share of the partitions that are not over this member has.
    pub(super) fn share(&self) {
        let is_open = |partition: &u16| !self.roster.partition(*partition).record.is_over;
        let open = (0..self.store.meta.partitions).filter(is_open).count();
        let held = self.tenures.keys().filter(|partition| is_open(partition)).count();
        if held > 0 {
            self.reading.partitions.set_share(held as f64 / open as f64);
        }
    }
}

impl ZeroRecord {
    fn read(self) -> ScheduleZero {
        ScheduleZero { capture: Timestamp::from_nanos(self.capture), wall: Timestamp::from_nanos(self.wall) }
    }
}
