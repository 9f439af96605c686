//! Files, captures or recordings: read once or several times; what reads them waits where there is no room.

use super::ReaderChannels;
use crate::capture::{self, Halt, Source};
use crate::causes::causes;
use crate::exchange::Event;
use crate::http1::BodyPolicies;
use crate::pipeline::inspect::read_from;
use crate::pipeline::observer::EngineReporter;
use crate::pipeline::passes::{KnownSpan, PassMapper, PassTag};
use crate::pipeline::tap::Tap;
use crate::recording::{self, Origin, RecordingInput};
use crate::replay::ReplayRange;
use crate::report::CaptureStats;

/// Frames of a file between two looks at how far it was read.
const PROGRESS_EVERY: u64 = 64;

/// Reads files, captures or recordings, once or several times, or until they are halted; waits where there is no room.
pub(in crate::pipeline) struct FileReader {
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
            handed_on: 0,
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
                    let why: Vec<String> = errors.iter().map(|error| causes(error)).collect();
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
    /// Events that were handed on.
    handed_on: u64,
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
                Err(error) => CaptureStats { warnings: vec![causes(&error)], ..CaptureStats::default() },
            },
            Origin::Events(mut source) => {
                source.set_interests(wanted);
                self.events(&mut *source);
                read_from(&*source)
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

    fn events(&mut self, source: &mut dyn RecordingInput) {
        let (mut events, mut permille) = (0u64, u64::MAX);
        while self.goes_on() && !self.mapper.is_over() {
            if events.is_multiple_of(PROGRESS_EVERY) {
                permille = self.permille(source.progress());
            }
            events += 1;
            let Some(event) = source.next() else { break };
            let id = if let Event::Request(request) = &event { Some(request.id) } else { None };
            let before = self.handed_on;
            self.take(event, permille);
            if let Some(id) = id.filter(|_| self.handed_on == before) {
                source.left_out(id);
            }
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
        let Self { channels, mapper, connected, handed_on, .. } = self;
        work(mapper, &mut |event, part| {
            *handed_on += 1;
            *connected = *connected && channels.wait(event, part, permille);
        });
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
