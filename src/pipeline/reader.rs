//! The capture thread's work: frames become events on their way to the pacing thread.
//!
//! A file waits where there is no room behind it. A live source never waits: what finds no room is shed, whole
//! requests at a time, and counted.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::mpsc;

use super::budget::{Budget, bytes_of};
use super::context::RunContext;
use super::inspect::read_from;
use super::observer::{EngineReporter, Observer};
use super::passes::{KnownSpan, PassMapper, PassTag};
use super::progress::Progress;
use super::queues::{FULL_PAUSE, QueuedEvent};
use super::recorder::FrameSender;
use super::request_record::request_record;
use super::run::{Feed, Run, RunError};
use super::tap::Tap;
use super::threads::spawn;
use crate::capture::{self, Halt, Polled, Source};
use crate::causes::say;
use crate::exchange::{Damage, Event, ExchangeId, Outcome, Request, Shed, Timestamp};
use crate::http1::BodyPolicies;
use crate::recording::{self, EventSource as _, Origin, RecordingSource};
use crate::replay::ReplayRange;
use crate::report::{CaptureStats, ReportEvent, UnreportedSheds};

/// Frames of a file between two looks at how far it was read.
const PROGRESS_EVERY: u64 = 64;
/// Time of a live capture between two looks at what was dropped and how much there was.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The capture thread before it starts.
pub(super) enum CaptureStage {
    Files(FileReader),
    Live(LiveReader),
}

impl CaptureStage {
    /// Reads what `run` is fed with; hands events and facts on, and frames where they are recorded.
    pub(super) fn new(
        context: &RunContext,
        run: Run,
        tap: Tap,
        events: Sender<QueuedEvent>,
        facts: mpsc::Sender<ReportEvent>,
        frames: Option<FrameSender>,
        connections_wanted: bool,
    ) -> Self {
        let channels = ReaderChannels {
            events,
            bytes: context.event_budget.clone(),
            facts,
            runtime: context.runtime.handle().clone(),
            progress: Arc::clone(&context.progress),
            observer: run.observer,
        };
        match run.feed {
            Feed::Files(origin) => {
                let (wanted, span) = (context.bodies, Arc::clone(&context.span));
                let files = FileInputs { capture: run.capture, wanted, range: run.range, span };
                Self::Files(FileReader { origin, tap, files, channels })
            }
            Feed::Live(source) => Self::Live(LiveReader { source, tap, channels, frames, connections_wanted }),
        }
    }

    /// Starts the thread.
    pub(super) fn start(self) -> Result<thread::JoinHandle<(CaptureStats, UnreportedSheds)>, RunError> {
        spawn("capture", move || match self {
            Self::Files(reader) => (reader.run(), UnreportedSheds::default()),
            Self::Live(reader) => reader.run(),
        })
    }
}

/// Outputs of the capture thread.
pub(super) struct ReaderChannels {
    pub(super) events: Sender<QueuedEvent>,
    /// Memory that events on their way may take.
    pub(super) bytes: Budget,
    pub(super) facts: mpsc::Sender<ReportEvent>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) progress: Arc<Progress>,
    pub(super) observer: Observer,
}

impl ReaderChannels {
    /// Hands an event on as soon as there is room; false once nobody takes events any more.
    pub(super) fn wait(&self, event: Event, part: PassTag, permille: u64) -> bool {
        // Once the run was stopped nothing is bounded any more, and nothing comes.
        let held = self.bytes.hold(bytes_of(&event), &self.runtime).ok().flatten();
        let mut queued = QueuedEvent { event, part, held, permille };
        loop {
            match self.events.try_send(queued) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => queued = back,
            }
            thread::sleep(FULL_PAUSE);
        }
    }
}

/// Reads files, captures or recordings, once or several times, or until they are halted; waits where there is no room.
pub(super) struct FileReader {
    /// First source to read.
    pub(super) origin: Origin,
    /// For the first pass.
    pub(super) tap: Tap,
    pub(super) files: FileInputs,
    pub(super) channels: ReaderChannels,
}

