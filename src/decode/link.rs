//! Link layers and what stands between them and IP: Ethernet, tags, labels, PPP, cooked captures, BSD loopback.

use super::fragments::Fragments;
use super::hints::Hint;
use super::ip::protocol;
use super::{LayerCursor, LayerStop, Skip, TcpFields};
use crate::capture::LinkType;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
/// Customer and service VLAN tags (IEEE 802.1Q, 802.1ad) and their older numbers.
const VLAN: [u16; 6] = [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300, 0x8200];
/// The tag between a switch and its port extenders or virtual ports (VN-Tag).
const PORT_EXTENDER: u16 = 0x8926;
/// A provider's backbone: the instance tag of MAC in MAC (IEEE 802.1ah), before the customer's Ethernet frame.
const BACKBONE: u16 = 0x88e7;
/// A data center's backbone (FabricPath): two bytes, then the Ethernet frame.
const FABRIC_PATH: u16 = 0x8903;
/// A switch's timestamp (`TTag`): six bytes, then the type of what follows.
const TIMESTAMP: u16 = 0x8988;
/// A switch's metadata (CMD): a version, how many options of four bytes, these, then the type of what follows.
const METADATA: u16 = 0x8909;
/// Ethernet secured between two switches (`MACsec`, IEEE 802.1AE).
const MACSEC: u16 = 0x88e5;
const MPLS_UNICAST: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const PPPOE_SESSION: u16 = 0x8864;
/// Ethernet in Ethernet: transparent Ethernet bridging, as GRE and Geneve name it.
const BRIDGED: u16 = 0x6558;
/// Lengths of IEEE 802.3 end here, types begin.
const LARGEST_802_3_LENGTH: u16 = 1500;

