//! How long a response is waited for, and when one that does not end has said enough.
//!
//! In go the limits, what has come so far and how production's response ended; out comes what to do. There is no clock
//! here: the time is told.
//!
//! A response has `--timeout` to begin. Then it depends on whether it has to end. Where its head says how long it is, or
//! production's was whole, it has to: a silence of `--timeout`, or `--max-time` in all, and it has failed. Where production's
//! did not end either, it is closed where production's was. Where nothing is known of production's, a stream, as its type says,
//! is closed when that becomes known, and anything else after `--max-time`.

use std::time::Duration;

use tokio::time::Instant;

use super::production_ends::ProductionEnd;
use super::response_progress::{BegunResponse, ClosedEarly};
use super::send_error::thousands;
use super::{Reason, SendError, TargetLimits};
use crate::exchange::FailureKind;

/// How long a response goes on before it is asked how production's ended: most are whole by then.
const ASK_AFTER: Duration = Duration::from_millis(50);

/// The limits of one response.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseWatch {
    sent: Instant,
    timeout: Duration,
    max_time: Duration,
    drain: Duration,
    /// Content bytes when something last came, and when that was.
    last: Option<(u64, Instant)>,
}

/// What is known of the run beside the response.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surroundings {
    /// How production's response ended, once that is known.
    pub(super) production: Option<ProductionEnd>,
    /// When the run was stopped, where it was.
    pub(super) stopped: Option<Instant>,
}

/// What to do about a response that is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WatchStep {
    /// Wait until then, unless something comes before.
    Wait(Instant),
    /// It has said enough.
    Close(ClosedEarly),
    /// It has failed.
    Fail(SendError),
}

impl ResponseWatch {
    pub(super) const fn new(limits: &TargetLimits, sent: Instant) -> Self {
        let TargetLimits { timeout, max_time, drain, .. } = *limits;
        Self { sent, timeout, max_time, drain, last: None }
    }

    /// Until when no more than the beginning of a response is waited for.
    pub(super) fn begins_by(&self) -> Instant {
        self.sent + self.timeout.min(self.max_time)
    }

    /// What to do where nothing of a response has come.
    pub(super) fn before_it_begins(&self, now: Instant, stopped: Option<Instant>) -> WatchStep {
        let given_up = stopped.map(|stopped| stopped + self.drain);
        if given_up.is_some_and(|at| now >= at) {
            return WatchStep::Fail(timeout(UNANSWERED));
        }
        if now >= self.begins_by() {
            let (flag, limit) = self.shorter();
            return WatchStep::Fail(timeout(LATE.with(format_args!("{flag} is {limit:?}"))));
        }
        WatchStep::Wait(given_up.map_or(self.begins_by(), |at| at.min(self.begins_by())))
    }

    /// What to do about a response that has begun, of which so much content has `received`.
    pub(super) fn since_it_began(
        &mut self,
        now: Instant,
        begun: &BegunResponse,
        received: u64,
        around: Surroundings,
    ) -> WatchStep {
        let last = match self.last {
            Some((before, at)) if before == received => at,
            None if received == 0 => begun.at,
            _ => now,
        };
        self.last = Some((received, last));
        let mut until = self.sent + self.max_time;
        let must_end = must_end(begun, around.production);
        match around.production {
            Some(ProductionEnd::Open { len, due }) => {
                // One that has less than production's by then has some more time.
                let by = if received >= len { due } else { due.max(last) + self.timeout };
                if now >= by {
                    return WatchStep::Close(ClosedEarly::ProductionEnded);
                }
                until = until.min(by);
            }
            Some(ProductionEnd::Unknown { due }) if begun.is_stream => {
                if now >= due {
                    return WatchStep::Close(ClosedEarly::ProductionEnded);
                }
                until = until.min(due);
            }
            _ => {}
        }
        if let Some(stopped) = around.stopped {
            let by = if begun.is_stream && !must_end { stopped } else { stopped + self.drain };
            match (now >= by, must_end) {
                (true, true) => return WatchStep::Fail(timeout(UNFINISHED.with(so_far(begun, received)))),
                (true, false) => return WatchStep::Close(ClosedEarly::RunEnded),
                (false, _) => until = until.min(by),
            }
        }
        if now >= self.sent + self.max_time {
            return if must_end {
                let reason = format_args!("{}; --max-time is {:?}", so_far(begun, received), self.max_time);
                WatchStep::Fail(timeout(NOT_WHOLE.with(reason)))
            } else {
                WatchStep::Close(ClosedEarly::MaxTime)
            };
        }
        if must_end {
            if now >= last + self.timeout {
                let reason = format_args!("{}, then nothing for {:?}", so_far(begun, received), self.timeout);
                return WatchStep::Fail(timeout(STALLED.with(reason)));
            }
            until = until.min(last + self.timeout);
        }
        WatchStep::Wait(until)
    }

