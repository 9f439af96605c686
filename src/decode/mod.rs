//! From a frame to the TCP segment in it, or the reason why there is none.
//!
//! Link layers, VLAN tags, MPLS, PPPoE and tunnels are peeled one after another until TCP is reached. IP fragments
//! are held until their datagram is whole. Nothing here knows of connections, and nothing here fails: bytes that
//! cannot be read are a [`Skip`] with a name.

mod checksum;
mod fragments;
mod hints;
mod ip;
mod legs;
mod link;
pub(crate) mod plain;
mod segment;
mod skip;
mod tunnel;

use crate::capture::{Frame, LinkType, Tunnel, TunnelKind};
use crate::exchange::Timestamp;
pub use checksum::Checksum;
use fragments::Fragments;
use hints::{Hint, Hints};
pub(crate) use legs::Legs;
pub use segment::{Endpoint, Flags, Segment};
pub use skip::Skip;

/// Layers that are peeled off one frame: more is no network but an attack.
const MAX_DEPTH: u8 = 16;

/// Turns frames into segments; holds the fragments of datagrams that are not whole yet.
#[derive(Debug)]
pub struct Decoder {
    fragments: Fragments,
    /// The datagram that was completed last.
    assembled: Vec<u8>,
    /// Tunnels on UDP ports that were named.
    ports: Vec<(u16, TunnelKind)>,
    /// Hints about skipped frames that could be read with other settings.
    hints: Hints,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that holds nothing yet, with the default limit of 16 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(16 << 20)
    }

    /// A decoder that holds nothing yet; it holds at most `fragment_bytes` of datagrams that are not whole. Past it the
    /// oldest one is given up.
    #[must_use]
    pub fn with_limit(fragment_bytes: usize) -> Self {
        let fragments = Fragments::with_limit(fragment_bytes);
        Self { fragments, assembled: Vec::new(), ports: Vec::new(), hints: Hints::default() }
    }

    /// Looks into these tunnels too, on the UDP ports that they name.
    #[must_use]
    pub fn with_tunnels(mut self, tunnels: &[Tunnel]) -> Self {
        self.ports = tunnels.iter().filter_map(|tunnel| Some((tunnel.port?, tunnel.kind))).collect();
        self
    }

    /// Returns advice for people about skipped frames that could be read with other settings.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        self.hints.advice()
    }

    /// Fragmented datagrams given up: the rest did not come in time, or there were too many at once.
    #[must_use]
    pub const fn datagrams_given_up(&self) -> u64 {
        self.fragments.given_up
    }

    /// Bytes that datagrams take that are not whole yet, 1024 of them at most.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.fragments.held_bytes()
    }

    /// The TCP segment in `frame`, or why there is none.
    ///
    /// # Errors
    ///
    /// Why the frame yields none.
    pub fn decode<'a>(&'a mut self, frame: &Frame<'a>) -> Result<Segment<'a>, Skip> {
        let found = self.find(frame)?;
        Ok(self.segment(&found, frame))
    }

    /// Like [`Decoder::decode`], but what is found borrows nothing yet.
    pub(crate) fn find(&mut self, frame: &Frame<'_>) -> Result<LocatedSegment, Skip> {
        let mut walk = LayerCursor::new(frame.data, frame.wire_len as usize, frame.at, &self.ports);
        let mut found = walk.link(frame.link, &mut self.fragments);
        let (mut in_frame, mut hint) = (true, walk.hint);
        // A whole datagram may itself carry a fragment of another one, up to the depth limit.
        let (mut depth, mut tag) = (walk.depth, walk.tag);
        while let Err(LayerStop::Assembled(datagram)) = found {
            self.assembled = datagram.payload;
            in_frame = false;
            let mut inner = LayerCursor::new(&self.assembled, self.assembled.len(), frame.at, &self.ports);
            inner.depth = depth;
            inner.tag = tag;
            found = inner.transport(datagram.protocol, datagram.source, datagram.destination, &mut self.fragments);
            (depth, tag, hint) = (inner.depth.saturating_add(1), inner.tag, inner.hint);
        }
        match found {
            Ok(tcp) => Ok(LocatedSegment { tcp, in_frame }),
            Err(LayerStop::Skip(why)) => {
                self.hints.note(hint);
                Err(why)
            }
            Err(LayerStop::Assembled(_)) => Err(Skip::TooDeep),
        }
    }

    /// The segment that was found last, in `frame` or in the datagram that it completed.
    pub(crate) fn segment<'a>(&'a self, found: &LocatedSegment, frame: &Frame<'a>) -> Segment<'a> {
        found.tcp.segment(if found.in_frame { frame.data } else { &self.assembled }, frame.at)
    }
}

/// Location of a segment in a frame, or in a reassembled datagram.
pub(crate) struct LocatedSegment {
    tcp: TcpFields,
    in_frame: bool,
}

impl LocatedSegment {
    /// The segment, where it lies in `frame` itself and not in a datagram of several frames.
    pub(crate) fn in_frame<'f>(&self, frame: &Frame<'f>) -> Option<Segment<'f>> {
        self.in_frame.then(|| self.tcp.segment(frame.data, frame.at))
    }
}

/// Reason why the descent through the layers ended before TCP.
enum LayerStop {
    Skip(Skip),
    Assembled(fragments::Datagram),
}

