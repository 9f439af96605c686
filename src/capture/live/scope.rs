//! What a live capture listens to, and the advice where nothing comes of it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::error::and;
use crate::capture::interfaces::{self, ANY};

/// Digits of the largest counter, and a line end.
const LONGEST: usize = 24;

/// Interfaces of a capture, what is asked of them, and how many packets they carried meanwhile.
#[derive(Debug)]
pub struct CaptureScope {
    interfaces: Vec<String>,
    filter: String,
    counters: Vec<File>,
    /// Packets that the interfaces had carried at the start.
    before: u64,
}

impl CaptureScope {
    /// The scope of a capture on these interfaces; opens the counters of the interfaces, where the system has them.
    #[must_use]
    pub fn new(interfaces: &[String], bpf: Option<&str>, ports: &[u16]) -> Self {
        let names = if interfaces.iter().any(|name| name == ANY) {
            interfaces::list().unwrap_or_default().into_iter().map(|interface| interface.name).collect()
        } else {
            interfaces.to_vec()
        };
        let counters: Vec<File> = names.iter().flat_map(|name| counters(name)).collect();
        let before = counters.iter().filter_map(packets).sum();
        Self { interfaces: interfaces.to_vec(), filter: filter(bpf, ports), counters, before }
    }

    /// Says, in words for people, why no request was seen, as far as is known: `frames` passed the filter.
    #[must_use]
    pub fn no_request(&self, frames: u64) -> String {
        let carried: u64 = self.counters.iter().filter_map(packets).sum();
        let carried = (!self.counters.is_empty()).then(|| carried.saturating_sub(self.before));
        advice(&and(&self.interfaces), &self.filter, frames, carried)
    }
}

/// The files in which the system counts the packets of an interface.
fn counters(interface: &str) -> impl Iterator<Item = File> + use<> {
    let folder = Path::new("/sys/class/net").join(interface).join("statistics");
    ["rx_packets", "tx_packets"].into_iter().filter_map(move |name| File::open(folder.join(name)).ok())
}

fn packets(counter: &File) -> Option<u64> {
    let mut text = [0; LONGEST];
    let len = counter.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..len)?).ok()?.trim().parse().ok()
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
    fn what_is_asked_for_is_said_in_the_language_of_filters() {
        assert_eq!(filter(None, &[]), "tcp");
        assert_eq!(filter(None, &[80, 81]), "tcp port 80 or tcp port 81");
        assert_eq!(filter(Some("host h"), &[]), "host h");
        assert_eq!(filter(Some("host h"), &[80]), "(host h) and (tcp port 80)");
    }
}
