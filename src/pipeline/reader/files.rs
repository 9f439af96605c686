//! Files, captures or recordings: read step by step, once or several times.

use super::EventTaker;
use crate::capture::{self, Halt, Source};
use crate::causes::causes;
use crate::exchange::Event;
use crate::http1::BodyPolicies;
use crate::pipeline::inspect::read_from;
use crate::pipeline::observer::{EngineReporter, Observer};
use crate::pipeline::passes::{KnownSpan, PassMapper, PassTag};
use crate::pipeline::tap::Tap;
use crate::recording::{self, Origin, RecordingInput};
use crate::replay::ReplayRange;
use crate::report::CaptureStats;

/// Frames of a file between two looks at how far it was read.
const PROGRESS_EVERY: u64 = 64;
/// Frames or events at the beginning of a file that are each looked at: small ones have no more.
const EACH: u64 = 1024;

/// Reads files, captures or recordings, once or several times, or until they are halted.
pub(in crate::pipeline) struct FileReader {
    inputs: FileInputs,
    engine_reporter: EngineReporter,
    /// None once there is nothing more.
    reading: Option<Reading>,
    passage: Passage,
    /// Statistics of the passes that are over.
    stats: Option<CaptureStats>,
    warnings: Vec<String>,
    unread: Vec<String>,
}

/// Settings for reading files.
pub(super) struct FileInputs {
    pub(super) capture: capture::Settings,
    /// Policies for keeping bodies.
    pub(super) wanted: BodyPolicies,
}

/// One pass.
enum Reading {
    Frames(Box<FrameReading>),
    Events(EventReading),
    /// It cannot be read.
    Failed(Box<CaptureStats>),
}

/// A capture on its way.
struct FrameReading {
    source: Box<dyn Source + Send>,
    tap: Tap,
    frames: u64,
    permille: u64,
}

/// A recording on its way.
struct EventReading {
    source: Box<dyn RecordingInput>,
    events: u64,
    permille: u64,
}

/// What becomes of events on their way to whoever takes them.
struct Passage {
    halted: Halt,
    mapper: PassMapper,
    pass: u32,
    passes: u32,
    /// Somebody takes events.
    connected: bool,
    /// Events that were handed on.
    handed_on: u64,
}

impl FileReader {
    /// Reads `origin` first, and what `inputs` name in the passes after that; a capture's first pass goes through `tap`.
    pub(super) fn new(
        origin: Origin,
        tap: Tap,
        inputs: FileInputs,
        range: ReplayRange,
        span: KnownSpan,
        observer: &Observer,
    ) -> Self {
        let passage = Passage {
            halted: inputs.capture.halt.clone(),
            passes: range.passes.max(1),
            mapper: PassMapper::new(range, span),
            pass: 1,
            connected: true,
            handed_on: 0,
        };
        let reading = Some(Reading::of(origin, Some(tap), &inputs));
        let engine_reporter = EngineReporter::new(observer);
        Self { inputs, engine_reporter, reading, passage, stats: None, warnings: Vec::new(), unread: Vec::new() }
    }

    /// Reads on: a few frames, or an event of a recording, and hands on what comes of them. False once there is nothing more.
    pub(in crate::pipeline) fn step(&mut self, to: &mut dyn EventTaker) -> bool {
        let Self { reading: Some(reading), passage, engine_reporter, .. } = self else { return false };
        let goes_on = passage.goes_on()
            && match reading {
                Reading::Frames(frames) => frames.step(passage, engine_reporter, to),
                Reading::Events(events) => events.step(passage, to),
                Reading::Failed(_) => false,
            };
        goes_on || self.next_pass(to)
    }

    /// Ends a pass, and begins the next one; false where there is none.
    fn next_pass(&mut self, to: &mut dyn EventTaker) -> bool {
        if let Some(reading) = self.reading.take() {
            let stats = reading.end(&mut self.passage, &mut self.engine_reporter, to);
            match &mut self.stats {
                Some(all) => all.add(stats),
                none => *none = Some(stats),
            }
        }
        let goes_on = self.passage.goes_on();
        let Passage { pass, passes, mapper, .. } = &mut self.passage;
        if *pass >= *passes || !goes_on {
            return false;
        }
        match recording::open(&self.inputs.capture) {
            Ok(origin) => {
                *pass += 1;
                mapper.begin(*pass);
                self.reading = Some(Reading::of(origin, None, &self.inputs));
                true
            }
            Err(errors) => {
                let why: Vec<String> = errors.iter().map(|error| causes(error)).collect();
                let words = format!("after {pass} of {passes} passes: {}", why.join("; "));
                self.warnings.push(words.clone());
                self.unread.push(words);
                false
            }
        }
    }

