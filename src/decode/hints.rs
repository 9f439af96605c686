//! Hints about skipped frames that could be read with other settings: each kind with its number of frames and advice.

use crate::capture::TunnelKind;

/// Most kinds that are recorded; further ones are not.
const MAX_HINTS: usize = 8;

/// Reason why a frame was skipped that probably carries IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// Frames that look like this tunnel, on this UDP port.
    Tunnel(TunnelKind, u16),
    /// A tag of this EtherType, with IP behind it.
    Tag(u16),
    /// This link type.
    Link(u16),
}

/// Hints with how many frames had each.
#[derive(Debug, Default)]
pub(super) struct Hints(Vec<(Hint, u64)>);

impl Hints {
    /// Counts a frame.
    pub(super) fn note(&mut self, hint: Option<Hint>) {
        let Some(hint) = hint else { return };
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == hint) {
            *count += 1;
        } else if self.0.len() < MAX_HINTS {
            self.0.push((hint, 1));
        }
    }

    /// Returns the advice, one line per hint.
    pub(super) fn advice(&self) -> Vec<String> {
        let line = |(hint, count): &(Hint, u64)| {
            let frames = if *count == 1 { "1 frame".to_owned() } else { format!("{count} frames") };
            match hint {
                Hint::Tunnel(kind, port) => {
                    let name = kind.name();
                    format!(
                        "{frames} to UDP port {port} look like {name} and were skipped: --tunnel {name}:{port} looks into them"
                    )
                }
                Hint::Tag(number) => format!(
                    "{frames} have a tag that is not known (EtherType {number:#06x}) before IP and were skipped: have the \
                     switch mirror without it"
                ),
                Hint::Link(number) => format!(
                    "{frames} have link type {number}, which is not read, and were skipped: capture on an interface with \
                     Ethernet, or with tcpdump -y EN10MB"
                ),
            }
        };
        self.0.iter().map(line).collect()
    }
}

/// The tunnel whose header `bytes` begin with, Ethernet or IP behind it: strict enough for any other datagram.
pub(super) fn looks_like(bytes: &[u8]) -> Option<TunnelKind> {
    const ETHERNET: [u8; 2] = [0x65, 0x58];
    let ethernet = |frame: &[u8]| frame.get(12..).is_some_and(typed);
    let after = |len: usize| bytes.get(len..).unwrap_or_default();
    match bytes {
        [0x08, 0, 0, 0, _, _, _, 0, frame @ ..] if ethernet(frame) => Some(TunnelKind::Vxlan),
        // Version 0, no reserved flags.
        [words @ 0..=0x3f, 0 | 0x40 | 0x80 | 0xc0, protocol @ ..] if bytes.get(7) == Some(&0) => {
            let inner = after(8 + usize::from(*words) * 4);
            let fits = match protocol {
                [high, low, ..] if [*high, *low] == ETHERNET => ethernet(inner),
                [high, low, ..] => is_ip([*high, *low], inner),
                _ => false,
            };
            fits.then_some(TunnelKind::Geneve)
        }
        _ => None,
    }
}

/// Returns whether an EtherType with its payload begins here, under VLAN tags or not.
fn typed(mut bytes: &[u8]) -> bool {
    while let [0x81, 0, _, _, rest @ ..] | [0x88, 0xa8, _, _, rest @ ..] = bytes {
        bytes = rest;
    }
    matches!(bytes, [high, low, rest @ ..] if is_ip([*high, *low], rest))
}

/// Returns whether this EtherType is IP, and a datagram of that version begins here.
fn is_ip(ether_type: [u8; 2], bytes: &[u8]) -> bool {
    match (ether_type, bytes) {
        ([0x08, 0x00], header) => header.first() == Some(&0x45) && header.get(..20).is_some_and(sums_up),
        ([0x86, 0xdd], [first, ..]) => first >> 4 == 6,
        _ => false,
    }
}

/// Returns whether the checksum of an IPv4 header without options is right, or absent.
pub(super) fn sums_up(header: &[u8]) -> bool {
    if header.get(10..12) == Some(&[0, 0]) {
        return true;
    }
    let words = header.chunks_exact(2).map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)));
    let sum = words.sum::<u32>();
    (sum & 0xffff) + (sum >> 16) == 0xffff
}
