//! Mapping of reqwest's errors to kinds of failure.
//!
//! reqwest wraps errors of hyper, rustls and the system in each other; the innermost that determines the kind counts,
//! so the whole chain is searched.

use std::error::Error;
use std::io;

use rustix::io::Errno;

use crate::exchange::{FailureKind, Shed};
use crate::replay::{Reason, SendError, tls};

/// The target chose another protocol than HTTP/2.
#[derive(Debug, thiserror::Error)]
#[error("the target chose another protocol than HTTP/2")]
pub(super) struct NotHttp2;

/// Stage at which a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No response head had been read.
    Head,
    /// Its body was being read.
    Body,
}

/// Maps `error` to a send error; `speaks_tls` is true for a target with TLS.
pub(super) fn of(error: reqwest::Error, speaks_tls: bool, stage: Stage) -> SendError {
    if let Some(place) = local_limit(&error) {
        return SendError::Shed(place);
    }
    let kind = match (kind(&error, speaks_tls), stage) {
        (FailureKind::Reset, Stage::Body) if !is_reset(&error) => FailureKind::Truncated,
        (kind, _) => kind,
    };
    let of_tls = chain(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>()).map(tls::reason);
    let what = match kind {
        FailureKind::Dns => "the name cannot be looked up",
        FailureKind::Connect => "cannot connect",
        FailureKind::ConnectTimeout => "no answer in time",
        FailureKind::Tls => "no TLS session",
        FailureKind::Timeout => "the connection timed out",
        FailureKind::Reset if is_reset(&error) => "connection reset by the target",
        FailureKind::Reset if target_says(&error, h2::Error::is_reset) => "the target gave the request up",
        FailureKind::Reset if target_says(&error, h2::Error::is_go_away) => {
            "the target ends connections before it comes to the request"
        }
        FailureKind::Reset => "connection closed before a response began",
        FailureKind::Truncated => "the response ended too early",
        FailureKind::Protocol if speaks_tls => "what came is no HTTP/2, or breaks its rules",
        FailureKind::Protocol => "what came is no HTTP/2, which --http2 speaks at once, or breaks its rules",
        FailureKind::Desynchronised => "more came than the response: whose it is cannot be told",
        FailureKind::TooLarge => "the response is too large",
    };
    let reason = of_tls.unwrap_or_else(|| Reason::new(what).with(innermost(&error.without_url())));
    SendError::failed(kind, reason)
}

/// Returns the local resource that has run out, where that is the reason for the failed connection.
fn local_limit(error: &reqwest::Error) -> Option<Shed> {
    let of_system =
        chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).find_map(Errno::from_io_error)?;
    match of_system {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Some(Shed::OpenFiles),
        Errno::ADDRNOTAVAIL if error.is_connect() => Some(Shed::LocalPorts),
        _ => None,
    }
}

/// Returns whether the connection was reset, rather than closed.
fn is_reset(error: &reqwest::Error) -> bool {
    chain(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe))
}

/// Returns whether the target said so of the request, in HTTP/2.
fn target_says(error: &reqwest::Error, what: fn(&h2::Error) -> bool) -> bool {
    chain(error).filter_map(|cause| cause.downcast_ref::<h2::Error>()).any(|error| error.is_remote() && what(error))
}

/// The innermost cause, which says most.
fn innermost(error: &reqwest::Error) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The kind of `error`, of a request to a target that speaks TLS or not.
fn kind(error: &reqwest::Error, tls: bool) -> FailureKind {
    if error.is_dns() {
        return FailureKind::Dns;
    }
    if is_tls(error) {
        return FailureKind::Tls;
    }
    if error.is_connect() {
        return if tls && !no_tcp(error) { FailureKind::Tls } else { FailureKind::Connect };
    }
    let of = |cause| of_http2(cause).or_else(|| of_hyper(cause)).or_else(|| of_system(cause));
    chain(error).find_map(of).unwrap_or(FailureKind::Protocol)
}

/// Returns whether the target chose another protocol than HTTP/2.
pub(super) fn is_not_http2(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(<dyn Error>::is::<NotHttp2>)
}

/// Returns whether an error of rustls is in the chain.
pub(super) fn is_tls(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(<dyn Error>::is::<rustls::Error>)
}

/// Returns the messages of the whole chain, outermost first.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = chain(error).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// The error and its causes. What an [`io::Error`] wraps is a cause of its own here: its `source` skips it.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map_or_else(|| error.source(), |inner| Some(inner as &(dyn Error + 'static)))
    })
}

/// Returns whether the system could not make the TCP connection: then TLS had not begun.
fn no_tcp(error: &reqwest::Error) -> bool {
    chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| {
        use io::ErrorKind as Kind;
        matches!(
            error.kind(),
            Kind::ConnectionRefused
                | Kind::TimedOut
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
                | Kind::NetworkDown
                | Kind::AddrNotAvailable
                | Kind::AddrInUse
                | Kind::PermissionDenied
        ) || is_out_of_descriptors(error)
    })
}

/// EMFILE and ENFILE: this process, or the machine, has too many open files.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// A stream that was reset, a connection that was given up (RFC 9113, 6.4 and 6.8).
fn of_http2(error: &(dyn Error + 'static)) -> Option<FailureKind> {
    let error = error.downcast_ref::<h2::Error>()?;
    match error.get_io() {
        Some(error) => of_system(error),
        None if error.is_remote() => Some(FailureKind::Reset),
        None => Some(FailureKind::Protocol),
    }
}

fn of_hyper(error: &(dyn Error + 'static)) -> Option<FailureKind> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse() {
        Some(FailureKind::Protocol)
    } else if error.is_user() || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Some(FailureKind::Reset)
    } else if error.is_timeout() {
        Some(FailureKind::Timeout)
    } else {
        // An error of the system while reading or writing, which comes next in the chain.
        None
    }
}

pub(super) fn of_system(error: &(dyn Error + 'static)) -> Option<FailureKind> {
    use io::ErrorKind as Kind;
    match error.downcast_ref::<io::Error>()?.kind() {
        Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
            Some(FailureKind::Reset)
        }
        Kind::TimedOut => Some(FailureKind::Timeout),
        Kind::InvalidData | Kind::InvalidInput => Some(FailureKind::Protocol),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_shown_of_an_error_has_no_url_and_so_no_secret_of_its_query() {
        super::super::setup::install_crypto();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let error = client.get(format!("http://{free}/a?token=s3cret")).send().await.unwrap_err();
        assert!(words(&error).contains("s3cret"), "reqwest tells the URL");
        let shown = of(error, false, Stage::Head).to_string();
        assert!(!shown.contains("s3cret") && shown.contains("refused"), "{shown}");
    }
}
