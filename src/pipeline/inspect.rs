//! A capture or a recording read to its end on one thread.

use super::{RunError, Tap};
use crate::capture::{self, Source};
use crate::exchange::Event;
use crate::http1::BodyPolicies;
use crate::recording::{Origin, RecordingInput};
use crate::report::{AccessLogSummary, CaptureStats};

/// Reads `source` to its end on this thread and hands every event to `sink`; sends nothing. `sink` returns false to
/// stop early.
///
/// # Errors
///
/// Where the filter of `capture` does not compile.
pub fn inspect(
    source: impl Into<Origin>,
    capture: &capture::Settings,
    interests: BodyPolicies,
    sink: &mut dyn FnMut(Event) -> bool,
) -> Result<CaptureStats, RunError> {
    inspect_as_it_comes(source, capture, interests, sink, &mut || {})
}

/// Like [`inspect`], and calls `pause` whenever what comes next has to be waited for, as with a pipe: then is the time to
/// write out what is held back.
///
/// # Errors
///
/// Where the filter of `capture` does not compile.
pub fn inspect_as_it_comes(
    source: impl Into<Origin>,
    capture: &capture::Settings,
    interests: BodyPolicies,
    sink: &mut dyn FnMut(Event) -> bool,
    pause: &mut dyn FnMut(),
) -> Result<CaptureStats, RunError> {
    match source.into() {
        Origin::Frames(source) => inspect_frames(source, capture, interests, sink, pause),
        Origin::Events(mut source) => {
            source.set_interests(interests);
            while let Some(event) = source.next() {
                if !sink(event) {
                    break;
                }
            }
            Ok(read_from(&*source))
        }
    }
}

/// Returns the statistics known at the end of a recording.
pub(super) fn read_from(source: &dyn RecordingInput) -> CaptureStats {
    let access_log = source.logs().map(|read| {
        let mut summary = AccessLogSummary::default();
        (summary.format, summary.lines, summary.requests) = (read.format, read.lines, read.requests);
        (summary.unread, summary.without_request) = (read.unread, read.without_request);
        (summary.known, summary.unknown) = (read.known, read.unknown);
        summary
    });
    CaptureStats { warnings: source.warnings(), unread: source.unread(), access_log, ..CaptureStats::default() }
}

fn inspect_frames(
    mut source: Box<dyn Source + Send>,
    capture: &capture::Settings,
    interests: BodyPolicies,
    sink: &mut dyn FnMut(Event) -> bool,
    pause: &mut dyn FnMut(),
) -> Result<CaptureStats, RunError> {
    let mut tap = Tap::new(capture, interests)?;
    let mut wanted = true;
    // Frames that were handed on together with the last one that is wanted tell nothing any more.
    while wanted && tap.pull(&mut *source, &mut |event| wanted = wanted && sink(event)) {
        if source.waits() {
            pause();
        }
    }
    if wanted {
        tap.finish(&mut |event| {
            sink(event);
        });
    }
    Ok(tap.engine(&*source))
}
