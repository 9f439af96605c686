//! Requests that are written by whoever has them when they are due.
//!
//! To hand a request to another thread takes wakeups, which are most of what it is late. So where a connection of the pool
//! is idle, the thread that paces writes the request itself. It reads nothing: the response, and all that may go wrong, is the
//! business of [`WireClient::send`], which is given the rest.

use tokio::time::Instant;

use super::pool::ConnPool;
use super::request::{self, EncodedRequest, RewriteRules};
use super::upstream::{QUIET, Readiness, UpstreamConn, WrittenAhead};
use super::{Sharing, WireClient};
use crate::exchange::Request;
use crate::replay::{ResponseOptions, hop};

/// A request that was written, wholly or in part, and whose response is to be read.
#[derive(Debug)]
pub(crate) struct WrittenRequest {
    pub(super) link: Box<UpstreamConn>,
    pub(super) outgoing: EncodedRequest,
    /// When that began.
    pub(crate) at: Instant,
}

impl WireClient {
    /// Writes a request that is due in a moment to an idle connection of the pool, as far as the system takes it at once. `None` where there is no
    /// such connection or it takes nothing, or where more is to be done than to write: nothing was sent then.
    pub(crate) fn write_at(&self, due: Instant, request: &Request, wanted: ResponseOptions) -> Option<WrittenRequest> {
        let Sharing::Pooled(pool) = &self.sharing else { return None };
        if self.connector.tls.is_some() || pool.is_empty() || hop::refused(request).is_some() {
            return None;
        }
        let outgoing = self.encode(request, wanted)?;
        // Bodies that are not copied, and those that wait for a 100, go by way of the runtime.
        if outgoing.expects || !outgoing.body.is_empty() {
            return None;
        }
        write(pool, outgoing, due)
    }

    /// Opens a connection for the pool, and watches it for a moment: a target that says something unasked does so then, and
    /// not on its first response. Where the connection fails, a request will say why.
    pub(crate) async fn open_idle(&self) {
        let Sharing::Pooled(pool) = &self.sharing else { return };
        let connecting = Box::pin(self.connector.connect(Instant::now()));
        let Ok(Ok(mut link)) = tokio::time::timeout(self.connector.timeout, connecting).await else {
            tracing::debug!("a connection did not open before it is needed");
            return;
        };
        if link.settle(Instant::now() + QUIET).await == Readiness::Ready {
            link.history.is_settled = true;
            pool.give(Box::new(link), Instant::now(), None);
        }
    }

    /// Returns the bytes of `request` as it goes to the target.
    pub(super) fn encode(&self, request: &Request, wanted: ResponseOptions) -> Option<EncodedRequest> {
        if wanted.keep_host && !self.terms.keep_host {
            return request::encode(request, &RewriteRules { keep_host: true, ..self.terms.clone() });
        }
        request::encode(request, &self.terms)
    }
}

fn write(pool: &ConnPool, outgoing: EncodedRequest, due: Instant) -> Option<WrittenRequest> {
    let mut link = pool.take(Instant::now(), outgoing.changes_nothing)?;
    // A proxy that speaks TLS is one that takes no plain bytes.
    if link.is_tls() {
        return None;
    }
    link.history.is_idle = false;
    let at = spin_until(due);
    let bytes = link.write_now(&outgoing.head).ok().filter(|bytes| *bytes > 0)?;
    let whole = (bytes == outgoing.head.len()).then_some(at);
    link.written_ahead = WrittenAhead { bytes, whole };
    Some(WrittenRequest { link, outgoing, at })
}

/// Waits for what is due in some microseconds; returns the time then.
pub(crate) fn spin_until(due: Instant) -> Instant {
    loop {
        let now = Instant::now();
        if now >= due {
            return now;
        }
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::replay::{Client as _, ResponseProgress, SendSettings, Ticket};
    use crate::testing;

    const HEAD: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

    /// A target that answers one connection, and returns all that came over it.
    async fn answers(listener: TcpListener) -> Vec<u8> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut came, mut some) = (Vec::new(), [0; 1024]);
        loop {
            let len = stream.read(&mut some).await.unwrap();
            if len == 0 {
                return came;
            }
            came.extend_from_slice(&some[..len]);
            if came.ends_with(b"\r\n\r\n") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n").await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_was_written_when_it_was_due_is_answered_and_not_written_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client =
            WireClient::new(&SendSettings { keep_host: true, ..SendSettings::new(url.parse().unwrap()) }).unwrap();
        let request = testing::request(1, HEAD);
        assert!(client.write_at(Instant::now(), &request, ResponseOptions::HASH).is_none(), "nothing is open");
        let target = tokio::spawn(answers(listener));
        client.open_idle().await;
        let due = Instant::now() + std::time::Duration::from_micros(20);
        for _ in 0..2 {
            let written = client.write_at(due, &request, ResponseOptions::HASH).unwrap();
            assert!(written.at >= due);
            let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let ticket = Ticket::written(written, place);
            let progress = ResponseProgress::default();
            let response = client.send(ticket, request.clone(), ResponseOptions::HASH, &progress).await.unwrap();
            assert_eq!((response.status, response.body_len), (200, 3));
        }
        assert_eq!(client.connections().opened, 1);
        drop(client);
        assert_eq!(String::from_utf8(target.await.unwrap()).unwrap(), HEAD.repeat(2));
    }
}
