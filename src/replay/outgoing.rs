//! The head of a request as it would go out to a target, made without a client: for those who look before they send.

use super::{SendSettings, hop, http, wire};
use crate::exchange::{FailureKind, Outcome, Request};

/// Returns the head that `request` would have on the wire to the target of `settings`; `keep_host` where a filter set its
/// Host. With reqwest it is what is handed to that library, which adds lines of its own.
///
/// # Errors
///
/// How the request would end, where the client does not send it.
pub(crate) fn outgoing_head(request: &Request, settings: &SendSettings, keep_host: bool) -> Result<Vec<u8>, Outcome> {
    let (refused, head) = if settings.may_speak_http2() {
        (http::refused(request), http::outgoing_head(request, settings, keep_host))
    } else {
        (hop::refused(request), wire::outgoing_head(request, settings, keep_host))
    };
    match refused {
        Some(rule) => Err(Outcome::filtered(rule)),
        None => head.ok_or(Outcome::Failed(FailureKind::Protocol)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Body, Framing};
    use crate::replay::ClientChoice;
    use crate::testing::request;

    fn settings(client: ClientChoice) -> SendSettings {
        let http2 = client == ClientChoice::Reqwest;
        SendSettings { client, http2, ..SendSettings::new("http://staging:8080/base".parse().unwrap()) }
    }

    fn head(request: &Request, settings: &SendSettings, keep_host: bool) -> String {
        String::from_utf8(outgoing_head(request, settings, keep_host).unwrap()).unwrap()
    }

    #[test]
    fn the_head_is_the_one_that_the_client_writes_without_the_body() {
        let mut post =
            request(1, "POST /a HTTP/1.1\r\nhost: old\r\nX:  1\r\nConnection: close\r\nContent-Length: 4\r\n\r\n");
        post.body = Body { framing: Framing::Length(4), len: 4, sha256: None, wire: Some("body".into()) };
        let wire = settings(ClientChoice::Wire);
        assert_eq!(
            head(&post, &wire, false),
            "POST /base/a HTTP/1.1\r\nhost: staging:8080\r\nX:  1\r\nContent-Length: 4\r\n\r\n"
        );
        assert!(head(&post, &wire, true).contains("host: old\r\n"));
        let reqwest = head(&post, &settings(ClientChoice::Reqwest), false);
        assert!(reqwest.starts_with("POST /base/a HTTP/1.1\r\n") && reqwest.contains("\r\nx: 1\r\n"), "{reqwest}");
        assert!(reqwest.contains("\r\nhost: staging:8080\r\n") && reqwest.ends_with("\r\n\r\n"), "{reqwest}");
    }

    #[test]
    fn what_a_client_does_not_send_has_no_head() {
        let asterisk = request(1, "OPTIONS * HTTP/1.1\r\n\r\n");
        assert_eq!(
            outgoing_head(&asterisk, &settings(ClientChoice::Reqwest), false),
            Err(Outcome::filtered("asterisk"))
        );
        assert!(outgoing_head(&asterisk, &settings(ClientChoice::Wire), false).is_ok());
        let mut cut = request(1, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
        cut.body = Body { framing: Framing::Length(4), len: 4, sha256: None, wire: Some("bo".into()) };
        let ended = outgoing_head(&cut, &settings(ClientChoice::Wire), false);
        assert_eq!(ended, Err(Outcome::Failed(FailureKind::Protocol)));
    }
}
