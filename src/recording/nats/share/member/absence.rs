//! A recording that is thrown away while it is replayed: the run ends.

use tokio::time::timeout;

use super::{ANSWER, Member, MemberCommand};

/// Looks in a row at which something has to be absent: a server that is about to begin may not know yet what it has.
const FOR_GOOD: u32 = 2;

/// How often in a row something of the recording was not there.
#[derive(Default)]
pub(super) struct Absence {
    looks: u32,
}

impl Absence {
    /// Returns whether it will not come back.
    pub(super) const fn is_for_good(&self) -> bool {
        self.looks >= FOR_GOOD
    }
}

impl Member {
    /// Looks whether the recording is still there. Where it is not, this member gives up all that it holds, so that nothing
    /// waits for the store any more.
    pub(super) async fn look_for_recording(&mut self) {
        if self.absence.is_for_good() {
            return;
        }
        let Some(words) = timeout(ANSWER, self.store.absent()).await.ok().flatten() else {
            self.absence.looks = 0;
            return;
        };
        self.absence.looks += 1;
        if !self.absence.is_for_good() {
            return;
        }
        for partition in std::mem::take(&mut self.tenures).into_keys() {
            self.reading.partitions.lock().lose(partition);
        }
        let words = format!("{} was not replayed to its end: {words} (was it thrown away?)", self.reading.url);
        self.reading.to.send(MemberCommand::Gone(words)).await.ok();
    }
}
