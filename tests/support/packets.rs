//! Conversations as packets, and packets as frames.
//!
//! A [`Talk`] is what two hosts say to each other, in order, with its sequence and acknowledgement numbers. What the
//! capture made of it (loss, other order, copies) is said in the same breath. A [`Layer`] wraps a packet in whatever
//! a link or tunnel puts around it; a [`Capture`] is the frames that come of it.

use std::net::{IpAddr, SocketAddr};

use shadowtap::capture::{LinkType, MemorySource};
use shadowtap::exchange::Timestamp;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// One millisecond: the time between two packets.
const STEP: u64 = 1_000_000;
/// 2026-11-21 20:00 UTC.
const BEGIN: u64 = 1_795_291_200_000_000_000;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Client,
    Server,
}
pub(crate) use Who::{Client, Server};

impl Who {
    const fn other(self) -> Self {
        match self {
            Client => Server,
            Server => Client,
        }
    }
}

/// One TCP segment on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) at: u64,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

/// What two hosts say to each other.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    ends: [SocketAddr; 2],
    /// The number of the next byte of each side.
    next: [u32; 2],
    /// How many bytes of the other stream each side has not received yet.
    behind: [u32; 2],
    clock: u64,
    packets: Vec<Packet>,
}

impl Talk {
    /// A conversation that is under way already.
    pub(crate) fn joined() -> Self {
        Self {
            ends: ["10.0.0.7:51234".parse().unwrap(), "10.0.0.1:80".parse().unwrap()],
            next: [1_000_000, 2_000_000],
            behind: [0, 0],
            clock: BEGIN,
            packets: Vec::new(),
        }
    }

    /// A conversation from its handshake on.
    pub(crate) fn open() -> Self {
        Self::joined().handshake()
    }

    /// Between these two, the client first.
    pub(crate) fn between(mut self, client: &str, server: &str) -> Self {
        self.ends = [client.parse().unwrap(), server.parse().unwrap()];
        self
    }

    /// The numbers of the next bytes.
    pub(crate) fn numbered(mut self, client: u32, server: u32) -> Self {
        self.next = [client, server];
        self
    }

    pub(crate) fn handshake(self) -> Self {
        self.syn().control(Server, SYN | ACK).control(Client, ACK)
    }

    /// The client's SYN alone.
    pub(crate) fn syn(self) -> Self {
        self.control(Client, SYN)
    }

    /// A segment without data; SYN and FIN count as a byte.
    pub(crate) fn control(mut self, who: Who, flags: u8) -> Self {
        let packet = self.packet(who, 0, flags, b"");
        self.packets.push(packet);
        if flags & (SYN | FIN) != 0 {
            self.next[who as usize] = self.next[who as usize].wrapping_add(1);
        }
        self
    }

    pub(crate) fn client(self, data: impl AsRef<[u8]>) -> Self {
        self.send(Client, data)
    }

    pub(crate) fn server(self, data: impl AsRef<[u8]>) -> Self {
        self.send(Server, data)
    }

    /// One segment with `data`.
    pub(crate) fn send(mut self, who: Who, data: impl AsRef<[u8]>) -> Self {
        let data = data.as_ref();
        let packet = self.packet(who, 0, ACK | PSH, data);
        self.packets.push(packet);
        self.next[who as usize] = self.next[who as usize].wrapping_add(u32::try_from(data.len()).unwrap());
        self
    }

    /// `data` in segments that end at these offsets of it, and at its end.
    pub(crate) fn cut(mut self, who: Who, data: impl AsRef<[u8]>, at: &[usize]) -> Self {
        let mut from = 0;
        for to in at.iter().copied().chain([data.as_ref().len()]) {
            self = self.send(who, &data.as_ref()[from..to]);
            from = to;
        }
        self
    }

    /// `data` in segments of `size` bytes.
    pub(crate) fn segments(mut self, who: Who, data: impl AsRef<[u8]>, size: usize) -> Self {
        for part in data.as_ref().chunks(size) {
            self = self.send(who, part);
        }
        self
    }

    /// A segment that begins `offset` bytes from the next one; what comes next stays what it was.
    pub(crate) fn stray(mut self, who: Who, offset: i32, flags: u8, data: impl AsRef<[u8]>) -> Self {
        let packet = self.packet(who, offset, flags, data.as_ref());
        self.packets.push(packet);
        self
    }

