//! Frames to events: the sans-IO stages one after another, on whatever thread calls them.

mod engine;

use arrayvec::ArrayVec;

use crate::capture::{self, BpfFilter, BpfMatch, FEW, Frame, FramePosition, Source};
use crate::decode::{Decoder, Legs, LocatedSegment, Segment, Skip, plain};
use crate::exchange::{Event, Timestamp};
use crate::flow::{self, CONNECTION_COST, FlowStats, FlowTable, SightingStats, Sightings};
use crate::http1::{BodyPolicies, Http1};
use crate::report::units::{bytes, counted, number};
use crate::report::{CaptureStats, FileFrame, Frames, Streams, Tcp};
use engine::{Engine, MANY};

/// The segments of a few frames.
type SegmentBatch<'a> = ArrayVec<Segment<'a>, FEW>;

/// Frames to events, on the thread that calls it.
pub struct Tap {
    filter: Option<BpfFilter>,
    ports: Vec<u16>,
    legs: Legs,
    decoder: Decoder,
    engine: Engine,
    received: u64,
    decoded: u64,
    skipped: [u64; Skip::ALL.len()],
    /// Where the capture's clock was first set.
    clock_step: Option<ClockStep>,
    /// Where it may have been set, with the stamp of that frame: later ones tell.
    possible_step: Option<(Timestamp, ClockStep)>,
}

/// A frame before which the capture's clock was set.
struct ClockStep {
    /// Its number, of all that were received.
    frame: u64,
    /// Where it stands, if in a file.
    file: Option<FileFrame>,
}

impl Tap {
    /// A tap that has seen nothing yet.
    ///
    /// # Errors
    ///
    /// Where the filter of `settings` does not compile.
    pub fn new(settings: &capture::Settings, interests: BodyPolicies) -> Result<Self, capture::CaptureError> {
        // Three eighths for the connections themselves and, of these, a twelfth for fragments; an eighth for what waits
        // behind holes, seven parts of 32 for messages that are not whole yet; the last nine are for what is behind the tap.
        let memory = settings.max_memory.0;
        let fragments = memory / 32;
        let connections = (memory / 8 * 3 - fragments) / CONNECTION_COST;
        let limits = flow::FlowLimits { connections, waiting_bytes: memory / 8 };
        let mut flows = FlowTable::with_limits(&settings.ports, limits);
        if settings.files.len() > 1 {
            flows.expect_copies();
        }
        Ok(Self {
            filter: settings.bpf.as_deref().map(BpfFilter::new).transpose()?,
            ports: settings.ports.clone(),
            legs: Legs::new(&settings.local, &settings.ports),
            decoder: Decoder::with_limit(fragments).with_tunnels(&settings.tunnels),
            engine: Engine {
                sightings: Sightings::default(),
                flows,
                http1: Http1::with_limit(interests, memory / 32 * 7),
            },
            received: 0,
            decoded: 0,
            skipped: [0; Skip::ALL.len()],
            clock_step: None,
            possible_step: None,
        })
    }

    /// Processes the next frame of `source`, or the next few, and emits the events they complete. Returns false at the
    /// end of the source.
    pub fn pull(&mut self, source: &mut (impl Source + ?Sized), sink: &mut dyn FnMut(Event)) -> bool {
        let received = self.received;
        if self.engine.flows.remembered() >= MANY {
            let few = source.next_batch();
            self.frames(&few, sink);
            if self.sees_clock_set() {
                let stamps: ArrayVec<Timestamp, FEW> = few.iter().map(|frame| frame.at).collect();
                drop(few);
                self.note_clock_set(&stamps, source.position());
            }
        } else if let Some(frame) = source.next() {
            let at = frame.at;
            self.one(&frame, sink);
            if self.sees_clock_set() {
                self.note_clock_set(&[at], source.position());
            }
        }
        self.received > received
    }

