//! What a live capture listens to, and the advice where nothing comes of it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::error::and;
use crate::capture::interfaces::ANY;

/// The system's counters of each interface, of the network namespace of whoever opens it.
const COUNTERS: &str = "/proc/self/net/dev";
/// Most bytes that are read of it: a few thousand interfaces.
const MAX_COUNTERS: usize = 1 << 20;

/// Interfaces of a capture, what is asked of them, and how many packets they carried meanwhile.
#[derive(Debug)]
pub struct CaptureScope {
    interfaces: Vec<String>,
    filter: String,
    counters: Option<File>,
    /// Packets that the interfaces had carried at the start, where that is known.
    before: Option<u64>,
}

impl CaptureScope {
    /// The scope of a capture on these interfaces; opens the counters of the interfaces, where the system has them.
    #[must_use]
    pub fn new(interfaces: &[String], bpf: Option<&str>, ports: &[u16]) -> Self {
        let counters = File::open(COUNTERS).ok();
        let mut scope = Self { interfaces: interfaces.to_vec(), filter: filter(bpf, ports), counters, before: None };
        scope.before = scope.packets();
        scope
    }

    /// Says, in words for people, why no request was seen, as far as is known: `frames` have a
    /// segment that was asked for.
    #[must_use]
    pub fn no_request(&self, frames: u64) -> String {
        let carried = self.packets().zip(self.before).map(|(now, before)| now.saturating_sub(before));
        advice(&and(&self.interfaces), &self.filter, frames, carried)
    }

    /// Returns the packets that the interfaces have carried, in both directions.
    fn packets(&self) -> Option<u64> {
        let mut text = Vec::new();
        let mut block = [0; 4096];
        while text.len() < MAX_COUNTERS {
            match self.counters.as_ref()?.read_at(&mut block, text.len() as u64).ok()? {
                0 => break,
                len => text.extend_from_slice(block.get(..len)?),
            }
        }
        packets(std::str::from_utf8(&text).ok()?, &self.interfaces)
    }
}

/// The packets of these interfaces, or of all, in the system's table; `None` where it has none of them.
fn packets(table: &str, interfaces: &[String]) -> Option<u64> {
    let is_asked = |name: &str| interfaces.iter().any(|asked| asked == name || asked == ANY);
    let rows = table.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| is_asked(name.trim()));
    let counted = rows.filter_map(|(_, figures)| {
        let figures: Vec<u64> = figures.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        Some(figures.get(1)? + figures.get(9)?)
    });
    counted.reduce(u64::saturating_add)
}

/// What is asked for, in tcpdump's language.
fn filter(bpf: Option<&str>, ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(|port| format!("tcp port {port}")).collect();
    match (bpf, ports.is_empty()) {
        (None, true) => "tcp".to_owned(),
        (Some(bpf), true) => bpf.to_owned(),
        (None, false) => ports.join(" or "),
        (Some(bpf), false) => format!("({bpf}) and ({})", ports.join(" or ")),
    }
}

fn advice(interfaces: &str, filter: &str, frames: u64, carried: Option<u64>) -> String {
    match (frames, carried) {
        (0, Some(0)) => format!(
            "no packet passed {interfaces}: is it the right interface? `shadowtap interfaces` lists them; a mirror port \
             carries what its switch sends there"
        ),
        (0, Some(carried)) => format!(
            "no packets on {interfaces} match `{filter}`; {carried} packets passed the interface: are -p and -f right? \
             Traffic that a mirror wraps needs --tunnel"
        ),
        (0, None) => format!("no packets on {interfaces} match `{filter}`: are -i, -p and -f right?"),
        (frames, _) => format!(
            "{frames} packets on {interfaces} match `{filter}`, and no HTTP/1 request was in them: is it TLS or HTTP/2? \
             Then capture behind the proxy that ends it; are both directions there?"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_fits_what_was_seen() {
        let told = |frames, carried| advice("eth0", "tcp port 80", frames, carried);
        assert!(told(0, Some(0)).starts_with("no packet passed eth0: is it the right interface?"));
        assert!(
            told(0, Some(1204)).starts_with(
                "no packets on eth0 match `tcp port 80`; 1204 packets passed the interface: are -p and -f"
            )
        );
        assert!(told(0, None).contains("are -i, -p and -f right?"));
        assert!(told(7, Some(9)).starts_with("7 packets on eth0 match `tcp port 80`, and no HTTP/1 request"));
    }

    #[test]
    fn packets_are_those_of_the_interfaces_in_both_directions() {
        let table = "Inter-|   Receive                |  Transmit\n face |bytes packets|bytes packets\n\
                     lo: 100 5 0 0 0 0 0 0 100 5 0 0 0 0 0 0\n  eth0: 9 2 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n";
        assert_eq!(packets(table, &["eth0".to_owned()]), Some(3));
        assert_eq!(packets(table, &["any".to_owned()]), Some(13));
        assert_eq!(packets(table, &["eth1".to_owned()]), None);
        assert!(CaptureScope::new(&["lo".to_owned()], None, &[80]).no_request(0).contains(" lo"));
    }

    #[test]
    fn what_is_asked_for_is_said_in_the_language_of_filters() {
        assert_eq!(filter(None, &[]), "tcp");
        assert_eq!(filter(None, &[80, 81]), "tcp port 80 or tcp port 81");
        assert_eq!(filter(Some("host h"), &[]), "host h");
        assert_eq!(filter(Some("host h"), &[80]), "(host h) and (tcp port 80)");
    }
}
