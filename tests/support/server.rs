//! Servers that do what a test tells them to, byte for byte: on loopback, on a port of their own, over TCP or TLS.
//!
//! A script maps each request to steps. While the steps do not end the connection, it serves the next request.
#![allow(dead_code, reason = "each test binary uses its own part of the servers")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a server that breaks fails its test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server does once it has read a request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Writes these bytes up to this many times, then stalls.
    Repeat(Vec<u8>, usize),
    /// Closes the connection.
    Close,
    /// Resets the connection (over TLS: closes it without a farewell).
    Reset,
    /// Does nothing until the client goes.
    Stall,
    /// Ends its own side, and waits for the client to go.
    HalfClose,
    /// Does nothing for a moment, long enough for what was written before to be read by itself.
    Wait,
    /// Writes these bytes one by one, again and again, with a pause after each.
    Drip(Vec<u8>),
}

/// Between two bytes of [`Step::Drip`]: often enough that a client which starts its clock anew with each would wait for
/// ever.
const DRIP_PAUSE: Duration = Duration::from_millis(20);

/// Bytes to write.
pub(crate) fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

/// A whole answer with this status line's end and body.
pub(crate) fn answer(status: &str, body: &str) -> Step {
    send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A server; it ends with the test's runtime.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    requests: Vec<Vec<u8>>,
    /// Which connection, counted from 1, each request came over.
    over: Vec<usize>,
    /// When each request had come.
    came: Vec<Instant>,
    /// When each connection was accepted.
    accepted: Vec<Instant>,
    open: usize,
    /// Requests whose steps were all played.
    played: usize,
}

impl Server {
    /// A server over TCP; `script` is given each request as it was on the wire.
    pub(crate) async fn start(script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::listen("127.0.0.1:0", None, script).await
    }

    /// A server over TLS with a certificate for `localhost` that it signed itself.
    pub(crate) async fn start_tls(script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::listen("127.0.0.1:0", Some(self_signed()), script).await
    }

    /// A server over TLS as `tls` has it.
    pub(crate) async fn start_tls_as(
        tls: ServerConfig,
        script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::listen("127.0.0.1:0", Some(TlsAcceptor::from(Arc::new(tls))), script).await
    }

    /// A server over TCP at this address.
    pub(crate) async fn start_at(addr: &str, script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::listen(addr, None, script).await
    }

    /// An address on loopback that refuses connections.
    pub(crate) async fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    /// Its URL under this scheme.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.addr.port())
    }

    /// The requests so far, as they were on the wire.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.raw().iter().map(|request| String::from_utf8_lossy(request).into_owned()).collect()
    }

    /// The same, as bytes.
    pub(crate) fn raw(&self) -> Vec<Vec<u8>> {
        self.log.lock().unwrap().requests.clone()
    }

    /// Which connection, counted from 1, each request so far came over.
    pub(crate) fn over(&self) -> Vec<usize> {
        self.log.lock().unwrap().over.clone()
    }

    /// When each request for this path had come, and how long before that its connection was accepted.
    pub(crate) fn all(&self, path: &str) -> Vec<(Instant, Duration)> {
        let log = self.log.lock().unwrap();
        let is_of_path = |request: &[u8]| find(request, format!(" {path} HTTP").as_bytes()).is_some();
        let of_path = (0..log.requests.len()).filter(|number| is_of_path(&log.requests[*number]));
        of_path.map(|number| (log.came[number], log.came[number] - log.accepted[log.over[number] - 1])).collect()
    }

    /// The same of the first one.
    pub(crate) fn came(&self, path: &str) -> (Instant, Duration) {
        self.all(path)[0]
    }

    /// Waits until the steps of so many requests were played; the test fails by its own limit where that never comes.
    pub(crate) async fn until_played(&self, requests: usize) {
        while self.log.lock().unwrap().played != requests {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until so many connections are open; the test fails by its own limit where that never comes.
    pub(crate) async fn until_open(&self, connections: usize) {
        while self.log.lock().unwrap().open != connections {
            tokio::task::yield_now().await;
        }
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.log.lock().unwrap().accepted.len()
    }

    async fn listen(
        addr: &str,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let (script, log_in) = (Arc::new(script), Arc::clone(&log));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut log = log_in.lock().unwrap();
                    log.accepted.push(Instant::now());
                    log.open += 1;
                    log.accepted.len()
                };
                let (tls, script, log) = (tls.clone(), Arc::clone(&script), Arc::clone(&log_in));
                tokio::spawn(async move {
                    accept(stream, tls, script, &log, number).await;
                    log.lock().unwrap().open -= 1;
                });
            }
        });
        Self { addr, log }
    }
}

async fn accept(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    script: Arc<impl Fn(&str) -> Vec<Step>>,
    log: &Mutex<Log>,
    number: usize,
) {
    stream.set_nodelay(true).unwrap();
    match tls {
        None => {
            let mut stream = stream;
            if serve(&mut stream, &*script, log, number).await == End::Reset {
                stream.set_zero_linger().unwrap();
            }
        }
        Some(tls) => {
            if let Ok(mut stream) = tls.accept(stream).await
                && serve(&mut stream, &*script, log, number).await == End::Close
            {
                stream.shutdown().await.ok();
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    script: &impl Fn(&str) -> Vec<Step>,
    log: &Mutex<Log>,
    number: usize,
) -> End {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(stream, &mut buffer).await {
        {
            let mut log = log.lock().unwrap();
            log.requests.push(request.clone());
            log.over.push(number);
            log.came.push(Instant::now());
        }
        for step in script(&String::from_utf8_lossy(&request)) {
            if let Some(end) = play(stream, step).await {
                return end;
            }
        }
        log.lock().unwrap().played += 1;
    }
    End::Close
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, step: Step) -> Option<End> {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes).await.err().map(|_| End::Close),
        Step::Repeat(bytes, times) => {
            for _ in 0..times {
                if stream.write_all(&bytes).await.is_err() {
                    return Some(End::Close);
                }
            }
            Some(until_gone(stream).await)
        }
        Step::Stall => Some(until_gone(stream).await),
        Step::HalfClose => {
            stream.shutdown().await.ok();
            Some(until_gone(stream).await)
        }
        Step::Drip(bytes) => {
            for byte in bytes.into_iter().cycle() {
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(DRIP_PAUSE).await;
            }
            Some(End::Close)
        }
        Step::Wait => {
            tokio::time::sleep(5 * DRIP_PAUSE).await;
            None
        }
        Step::Close => Some(End::Close),
        Step::Reset => Some(End::Reset),
    }
}

async fn until_gone<S: AsyncRead + Unpin>(stream: &mut S) -> End {
    let mut nothing = [0; 64];
    while matches!(stream.read(&mut nothing).await, Ok(1..)) {}
    End::Close
}

/// Head and body of the next request; `None` where the client has gone.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = end_of_request(buffer) {
            return Some(buffer.drain(..end).collect());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if text.contains("\r\ntransfer-encoding:") {
        return find(&bytes[head..], b"0\r\n\r\n").map(|at| head + at + 5);
    }
    let length = text.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let end = head + length.map_or(0, |length| length.parse().unwrap());
    (bytes.len() >= end).then_some(end)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

pub(crate) fn self_signed() -> TlsAcceptor {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
