//! Reading, pacing and the chain on the threads that send: who has nothing to send makes the next requests himself.
//!
//! Without a schedule nothing is gained by having the next request ready before somebody can send it, and where processors are
//! few, threads that hand it on get in each other's way and in that of the target. So a place among the requests in flight that
//! falls free reads on in the file until there is one. It never waits there: where it has to, it is told to ask later.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::pacer::{ChainEnd, Pacer};
use super::passes::PassTag;
use super::queues::QueuedEvent;
use super::reader::{EventTaker, FileReader};
use super::report_thread::SharedCounter;
use super::run::{Feed, Run};
use crate::exchange::Event;
use crate::recording::Origin;
use crate::replay::{Pace, Pulled, RequestSource};
use crate::report::CaptureStats;

/// Processors up to which a request costs less where it is sent by who made it. With more, reading, pacing and the chain have
/// one each, and none has to wait for the others' turn.
const FEW_PROCESSORS: usize = 3;
/// Requests that are made at once: code and data of each stage then stay in the caches of a processor for a while.
const BATCH: u64 = 16;
/// Steps of reading after which others of the runtime have their turn, though there is no request yet.
const MAX_STEPS: usize = 256;

/// The stages in front of the targets, as long as there is something to read, and what counts for them.
#[derive(Default)]
pub(super) struct PulledStages {
    state: Mutex<State>,
    pub(super) counter: SharedCounter,
}

#[derive(Default)]
enum State {
    /// They are not put together yet.
    #[default]
    Begins,
    At(Box<Stages>),
    /// What they came to; `None` where they died.
    Over(Option<Box<(CaptureStats, ChainEnd)>>),
}

struct Stages {
    reader: FileReader,
    pacer: Pacer,
    /// What was read and has not passed the chain yet.
    read: ReadEvents,
}

/// Events that were read at once.
#[derive(Default)]
struct ReadEvents(VecDeque<(Event, PassTag, u64)>);

impl EventTaker for ReadEvents {
    fn take(&mut self, event: Event, part: PassTag, permille: u64) -> bool {
        self.0.push_back((event, part, permille));
        true
    }
}

/// Returns whether the stages of `run` are driven by those who send: nothing of it has a time or waits for others, and there
/// are too few processors for each stage to have one.
pub(super) fn fits(run: &Run) -> bool {
    let is_read_at_once = match &run.feed {
        Feed::Files(Origin::Frames(_)) => true,
        Feed::Files(Origin::Events(input)) => input.session().is_none() && !input.is_followed(),
        Feed::Live(_) | Feed::Spoe(_) => false,
    };
    let is_file = |path: &std::path::PathBuf| path.metadata().is_ok_and(|file| file.is_file());
    is_read_at_once
        && run.processors <= FEW_PROCESSORS
        && run.pace().0 == Pace::Max
        && !run.targets.is_empty()
        && run.external.is_none()
        && run.recorder.is_none()
        && run.range.amplify.is_none()
        && run.capture.files.iter().all(is_file)
}

impl PulledStages {
    /// Begins.
    pub(super) fn fill(&self, reader: FileReader, pacer: Pacer) {
        *self.lock() = State::At(Box::new(Stages { reader, pacer, read: ReadEvents::default() }));
    }

    /// Returns what they came to, once nothing is sent any more; `None` where they died.
    pub(super) fn end(&self) -> Option<(CaptureStats, ChainEnd)> {
        match std::mem::replace(&mut *self.lock(), State::Over(None)) {
            State::Begins => None,
            State::At(stages) => Some(stages.end()),
            State::Over(end) => end.map(|end| *end),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestSource for PulledStages {
    fn pull(&self) -> Pulled {
        let pulled = match self.state.try_lock() {
            Ok(state) => pull(state),
            // Whoever waits for another one finds what that one made.
            Err(TryLockError::WouldBlock) => {
                drop(self.lock());
                return Pulled::Queued;
            }
            Err(TryLockError::Poisoned(state)) => pull(state.into_inner()),
        };
        self.counter.help();
        pulled
    }

    fn pull_ahead(&self) {
        if let Ok(state) = self.state.try_lock() {
            pull(state);
            self.counter.help();
        }
    }
}

/// Makes the next few requests.
fn pull(mut state: MutexGuard<'_, State>) -> Pulled {
    let stages = match &mut *state {
        State::Begins => return Pulled::Later,
        State::Over(_) => return Pulled::Over,
        State::At(stages) => stages,
    };
    let pulled = catch_unwind(AssertUnwindSafe(|| stages.pull()));
    match pulled {
        Ok(Pulled::Over) => {
            if let State::At(stages) = std::mem::replace(&mut *state, State::Over(None)) {
                *state = State::Over(Some(Box::new(stages.end())));
            }
            Pulled::Over
        }
        Ok(pulled) => pulled,
        Err(_) => {
            *state = State::Over(None);
            Pulled::Over
        }
    }
}

impl Stages {
    /// Reads on until there are some requests to send.
    fn pull(&mut self) -> Pulled {
        let Self { reader, pacer, read } = self;
        if pacer.is_stopped() {
            return Pulled::Over;
        }
        if pacer.is_held() {
            return Pulled::Later;
        }
        let begun = pacer.offered();
        for _ in 0..MAX_STEPS {
            while let Some((event, part, permille)) = read.0.pop_front() {
                if !pacer.has_room(&event) {
                    read.0.push_front((event, part, permille));
                    return if pacer.offered() > begun { Pulled::Queued } else { Pulled::Later };
                }
                if !pacer.pass_on(QueuedEvent { event, part, held: None, permille }) {
                    return Pulled::Over;
                }
            }
            if pacer.offered() - begun >= BATCH {
                break;
            }
            if !reader.step(read) && read.0.is_empty() {
                return Pulled::Over;
            }
        }
        Pulled::Queued
    }

    fn end(self) -> (CaptureStats, ChainEnd) {
        let Self { reader, pacer, .. } = self;
        (reader.finish(), pacer.finish())
    }
}
