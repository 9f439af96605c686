//! Frames off the wire, through libpcap: one source, however many interfaces.
//!
//! All interfaces are read on the thread that asks. Frames of one interface are handed out as libpcap has them; those of
//! several are copied, so that they can be put in order of time. Nothing is decoded here, and nothing waits longer than
//! some milliseconds.

mod error;
mod expression;
mod frame_rate;
mod handle;
mod kernel_filter;
mod kernel_sample;
mod last_frames;
mod later;
mod listeners;
#[cfg_attr(not(target_os = "linux"), path = "blocks_only.rs")]
mod long_frames;
mod merged;
mod monitor;
mod scope;
mod selection;
mod single;

use std::time::Duration;

pub use error::{LiveError, setcap};
pub use expression::expression;
pub use kernel_sample::KernelSample;
pub use scope::CaptureScope;

use self::handle::Handle;
use self::later::{Newcomer, SpareHandles};
use self::merged::{MergedReader, OwnedFrame};
use self::monitor::CaptureMonitor;
use self::selection::InterfaceSelection;
use self::single::SingleReader;
use super::interfaces;
use super::{Dropped, Frame, Halt, Polled, Source, Tunnel};
use crate::exchange::Timestamp;

/// Most interfaces that are captured on at once. More that are named are a mistake; where nothing is named and more are
/// up, `any` takes their place.
pub(crate) const MAX_INTERFACES: usize = 8;
/// Default size of the kernel's buffer for frames that were not read yet, in bytes.
pub(crate) const DEFAULT_BUFFER: usize = 64 << 20;
/// Bytes of a frame that are captured, where nothing else is said: more than segmentation offload makes of any frame,
/// but for jumbograms of IPv6.
pub(crate) const DEFAULT_SNAPLEN: usize = 262_144;
/// Longest wait for a frame before [`Polled::Idle`] is said.
const IDLE: Duration = Duration::from_millis(20);
/// A frame that was stamped this long ago has been read: where frames come in blocks, the kernel hands one over after some
/// milliseconds, late by its timer.
const SETTLED: Duration = Duration::from_millis(20);
/// Pause after a device that said it had something and did not, so that asking it is no busy loop.
const SPURIOUS: Duration = Duration::from_millis(2);

/// Settings of a live capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// The interfaces, or patterns of their names with `*` and `?`; [`interfaces::ANY`] is all at once. None: those that
    /// carry the ports.
    pub interfaces: Vec<String>,
    /// A filter in libpcap's language, as typed. It sees the frame as it is: what is inside VLANs and tunnels, it has
    /// to ask for.
    pub bpf: Option<String>,
    /// TCP ports of servers, under VLAN tags too. Empty: every port.
    pub ports: Vec<u16>,
    /// Tunnels that are let through for what may be inside.
    pub tunnels: Vec<Tunnel>,
    /// Size of the kernel's buffer for frames that were not read yet, in bytes, for all interfaces together. When it is
    /// full, frames are dropped, and [`Dropped::kernel`] counts them.
    pub buffer: usize,
    /// Bytes of a frame that are captured; longer ones are cut, and what was in them is incomplete.
    pub snaplen: usize,
    /// True to capture frames addressed to other hosts as well: a mirror port carries nothing else.
    pub promiscuous: bool,
    /// Whether frames may come in blocks of some milliseconds, which costs less than to hand over each one at once.
    pub in_blocks: bool,
    /// The sample that the kernel takes: what is out is never seen.
    pub sample: Option<KernelSample>,
    /// Whether to wait where no interface is left, until one comes back. Else the capture ends.
    pub wait_interface: bool,
    /// Ends the capture: what was captured until then is still handed out.
    pub halt: Halt,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            bpf: None,
            ports: Vec::new(),
            tunnels: Vec::new(),
            buffer: DEFAULT_BUFFER,
            snaplen: DEFAULT_SNAPLEN,
            promiscuous: true,
            in_blocks: false,
            sample: None,
            wait_interface: false,
            halt: Halt::default(),
        }
    }
}

