//! An open capture device: its frames, one at a time, and its loss counters.
//!
//! Nothing blocks in here except [`wait`], and that no longer than its timeout.

use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use pcap::{Active, Capture, Inactive, PacketHeader, Precision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

use super::error::LiveError;
use super::kernel_filter::KernelFilter;
use super::last_frames::LastFrames;
use super::long_frames::{LongFrames, SLOT};
use super::{Dropped, LiveSettings};
use crate::capture::interfaces::{self, ANY, PresentInterface};
use crate::capture::{Frame, LinkType};
use crate::exchange::Timestamp;

/// Time in which the kernel lets a block of frames fill before it hands over the block as it is, in milliseconds: of the
/// devices whose frames do not come one by one. It is the least that can be asked for.
const BLOCK_TIMEOUT_MS: i32 = 1;
/// The same where nobody waits for a frame.
const LONG_BLOCK_TIMEOUT_MS: i32 = 5;

/// Times in a row that an interface may come back and fail again before it is left alone.
const MAX_FAILURES: u32 = 8;

/// A filter that no frame passes: none is this short.
const NOTHING: &str = "less 0";

/// A difference of a counter of 32 bits that is no loss but a counter that began again.
const BEGAN_AGAIN: u32 = 1 << 31;

/// The kind of the loopback interface, by the system's number.
const LOOPBACK: u16 = 772;

/// A device that is captured on.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and most combinations occur")]
pub(super) struct Handle {
    pub(super) name: String,
    pub(super) link: LinkType,
    /// Frames that it gave.
    pub(super) frames: u64,
    capture: Capture<Active>,
    counted: WideCounters,
    /// True when the interface was up at the last check.
    up: bool,
    /// The kind of interface that it is, by the system's number.
    kind: Option<u16>,
    /// Whether there is an interface behind it.
    attached: bool,
    /// Whether it was to listen to what is addressed to others.
    promiscuous: bool,
    /// Times in a row that it failed, without a frame between them.
    failures: u32,
    last: LastFrames,
    /// Whether it was opened for interfaces that appear later. libpcap knows another one for it, and cannot tell that this
    /// one is gone.
    spare: bool,
    /// The number of the interface behind it, where it is spare.
    index: Option<usize>,
    /// What is longer than a slot, where frames come one by one.
    long: Option<LongFrames>,
    filter: KernelFilter,
}

/// Result of a read from a handle.
pub(super) enum DeviceRead<'a> {
    /// The next frame.
    Frame(Frame<'a>),
    /// Nothing for now.
    Nothing,
    /// Nothing ever more: libpcap's words.
    Gone(String),
}

impl Handle {
    /// Opens the device and sets the filter.
    pub(super) fn open(name: &str, settings: &LiveSettings, buffer: usize) -> Result<Self, LiveError> {
        let handle = Self::open_socket(name, settings, buffer)?;
        if let (Some(LOOPBACK), Some(long)) = (handle.kind, &handle.long) {
            long.ignore_outgoing();
        }
        Ok(handle)
    }

    fn open_socket(name: &str, settings: &LiveSettings, buffer: usize) -> Result<Self, LiveError> {
        let (capture, long) = activate(name, settings, buffer)?;
        // A process that is run as middleware must not inherit the right to capture. Where that cannot be said, the
        // socket is none that lives on in another process either.
        rustix::io::fcntl_setfd(&capture, rustix::io::FdFlags::CLOEXEC).ok();
        let link = link_type(capture.get_datalink().0);
        let present = interfaces::present().unwrap_or_default();
        let mut handle = Self {
            name: name.to_owned(),
            link,
            frames: 0,
            capture,
            counted: WideCounters::default(),
            up: true,
            kind: present.iter().find(|one| one.name == name).and_then(|one| one.kind),
            attached: true,
            promiscuous: settings.promiscuous,
            failures: 0,
            last: LastFrames::default(),
            spare: false,
            index: None,
            long,
            filter: KernelFilter::new(settings),
        };
        handle.set_filter()?;
        Ok(handle)
    }

    /// Opens a socket that lets nothing through until it is told an interface, on one that is there and Ethernet.
    pub(super) fn open_spare(place: &str, settings: &LiveSettings, buffer: usize) -> Result<Self, LiveError> {
        let quiet = LiveSettings { promiscuous: false, ..settings.clone() };
        let mut handle = Self::open_socket(place, &quiet, buffer)?;
        handle
            .capture
            .filter(NOTHING, true)
            .map_err(|error| LiveError::Other { interface: place.to_owned(), why: words(&error) })?;
        (handle.spare, handle.attached, handle.promiscuous) = (true, false, settings.promiscuous);
        Ok(handle)
    }

    /// The filter runs in the kernel: what does not match is not copied. But for the first block, which libpcap filters
    /// itself since it may hold frames from before: so nothing can be asked here that only the kernel knows, such as
    /// `inbound`. What leaves the loopback interface, to come in again, libpcap passes over, on `any` as well.
    fn set_filter(&mut self) -> Result<(), LiveError> {
        let Self { capture, filter, link, name, .. } = self;
        filter.set(*link, |expression| capture.filter(expression, true)).map_err(|(expression, error)| {
            LiveError::Filter { expression, interface: name.clone(), link: *link, why: words(&error) }
        })
    }

    /// Lets more connections through where the share has risen. Returns what is to be said of it.
    pub(super) fn resample(&mut self) -> Option<String> {
        if !self.is_vacant() && self.filter.is_outgrown() {
            self.set_filter().ok();
        }
        let why = self.filter.take_refused()?;
        Some(format!("the sample is taken from all that {} carries, not by the kernel: {why}", self.name))
    }

    /// The largest share of connections that was let through; `None` where all were, at any time.
    pub(super) fn kernel_share(&self) -> Option<f64> {
        self.filter.share()
    }

    /// The next frame, without waiting.
    pub(super) fn read(&mut self) -> DeviceRead<'_> {
        let link = self.link;
        match self.capture.next_packet() {
            Ok(packet) => {
                self.frames += 1;
                self.failures = 0;
                let header = packet.header;
                let wire_len = header.len.max(header.caplen);
                let data = match &mut self.long {
                    Some(long) if header.caplen < wire_len => long.complete(packet.data, wire_len),
                    _ => packet.data,
                };
                DeviceRead::Frame(Frame { at: timestamp(header), link, wire_len, data })
            }
            Err(error) => {
                let why = (error != pcap::Error::TimeoutExpired).then(|| words(&error));
                self.last.without_frame(why, Instant::now()).map_or(DeviceRead::Nothing, DeviceRead::Gone)
            }
        }
    }

    /// Whether each frame is handed over at once, not in blocks.
    pub(super) const fn is_immediate(&self) -> bool {
        self.long.is_some()
    }

    /// Makes sure that the device is ready for nothing but frames: it was, and had none.
    pub(super) fn settle(&mut self) {
        self.long.iter_mut().for_each(LongFrames::fetch);
    }

    /// Adds what was lost since the last call.
    pub(super) fn count(&mut self) {
        // A device that is gone has nothing more to tell.
        if let Ok(stat) = self.capture.stats() {
            self.counted.add(stat.dropped, stat.if_dropped);
        }
    }

    /// Frames that never reached this handle, as of the last [`Handle::count`].
    pub(super) const fn dropped(&self) -> Dropped {
        self.counted.sums
    }

    /// Whether it waits for an interface that appears.
    pub(super) const fn is_vacant(&self) -> bool {
        self.spare && !self.attached
    }

    /// Whether there is an interface behind it.
    pub(super) const fn is_attached(&self) -> bool {
        self.attached
    }

    /// Takes note that its interface is gone.
    pub(super) fn detach(&mut self) {
        self.count();
        (self.attached, self.last) = (false, LastFrames::default());
        self.failures += 1;
    }

    /// What is to be said where the interface went down, came up or came back since the last call, `present` being those
    /// that there are. Frames of one that came back are captured from here on.
    pub(super) fn change(&mut self, present: &[PresentInterface]) -> Option<String> {
        let found = present.iter().find(|one| one.name == self.name);
        if self.spare && self.attached && found.and_then(PresentInterface::index) != self.index {
            self.detach();
            if found.is_none() {
                return Some(ended(&self.name, "it is gone"));
            }
        }
        if !self.attached {
            return self.attach(found.filter(|one| one.up)?);
        }
        if found.is_none() && self.name != ANY {
            // Reading it tells that it is gone.
            return None;
        }
        let up = self.name == ANY || found.is_some_and(|one| one.up);
        if up == std::mem::replace(&mut self.up, up) {
            return None;
        }
        let name = &self.name;
        Some(if up {
            format!("{name} is up again")
        } else {
            format!("{name} went down: nothing is captured on it until it is up again")
        })
    }
}

