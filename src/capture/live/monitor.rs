//! What a reader looks at besides its frames: the halt, the time, the state of its interfaces.

use std::time::Duration;

use tokio::time::Instant;

use super::handle::{self, Handle};
use super::{SETTLED, now};
use crate::capture::{Halt, interfaces};
use crate::exchange::Timestamp;

/// Time between two looks at the counters of the kernel and the state of the interfaces.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest time after the halt in which frames from before it are still read.
const LAST_FRAMES: Duration = Duration::from_secs(1);
/// How long an interface is waited for that is gone, where none is left and nothing else was asked for: one that is made
/// anew takes moments.
const MADE_ANEW: Duration = Duration::from_secs(3);
/// Most warnings kept about interfaces that come and go; later ones are dropped.
const MAX_WARNINGS: usize = 32;

/// Time at which a capture was halted, on both clocks.
#[derive(Clone, Copy)]
pub(super) struct HaltInstant {
    at: Timestamp,
    since: Instant,
}

impl HaltInstant {
    /// Returns whether a frame of time `at` comes too late: it was captured after the halt, or [`LAST_FRAMES`] have
    /// passed since.
    pub(super) fn before(&self, at: Timestamp) -> bool {
        at > self.at || self.since.elapsed() > LAST_FRAMES
    }

    /// Returns whether the kernel has handed over every frame from before the halt.
    pub(super) fn is_settled(&self) -> bool {
        self.since.elapsed() >= SETTLED
    }
}

/// State that a reader monitors besides its frames: the halt, the time, warnings.
pub(super) struct CaptureMonitor {
    pub(super) halt: Halt,
    pub(super) halted: Option<HaltInstant>,
    /// Time of the last check of counters and states.
    pub(super) looked: Timestamp,
    pub(super) warnings: Vec<String>,
    /// Reason why the capture ended before it was halted.
    pub(super) unread: Option<String>,
    /// Whether to wait where no interface is left.
    pub(super) waits: bool,
    /// Since when none is.
    pub(super) none_since: Option<Instant>,
}

impl CaptureMonitor {
    pub(super) fn new(halt: Halt, waits: bool) -> Self {
        Self {
            halt,
            halted: None,
            looked: Timestamp::default(),
            warnings: Vec::new(),
            unread: None,
            waits,
            none_since: None,
        }
    }

    /// Returns whether a check of counters and states is due at time `at`.
    pub(super) fn is_time(&mut self, at: Timestamp) -> bool {
        let due = at.since(self.looked) >= LOOK_EVERY || at < self.looked;
        if due {
            self.looked = at;
        }
        due
    }

    /// Looks at the counters and the states of `handles`.
    pub(super) fn look<'a>(&mut self, handles: impl Iterator<Item = &'a mut Handle>) {
        let present = interfaces::present();
        for handle in handles {
            handle.count();
            if let Some(told) = handle.resample() {
                self.warn(told);
            }
            if let Some(change) = present.as_deref().and_then(|present| handle.change(present)) {
                self.warn(change);
            }
        }
    }

    /// Warns that the capture on an interface has ended.
    pub(super) fn gone(&mut self, interface: &str, why: &str) {
        let why = why.to_lowercase();
        self.warn(handle::ended(interface, &why));
    }

    /// Whether the capture is over since no interface is left, and none is waited for any more.
    pub(super) fn is_over(&mut self, is_any_left: bool) -> bool {
        if is_any_left {
            self.none_since = None;
            return false;
        }
        if self.none_since.is_none() && self.waits {
            self.warn("no interface is left to capture on: waiting until one comes back".to_owned());
        }
        let since = *self.none_since.get_or_insert_with(Instant::now);
        if self.unread.is_none() && !self.waits && since.elapsed() >= MADE_ANEW {
            self.none_left();
        }
        self.unread.is_some()
    }

    fn none_left(&mut self) {
        let words = "no interface is left to capture on: the capture ended before it was stopped".to_owned();
        self.warn(words.clone());
        self.unread = Some(words);
    }

    /// The halt, if it was asked for, as of when it was first seen.
    pub(super) fn halted(&mut self) -> Option<HaltInstant> {
        if self.halted.is_none() && self.halt.is_set() {
            self.halted = Some(HaltInstant { at: now(), since: Instant::now() });
        }
        self.halted
    }

    pub(super) fn warn(&mut self, what: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(what);
        }
    }
}
