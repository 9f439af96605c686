//! Proxies on this host: both of their sides, and what `HAProxy` was built with.

use std::fs;
use std::process::{Command, Stdio};

use super::Finding;

/// State of a connection that is open, as the system's table numbers it.
const ESTABLISHED: &str = "01";

/// Returns whether connections to the ports and connections from here to the same ports elsewhere are both seen.
#[must_use]
pub fn sides(ports: &[u16]) -> Option<Finding> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    sides_in(&(read("/proc/net/tcp") + &read("/proc/net/tcp6")), ports)
}

fn sides_in(table: &str, ports: &[u16]) -> Option<Finding> {
    let is_asked = |end: &str| {
        let port = end.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        port.is_some_and(|port| ports.contains(&port))
    };
    let (mut inward, mut outward) = (0_usize, 0_usize);
    for line in table.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, remote, ESTABLISHED, ..] = fields.as_slice() else { continue };
        let address = |end: &str| end.rsplit_once(':').map(|(address, _)| address.to_owned());
        // What this host says to itself stands in the table twice, once for each end.
        let is_own = address(local) == address(remote);
        inward += usize::from(is_asked(local));
        outward += usize::from(is_asked(remote) && !is_own);
    }
    (inward > 0 && outward > 0).then(|| {
        let says = format!("this host is a proxy: {inward} connections to it, and {outward} from it to the same port");
        Finding::note("proxy", says, "choose one side: --direction in (clients) or --direction out (servers)")
    })
}

/// Returns what `HAProxy` was built with, where there is one.
#[must_use]
pub fn haproxy() -> Option<Finding> {
    let mut command = Command::new("haproxy");
    let output = command.arg("-vv").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    Some(built(&String::from_utf8_lossy(&output.stdout)))
}

fn built(said: &str) -> Finding {
    let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let version = version.unwrap_or("of an unknown version");
    let has = |text: &str| said.contains(text);
    let spoe = if has("[SPOE]") { "has SPOE" } else { "has no SPOE" };
    // Keys of sessions are logged with OpenSSL 1.1.1 and later, by the callback that came with it.
    let keys = has("OpenSSL") && !has("OpenSSL 1.0") && !has("OpenSSL 1.1.0") && !has("OPENSSL=0");
    if keys {
        return Finding::ok("haproxy", format!("HAProxy {version} {spoe}, and can log the keys of TLS sessions"));
    }
    let says = format!("HAProxy {version} {spoe}, and cannot log the keys of TLS sessions");
    Finding::note("haproxy", says, "capture behind it, where the traffic is in the clear")
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_proxy_is_a_host_with_both_sides_on_one_port() {
        let line = |local: &str, remote: &str, state: &str| format!("   0: {local} {remote} {state} 0:0\n");
        let inward = line("0A00000A:0050", "0B00000A:D2F0", "01");
        let outward = line("0A00000A:D2F1", "0C00000A:0050", "01");
        let own = line("0100007F:D2F1", "0100007F:0050", "01");
        let listens = line("00000000:0050", "00000000:0000", "0A");
        let both = sides_in(&[inward.clone(), outward, listens].concat(), &[80]).unwrap();
        assert!(
            both.says.contains("1 connections to it, and 1 from it") && both.mend.unwrap().contains("--direction in")
        );
        assert_eq!(sides_in(&[inward.clone(), own].concat(), &[80]), None);
        assert_eq!(sides_in(&inward, &[81]), None);
    }

    #[test]
    fn what_haproxy_was_built_with_is_read_off_its_own_words() {
        let said = "HAProxy version 2.6.12-1+deb12u1 2023/12/16\nBuilt with OpenSSL version : OpenSSL 3.0.11\n\
                    Available filters :\n\t[SPOE] spoe\n";
        let found = built(said);
        assert_eq!(
            (found.state, found.says.as_str()),
            (State::Ok, "HAProxy 2.6.12-1+deb12u1 has SPOE, and can log the keys of TLS sessions")
        );
        assert_eq!(built("HAProxy version 1.8.0\nOpenSSL 1.0.2").state, State::Note);
    }
}
