//! A server of HTTP/2 that says what it was asked, and one that sends frames as a test has them, byte for byte.
#![allow(dead_code, reason = "each test binary uses its own part of the servers")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a server that breaks fails its test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Between two events of a response that does not end.
const EVENT_PAUSE: Duration = Duration::from_millis(10);

/// A server of HTTP/2: what it was asked, as `METHOD :authority path header=value...|body`.
#[derive(Clone, Default)]
pub(crate) struct H2 {
    seen: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<Mutex<usize>>,
    /// Requests at which it closed the connection without a word.
    pub(crate) closed: Arc<Mutex<usize>>,
}

impl H2 {
    pub(crate) async fn start(tls: Option<TlsAcceptor>) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Self::default();
        let all = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *all.connections.lock().unwrap() += 1;
                let (tls, one) = (tls.clone(), all.clone());
                tokio::spawn(async move {
                    match tls {
                        None => one.serve(stream).await,
                        Some(tls) => one.serve(tls.accept(stream).await.unwrap()).await,
                    }
                });
            }
        });
        (server, addr)
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if request.uri().path() == "/close" {
                *self.closed.lock().unwrap() += 1;
                return;
            }
            let one = self.clone();
            tokio::spawn(async move {
                let (head, mut body) = request.into_parts();
                let mut content = Vec::new();
                while let Some(Ok(data)) = body.data().await {
                    body.flow_control().release_capacity(data.len()).unwrap();
                    content.extend_from_slice(&data);
                }
                if head.uri.path() == "/reset" {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                    return;
                }
                let headers = head.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
                let headers: Vec<String> = headers.collect();
                let (authority, path) = (head.uri.authority().unwrap(), head.uri.path());
                let body = String::from_utf8(content).unwrap();
                let line = format!("{} {authority} {path} {}|{body}", head.method, headers.join(" "));
                one.seen.lock().unwrap().push(line);
                let kind = if path == "/endless" { "text/event-stream" } else { "text/plain" };
                let response = http::Response::builder().status(203).header("content-type", kind).body(()).unwrap();
                let mut stream = respond.send_response(response, false).unwrap();
                if path == "/endless" {
                    while stream.send_data(Bytes::from_static(b"data: 1\n\n"), false).is_ok() {
                        tokio::time::sleep(EVENT_PAUSE).await;
                    }
                    return;
                }
                stream.send_data(Bytes::from_static(b"hello"), true).unwrap();
            });
        }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// One frame (RFC 9113, 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a response on this stream, in one frame, which may end it.
pub(crate) fn head(stream: u32, status: &str, ends: bool) -> Vec<u8> {
    // A literal whose name is number 8 of the static table, `:status` (RFC 7541, 6.2.2 and appendix A).
    let block = [&[0x08, 3], status.as_bytes()].concat();
    frame(1, 4 | u8::from(ends), stream, &block)
}

/// The frames for a request on this stream.
pub(crate) trait Script: Fn(u32) -> Vec<u8> + Clone + Send + 'static {}

impl<F: Fn(u32) -> Vec<u8> + Clone + Send + 'static> Script for F {}

/// Serves HTTP/2 without TLS: after its settings it sends `greeting`, and for each request what `script` makes of the number
/// of its stream; with `flood`, that again and again.
pub(crate) async fn raw(greeting: Vec<u8>, flood: bool, script: impl Script) -> SocketAddr {
    raw_each(move |_| greeting.clone(), flood, script).await
}

/// The same with a greeting for each connection, which are numbered from 0.
pub(crate) async fn raw_each(
    greeting: impl Fn(usize) -> Vec<u8> + Send + 'static,
    flood: bool,
    script: impl Script,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(speak(stream, greeting(number), flood, script.clone()));
            number += 1;
        }
    });
    addr
}

/// Says that the streams after this one are not processed, and that the connection ends in good order (RFC 9113, 6.8).
pub(crate) fn go_away(last: u32) -> Vec<u8> {
    go_away_for(last, h2::Reason::NO_ERROR)
}

/// The same for another reason.
pub(crate) fn go_away_for(last: u32, reason: h2::Reason) -> Vec<u8> {
    frame(7, 0, 0, &[last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat())
}

/// The setting of so many streams at once (RFC 9113, 6.5.2).
pub(crate) fn streams_at_once(most: u32) -> Vec<u8> {
    frame(4, 0, 0, &[&[0, 3][..], &most.to_be_bytes()].concat())
}

/// Until the client goes.
async fn speak(mut stream: TcpStream, greeting: Vec<u8>, flood: bool, script: impl Script) -> Option<()> {
    stream.write_all(&[frame(4, 0, 0, &[]), greeting].concat()).await.ok()?;
    stream.read_exact(&mut [0; 24]).await.ok()?;
    loop {
        let mut begin = [0; 9];
        stream.read_exact(&mut begin).await.ok()?;
        let length = u32::from_be_bytes([0, begin[0], begin[1], begin[2]]);
        let number = u32::from_be_bytes([begin[5], begin[6], begin[7], begin[8]]);
        stream.read_exact(&mut vec![0; length as usize]).await.ok()?;
        match (begin[3], begin[4]) {
            (1, _) if flood => {
                let many = script(number).repeat(100);
                loop {
                    stream.write_all(&many).await.ok()?;
                }
            }
            (1, _) => stream.write_all(&script(number)).await.ok()?,
            // Settings are acknowledged.
            (4, 0) => stream.write_all(&frame(4, 1, 0, &[])).await.ok()?,
            _ => {}
        }
    }
}
