//! One connection to a target, with TLS or without.
//!
//! Reads go through one buffer for each thread: a connection that waits holds none.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::addresses::AddressEntry;
use super::conn_stats::{History, OpenGuard};
use super::transport::Transport;
use super::unasked::{LOOK, Unasked, judge};
use crate::replay::ConnNumber;

/// Time that a connection must stay quiet after its first response, before that response counts: see
/// `WireClient::over`.
pub(crate) const QUIET: Duration = Duration::from_millis(10);
/// Bytes that are read at once: most responses fit, so that one call to the system reads them.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// An open connection.
#[derive(Debug)]
pub(super) struct UpstreamConn {
    pub(super) number: ConnNumber,
    stream: UpstreamStream,
    pub(super) address: Arc<AddressEntry>,
    pub(super) history: History,
    /// What was written of the next exchange's request.
    pub(super) written_ahead: WrittenAhead,
    open: OpenGuard,
}

/// The part of a request that was written before its exchange began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WrittenAhead {
    pub(super) bytes: usize,
    /// When the system had taken the last byte, where it was all.
    pub(super) whole: Option<Instant>,
}

/// Readiness of a connection for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// The target has ended it, or is about to.
    Closed,
    /// Bytes came that belong to no request.
    Spoke,
}

#[derive(Debug)]
pub(super) enum UpstreamStream {
    Plain(Transport),
    Tls(Box<TlsStream<Transport>>),
}

impl UpstreamStream {
    /// Returns whether any TLS lies between the system and the messages.
    const fn is_tls(&self) -> bool {
        match self {
            Self::Plain(transport) => transport.is_tls(),
            Self::Tls(_) => true,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(plain) => Pin::new(plain).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsFd for UpstreamStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(transport) => transport.as_fd(),
            Self::Tls(tls) => tls.get_ref().0.as_fd(),
        }
    }
}

impl UpstreamConn {
    pub(super) fn new(stream: UpstreamStream, address: Arc<AddressEntry>, open: OpenGuard) -> Self {
        let history = History { is_idle: true, ..History::default() };
        Self { number: ConnNumber::next(), stream, address, history, written_ahead: WrittenAhead::default(), open }
    }

    /// Returns whether the connection is TLS, which may hold back bytes that were written.
    pub(super) const fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// Returns whether an idle connection can carry a request: the target has neither ended it nor sent anything
    /// unsolicited, which is counted. The system itself is asked, since the runtime may not know of it yet.
    pub(super) fn is_ready(&mut self) -> bool {
        let readiness = self.readiness();
        self.note(readiness);
        readiness == Readiness::Ready && !self.address.is_gone()
    }

    /// Returns whether what was seen of it last may be relied upon: no request over a used connection has failed so far, and
    /// its target has said nothing unasked.
    pub(super) fn is_trusted(&self) -> bool {
        let ledger = self.open.ledger();
        !ledger.has_failed_reused() && !ledger.is_suspect() && !self.address.is_gone()
    }

    /// Returns whether the target was seen to close connections that had carried requests: right after a response it may be
    /// about to.
    pub(super) fn needs_rest(&self) -> bool {
        self.open.ledger().has_failed_reused()
    }

    /// Notes that the target closed the connection a moment after a response that did not say so.
    pub(super) fn closed_soon(&self) {
        self.open.ledger().failed_reused();
    }

