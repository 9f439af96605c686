//! A sample of connections that the kernel takes: what is out is not copied, and costs next to nothing.
//!
//! The filter has the hash of the two ends of a connection as arithmetic in libpcap's language, beside a limit. What
//! cannot be told by fixed offsets of a frame passes whole (fragments, IPv6 with extension headers, tunnels), and is
//! sampled after decoding, by the same hash: so the same connections are in, wherever they are sampled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exchange::{ConnectionHash, SHIFT};

/// A sample of connections, of a share that may change while frames come.
#[derive(Clone, Debug)]
pub struct KernelSample {
    seed: u64,
    share: Arc<AtomicU64>,
}

impl KernelSample {
    /// A sample with this seed, of the share whose bits as `f64` are in `share`, from 0 to 1.
    pub(crate) const fn new(seed: u64, share: Arc<AtomicU64>) -> Self {
        Self { seed, share }
    }

    /// Returns the limit below which the hash of a connection is in the sample; `None` where all are.
    pub(super) fn limit(&self) -> Option<u32> {
        let share = f64::from_bits(self.share.load(Ordering::Relaxed));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
        let limit = (share * (f64::from(u32::MAX) + 1.0)).ceil() as u64;
        u32::try_from(limit).ok()
    }

    /// Returns the condition, in libpcap's language, that a frame is of a connection with a hash below `limit`, or that
    /// this cannot be told yet. It has to follow one that the frame is TCP.
    pub(super) fn condition(&self, limit: u32) -> String {
        let hash = ConnectionHash::new(self.seed);
        let [a, b, c, d] = hash.words;
        let address = |at: u32| {
            let word = |place: u32, factor: u32| format!("ip6[{}:4]*{factor}", at + place);
            format!("({}+{}+{}+{})", word(0, a), word(4, b), word(8, c), word(12, d))
        };
        let v4 = arithmetic(&hash, ["ip[12:4]", "ip[16:4]"], ["tcp[0:2]", "tcp[2:2]"]);
        let v6 = arithmetic(&hash, [&address(8), &address(24)], ["ip6[40:2]", "ip6[42:2]"]);
        // Ports are in the first fragment only.
        format!("ip[6:2] & 0x3fff != 0 or {v4} < {limit} or (ip6[6] = 6 and {v6} < {limit})")
    }
}

/// Two samples are the same where they go by one share.
impl PartialEq for KernelSample {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed && Arc::ptr_eq(&self.share, &other.share)
    }
}

impl Eq for KernelSample {}

