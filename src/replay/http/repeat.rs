//! When a request goes out once more: where the target cannot have processed it, or where that would change nothing.
//!
//! What changes something needs proof. A `GOAWAY` that names an earlier stream and a refused stream are the target's word (RFC 9113,
//! 8.7). A request that comes back from the channel to its connection was never taken out of it by hyper. One that was, and waited
//! for its stream when the connection ended, may have been sent at the last moment: it goes out once more where a `GOAWAY` ruled
//! out an earlier stream (see [`super::goaway`]).

use std::error::Error;

use super::failure::{chain, of_system};
use crate::exchange::{FailureKind, Request};

/// Connections that may end before a request in a row without a response to any other: more are no chance. Where others are
/// responded to meanwhile, its turn comes.
const MAX_ENDED: usize = 32;
/// Times that it does since a new connection ended before it was handed to that: more are no chance, and a target that closes
/// each connection is not asked for many.
const MAX_UNSENT: usize = 3;

/// What is known of the connection over which a request failed.
#[derive(Debug)]
pub(super) struct FailedOn {
    /// It was open before.
    pub(super) was_open: bool,
    /// It ruled out its latest stream.
    pub(super) was_cut_short: bool,
    /// Responses of the target so far.
    pub(super) answers: u64,
}

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
    /// Returns whether a request that failed so goes out once more, and counts that. Who refuses streams, or ends connections for
    /// what is wrong, is asked twice at most.
    pub(super) fn may_follow(&mut self, error: &reqwest::Error, request: &Request, failed: &FailedOn) -> bool {
        let changes_nothing = request.changes_nothing();
        let (count, most) = if was_refused(error) || (is_ruled_out(error) && !connection_ended(error)) {
            (&mut self.refused, 1)
        } else if was_not_taken(error) {
            (&mut self.unsent, MAX_UNSENT)
        } else if connection_ended(error) || (was_given_up(error) && (changes_nothing || failed.was_cut_short)) {
            if std::mem::replace(&mut self.answers, failed.answers) != failed.answers {
                self.ended = 0;
            }
            (&mut self.ended, MAX_ENDED)
        } else if failed.was_open && changes_nothing && was_closed(error) {
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

/// Returns whether the connection ended while the request waited for its stream. hyper does not show whether that was opened at
/// the last moment.
pub(super) fn was_given_up(error: &reqwest::Error) -> bool {
    of_hyper(error, hyper::Error::is_user)
}

/// Returns whether a `GOAWAY` named an earlier stream than the request's: it was not processed, whatever the reason (RFC 9113, 6.8).
/// h2 says so of no other stream: the rest fail as the connection does.
pub(super) fn is_ruled_out(error: &reqwest::Error) -> bool {
    said(error).is_some_and(h2::Error::is_go_away)
}

/// The same, where the target ended the connection in good order.
fn connection_ended(error: &reqwest::Error) -> bool {
    said(error).is_some_and(|error| error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
}

/// Returns whether the target refused the stream before it did anything for the request (RFC 9113, 8.7).
fn was_refused(error: &reqwest::Error) -> bool {
    said(error).is_some_and(|error| error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
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

/// What the target said of the request in HTTP/2.
fn said(error: &reqwest::Error) -> Option<&h2::Error> {
    chain(error).filter_map(|cause| cause.downcast_ref::<h2::Error>()).find(|error| error.is_remote())
}
