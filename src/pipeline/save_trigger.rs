//! Asks the recording thread of a dashcam to write out what it keeps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Reasons that wait to be heeded: past it they are the same as the last.
const MAX_WAITING: usize = 8;

/// Asks for a save, from any thread. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub(super) struct SaveTrigger(Arc<TriggerState>);

#[derive(Debug, Default)]
struct TriggerState {
    /// There is a dashcam that heeds it.
    is_heeded: AtomicBool,
    asked: AtomicU64,
    reasons: Mutex<Vec<String>>,
}

impl SaveTrigger {
    /// A dashcam heeds it from now on.
    pub(super) fn heed(&self) {
        self.0.is_heeded.store(true, Ordering::Relaxed);
    }

    /// Returns whether a dashcam heeds it.
    pub(super) fn is_heeded(&self) -> bool {
        self.0.is_heeded.load(Ordering::Relaxed)
    }

    /// Returns how often a save was asked for.
    pub(super) fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Asks, for a reason; false where nobody heeds it.
    pub(super) fn ask(&self, reason: &str) -> bool {
        if !self.is_heeded() {
            return false;
        }
        let mut reasons = self.0.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < MAX_WAITING {
            reasons.push(reason.to_owned());
        }
        self.0.asked.fetch_add(1, Ordering::Release);
        true
    }

    /// Takes the reasons that were given since it was asked `before` times, which is brought up to date.
    pub(super) fn take(&self, before: &mut u64) -> Vec<String> {
        let asked = self.0.asked.load(Ordering::Acquire);
        if std::mem::replace(before, asked) == asked {
            return Vec::new();
        }
        std::mem::take(&mut *self.0.reasons.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_taken_once_and_none_where_nobody_heeds() {
        let (trigger, mut before) = (SaveTrigger::default(), 0);
        assert!(!trigger.ask("early") && trigger.take(&mut before).is_empty());
        trigger.heed();
        assert!(trigger.ask("SIGUSR1") && trigger.clone().ask("control"));
        assert_eq!(trigger.take(&mut before), ["SIGUSR1", "control"]);
        assert_eq!((trigger.take(&mut before).len(), trigger.asked()), (0, 2));
    }
}
