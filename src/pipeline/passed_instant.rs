//! Instants that a capture has passed, also where its clock was set back behind them since.
//!
//! A part of a capture is one stretch of it, in its own order: it begins where the capture comes to `--from`, and ends where it comes
//! to `--until`. By their stamps alone requests behind a step of the clock would be left out of its beginning, or be in it after its
//! end. What was only held up in the reassembly goes by its stamp: a connection opens when it is captured, and within one stamps
//! do not go back.

use std::collections::VecDeque;
use std::time::Duration;

use crate::exchange::{ConnectionId, Event, Timestamp};
use crate::replay::StampLeap;

/// Beginnings in a row from which on the capture has come to an instant: a stamp or two may be wrong.
const REACHED: u32 = 3;
/// Least lag behind the latest stamp that is a step of the clock.
const LEAST_STEP: Duration = Duration::from_millis(200);
/// Connections that are remembered: those of the last requests. Past it only new ones show a step.
const REMEMBERED: usize = 64;

/// Whether a capture has passed an instant.
#[derive(Debug, Default)]
pub(super) struct PassedInstant {
    /// Beginnings in a row that are not before it.
    reached: u32,
    /// The leap by which the first of them came there.
    leap: Option<StampLeap>,
    /// Connections of the last requests that are not before it.
    recent: VecDeque<ConnectionId>,
    /// True once the clock was seen to be set back behind it.
    is_passed: bool,
}

impl PassedInstant {
    /// Returns whether the capture has passed it, and what comes is behind it whatever its stamp.
    pub(super) const fn is_passed(&self) -> bool {
        self.is_passed
    }

    /// Takes note of the next event, where `latest` is the latest time before it.
    pub(super) fn note(&mut self, instant: Timestamp, latest: Timestamp, event: &Event) {
        let (of, at, opens) = match event {
            Event::Opened { connection, at } => (*connection, *at, true),
            Event::Request(request) => (request.id.connection, request.last_byte, false),
            _ => return,
        };
        if at >= instant {
            if self.reached == 0 {
                self.leap = StampLeap::of(latest, at);
            }
            self.reached = self.reached.saturating_add(1);
            if !opens {
                self.remember(of);
            }
        } else if self.reached < REACHED || self.leap.as_ref().is_some_and(|leap| leap.is_wrong_by(at)) {
            *self = Self { is_passed: self.is_passed, ..Self::default() };
        } else if latest.since(at) >= LEAST_STEP && (opens || self.recent.contains(&of)) {
            self.is_passed = true;
        }
    }

    fn remember(&mut self, connection: ConnectionId) {
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(connection);
    }
}
