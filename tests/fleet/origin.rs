//! An HTTP server that notes each request that reaches it, and clients that ask it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A server; its threads end with the test.
pub(crate) struct Origin {
    pub(crate) port: u16,
    seen: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Origin {
    pub(crate) fn start() -> Self {
        Self::slow(Duration::ZERO)
    }

    /// Takes this long for each response.
    pub(crate) fn slow(takes: Duration) -> Self {
        Self::answering("200 OK", takes)
    }

    /// Fails each request.
    pub(crate) fn failing() -> Self {
        Self::answering("503 Service Unavailable", Duration::ZERO)
    }

    fn answering(status: &'static str, takes: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let all = Arc::clone(&all);
                thread::spawn(move || answer(stream, &all, (status, takes)));
            }
        });
        Self { port, seen }
    }

    /// How often each request came: `METHOD TARGET BYTES`, the bytes being those of its body.
    pub(crate) fn seen(&self) -> BTreeMap<String, u64> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn answer(stream: TcpStream, seen: &Mutex<BTreeMap<String, u64>>, (status, takes): (&str, Duration)) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let first = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            match line.to_ascii_lowercase().strip_prefix("content-length:") {
                Some(value) => length = value.trim().parse().ok()?,
                None if line == "\r\n" => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        *seen.lock().unwrap().entry(format!("{first} {length}")).or_default() += 1;
        thread::sleep(takes);
        // In one piece: the second of two would wait until the client's kernel has acknowledged the first, for 40 ms.
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
        reader.get_mut().write_all(response.as_bytes()).ok()?;
    }
}

/// Asks for `/TAG/0` and so on over one connection, with a POST of `body` bytes for every fourth.
pub(crate) fn ask(port: u16, tag: &str, count: usize, body: usize) {
    ask_slowly(port, tag, count, body, Duration::ZERO);
}

/// The same with a pause after each.
pub(crate) fn ask_slowly(port: u16, tag: &str, count: usize, body: usize, pause: Duration) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    for number in 0..count {
        let mut request = if number % 4 == 3 {
            format!("POST /{tag}/{number} HTTP/1.1\r\nHost: h\r\nContent-Length: {body}\r\n\r\n").into_bytes()
        } else {
            format!("GET /{tag}/{number} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
        };
        if number % 4 == 3 {
            // What does not compress.
            let mut state = number as u64 + 1;
            request.extend((0..body).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            }));
        }
        stream.write_all(&request).unwrap();
        let mut response = [0; 40];
        stream.read_exact(&mut response).unwrap();
        assert!(response.ends_with(b"ok"), "{}", String::from_utf8_lossy(&response));
        thread::sleep(pause);
    }
}
