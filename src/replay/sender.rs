//! Which of the threads that send this is, where each has connections and requests of its own.
//!
//! A thread that waits for the responses to its own requests is woken by nobody else, and wakes nobody: what it sends
//! next it makes itself, and sends over a connection that it has just read from.

use std::cell::Cell;

/// Most threads that have connections and requests of their own.
pub(crate) const MAX_SENDERS: usize = 3;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// Makes this thread the one of this number, counted from 0; one that was not told of any is the first.
pub(crate) fn become_sender(number: usize) {
    NUMBER.set(number);
}

/// Returns the number of this thread, where there are so many.
pub(crate) fn sender(senders: usize) -> usize {
    NUMBER.get().min(senders.saturating_sub(1))
}