    /// Both sides say that they are done.
    pub(crate) fn close(self) -> Self {
        self.control(Client, FIN | ACK).control(Server, FIN | ACK).control(Client, ACK)
    }

    /// From now on this side has not received the last `bytes` of the other stream yet.
    pub(crate) fn behind(mut self, who: Who, bytes: usize) -> Self {
        self.behind[who as usize] = u32::try_from(bytes).unwrap();
        self
    }

    /// From now on this side acknowledges so many bytes more than it has received.
    pub(crate) fn ahead(mut self, who: Who, bytes: i32) -> Self {
        self.behind[who as usize] = 0_u32.wrapping_add_signed(-bytes);
        self
    }

    /// The server chooses its numbers anew.
    pub(crate) fn numbered_server(mut self, number: u32) -> Self {
        self.next[Server as usize] = number;
        self
    }

    /// Who sent each of the packets that were captured.
    pub(crate) fn senders(&self) -> Vec<Who> {
        self.packets.iter().map(|packet| if packet.from == self.ends[0] { Client } else { Server }).collect()
    }

    /// What happens in `within` is on the wire, and not in the capture.
    pub(crate) fn lost(mut self, within: impl FnOnce(Self) -> Self) -> Self {
        let before = self.packets.len();
        self = within(self);
        self.packets.truncate(before);
        self
    }

    /// What happens in `within` is captured last packet first.
    pub(crate) fn reversed(self, within: impl FnOnce(Self) -> Self) -> Self {
        self.reordered(within, <[_]>::reverse)
    }

    /// What happens in `within` is captured in another order.
    pub(crate) fn reordered(mut self, within: impl FnOnce(Self) -> Self, order: impl FnOnce(&mut [Packet])) -> Self {
        let before = self.packets.len();
        self = within(self);
        let part = &mut self.packets[before..];
        let times: Vec<u64> = part.iter().map(|packet| packet.at).collect();
        order(part);
        part.iter_mut().zip(times).for_each(|(packet, at)| packet.at = at);
        self
    }

    /// The packet before the last `back` ones comes once more.
    pub(crate) fn again(mut self, back: usize) -> Self {
        let mut copy = self.packets[self.packets.len() - 1 - back].clone();
        copy.at = self.tick();
        self.packets.push(copy);
        self
    }

    /// Nothing is said for so many milliseconds.
    pub(crate) fn wait(mut self, milliseconds: u64) -> Self {
        self.clock += milliseconds * STEP;
        self
    }

    /// Another conversation follows, after this one.
    pub(crate) fn then(mut self, next: Self) -> Self {
        let shift = self.clock - BEGIN;
        self.packets.extend(next.packets.into_iter().map(|packet| Packet { at: packet.at + shift, ..packet }));
        self.clock += next.clock - BEGIN;
        self
    }

    /// As Ethernet frames, captured whole.
    pub(crate) fn capture(&self) -> Capture {
        self.capture_as(LinkType::ETHERNET, |packet| packet.ip().ethernet())
    }

    /// As Ethernet frames, of the packets only that `keep` says yes to.
    pub(crate) fn capture_where(&self, keep: impl Fn(&Packet) -> bool) -> Capture {
        self.capture_of(|packet| keep(packet).then(|| packet.ip().ethernet()))
    }

    /// As Ethernet frames, of the packets only that `wrap` gives one for.
    pub(crate) fn capture_of(&self, wrap: impl Fn(&Packet) -> Option<Layer>) -> Capture {
        self.capture_split(LinkType::ETHERNET, |packet| wrap(packet).into_iter().collect())
    }

    /// As frames of another kind.
    pub(crate) fn capture_as(&self, link: LinkType, wrap: impl Fn(&Packet) -> Layer) -> Capture {
        self.capture_split(link, |packet| vec![wrap(packet)])
    }

    /// As frames of which a packet may take several, or none.
    pub(crate) fn capture_split(&self, link: LinkType, wrap: impl Fn(&Packet) -> Vec<Layer>) -> Capture {
        let frames = |packet| wrap(packet).into_iter().map(move |layer| Shot::whole(packet.at, link, layer.bytes));
        Capture { shots: self.packets.iter().flat_map(frames).collect() }
    }

