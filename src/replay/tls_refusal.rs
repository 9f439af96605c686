//! Responses by which a server refuses the session, and not the request: its 400 says what TLS lacked.

use memchr::memmem;

use crate::exchange::FailureKind;
use crate::replay::{Reason, SendError};

/// Bytes of a 400 in which words are looked for.
pub(super) const LOOKED_AT: usize = 1024;

/// Words of a server that speaks TLS alone, to who does not: nginx, Go, Apache, Tomcat.
const WANTS_TLS: [&[u8]; 4] = [
    b"The plain HTTP request was sent to HTTPS port",
    b"Client sent an HTTP request to an HTTPS server",
    b"speaking plain HTTP to an SSL-enabled server port",
    b"This combination of host and port requires TLS",
];
/// Words of nginx to who has no client certificate.
const WANTS_CERTIFICATE: &[u8] = b"No required SSL certificate was sent";
/// The same to who has another than it trusts.
const REFUSES_CERTIFICATE: &[u8] = b"The SSL certificate error";

/// Returns whether a response of this status may be such a refusal.
pub(super) const fn is_possible(status: u16) -> bool {
    status == 400
}

/// Returns the failure that the `beginning` of a 400 tells of, over a connection with TLS or without.
pub(super) fn failure(beginning: &[u8], is_tls: bool) -> Option<SendError> {
    if beginning.is_empty() {
        return None;
    }
    let has = |words: &[u8]| memmem::find(beginning, words).is_some();
    let reason = match is_tls {
        false if WANTS_TLS.into_iter().any(has) => SPEAKS_TLS,
        true if has(WANTS_CERTIFICATE) => NEEDS_CERTIFICATE,
        true if has(REFUSES_CERTIFICATE) => OTHER_CERTIFICATE,
        _ => return None,
    };
    Some(SendError::failed(FailureKind::Tls, reason))
}

/// Reason of a target that speaks nothing but TLS.
pub(super) const SPEAKS_TLS: Reason = Reason::new("the target speaks TLS; is it https://?");
/// Reason of a target that wants to know who sends.
pub(super) const NEEDS_CERTIFICATE: Reason =
    Reason::new("the target requires a client certificate; give one with --cert and --key");
/// Reason of a target that does not trust who sends.
const OTHER_CERTIFICATE: Reason = Reason::new("the target does not accept the client certificate of --cert");

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, is_tls: bool, reason: Option<&str>) {
        let found = failure(body.as_bytes(), is_tls).map(|error| error.to_string());
        assert_eq!(found.as_deref(), reason, "{body}");
    }

    #[test]
    fn a_refusal_is_told_by_its_words() {
        let speaks_tls = Some("tls: the target speaks TLS; is it https://?");
        check("<title>400 The plain HTTP request was sent to HTTPS port</title>", false, speaks_tls);
        check("Client sent an HTTP request to an HTTPS server.\n", false, speaks_tls);
        check("Client sent an HTTP request to an HTTPS server.\n", true, None);
        let needed = Some("tls: the target requires a client certificate; give one with --cert and --key");
        check("<title>400 No required SSL certificate was sent</title>", true, needed);
        check("<title>400 No required SSL certificate was sent</title>", false, None);
        let other = Some("tls: the target does not accept the client certificate of --cert");
        check("<head><title>400 The SSL certificate error</title></head>", true, other);
        check("bad", true, None);
        check("", false, None);
    }
}
