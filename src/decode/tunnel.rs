//! Tunnels that mirror ports and overlay networks use: GRE and ERSPAN, VXLAN, Geneve, TZSP, GTP-U, L2TP, Teredo,
//! AYIYA, IPComp.

use std::io::Read;

use super::fragments::{Datagram, Fragments};
use super::hints::Hint;
use super::ip::protocol;
use super::{LayerCursor, LayerStop, Skip, TcpFields};
use crate::capture::TunnelKind;

/// VXLAN that names what it carries (draft-ietf-nvo3-vxlan-gpe).
const VXLAN_GPE: u16 = 4790;
const GTP_U: u16 = 2152;
const TEREDO: u16 = 3544;
const L2TP: u16 = 1701;
const AYIYA: u16 = 5072;
/// MPLS in UDP (RFC 7510).
const MPLS_IN_UDP: u16 = 6635;

const ERSPAN_I_OR_II: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
const PPP_IN_GRE: u16 = 0x880b;
const WCCP: u16 = 0x883e;
/// IEEE 802.11 frames as wireless controllers of one vendor tunnel them: the low bits number a queue.
const WIRELESS: std::ops::RangeInclusive<u16> = 0x8200..=0x820f;

/// Largest datagram that IPComp may grow to.
const MAX_INFLATED: u64 = 65_535;

