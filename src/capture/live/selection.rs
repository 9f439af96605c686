//! Selection of the interfaces to capture on, with its reason.
//!
//! The input is names as typed, or none. Without names: if something on this host listens on one of the ports, and only
//! on addresses of its own, the interfaces that have these addresses; else every interface that is up. The latter
//! excludes interfaces that would show the same traffic twice (a member of a bond or bridge, a VLAN if its carrier is
//! there) and the loopback interface, unless something listens there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::MAX_INTERFACES;
use super::error::{LiveError, and};
use super::later::{LaterInterfaces, is_pattern, matches};
use super::listeners::listeners;
use crate::capture::interfaces::{self, ANY, Interface, InterfaceState};

/// The interfaces, and why these. Shown as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InterfaceSelection {
    pub(super) names: Vec<String>,
    /// Those that are captured on as well when they appear.
    pub(super) later: LaterInterfaces,
    why: SelectionReason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SelectionReason {
    /// They were named.
    Asked,
    /// Their names match patterns.
    Matching(Vec<String>),
    /// They have the addresses that are listened on.
    Listened(Vec<u16>),
    /// They are up, and something listens on every address.
    Everywhere(Vec<u16>),
    /// They are up, and nothing here listens.
    Nobody(Vec<u16>),
    /// They are up, and any port will do.
    Up,
    /// They are the one for all, since so many are up.
    Many(usize),
}

impl fmt::Display for InterfaceSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&and(&self.names))?;
        match &self.why {
            SelectionReason::Asked => Ok(()),
            SelectionReason::Matching(patterns) => write!(f, ", which match {}", and(patterns)),
            SelectionReason::Listened(ports) => write!(f, ", where something listens on {}", named(ports)),
            SelectionReason::Everywhere(ports) => {
                write!(f, ": up, and something listens on {} at every address", named(ports))
            }
            SelectionReason::Nobody(ports) => write!(f, ": up, and nothing here listens on {}", named(ports)),
            SelectionReason::Up => write!(f, ": up"),
            SelectionReason::Many(count) => write!(f, ": {count} interfaces are up"),
        }
    }
}

fn named(ports: &[u16]) -> String {
    let numbers: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("port{} {}", if ports.len() == 1 { "" } else { "s" }, and(&numbers))
}

/// The interfaces that were named, or those that carry the ports.
pub(super) fn choice(named: &[String], ports: &[u16]) -> Result<InterfaceSelection, LiveError> {
    if named.iter().any(|name| is_pattern(name)) {
        return matching(named, &interfaces::list()?);
    }
    if named.len() > MAX_INTERFACES {
        return Err(LiveError::TooMany { count: named.len(), most: MAX_INTERFACES });
    }
    if !named.is_empty() {
        let (why, later) = (SelectionReason::Asked, LaterInterfaces::None);
        return Ok(InterfaceSelection { names: named.to_vec(), later, why });
    }
    let all = interfaces::list()?;
    choose(&all, &listeners(), ports)
        .ok_or_else(|| LiveError::NothingUp { existing: all.into_iter().map(|interface| interface.name).collect() })
}

/// Those that are named, and those of the others that are up and match a pattern.
fn matching(typed: &[String], all: &[Interface]) -> Result<InterfaceSelection, LiveError> {
    let (patterns, mut names): (Vec<String>, Vec<String>) = typed.iter().cloned().partition(|name| is_pattern(name));
    let up = all.iter().filter(|interface| interface.state != InterfaceState::Down).map(|interface| &interface.name);
    for name in up.filter(|name| patterns.iter().any(|pattern| matches(pattern, name))) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if names.is_empty() {
        let existing = all.iter().map(|interface| interface.name.clone()).collect();
        return Err(LiveError::NoMatch { patterns, existing });
    }
    if names.len() > MAX_INTERFACES {
        return Err(LiveError::TooMany { count: names.len(), most: MAX_INTERFACES });
    }
    let why = SelectionReason::Matching(patterns.clone());
    Ok(InterfaceSelection { names, later: LaterInterfaces::Matching(patterns), why })
}

/// The rule; `None` where nothing is up.
fn choose(all: &[Interface], listeners: &[SocketAddr], ports: &[u16]) -> Option<InterfaceSelection> {
    let up: Vec<&Interface> = all.iter().filter(|interface| interface.state == InterfaceState::Up).collect();
    let heard: Vec<&SocketAddr> = listeners.iter().filter(|at| ports.contains(&at.port())).collect();
    let mut told: Vec<u16> = heard.iter().map(|at| at.port()).collect();
    told.sort_unstable();
    told.dedup();
    let listens = |interface: &Interface| heard.iter().any(|at| has(interface, at.ip()));
    let names = |which: &dyn Fn(&Interface) -> bool| -> Vec<String> {
        up.iter().filter(|interface| which(interface)).map(|interface| interface.name.clone()).collect()
    };

    let own = names(&listens);
    let all_have_places = heard.iter().all(|at| up.iter().any(|interface| has(interface, at.ip())));
    if !own.is_empty() && all_have_places && told.len() == ports.len() {
        // Their addresses are where they are.
        let (names, later) = (own, LaterInterfaces::None);
        return Some(InterfaceSelection { names, later, why: SelectionReason::Listened(told) });
    }
    let shows = |interface: &Interface| {
        let twice = interface.part_of.is_some() || interface.carried_by.is_some();
        if interface.loopback { listens(interface) } else { !twice }
    };
    let why = match (ports.is_empty(), told.is_empty()) {
        (true, _) => SelectionReason::Up,
        (false, true) => SelectionReason::Nobody(ports.to_vec()),
        (false, false) => SelectionReason::Everywhere(told),
    };
    let later = LaterInterfaces::Everything;
    let fit = names(&shows);
    match fit.len() {
        0 => {
            // A machine, or a namespace, that has nothing but itself to talk to.
            let names = names(&|_| true);
            (!names.is_empty()).then_some(InterfaceSelection { names, later, why })
        }
        count if count > MAX_INTERFACES => {
            let (names, later) = (vec![ANY.to_owned()], LaterInterfaces::None);
            Some(InterfaceSelection { names, later, why: SelectionReason::Many(count) })
        }
        _ => Some(InterfaceSelection { names: fit, later, why }),
    }
}

