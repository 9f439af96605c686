//! Header fields that belong to a captured connection and not to the request.
//!
//! A head goes in, a decision for each of its lines comes out. A client that shares connections drops those lines (RFC
//! 9110, 7.6.1), as the load balancer in front of the new stack would; a client that mirrors connections keeps them.
//! Lines that frame the body are never dropped here: the client decides about them when it frames the body.

use crate::exchange::{Head, Request};
use crate::head::{KnownHeader, is_passed_over};

/// Returns whether a line belongs to a single connection even where Connection does not name it.
const fn is_always_of_connection(name: KnownHeader) -> bool {
    match name {
        // Says what the captured client wanted of its connection.
        KnownHeader::Connection
        // The older way to say the same (RFC 9112, C.2.2).
        | KnownHeader::KeepAlive
        | KnownHeader::ProxyConnection
        // A challenge of a proxy to the client next to it (RFC 9110, 11.7.1).
        | KnownHeader::ProxyAuthenticate
        // Credentials for a proxy on the captured path, which is not on the new one (RFC 9110, 11.7.2).
        | KnownHeader::ProxyAuthorization
        // Which transfer codings the captured client took (RFC 9110, 10.1.4).
        | KnownHeader::Te
        // Announces trailers, which are not sent (RFC 9110, 6.6.2).
        | KnownHeader::Trailer
        // Offers to leave HTTP on this connection (RFC 9110, 7.8).
        | KnownHeader::Upgrade
        // The HTTP/2 settings of an upgrade (RFC 7540, 3.2.1), obsolete with it (RFC 9113, 3.1).
        | KnownHeader::Http2Settings => true,
        _ => false,
    }
}

/// Returns whether a line stays even where Connection names it: without it a request would end elsewhere or go
/// elsewhere, which is how a Connection line is used for attacks.
const fn is_never_of_connection(name: KnownHeader) -> bool {
    matches!(name, KnownHeader::ContentLength | KnownHeader::TransferEncoding | KnownHeader::Host)
}

/// Most connection options that are heeded in one head; further ones are ignored, and what they name is sent.
const MAX_OPTIONS: usize = 64;

/// Returns the rule that keeps a request from being sent at all, because it would leave HTTP/1 on its connection.
#[must_use]
pub fn refused(request: &Request) -> Option<&'static str> {
    if request.method() == b"CONNECT" {
        return Some("connect");
    }
    if !request.head.may_have("upgrade") {
        return None;
    }
    let mut offers = request.head.get_all("upgrade").flat_map(|value| value.split(|byte| *byte == b','));
    let refused = offers.any(|offer| !is_passed_over(offer));
    refused.then_some("upgrade")
}

/// A Connection line's value without what belongs to an offer; `None` where nothing is left.
pub(super) fn without_offer(value: &[u8]) -> Option<Vec<u8>> {
    let of_offer =
        |option: &&[u8]| matches!(KnownHeader::of(option), Some(KnownHeader::Upgrade | KnownHeader::Http2Settings));
    let options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty());
    let left: Vec<&[u8]> = options.filter(|option| !of_offer(option)).collect();
    (!left.is_empty()).then(|| left.join(&b", "[..]))
}

/// Names in the Connection lines of one head, other than those that are always dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct HopByHop<'a> {
    named: Vec<&'a [u8]>,
}

impl<'a> HopByHop<'a> {
    /// Reads the Connection lines of `head`.
    #[must_use]
    pub(crate) fn of(head: &'a Head) -> Self {
        Self { named: head.get_all("connection").flat_map(options).take(MAX_OPTIONS).collect() }
    }

    /// Returns whether a Connection line of this `value` affects which lines are dropped: most say `keep-alive`, which
    /// does not.
    #[must_use]
    pub(crate) fn depends_on(value: &[u8]) -> bool {
        options(value).next().is_some()
    }

    /// Returns whether the line under `name` is dropped.
    #[must_use]
    pub(crate) fn covers(&self, name: &[u8]) -> bool {
        self.covers_known(KnownHeader::of(name), name)
    }

    /// The same where it is known what `name` is.
    pub(super) fn covers_known(&self, known: Option<KnownHeader>, name: &[u8]) -> bool {
        known.is_some_and(is_always_of_connection)
            || (self.named.iter().any(|named| named.eq_ignore_ascii_case(name))
                && !known.is_some_and(is_never_of_connection))
    }
}

/// Returns the names in a Connection line, other than those that are always dropped.
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    options.filter(|option| !option.is_empty() && !KnownHeader::of(option).is_some_and(is_always_of_connection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Body, ConnectionId, ExchangeId, RequestState, Timestamp};

    fn left(lines: &str) -> Vec<String> {
        let head = Head::new(format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes());
        let hop = HopByHop::of(&head);
        head.lines()
            .filter(|line| !hop.covers(line.name))
            .map(|line| String::from_utf8(line.name.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn lines_of_the_connection_are_left_out() {
        let lines = "Host: h\r\nConnection: close\r\nKeep-Alive: 5\r\nPROXY-Connection: x\r\nTE: trailers\r\n\
                     Trailer: T\r\nUpgrade: h2c\r\nProxy-Authorization: Basic x\r\nAccept: */*\r\n";
        assert_eq!(left(lines), ["Host", "Accept"]);
    }

    #[test]
    fn so_is_whatever_connection_names() {
        assert_eq!(left("A: 1\r\nConnection: a , B\r\nconnection: c\r\nb: 2\r\nC: 3\r\nD: 4\r\n"), ["D"]);
    }

    #[test]
    fn what_would_leave_http_is_refused_and_offers_that_anybody_may_pass_over_are_not() {
        for (lines, rule) in [
            ("Upgrade: websocket\r\n", Some("upgrade")),
            ("Upgrade: h2c, websocket\r\n", Some("upgrade")),
            ("Upgrade: h2c\r\nUpgrade: WebSocket\r\n", Some("upgrade")),
            ("Upgrade: IRC/6.9\r\n", Some("upgrade")),
            ("Upgrade: h2c\r\n", None),
            ("Upgrade: h2,H2C\r\n", None),
            ("Upgrade: TLS/1.2, HTTP/2.0\r\n", None),
            ("Upgrade:\r\n", None),
            ("Upgrade-Insecure-Requests: 1\r\n", None),
        ] {
            let head = Head::new(format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes());
            let request = Request {
                id: ExchangeId::new(ConnectionId(1), 1),
                client: "10.0.0.1:5000".parse().unwrap(),
                server: "10.0.0.2:80".parse().unwrap(),
                head,
                body: Body::EMPTY,
                first_byte: Timestamp::from_nanos(0),
                last_byte: Timestamp::from_nanos(0),
                state: RequestState::Whole,
            };
            assert_eq!(refused(&request), rule, "{lines}");
        }
    }

    #[test]
    fn framing_and_host_stay_though_connection_names_them() {
        let lines = "Host: h\r\nConnection: host, content-length, Transfer-Encoding\r\nContent-Length: 0\r\n\
                     Transfer-Encoding: chunked\r\n";
        assert_eq!(left(lines), ["Host", "Content-Length", "Transfer-Encoding"]);
    }
}
