//! One schedule for all members: where it begins, and the share of it that each of them has.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{ANSWER, Member};
use crate::exchange::Timestamp;
use crate::recording::nats::clock;
use crate::recording::nats::names;
use crate::recording::session::ScheduleZero;

/// Time for which a schedule goes on without anybody who is known to keep it: its first member says so within that.
const FRESH: Duration = Duration::from_secs(10);

/// Where a schedule begins, as it stands in the store: nanoseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct ZeroRecord {
    capture: u64,
    wall: u64,
    /// How long the run had stood still by then.
    #[serde(default)]
    stood_still: u64,
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
        let known = found.and_then(|entry| serde_json::from_slice::<ZeroRecord>(&entry.value).ok());
        let stood_still = self.stood_still().await;
        // One that nobody keeps any more is of members that were all stopped, hours ago perhaps: by that, everything would be due.
        let goes_on = |zero: &ZeroRecord| {
            self.roster.keep_schedule(revision) || proposed.wall.nanos().saturating_sub(zero.wall) < nanos(FRESH)
        };
        if let Some(zero) = known.filter(goes_on) {
            return Some((zero.put_off(stood_still), revision));
        }
        let record = ZeroRecord { capture: proposed.capture.nanos(), wall: proposed.wall.nanos(), stood_still };
        let value = serde_json::to_vec(&record).ok()?;
        let revision = timeout(ANSWER, self.store.keys.update(&key, value.into(), revision)).await.ok()?.ok()?;
        Some((proposed, revision))
    }

    /// For how long all have stood still by orders, in nanoseconds.
    async fn stood_still(&self) -> u64 {
        let Some(orders) = self.roster.orders() else { return 0 };
        let now = if orders.paused { clock::now(&self.store).await } else { 0 };
        orders.stopped_for(now)
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
    /// Where the schedule begins now that all have stood still for so long.
    fn put_off(&self, stood_still: u64) -> ScheduleZero {
        let wall = self.wall.saturating_add(stood_still.saturating_sub(self.stood_still));
        ScheduleZero { capture: Timestamp::from_nanos(self.capture), wall: Timestamp::from_nanos(wall) }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_put_off_by_the_pauses_since_it_began() {
        let zero = ZeroRecord { capture: 7, wall: 1_000, stood_still: 300 };
        let wall = |stood_still| zero.put_off(stood_still).wall.nanos();
        assert_eq!((wall(300), wall(450), wall(0)), (1_000, 1_150, 1_000));
        assert_eq!(serde_json::from_str::<ZeroRecord>("{\"capture\":7,\"wall\":8}").unwrap().stood_still, 0);
    }
}
