//! Network interfaces of this machine: their names, addresses and states, and the interfaces they are part of.
//!
//! libpcap has names, addresses and states; the rest is in Linux's files. Nothing is opened for capture here.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::LinkAddr;
use pcap::{ConnectionStatus, Device, IfFlags};

use super::LinkType;

/// Name of the device for all interfaces at once.
pub const ANY: &str = "any";

/// State of an interface: the ability to carry frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterfaceState {
    /// It is up.
    Up,
    /// It is up, and nothing is plugged into it.
    NoCarrier,
    /// It is down: opening it fails.
    #[default]
    Down,
}

impl InterfaceState {
    /// As people and scripts read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoCarrier => "no_carrier",
            Self::Down => "down",
        }
    }
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its addresses, in the system's order.
    pub addresses: Vec<IpAddr>,
    /// State: frames come through only when it is up.
    pub state: InterfaceState,
    /// True for the loopback interface.
    pub loopback: bool,
    /// The bond or bridge that it is a member of.
    pub part_of: Option<String>,
    /// The interface that carries its frames too, tagged or by another address: this is a VLAN, or a macvlan.
    pub carried_by: Option<String>,
}

/// The interfaces cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot list the network interfaces: {why}")]
pub struct ListError {
    /// libpcap's words.
    why: String,
}

/// All network interfaces in the system's order, `any` and what is no network left out.
///
/// # Errors
///
/// Where the system does not list them.
pub fn list() -> Result<Vec<Interface>, ListError> {
    let devices = Device::list().map_err(|error| ListError { why: error.to_string() })?;
    let mut found: Vec<(u32, Interface)> =
        devices.into_iter().filter_map(|device| Some((number(&device)?, device.into()))).collect();
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, interface)| interface).collect())
}

/// The system's number of an interface. libpcap also lists what carries USB, Bluetooth, the firewall's log: these have
/// none.
fn number(device: &Device) -> Option<u32> {
    if_nametoindex(device.name.as_str()).ok()
}

impl From<Device> for Interface {
    fn from(device: Device) -> Self {
        let flags = &device.flags;
        let state = match flags.connection_status {
            _ if !flags.contains(IfFlags::UP) => InterfaceState::Down,
            ConnectionStatus::Disconnected => InterfaceState::NoCarrier,
            _ if !flags.contains(IfFlags::RUNNING) => InterfaceState::NoCarrier,
            _ => InterfaceState::Up,
        };
        Self {
            addresses: device.addresses.iter().map(|address| address.addr).collect(),
            state,
            loopback: flags.contains(IfFlags::LOOPBACK),
            part_of: linked(&device.name, "master"),
            carried_by: carrier(&device.name),
            name: device.name,
        }
    }
}

/// An interface that there is at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PresentInterface {
    pub(super) name: String,
    pub(super) up: bool,
    /// Its kind, by the system's number (ARPHRD).
    pub(super) kind: Option<u16>,
    /// Its number, where the system says it as an address.
    pub(super) link: Option<LinkAddr>,
}

impl PresentInterface {
    /// The system's number of the interface itself, which another one of its name would not have.
    pub(super) fn index(&self) -> Option<usize> {
        Some(self.link?.ifindex())
    }

    /// Returns whether it is the loopback interface.
    pub(super) fn is_loopback(&self) -> bool {
        self.kind == Some(LOOPBACK)
    }

    /// Returns whether its frames are captured as Ethernet frames.
    pub(super) fn is_ethernet(&self) -> bool {
        matches!(self.kind, Some(ETHERNET | LOOPBACK))
    }
}

/// Kinds of interfaces (`linux/if_arp.h`).
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;

/// Returns whether another interface shows all traffic of this one: it is a member of a bond or bridge, or a VLAN or macvlan.
pub(super) fn is_shown_twice(name: &str) -> bool {
    linked(name, "master").is_some() || carrier(name).is_some()
}

/// The interfaces that there are at this moment; none where there is no way to know.
pub(super) fn present() -> Option<Vec<PresentInterface>> {
    let mut all: Vec<PresentInterface> = Vec::new();
    for one in getifaddrs().ok()? {
        let up = one.flags.contains(InterfaceFlags::IFF_UP);
        let link = one.address.as_ref().and_then(|address| address.as_link_addr().copied());
        // There is an entry for each of its addresses.
        match all.iter_mut().find(|known| known.name == one.interface_name) {
            Some(known) => known.link = known.link.or(link),
            None => all.push(PresentInterface { name: one.interface_name, up, kind: None, link }),
        }
    }
    for one in &mut all {
        one.kind = one.link.as_ref().map(kind);
    }
    Some(all)
}

#[cfg(target_os = "linux")]
fn kind(link: &LinkAddr) -> u16 {
    link.hatype()
}

/// Elsewhere the system has other numbers.
#[cfg(not(target_os = "linux"))]
const fn kind(_: &LinkAddr) -> u16 {
    0
}

/// Returns the folder of an interface in `/sys/class/net`. In a process that has moved to another network namespace,
/// the files may still be those of the old one. Then the index differs, and the result is `None`.
fn system(name: &str) -> Option<PathBuf> {
    let files = Path::new("/sys/class/net").join(name);
    let index: u32 = fs::read_to_string(files.join("ifindex")).ok()?.trim().parse().ok()?;
    (if_nametoindex(name).ok()? == index).then_some(files)
}

/// Whether there is a device behind an interface, and not only the kernel.
pub(super) fn is_hardware(name: &str) -> bool {
    system(name).is_some_and(|files| files.join("device").exists())
}

/// The interface that a link of this name points to.
fn linked(name: &str, link: &str) -> Option<String> {
    let target = fs::read_link(system(name)?.join(link)).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// Returns the interface below a VLAN or macvlan. Overlays (VXLAN) have one below them too, but it carries their frames
/// wrapped.
fn carrier(name: &str) -> Option<String> {
    let files = system(name)?;
    let event = fs::read_to_string(files.join("uevent")).ok()?;
    let kind = event.lines().find_map(|line| line.strip_prefix("DEVTYPE="))?;
    if !matches!(kind, "vlan" | "macvlan") {
        return None;
    }
    let entries = fs::read_dir(files).ok()?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.find_map(|name| name.strip_prefix("lower_").map(str::to_owned))
}

/// Returns the name of a link type for people.
#[must_use]
pub const fn link_name(link: LinkType) -> &'static str {
    match link {
        LinkType::ETHERNET => "Ethernet",
        LinkType::LINUX_SLL | LinkType::LINUX_SLL2 => "Linux cooked",
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => "raw IP",
        LinkType::NULL | LinkType::LOOP => "BSD loopback",
        LinkType::PPP => "PPP",
        LinkType::IEEE_802_11 | LinkType::RADIOTAP => "802.11",
        _ => "a link type of its own",
    }
}
