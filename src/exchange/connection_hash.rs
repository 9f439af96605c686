//! Hash of the two ends of a connection, made of what a packet filter of the kernel can calculate.
//!
//! The input is two addresses with their ports; the result is the same in both directions, on every node with that seed,
//! and in every version. All of it is arithmetic of 32 bits without carry: sums, products, `xor` and shifts.

use std::net::{IpAddr, SocketAddr};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hash of the ends of connections, by a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionHash {
    /// Factors of the sum and the `xor` of the addresses, then of the ports, and of the result: odd numbers.
    pub(crate) factors: [u32; 5],
    /// Factors of the four words of an IPv6 address.
    pub(crate) words: [u32; 4],
}

/// Bits by which the sum is shifted before it is mixed: what is in the high half gets to the low one.
pub(crate) const SHIFT: u32 = 15;

impl ConnectionHash {
    /// The hash with this seed.
    pub(crate) fn new(seed: u64) -> Self {
        // An odd factor loses no bit.
        #[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
        let factor = |place: u8| xxh3_64_with_seed(&[place], seed) as u32 | 1;
        Self { factors: [0, 1, 2, 3, 4].map(factor), words: [5, 6, 7, 8].map(factor) }
    }

    /// Returns the hash of a connection between these ends, whichever of them is named first.
    pub(crate) fn of(&self, one: SocketAddr, other: SocketAddr) -> u32 {
        let [sums, xors, port_sums, port_xors, last] = self.factors;
        let (a, b) = (self.word(one.ip()), self.word(other.ip()));
        let (p, q) = (u32::from(one.port()), u32::from(other.port()));
        let sum = (a.wrapping_add(b).wrapping_mul(sums))
            .wrapping_add((a ^ b).wrapping_mul(xors))
            .wrapping_add((p + q).wrapping_mul(port_sums))
            .wrapping_add((p ^ q).wrapping_mul(port_xors));
        (sum ^ (sum >> SHIFT)).wrapping_mul(last)
    }

    /// An address in 32 bits.
    fn word(&self, address: IpAddr) -> u32 {
        match address.to_canonical() {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(address) => {
                let [a, b, c, d] = self.words;
                let bits = address.to_bits();
                #[expect(clippy::cast_possible_truncation, reason = "one word of four, in the order of the wire")]
                let word = |shift: u32, factor: u32| ((bits >> shift) as u32).wrapping_mul(factor);
                word(96, a).wrapping_add(word(64, b)).wrapping_add(word(32, c)).wrapping_add(word(0, d))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_directions_have_one_hash() {
        let hash = ConnectionHash::new(7);
        for (one, other) in [("10.1.2.3:40000", "10.9.9.9:80"), ("[fd00::1]:40000", "[fd00:1:2:3:4:5:6:7]:8080")] {
            assert_eq!(hash.of(at(one), at(other)), hash.of(at(other), at(one)));
            assert_ne!(hash.of(at(one), at(other)), ConnectionHash::new(8).of(at(one), at(other)));
        }
    }

    #[test]
    fn an_address_of_ipv4_in_ipv6_is_that_address() {
        let hash = ConnectionHash::new(0);
        assert_eq!(
            hash.of(at("[::ffff:10.1.2.3]:4000"), at("10.0.0.1:80")),
            hash.of(at("10.1.2.3:4000"), at("10.0.0.1:80"))
        );
    }

    #[test]
    fn shares_are_met_with_any_seed_for_ports_in_a_row_and_for_addresses_in_a_row() {
        let server = at("10.0.0.1:80");
        for seed in 0..200 {
            let hash = ConnectionHash::new(seed);
            let limit = u32::MAX / 10;
            let share = |ends: &mut dyn Iterator<Item = SocketAddr>| {
                let (mut inside, mut all) = (0_u32, 0_u32);
                for end in ends {
                    inside += u32::from(hash.of(end, server) < limit);
                    all += 1;
                }
                f64::from(inside) / f64::from(all)
            };
            let one_client = share(&mut (0..14_000_u16).map(|n| SocketAddr::from(([10, 0, 0, 9], 32_768 + 2 * n))));
            let clients = share(&mut (0..14_000_u16).map(|n| {
                let [high, low] = n.to_be_bytes();
                SocketAddr::from(([10, 3, high, low], 50_000 + n % 7))
            }));
            let v6 = share(
                &mut (0..14_000_u16)
                    .map(|n| SocketAddr::from((std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, n), 50_000))),
            );
            for share in [one_client, clients, v6] {
                assert!((share - 0.1).abs() < 0.025, "seed {seed}: {share}");
            }
        }
    }
}