impl Handle {
    /// Goes on with an interface of the same name and kind. That takes no right: the socket is there, with its buffer and
    /// its filter, and is only told another number (`bind`, packet(7)).
    #[cfg(target_os = "linux")]
    fn attach(&mut self, found: &PresentInterface) -> Option<String> {
        let name = &self.name;
        if self.failures > MAX_FAILURES {
            return None;
        }
        if found.kind != self.kind {
            self.failures = MAX_FAILURES + 1;
            return Some(format!("{name} is there again as another kind of interface: it is not captured on"));
        }
        nix::sys::socket::bind(self.capture.as_raw_fd(), &found.link?).ok()?;
        (self.attached, self.up, self.index) = (true, true, found.index());
        Some(format!("{name} is there again: the capture goes on{}", self.advice()))
    }

    /// Captures on an Ethernet interface that appeared; says so. As above, and the filter takes no right either.
    #[cfg(target_os = "linux")]
    pub(super) fn reassign(&mut self, found: &PresentInterface) -> Option<String> {
        nix::sys::socket::bind(self.capture.as_raw_fd(), &found.link?).ok()?;
        self.set_filter().ok()?;
        self.name.clone_from(&found.name);
        (self.attached, self.up, self.failures) = (true, true, 0);
        (self.kind, self.index) = (found.kind, found.index());
        Some(format!("{} is new: it is captured on{}", self.name, self.advice()))
    }