    /// Processes the next frame and emits the events it completes. Returns whether the frame matches the filter and
    /// ports asked for, whatever became of it.
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event)) -> bool {
        let taken = self.one(frame, sink);
        if self.sees_clock_set() {
            self.note_clock_set(&[frame.at], None);
        }
        taken
    }

    fn one(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event)) -> bool {
        self.received += 1;
        let taken = match self.plain(frame) {
            Ok(Some(segment)) => {
                self.engine.take(&segment, sink);
                Ok(())
            }
            Ok(None) => self.layered(frame).map(|found| {
                self.engine.take(&self.decoder.segment(&found, frame), sink);
            }),
            Err(why) => Err(why),
        };
        let Err(why) = taken else { return true };
        self.skip(why);
        !matches!(why, Skip::Filter | Skip::Port | Skip::Direction)
    }

    /// Processes the next frames and emits the events they complete: the same as one by one.
    ///
    /// With many connections open, most of the time of a segment is the wait for the memory that holds its connection.
    /// Several frames share one such wait.
    pub fn frames(&mut self, frames: &[Frame<'_>], sink: &mut dyn FnMut(Event)) {
        for few in frames.chunks(FEW) {
            let mut segments = SegmentBatch::new();
            for frame in few {
                self.received += 1;
                match self.plain(frame) {
                    Ok(Some(segment)) => segments.push(segment),
                    Ok(None) => match self.layered(frame) {
                        Err(why) => self.skip(why),
                        Ok(found) => {
                            if let Some(segment) = found.in_frame(frame) {
                                segments.push(segment);
                            } else {
                                // It stands in the decoder until the next frame. What came before it goes first.
                                self.engine.segments(&std::mem::take(&mut segments), sink);
                                self.engine.take(&self.decoder.segment(&found, frame), sink);
                            }
                        }
                    },
                    Err(why) => self.skip(why),
                }
            }
            self.engine.segments(&segments, sink);
        }
    }

    /// Advances the clock to `now` without a frame: events that waited for one long enough are emitted.
    pub fn idle(&mut self, now: Timestamp, sink: &mut dyn FnMut(Event)) {
        self.engine.idle(now, sink);
    }

    /// Frames received so far.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Frames so far that have a TCP segment with a port that was asked for.
    #[must_use]
    pub const fn decoded(&self) -> u64 {
        self.decoded
    }

    /// Holes that were given up so far.
    #[must_use]
    pub const fn gaps(&self) -> u64 {
        self.engine.flows.stats().gaps
    }

    /// Connections that are open.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.engine.flows.stats().open
    }

    /// The segment of a frame that the filter lets pass, where that can be read at once and is asked for.
    #[inline]
    fn plain<'a>(&mut self, frame: &Frame<'a>) -> Result<Option<Segment<'a>>, Skip> {
        if let Some(filter) = &mut self.filter
            && filter.check(frame) != BpfMatch::Match
        {
            return Err(Skip::Filter);
        }
        let segment = plain::segment(frame);
        if let Some(segment) = &segment {
            wanted(segment, &self.ports, &self.legs)?;
            self.decoded += 1;
        }
        Ok(segment)
    }

    /// Where the segment of a frame is that has to be read layer by layer.
    fn layered(&mut self, frame: &Frame<'_>) -> Result<LocatedSegment, Skip> {
        let found = self.decoder.find(frame)?;
        wanted(&self.decoder.segment(&found, frame), &self.ports, &self.legs)?;
        self.decoded += 1;
        Ok(found)
    }

    /// Whether the capture's clock was seen to be set just now, for the first time, or may have been.
    fn sees_clock_set(&self) -> bool {
        let flows = &self.engine.flows;
        let is_new = |stamp| self.possible_step.as_ref().is_none_or(|(known, _)| *known != stamp);
        self.clock_step.is_none() && (flows.stats().clock_steps > 0 || flows.possible_step().is_some_and(is_new))
    }

    /// Notes that the capture's clock was set, or may have been, before one of the last frames or an earlier one. The last one
    /// stands there.
    #[cold]
    fn note_clock_set(&mut self, stamps: &[Timestamp], position: Option<FramePosition<'_>>) {
        let first = self.engine.flows.first_step();
        let Some(stamp) = first.or(self.engine.flows.possible_step()) else { return };
        let step = match self.possible_step.take() {
            Some((known, step)) if known == stamp => step,
            _ => {
                let later = place_of(stamp, stamps).map_or(0, |place| stamps.len() - 1 - place) as u64;
                let in_file = |FramePosition { file, frame }| FileFrame { file: file.to_owned(), frame: frame - later };
                ClockStep { frame: self.received - later, file: position.map(in_file) }
            }
        };
        if first.is_some() {
            self.clock_step = Some(step);
        } else {
            self.possible_step = Some((stamp, step));
        }
    }

    fn skip(&mut self, why: Skip) {
        if let Some(count) = self.skipped.get_mut(why.index()) {
            *count += 1;
        }
    }

    /// Ends the capture: everything that waited is emitted.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event)) {
        self.engine.finish(sink);
        if self.sees_clock_set() {
            self.note_clock_set(&[], None);
        }
    }

    /// Returns the capture statistics, with those of the source.
    #[must_use]
    pub fn engine(&self, source: &(impl Source + ?Sized)) -> CaptureStats {
        let dropped = source.dropped();
        let sightings = self.engine.sightings.stats();
        let mut skipped = self.skipped;
        if let Some(count) = skipped.get_mut(Skip::Duplicate.index()) {
            *count = sightings.segments;
        }
        let skipped = Skip::ALL.iter().zip(skipped).filter(|(why, count)| **why == Skip::NotTcp || *count > 0);
        let tcp = self.engine.flows.stats();
        let streams = self.engine.http1.stats();
        let evicted = [
            ("connections", tcp.evicted_capacity),
            ("idle", tcp.evicted_idle),
            ("waiting_bytes", tcp.evicted_waiting),
            ("message_bytes", streams.let_go),
            ("fragmented_datagrams", self.decoder.datagrams_given_up()),
            ("implausible_segments", tcp.implausible_segments),
        ];
        CaptureStats {
            frames: Frames {
                received: self.received,
                kernel_dropped: dropped.kernel,
                interface_dropped: dropped.interface,
                decoded: self.decoded - sightings.segments,
                skipped: skipped.map(|(why, count)| (why.key().to_owned(), count)).collect(),
                clock_steps: tcp.clock_steps,
                clock_step_at: self.clock_step.as_ref().map(|step| step.frame),
                clock_step_in: self.clock_step.as_ref().and_then(|step| step.file.clone()),
            },
            access_log: None,
            spoe: None,
            tcp: Tcp {
                connections: tcp.connections,
                peak_open: tcp.peak_open,
                retransmitted_bytes: tcp.retransmitted_bytes,
                gaps: tcp.gaps,
                gap_bytes: tcp.gap_bytes,
                evicted: evicted
                    .into_iter()
                    .filter(|(_, count)| *count > 0)
                    .map(|(why, count)| (why.to_owned(), count))
                    .collect(),
                unplaced_bytes: tcp.unplaced_bytes,
                unplaced_requests: tcp.unplaced_requests,
                bad_checksums: tcp.bad_checksums,
            },
            streams: Streams {
                http1: streams.http1,
                tls: streams.tls,
                http2: streams.http2,
                upgraded: streams.upgraded,
                unknown: streams.unknown,
            },
            warnings: [source.warnings(), self.decoder.advice(), told_twice(sightings), incomplete(tcp)].concat(),
            unread: source.unread(),
            kernel_share: source.kernel_share(),
        }
    }
}

