//! Listening sockets of this machine: the table of TCP sockets that Linux shows to everybody.
//!
//! It has only sockets of this network namespace: those inside a container are not in it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// State of a socket that listens, as the table numbers it.
const LISTENS: &str = "0A";

/// The addresses and ports that are listened on; none where that cannot be known.
pub(super) fn listeners() -> Vec<SocketAddr> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let (four, six) = (read("/proc/net/tcp"), read("/proc/net/tcp6"));
    four.lines().chain(six.lines()).filter_map(listener).collect()
}

/// The listener of a line such as `0: 0100007F:1F90 00000000:0000 0A ...`.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace();
    let (local, state) = (fields.nth(1)?, fields.nth(1)?);
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTENS).then_some(SocketAddr::new(self::address(address)?, port))
}

/// Words of 32 bits, each as the machine stores it. A listener for both versions at once is one of version 6.
fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).enumerate().take(hex.len() / 8) {
        let digits = hex.get(place * 8..place * 8 + 8)?;
        word.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    match hex.len() {
        8 => bytes.first_chunk::<4>().map(|four| Ipv4Addr::from(*four).into()),
        32 => Some(Ipv6Addr::from(bytes).to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_told_from_other_sockets() {
        let check = |line, expected: Option<&str>| {
            assert_eq!(listener(line), expected.map(|text| text.parse().unwrap()), "{line}");
        };
        check("  sl  local_address rem_address   st tx_queue", None);
        check("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000", Some("127.0.0.1:8080"));
        check("   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000", Some("0.0.0.0:80"));
        check("   2: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000", None);
        check("   0: 00000000000000000000000000000000:0050 0000:0000 0A 0", Some("[::]:80"));
        check("   0: 00000000000000000000000001000000:0050 0000:0000 0A 0", Some("[::1]:80"));
        check("   0: 0000000000000000FFFF00000100007F:0050 0000:0000 0A 0", Some("127.0.0.1:80"));
        check("   0: 0100007F", None);
        check("   0: 01€0007F:0050 00000000:0000 0A", None);
    }
}
