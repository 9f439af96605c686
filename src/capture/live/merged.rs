//! Reader of several interfaces that puts their frames in order of time.
//!
//! A connection may be seen on more than one of them: whole on each (a bridge and its port), or one direction on each
//! (the two ports of a network tap, a server that responds past its balancer). So frames are copied and held for a
//! moment, until no earlier one can come from another interface.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use super::frame_rate::FrameRate;
use super::handle::{DeviceRead, Handle, wait};
use super::{CaptureMonitor, IDLE, SPURIOUS, now, settled};
use crate::capture::{Dropped, Frame, LinkType, Polled};
use crate::exchange::Timestamp;

/// Time for which a frame is held for an earlier one of another interface: long enough for the kernel to hand over a
/// block.
const HOLD: Duration = Duration::from_millis(10);
/// The same where the kernel hands over each frame at once.
const HOLD_IMMEDIATE: Duration = Duration::from_micros(150);
/// Bytes that are held at most; past it the earliest frame goes out without waiting for others.
const HELD_BYTES: usize = 16 << 20;
/// Bytes that a held frame costs besides its own.
const HELD_COST: usize = 64;
/// Frames that are read from one interface before the others have their turn.
const READ_BATCH: u32 = 1024;
/// Buffers that are kept for later frames, and the largest of them, in bytes; others are given back.
const SPARE: usize = 1024;
const LARGEST_SPARE: usize = 16 << 10;

/// A frame with bytes of its own.
#[derive(Debug)]
pub(super) struct OwnedFrame {
    at: Timestamp,
    link: LinkType,
    wire_len: u32,
    data: Vec<u8>,
}

/// No frame yet.
impl Default for OwnedFrame {
    fn default() -> Self {
        Self { at: Timestamp::default(), link: LinkType::ETHERNET, wire_len: 0, data: Vec::new() }
    }
}

impl OwnedFrame {
    /// A copy of `frame`, in `buffer`.
    pub(super) fn copy(frame: &Frame<'_>, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(frame.data);
        Self { at: frame.at, link: frame.link, wire_len: frame.wire_len, data: buffer }
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.data
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        Frame { at: self.at, link: self.link, wire_len: self.wire_len, data: &self.data }
    }

    const fn cost(&self) -> usize {
        self.data.len() + HELD_COST
    }
}

/// Frames that are held, in a lane for each interface; a lane keeps its order even where its clock went back.
#[derive(Debug, Default)]
struct ReorderBuffer {
    lanes: Vec<VecDeque<OwnedFrame>>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
    /// Time for which a frame is held.
    hold: Duration,
}

impl ReorderBuffer {
    fn push(&mut self, lane: usize, frame: &Frame<'_>) {
        let held = OwnedFrame::copy(frame, self.spare.pop().unwrap_or_default());
        self.bytes += held.cost();
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.push_back(held);
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= HELD_BYTES
    }

    /// Returns the lane of the earliest frame, and its time.
    fn earliest(&self) -> Option<(usize, Timestamp)> {
        let heads = self.lanes.iter().enumerate().filter_map(|(lane, held)| Some((lane, held.front()?.at)));
        heads.min_by_key(|(_, at)| *at)
    }

    fn pop(&mut self, lane: usize) -> Option<OwnedFrame> {
        let held = self.lanes.get_mut(lane)?.pop_front()?;
        self.bytes -= held.cost();
        Some(held)
    }

    fn recycle(&mut self, held: OwnedFrame) {
        if self.spare.len() < SPARE && held.data.capacity() <= LARGEST_SPARE {
            self.spare.push(held.data);
        }
    }

    /// Returns whether a frame of time `at` can be emitted: at `now`, no earlier one can come from any lane that is
    /// still `open`.
    fn is_due(&self, at: Timestamp, now: Timestamp, open: impl Fn(usize) -> bool) -> bool {
        let mut lanes = self.lanes.iter().enumerate();
        // A frame of the future means that the clock was set back: its age says nothing.
        at > now
            || now.since(at) >= self.hold
            || self.is_full()
            || lanes.all(|(lane, held)| !held.is_empty() || !open(lane))
    }
}

