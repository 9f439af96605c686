//! One connection to a target, over TCP or TLS.
//!
//! Reads go through one buffer for each thread: a connection that waits holds none.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::addresses::Address;
use super::ledger::OpenGuard;

/// Bytes that are read at once: most responses fit, so that one call to the system reads them.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    pub(super) address: Arc<Address>,
    _open: OpenGuard,
}

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    pub(super) const fn new(stream: Stream, address: Arc<Address>, open: OpenGuard) -> Self {
        Self { stream, address, _open: open }
    }

    /// Whether bytes that were written may be held back by TLS.
    pub(super) const fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Whether an idle connection can carry a request: the target has neither ended it nor said anything unasked. The
    /// system itself is asked, since the runtime may not have heard of it yet.
    pub(super) fn is_alive(&mut self) -> bool {
        if self.address.is_gone() {
            return false;
        }
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        };
        let mut byte = [0];
        match (rustix::net::recv(tcp, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT), &mut self.stream) {
            (Err(rustix::io::Errno::AGAIN), _) => true,
            // What came may be a session ticket, which TLS takes without a word (RFC 8446, 4.6.1).
            (Ok((_, 1..)), Stream::Tls(tls)) => {
                let mut none = Context::from_waker(Waker::noop());
                let mut byte = [0];
                Pin::new(tls.as_mut()).poll_read(&mut none, &mut ReadBuf::new(&mut byte)).is_pending()
            }
            _ => false,
        }
    }

    /// Writes some of `head` and `body`; says how much of both.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, head: &[u8], body: &[u8]) -> Poll<io::Result<usize>> {
        let both = [IoSlice::new(head), IoSlice::new(body)];
        match (&mut self.stream, head.is_empty(), body.is_empty()) {
            (Stream::Plain(tcp), _, true) => Pin::new(tcp).poll_write(cx, head),
            (Stream::Plain(tcp), true, _) => Pin::new(tcp).poll_write(cx, body),
            (Stream::Plain(tcp), ..) => Pin::new(tcp).poll_write_vectored(cx, &both),
            (Stream::Tls(tls), ..) => Pin::new(tls.as_mut()).poll_write_vectored(cx, &both),
        }
    }

    /// Hands everything to the system; TCP has nothing to hand.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    /// Reads once and hands what came to `take`; nothing at the end of the stream.
    pub(super) fn poll_read<T>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8]) -> T) -> Poll<io::Result<T>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = match &mut self.stream {
                Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
                Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, &mut buffer),
            };
            read.map_ok(|()| take(buffer.filled()))
        })
    }
}