impl LayerCursor<'_> {
    /// GRE (RFC 2784, 2890), also as PPTP has it (RFC 2637) and around ERSPAN.
    pub(super) fn gre(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let flags = self.u16(0)?;
        let protocol = self.u16(2)?;
        let (checksum, routing, key, sequence) =
            (flags & 0x8000 != 0, flags & 0x4000 != 0, flags & 0x2000 != 0, flags & 0x1000 != 0);
        let acknowledgement = flags & 7 == 1 && flags & 0x80 != 0;
        if routing || flags & 7 > 1 {
            return Err(Skip::BadHeader.into());
        }
        self.peel(4 + 4 * [checksum, key, sequence, acknowledgement].iter().filter(|set| **set).count())?;
        match protocol {
            // Type II says so by a sequence number; type I has no header of its own.
            ERSPAN_I_OR_II => {
                self.peel(if sequence { 8 } else { 0 })?;
                self.deeper()?;
                self.ethernet(fragments)
            }
            ERSPAN_III => {
                let platform = self.u8(11)? & 1 == 1;
                self.peel(if platform { 20 } else { 12 })?;
                self.deeper()?;
                self.ethernet(fragments)
            }
            PPP_IN_GRE => self.ppp(fragments),
            WCCP => {
                // Version 2 puts four bytes before the datagram, version 1 does not.
                if self.u8(0)? >> 4 != 4 {
                    self.peel(4)?;
                }
                self.ip(fragments)
            }
            wireless if WIRELESS.contains(&wireless) => self.wireless(fragments),
            ether_type => self.ether_type(ether_type, fragments),
        }
    }

    /// UDP, where one of its ports is that of a tunnel.
    pub(super) fn udp(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let (from, to) = (self.u16(0)?, self.u16(2)?);
        let len = usize::from(self.u16(4)?);
        if len >= 8 {
            self.limit(len);
        }
        self.peel(8)?;
        let named = self.ports.iter().find(|(port, _)| *port == to).map(|(_, kind)| *kind);
        if let Some(kind) = named.or_else(|| TunnelKind::of_port(to)) {
            return match kind {
                TunnelKind::Vxlan => self.vxlan(fragments),
                TunnelKind::Geneve => self.geneve(fragments),
                TunnelKind::Gre => self.gre(fragments),
                TunnelKind::Tzsp => self.tzsp(fragments),
            };
        }
        match to {
            VXLAN_GPE => self.vxlan_gpe(fragments),
            MPLS_IN_UDP => self.ether_type(0x8847, fragments),
            GTP_U => self.gtp_u(fragments),
            _ if from == GTP_U => self.gtp_u(fragments),
            _ if from == L2TP || to == L2TP => self.l2tp(fragments),
            _ if from == AYIYA || to == AYIYA => self.ayiya(fragments),
            _ if from == TEREDO || to == TEREDO => self.teredo(fragments),
            _ if self.is_between_teredo_relays() => self.ip(fragments),
            _ => {
                let Some(kind) = super::hints::looks_like(self.rest()) else { return Err(Skip::NotTcp.into()) };
                self.hint = Some(Hint::Tunnel(kind, to));
                Err(Skip::TunnelPort.into())
            }
        }
    }

    /// TZSP, version 1: what it carries, then fields up to one that ends them. A field is a number alone (padding, and
    /// the end), or a number, a length and as many bytes.
    fn tzsp(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        const ETHERNET: u16 = 1;
        const WIRELESS: u16 = 18;
        const PADDING: u8 = 0;
        const END: u8 = 1;
        let (version, kind, carries) = (self.u8(0)?, self.u8(1)?, self.u16(2)?);
        // Received, and to be sent: others carry no frame.
        if version != 1 || kind > 1 {
            return Err(Skip::NotTcp.into());
        }
        self.peel(4)?;
        loop {
            match self.u8(0)? {
                PADDING => self.peel(1)?,
                END => break,
                _ => {
                    let len = usize::from(self.u8(1)?);
                    self.peel(2 + len)?;
                }
            }
        }
        self.peel(1)?;
        self.deeper()?;
        match carries {
            ETHERNET => self.ethernet(fragments),
            WIRELESS => self.wireless(fragments),
            _ => Err(Skip::NotIp.into()),
        }
    }

    /// Returns whether all of a UDP payload is an IPv6 datagram from or to a Teredo address (RFC 4380, 2.12): relays
    /// and clients use ports of their own between each other.
    fn is_between_teredo_relays(&self) -> bool {
        const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
        const HEADER: usize = 40;
        let rest = self.rest();
        rest.first().is_some_and(|first| first >> 4 == 6)
            && self.u16(4).is_ok_and(|len| usize::from(len) + HEADER == self.wire_end - self.at)
            && [8, 24].iter().any(|at| rest.get(*at..).is_some_and(|address| address.starts_with(&PREFIX)))
    }

    /// VXLAN (RFC 7348): reserved fields are ignored on receipt, the flag of the network identifier must be set.
    fn vxlan(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        if self.u8(0)? & 0x08 == 0 {
            return Err(Skip::NotTcp.into());
        }
        let id = self.network_id()?;
        self.note_network(id);
        self.peel(8)?;
        self.deeper()?;
        self.ethernet(fragments)
    }

    /// The network identifier of VXLAN and Geneve.
    fn network_id(&self) -> Result<u32, Skip> {
        Ok(u32::from(self.u16(4)?) << 8 | u32::from(self.u8(6)?))
    }

    /// VXLAN with a protocol number where plain VXLAN has reserved bits.
    fn vxlan_gpe(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let next = if self.u8(0)? & 0x04 != 0 { self.u8(3)? } else { 3 };
        let id = self.network_id()?;
        self.note_network(id);
        self.peel(8)?;
        self.deeper()?;
        match next {
            1 | 2 => self.ip(fragments),
            3 => self.ethernet(fragments),
            _ => Err(Skip::NotTcp.into()),
        }
    }

    /// AYIYA (draft-massar-v6ops-ayiya): an identity and a signature, each as long as it says, then mostly IPv6.
    fn ayiya(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        const FORWARD: u8 = 1;
        let identity = 1 << usize::from(self.u8(0)? >> 4);
        let signature = usize::from(self.u8(1)? >> 4) * 4;
        let (operation, next) = (self.u8(2)? & 0x0f, self.u8(3)?);
        if operation != FORWARD || !matches!(next, protocol::IPV4 | protocol::IPV6) {
            return Err(Skip::NotTcp.into());
        }
        self.peel(8 + identity + signature)?;
        self.ip(fragments)
    }

    /// Geneve (RFC 8926), its options passed over.
    fn geneve(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let options = usize::from(self.u8(0)? & 0x3f) * 4;
        if self.u8(0)? >> 6 != 0 {
            return Err(Skip::BadHeader.into());
        }
        let protocol = self.u16(2)?;
        let id = self.network_id()?;
        self.note_network(id);
        self.peel(8 + options)?;
        self.ether_type(protocol, fragments)
    }

    /// GTP-U version 1 (3GPP TS 29.281): a user's datagram with optional fields and extension headers before it.
    fn gtp_u(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        const USER_DATA: u8 = 0xff;
        let flags = self.u8(0)?;
        if flags >> 5 != 1 || flags & 0x10 == 0 || self.u8(1)? != USER_DATA {
            return Err(Skip::NotTcp.into());
        }
        let mut extension = 0;
        let optional = flags & 0x07 != 0;
        if optional && flags & 0x04 != 0 {
            extension = self.u8(11)?;
        }
        self.peel(if optional { 12 } else { 8 })?;
        while extension != 0 {
            self.deeper()?;
            let len = usize::from(self.u8(0)?) * 4;
            if len == 0 {
                return Err(Skip::BadHeader.into());
            }
            extension = self.u8(len - 1)?;
            self.peel(len)?;
        }
        self.ip(fragments)
    }

    /// Teredo (RFC 4380): an IPv6 datagram, possibly after authentication and origin headers.
    fn teredo(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        if self.u16(0)? == 0x0001 {
            let client = usize::from(self.u8(2)?);
            let value = usize::from(self.u8(3)?);
            self.peel(13 + client + value)?;
        }
        if self.u16(0)? == 0x0000 {
            self.peel(8)?;
        }
        if self.u8(0)? >> 4 == 6 { self.ip(fragments) } else { Err(Skip::NotTcp.into()) }
    }

    /// L2TP version 2 (RFC 2661): data messages carry PPP.
    fn l2tp(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let flags = self.u16(0)?;
        let (control, length, sequence, offset) =
            (flags & 0x8000 != 0, flags & 0x4000 != 0, flags & 0x0800 != 0, flags & 0x0200 != 0);
        if control || flags & 0x000f != 2 {
            return Err(Skip::NotTcp.into());
        }
        self.peel(2 + if length { 2 } else { 0 } + 4 + if sequence { 4 } else { 0 })?;
        if offset {
            let padding = usize::from(self.u16(0)?);
            self.peel(2 + padding)?;
        }
        self.deeper()?;
        self.ppp(fragments)
    }

    /// IPComp (RFC 3173), where its content is deflated (RFC 2394): well-known and negotiated numbers alike.
    pub(super) fn ipcomp(&mut self, source: u128, destination: u128) -> Result<TcpFields, LayerStop> {
        let protocol = self.u8(0)?;
        self.peel(4)?;
        self.deeper()?;
        if self.wire_end > self.end {
            return Err(Skip::Truncated.into());
        }
        let mut payload = Vec::new();
        let mut inflated = flate2::read::DeflateDecoder::new(self.rest()).take(MAX_INFLATED);
        match inflated.read_to_end(&mut payload) {
            Ok(len) if len > 0 => Err(LayerStop::Assembled(Datagram { source, destination, protocol, payload })),
            _ => Err(Skip::Encrypted.into()),
        }
    }
}
