//! Filter on the direction of connections, for a capture on a proxy: those that the host serves, those that it makes,
//! or both.

use super::Endpoint;
use crate::capture::{Direction, LocalEnds};

/// [`LocalEnds`], prepared for a check of each segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Legs {
    direction: Direction,
    own: Vec<Endpoint>,
    served: Vec<u16>,
    ports: Vec<u16>,
}

impl Legs {
    /// The connections that `ends` let through; `ports` are those that were asked for.
    #[must_use]
    pub(crate) fn new(ends: &LocalEnds, ports: &[u16]) -> Self {
        let own = ends.addresses.iter().map(|address| Endpoint::from(std::net::SocketAddr::new(*address, 0)));
        Self { direction: ends.direction, own: own.collect(), served: ends.served.clone(), ports: ports.to_vec() }
    }

    /// Returns whether a segment between these two, its source first, is of a connection to keep.
    #[inline]
    pub(crate) fn takes(&self, ends: (&Endpoint, &Endpoint)) -> bool {
        matches!(self.direction, Direction::Auto) && self.served.is_empty() || self.chooses(*ends.0, *ends.1)
    }

    #[inline(never)]
    fn chooses(&self, source: Endpoint, destination: Endpoint) -> bool {
        let is_server = |end: Endpoint| match self.direction {
            Direction::Auto => self.served.contains(&end.port),
            _ => self.ports.contains(&end.port),
        };
        let leg = |client: Endpoint, server: Endpoint| is_server(server) && self.is_own(client) && !self.is_own(server);
        match self.direction {
            Direction::Both => true,
            Direction::Auto => !(leg(source, destination) || leg(destination, source)),
            Direction::Out => leg(source, destination) || leg(destination, source),
            Direction::In => {
                let served = |end: Endpoint| is_server(end) && self.is_own(end);
                served(source) || served(destination)
            }
        }
    }

    fn is_own(&self, end: Endpoint) -> bool {
        self.own.contains(&end.without_port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks four segments: a client to this host, this host to another one, two other hosts, this host to itself.
    #[track_caller]
    fn check(direction: Direction, listened: &[u16], expected: [bool; 4]) {
        let addresses = ["192.0.2.2", "127.0.0.1", "2001:db8::2"].map(|address| address.parse().unwrap()).to_vec();
        let legs = Legs::new(&LocalEnds { direction, addresses, served: listened.to_vec() }, &[80]);
        let end = |text: &str| Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap());
        let pairs = [
            ("198.51.100.9:5000", "192.0.2.2:80"),
            ("192.0.2.2:5001", "10.0.0.3:80"),
            ("198.51.100.9:5002", "10.0.0.3:80"),
            ("127.0.0.1:5003", "127.0.0.1:80"),
        ];
        let taken = pairs.map(|(client, server)| {
            let (client, server) = (end(client), end(server));
            let both = [legs.takes((&client, &server)), legs.takes((&server, &client))];
            assert_eq!(both.first(), both.last(), "both directions of a connection are taken, or none");
            both.contains(&true)
        });
        assert_eq!(taken, expected, "{direction:?} {listened:?}");
    }

    #[test]
    fn what_a_proxy_sends_on_is_left_out_where_it_listens_and_a_direction_is_a_choice() {
        check(Direction::Auto, &[80], [true, false, true, true]);
        check(Direction::Auto, &[8080], [true, true, true, true]);
        check(Direction::Auto, &[], [true, true, true, true]);
        check(Direction::Both, &[80], [true, true, true, true]);
        check(Direction::In, &[], [true, false, false, true]);
        check(Direction::Out, &[80], [false, true, false, false]);
    }
}
