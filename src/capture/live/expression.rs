//! Filter expression of a live capture for the kernel, in libpcap's language.
//!
//! The input is ports, tunnels, a filter as typed and a link type; the output is one expression. It passes everything
//! that may concern those ports and cannot be decided at fixed offsets of a frame: fragments of datagrams, IPv6 with
//! extension headers, tunnels. Their contents are checked after decoding, and counted there.
//!
//! On Linux a VLAN tag is not in the frame that the kernel's filter sees: the card or the kernel has removed it and
//! keeps it as metadata. libpcap's `vlan` checks both places, and libpcap puts the tag back before it hands over the
//! frame, so that decoding sees it in place.

use crate::capture::{LinkType, Tunnel};

/// IPv6 headers that may stand between the IP header and TCP, in numbers of IANA: hop-by-hop options, routing,
/// fragment, authentication, destination options.
const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];

/// Tags that libpcap's `vlan` does not know, by EtherType: two older numbers of VLAN tags and one of a vendor, and what
/// switches put before a mirrored frame (a timestamp, a group). What has them is let through.
const OTHER_TAGS: [u16; 5] = [0x8200, 0x9200, 0x9300, 0x8988, 0x8909];

/// Returns the filter expression for a link of this type.
///
/// The filter as typed goes first: `vlan` in it moves the offsets of everything after it, and it was written for use
/// alone. Without ports and tunnels, the filter as typed is the whole expression.
///
/// `sampled` is a condition on what is TCP at fixed offsets: what does not fulfil it is out
/// ([`super::KernelSample`]).
#[must_use]
pub fn expression(
    typed: Option<&str>,
    ports: &[u16],
    tunnels: &[Tunnel],
    link: LinkType,
    sampled: Option<&str>,
) -> String {
    let captured = || tagged_or_not(&datagrams(ports, tunnels, sampled), link);
    match (typed, sampled) {
        (Some(typed), None) if ports.is_empty() && tunnels.is_empty() => typed.to_owned(),
        (Some(typed), Some(sampled)) if ports.is_empty() && tunnels.is_empty() => {
            format!("({typed}) and ({sampled} or not (ip[9] = 6 or ip6[6] = 6))")
        }
        (Some(typed), _) => format!("({typed}) and ({})", captured()),
        (None, _) => captured(),
    }
}

/// IP datagrams that are, or may become, TCP with one of these ports.
fn datagrams(ports: &[u16], tunnels: &[Tunnel], sampled: Option<&str>) -> String {
    let mut terms: Vec<String> = ports.iter().map(|port| format!("tcp port {port}")).collect();
    if terms.is_empty() {
        terms.push("tcp".to_owned());
    }
    if let Some(sampled) = sampled {
        terms = vec![format!("(({}) and ({sampled}))", terms.join(" or "))];
    }
    // Of a fragmented datagram only the first piece has ports.
    let mut protocols = vec![6];
    for tunnel in tunnels {
        terms.push(tunnel.carrier());
        protocols.extend(tunnel.protocols());
    }
    protocols.sort_unstable();
    protocols.dedup();
    terms.extend(protocols.iter().map(|protocol| format!("(ip[6:2] & 0x1fff != 0 and ip[9] = {protocol})")));
    terms.extend(EXTENSIONS.iter().map(|header| format!("ip6[6] = {header}")));
    terms.join(" or ")
}

/// The same under no VLAN tag, one or two, as far as this link has such.
fn tagged_or_not(datagrams: &str, link: LinkType) -> String {
    let ethernet = matches!(link, LinkType::ETHERNET | LinkType::LINUX_SLL | LinkType::LINUX_SLL2);
    let tags = OTHER_TAGS.map(|tag| format!(" or ether proto {tag:#06x}")).concat();
    let datagrams = &if ethernet { format!("{datagrams}{tags}") } else { datagrams.to_owned() };
    match link {
        // Each `vlan` moves everything after it by one tag: what is untagged stands before it, the second inside the first.
        LinkType::ETHERNET => format!("{datagrams} or (vlan and ({datagrams} or (vlan and ({datagrams}))))"),
        // `vlan` is not for cooked captures. One tag is beside the frame there, and not in the way; who has two is let
        // through, and looked at after decoding.
        LinkType::LINUX_SLL | LinkType::LINUX_SLL2 => {
            format!("{datagrams} or ether proto 0x8100 or ether proto 0x88a8")
        }
        _ => datagrams.to_owned(),
    }
}
