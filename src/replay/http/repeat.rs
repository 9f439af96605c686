//! When a request goes out once more: where the target cannot have processed it, or where that would change nothing.
//!
//! What changes something needs proof. A `GOAWAY` that names an earlier stream and a refused stream are the target's word (RFC 9113,
//! 8.7). A request that comes back from the channel to its connection was never taken out of it by hyper.

use std::error::Error;

use super::failure::{chain, of_system};
use crate::exchange::{FailureKind, Request};

/// Connections that may end before a request in a row without a response to any other: more are no chance. Where others are
/// responded to meanwhile, its turn comes.
const MAX_ENDED: usize = 32;
/// Times that it does since a new connection ended before it was handed to that: more are no chance, and a target that closes
/// each connection is not asked for many.
const MAX_UNSENT: usize = 3;

/// How often a request went out once more, by reason.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    ended: usize,
    /// Responses that there had been when its connection ended last.
    answers: u64,
    unsent: usize,
    refused: usize,
    closed: usize,
}

impl Repeats {
    /// Returns whether a request that failed so goes out once more, and counts that. `was_open`: its connection was open
    /// before; `answers`: responses of the target so far. Who refuses streams has too much to do, and is asked twice at most.
    pub(super) fn may_follow(
        &mut self,
        error: &reqwest::Error,
        request: &Request,
        was_open: bool,
        answers: u64,
    ) -> bool {
        let changes_nothing = request.changes_nothing();
        let (count, most) = if was_refused(error) {
            (&mut self.refused, 1)
        } else if was_not_taken(error) {
            (&mut self.unsent, MAX_UNSENT)
        } else if connection_ended(error) || (was_given_up(error) && changes_nothing) {
            if std::mem::replace(&mut self.answers, answers) != answers {
                self.ended = 0;
            }
            (&mut self.ended, MAX_ENDED)
        } else if was_open && changes_nothing && was_closed(error) {
            (&mut self.closed, 1)
        } else {
            return false;
        };
        *count += 1;
        *count <= most
    }
}

/// Returns whether hyper gave the request back as it was: its connection ended, and had not taken it. hyper-util sends it again by
/// itself, but for one that opened the connection.
fn was_not_taken(error: &reqwest::Error) -> bool {
    of_hyper(error, hyper::Error::is_canceled)
}

/// Returns whether the connection ended before the request had its place on it. hyper does not show that nothing was written, which
/// is so most often.
fn was_given_up(error: &reqwest::Error) -> bool {
    of_hyper(error, hyper::Error::is_user)
}

/// Returns whether the target ended the connection in good order before it came to the request (RFC 9113, 6.8).
fn connection_ended(error: &reqwest::Error) -> bool {
    said(error, h2::Reason::NO_ERROR).is_some_and(h2::Error::is_go_away)
}

/// Returns whether the target refused the stream before it did anything for the request (RFC 9113, 8.7).
fn was_refused(error: &reqwest::Error) -> bool {
    said(error, h2::Reason::REFUSED_STREAM).is_some_and(h2::Error::is_reset)
}

/// Returns whether the connection was closed or reset without a word of HTTP/2.
fn was_closed(error: &reqwest::Error) -> bool {
    let of_io = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<h2::Error>() {
        Some(error) => error.get_io().and_then(|error| of_system(error)),
        None => of_system(cause),
    };
    !error.is_connect() && chain(error).find_map(of_io) == Some(FailureKind::Reset)
}

fn of_hyper(error: &reqwest::Error, is: fn(&hyper::Error) -> bool) -> bool {
    chain(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(is)
}

/// The error of HTTP/2 by which the target gave this reason.
fn said(error: &reqwest::Error, reason: h2::Reason) -> Option<&h2::Error> {
    let mut errors = chain(error).filter_map(|cause| cause.downcast_ref::<h2::Error>());
    errors.find(|error| error.is_remote() && error.reason() == Some(reason))
}