    fn readiness(&mut self) -> Readiness {
        let mut bytes = [0; LOOK];
        let mut buffer = ReadBuf::new(&mut bytes);
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.stream, &mut [0], flags) {
            Err(rustix::io::Errno::AGAIN) => return Readiness::Ready,
            Ok((_, 1..)) if self.stream.is_tls() => {
                // What came may be a session ticket, which TLS takes without a word (RFC 8446, 4.6.1).
                let mut none = Context::from_waker(Waker::noop());
                match self.stream.poll_read(&mut none, &mut buffer) {
                    Poll::Pending => return Readiness::Ready,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Readiness::Closed,
                }
            }
            Ok((_, 1..)) => {
                let peeked = rustix::net::recv(&self.stream, buffer.initialize_unfilled(), flags);
                buffer.advance(peeked.map_or(0, |(_, len)| len.min(LOOK)));
            }
            _ => return Readiness::Closed,
        }
        match judge(buffer.filled(), self.history.bodiless) {
            // They stay where they are, and are passed over with the next response.
            Unasked::Blank if buffer.filled().len() < LOOK => Readiness::Ready,
            Unasked::Blank | Unasked::Harmless => Readiness::Closed,
            Unasked::Response => Readiness::Spoke,
        }
    }

    /// Returns whether bytes came on a new connection before any request was sent over it. A connection that has ended
    /// already is used: its error then shows the reason.
    pub(super) fn said_before_a_request(&mut self) -> bool {
        match self.readiness() {
            Readiness::Spoke => {
                self.note(Readiness::Spoke);
                true
            }
            Readiness::Ready | Readiness::Closed => false,
        }
    }

    /// Counts what came unasked, once.
    fn note(&mut self, readiness: Readiness) {
        if readiness == Readiness::Ready {
            return;
        }
        let was_idle = std::mem::take(&mut self.history.is_idle);
        if was_idle && readiness == Readiness::Spoke {
            self.open.ledger().desynchronised(self.number, &self.history, 0);
        }
    }

    /// Counts a response followed by more bytes: the owner of that response, and of those before it, is unknown.
    pub(super) fn desynchronised(&mut self) {
        self.history.is_idle = false;
        self.open.ledger().desynchronised(self.number, &self.history, 1);
    }

    /// Waits until `until` for bytes that belong to no request; returns the readiness after that.
    pub(super) async fn settle(&mut self, until: Instant) -> Readiness {
        let bodiless = self.history.bodiless;
        let judge = |bytes: &[u8]| match judge(bytes, bodiless) {
            Unasked::Blank => Readiness::Ready,
            Unasked::Response => Readiness::Spoke,
            Unasked::Harmless => Readiness::Closed,
        };
        let judged = std::future::poll_fn(|cx| {
            loop {
                match ready!(self.poll_read(cx, judge)) {
                    Ok(Readiness::Ready) => {}
                    judged => return Poll::Ready(judged),
                }
            }
        });
        match tokio::time::timeout_at(until, judged).await {
            // A runtime that was busy may not know yet of what came in time.
            Err(_) => self.readiness(),
            Ok(judged) => judged.unwrap_or(Readiness::Closed),
        }
    }

    /// Writes some of `head` and `body`; says how much of both.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, head: &[u8], body: &[u8]) -> Poll<io::Result<usize>> {
        let both = [IoSlice::new(head), IoSlice::new(body)];
        match (&mut self.stream, head.is_empty(), body.is_empty()) {
            (UpstreamStream::Plain(plain), _, true) => Pin::new(plain).poll_write(cx, head),
            (UpstreamStream::Plain(plain), true, _) => Pin::new(plain).poll_write(cx, body),
            (UpstreamStream::Plain(plain), ..) => Pin::new(plain).poll_write_vectored(cx, &both),
            (UpstreamStream::Tls(tls), ..) => Pin::new(tls.as_mut()).poll_write_vectored(cx, &both),
        }
    }

    /// Writes what the system takes at once; says how much. Not for TLS.
    pub(super) fn write_now(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        rustix::net::send(&self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
    }

    /// Hands everything to the system; what is no TLS has nothing to hand.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            UpstreamStream::Plain(plain) => Pin::new(plain).poll_flush(cx),
            UpstreamStream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    /// Reads once and hands what came to `take`; nothing at the end of the stream.
    pub(super) fn poll_read<T>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8]) -> T) -> Poll<io::Result<T>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = self.stream.poll_read(cx, &mut buffer);
            read.map_ok(|()| take(buffer.filled()))
        })
    }
}

/// Counts a response that came after the last one, however the connection ends.
impl Drop for UpstreamConn {
    fn drop(&mut self) {
        if self.history.is_idle {
            let readiness = self.readiness();
            self.note(readiness);
        }
    }
}