    /// When it is time to ask how production's response ended.
    pub(super) fn asks_at(begun: &BegunResponse) -> Instant {
        begun.at + ASK_AFTER
    }

    fn shorter(&self) -> (&'static str, Duration) {
        if self.max_time < self.timeout { ("--max-time", self.max_time) } else { ("--timeout", self.timeout) }
    }
}

/// Whether a response that does not end has failed.
const fn must_end(begun: &BegunResponse, production: Option<ProductionEnd>) -> bool {
    match production {
        Some(ProductionEnd::Whole) => true,
        Some(ProductionEnd::Open { .. }) => false,
        Some(ProductionEnd::Unknown { .. }) => !begun.is_stream,
        None => begun.length.is_some(),
    }
}

/// How much came of a response.
fn so_far(begun: &BegunResponse, received: u64) -> String {
    match begun.length {
        Some(length) => format!("{} of {} bytes", thousands(received), thousands(length)),
        None => format!("{} bytes", thousands(received)),
    }
}

fn timeout(reason: Reason) -> SendError {
    SendError::failed(FailureKind::Timeout, reason)
}

const LATE: Reason = Reason::new("no response in time");
const STALLED: Reason = Reason::new("the response stalled");
const NOT_WHOLE: Reason = Reason::new("no whole response in time");
/// Reason of requests still in flight after the drain time at the end of the run.
const UNANSWERED: Reason = Reason::new("the run ended before a response came");
const UNFINISHED: Reason = Reason::new("the run ended before the response did");

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: u64 = 30;
    const MAX_TIME: u64 = 300;

    /// A response that began a second after its request, to which so many bytes came at once.
    struct WatchCase {
        length: Option<u64>,
        is_stream: bool,
        received: u64,
    }

    const CHUNKED: WatchCase = WatchCase { length: None, is_stream: false, received: 3 };
    const STREAM: WatchCase = WatchCase { is_stream: true, ..CHUNKED };
    const BY_LENGTH: WatchCase = WatchCase { length: Some(5000), ..CHUNKED };

    /// How production's response ended, by when that became known.
    type EndOf = fn(Instant) -> ProductionEnd;

    /// When something is done, in seconds after the send, and what.
    fn end(case: &WatchCase, production: Option<(u64, EndOf)>, stopped: Option<u64>) -> String {
        let sent = Instant::now();
        let at = |seconds| sent + Duration::from_secs(seconds);
        let limits = TargetLimits {
            max_in_flight: 1,
            max_streams: 1,
            timeout: Duration::from_secs(TIMEOUT),
            max_time: Duration::from_secs(MAX_TIME),
            drain: Duration::from_secs(5),
        };
        let mut watch = ResponseWatch::new(&limits, sent);
        let begun = BegunResponse { at: at(1), length: case.length, is_stream: case.is_stream };
        let mut now = begun.at;
        loop {
            let seconds = now.duration_since(sent).as_secs();
            let around = Surroundings {
                production: production.filter(|(told, _)| seconds >= *told).map(|(told, end)| end(at(told))),
                stopped: stopped.filter(|stopped| seconds >= *stopped).map(at),
            };
            match watch.since_it_began(now, &begun, case.received, around) {
                WatchStep::Close(why) => return format!("{seconds} {}", why.key()),
                WatchStep::Fail(error) => return format!("{seconds} {error}"),
                WatchStep::Wait(until) => {
                    assert!(until > now, "it waits for the past");
                    // What becomes known meanwhile wakes it.
                    let told = production.iter().map(|(told, _)| *told).chain(stopped).filter(|told| *told > seconds);
                    now = told.map(at).fold(until, Instant::min);
                }
            }
        }
    }

    fn whole(_: Instant) -> ProductionEnd {
        ProductionEnd::Whole
    }

    fn after_three_bytes(due: Instant) -> ProductionEnd {
        ProductionEnd::Open { len: 3, due }
    }

    fn after_more(due: Instant) -> ProductionEnd {
        ProductionEnd::Open { len: 9, due: due + Duration::from_secs(2) }
    }

    fn unknown(due: Instant) -> ProductionEnd {
        ProductionEnd::Unknown { due }
    }

    #[test]
    fn a_response_that_has_to_end_fails_where_it_falls_silent() {
        assert_eq!(
            end(&BY_LENGTH, None, None),
            "31 timeout: the response stalled: 3 of 5,000 bytes, then nothing for 30s"
        );
        for case in [&CHUNKED, &STREAM] {
            assert_eq!(
                end(case, Some((1, whole)), None),
                "31 timeout: the response stalled: 3 bytes, then nothing for 30s"
            );
        }
        assert!(end(&CHUNKED, Some((1, unknown)), None).starts_with("31 timeout: the response stalled"));
        assert!(end(&CHUNKED, Some((40, whole)), None).starts_with("40 timeout: the response stalled"));
    }

    #[test]
    fn where_production_did_not_end_either_it_is_closed_where_that_was() {
        for case in [&BY_LENGTH, &CHUNKED, &STREAM] {
            assert_eq!(end(case, Some((20, after_three_bytes)), None), "20 production_ended");
            assert_eq!(end(case, Some((20, after_more)), None), "52 production_ended", "it has time to catch up");
        }
        assert_eq!(end(&STREAM, Some((20, unknown)), None), "20 production_ended");
    }

    #[test]
    fn where_nothing_is_known_of_production_it_ends_in_time() {
        assert_eq!(end(&STREAM, None, None), "300 max_time");
        assert_eq!(end(&CHUNKED, None, None), "300 max_time");
    }

    #[test]
    fn the_end_of_the_run_closes_what_need_not_end() {
        assert_eq!(end(&STREAM, None, Some(10)), "10 run_ended");
        assert_eq!(end(&CHUNKED, None, Some(10)), "15 run_ended");
        assert_eq!(
            end(&BY_LENGTH, None, Some(10)),
            "15 timeout: the run ended before the response did: 3 of 5,000 bytes"
        );
    }

    #[test]
    fn a_response_that_goes_on_has_all_its_time() {
        let sent = Instant::now();
        let limits = TargetLimits {
            max_in_flight: 1,
            max_streams: 1,
            timeout: Duration::from_secs(2),
            max_time: Duration::from_secs(10),
            drain: Duration::ZERO,
        };
        let mut watch = ResponseWatch::new(&limits, sent);
        let begun = BegunResponse { at: sent, length: Some(1000), is_stream: false };
        for second in 1..10 {
            let step =
                watch.since_it_began(sent + Duration::from_secs(second), &begun, second, Surroundings::default());
            assert!(matches!(step, WatchStep::Wait(_)), "{second} {step:?}");
        }
        let WatchStep::Fail(error) =
            watch.since_it_began(sent + Duration::from_secs(10), &begun, 10, Surroundings::default())
        else {
            panic!("it has had its time")
        };
        assert_eq!(error.to_string(), "timeout: no whole response in time: 10 of 1,000 bytes; --max-time is 10s");
    }

    #[test]
    fn a_response_begins_in_time_or_never() {
        let sent = Instant::now();
        let seconds = |n| sent + Duration::from_secs(n);
        let limits = |timeout, max_time| TargetLimits {
            max_in_flight: 1,
            max_streams: 1,
            timeout: Duration::from_secs(timeout),
            max_time: Duration::from_secs(max_time),
            drain: Duration::from_secs(5),
        };
        let watch = ResponseWatch::new(&limits(30, 300), sent);
        assert_eq!(watch.before_it_begins(seconds(29), None), WatchStep::Wait(seconds(30)));
        assert_eq!(watch.before_it_begins(seconds(20), Some(seconds(18))), WatchStep::Wait(seconds(23)));
        for (watch, now, stopped, why) in [
            (watch, 30, None, "timeout: no response in time: --timeout is 30s"),
            (watch, 23, Some(seconds(18)), "timeout: the run ended before a response came"),
            (ResponseWatch::new(&limits(30, 10), sent), 10, None, "timeout: no response in time: --max-time is 10s"),
        ] {
            let WatchStep::Fail(error) = watch.before_it_begins(seconds(now), stopped) else { panic!("it waits") };
            assert_eq!(error.to_string(), why);
        }
    }
}