/// The reader of several interfaces.
pub(super) struct MergedReader {
    handles: Vec<Handle>,
    queue: ReorderBuffer,
    pub(super) watch: CaptureMonitor,
    /// The frame that is handed out.
    current: Option<OwnedFrame>,
    /// Time of the last read.
    read_at: Timestamp,
    /// Index of the interface that is read first.
    first: usize,
    /// Number of frames that the last read found.
    found: u32,
    rate: FrameRate,
    /// True when frames went out since it was last said that there are none for now.
    busy: bool,
    ended: bool,
}

/// Next step, after a look at the queue.
enum ReorderStep {
    Frame(usize),
    Wait(Duration),
    Idle,
    End,
}

impl MergedReader {
    pub(super) fn new(handles: Vec<Handle>, watch: CaptureMonitor) -> Self {
        let lanes = handles.iter().map(|_| VecDeque::new()).collect();
        let immediate = handles.iter().all(Handle::is_immediate);
        let queue =
            ReorderBuffer { lanes, hold: if immediate { HOLD_IMMEDIATE } else { HOLD }, ..ReorderBuffer::default() };
        let (read_at, rate) = Default::default();
        Self { handles, queue, watch, current: None, read_at, first: 0, found: 0, rate, busy: false, ended: false }
    }

    pub(super) fn is_immediate(&self) -> bool {
        self.handles.iter().all(Handle::is_immediate)
    }

    /// Reads another interface from here on.
    pub(super) fn add(&mut self, handle: Handle) {
        self.handles.push(handle);
        self.queue.lanes.push(VecDeque::new());
    }

    pub(super) fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// A handle for interfaces that appear, of which the last one is gone.
    pub(super) fn vacant(&mut self) -> Option<&mut Handle> {
        self.handles.iter_mut().find(|handle| handle.is_vacant())
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.handles.iter().map(Handle::dropped).fold(Dropped::default(), |sum, one| Dropped {
            kernel: sum.kernel + one.kernel,
            interface: sum.interface + one.interface,
        })
    }

    pub(super) fn poll(&mut self) -> Polled<'_> {
        if let Some(last) = self.current.take() {
            self.queue.recycle(last);
        }
        let mut waited = None;
        loop {
            // What is due by the last reading goes out before there is another.
            let next = match self.next(waited.is_some()) {
                ReorderStep::Frame(lane) => ReorderStep::Frame(lane),
                _ if self.ended => ReorderStep::End,
                _ => {
                    self.read();
                    if self.found == 0 && waited == Some(true) {
                        // What is ready and has nothing is no reason to ask again at once.
                        self.handles.iter_mut().for_each(Handle::settle);
                        thread::sleep(SPURIOUS);
                    }
                    self.next(waited.is_some())
                }
            };
            match next {
                ReorderStep::Frame(lane) => {
                    self.current = self.queue.pop(lane);
                    self.busy = true;
                    return self.current.as_ref().map_or(Polled::End, |held| Polled::Frame(held.frame()));
                }
                // Who took frames learns first that there are none for now.
                ReorderStep::Wait(_) if std::mem::take(&mut self.busy) => return Polled::Idle(settled(self.read_at)),
                ReorderStep::Wait(at_most) => {
                    waited = Some(self.wait(at_most));
                }
                ReorderStep::Idle => return Polled::Idle(settled(self.read_at)),
                ReorderStep::End => {
                    self.ended = true;
                    self.look();
                    return Polled::End;
                }
            }
        }
    }

    /// Returns the next step, as of the last read.
    fn next(&mut self, waited: bool) -> ReorderStep {
        let halted = self.watch.halted();
        let gone = self.watch.unread.is_some();
        let over = gone || halted.is_some_and(|halted| halted.is_settled());
        let Some((lane, at)) = self.queue.earliest() else {
            return match (over, waited) {
                (true, _) => ReorderStep::End,
                (false, true) => ReorderStep::Idle,
                (false, false) => ReorderStep::Wait(IDLE),
            };
        };
        let open = |lane| self.handles.get(lane).is_some_and(Handle::is_attached);
        if !over && !self.queue.is_due(at, self.read_at, open) {
            return ReorderStep::Wait(self.queue.hold.saturating_sub(self.read_at.since(at)));
        }
        if halted.is_some_and(|halted| halted.before(at)) { ReorderStep::End } else { ReorderStep::Frame(lane) }
    }

    /// Lets some time pass, as long as this at most: until there is a frame, or a moment. Returns whether one of the
    /// interfaces says that it has one.
    fn wait(&self, at_most: Duration) -> bool {
        let attached = || self.handles.iter().filter(|handle| handle.is_attached());
        if let Some(nap) = self.rate.nap()
            && attached().all(Handle::is_immediate)
        {
            thread::sleep(nap);
            return false;
        }
        wait(attached(), at_most)
    }

    /// Reads what every interface has, each a turn.
    fn read(&mut self) {
        let count = self.handles.len();
        self.found = 0;
        for lane in (self.first..count).chain(0..self.first) {
            let Some(handle) = self.handles.get_mut(lane).filter(|handle| handle.is_attached()) else { continue };
            let (found, why) = turn(handle, lane, &mut self.queue);
            self.found += found;
            if let Some(why) = why {
                self.gone(lane, &why);
            }
        }
        self.first = (self.first + 1) % count.max(1);
        self.read_at = now();
        self.rate.count(self.found, self.read_at);
        if self.watch.is_time(self.read_at) {
            self.look();
        }
        self.watch.is_over(self.handles.iter().any(Handle::is_attached));
    }

    fn gone(&mut self, lane: usize, why: &str) {
        let Some(handle) = self.handles.get_mut(lane) else { return };
        handle.detach();
        self.watch.gone(&handle.name, why);
    }

    fn look(&mut self) {
        self.watch.look(self.handles.iter_mut());
    }
}