    /// What is to be said of promiscuous mode, which takes a right.
    #[cfg(target_os = "linux")]
    fn advice(&self) -> String {
        let name = &self.name;
        if self.promiscuous && interfaces::is_hardware(name) {
            format!(", without promiscuous mode; for a mirror port: sudo ip link set {name} promisc on")
        } else {
            String::new()
        }
    }

    /// Elsewhere an interface that is gone is gone.
    #[cfg(not(target_os = "linux"))]
    fn attach(&mut self, _: &PresentInterface) -> Option<String> {
        None
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn reassign(&mut self, _: &PresentInterface) -> Option<String> {
        None
    }
}

/// The line that says that the capture on an interface has ended.
pub(super) fn ended(interface: &str, why: &str) -> String {
    format!("the capture on {interface} ended: {why}; it goes on if {interface} comes back")
}

/// Waits until one of `handles` has frames, or has gone; at most as long as this. Returns whether one has.
pub(super) fn wait<'a>(handles: impl Iterator<Item = &'a Handle>, at_most: Duration) -> bool {
    let mut ready: Vec<PollFd<'_>> =
        handles.map(|handle| PollFd::from_borrowed_fd(handle.capture.as_fd(), PollFlags::IN)).collect();
    let at_most = Timespec { tv_sec: 0, tv_nsec: i64::from(at_most.subsec_nanos()) };
    // A signal ends the wait as well; whoever waits looks again anyway.
    poll(&mut ready, Some(&at_most)).is_ok_and(|ready| ready > 0)
}

