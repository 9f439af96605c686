//! The end of the pacer's work: what is still on its way, and what the chain has to say.

use super::stage::ChainEnd;
use super::{Pacer, Timing};
use crate::exchange::Event;

impl Pacer {
    /// Ends what is on its way, and returns what the chain has to say.
    pub(in crate::pipeline) fn finish(mut self) -> ChainEnd {
        self.wind_up();
        if matches!(self.settings.timing, Timing::Live) {
            self.leave();
        }
        self.channels.production_ends.finish();
        self.notice();
        let chains = &self.settings.chains;
        ChainEnd {
            keys: chains.all.key_share(),
            remarks: chains.remarks(),
            unreadable: chains.unreadable(),
            shortened_gaps: self.settings.timing.shortened_gaps(),
        }
    }

    /// Reports each captured request that was not reached in time, and the responses to others.
    fn leave(&mut self) {
        let enough = self.settings.most.is_some_and(|most| self.taken >= most);
        while let Ok(queued) = self.channels.events.recv() {
            let told = match queued.event {
                Event::Request(request) if !enough => self.end(self.note(&request), self.not_reached()),
                Event::Response { of, response } => self.response(of, response, None),
                _ => Ok(()),
            };
            if told.is_err() {
                break;
            }
        }
    }
}
