//! Faults of a capture, injected between any source of frames and whoever reads them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shadowtap::capture::{Dropped, Frame, LinkType, Source};
use shadowtap::exchange::Timestamp;

/// How often each fault happens, in thousandths of the frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// The frame is not captured.
    pub(crate) dropped: u16,
    /// It is captured twice.
    pub(crate) doubled: u16,
    /// It is captured after the frame that follows it.
    pub(crate) swapped: u16,
    /// It is cut by the snap length, anywhere.
    pub(crate) cut: u16,
    /// Some of its bytes are not what was sent.
    pub(crate) corrupted: u16,
}

/// A source with faults; the same seed gives the same ones.
pub(crate) struct Faulty<S> {
    inner: S,
    rates: Rates,
    rng: StdRng,
    /// Frames that are handed out before another one is read.
    ready: VecDeque<OwnedFrame>,
    /// The frame that is handed out.
    current: Option<OwnedFrame>,
    /// Frames handed out so far.
    pub(crate) given: u64,
}

#[derive(Clone)]
struct OwnedFrame {
    at: Timestamp,
    link: LinkType,
    wire_len: u32,
    data: Vec<u8>,
}

impl<S: Source> Faulty<S> {
    pub(crate) fn new(inner: S, rates: Rates, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { inner, rates, rng, ready: VecDeque::new(), current: None, given: 0 }
    }

    /// The next frame that is not dropped, itself spoilt or not.
    fn read(&mut self) -> Option<OwnedFrame> {
        loop {
            let frame = self.inner.next()?;
            if happens(&mut self.rng, self.rates.dropped) {
                continue;
            }
            let Frame { at, link, wire_len, data } = frame;
            let mut frame = OwnedFrame { at, link, wire_len, data: data.to_vec() };
            if happens(&mut self.rng, self.rates.cut) {
                frame.data.truncate(self.rng.random_range(0..=frame.data.len()));
            }
            if happens(&mut self.rng, self.rates.corrupted) {
                self.corrupt(&mut frame.data);
            }
            return Some(frame);
        }
    }

    fn corrupt(&mut self, data: &mut [u8]) {
        for _ in 0..self.rng.random_range(1..8) {
            let place = self.rng.random_range(0..data.len().max(1));
            if let Some(byte) = data.get_mut(place) {
                *byte = self.rng.random();
            }
        }
    }
}

fn happens(rng: &mut StdRng, rate: u16) -> bool {
    rng.random_range(0..1000) < rate
}

impl<S: Source> Source for Faulty<S> {
    fn next(&mut self) -> Option<Frame<'_>> {
        if self.ready.is_empty() {
            let frame = self.read()?;
            if happens(&mut self.rng, self.rates.swapped)
                && let Some(after) = self.read()
            {
                self.ready.push_back(after);
            }
            if happens(&mut self.rng, self.rates.doubled) {
                self.ready.push_back(frame.clone());
            }
            self.ready.push_back(frame);
        }
        self.current = self.ready.pop_front();
        self.given += 1;
        let OwnedFrame { at, link, wire_len, data } = self.current.as_ref()?;
        Some(Frame { at: *at, link: *link, wire_len: *wire_len, data })
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }

    fn dropped(&self) -> Dropped {
        self.inner.dropped()
    }
}
