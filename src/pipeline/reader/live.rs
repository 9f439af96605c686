//! A live source: what finds no room behind it is shed, whole requests at a time, and counted.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::TrySendError;

use super::ReaderChannels;
use crate::capture::{Polled, Source};
use crate::exchange::{Damage, Event, ExchangeId, Outcome, Request, Shed, Timestamp};
use crate::pipeline::budget::bytes_of;
use crate::pipeline::clock::wall_clock;
use crate::pipeline::observer::EngineReporter;
use crate::pipeline::pacer::SharedPacer;
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::QueuedEvent;
use crate::pipeline::recorder::FrameSender;
use crate::pipeline::request_record::request_record;
use crate::pipeline::tap::Tap;
use crate::pipeline::wakeups::wake_in_time;
use crate::report::{CaptureStats, ReportEvent, UnreportedSheds};

/// Events that are handed on together, so that who takes them is woken once; and frames after which they are, if there is no
/// pause before.
const GATHERED: usize = 32;
/// Time of a live capture between two looks at what was dropped and how much there was.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Age of a frame from which the capture is late, and leaves it to the pacing thread to pass on what it finds: more than a
/// block of frames takes to come, and far less than the ring of the kernel holds.
pub(super) const LATE: Duration = Duration::from_millis(25);

/// Follows a live source until that ends, by its halt or because it is gone; never waits for those behind.
pub(in crate::pipeline) struct LiveReader {
    pub(super) source: Box<dyn Source + Send>,
    pub(super) tap: Tap,
    pub(super) channels: ReaderChannels,
    /// Passes events on at once, for as long as this thread keeps up.
    pub(super) pacer: Option<SharedPacer>,
    /// Sender of the frames, where frames themselves are recorded.
    pub(super) frames: Option<FrameSender>,
    /// True when anything downstream needs to know when connections open and close.
    pub(super) connections_wanted: bool,
}

impl LiveReader {
    pub(super) fn run(self) -> (CaptureStats, UnreportedSheds) {
        let Self { mut source, mut tap, channels, pacer, mut frames, connections_wanted } = self;
        let mut outbox = LiveOutbox::new(&channels, pacer, connections_wanted);
        let mut last_look = Timestamp::default();
        let mut engine_reporter = EngineReporter::new(&channels.observer);
        wake_in_time();
        let mut frames_since = 0;
        loop {
            let now = match source.poll() {
                Polled::Frame(frame) => {
                    let passed = tap.frame(&frame, &mut |event| outbox.gather(event));
                    frames_since += 1;
                    if frames_since >= GATHERED {
                        frames_since = 0;
                        outbox.is_late = wall_clock().since(frame.at) >= LATE;
                        outbox.hand_on_gathered();
                    }
                    if let Some(frames) = frames.as_mut().filter(|_| passed) {
                        frames.push(&frame);
                    }
                    frame.at
                }
                Polled::Idle(now) => {
                    tap.idle(now, &mut |event| outbox.gather(event));
                    frames_since = 0;
                    outbox.is_late = false;
                    outbox.hand_on_gathered();
                    outbox.flush();
                    if let Some(frames) = &mut frames {
                        frames.flush();
                    }
                    now
                }
                Polled::End => break,
            };
            if now.since(last_look) >= LOOK_EVERY {
                last_look = now;
                outbox.flush();
                channels.progress.look(&tap, source.dropped());
                channels.progress.note_news(source.warnings());
                if engine_reporter.is_due() {
                    engine_reporter.report(tap.engine(&*source));
                }
            }
        }
        tap.finish(&mut |event| outbox.gather(event));
        outbox.hand_on_gathered();
        let unheard = outbox.finish();
        channels.progress.look(&tap, source.dropped());
        let engine = tap.engine(&*source);
        engine_reporter.pass(&engine);
        (engine, unheard)
    }
}

/// Outbox of a live source's events: they are sent on at once, or wait here, or are shed.
///
/// Only requests are shed for want of room. Events that follow a request that was sent on wait here instead, without
/// their bodies: so whoever took a request always learns how it ended. That is bounded by the exchanges and connections
/// in progress.
pub(super) struct LiveOutbox<'a> {
    channels: &'a ReaderChannels,
    pacer: Option<SharedPacer>,
    /// True while what is captured is not passed on in time.
    pub(super) is_late: bool,
    connections_wanted: bool,
    /// Events that are handed on at the next pause.
    gathered: Vec<Event>,
    waiting: VecDeque<Event>,
    /// Requests that were shed, until their responses are known.
    shed: HashSet<ExchangeId, foldhash::fast::RandomState>,
    unheard: UnreportedSheds,
}