    /// What there is to say of all that was read, once there is nothing more.
    pub(in crate::pipeline) fn finish(mut self) -> CaptureStats {
        self.passage.connected = false;
        self.next_pass(&mut Nobody);
        let mut stats = self.stats.unwrap_or_default();
        stats.warnings.extend(self.warnings);
        stats.unread.extend(self.unread);
        stats.warnings.extend(self.passage.mapper.remark());
        stats
    }
}

/// Takes nothing any more.
struct Nobody;

impl EventTaker for Nobody {
    fn take(&mut self, _: Event, _: PassTag, _: u64) -> bool {
        false
    }
}

impl Reading {
    fn of(origin: Origin, tap: Option<Tap>, inputs: &FileInputs) -> Self {
        match origin {
            Origin::Frames(source) => match tap.map_or_else(|| Tap::new(&inputs.capture, inputs.wanted), Ok) {
                Ok(tap) => Self::Frames(Box::new(FrameReading { source, tap, frames: 0, permille: u64::MAX })),
                Err(error) => {
                    let warnings = vec![causes(&error)];
                    Self::Failed(Box::new(CaptureStats { warnings, ..CaptureStats::default() }))
                }
            },
            Origin::Events(mut source) => {
                source.set_interests(inputs.wanted);
                Self::Events(EventReading { source, events: 0, permille: u64::MAX })
            }
        }
    }

    /// Hands on what still waits, and says what was read.
    fn end(self, passage: &mut Passage, engine_reporter: &mut EngineReporter, to: &mut dyn EventTaker) -> CaptureStats {
        match self {
            Self::Frames(frames) => {
                passage.hand_on(frames.permille, to, PassMapper::finish);
                let engine = frames.tap.engine(&*frames.source);
                engine_reporter.pass(&engine);
                engine
            }
            Self::Events(EventReading { source, permille, .. }) => {
                if passage.mapper.is_over() {
                    passage.hand_on(permille, to, PassMapper::close);
                }
                passage.hand_on(permille, to, PassMapper::finish);
                read_from(&*source)
            }
            Self::Failed(stats) => *stats,
        }
    }
}

impl FrameReading {
    /// False at the end of the pass.
    fn step(&mut self, passage: &mut Passage, engine_reporter: &mut EngineReporter, to: &mut dyn EventTaker) -> bool {
        let Self { source, tap, frames, permille } = self;
        if is_told(*frames) {
            *permille = passage.permille(source.progress());
            if engine_reporter.is_due() {
                engine_reporter.report(tap.engine(&**source));
            }
        }
        *frames += 1;
        let more = tap.pull(&mut **source, &mut |event| passage.take(event, *permille, to));
        if more && !passage.mapper.is_over() {
            return true;
        }
        if more {
            passage.hand_on(*permille, to, PassMapper::close);
        }
        tap.finish(&mut |event| passage.take(event, *permille, to));
        false
    }
}

impl EventReading {
    /// False at the end of the pass.
    fn step(&mut self, passage: &mut Passage, to: &mut dyn EventTaker) -> bool {
        let Self { source, events, permille } = self;
        if passage.mapper.is_over() {
            return false;
        }
        if is_told(*events) {
            *permille = passage.permille(source.progress());
        }
        *events += 1;
        let Some(event) = source.next() else { return false };
        let id = if let Event::Request(request) = &event { Some(request.id) } else { None };
        let before = passage.handed_on;
        passage.take(event, *permille, to);
        if let Some(id) = id.filter(|_| passage.handed_on == before) {
            source.left_out(id);
        }
        true
    }
}

impl Passage {
    fn goes_on(&self) -> bool {
        self.connected && !self.halted.is_set()
    }

    fn take(&mut self, event: Event, permille: u64, to: &mut dyn EventTaker) {
        self.hand_on(permille, to, |mapper, hand_on| mapper.take(event, hand_on));
    }

    /// Hands on whatever the mapper has.
    fn hand_on(
        &mut self,
        permille: u64,
        to: &mut dyn EventTaker,
        work: impl FnOnce(&mut PassMapper, &mut dyn FnMut(Event, PassTag)),
    ) {
        let Self { mapper, connected, handed_on, .. } = self;
        work(mapper, &mut |event, part| {
            *handed_on += 1;
            *connected = *connected && to.take(event, part, permille);
        });
    }

    /// Returns the progress through all passes together, in thousandths.
    fn permille(&self, share: Option<f64>) -> u64 {
        let done = f64::from(self.pass - 1);
        share.map_or(u64::MAX, |share| thousandths((done + share) / f64::from(self.passes)))
    }
}

/// Returns whether it is looked how far the source was read, before this frame or event: at first each time.
const fn is_told(number: u64) -> bool {
    number < EACH || number.is_multiple_of(PROGRESS_EVERY)
}

fn thousandths(share: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let thousandths = (share.clamp(0.0, 1.0) * 1000.0) as u64;
    thousandths
}
