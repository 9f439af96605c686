//! The pacer of requests that are made when somebody can send them: nothing here waits.

use super::Pacer;
use crate::exchange::Event;
use crate::pipeline::budget::bytes_of_request;
use crate::pipeline::queues::QueuedEvent;

/// Facts for which the report has to have room before an event is passed on: it brings a few, and others send theirs meanwhile.
const LEAST_ROOM: usize = 1024;

impl Pacer {
    /// Passes an event on at once; false once nobody takes facts any more.
    pub(in crate::pipeline) fn pass_on(&mut self, queued: QueuedEvent) -> bool {
        let upcoming = self.upcoming(queued);
        let step = self.step(upcoming);
        self.take_step(step).is_ok()
    }

    /// Returns whether nothing may be passed on now, since the run is paused.
    pub(in crate::pipeline) fn is_held(&self) -> bool {
        self.settings.control.is_paused()
    }

    /// Returns whether there is room for what comes of an event.
    pub(in crate::pipeline) fn has_room(&self, event: &Event) -> bool {
        let has_place = match event {
            Event::Request(request) => {
                let bytes = bytes_of_request(request);
                self.channels.dispatchers.iter().all(|dispatcher| dispatcher.has_room(bytes))
            }
            _ => true,
        };
        has_place && self.channels.facts.capacity() >= LEAST_ROOM
    }

    /// Returns how many requests were offered to targets so far.
    pub(in crate::pipeline) const fn offered(&self) -> u64 {
        self.taken
    }
}
