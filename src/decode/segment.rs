//! A TCP segment, and the two ends between which it went.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::exchange::Timestamp;

/// An address and port. IPv4 is held as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2), so that all compare alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address, IPv4 mapped: its upper half, for a 128-bit number would make every endpoint a third larger.
    upper: u64,
    lower: u64,
    /// The TCP port.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint of an address, IPv4 mapped, and a TCP port.
    #[must_use]
    pub const fn new(ip: u128, port: u16) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "each half is kept")]
        Self { upper: (ip >> 64) as u64, lower: ip as u64, port }
    }

    /// The endpoint of an address in two halves.
    pub(crate) const fn of_halves([upper, lower]: [u64; 2], port: u16) -> Self {
        Self { upper, lower, port }
    }

    /// Both halves of the address.
    pub(crate) const fn halves(self) -> [u64; 2] {
        [self.upper, self.lower]
    }

    /// The address alone: port 0.
    pub(super) const fn without_port(self) -> Self {
        Self { port: 0, ..self }
    }

    /// The endpoint as the standard library has it.
    #[must_use]
    pub(crate) fn socket_addr(self) -> SocketAddr {
        let ip = match (self.upper, self.lower >> 32, u32::try_from(self.lower & u64::from(u32::MAX))) {
            (0, 0xffff, Ok(v4)) => IpAddr::from(Ipv4Addr::from_bits(v4)),
            _ => IpAddr::from(Ipv6Addr::from((u128::from(self.upper) << 64) | u128::from(self.lower))),
        };
        SocketAddr::new(ip, self.port)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self::new(ip.into(), addr.port())
    }
}

/// TCP flags (RFC 9293, 3.1), those that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of the byte that has them in a TCP header.
    #[must_use]
    pub(crate) const fn of_header(byte: u8) -> Self {
        Self(byte & Self::FIN.with(Self::SYN).with(Self::RST).with(Self::ACK).0)
    }

    /// Returns whether all of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A TCP segment, its payload borrowed from the frame.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Capture time of its frame.
    pub at: Timestamp,
    /// Sender.
    pub source: Endpoint,
    /// Receiver.
    pub destination: Endpoint,
    /// Sequence number of its first byte, or of its SYN.
    pub seq: u32,
    /// Acknowledgement number; of no meaning without [`Flags::ACK`].
    pub ack: u32,
    /// Its flags.
    pub flags: Flags,
    /// The payload as far as it was captured.
    pub payload: &'a [u8],
    /// Payload bytes after `payload` that were on the wire and not captured (snap length).
    pub missing: u32,
    /// Network among several with the same addresses, by its tags (VLAN, VNI); 0 without tags.
    pub tag: u32,
    /// Its header with options; empty where it is not at hand, and the checksum says nothing then.
    pub header: &'a [u8],
}

impl Segment<'_> {
    /// Returns whether one of its ends has one of these ports.
    #[inline]
    pub(crate) fn has_port(&self, ports: &[u16]) -> bool {
        ports.contains(&self.source.port) || ports.contains(&self.destination.port)
    }
}
