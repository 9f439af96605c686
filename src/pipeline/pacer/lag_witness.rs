//! What tells a stamp that is a little ahead or behind for a reason of its own from a clock that was set: the beginnings that
//! follow it. Events go in as they come, out comes whether the clock was set.

use super::{Timing, unfit};
use crate::exchange::{ConnectionId, Event, Timestamp};
use crate::pipeline::passes::PassTag;
use crate::replay::LagBehind;

/// What is seen behind a stamp that lags.
pub(in crate::pipeline) struct LagWitness {
    lag: LagBehind,
    /// Stamps so far.
    seen: usize,
    connections: Vec<ConnectionId>,
    /// True when a connection opened among them: that is held up by nothing.
    is_opening: bool,
    /// True when the one before was of the same connection.
    goes_back: bool,
    /// The connection of the stamp that they lag behind, where it is known.
    ahead: Option<ConnectionId>,
}

impl LagWitness {
    /// Stamps in a row that go on from the one that lags, from which on it is believed.
    const ENOUGH: usize = 7;
    /// The same where no more come, or where they have come to where they were.
    const LEAST: usize = 4;

    const fn of(lag: LagBehind) -> Self {
        Self { lag, seen: 0, connections: Vec::new(), is_opening: false, goes_back: false, ahead: None }
    }

    /// Notes a later event; returns whether the clock was set back, once that is known.
    pub(in crate::pipeline) fn note(&mut self, event: &Event, part: PassTag) -> Option<bool> {
        let (of, at) = beginning(event, part)?;
        if !self.lag.goes_on(at) {
            return Some(false);
        }
        self.seen += 1;
        self.is_opening |= is_opening(event);
        self.goes_back |= self.ahead == Some(of);
        if !self.connections.contains(&of) {
            self.connections.push(of);
        }
        (self.seen >= Self::ENOUGH || self.lag.has_caught_up()).then(|| self.suffices())
    }

    /// Returns whether it was not one connection that was held up, or a few.
    pub(in crate::pipeline) fn suffices(&self) -> bool {
        let connections = self.connections.len();
        self.seen >= Self::LEAST && (self.goes_back || connections >= 3 || (connections == 2 && self.is_opening))
    }
}

impl Timing {
    /// Where the stamp of a request is a little ahead, what those that follow may show, and the stamp before it.
    pub(in crate::pipeline) fn lead_of(
        &self,
        event: &Event,
        part: PassTag,
        needs_bodies: bool,
    ) -> Option<(LagWitness, Timestamp)> {
        let (of, _) = beginning(event, part).filter(|_| matches!(event, Event::Request(_)))?;
        let (lag, before) = self.lead(stamp(event, part, needs_bodies)?)?;
        Some((LagWitness { ahead: Some(of), ..LagWitness::of(lag) }, before))
    }

    /// Where a stamp is a little behind, what those that follow may show, and the stamp; `before` is the connection of the
    /// beginning before it.
    pub(in crate::pipeline) fn lag_of(
        &self,
        event: &Event,
        part: PassTag,
        before: Option<ConnectionId>,
    ) -> Option<(LagWitness, Timestamp)> {
        let (of, at) = beginning(event, part)?;
        let lag = self.lag(at)?;
        // Within a connection stamps do not go back.
        let goes_back = before == Some(of);
        let (is_opening, connections) = (is_opening(event), vec![of]);
        Some((LagWitness { seen: 1, connections, is_opening, goes_back, ..LagWitness::of(lag) }, at))
    }
}

/// The connection and the time of what comes when it is captured, mostly: a connection that opens, or a request.
pub(in crate::pipeline) fn beginning(event: &Event, part: PassTag) -> Option<(ConnectionId, Timestamp)> {
    match event {
        _ if part.copy > 0 => None,
        Event::Opened { connection, at } => Some((*connection, *at)),
        Event::Request(request) => Some((request.id.connection, request.last_byte)),
        _ => None,
    }
}

const fn is_opening(event: &Event) -> bool {
    matches!(event, Event::Opened { .. })
}

/// The time by which an event is due, if it has one. Requests without a whole body have none where bodies are needed.
pub(in crate::pipeline) fn stamp(event: &Event, part: PassTag, needs_bodies: bool) -> Option<Timestamp> {
    let at = match event {
        Event::Request(request) if unfit(request, needs_bodies).is_none() => request.last_byte,
        Event::Opened { at, .. } | Event::Closed { at, .. } => *at,
        _ => return None,
    };
    Some(at.plus(part.delay))
}