/// Returns whether `interface` has this address. The loopback interface has all that begin with 127.
fn has(interface: &Interface, address: IpAddr) -> bool {
    interface.addresses.contains(&address) || (interface.loopback && address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Interface {
            name: name.to_owned(),
            addresses,
            state: InterfaceState::Up,
            loopback: name == "lo",
            ..Interface::default()
        }
    }

    fn node() -> Vec<Interface> {
        let part = |name, of: &str| Interface { part_of: Some(of.to_owned()), ..interface(name, &[]) };
        vec![
            interface("lo", &["127.0.0.1", "::1"]),
            interface("eth0", &["192.0.2.2", "2001:db8::2"]),
            interface("eth1", &["10.0.0.2"]),
            Interface { state: InterfaceState::Down, ..interface("eth2", &["10.0.9.2"]) },
            interface("docker0", &["172.17.0.1"]),
            part("veth1", "docker0"),
            Interface { carried_by: Some("eth1".to_owned()), ..interface("eth1.7", &["10.0.7.2"]) },
        ]
    }

    /// Checks the selection's text for port 80 (and those in `ports`) with these listeners.
    #[track_caller]
    fn check(listeners: &[&str], ports: &[u16], said: &str) {
        let listeners: Vec<SocketAddr> = listeners.iter().map(|at| at.parse().unwrap()).collect();
        assert_eq!(choose(&node(), &listeners, ports).unwrap().to_string(), said);
    }

    #[test]
    fn an_address_that_is_listened_on_names_its_interface() {
        check(&["10.0.0.2:80", "127.0.0.1:22"], &[80], "eth1, where something listens on port 80");
        check(&["127.0.0.53:80"], &[80], "lo, where something listens on port 80");
        check(&["10.0.7.2:80"], &[80], "eth1.7, where something listens on port 80");
        check(
            &["[2001:db8::2]:80", "127.0.0.1:8080"],
            &[80, 8080],
            "lo and eth0, where something listens on ports 80 and 8080",
        );
    }

    #[test]
    fn a_listener_on_every_address_means_all_that_is_up_once() {
        check(&["0.0.0.0:80"], &[80], "eth0, eth1 and docker0: up, and something listens on port 80 at every address");
        check(
            &["[::]:80", "127.0.0.1:8080"],
            &[80, 8080],
            "lo, eth0, eth1 and docker0: up, and something listens on ports 80 and 8080 at every address",
        );
    }

    #[test]
    fn without_a_listener_all_that_is_up_may_carry_the_port() {
        check(&[], &[80], "eth0, eth1 and docker0: up, and nothing here listens on port 80");
        check(&["0.0.0.0:22"], &[], "eth0, eth1 and docker0: up");
    }

    #[test]
    fn an_address_that_no_interface_has_does_not_narrow_the_choice() {
        // A virtual address that another node holds at the moment.
        check(
            &["192.0.2.99:80"],
            &[80],
            "eth0, eth1 and docker0: up, and something listens on port 80 at every address",
        );
    }

    #[test]
    fn a_pattern_stands_for_those_that_match_and_are_up() {
        let choice = |named: &[&str]| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            matching(&named, &node()).map(|choice| choice.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(choice(&["eth?"]).unwrap(), "eth0 and eth1, which match eth?");
        assert_eq!(choice(&["eth0", "*th0", "docker*"]).unwrap(), "eth0 and docker0, which match *th0 and docker*");
        assert_eq!(
            choice(&["tap*"]).unwrap_err(),
            "no interface that is up matches tap*; there are lo, eth0, eth1, eth2, docker0, veth1 and eth1.7; \
             --wait-interface waits for one"
        );
    }

    #[test]
    fn alone_the_loopback_interface_is_better_than_nothing() {
        let all = [interface("lo", &["127.0.0.1"])];
        assert_eq!(choose(&all, &[], &[]).unwrap().names, ["lo"]);
        assert_eq!(choose(&[], &[], &[]), None);
    }

    #[test]
    fn more_interfaces_than_are_read_at_once_are_captured_on_together() {
        let all: Vec<Interface> = (0..9).map(|n| interface(&format!("cali{n}"), &[])).collect();
        let choice = choose(&all, &[], &[80]).unwrap();
        assert_eq!(choice.to_string(), "any: 9 interfaces are up");
    }
}
