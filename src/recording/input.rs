//! What a run reads, whatever holds it: files, or a store on other machines.

use std::sync::Arc;

use super::EventSource;
use super::access_log::ReadLog;
use super::session::StoreSession;
use super::source::RecordingSource;
use crate::exchange::ExchangeId;
use crate::http1::BodyPolicies;

/// A recording that is read: events, one after another, with what they are to hold.
///
/// [`RecordingSource`] reads files. What stands for a store may wait in [`EventSource::next`] until the capture's halt.
pub trait RecordingInput: EventSource + Send {
    /// Sets the policies for bodies, before the first event is asked for.
    fn set_interests(&mut self, interests: BodyPolicies);

    /// Returns whether events come as they are recorded, so that what comes is due at once.
    fn is_followed(&self) -> bool {
        false
    }

    /// A request that it handed over was left out of what is replayed.
    fn left_out(&mut self, id: ExchangeId) {
        let _ = id;
    }

    /// What was read of access logs; `None` where there are none.
    fn logs(&self) -> Option<ReadLog> {
        None
    }

    /// Where it is a store that several runs share: what this run is there.
    fn session(&self) -> Option<Arc<dyn StoreSession>> {
        None
    }
}

impl RecordingInput for RecordingSource {
    fn set_interests(&mut self, interests: BodyPolicies) {
        Self::set_interests(self, interests);
    }

    fn logs(&self) -> Option<ReadLog> {
        Self::logs(self)
    }
}