impl From<Skip> for LayerStop {
    fn from(why: Skip) -> Self {
        Self::Skip(why)
    }
}

/// Numbers of a TCP header, and the location of its payload.
struct TcpFields {
    source: Endpoint,
    destination: Endpoint,
    seq: u32,
    ack: u32,
    flags: Flags,
    /// Where the header begins; it ends where the payload begins.
    header: usize,
    payload: std::ops::Range<usize>,
    missing: u32,
    tag: u32,
}

impl TcpFields {
    fn segment<'a>(&self, bytes: &'a [u8], at: Timestamp) -> Segment<'a> {
        Segment {
            at,
            source: self.source,
            destination: self.destination,
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            payload: bytes.get(self.payload.clone()).unwrap_or_default(),
            missing: self.missing,
            tag: self.tag,
            header: bytes.get(self.header..self.payload.start).unwrap_or_default(),
        }
    }
}

/// A walk down the layers of one frame.
///
/// Invariant: `at <= end <= bytes.len()` and `end <= wire_end`. `end` is where the current layer ends in the bytes
/// that were captured, `wire_end` where it ended on the wire.
struct LayerCursor<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
    wire_end: usize,
    depth: u8,
    /// The tags and network identifiers that were passed, as one number.
    tag: u32,
    now: Timestamp,
    /// Tunnels on UDP ports that were named.
    ports: &'a [(u16, TunnelKind)],
    /// Hint for reading this frame with other settings.
    hint: Option<Hint>,
}

impl<'a> LayerCursor<'a> {
    fn new(bytes: &'a [u8], wire_len: usize, now: Timestamp, ports: &'a [(u16, TunnelKind)]) -> Self {
        let (end, wire_end) = (bytes.len(), wire_len.max(bytes.len()));
        Self { bytes, at: 0, end, wire_end, depth: 0, tag: 0, now, ports, hint: None }
    }

    /// Returns the rest of the current layer.
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    /// The big-endian number `offset` bytes from here.
    fn u16(&self, offset: usize) -> Result<u16, Skip> {
        let bytes = self.rest().get(offset..).and_then(|rest| rest.first_chunk()).ok_or(Skip::Truncated)?;
        Ok(u16::from_be_bytes(*bytes))
    }

    fn u8(&self, offset: usize) -> Result<u8, Skip> {
        self.rest().get(offset).copied().ok_or(Skip::Truncated)
    }

    /// Moves past a header of `len` bytes.
    fn peel(&mut self, len: usize) -> Result<(), Skip> {
        if self.at + len > self.end {
            return Err(Skip::Truncated);
        }
        self.at += len;
        Ok(())
    }

    /// Ends the current layer `len` bytes from here, as a length field says: what follows is padding.
    fn limit(&mut self, len: usize) {
        self.wire_end = self.wire_end.min(self.at + len);
        self.end = self.end.min(self.wire_end);
    }

    /// Notes the number of a network within others; 0 is none (a VLAN tag of a priority only).
    const fn note_network(&mut self, id: u32) {
        if id != 0 {
            self.tag = self.tag.rotate_left(7).wrapping_mul(0x9e37_79b1) ^ id;
        }
    }

    /// Counts one more layer.
    fn deeper(&mut self) -> Result<(), Skip> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Skip::TooDeep) } else { Ok(()) }
    }

    fn link(&mut self, link: LinkType, fragments: &mut Fragments) -> Result<TcpFields, LayerStop> {
        let ether_type = match link {
            LinkType::ETHERNET => return self.ethernet(fragments),
            LinkType::NULL | LinkType::LOOP => return self.bsd_loopback(fragments),
            LinkType::LINUX_SLL => self.cooked_v1()?,
            LinkType::LINUX_SLL2 => self.cooked_v2()?,
            LinkType::PPP | LinkType(50) => return self.ppp(fragments),
            LinkType::C_HDLC => self.cisco_hdlc()?,
            LinkType::IEEE_802_11 => return self.wireless(fragments),
            LinkType::RADIOTAP => return self.radiotap(fragments),
            LinkType::ATM => return self.snap(0, fragments),
            // One byte of frame control, then addresses as on Ethernet.
            LinkType::FDDI => return self.snap(13, fragments),
            LinkType::NFLOG => return self.netfilter_log(fragments),
            LinkType::PPI => return self.announced(false, fragments),
            // 149 is what macOS writes for it in files.
            LinkType::PKTAP | LinkType(149) => return self.announced(true, fragments),
            LinkType::ARCNET_BSD => return self.arcnet(2, fragments),
            LinkType::ARCNET_LINUX => return self.arcnet(4, fragments),
            // 12 and 14 are what some systems write for raw IP instead of 101.
            LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 | LinkType(12 | 14) => return self.ip(fragments),
            LinkType::JUNIPER_ETHERNET => return self.juniper_ethernet(fragments),
            LinkType::MPACKET => return self.mpacket(fragments),
            LinkType::PFLOG => return self.firewall_log(fragments),
            LinkType(number) => {
                self.hint = Some(Hint::Link(number));
                return Err(Skip::LinkType.into());
            }
        };
        self.ether_type(ether_type, fragments)
    }
}