    fn packet(&mut self, who: Who, offset: i32, flags: u8, data: &[u8]) -> Packet {
        let other = who.other();
        let heard = self.next[other as usize].wrapping_sub(self.behind[who as usize]);
        Packet {
            at: self.tick(),
            from: self.ends[who as usize],
            to: self.ends[other as usize],
            seq: self.next[who as usize].wrapping_add_signed(offset),
            ack: if flags & ACK == 0 { 0 } else { heard },
            flags,
            payload: data.to_vec(),
        }
    }

    const fn tick(&mut self) -> u64 {
        self.clock += STEP;
        self.clock
    }
}

/// A captured frame.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    pub(crate) at: u64,
    pub(crate) link: LinkType,
    pub(crate) wire_len: usize,
    pub(crate) data: Vec<u8>,
}

impl Shot {
    pub(crate) fn whole(at: u64, link: LinkType, data: Vec<u8>) -> Self {
        Self { at, link, wire_len: data.len(), data }
    }
}

/// Frames as a recorder has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture {
    pub(crate) shots: Vec<Shot>,
}

impl Capture {
    /// Each frame is cut to `len` bytes.
    pub(crate) fn snaplen(mut self, len: usize) -> Self {
        self.shots.iter_mut().for_each(|shot| shot.data.truncate(len));
        self
    }

    /// Each frame is captured twice, as mirror ports and the device `any` do.
    pub(crate) fn twice(mut self) -> Self {
        self.shots = self.shots.into_iter().flat_map(|shot| [shot.clone(), shot]).collect();
        self
    }

    /// Both captures, merged by time.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.shots.extend(other.shots);
        self.shots.sort_by_key(|shot| shot.at);
        self
    }

    /// Only the frames that `keep` says yes to, by their place.
    pub(crate) fn only(mut self, keep: impl Fn(usize) -> bool) -> Self {
        let mut place = 0..;
        self.shots.retain(|_| keep(place.next().unwrap()));
        self
    }

    /// As a classic pcap file in nanoseconds.
    #[allow(dead_code, reason = "only some test binaries need files")]
    pub(crate) fn pcap(&self) -> Vec<u8> {
        let u32s = |numbers: [u32; 4]| numbers.map(u32::to_le_bytes).concat();
        let small = |number: u64| u32::try_from(number).unwrap();
        let link = self.shots.first().map_or(1, |shot| u32::from(shot.link.0));
        let mut file = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, link].map(u32::to_le_bytes).concat();
        for shot in &self.shots {
            let (captured, on_wire) = (small(shot.data.len() as u64), small(shot.wire_len as u64));
            file.extend(u32s([small(shot.at / 1_000_000_000), small(shot.at % 1_000_000_000), captured, on_wire]));
            file.extend_from_slice(&shot.data);
        }
        file
    }

    pub(crate) fn source(&self) -> MemorySource {
        let mut source = MemorySource::new();
        for shot in &self.shots {
            let wire_len = u32::try_from(shot.wire_len).unwrap();
            source.push_cut(Timestamp::from_nanos(shot.at), shot.link, wire_len, shot.data.clone());
        }
        source
    }
}

/// Bytes with what the layer around them has to call them.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) ether_type: u16,
    pub(crate) protocol: u8,
    pub(crate) bytes: Vec<u8>,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const UDP: u8 = 17;