/// [`ConnectionHash::of`] in libpcap's language.
fn arithmetic(hash: &ConnectionHash, [a, b]: [&str; 2], [p, q]: [&str; 2]) -> String {
    let [sums, xors, port_sums, port_xors, last] = hash.factors;
    let sum = format!("(({a}+{b})*{sums}+({a}^{b})*{xors}+({p}+{q})*{port_sums}+({p}^{q})*{port_xors})");
    format!("(({sum}^({sum}>>{SHIFT}))*{last})")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

    use super::super::expression;
    use super::*;
    use crate::capture::{BpfFilter, BpfMatch, Frame, LinkType, Tunnel};
    use crate::exchange::Timestamp;

    fn sample(share: f64) -> KernelSample {
        KernelSample::new(42, Arc::new(AtomicU64::new(share.to_bits())))
    }

    fn filter(share: f64, typed: Option<&str>, ports: &[u16], tunnels: &[Tunnel], link: LinkType) -> BpfFilter {
        let sample = sample(share);
        let sampled = sample.condition(sample.limit().unwrap());
        BpfFilter::new(&expression(typed, ports, tunnels, link, Some(&sampled))).unwrap()
    }

    fn passes(filter: &mut BpfFilter, link: LinkType, data: &[u8]) -> bool {
        let frame = Frame { at: Timestamp::from_nanos(0), link, wire_len: u32::try_from(data.len()).unwrap(), data };
        filter.check(&frame) == BpfMatch::Match
    }

    fn between(from: SocketAddr, to: SocketAddr, tags: &[u16]) -> Vec<u8> {
        fn tcp(ip: PacketBuilderStep<IpHeaders>, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
            let mut frame = Vec::new();
            ip.tcp(from.port(), to.port(), 1, 1024).write(&mut frame, b"GET / HTTP/1.1\r\n\r\n").unwrap();
            frame
        }
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        macro_rules! ip {
            ($under:expr) => {
                match (from, to) {
                    (SocketAddr::V4(one), SocketAddr::V4(other)) => {
                        tcp($under.ipv4(one.ip().octets(), other.ip().octets(), 64), from, to)
                    }
                    (SocketAddr::V6(one), SocketAddr::V6(other)) => {
                        tcp($under.ipv6(one.ip().octets(), other.ip().octets(), 64), from, to)
                    }
                    _ => unreachable!("one family"),
                }
            };
        }
        match *tags {
            [] => ip!(ethernet),
            [tag] => ip!(ethernet.single_vlan(tag.try_into().unwrap())),
            [outer, inner] => ip!(ethernet.double_vlan(outer.try_into().unwrap(), inner.try_into().unwrap())),
            _ => unreachable!("at most two"),
        }
    }

    fn ends() -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        (0..400_u16).map(|n| {
            let [high, low] = n.wrapping_mul(40_503).to_be_bytes();
            if n % 2 == 0 {
                (([10, high, low, 3], 1024 + n * 13).into(), ([192, 0, 2, low % 4], 80).into())
            } else {
                let client = [0xfd00, n, 7, high.into(), 0, low.into(), 0xffff, 0x8000 + n];
                ((client, 65_535 - n).into(), ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 80).into())
            }
        })
    }

    #[test]
    fn the_kernel_lets_through_what_the_hash_lets_in_under_tags_and_in_both_directions() {
        let hash = ConnectionHash::new(42);
        let limit = sample(0.3).limit().unwrap();
        let mut all = filter(0.3, None, &[80], &[], LinkType::ETHERNET);
        let mut typed = filter(0.3, Some("port 80"), &[], &[], LinkType::ETHERNET);
        let mut both = filter(0.3, Some("net 10.0.0.0/8 or ip6"), &[80, 81], &Tunnel::ALL, LinkType::ETHERNET);
        let mut inside = 0;
        for (client, server) in ends() {
            let is_in = hash.of(client, server) < limit;
            inside += u32::from(is_in);
            for (from, to) in [(client, server), (server, client)] {
                for tags in [&[][..], &[7], &[7, 9]] {
                    let frame = between(from, to, tags);
                    assert_eq!(passes(&mut all, LinkType::ETHERNET, &frame), is_in, "{from} {to} {tags:?}");
                }
                let frame = between(from, to, &[]);
                assert_eq!(passes(&mut typed, LinkType::ETHERNET, &frame), is_in, "{from} {to}");
                assert_eq!(passes(&mut both, LinkType::ETHERNET, &frame), is_in, "{from} {to}");
                let elsewhere = between(from, SocketAddr::new(to.ip(), 9), &[]);
                assert!(from.port() == 80 || !passes(&mut all, LinkType::ETHERNET, &elsewhere));
            }
        }
        assert!((90..150).contains(&inside), "{inside}");
    }

    #[test]
    fn each_link_type_has_a_filter() {
        for link in [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::NULL] {
            filter(0.5, None, &[80, 8080, 8443], &Tunnel::ALL, link);
        }
        let mut raw = filter(0.3, None, &[80], &[], LinkType::RAW);
        let hash = ConnectionHash::new(42);
        let limit = sample(0.3).limit().unwrap();
        for (client, server) in ends() {
            let frame = between(client, server, &[]);
            assert_eq!(passes(&mut raw, LinkType::RAW, &frame[14..]), hash.of(client, server) < limit);
        }
    }

    #[test]
    fn what_cannot_be_told_passes() {
        let mut filter = filter(0.000_001, None, &[80], &[], LinkType::ETHERNET);
        let (client, server) = ends().next().unwrap();
        let mut frame = between(client, server, &[]);
        assert!(!passes(&mut filter, LinkType::ETHERNET, &frame));
        // More fragments follow; then a later one, with no ports.
        for flags in [0x20, 0x01] {
            frame[20] = flags;
            assert!(passes(&mut filter, LinkType::ETHERNET, &frame), "{flags}");
        }
    }

    #[test]
    fn all_have_no_limit_and_none_have_the_lowest() {
        assert_eq!(sample(1.0).limit(), None);
        assert_eq!(sample(0.0).limit(), Some(0));
        assert_eq!(sample(0.25).limit(), Some(1 << 30));
    }
}