/// A turn of one interface: how many frames it had, and what it ended with, where it did.
fn turn(handle: &mut Handle, lane: usize, queue: &mut ReorderBuffer) -> (u32, Option<String>) {
    for found in 0..READ_BATCH {
        if queue.is_full() {
            return (found, None);
        }
        match handle.read() {
            DeviceRead::Frame(frame) => queue.push(lane, &frame),
            DeviceRead::Nothing => return (found, None),
            DeviceRead::Gone(why) => return (found, Some(why)),
        }
    }
    (READ_BATCH, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;
    const BEGIN: u64 = 1_000 * MILLISECOND;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(BEGIN + milliseconds * MILLISECOND)
    }

    /// A queue with frames of these times, in milliseconds, in each lane.
    fn queue(lanes: &[&[u64]], bytes: usize) -> ReorderBuffer {
        let mut queue =
            ReorderBuffer { lanes: lanes.iter().map(|_| VecDeque::new()).collect(), hold: HOLD, ..Default::default() };
        let data = vec![0; bytes];
        for (lane, times) in lanes.iter().enumerate() {
            for time in *times {
                queue.push(lane, &Frame { at: at(*time), link: LinkType::ETHERNET, wire_len: 0, data: &data });
            }
        }
        queue
    }

    /// Checks whether the earliest frame goes out at `now`, with the lanes open that are named.
    #[track_caller]
    fn check(lanes: &[&[u64]], now: u64, open: &[usize], expected: bool) {
        let queue = queue(lanes, 1);
        let (_, earliest) = queue.earliest().unwrap();
        assert_eq!(queue.is_due(earliest, at(now), |lane| open.contains(&lane)), expected);
    }

    #[test]
    fn a_frame_waits_until_no_earlier_one_can_come() {
        check(&[&[5], &[]], 6, &[0, 1], false);
        check(&[&[5], &[]], 14, &[0, 1], false);
        check(&[&[5], &[]], 15, &[0, 1], true);
        check(&[&[5], &[7]], 6, &[0, 1], true);
        check(&[&[5], &[]], 6, &[0], true);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        check(&[&[5000], &[]], 10, &[0, 1], true);
    }

    #[test]
    fn a_full_queue_gives_out_what_it_has() {
        let full = queue(&[&[5], &[]], HELD_BYTES);
        assert!(full.is_full() && full.is_due(at(5), at(5), |_| true));
    }

    #[test]
    fn frames_leave_by_time_and_in_the_order_of_their_lane() {
        let mut queue = queue(&[&[1, 4, 3], &[2, 5]], 1);
        let mut times = Vec::new();
        while let Some((lane, _)) = queue.earliest() {
            let held = queue.pop(lane).unwrap();
            times.push((held.at.nanos() - BEGIN) / MILLISECOND);
            queue.recycle(held);
        }
        assert_eq!(times, [1, 2, 4, 3, 5]);
        assert_eq!((queue.bytes, queue.spare.len()), (0, 5));
    }
}
