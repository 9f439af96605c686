//! A run that is paused, as the pacing thread sees it: its schedule stands still.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use tokio::time::Instant;

use super::{Pacer, PacerMode, Timing};
use crate::exchange::{HeldBy, Outcome};
use crate::replay::Punctuality;
use crate::replay::wire::spin_until;

/// Time between two checks of whether a paused run has resumed.
const LOOK: Duration = Duration::from_millis(10);

/// Time before a request is due from which on a precise pace sleeps no more: to be woken takes less, as a rule.
const SPIN: Duration = Duration::from_micros(50);

/// The run was stopped.
pub(super) struct Stopped;

impl Pacer {
    /// Waits until a request is due and the run is not paused, and says when that was. Pauses put off what is due.
    pub(super) fn wait_until(&mut self, due: Option<Instant>) -> Result<Option<Instant>, Stopped> {
        if self.settings.is_pulled {
            // Who pulls asks before that whether the run is paused, and has no time to wait.
            return Ok(due);
        }
        loop {
            let due = due.map(|due| self.put_off(due));
            self.wait_for(due)?;
            if !self.waits_while_paused() || !self.settings.control.is_paused() {
                // Resumed while it waited: then it is due later.
                match due {
                    Some(due) if due > Instant::now() + self.lead => continue,
                    due => return Ok(due),
                }
            }
            self.wait_for(Some(Instant::now() + LOOK))?;
        }
    }

    /// Returns the due time of an event due at `due`, all pauses included.
    pub(super) fn put_off(&self, due: Instant) -> Instant {
        if self.is_live() { due } else { due + self.settings.control.stood_still() }
    }

    /// Returns whether requests wait for the end of a pause: those of a store do, even where it is followed.
    const fn waits_while_paused(&self) -> bool {
        self.settings.is_shared || !self.is_live()
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.settings.timing, Timing::Live)
    }

    fn wait_for(&mut self, due: Option<Instant>) -> Result<(), Stopped> {
        let Some(due) = due.filter(|due| *due > Instant::now()) else { return Ok(()) };
        let due = due.checked_sub(self.lead).unwrap_or(due);
        let spins = if self.settings.punctuality == Punctuality::Precise { SPIN } else { Duration::ZERO };
        if let Some(awake) = due.checked_sub(spins).filter(|awake| *awake > Instant::now()) {
            self.rest_until(awake)?;
        }
        spin_until(due);
        Ok(())
    }

    fn rest_until(&mut self, end: Instant) -> Result<(), Stopped> {
        match self.settings.mode {
            PacerMode::Plain => self.sleep_until(end),
            PacerMode::Lookahead(_) => self.look_ahead_until(end),
            PacerMode::External(_) => self.outside_until(end),
        }
    }

    pub(super) fn sleep_until(&self, end: Instant) -> Result<(), Stopped> {
        match self.channels.stopped.recv_deadline(end.into_std()) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(Stopped),
        }
    }

    /// Returns the outcome of requests captured while the run is paused: they are held back, since live traffic does
    /// not wait.
    pub(super) fn held_by_hand(&self) -> Option<Outcome> {
        (!self.waits_while_paused() && self.settings.control.is_paused()).then_some(Outcome::GuardHeld(HeldBy::Paused))
    }
}
