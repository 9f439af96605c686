//! One interface: its frames as libpcap has them.

use std::{iter, thread};

use super::frame_rate::FrameRate;
use super::handle::{DeviceRead, Handle, wait};
use super::{CaptureMonitor, IDLE, SPURIOUS, now, settled};
use crate::capture::{Dropped, Polled};
use crate::exchange::Timestamp;

/// The reader of one interface.
pub(super) struct SingleReader {
    handle: Handle,
    pub(super) watch: CaptureMonitor,
    /// True when the last read found nothing: then the next one waits first.
    empty: bool,
    /// Frames read since a read last found nothing.
    in_a_row: u32,
    rate: FrameRate,
    /// True when the device was ready and the last read found nothing.
    spurious: bool,
    /// True when the capture has ended and only the last check of the counters is left.
    ended: bool,
    /// Time of the last read.
    last: Timestamp,
    /// What the last read failed with.
    failed: Option<String>,
}

impl SingleReader {
    pub(super) fn new(handle: Handle, watch: CaptureMonitor) -> Self {
        Self {
            handle,
            watch,
            empty: false,
            in_a_row: 0,
            rate: FrameRate::default(),
            spurious: false,
            ended: false,
            last: Timestamp::default(),
            failed: None,
        }
    }

    pub(super) const fn is_immediate(&self) -> bool {
        self.handle.is_immediate()
    }

    /// Takes it apart.
    pub(super) fn into_parts(self) -> (Handle, CaptureMonitor) {
        (self.handle, self.watch)
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) const fn dropped(&self) -> Dropped {
        self.handle.dropped()
    }

    /// One read, and a wait before it where the last one found nothing. The frame is borrowed, so that there is no
    /// second read: whatever else there is to say is said by the next call.
    pub(super) fn poll(&mut self) -> Polled<'_> {
        if self.ended || self.watch.is_time(self.last) {
            self.watch.look(iter::once(&mut self.handle));
        }
        if self.ended {
            return Polled::End;
        }
        let Self { handle, watch, empty, in_a_row, rate, spurious, ended, last, failed } = self;
        if let Some(why) = failed.take() {
            handle.detach();
            watch.gone(&handle.name, &why);
        }
        let halted = watch.halted();
        if watch.is_over(handle.is_attached()) || !handle.is_attached() {
            thread::sleep(IDLE);
            *last = now();
            *ended = watch.unread.is_some() || halted.is_some_and(|halted| halted.is_settled());
            return Polled::Idle(settled(*last));
        }
        if std::mem::take(spurious) {
            handle.settle();
        }
        let ready = *empty && pause(handle, rate);
        match handle.read() {
            DeviceRead::Frame(frame) => {
                (*empty, *last) = (false, frame.at);
                *in_a_row += 1;
                if !halted.is_some_and(|halted| halted.before(frame.at)) {
                    return Polled::Frame(frame);
                }
                *ended = true;
            }
            DeviceRead::Nothing => {
                *empty = true;
                *ended = halted.is_some_and(|halted| halted.is_settled());
                *last = now();
                rate.count(std::mem::take(in_a_row), *last);
                if ready {
                    // What is ready and has nothing is no reason to ask again at once.
                    thread::sleep(SPURIOUS);
                    *spurious = true;
                }
            }
            DeviceRead::Gone(why) => {
                (*failed, *last) = (Some(why), now());
            }
        }
        Polled::Idle(settled(*last))
    }
}

/// Lets some time pass: until there is another frame, or a moment. Returns whether the device says that it has one.
fn pause(handle: &Handle, rate: &FrameRate) -> bool {
    if let Some(nap) = rate.nap().filter(|_| handle.is_immediate()) {
        thread::sleep(nap);
        return false;
    }
    wait(iter::once(handle), IDLE)
}