impl LayerCursor<'_> {
    pub(super) fn ethernet(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let ether_type = self.u16(12)?;
        self.peel(14)?;
        self.ether_type(ether_type, fragments)
    }

    pub(super) fn ether_type(&mut self, ether_type: u16, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let mut ether_type = ether_type;
        loop {
            self.deeper()?;
            match ether_type {
                IPV4 | IPV6 => return self.ip(fragments),
                tag if VLAN.contains(&tag) => {
                    let id = u32::from(self.u16(0)? & 0x0fff);
                    self.note_network(id);
                    ether_type = self.u16(2)?;
                    self.peel(4)?;
                }
                PORT_EXTENDER => {
                    ether_type = self.u16(4)?;
                    self.peel(6)?;
                }
                TIMESTAMP => {
                    ether_type = self.u16(6)?;
                    self.peel(8)?;
                }
                METADATA => {
                    let len = 2 + 4 * usize::from(self.u8(1)?);
                    ether_type = self.u16(len)?;
                    self.peel(len + 2)?;
                }
                MACSEC => ether_type = self.macsec()?,
                BACKBONE | FABRIC_PATH => {
                    self.peel(if ether_type == BACKBONE { 4 } else { 2 })?;
                    return self.ethernet(fragments);
                }
                MPLS_UNICAST | MPLS_MULTICAST => return self.mpls(fragments),
                PPPOE_SESSION => {
                    let len = usize::from(self.u16(4)?);
                    self.peel(6)?;
                    self.limit(len);
                    return self.ppp(fragments);
                }
                BRIDGED => return self.ethernet(fragments),
                length if length <= LARGEST_802_3_LENGTH => {
                    // LLC with SNAP (RFC 1042) carries an EtherType after an organization code of zero.
                    self.limit(usize::from(length));
                    if !self.rest().starts_with(&[0xaa, 0xaa, 0x03, 0, 0, 0]) {
                        return Err(Skip::NotIp.into());
                    }
                    ether_type = self.u16(6)?;
                    self.peel(8)?;
                }
                unknown if self.has_datagram_behind() => {
                    self.hint = Some(Hint::Tag(unknown));
                    return Err(Skip::UnknownTag.into());
                }
                _ => return Err(Skip::NotIp.into()),
            }
        }
    }

    /// Peels a `MACsec` tag that leaves the frame in plain; returns the type of what follows.
    fn macsec(&mut self) -> Result<u16, Skip> {
        // Flags say whether it is encrypted or changed, and whether it names its channel in 8 bytes more.
        let flags = self.u8(0)?;
        if flags & 0x0c != 0 {
            return Err(Skip::Encrypted);
        }
        let len = if flags & 0x20 == 0 { 6 } else { 14 };
        let ether_type = self.u16(len)?;
        self.peel(len + 2)?;
        Ok(ether_type)
    }

    /// Returns whether an IPv4 datagram with TCP begins within some bytes from here, by the checksum of its header.
    fn has_datagram_behind(&self) -> bool {
        /// No tag is longer.
        const LONGEST_TAG: usize = 32;
        let begins = |header: &&[u8]| {
            matches!(header, [0x45, _, _, _, _, _, _, _, _, protocol::TCP, ..]) && super::hints::sums_up(header)
        };
        self.rest().windows(20).take(LONGEST_TAG + 1).any(|header| begins(&header))
    }

    /// Ethernet with a router's own header before it: a magic number, flags, and fields of which the length is given.
    pub(super) fn juniper_ethernet(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        const MAGIC: &[u8] = b"MGC";
        const WITHOUT_ETHERNET: u8 = 0x02;
        const HAS_FIELDS: u8 = 0x80;
        if !self.rest().starts_with(MAGIC) {
            return Err(if self.rest().len() < MAGIC.len() { Skip::Truncated } else { Skip::BadHeader }.into());
        }
        let flags = self.u8(3)?;
        let fields = if flags & HAS_FIELDS == 0 { 0 } else { 2 + usize::from(self.u16(4)?) };
        self.peel(4 + fields)?;
        if flags & WITHOUT_ETHERNET == 0 { self.ethernet(fragments) } else { self.ip(fragments) }
    }

    /// Ethernet with its preamble and what says where a frame starts (IEEE 802.3br). Pieces after the first one of a
    /// frame that was interrupted have no header.
    pub(super) fn mpacket(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        const PREAMBLE: u8 = 0x55;
        /// An express frame, and the first piece of one that may be interrupted, by its number.
        const STARTS: [u8; 5] = [0xd5, 0xe6, 0x4c, 0x7f, 0xb3];
        let preamble = self.rest().iter().take(7).take_while(|byte| **byte == PREAMBLE).count();
        let starts = STARTS.contains(&self.u8(preamble)?);
        self.peel(preamble + 1)?;
        if starts { self.ethernet(fragments) } else { Err(Skip::BadFragment.into()) }
    }

    /// Reads the log format of the packet filter of BSD systems: a header with its own length, without padding, and the
    /// address family.
    pub(super) fn firewall_log(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let (len, family) = (usize::from(self.u8(0)?), self.u8(1)?);
        self.peel(len.next_multiple_of(4))?;
        match family {
            2 | 10 | 24 | 28 | 30 => self.ip(fragments),
            _ => Err(Skip::NotIp.into()),
        }
    }

    /// Reads labels up to the bottom of the stack (RFC 3032). The payload type comes from its first bits (RFC 4928).
    fn mpls(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        loop {
            self.deeper()?;
            let bottom = self.u8(2)? & 1 == 1;
            self.peel(4)?;
            if bottom {
                break;
            }
        }
        match self.u8(0)? >> 4 {
            4 | 6 => self.ip(fragments),
            // Many hardware addresses begin with 0 as well: a type that stands in its place tells.
            0 if matches!(self.u16(12)?, IPV4 | IPV6) || VLAN.contains(&self.u16(12)?) => self.ethernet(fragments),
            0 => {
                // A pseudowire control word (RFC 4385) before an Ethernet frame.
                self.peel(4)?;
                self.ethernet(fragments)
            }
            _ => self.ethernet(fragments),
        }
    }

    /// PPP (RFC 1661) with or without HDLC-like address and control (RFC 1662), protocol field compressed or not.
    pub(super) fn ppp(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        if self.rest().starts_with(&[0xff, 0x03]) {
            self.peel(2)?;
        }
        let compressed = self.u8(0)? & 1 == 1;
        let protocol = if compressed { u16::from(self.u8(0)?) } else { self.u16(0)? };
        self.peel(if compressed { 1 } else { 2 })?;
        match protocol {
            0x0021 | 0x0057 => self.ip(fragments),
            0x0281 | 0x0283 => self.mpls(fragments),
            _ => Err(Skip::NotIp.into()),
        }
    }

    /// A protocol family of the system that captured, in either byte order.
    pub(super) fn bsd_loopback(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let family = match self.rest().first_chunk() {
            Some([family, 0, 0, 0] | [0, 0, 0, family]) => *family,
            Some(_) => return Err(Skip::NotIp.into()),
            None => return Err(Skip::Truncated.into()),
        };
        self.peel(4)?;
        match family {
            // IPv4, and IPv6 as Linux, NetBSD, FreeBSD and macOS number it.
            2 | 10 | 24 | 28 | 30 => self.ip(fragments),
            _ => Err(Skip::NotIp.into()),
        }
    }

    /// Linux cooked capture, version 1: the EtherType stands last of 16 bytes.
    pub(super) fn cooked_v1(&mut self) -> Result<u16, Skip> {
        let protocol = self.u16(14)?;
        self.peel(16)?;
        Ok(protocol)
    }

    /// Linux cooked capture, version 2: the EtherType stands first of 20 bytes.
    pub(super) fn cooked_v2(&mut self) -> Result<u16, Skip> {
        let protocol = self.u16(0)?;
        self.peel(20)?;
        Ok(protocol)
    }

    /// Cisco HDLC: address, control, then an EtherType.
    pub(super) fn cisco_hdlc(&mut self) -> Result<u16, Skip> {
        let protocol = self.u16(2)?;
        self.peel(4)?;
        Ok(protocol)
    }

    /// IEEE 802.11 after a radiotap header, which says its own length in little-endian order.
    pub(super) fn radiotap(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let len = usize::from(self.u16(2)?.swap_bytes());
        self.peel(len)?;
        self.wireless(fragments)
    }

    /// IEEE 802.11: data frames carry LLC with SNAP.
    pub(super) fn wireless(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let (control, flags) = (self.u8(0)?, self.u8(1)?);
        let (data, quality, empty) = (control & 0x0c == 0x08, control & 0x80 != 0, control & 0x40 != 0);
        if !data || empty {
            return Err(Skip::NotIp.into());
        }
        if flags & 0x40 != 0 {
            return Err(Skip::Encrypted.into());
        }
        let four_addresses = flags & 0x03 == 0x03;
        let mut len = 24 + if four_addresses { 6 } else { 0 };
        if quality {
            // An order bit on such a frame announces four bytes of high-throughput control.
            len += 2 + if flags & 0x80 != 0 { 4 } else { 0 };
        }
        self.deeper()?;
        self.snap(len, fragments)
    }

    /// LLC with SNAP alone (ATM, RFC 2684), or after `head` bytes of a link's own.
    pub(super) fn snap(&mut self, head: usize, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        self.peel(head)?;
        if !self.rest().starts_with(&[0xaa, 0xaa, 0x03]) {
            return Err(Skip::NotIp.into());
        }
        let ether_type = self.u16(6)?;
        self.peel(8)?;
        self.ether_type(ether_type, fragments)
    }

    /// Reads the netfilter log format: four bytes, then fields of which one is the datagram. Their numbers are in the
    /// byte order of the host, which is little-endian in every known capture.
    pub(super) fn netfilter_log(&mut self, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        const PAYLOAD: u16 = 9;
        self.peel(4)?;
        loop {
            let (len, kind) = (usize::from(self.u16(0)?.swap_bytes()), self.u16(2)?.swap_bytes());
            if len < 4 {
                return Err(Skip::BadHeader.into());
            }
            if kind & 0x7fff == PAYLOAD {
                self.limit(len);
                self.peel(4)?;
                return self.ip(fragments);
            }
            self.peel(len.next_multiple_of(4))?;
        }
    }

    /// Headers that say their own length and which link type follows, both in little-endian order: PPI (`wide` is
    /// false) and what macOS captures on several interfaces at once.
    pub(super) fn announced(&mut self, wide: bool, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let (len, link) = if wide { (self.u16(0)?, self.u16(8)?) } else { (self.u16(2)?, self.u16(4)?) };
        self.deeper()?;
        self.peel(usize::from(len.swap_bytes()))?;
        self.link(LinkType(link.swap_bytes()), fragments)
    }

    /// ARCNET (RFC 1201 and, by its own numbers, the older RFC 1051); frames that are split are not put together.
    pub(super) fn arcnet(&mut self, offset: usize, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        const IP: u8 = 212;
        const IP_RFC_1051: u8 = 240;
        let kind = self.u8(offset)?;
        self.peel(offset + 1)?;
        match kind {
            IP_RFC_1051 => self.ip(fragments),
            IP => {
                // An exception frame repeats its type and split flag after four bytes of padding.
                if self.u8(0)? == 0xff {
                    self.peel(4)?;
                }
                if self.u8(0)? != 0 {
                    return Err(Skip::Fragment.into());
                }
                self.peel(3)?;
                self.ip(fragments)
            }
            _ => Err(Skip::NotIp.into()),
        }
    }
}