/// Opens a device, and what its longer frames come from where they come one by one.
fn activate(
    name: &str,
    settings: &LiveSettings,
    buffer: usize,
) -> Result<(Capture<Active>, Option<LongFrames>), LiveError> {
    if cfg!(target_os = "linux") && name != ANY && !settings.in_blocks {
        let slots = Capture::from_device(name).map(|device| device.immediate_mode(true));
        let capture = opened(slots, name, settings, (settings.snaplen.min(SLOT), buffer / 2))?;
        if link_type(capture.get_datalink().0) == LinkType::ETHERNET
            && let Some(long) = LongFrames::of(&capture, buffer / 2, settings.snaplen)
        {
            return Ok((capture, Some(long)));
        }
    }
    let blocks = Capture::from_device(name);
    Ok((opened(blocks, name, settings, (settings.snaplen, buffer))?, None))
}

/// Opens a device for so many bytes of a frame, with a buffer of that many.
fn opened(
    device: Result<Capture<Inactive>, pcap::Error>,
    name: &str,
    settings: &LiveSettings,
    (snaplen, buffer): (usize, usize),
) -> Result<Capture<Active>, LiveError> {
    let failed = |error: pcap::Error| LiveError::diagnose(name, buffer, &words(&error));
    let inactive = device
        .map_err(failed)?
        // All interfaces at once cannot listen to what is not for them.
        .promisc(settings.promiscuous && name != ANY)
        .snaplen(clamped(snaplen))
        .buffer_size(clamped(buffer))
        .timeout(if settings.in_blocks { LONG_BLOCK_TIMEOUT_MS } else { BLOCK_TIMEOUT_MS });
    // Elsewhere microseconds may be all there is, and no way to know.
    let inactive = if cfg!(target_os = "linux") { inactive.precision(Precision::Nano) } else { inactive };
    inactive.open().and_then(Capture::setnonblock).map_err(failed)
}

fn clamped(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// libpcap's number for a live device as files number it; they differ for raw IP only, of those that carry IP.
fn link_type(data_link: i32) -> LinkType {
    match data_link {
        12 | 14 => LinkType::RAW,
        // Numbers that do not fit are no link type; decoding says so of every frame.
        other => LinkType(u16::try_from(other).unwrap_or(u16::MAX)),
    }
}

/// Returns the capture time of a frame. The microseconds field has nanoseconds where those were requested.
fn timestamp(header: &PacketHeader) -> Timestamp {
    let tick = if cfg!(target_os = "linux") { 1 } else { 1000 };
    let seconds = u64::try_from(header.ts.tv_sec).unwrap_or_default();
    let fraction = u64::try_from(header.ts.tv_usec).unwrap_or_default();
    Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(fraction.saturating_mul(tick)))
}

/// libpcap's own words.
pub(super) fn words(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(words) => words.clone(),
        other => other.to_string(),
    }
}

/// Counters of 32 bits that wrap around, as sums that do not.
#[derive(Clone, Copy, Debug, Default)]
struct WideCounters {
    last: (u32, u32),
    sums: Dropped,
}

impl WideCounters {
    fn add(&mut self, kernel: u32, interface: u32) {
        self.sums.kernel += growth(self.last.0, kernel);
        self.sums.interface += growth(self.last.1, interface);
        self.last = (kernel, interface);
    }
}

fn growth(last: u32, now: u32) -> u64 {
    match now.wrapping_sub(last) {
        BEGAN_AGAIN.. => 0,
        growth => growth.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_past_what_32_bits_can_count() {
        let mut counted = WideCounters::default();
        for kernel in [0x7000_0000, 0xe000_0000, 0x5000_0000] {
            counted.add(kernel, 7);
        }
        assert_eq!(counted.sums, Dropped { kernel: 0x1_5000_0000, interface: 7 });
    }

    #[test]
    fn a_counter_that_begins_again_is_no_loss() {
        let mut counted = WideCounters::default();
        counted.add(0, 100);
        counted.add(0, 3);
        counted.add(0, 5);
        assert_eq!(counted.sums, Dropped { kernel: 0, interface: 102 });
    }
}
