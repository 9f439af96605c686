//! What a run records to, whatever holds it: files, or a store on other machines.

use std::sync::Arc;

use super::record::{DashcamSettings, RecordError, Recorded, Recorder};
use super::session::StoreSession;
use crate::capture::Frame;
use crate::exchange::{Event, Timestamp};

/// Takes what a run records. One thread has it, and calls [`RecordingOutput::tick`] at least once a second.
///
/// [`Recorder`] writes files. What stands for a store never waits for it: what finds no room there is counted as lost.
pub trait RecordingOutput: Send {
    /// Its name for people, as it was typed.
    fn name(&self) -> String;

    /// Returns whether frames are recorded, rather than events.
    fn takes_frames(&self) -> bool {
        false
    }

    /// Returns whether it is standard output.
    fn is_standard_output(&self) -> bool {
        false
    }

    /// Tries whether it can be written to, so that a mistake is told before the run begins.
    ///
    /// # Errors
    ///
    /// Where it cannot.
    fn preflight(&mut self, now: Timestamp) -> Result<(), RecordError>;

    /// Takes an event. Where frames are recorded nothing happens.
    fn event(&mut self, event: Event);

    /// Takes a frame. Where events are recorded nothing happens.
    fn frame(&mut self, frame: &Frame<'_>) {
        let _ = frame;
    }

    /// It is now this late, on the clock of the events.
    fn tick(&mut self, now: Timestamp);

    /// Begins anew with the next record, as where files were moved away.
    fn reopen(&mut self) {}

    /// Takes the notices for people: each failure once, and its end.
    fn take_notices(&mut self) -> Vec<String>;

    /// What it keeps, where it is a dashcam.
    fn dashcam(&self) -> Option<DashcamSettings> {
        None
    }

    /// Has a dashcam write out what it keeps, and what follows; `reason` is said with it.
    fn save(&mut self, reason: &str) {
        let _ = reason;
    }

    /// Returns whether there is work for [`RecordingOutput::tick`], besides what comes.
    fn has_work(&self) -> bool {
        false
    }

    /// Takes the news for people: of saves that begin and end.
    fn take_news(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the totals so far without what is still on its way: they never decrease.
    fn stored(&self) -> Recorded;

    /// Writes what still waits. Notices may come of it.
    fn finish(&mut self) -> Recorded;

    /// Where it is a store: what this run is there.
    fn session(&self) -> Option<Arc<dyn StoreSession>> {
        None
    }
}

impl RecordingOutput for Recorder {
    fn name(&self) -> String {
        self.target().to_string()
    }

    fn takes_frames(&self) -> bool {
        self.target().format().takes_frames()
    }

    fn is_standard_output(&self) -> bool {
        self.target().is_standard_output()
    }

    fn preflight(&mut self, now: Timestamp) -> Result<(), RecordError> {
        Self::preflight(self, now)
    }

    fn event(&mut self, event: Event) {
        Self::event(self, event);
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        Self::frame(self, frame);
    }

    fn tick(&mut self, now: Timestamp) {
        Self::tick(self, now);
    }

    fn reopen(&mut self) {
        Self::reopen(self);
    }

    fn take_notices(&mut self) -> Vec<String> {
        Self::take_notices(self)
    }

    fn dashcam(&self) -> Option<DashcamSettings> {
        Self::dashcam(self)
    }

    fn save(&mut self, reason: &str) {
        Self::save(self, reason);
    }

    fn has_work(&self) -> bool {
        Self::has_work(self)
    }

    fn take_news(&mut self) -> Vec<String> {
        Self::take_news(self)
    }

    fn stored(&self) -> Recorded {
        Self::stored(self)
    }

    fn finish(&mut self) -> Recorded {
        Self::finish(self)
    }
}
