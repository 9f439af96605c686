//! Whether the checksum of a segment is right (RFC 9293, 3.1; RFC 1071).

use super::{Endpoint, Segment};

/// Where the checksum stands in a TCP header.
const FIELD: std::ops::Range<usize> = 16..18;
/// TCP's number in the pseudo-header.
const PROTOCOL: u32 = 6;

/// What the checksum of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The segment is as it was sent.
    Right,
    /// It is not, or its checksum was changed apart from it.
    Wrong,
    /// It was left to the network card of the host that captured it, or merged on its way in: the sum of the pseudo-header
    /// alone stands there.
    Offloaded,
    /// Nothing stands there, or less than that sum: as above, but of fewer hosts.
    Absent,
    /// Not all of the segment is there.
    Unknown,
}

impl Segment<'_> {
    /// What its checksum says. Reads all of the payload, unless it is clear without.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        let Some(field) = self.header.get(FIELD).filter(|_| self.missing == 0) else { return Checksum::Unknown };
        let field = u64::from(word(field));
        let addresses = address(self.source) + address(self.destination) + u64::from(PROTOCOL.to_be());
        let len = u32::try_from(self.header.len() + self.payload.len()).unwrap_or(u32::MAX);
        let pseudo = addresses + u64::from(len.to_be());
        if field == fold(pseudo) {
            return Checksum::Offloaded;
        }
        let sum = fold(pseudo + sum(self.header) + sum(self.payload));
        // Without the length where the card is to divide the segment.
        match sum {
            0xffff => Checksum::Right,
            _ if field == 0 || field == fold(addresses) => Checksum::Absent,
            _ => Checksum::Wrong,
        }
    }
}

/// The sum over an address. What an IPv4 address is mapped with adds nothing.
const fn address(endpoint: Endpoint) -> u64 {
    let [upper, lower] = endpoint.halves();
    let (upper, lower) = (upper.to_be(), lower.to_be());
    (upper & 0xffff_ffff) + (upper >> 32) + (lower & 0xffff_ffff) + (lower >> 32)
}

/// The sum over these bytes as they stand in memory: of words of any width and byte order it is the same once it is
/// folded (RFC 1071, 2).
fn sum(bytes: &[u8]) -> u64 {
    const LANES: usize = 4;
    let mut lanes = [0_u64; LANES];
    let (blocks, rest) = bytes.as_chunks::<{ 4 * LANES }>();
    for block in blocks {
        // What the compiler makes one instruction of for several lanes.
        let (words, _) = block.as_chunks::<4>();
        for (lane, four) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*four));
        }
    }
    lanes.iter().sum::<u64>() + rest.chunks(2).map(|pair| u64::from(word(pair))).sum::<u64>()
}

/// Two bytes, or one and a zero, as they stand in memory.
fn word(pair: &[u8]) -> u16 {
    match pair {
        [first, second, ..] => u16::from_ne_bytes([*first, *second]),
        [first] => u16::from_ne_bytes([*first, 0]),
        [] => 0,
    }
}