/// Returns which of these stamps is that of a frame before which the clock was set: if that was back, the one before is later.
fn place_of(stamp: Timestamp, stamps: &[Timestamp]) -> Option<usize> {
    let is_back = |pair: &[Timestamp]| matches!(pair, [before, at] if *at == stamp && *before > stamp);
    let back = stamps.windows(2).position(is_back).map(|before| before + 1);
    back.or_else(|| stamps.iter().position(|at| *at == stamp))
}

/// Whether ports and directions ask for a segment.
#[inline]
fn wanted(segment: &Segment<'_>, ports: &[u16], legs: &Legs) -> Result<(), Skip> {
    if !(ports.is_empty() || segment.has_port(ports)) {
        return Err(Skip::Port);
    }
    if legs.takes((&segment.source, &segment.destination)) { Ok(()) } else { Err(Skip::Direction) }
}

/// Returns the warnings about parts of the traffic that whoever made the capture left out of it.
fn incomplete(tcp: &FlowStats) -> Vec<String> {
    let FlowStats { carried, one_sided, cuts, cut_bytes, .. } = *tcp;
    let mut warnings = Vec::new();
    if one_sided > 0 && one_sided * 10 >= carried * 9 {
        warnings.push(format!(
            "only one direction of {} was captured: requests or responses are missing. Capture both directions: `port 80`, \
             not `dst port 80`; of a mirror port, both of them",
            if one_sided == carried {
                counted(carried, "connection")
            } else {
                format!("{} of {}", number(one_sided), counted(carried, "connection"))
            }
        ));
    }
    if cuts > 0 {
        warnings.push(format!(
            "{} of {} are missing because the capture cut frames at its snap length, which is no packet loss. Capture whole \
             frames: tcpdump -s 0",
            bytes(cut_bytes),
            counted(cuts, "segment")
        ));
    }
    warnings
}

/// Returns the warnings about connections that were seen twice.
fn told_twice(found: SightingStats) -> Vec<String> {
    let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let SightingStats { connections, requests, .. } = found;
    let line = || {
        format!(
            "{} with {} were seen in a second place too, under other addresses: they count once, the other sighting as \
             duplicate",
            counted(connections, "connection"),
            counted(requests, "request")
        )
    };
    (connections > 0).then(line).into_iter().collect()
}
