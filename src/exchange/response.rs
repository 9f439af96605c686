//! A response as it was on the wire, and what may be wrong with it.

use std::fmt;
use std::time::Duration;

use super::{Body, Timestamp};
use crate::head::{Head, is_passed_over};

/// A response as it was on the wire, or as a target gave it.
#[derive(Clone, Debug)]
pub struct Response {
    /// The final status (101 is final, other 1xx are not).
    pub status: u16,
    /// Status line and header lines.
    pub head: Head,
    /// The body and how it was framed.
    pub body: Body,
    /// Capture time of its first byte: of the final response, not of an interim one.
    pub first_byte: Timestamp,
    /// Capture time of its last byte.
    pub last_byte: Timestamp,
    /// Damage to the rest of it; the status is known in any case.
    pub damage: Option<Damage>,
    /// After this response the connection speaks something else (CONNECT, Upgrade).
    pub opaque: bool,
    /// The time since its request is not known: the capture's clock was set in between, or the clocks of both
    /// directions differ.
    pub untimed: bool,
    /// Its client left before its end, and no length says that nothing was to come: it may have had more to say.
    pub left: bool,
}

impl Response {
    /// Whether it may have gone on, and all of it that came was captured.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.left || self.damage.is_some_and(Damage::is_open)
    }

    /// Whether it only says that the response to the request follows in another protocol (RFC 7540, 3.2; RFC 2817, 3.3).
    #[must_use]
    pub fn switches_for_the_same_request(&self) -> bool {
        let lines = self.head.get_all("upgrade").flat_map(|value| value.split(|byte| *byte == b','));
        let mut chosen = lines.filter(|protocol| !protocol.trim_ascii().is_empty()).peekable();
        self.status == 101 && chosen.peek().is_some() && chosen.all(is_passed_over)
    }

    /// The time from the last byte of its request to its own first byte, where that is known; zero for an early one.
    #[must_use]
    pub fn latency(&self, request_last_byte: Timestamp) -> Option<Duration> {
        (!self.untimed).then(|| self.first_byte.since(request_last_byte))
    }
}

/// Damage to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// The connection ended, or the capture did, before a response began.
    NoResponse,
    /// A segment was lost in capture.
    Gap,
    /// A frame was cut by the capture's snap length.
    Cut,
    /// The capture ended before the response did.
    EndOfCapture,
    /// The connection ended before the response did.
    Closed,
    /// Its framing or head cannot be read.
    Malformed,
    /// Segments were lost, so that responses can no longer be paired with their requests.
    PairingLost,
    /// It was thrown away for want of room, or the connection was that it came on.
    Shed,
    /// It is known from an access log, which has its status at most.
    NotLogged,
}

impl Damage {
    /// All of them, in the order of their declaration. Recordings have their places: a new one comes last.
    pub const ALL: [Self; 9] = [
        Self::NoResponse,
        Self::Gap,
        Self::Cut,
        Self::EndOfCapture,
        Self::Closed,
        Self::Malformed,
        Self::PairingLost,
        Self::Shed,
        Self::NotLogged,
    ];

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::NoResponse => "no_response",
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::EndOfCapture => "end_of_capture",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::PairingLost => "pairing_lost",
            Self::Shed => "shed",
            Self::NotLogged => "not_logged",
        }
    }

    /// Whether the response had not ended, and all of it that had come was captured: its client left, or the capture
    /// ended first.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Closed | Self::EndOfCapture)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoResponse => "no response",
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::EndOfCapture => "end of capture",
            Self::Closed => "connection closed early",
            Self::Malformed => "malformed",
            Self::PairingLost => "pairing lost",
            Self::Shed => "shed",
            Self::NotLogged => "not logged",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new reason does not compile here until it has a place in the list.
    #[test]
    fn no_reason_is_forgotten() {
        let place = |why| match why {
            Damage::NoResponse => 0,
            Damage::Gap => 1,
            Damage::Cut => 2,
            Damage::EndOfCapture => 3,
            Damage::Closed => 4,
            Damage::Malformed => 5,
            Damage::PairingLost => 6,
            Damage::Shed => 7,
            Damage::NotLogged => 8,
        };
        assert!(Damage::ALL.iter().enumerate().all(|(index, why)| place(*why) == index));
    }
}
