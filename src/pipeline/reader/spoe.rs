//! HAProxy as a live source: what it tells is made events here, and passed on at once or shed.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

use super::ReaderChannels;
use super::live::{LATE, LiveOutbox};
use crate::capture::Halt;
use crate::capture::spoe::{self, SpoeListener, SpoeReceiver};
use crate::http1::BodyPolicies;
use crate::http1::spoe::SpoeExchanges;
use crate::pipeline::clock::wall_clock;
use crate::pipeline::observer::EngineReporter;
use crate::pipeline::pacer::SharedPacer;
use crate::report::{CaptureStats, SpoeSummary, Streams, UnreportedSheds};

/// Longest wait for HAProxy before the clock is looked at.
const IDLE: Duration = Duration::from_millis(20);
/// Notices between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// Time without any request after which is said what may be wrong.
const SILENCE: Duration = Duration::from_secs(10);

/// Follows HAProxy until the halt; never waits for those behind.
pub(in crate::pipeline) struct SpoeReader {
    pub(super) from: SpoeReceiver,
    pub(super) agent: JoinHandle<()>,
    pub(super) halt: Halt,
    pub(super) interests: BodyPolicies,
    pub(super) channels: ReaderChannels,
    pub(super) pacer: Option<SharedPacer>,
}

impl SpoeReader {
    /// Begins to answer HAProxy.
    pub(super) fn start(
        listener: SpoeListener,
        halt: Halt,
        most_bytes: usize,
        interests: BodyPolicies,
        (channels, pacer): (ReaderChannels, Option<SharedPacer>),
    ) -> std::io::Result<Self> {
        let (from, agent) = spoe::start(listener, halt.clone(), most_bytes)?;
        Ok(Self { from, agent, halt, interests, channels, pacer })
    }

    pub(super) fn run(self) -> (CaptureStats, UnreportedSheds) {
        let Self { from, agent, halt, interests, channels, pacer } = self;
        let mut outbox = LiveOutbox::new(&channels, pacer, false);
        let mut exchanges = SpoeExchanges::new(interests);
        let mut engine_reporter = EngineReporter::new(&channels.observer);
        let mut count = 0u64;
        let mut listens_since = Some(Instant::now());
        loop {
            match from.next(IDLE) {
                Ok(Some(notice)) => {
                    exchanges.take(&notice, &mut |event| outbox.gather(event));
                    count += 1;
                    if count.is_multiple_of(LOOK_EVERY) {
                        outbox.is_late = wall_clock().since(notice.at) >= LATE;
                    }
                    if from.is_empty() {
                        outbox.hand_on_gathered();
                    }
                    if !count.is_multiple_of(LOOK_EVERY) {
                        continue;
                    }
                }
                Ok(None) => {
                    outbox.is_late = false;
                    outbox.hand_on_gathered();
                    outbox.flush();
                    exchanges.idle(wall_clock(), &mut |event| outbox.gather(event));
                }
                Err(_) => break,
            }
            channels.progress.frames.store(from.counts.acknowledged.load(Ordering::Relaxed), Ordering::Relaxed);
            if listens_since.take_if(|since| since.elapsed() >= SILENCE).is_some() {
                channels.progress.note_news(silence(&from, &exchanges).into_iter().collect());
            }
            if engine_reporter.is_due() {
                engine_reporter.report(stats(&from, &exchanges));
            }
            if halt.is_set() {
                break;
            }
        }
        exchanges.finish(&mut |event| outbox.gather(event));
        outbox.hand_on_gathered();
        let unheard = outbox.finish();
        let stats = stats(&from, &exchanges);
        engine_reporter.pass(&stats);
        drop(from);
        if agent.join().is_err() {
            tracing::error!("the thread that answers HAProxy ended early");
        }
        (stats, unheard)
    }
}

/// Says what helps where HAProxy has told of no request.
fn silence(from: &SpoeReceiver, exchanges: &SpoeExchanges) -> Option<String> {
    let spoe = stats(from, exchanges).spoe.filter(|spoe| spoe.requests == 0)?;
    Some(format!("no request for {} s: {}", SILENCE.as_secs(), spoe.silence()))
}

/// What is known of HAProxy so far.
pub(in crate::pipeline) fn stats(from: &SpoeReceiver, exchanges: &SpoeExchanges) -> CaptureStats {
    let (counts, told) = (&*from.counts, exchanges.counts());
    let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let mut spoe = SpoeSummary::default();
    (spoe.connections, spoe.health_checks) = (read(&counts.connections), read(&counts.health_checks));
    (spoe.acknowledged, spoe.shed) = (read(&counts.acknowledged), read(&counts.shed));
    (spoe.malformed, spoe.unread) = (read(&counts.malformed), told.unread);
    (spoe.requests, spoe.responses) = (told.requests, told.responses);
    (spoe.cut, spoe.orphans, spoe.without_id) = (told.cut, told.orphans, told.without_id);
    spoe.missed = told.missed;
    let warnings = warnings(&spoe, told.first_cut.as_deref());
    CaptureStats {
        streams: Streams { http1: spoe.connections, ..Streams::default() },
        spoe: Some(spoe),
        warnings,
        ..CaptureStats::default()
    }
}

/// What there is to mend, with the line that mends it.
fn warnings(spoe: &SpoeSummary, first_cut: Option<&str>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(first) = first_cut {
        warnings.push(format!(
            "{} of {} requests came cut, and are not sent (the first: {first}): raise tune.bufsize and max-frame-size in HAProxy, and have \
             it wait for bodies (option http-buffer-request)",
            spoe.cut, spoe.requests
        ));
    }
    if spoe.without_id > 0 {
        warnings.push(format!(
            "{} requests came without an id: nothing is compared with production's response (unique-id-format, and id=unique-id in \
             both messages)",
            spoe.without_id
        ));
    }
    if spoe.missed > spoe.shed {
        warnings.push(format!(
            "HAProxy told of {} of {} requests, and gave up on the rest: shadowtap acknowledged too late, or its health check failed. Give \
             shadowtap more processor time (LimitNICE=-10, or processors of its own), or HAProxy a longer `timeout processing`",
            spoe.requests,
            spoe.requests + spoe.missed
        ));
    }
    if spoe.shed > 0 {
        warnings.push(format!(
            "{} of {} events of HAProxy were acknowledged and shed: they came faster than they could be read",
            spoe.shed, spoe.acknowledged
        ));
    }
    if spoe.unread + spoe.malformed > 0 {
        warnings.push(format!(
            "{} messages of HAProxy could not be read, and {} connections were ended: are the messages those of the shipped configuration?",
            spoe.unread, spoe.malformed
        ));
    }
    warnings
}
