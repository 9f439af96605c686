//! Segments to events: what is seen twice counts once, then streams, then messages.

use arrayvec::ArrayVec;

use crate::capture::FEW;
use crate::decode::Segment;
use crate::exchange::{Event, Timestamp};
use crate::flow::{FlowLookup, FlowTable, Sightings, Verdict};
use crate::http1::Http1;

/// Connections that are remembered from which on those of a few frames are looked up together. Fewer are in the
/// processor's cache.
pub(super) const MANY: usize = 4096;

/// Segments to events.
pub(super) struct Engine {
    pub(super) sightings: Sightings,
    pub(super) flows: FlowTable,
    pub(super) http1: Http1,
}

impl Engine {
    /// Takes the next segment and tells what it makes known.
    pub(super) fn take(&mut self, segment: &Segment<'_>, sink: &mut dyn FnMut(Event)) {
        if self.sightings.concerns(segment) {
            let verdict = self.sightings.judge(segment);
            self.release(sink);
            if !self.goes_on(verdict, segment, sink) {
                return;
            }
        } else {
            self.sightings.fetch_next(segment);
        }
        let Self { flows, http1, .. } = self;
        let mut place = flows.lookup(segment);
        if let Some(slot) = flows.guess(&mut place)
            && flows.remembered() >= MANY
        {
            http1.fetch(slot);
        }
        flows.pass_over(&mut place, segment, |slot, side| http1.passes_over(slot, side));
        flows.take_at(&place, segment, &mut |chunk| http1.take(chunk, sink));
    }

    /// Takes segments in few steps, each of some of them.
    pub(super) fn segments(&mut self, segments: &[Segment<'_>], sink: &mut dyn FnMut(Event)) {
        let mut from = 0;
        for (place, segment) in segments.iter().enumerate() {
            if !self.sightings.concerns(segment) {
                self.sightings.fetch_next(segment);
                continue;
            }
            let verdict = self.sightings.judge(segment);
            if verdict == Verdict::Passes && !self.sightings.has_released() {
                continue;
            }
            // What was held goes between those before and behind it.
            self.take_together(segments.get(from..place).unwrap_or_default(), sink);
            self.release(sink);
            from = if self.goes_on(verdict, segment, sink) { place } else { place + 1 };
        }
        self.take_together(segments.get(from..).unwrap_or_default(), sink);
    }

    /// Takes segments of which none depends on another one's being taken, nor on sightings.
    fn take_together(&mut self, segments: &[Segment<'_>], sink: &mut dyn FnMut(Event)) {
        let mut places: ArrayVec<FlowLookup, FEW> = segments.iter().map(|segment| self.flows.lookup(segment)).collect();
        for place in &mut places {
            if let Some(slot) = self.flows.guess(place) {
                self.http1.fetch(slot);
            }
        }
        let http1 = &mut self.http1;
        for (place, segment) in places.iter_mut().zip(segments) {
            self.flows.pass_over(place, segment, |slot, side| http1.passes_over(slot, side));
            self.flows.take_at(place, segment, &mut |chunk| http1.take(chunk, sink));
        }
    }

    /// Returns whether a segment goes on as it is. A copy goes on under the addresses of the first sighting.
    fn goes_on(&mut self, verdict: Verdict, segment: &Segment<'_>, sink: &mut dyn FnMut(Event)) -> bool {
        match verdict {
            Verdict::Passes => true,
            Verdict::Held => false,
            Verdict::Copy => !self.take_copy(segment, segment.at, sink),
        }
    }

    /// Takes a segment of a further sighting, which came at `now`; false where it is none after all.
    fn take_copy(&mut self, segment: &Segment<'_>, now: Timestamp, sink: &mut dyn FnMut(Event)) -> bool {
        let Self { sightings, flows, http1 } = self;
        flows.expect_copies();
        let Some(copy) = sightings.as_first(segment) else { return true };
        if flows.take_copy(&copy, now, &mut |chunk| http1.take(chunk, sink)) {
            return true;
        }
        match sightings.reconsider(segment) {
            Verdict::Passes => false,
            Verdict::Held => true,
            Verdict::Copy => {
                if let Some(copy) = sightings.as_first(segment) {
                    flows.take_copy(&copy, now, &mut |chunk| http1.take(chunk, sink));
                }
                true
            }
        }
    }

    /// Takes what was held until now.
    fn release(&mut self, sink: &mut dyn FnMut(Event)) {
        if !self.sightings.has_released() {
            return;
        }
        for released in self.sightings.released() {
            let segment = released.segment();
            // It does not lag: it was held here.
            let now = self.flows.arrival(segment.at);
            if !(released.is_copy() && self.take_copy(&segment, now, sink)) {
                let Self { flows, http1, .. } = self;
                flows.take_later(&segment, now, &mut |chunk| http1.take(chunk, sink));
            }
        }
    }

    pub(super) fn idle(&mut self, now: Timestamp, sink: &mut dyn FnMut(Event)) {
        self.sightings.idle(now);
        self.release(sink);
        let Self { flows, http1, .. } = self;
        flows.idle(now, &mut |chunk| http1.take(chunk, sink));
    }

    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Event)) {
        self.sightings.finish();
        self.release(sink);
        let Self { flows, http1, .. } = self;
        flows.finish(&mut |chunk| http1.take(chunk, sink));
    }
}
