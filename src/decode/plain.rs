//! Frames of the most frequent kinds, read at once: TCP in IP in Ethernet or a cooked capture, with nothing in between.
//!
//! What is found is what [`super::Decoder::find`] finds, for a fraction of the work. Everything else is left to that.

use super::ip::protocol;
use super::link::{IPV4, IPV6};
use super::{Endpoint, Flags, Segment};
use crate::capture::{Frame, LinkType};

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// In IPv4: "more fragments", and where in its datagram this one belongs.
const FRAGMENT: u16 = 0x3fff;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;

/// The segment in a plain frame; `None` where the frame is not plain.
#[inline]
pub(crate) fn segment<'a>(frame: &Frame<'a>) -> Option<Segment<'a>> {
    let (link_header, ether_type) = match frame.link {
        LinkType::ETHERNET => (14, 12),
        LinkType::LINUX_SLL => (16, 14),
        LinkType::LINUX_SLL2 => (20, 0),
        _ => return None,
    };
    let datagram = frame.data.get(link_header..)?;
    let ([source, destination], bytes) = match u16_at(frame.data, ether_type)? {
        IPV4 => ipv4(datagram)?,
        IPV6 => ipv6(datagram)?,
        _ => return None,
    };
    let header = bytes.first_chunk::<TCP_HEADER>()?;
    let [s1, s2, d1, d2, q1, q2, q3, q4, a1, a2, a3, a4, offset, flags, ..] = *header;
    let header_len = usize::from(offset >> 4) * 4;
    if header_len < TCP_HEADER {
        return None;
    }
    Some(Segment {
        at: frame.at,
        source: Endpoint::of_halves(source, u16::from_be_bytes([s1, s2])),
        destination: Endpoint::of_halves(destination, u16::from_be_bytes([d1, d2])),
        seq: u32::from_be_bytes([q1, q2, q3, q4]),
        ack: u32::from_be_bytes([a1, a2, a3, a4]),
        flags: Flags::of_header(flags),
        payload: bytes.get(header_len..)?,
        missing: 0,
        tag: 0,
        header: bytes.get(..header_len)?,
    })
}

/// Two addresses, each in two halves, and what is between their headers and their end.
type Datagram<'a> = ([[u64; 2]; 2], &'a [u8]);

/// A datagram without options that is no fragment and of which all bytes are there.
#[inline]
fn ipv4(datagram: &[u8]) -> Option<Datagram<'_>> {
    let header = datagram.first_chunk::<IPV4_HEADER>()?;
    let [0x45, _, l1, l2, _, _, f1, f2, _, protocol::TCP, _, _, s1, s2, s3, s4, d1, d2, d3, d4] = *header else {
        return None;
    };
    if u16::from_be_bytes([f1, f2]) & FRAGMENT != 0 {
        return None;
    }
    let mapped = |address| [0, 0xffff_0000_0000 | u64::from(u32::from_be_bytes(address))];
    let len = usize::from(u16::from_be_bytes([l1, l2]));
    Some(([mapped([s1, s2, s3, s4]), mapped([d1, d2, d3, d4])], datagram.get(IPV4_HEADER..len)?))
}

