//! Every n-th request passes: several targets share the requests in turn.
//!
//! In goes a request, out comes the same request or `SampledOut`. The requests are counted in the order in which they
//! come, so targets with the turns `1/2` and `2/2` get each request once.

use std::str::FromStr;

use super::{Context, Filter};
use crate::exchange::{Outcome, Request};

/// A turn of a round: `1/2` is the first of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundRobin {
    turn: u32,
    of: u32,
    /// The turn of the next request, from 1.
    next: u32,
}

/// Error for a text that is no turn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}` is no turn; write which one of how many, such as 1/2 for every second request from the first on")]
pub struct RoundRobinError {
    /// Text as typed.
    pub typed: String,
}

impl FromStr for RoundRobin {
    type Err = RoundRobinError;

    fn from_str(typed: &str) -> Result<Self, RoundRobinError> {
        let (turn, of) = typed.split_once('/').unwrap_or_default();
        match (turn.trim().parse(), of.trim().parse()) {
            (Ok(turn @ 1..), Ok(of)) if turn <= of => Ok(Self { turn, of, next: 1 }),
            _ => Err(RoundRobinError { typed: typed.to_owned() }),
        }
    }
}

impl Filter for RoundRobin {
    fn apply(&mut self, _: &mut Request, _: &mut Context) -> Result<(), Outcome> {
        let is_turn = self.next == self.turn;
        self.next = if self.next >= self.of { 1 } else { self.next + 1 };
        if is_turn { Ok(()) } else { Err(Outcome::SampledOut) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    #[test]
    fn the_turns_of_a_round_take_each_request_once() {
        let mut turns: Vec<RoundRobin> = ["1/3", "2/3", "3/3"].iter().map(|typed| typed.parse().unwrap()).collect();
        let mut taken = [0; 3];
        for id in 0..30 {
            let mut request = request(id, "GET / HTTP/1.1\r\n\r\n");
            let mut context = Context::default();
            let passes: Vec<bool> =
                turns.iter_mut().map(|turn| turn.apply(&mut request, &mut context).is_ok()).collect();
            assert_eq!(passes.iter().filter(|passes| **passes).count(), 1);
            for (taken, passes) in taken.iter_mut().zip(passes) {
                *taken += u32::from(passes);
            }
        }
        assert_eq!(taken, [10; 3]);
    }

    #[test]
    fn what_is_no_turn_is_refused() {
        for typed in ["", "1", "0/2", "3/2", "a/b", "-1/2"] {
            assert!(typed.parse::<RoundRobin>().unwrap_err().to_string().contains("is no turn"), "{typed}");
        }
    }
}