/// Interfaces that are captured on.
pub struct Live {
    readers: Readers,
    choice: InterfaceSelection,
    /// Sockets for interfaces that appear, where such are wanted.
    spares: Option<SpareHandles>,
    /// Time of the last look for such.
    looked: Timestamp,
    /// Frame that [`Source::next`] returned last.
    copy: OwnedFrame,
}

enum Readers {
    /// The usual case: frames are borrowed from libpcap.
    Single(Box<SingleReader>),
    Several(Box<MergedReader>),
}

/// Opens the interfaces that are named, or else those that carry the ports. Needs the right to capture; afterwards no
/// right is needed any more.
///
/// # Errors
///
/// Where an interface is not there, is down, or may not be captured on; each is told.
pub fn open(settings: &LiveSettings) -> Result<Live, Vec<LiveError>> {
    let choice = selection::choice(&settings.interfaces, &settings.ports).map_err(|error| vec![error])?;
    // One buffer of a size is shared, so that the bound holds however many interfaces there are.
    let buffer = settings.buffer / choice.names.len().max(1);
    let mut handles = Vec::new();
    let mut errors = Vec::new();
    for name in &choice.names {
        match Handle::open(name, settings, buffer) {
            Ok(handle) => handles.push(handle),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut watch = CaptureMonitor::new(settings.halt.clone(), settings.wait_interface);
    let spares = SpareHandles::open(&choice.later, settings).unwrap_or_else(|why| {
        watch.warn(format!("interfaces that appear later are not captured on: {why}"));
        None
    });
    let readers = match <[Handle; 1]>::try_from(handles) {
        Ok([only]) => Readers::Single(Box::new(SingleReader::new(only, watch))),
        Err(handles) => Readers::Several(Box::new(MergedReader::new(handles, watch))),
    };
    Ok(Live { readers, choice, spares, looked: Timestamp::default(), copy: OwnedFrame::default() })
}

/// Returns those of `ports` that a process on this host listens on. With no ports, returns all that are listened on.
#[must_use]
pub fn served(ports: &[u16]) -> Vec<u16> {
    let listened = listeners::listeners().into_iter().map(|at| at.port());
    let mut served: Vec<u16> = listened.filter(|port| ports.is_empty() || ports.contains(port)).collect();
    served.sort_unstable();
    served.dedup();
    served
}

/// Those of the interfaces that are not there, or not up; of none that are named, words for any.
#[must_use]
pub fn missing(named: &[String]) -> Vec<String> {
    let Some(present) = interfaces::present() else { return Vec::new() };
    let is_up = |name: &str| present.iter().any(|one| one.up && one.name == name);
    if named.is_empty() && !present.iter().any(|one| one.up) {
        return vec!["an interface that is up".to_owned()];
    }
    let is_there = |name: &str| {
        let matches = |one: &interfaces::PresentInterface| one.up && later::matches(name, &one.name);
        is_up(name) || (later::is_pattern(name) && present.iter().any(matches))
    };
    named.iter().filter(|name| *name != interfaces::ANY && !is_there(name)).cloned().collect()
}

/// Whether `interface` can be captured on from here: it is opened, and closed again. The kind of its link, or what is
/// in the way.
///
/// # Errors
///
/// What is in the way: the interface is not there, is down, or may not be captured on.
pub fn probe(interface: &str) -> Result<super::LinkType, LiveError> {
    /// Bytes; the least that holds a few blocks.
    const BUFFER: usize = 2 << 20;
    let settings = LiveSettings { promiscuous: false, ..LiveSettings::default() };
    Handle::open(interface, &settings, BUFFER).map(|handle| handle.link)
}

impl Live {
    /// Returns the interfaces captured on and the reason for their selection, as one line to follow "capturing on".
    #[must_use]
    pub fn describe(&self) -> String {
        self.choice.to_string()
    }

    /// The names of the interfaces.
    #[must_use]
    pub fn interfaces(&self) -> &[String] {
        &self.choice.names
    }

    /// Returns whether each frame is handed over at once. Else the kernel fills blocks, and hands one over after some
    /// milliseconds.
    #[must_use]
    pub fn is_immediate(&self) -> bool {
        match &self.readers {
            Readers::Single(single) => single.is_immediate(),
            Readers::Several(several) => several.is_immediate(),
        }
    }

    fn watch(&self) -> &CaptureMonitor {
        match &self.readers {
            Readers::Single(single) => &single.watch,
            Readers::Several(several) => &several.watch,
        }
    }

    fn watch_mut(&mut self) -> &mut CaptureMonitor {
        match &mut self.readers {
            Readers::Single(single) => &mut single.watch,
            Readers::Several(several) => &mut several.watch,
        }
    }

    /// Captures on interfaces that appeared, when the reader has looked at those that it has.
    fn look_for_newcomers(&mut self) {
        if self.looked == self.watch().looked {
            return;
        }
        self.looked = self.watch().looked;
        let Some(mut spares) = self.spares.take() else { return };
        let names: Vec<String> = match &self.readers {
            Readers::Single(single) => vec![single.handle().name.clone()],
            Readers::Several(several) => several.handles().iter().map(|handle| handle.name.clone()).collect(),
        };
        let readers = &mut self.readers;
        let present = interfaces::present().unwrap_or_default();
        let newcomers = spares.newcomers(&present, &names, |found| match readers {
            Readers::Single(_) => None,
            Readers::Several(several) => several.vacant()?.reassign(found),
        });
        for newcomer in newcomers {
            let line = match newcomer {
                Newcomer::Added(handle, line) => {
                    self.add(*handle);
                    line
                }
                Newcomer::Told(line) => line,
            };
            self.watch_mut().warn(line);
        }
        self.spares = Some(spares);
    }

    /// Reads another interface from here on: one was read alone, several are merged.
    fn add(&mut self, handle: Handle) {
        let nobody =
            Readers::Several(Box::new(MergedReader::new(Vec::new(), CaptureMonitor::new(Halt::default(), true))));
        let mut several = match std::mem::replace(&mut self.readers, nobody) {
            Readers::Single(single) => {
                let (first, watch) = single.into_parts();
                Box::new(MergedReader::new(vec![first], watch))
            }
            Readers::Several(several) => several,
        };
        several.add(handle);
        self.readers = Readers::Several(several);
    }
}

impl Source for Live {
    /// Waits for a frame, and copies it; [`Source::poll`] does neither.
    fn next(&mut self) -> Option<Frame<'_>> {
        let buffer = std::mem::take(&mut self.copy).into_buffer();
        self.copy = loop {
            match self.poll() {
                Polled::Frame(frame) => break OwnedFrame::copy(&frame, buffer),
                Polled::Idle(_) => {}
                Polled::End => return None,
            }
        };
        Some(self.copy.frame())
    }

    fn poll(&mut self) -> Polled<'_> {
        if self.spares.is_some() {
            self.look_for_newcomers();
        }
        match &mut self.readers {
            Readers::Single(single) => single.poll(),
            Readers::Several(several) => several.poll(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.watch().warnings.clone()
    }

    fn unread(&self) -> Vec<String> {
        self.watch().unread.clone().into_iter().collect()
    }

    fn kernel_share(&self) -> Option<f64> {
        let shares = match &self.readers {
            Readers::Single(single) => vec![single.handle().kernel_share()],
            Readers::Several(several) => several.handles().iter().map(Handle::kernel_share).collect(),
        };
        // Where one of them lets all through, the sample is not the kernel's.
        let shares: Option<Vec<f64>> = shares.into_iter().collect();
        shares?.into_iter().reduce(f64::max)
    }

    fn dropped(&self) -> Dropped {
        match &self.readers {
            Readers::Single(single) => single.dropped(),
            Readers::Several(several) => several.dropped(),
        }
    }
}

/// Wall time, on the clock by which the kernel stamps frames.
fn now() -> Timestamp {
    Timestamp::from_nanos(u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default())
}

/// Before when everything has been read that was captured, at `now`.
fn settled(now: Timestamp) -> Timestamp {
    Timestamp::from_nanos(now.nanos().saturating_sub(u64::from(SETTLED.subsec_nanos())))
}