/// A sum in sixteen bits, its carries added.
const fn fold(sum: u64) -> u64 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Flags;
    use crate::exchange::Timestamp;

    /// What a card would put into the field, computed word by word as the RFC has it.
    fn computed(source: &[u8], destination: &[u8], tcp: &[u8]) -> [u8; 2] {
        let len = u32::try_from(tcp.len()).unwrap().to_be_bytes();
        let all = [source, destination, &len, &[0, 0, 0, 6], tcp].concat();
        let mut sum = 0_u32;
        for pair in all.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(0xffff - sum).unwrap().to_be_bytes()
    }

    fn check(ends: [&str; 2], payload: &[u8], change: impl Fn(&mut Vec<u8>)) -> Checksum {
        let [source, destination] = ends.map(|end| end.parse::<std::net::SocketAddr>().unwrap());
        let octets = |end: std::net::SocketAddr| match end.ip() {
            std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
            std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let mut tcp =
            vec![0x9c, 0x40, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x60, 0x18, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4];
        tcp.extend(payload);
        let field = computed(&octets(source), &octets(destination), &tcp);
        tcp[FIELD].copy_from_slice(&field);
        change(&mut tcp);
        let (header, payload) = tcp.split_at(24);
        let at = Timestamp::default();
        let (source, destination) = (source.into(), destination.into());
        let (seq, ack, flags) = (1, 2, Flags::ACK);
        Segment { at, source, destination, seq, ack, flags, payload, missing: 0, tag: 0, header }.checksum()
    }

    const V4: [&str; 2] = ["10.0.0.7:40000", "192.168.255.1:80"];
    const V6: [&str; 2] = ["[2001:db8::7]:40000", "[fe80::ffff:1]:80"];

    #[test]
    fn a_right_checksum_is_right_at_every_length() {
        let bytes: Vec<u8> = (0..3000_u32).map(|n| (n * 7 + n / 256).to_le_bytes()[0]).collect();
        for len in (0..100).chain([1459, 1460, 2999, 3000]) {
            for ends in [V4, V6] {
                assert_eq!(check(ends, &bytes[..len], |_| {}), Checksum::Right, "{len}");
                assert_eq!(check(ends, &vec![0xff; len], |_| {}), Checksum::Right, "{len}");
            }
        }
    }

    #[test]
    fn a_changed_byte_makes_it_wrong() {
        for at in (0..16).chain(18..74) {
            let changed = check(V4, &[b'a'; 50], |tcp| tcp[at] ^= 0x10);
            assert_eq!(changed, Checksum::Wrong, "{at}");
        }
    }

    #[test]
    fn what_is_left_to_the_card_says_nothing() {
        assert_eq!(check(V4, b"GET / HTTP/1.1\r\n", |tcp| tcp[FIELD].fill(0)), Checksum::Absent);
        for (ends, octets) in [(V4, 8), (V6, 32)] {
            for with_len in [true, false] {
                let partial = check(ends, b"GET / HTTP/1.1\r\n", |tcp| {
                    let ends = ends.map(|end| end.parse::<std::net::SocketAddr>().unwrap().ip());
                    let address = |ip| match ip {
                        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
                        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
                    };
                    let addresses = ends.map(address).concat();
                    assert_eq!(addresses.len(), octets);
                    let len = u8::try_from(if with_len { tcp.len() } else { 0 }).unwrap();
                    let sum = computed(&[], &[], &[&addresses[..], &[0, len]].concat());
                    // Less the length that the sum above counts.
                    let more = u32::from(u16::from_be_bytes(sum)) + u32::try_from(addresses.len() + 2).unwrap();
                    let sum = !u16::try_from((more & 0xffff) + (more >> 16)).unwrap();
                    tcp[FIELD].copy_from_slice(&sum.to_be_bytes());
                });
                let expected = if with_len { Checksum::Offloaded } else { Checksum::Absent };
                assert_eq!(partial, expected, "{ends:?} {with_len}");
            }
        }
    }

    #[test]
    fn zero_is_right_where_it_is_the_sum() {
        // Two bytes that make up for all others.
        let field = |tcp: &[u8]| u16::from_be_bytes([tcp[16], tcp[17]]);
        let found = (0..=u16::MAX).find(|word| {
            let zero = std::cell::Cell::new(false);
            let checksum = check(V4, &word.to_be_bytes(), |tcp| zero.set(field(tcp) == 0));
            zero.get() && checksum == Checksum::Right
        });
        assert!(found.is_some());
    }

    #[test]
    fn what_was_cut_or_has_no_header_is_not_known() {
        let at = Timestamp::default();
        let end = Endpoint::new(1, 2);
        let whole = Segment {
            at,
            source: end,
            destination: end,
            seq: 0,
            ack: 0,
            flags: Flags::ACK,
            payload: b"a",
            missing: 0,
            tag: 0,
            header: &[1; 20],
        };
        assert_eq!(whole.checksum(), Checksum::Wrong);
        assert_eq!(Segment { missing: 1, ..whole }.checksum(), Checksum::Unknown);
        assert_eq!(Segment { header: &[], ..whole }.checksum(), Checksum::Unknown);
    }
}