/// A datagram without extension headers of which all bytes are there.
#[inline]
fn ipv6(datagram: &[u8]) -> Option<Datagram<'_>> {
    let header = datagram.first_chunk::<IPV6_HEADER>()?;
    let [0x60..=0x6f, _, _, _, l1, l2, protocol::TCP, _, addresses @ ..] = header else { return None };
    let (halves, _) = addresses.as_chunks::<8>();
    let [s1, s2, d1, d2] = halves else { return None };
    let [s1, s2, d1, d2] = [s1, s2, d1, d2].map(|half| u64::from_be_bytes(*half));
    let len = usize::from(u16::from_be_bytes([*l1, *l2]));
    // Zero stands for a length that the field cannot say.
    let bytes = datagram.get(IPV6_HEADER..IPV6_HEADER + len).filter(|bytes| !bytes.is_empty())?;
    Some(([[s1, s2], [d1, d2]], bytes))
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{FileSource, Halt, Source as _};
    use crate::decode::Decoder;
    use crate::exchange::Timestamp;

    /// Whether a plain frame is read, which has to come to the same as where it is read layer by layer.
    #[track_caller]
    fn is_read(link: LinkType, data: &[u8], wire_len: u32) -> bool {
        let frame = Frame { at: Timestamp::from_nanos(7), link, wire_len, data };
        let found = segment(&frame).map(|segment| format!("{segment:?}"));
        let mut decoder = Decoder::new();
        if let Some(found) = &found {
            assert_eq!(format!("{:?}", decoder.decode(&frame)), format!("Ok({found})"), "{link:?} {data:02x?}");
        }
        found.is_some()
    }

    /// A segment of IPv4 and one of IPv6, each with options of TCP and six bytes, without a link's header.
    fn datagrams() -> [(u16, Vec<u8>); 2] {
        let tcp = [
            &[0xc7, 0x38, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0x18, 0xff, 0xff, 0, 0, 0, 0][..],
            &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            b"hello!",
        ]
        .concat();
        let len = u8::try_from(tcp.len()).unwrap();
        let v4 = [&[0x45, 0, 0, 20 + len, 9, 9, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 7, 10, 0, 0, 1][..], &tcp].concat();
        let addresses: Vec<u8> = (1..=32).collect();
        let v6 = [&[0x60, 1, 2, 3, 0, len, 6, 64][..], &addresses, &tcp].concat();
        [(IPV4, v4), (IPV6, v6)]
    }

    /// The same in frames of each link type.
    fn frames() -> Vec<(LinkType, Vec<u8>)> {
        let links: [(LinkType, usize, usize); 3] =
            [(LinkType::ETHERNET, 14, 12), (LinkType::LINUX_SLL, 16, 14), (LinkType::LINUX_SLL2, 20, 0)];
        let framed = |(ether_type, datagram): (u16, Vec<u8>)| {
            links.map(|(link, len, at)| {
                let mut head = vec![0; len];
                head.splice(at..at + 2, ether_type.to_be_bytes());
                (link, [head, datagram.clone()].concat())
            })
        };
        datagrams().into_iter().flat_map(framed).collect()
    }

    #[test]
    fn plain_frames_are_read_at_once_also_with_padding() {
        for (link, frame) in frames() {
            let len = u32::try_from(frame.len()).unwrap();
            assert!(is_read(link, &frame, len), "{link:?}");
            assert!(is_read(link, &[&frame[..], &[0; 9]].concat(), len + 9), "{link:?}");
        }
    }

    #[test]
    fn whatever_is_odd_in_a_frame_it_is_read_as_layer_by_layer_or_not_at_once() {
        for (link, frame) in frames() {
            let len = u32::try_from(frame.len()).unwrap();
            for cut in 0..frame.len() {
                assert!(!is_read(link, &frame[..cut], len), "{link:?} {cut}");
                is_read(link, &frame[..cut], u32::try_from(cut).unwrap());
            }
            for at in 0..frame.len() - 6 {
                for value in 0..=u8::MAX {
                    let mut changed = frame.clone();
                    changed[at] = value;
                    is_read(link, &changed, len);
                }
            }
        }
    }

    #[test]
    fn the_frames_of_real_captures_are_read_as_layer_by_layer() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
        let (mut read, mut all) = (0, 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let Ok(mut source) = FileSource::open(&entry.unwrap().path(), &Halt::default()) else { continue };
            while let Some(frame) = source.next() {
                all += 1;
                read += usize::from(is_read(frame.link, frame.data, frame.wire_len));
            }
        }
        assert!(read * 2 > all && all > 1000, "{read} of {all}");
    }
}