/// Settings for reading files, and the number of passes.
pub(super) struct FileInputs {
    pub(super) capture: capture::Settings,
    /// Policies for keeping bodies.
    pub(super) wanted: BodyPolicies,
    pub(super) range: ReplayRange,
    pub(super) span: KnownSpan,
}

impl FileReader {
    pub(super) fn run(self) -> CaptureStats {
        let Self { origin, tap, files: FileInputs { capture, wanted, range, span }, channels } = self;
        let passes = range.passes.max(1);
        let mut reading = OpenFiles {
            engine_reporter: EngineReporter::new(&channels.observer),
            channels,
            halted: capture.halt.clone(),
            mapper: PassMapper::new(range, span),
            pass: 1,
            passes,
            connected: true,
        };
        let mut engine = reading.origin(origin, Some(tap), &capture, wanted);
        while reading.pass < passes && reading.goes_on() {
            match recording::open(&capture) {
                Ok(origin) => {
                    reading.pass += 1;
                    reading.mapper.begin(reading.pass);
                    engine.add(reading.origin(origin, None, &capture, wanted));
                }
                Err(errors) => {
                    let why: Vec<String> = errors.iter().map(|error| say(error)).collect();
                    let words = format!("after {} of {passes} passes: {}", reading.pass, why.join("; "));
                    engine.warnings.push(words.clone());
                    engine.unread.push(words);
                    break;
                }
            }
        }
        engine.warnings.extend(reading.mapper.remark());
        engine
    }
}

/// Files while they are read.
struct OpenFiles {
    engine_reporter: EngineReporter,
    channels: ReaderChannels,
    halted: Halt,
    mapper: PassMapper,
    pass: u32,
    passes: u32,
    /// Somebody takes events.
    connected: bool,
}

impl OpenFiles {
    fn goes_on(&self) -> bool {
        self.connected && !self.halted.is_set()
    }

    /// One pass.
    fn origin(
        &mut self,
        origin: Origin,
        tap: Option<Tap>,
        capture: &capture::Settings,
        wanted: BodyPolicies,
    ) -> CaptureStats {
        match origin {
            Origin::Frames(source) => match tap.map_or_else(|| Tap::new(capture, wanted), Ok) {
                Ok(tap) => self.frames(source, tap),
                Err(error) => CaptureStats { warnings: vec![say(&error)], ..CaptureStats::default() },
            },
            Origin::Events(mut source) => {
                source.set_interests(wanted);
                self.events(&mut source);
                read_from(&source)
            }
        }
    }

    fn frames(&mut self, mut source: Box<dyn Source + Send>, mut tap: Tap) -> CaptureStats {
        let (mut frames, mut permille) = (0u64, u64::MAX);
        while self.goes_on() {
            if frames.is_multiple_of(PROGRESS_EVERY) {
                permille = self.permille(source.progress());
                if self.engine_reporter.is_due() {
                    self.engine_reporter.report(tap.engine(&*source));
                }
            }
            frames += 1;
            let more = tap.pull(&mut *source, &mut |event| self.take(event, permille));
            if !more || self.mapper.is_over() {
                if more {
                    self.hand_on(permille, PassMapper::close);
                }
                tap.finish(&mut |event| self.take(event, permille));
                break;
            }
        }
        self.hand_on(permille, PassMapper::finish);
        let engine = tap.engine(&*source);
        self.engine_reporter.pass(&engine);
        engine
    }

    fn events(&mut self, source: &mut RecordingSource) {
        let (mut events, mut permille) = (0u64, u64::MAX);
        while self.goes_on() && !self.mapper.is_over() {
            if events.is_multiple_of(PROGRESS_EVERY) {
                permille = self.permille(source.progress());
            }
            events += 1;
            let Some(event) = source.next() else { break };
            self.take(event, permille);
        }
        if self.mapper.is_over() {
            self.hand_on(permille, PassMapper::close);
        }
        self.hand_on(permille, PassMapper::finish);
    }

    fn take(&mut self, event: Event, permille: u64) {
        self.hand_on(permille, |mapper, hand_on| mapper.take(event, hand_on));
    }

    /// Hands on whatever the passage has.
    fn hand_on(&mut self, permille: u64, work: impl FnOnce(&mut PassMapper, &mut dyn FnMut(Event, PassTag))) {
        let Self { channels, mapper, connected, .. } = self;
        work(mapper, &mut |event, part| *connected = *connected && channels.wait(event, part, permille));
    }