impl<'a> LiveOutbox<'a> {
    pub(super) fn new(channels: &'a ReaderChannels, pacer: Option<SharedPacer>, connections_wanted: bool) -> Self {
        let (is_late, gathered, waiting, shed, unheard) = Default::default();
        Self { channels, pacer, is_late, connections_wanted, gathered, waiting, shed, unheard }
    }

    /// Takes an event that is handed on at the next pause.
    pub(super) fn gather(&mut self, event: Event) {
        self.gathered.push(event);
        if self.gathered.len() >= GATHERED {
            self.hand_on_gathered();
        }
    }

    pub(super) fn hand_on_gathered(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        if !self.passed_on(&mut gathered) {
            gathered.drain(..).for_each(|event| self.hand_on(event));
        }
        self.gathered = gathered;
    }

    /// Passes events on at once; false where they have to be queued.
    fn passed_on(&mut self, events: &mut Vec<Event>) -> bool {
        self.flush();
        if self.is_late || !self.waiting.is_empty() || self.pacer.is_none() {
            return false;
        }
        events.retain(|event| self.is_wanted(event));
        self.pacer.as_ref().is_some_and(|pacer| pacer.pass_on(events))
    }

    /// Returns whether anybody behind has to know of an event.
    fn is_wanted(&mut self, event: &Event) -> bool {
        match event {
            Event::Opened { .. } | Event::Closed { .. } => self.connections_wanted,
            Event::Response { of, .. } | Event::Damaged { of, .. } => !self.shed.remove(of),
            _ => true,
        }
    }

    fn hand_on(&mut self, event: Event) {
        self.flush();
        if !self.is_wanted(&event) {
            return;
        }
        let room = self.waiting.is_empty();
        if let Some(refused) = if room { self.try_send(event) } else { Some(event) } {
            self.refused(refused);
        }
    }

    /// Gives the event back where there is no room for it.
    fn try_send(&self, event: Event) -> Option<Event> {
        let Ok(held) = self.channels.bytes.try_hold(bytes_of(&event)) else { return Some(event) };
        match self.channels.events.try_send(QueuedEvent { event, part: PassTag::default(), held, permille: u64::MAX }) {
            Ok(()) => None,
            // Where nobody takes events any more, the run is over.
            Err(TrySendError::Full(queued) | TrySendError::Disconnected(queued)) => Some(queued.event),
        }
    }

    fn refused(&mut self, event: Event) {
        match event {
            Event::Request(request) => self.shed(&request),
            Event::Response { of, .. } => self.waiting.push_back(Event::Damaged { of, why: Damage::Shed }),
            Event::Orphan { .. } => self.unheard.orphans += 1,
            Event::Damaged { .. } | Event::Opened { .. } | Event::Closed { .. } => self.waiting.push_back(event),
        }
    }

    fn shed(&mut self, request: &Request) {
        self.shed.insert(request.id);
        self.channels.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.channels.progress.shed.fetch_add(1, Ordering::Relaxed);
        let outcome = Outcome::Shed(Shed::Capture);
        if self
            .channels
            .facts
            .try_send(ReportEvent::Ended {
                note: Box::new(request_record(request, false, &self.channels.secrets)),
                outcome,
            })
            .is_err()
        {
            self.unheard.shed += 1;
        }
    }

