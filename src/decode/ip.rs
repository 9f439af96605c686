//! IPv4, IPv6 with its extension headers, fragments, and TCP.

use std::net::Ipv4Addr;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice};

use super::fragments::{Fragment, Fragments};
use super::{Endpoint, Flags, LayerCursor, LayerStop, Skip, TcpFields};

/// IP protocol numbers (IANA).
pub(super) mod protocol {
    pub(in crate::decode) const HOP_BY_HOP: u8 = 0;
    pub(in crate::decode) const IPV4: u8 = 4;
    pub(in crate::decode) const TCP: u8 = 6;
    pub(in crate::decode) const UDP: u8 = 17;
    pub(in crate::decode) const IPV6: u8 = 41;
    pub(in crate::decode) const ROUTING: u8 = 43;
    pub(in crate::decode) const FRAGMENT: u8 = 44;
    pub(in crate::decode) const GRE: u8 = 47;
    pub(in crate::decode) const ESP: u8 = 50;
    pub(in crate::decode) const AUTHENTICATION: u8 = 51;
    pub(in crate::decode) const DESTINATION: u8 = 60;
    pub(in crate::decode) const ETHER_IP: u8 = 97;
    pub(in crate::decode) const IPCOMP: u8 = 108;
    pub(in crate::decode) const MOBILITY: u8 = 135;
    pub(in crate::decode) const MPLS: u8 = 137;
    pub(in crate::decode) const HIP: u8 = 139;
    pub(in crate::decode) const SHIM6: u8 = 140;
    pub(in crate::decode) const ETHERNET: u8 = 143;
}

impl LayerCursor<'_> {
    /// Reads IP of either version, by its first four bits.
    pub(super) fn ip(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        self.deeper()?;
        match self.u8(0)? >> 4 {
            4 => self.ipv4(fragments),
            6 => self.ipv6(fragments),
            _ => Err(Skip::BadHeader.into()),
        }
    }

    fn ipv4(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let header = Ipv4HeaderSlice::from_slice(self.rest()).map_err(|_| self.short_or_bad(20))?;
        let header_len = header.slice().len();
        // Zero is what segmentation offload leaves in frames larger than the field can say.
        match usize::from(header.total_len()) {
            0 => {}
            total if total < header_len => return Err(Skip::BadHeader.into()),
            total => self.limit(total),
        }
        let source = u128::from(Ipv4Addr::from(header.source()).to_ipv6_mapped());
        let destination = u128::from(Ipv4Addr::from(header.destination()).to_ipv6_mapped());
        let protocol = header.protocol().0;
        self.peel(header_len)?;
        if header.is_fragmenting_payload() {
            let fragment = Fragment {
                network: self.tag,
                source,
                destination,
                id: u32::from(header.identification()),
                protocol,
                offset: usize::from(header.fragments_offset().value()) * 8,
                more: header.more_fragments(),
            };
            return self.fragment(fragment, fragments);
        }
        self.transport(protocol, source, destination, fragments)
    }

    fn ipv6(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let header = Ipv6HeaderSlice::from_slice(self.rest()).map_err(|_| self.short_or_bad(40))?;
        let source = u128::from(header.source_addr());
        let destination = u128::from(header.destination_addr());
        let next = header.next_header().0;
        let len = usize::from(header.payload_length());
        self.peel(40)?;
        // Zero stands for a jumbo payload (RFC 2675), and for segmentation offload.
        if len > 0 {
            self.limit(len);
        }
        self.transport(next, source, destination, fragments)
    }

    /// Reads the payload of IP: extension headers, a tunnel, or TCP.
    pub(super) fn transport(
        &mut self,
        protocol: u8,
        source: u128,
        destination: u128,
        fragments: &mut Fragments,
    ) -> Result<TcpFields, LayerStop> {
        let mut next = protocol;
        loop {
            match next {
                protocol::TCP => return Ok(self.tcp(source, destination)?),
                protocol::HOP_BY_HOP
                | protocol::ROUTING
                | protocol::DESTINATION
                | protocol::MOBILITY
                | protocol::HIP
                | protocol::SHIM6 => {
                    let len = (usize::from(self.u8(1)?) + 1) * 8;
                    next = self.u8(0)?;
                    self.deeper()?;
                    self.peel(len)?;
                }
                protocol::AUTHENTICATION => {
                    // RFC 4302, 2.2: counted in words of four bytes, less two.
                    let len = (usize::from(self.u8(1)?) + 2) * 4;
                    next = self.u8(0)?;
                    self.deeper()?;
                    self.peel(len)?;
                }
                protocol::FRAGMENT => {
                    let fields = self.u16(2)?;
                    let (offset, more) = (usize::from(fields & !7), fields & 1 == 1);
                    let id = (u32::from(self.u16(4)?) << 16) | u32::from(self.u16(6)?);
                    let inner = self.u8(0)?;
                    self.peel(8)?;
                    if offset == 0 && !more {
                        // An atomic fragment (RFC 6946) is a whole datagram.
                        self.deeper()?;
                        next = inner;
                        continue;
                    }
                    let fragment =
                        Fragment { network: self.tag, source, destination, id, protocol: inner, offset, more };
                    return self.fragment(fragment, fragments);
                }
                protocol::IPV4 | protocol::IPV6 => return self.ip(fragments),
                protocol::GRE => return self.gre(fragments),
                protocol::UDP => return self.udp(fragments),
                protocol::MPLS => return self.ether_type(0x8847, fragments),
                protocol::ETHERNET => return self.ethernet(fragments),
                protocol::ETHER_IP => {
                    // Two bytes with a version (RFC 3378), then an Ethernet frame.
                    self.peel(2)?;
                    return self.ethernet(fragments);
                }
                protocol::IPCOMP => return self.ipcomp(source, destination),
                protocol::ESP => return Err(Skip::Encrypted.into()),
                _ => return Err(Skip::NotTcp.into()),
            }
        }
    }

    fn tcp(&self, source: u128, destination: u128) -> Result<TcpFields, Skip> {
        let header = TcpHeaderSlice::from_slice(self.rest()).map_err(|_| self.short_or_bad(20))?;
        let flags = Flags::of_header(self.u8(13)?);
        Ok(TcpFields {
            source: Endpoint::new(source, header.source_port()),
            destination: Endpoint::new(destination, header.destination_port()),
            seq: header.sequence_number(),
            ack: header.acknowledgment_number(),
            flags,
            header: self.at,
            payload: self.at + header.slice().len()..self.end,
            missing: u32::try_from(self.wire_end - self.end).unwrap_or(u32::MAX),
            tag: self.tag,
        })
    }

    /// Holds a fragment; continues with the datagram once it is whole.
    fn fragment(&self, fragment: Fragment, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        if self.wire_end > self.end {
            return Err(Skip::Truncated.into());
        }
        match fragments.add(fragment, self.rest(), self.now)? {
            Some(datagram) => Err(LayerStop::Assembled(datagram)),
            None => Err(Skip::Fragment.into()),
        }
    }

    /// Returns the reason why a header of at least `least` bytes could not be read.
    fn short_or_bad(&self, least: usize) -> Skip {
        if self.rest().len() < least || self.wire_end > self.end { Skip::Truncated } else { Skip::BadHeader }
    }
}