impl Packet {
    /// The TCP segment alone. Its checksum is left to the card, as offload does.
    pub(crate) fn tcp(&self) -> Layer {
        let mut bytes = [self.from.port(), self.to.port()].map(u16::to_be_bytes).concat();
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([5 << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(&self.payload);
        Layer { ether_type: 0, protocol: 6, bytes }
    }

    /// The TCP segment with the checksum that belongs to it.
    pub(crate) fn summed(&self) -> Layer {
        let mut tcp = self.tcp();
        let sum = self.sum(&tcp.bytes, tcp.bytes.len());
        tcp.bytes[16..18].copy_from_slice(&(!sum).to_be_bytes());
        tcp
    }

    /// The TCP segment with the sum of the pseudo-header alone, as a host leaves it to its card.
    pub(crate) fn offloaded(&self) -> Layer {
        let mut tcp = self.tcp();
        let sum = self.sum(&[], tcp.bytes.len());
        tcp.bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }

    /// The sum of these bytes and the pseudo-header of a segment of so many (RFC 9293, 3.1).
    fn sum(&self, bytes: &[u8], len: usize) -> u16 {
        let octets = |end: SocketAddr| match end.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let len = u32::try_from(len).unwrap().to_be_bytes();
        let all = [&octets(self.from)[..], &octets(self.to), &len, &[0, 6], bytes].concat();
        let words = all.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
    }

    /// The IP datagram.
    pub(crate) fn ip(&self) -> Layer {
        self.around(self.tcp())
    }

    /// The IP datagram around something that stands before TCP.
    pub(crate) fn around(&self, inner: Layer) -> Layer {
        inner.ip(self.from.ip(), self.to.ip())
    }
}

impl Layer {
    fn new(ether_type: u16, protocol: u8, parts: &[&[u8]]) -> Self {
        Self { ether_type, protocol, bytes: parts.concat() }
    }

    /// After these bytes, which the layer around them has to call so.
    pub(crate) fn after(self, ether_type: u16, protocol: u8, head: &[u8]) -> Self {
        Self::new(ether_type, protocol, &[head, &self.bytes])
    }

    /// An IP header before it. Lengths that the field cannot say are 0, as segmentation offload leaves them.
    pub(crate) fn ip(self, from: IpAddr, to: IpAddr) -> Self {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.ipv4(&[from.octets(), to.octets()].concat(), 0, 0),
            (IpAddr::V6(from), IpAddr::V6(to)) => self.ipv6(&[from.octets(), to.octets()].concat()),
            _ => panic!("two versions of IP in one packet"),
        }
    }

    fn ipv4(self, addresses: &[u8], id: u16, fragment: u16) -> Self {
        let total = u16::try_from(self.bytes.len() + 20).unwrap_or(0).to_be_bytes();
        let (id, fragment) = (id.to_be_bytes(), fragment.to_be_bytes());
        let head = [&[0x45, 0], &total[..], &id, &fragment, &[64, self.protocol, 0, 0], addresses].concat();
        Self::new(IPV4, 4, &[&head, &self.bytes])
    }

    fn ipv6(self, addresses: &[u8]) -> Self {
        let len = u16::try_from(self.bytes.len()).unwrap_or(0).to_be_bytes();
        Self::new(IPV6, 41, &[&[0x60, 0, 0, 0], &len, &[self.protocol, 64], addresses, &self.bytes])
    }

    /// In another IP datagram, between two routers.
    pub(crate) fn tunnel(self) -> Self {
        self.ip([192, 0, 2, 1].into(), [192, 0, 2, 2].into())
    }

    /// In another datagram of version 6.
    pub(crate) fn tunnel6(self) -> Self {
        self.ip("2001:db8:1::1".parse().unwrap(), "2001:db8:1::2".parse().unwrap())
    }

    /// The datagram as fragments of at most `size` bytes of payload each (a multiple of 8).
    pub(crate) fn fragments(self, size: usize, id: u16) -> Vec<Self> {
        let (header, payload) = self.bytes.split_at(if self.ether_type == IPV4 { 20 } else { 40 });
        let last = payload.chunks(size).count() - 1;
        let fragment = |(index, part): (usize, &[u8])| {
            let (offset, more) = (u16::try_from(index * size).unwrap(), index < last);
            if self.ether_type == IPV4 {
                let piece = Self::new(0, header[9], &[part]);
                return piece.ipv4(&header[12..20], id, (offset / 8) | if more { 0x2000 } else { 0 });
            }
            let place = (offset | u16::from(more)).to_be_bytes();
            let piece = Self::new(0, 44, &[&[header[6], 0], &place, &[0, 0], &id.to_be_bytes(), part]);
            piece.ipv6(&header[8..40])
        };
        payload.chunks(size).enumerate().map(fragment).collect()
    }

    /// An extension header of `words` times 8 bytes before it: 0 hop-by-hop, 43 routing, 60 destination options.
    pub(crate) fn extension(self, kind: u8, words: u8) -> Self {
        let mut bytes = vec![0; usize::from(words) * 8];
        // PadN over the rest of it.
        bytes[..4].copy_from_slice(&[self.protocol, words - 1, 1, words * 8 - 4]);
        Self::new(0, kind, &[&bytes, &self.bytes])
    }

    pub(crate) fn ethernet(self) -> Self {
        let head = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], &self.ether_type.to_be_bytes()[..]].concat();
        Self::new(0x6558, 143, &[&head, &self.bytes])
    }

    /// Ethernet frames have 60 bytes at least; what the datagram lacks is padding.
    pub(crate) fn padded(mut self, with: u8) -> Self {
        self.bytes.resize(self.bytes.len().max(60), with);
        self
    }

    pub(crate) fn vlan(self, tag: u16, id: u16) -> Self {
        Self::new(tag, 0, &[&id.to_be_bytes(), &self.ether_type.to_be_bytes(), &self.bytes])
    }

    /// Under these labels.
    pub(crate) fn mpls(mut self, labels: &[u32]) -> Self {
        for (above, label) in labels.iter().rev().enumerate() {
            let entry = (label << 12) | (u32::from(above == 0) << 8) | 64;
            self = Self::new(0x8847, 137, &[&entry.to_be_bytes(), &self.bytes]);
        }
        self
    }

    pub(crate) fn pppoe(self) -> Self {
        let protocol: [u8; 2] = if self.ether_type == IPV4 { [0, 0x21] } else { [0, 0x57] };
        let len = u16::try_from(self.bytes.len() + 2).unwrap().to_be_bytes();
        Self::new(0x8864, 0, &[&[0x11, 0, 0, 7], &len, &protocol, &self.bytes])
    }

    /// IEEE 802.3 with LLC and SNAP instead of a type.
    pub(crate) fn snap(self) -> Self {
        let bytes = [&[0xaa, 0xaa, 3, 0, 0, 0], &self.ether_type.to_be_bytes()[..], &self.bytes].concat();
        Self::new(u16::try_from(bytes.len()).unwrap(), 0, &[&bytes])
    }

    pub(crate) fn sll(self) -> Self {
        let head = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], &self.ether_type.to_be_bytes()[..]].concat();
        Self::new(0, 0, &[&head, &self.bytes])
    }

    pub(crate) fn sll2(self) -> Self {
        let head =
            [&self.ether_type.to_be_bytes()[..], &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]].concat();
        Self::new(0, 0, &[&head, &self.bytes])
    }

    /// BSD loopback: the family in the byte order given.
    pub(crate) fn loopback(self, family: [u8; 4]) -> Self {
        Self::new(0, 0, &[&family, &self.bytes])
    }

    pub(crate) fn gre(self) -> Self {
        Self::new(0, 47, &[&[0, 0], &self.ether_type.to_be_bytes(), &self.bytes])
    }

    /// GRE with checksum, key and sequence number.
    pub(crate) fn gre_with_all(self) -> Self {
        Self::new(0, 47, &[&[0xb0, 0], &self.ether_type.to_be_bytes(), &[7; 12], &self.bytes])
    }

    /// A mirrored Ethernet frame, in the ways that switches send it.
    pub(crate) fn erspan(self, kind: u8) -> Self {
        match kind {
            1 => Self::new(0, 47, &[&[0, 0, 0x88, 0xbe], &self.bytes]),
            2 => Self::new(0, 47, &[&[0x10, 0, 0x88, 0xbe], &[0, 0, 0, 1], &[0x10; 8], &self.bytes]),
            _ => Self::new(0, 47, &[&[0x10, 0, 0x22, 0xeb], &[0, 0, 0, 1], &[0x20; 12], &self.bytes]),
        }
    }

    pub(crate) fn udp(self, port: u16) -> Self {
        let len = u16::try_from(self.bytes.len() + 8).unwrap().to_be_bytes();
        Self::new(0, UDP, &[&[0xc0, 0], &port.to_be_bytes(), &len, &[0, 0], &self.bytes])
    }

    /// An Ethernet frame in VXLAN.
    pub(crate) fn vxlan(self) -> Self {
        self.vxlan_of(42)
    }

    /// An Ethernet frame in VXLAN, in this network of it.
    pub(crate) fn vxlan_of(self, network: u32) -> Self {
        Self::new(0, 0, &[&[8, 0, 0, 0], &(network << 8).to_be_bytes(), &self.bytes]).udp(4789)
    }

    /// In Geneve with `words` times 4 bytes of options, as cloud gateways add them.
    pub(crate) fn geneve(self, words: u8) -> Self {
        self.geneve_of(words, 42)
    }

    /// The same, in this network of it.
    pub(crate) fn geneve_of(self, words: u8, network: u32) -> Self {
        let network = (network << 8).to_be_bytes();
        let head = [&[words, 0], &self.ether_type.to_be_bytes()[..], &network].concat();
        Self::new(0, 0, &[&head, &vec![0x11; usize::from(words) * 4], &self.bytes]).udp(6081)
    }
}