    /// Hands on what waits, as far as there is room.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            if let Some(refused) = self.try_send(event) {
                self.waiting.push_front(refused);
                return;
            }
        }
    }

    /// Hands on the rest: at the end there is time to wait.
    pub(super) fn finish(self) -> UnreportedSheds {
        for event in self.waiting {
            if !self.channels.wait(event, PassTag::default(), u64::MAX) {
                break;
            }
        }
        self.unheard
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::exchange::{Body, ConnectionId, Head, RequestState, Response};
    use crate::middleware::secret_names::SecretNames;
    use crate::pipeline::budget::Budget;
    use crate::pipeline::observer::Observer;
    use crate::testing;

    struct LiveFixture {
        channels: ReaderChannels,
        events: crossbeam_channel::Receiver<QueuedEvent>,
        facts: mpsc::Receiver<ReportEvent>,
        _runtime: tokio::runtime::Runtime,
    }

    /// Room for `events` events of `bytes` bytes, and for as many facts.
    fn rig(room: usize, bytes: usize) -> LiveFixture {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (sender, events) = crossbeam_channel::bounded(room);
        let (fact_sender, facts) = mpsc::channel(room);
        let channels = ReaderChannels {
            events: sender,
            bytes: Budget::new(bytes),
            facts: fact_sender,
            runtime: runtime.handle().clone(),
            progress: Arc::default(),
            observer: Observer::default(),
            secrets: SecretNames::default(),
        };
        LiveFixture { channels, events, facts, _runtime: runtime }
    }

    fn id(n: u32) -> ExchangeId {
        ExchangeId::new(ConnectionId(1), n)
    }

    fn request(n: u32) -> Event {
        Event::Request(Box::new(Request {
            id: id(n),
            client: "10.0.0.1:5000".parse().unwrap(),
            server: "10.0.0.2:80".parse().unwrap(),
            head: Head::new(b"GET / HTTP/1.1\r\n\r\n".to_vec()),
            body: Body::EMPTY,
            first_byte: Timestamp::default(),
            last_byte: Timestamp::default(),
            state: RequestState::Whole,
        }))
    }

    fn response(n: u32, body: usize) -> Event {
        let body = Body { wire: Some(vec![0; body].into()), ..Body::EMPTY };
        let response = Response { body, ..*testing::response(200) };
        Event::Response { of: id(n), response: Box::new(response) }
    }

    /// Returns the events handed on, in short: `q1` a request, `r1` its response, `d1` that there is none.
    fn handed(rig: &LiveFixture) -> Vec<String> {
        let parcels = rig.events.try_iter();
        let short = parcels.map(|queued| match queued.event {
            Event::Request(request) => format!("q{}", request.id.index),
            Event::Response { of, .. } => format!("r{}", of.index),
            Event::Damaged { of, why } => format!("d{} {}", of.index, why.key()),
            other => format!("{other:?}"),
        });
        short.collect()
    }

    #[test]
    fn a_request_without_room_is_shed_and_so_is_its_response() {
        let mut rig = rig(2, 1 << 20);
        let mut outbox = LiveOutbox::new(&rig.channels, None, false);
        for n in 1..=4 {
            outbox.hand_on(request(n));
        }
        assert_eq!(handed(&rig), ["q1", "q2"]);
        for n in 1..=4 {
            outbox.hand_on(response(n, 10));
        }
        assert_eq!(handed(&rig), ["r1", "r2"]);
        assert!(outbox.shed.is_empty(), "nothing is remembered of what has ended");
        assert_eq!(outbox.finish(), UnreportedSheds::default());
        for _ in 0..2 {
            let fact = rig.facts.try_recv().unwrap();
            assert!(matches!(fact, ReportEvent::Ended { outcome: Outcome::Shed(Shed::Capture), .. }), "{fact:?}");
        }
        assert_eq!(rig.channels.progress.shed.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_follows_a_request_that_went_on_is_told_though_it_has_to_wait() {
        let rig = rig(2, 1 << 20);
        let mut outbox = LiveOutbox::new(&rig.channels, None, false);
        outbox.hand_on(request(1));
        outbox.hand_on(request(2));
        outbox.hand_on(response(1, 10));
        outbox.hand_on(Event::Damaged { of: id(2), why: Damage::Gap });
        assert_eq!(handed(&rig), ["q1", "q2"]);
        // A response gives up its body rather than its place.
        outbox.flush();
        assert_eq!(handed(&rig), ["d1 shed", "d2 gap"]);
        outbox.hand_on(request(3));
        assert_eq!(handed(&rig), ["q3"]);
    }

    #[test]
    fn a_response_too_large_for_the_moment_is_told_as_shed() {
        let rig = rig(8, 8 << 10);
        let mut outbox = LiveOutbox::new(&rig.channels, None, false);
        outbox.hand_on(request(1));
        outbox.hand_on(response(1, 100 << 10));
        outbox.hand_on(request(2));
        assert_eq!(handed(&rig), ["q1", "d1 shed", "q2"]);
    }

    #[test]
    fn what_could_not_even_be_told_is_counted() {
        let rig = rig(1, 1 << 20);
        let mut outbox = LiveOutbox::new(&rig.channels, None, false);
        for n in 1..=4 {
            outbox.hand_on(request(n));
        }
        assert_eq!(handed(&rig), ["q1"]);
        assert_eq!(outbox.finish().shed, 2, "one of three was told, and there was no room for more");
    }

    #[test]
    fn connections_are_told_of_only_where_somebody_asks() {
        let opened = || Event::Opened { connection: ConnectionId(1), at: Timestamp::default() };
        for wanted in [false, true] {
            let rig = rig(2, 1 << 20);
            LiveOutbox::new(&rig.channels, None, wanted).hand_on(opened());
            assert_eq!(handed(&rig).len(), usize::from(wanted));
        }
    }
}