    /// Returns the progress through all passes together, in thousandths.
    fn permille(&self, share: Option<f64>) -> u64 {
        let done = f64::from(self.pass - 1);
        share.map_or(u64::MAX, |share| thousandths((done + share) / f64::from(self.passes)))
    }
}

fn thousandths(share: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let thousandths = (share.clamp(0.0, 1.0) * 1000.0) as u64;
    thousandths
}

/// Follows a live source until that ends, by its halt or because it is gone; never waits for those behind.
pub(super) struct LiveReader {
    pub(super) source: Box<dyn Source + Send>,
    pub(super) tap: Tap,
    pub(super) channels: ReaderChannels,
    /// Sender of the frames, where frames themselves are recorded.
    pub(super) frames: Option<FrameSender>,
    /// True when anything downstream needs to know when connections open and close.
    pub(super) connections_wanted: bool,
}

impl LiveReader {
    pub(super) fn run(self) -> (CaptureStats, UnreportedSheds) {
        let Self { mut source, mut tap, channels, mut frames, connections_wanted } = self;
        let mut outbox = LiveOutbox::new(&channels, connections_wanted);
        let mut last_look = Timestamp::default();
        let mut engine_reporter = EngineReporter::new(&channels.observer);
        loop {
            let now = match source.poll() {
                Polled::Frame(frame) => {
                    let passed = tap.frame(&frame, &mut |event| outbox.hand_on(event));
                    if let Some(frames) = frames.as_mut().filter(|_| passed) {
                        frames.push(&frame);
                    }
                    frame.at
                }
                Polled::Idle(now) => {
                    tap.idle(now, &mut |event| outbox.hand_on(event));
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
        tap.finish(&mut |event| outbox.hand_on(event));
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
struct LiveOutbox<'a> {
    channels: &'a ReaderChannels,
    connections_wanted: bool,
    waiting: VecDeque<Event>,
    /// Requests that were shed, until their responses are known.
    shed: HashSet<ExchangeId, foldhash::fast::RandomState>,
    unheard: UnreportedSheds,
}

impl<'a> LiveOutbox<'a> {
    fn new(channels: &'a ReaderChannels, connections_wanted: bool) -> Self {
        let (waiting, shed, unheard) = Default::default();
        Self { channels, connections_wanted, waiting, shed, unheard }
    }

    fn hand_on(&mut self, event: Event) {
        self.flush();
        let of_shed = match &event {
            Event::Opened { .. } | Event::Closed { .. } if !self.connections_wanted => return,
            Event::Response { of, .. } | Event::Damaged { of, .. } => self.shed.remove(of),
            _ => false,
        };
        if of_shed {
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
            .try_send(ReportEvent::Ended { note: Box::new(request_record(request, false)), outcome })
            .is_err()
        {
            self.unheard.shed += 1;
        }
    }

    /// Hands on what waits, as far as there is room.
    fn flush(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            if let Some(refused) = self.try_send(event) {
                self.waiting.push_front(refused);
                return;
            }
        }
    }

    /// Hands on the rest: at the end there is time to wait.
    fn finish(self) -> UnreportedSheds {
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
    use super::*;
    use crate::exchange::{Body, ConnectionId, Head, RequestState, Response};
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
        let mut outbox = LiveOutbox::new(&rig.channels, false);
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
        let mut outbox = LiveOutbox::new(&rig.channels, false);
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
        let mut outbox = LiveOutbox::new(&rig.channels, false);
        outbox.hand_on(request(1));
        outbox.hand_on(response(1, 100 << 10));
        outbox.hand_on(request(2));
        assert_eq!(handed(&rig), ["q1", "d1 shed", "q2"]);
    }

    #[test]
    fn what_could_not_even_be_told_is_counted() {
        let rig = rig(1, 1 << 20);
        let mut outbox = LiveOutbox::new(&rig.channels, false);
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
            LiveOutbox::new(&rig.channels, wanted).hand_on(opened());
            assert_eq!(handed(&rig).len(), usize::from(wanted));
        }
    }
}
