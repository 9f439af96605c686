//! Targets that a run would capture itself.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use crate::capture::interfaces;
use crate::middleware::LoopHeader;
use crate::replay::{self, ConnectTo};

/// Checks for a target on this machine behind a captured port: requests sent there are captured again. With a mark they
/// can be recognized, which is a warning; without one the loop never ends, which is an error.
pub(super) fn check(
    targets: &[replay::SendSettings],
    ports: &[u16],
    captured: &[String],
    mark: Option<&LoopHeader>,
) -> Result<Option<String>, String> {
    // What a machine sends to an address of its own goes by way of loopback.
    if !captured.iter().any(|name| name == interfaces::ANY || name == "lo" || name == "lo0") {
        return Ok(None);
    }
    let mine = local_addresses();
    let is_mine = |address: &SocketAddr| address.ip().is_loopback() || mine.contains(&address.ip());
    let is_captured = |address: &SocketAddr| ports.is_empty() || ports.contains(&address.port());
    let own = targets.iter().find_map(|target| {
        let address = addresses_of(&target.target).into_iter().find(|address| is_mine(address) && is_captured(address));
        address.map(|address| (&target.target, address))
    });
    match (own, mark) {
        (None, _) => Ok(None),
        (Some((target, _)), Some(mark)) => Ok(Some(format!(
            "{target} is on this machine, behind a port that is captured: what is sent there is told apart by its \
             header {}, and left out",
            mark.name()
        ))),
        (Some((target, address)), None) => Err(format!(
            "{target} is on this machine ({address}), behind a port that is captured: without a mark each request \
             would be sent again for ever; leave out --mark off, or capture other ports or interfaces"
        )),
    }
}

/// Resolves the addresses of a target. A name that cannot be resolved now has none: the client reports that for each
/// delivery.
fn addresses_of(target: &replay::TargetUrl) -> Vec<SocketAddr> {
    match target.connect_to() {
        ConnectTo::Name(host, port) => {
            (host.as_str(), *port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
        }
        ConnectTo::Address(address) => vec![*address],
        // Nothing that is captured goes over it.
        ConnectTo::Unix(_) => Vec::new(),
    }
}

fn local_addresses() -> Vec<IpAddr> {
    let all = interfaces::list().unwrap_or_default();
    all.into_iter().flat_map(|interface| interface.addresses).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::mistakes::ConfigMistakes;
    use crate::config::typed;
    use crate::middleware;

    fn target(url: &str) -> replay::SendSettings {
        let mut mistakes = ConfigMistakes::default();
        let send = typed::Send { to: vec![url.to_owned()], ..typed::Send::default() };
        let middleware = middleware::ChainSettings::default();
        crate::config::targets(&send, &typed::Pace::default(), &middleware, None, &mut mistakes, &mut Vec::new())
            .remove(0)
    }

    #[track_caller]
    fn told(to: &str, ports: &[u16], captured: &str, mark: bool, expected: Result<Option<&str>, &str>) {
        let mark = mark.then(LoopHeader::default);
        let told = check(&[target(to)], ports, &[captured.to_owned()], mark.as_ref());
        match (told, expected) {
            (Ok(None), Ok(None)) => {}
            (Ok(Some(told)), Ok(Some(part))) | (Err(told), Err(part)) => assert!(told.contains(part), "{told}"),
            (told, expected) => panic!("{told:?} is not {expected:?}"),
        }
    }

    #[test]
    fn a_target_behind_a_captured_port_of_this_machine_is_a_loop_without_a_mark() {
        told("http://127.0.0.1:8080", &[8080], "lo", false, Err("for ever"));
        told("http://[::1]:8080", &[], "any", false, Err("for ever"));
        told("http://127.0.0.1:8080", &[8080], "lo", true, Ok(Some("x-shadowtap")));
    }

    #[test]
    fn a_target_elsewhere_or_behind_another_port_or_interface_is_none() {
        told("http://127.0.0.1:9090", &[8080], "lo", false, Ok(None));
        told("http://127.0.0.1:8080", &[8080], "eth0", false, Ok(None));
        told("http://192.0.2.1:8080", &[8080], "any", false, Ok(None));
    }
}
