//! Frames to events: the sans-IO stages one after another, on whatever thread calls them.

use crate::capture::{self, Filter, Frame, Source, Verdict};
use crate::decode::{Decoder, Skip};
use crate::exchange::{Event, Timestamp};
use crate::flow::{self, CONNECTION_COST, FlowTable};
use crate::http1::{Http1, Interests};
use crate::report::{Engine, Frames, Streams, Tcp};

/// Frames to events, on the thread that calls it.
pub struct Tap {
    filter: Option<Filter>,
    ports: Vec<u16>,
    decoder: Decoder,
    flows: FlowTable,
    http1: Http1,
    received: u64,
    decoded: u64,
    skipped: [u64; Skip::ALL.len()],
}

impl Tap {
    /// A tap that has seen nothing yet.
    pub fn new(settings: &capture::Settings, interests: Interests) -> Result<Self, capture::CaptureError> {
        // Three eighths for the connections themselves, an eighth for what waits behind holes, a quarter for messages
        // that are not whole yet; the last quarter is for what is behind the tap.
        let memory = settings.max_memory.0;
        let limits = flow::Limits { connections: memory / 8 * 3 / CONNECTION_COST, waiting_bytes: memory / 8 };
        Ok(Self {
            filter: settings.bpf.as_deref().map(Filter::new).transpose()?,
            ports: settings.ports.clone(),
            decoder: Decoder::new(),
            flows: FlowTable::with_limits(&settings.ports, limits),
            http1: Http1::with_limit(interests, memory / 4),
            received: 0,
            decoded: 0,
            skipped: [0; Skip::ALL.len()],
        })
    }

    /// Takes the next frame and tells what it makes known. Returns whether it is one of those that were asked for, by
    /// filter and port, whatever became of it.
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event)) -> bool {
        self.received += 1;
        match self.segment(frame, sink) {
            Ok(()) => true,
            Err(why) => {
                if let Some(count) = self.skipped.get_mut(why.index()) {
                    *count += 1;
                }
                !matches!(why, Skip::Filter | Skip::Port)
            }
        }
    }

    /// Takes note that it is `now` and no frame came: what waited for one long enough is told.
    pub fn idle(&mut self, now: Timestamp, sink: &mut dyn FnMut(Event)) {
        let http1 = &mut self.http1;
        self.flows.idle(now, &mut |chunk| http1.take(chunk, sink));
    }

    /// Frames received so far.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Holes that were given up so far.
    #[must_use]
    pub const fn gaps(&self) -> u64 {
        self.flows.stats().gaps
    }

    fn segment(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event)) -> Result<(), Skip> {
        if let Some(filter) = &mut self.filter
            && filter.check(frame) != Verdict::Match
        {
            return Err(Skip::Filter);
        }
        let segment = self.decoder.decode(frame)?;
        if !self.ports.is_empty()
            && !self.ports.contains(&segment.source.port)
            && !self.ports.contains(&segment.destination.port)
        {
            return Err(Skip::Port);
        }
        self.decoded += 1;
        let http1 = &mut self.http1;
        self.flows.take(&segment, &mut |chunk| http1.take(chunk, sink));
        Ok(())
    }

    /// Ends the capture: whatever waited is told.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event)) {
        let http1 = &mut self.http1;
        self.flows.finish(&mut |chunk| http1.take(chunk, sink));
    }

    /// What was seen, with what the source knows besides.
    #[must_use]
    pub fn engine(&self, source: &(impl Source + ?Sized)) -> Engine {
        let dropped = source.dropped();
        let skipped = Skip::ALL.iter().zip(self.skipped).filter(|(why, count)| **why == Skip::NotTcp || *count > 0);
        let tcp = self.flows.stats();
        let streams = self.http1.stats();
        let evicted = [
            ("connections", tcp.evicted_capacity),
            ("idle", tcp.evicted_idle),
            ("waiting_bytes", tcp.evicted_waiting),
            ("message_bytes", streams.let_go),
            ("fragmented_datagrams", self.decoder.datagrams_given_up()),
            ("implausible_segments", tcp.implausible_segments),
        ];
        Engine {
            frames: Frames {
                received: self.received,
                kernel_dropped: dropped.kernel,
                interface_dropped: dropped.interface,
                decoded: self.decoded,
                skipped: skipped.map(|(why, count)| (why.key().to_owned(), count)).collect(),
            },
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
            },
            streams: Streams {
                http1: streams.http1,
                tls: streams.tls,
                http2: streams.http2,
                upgraded: streams.upgraded,
                unknown: streams.unknown,
            },
            trouble: source.trouble(),
        }
    }
}
