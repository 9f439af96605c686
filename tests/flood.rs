//! Two targets, one of which sends without end: the other one gets every request, and none of them waits for the flood.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;
#[path = "support/packets.rs"]
mod packets;
#[path = "support/runs.rs"]
mod runs;
#[path = "support/server.rs"]
mod server;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use runs::{gets, of, replayed, run, target};
use server::{Server, answer};
use shadowtap::replay;

/// How long the flood is read before each request to it fails.
const READ_FOR: Duration = Duration::from_secs(2);
const REQUESTS: usize = 60;

/// Sends chunks over each of its connections until nobody reads them any more; counts what it sent.
fn flood() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            thread::spawn(move || pour(stream, &counted));
        }
    });
    (addr, sent)
}

fn pour(mut stream: TcpStream, sent: &AtomicUsize) {
    let chunk = [b"8000\r\n", vec![b'x'; 0x8000].as_slice(), b"\r\n"].concat();
    let began = stream
        .read(&mut [0; 4096])
        .and_then(|_| stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    while began.is_ok() && stream.write_all(&chunk).is_ok() {
        sent.fetch_add(chunk.len(), Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_sends_without_end_delays_no_other() {
    let good = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let (flood, sent) = flood();
    let to = |url: &str| replay::SendSettings { timeout: READ_FOR, ..target(url, "max") };
    let targets = vec![to(&good.url("http")), to(&format!("http://{flood}"))];
    let (summary, _) = run(replayed(&gets(REQUESTS), targets)).await;
    assert!(sent.load(Ordering::Relaxed) > 8 << 20, "the flood was read: {sent:?}");
    let (of_good, of_flood) = (
        of(&summary, &good),
        summary.targets.iter().find(|(url, _)| url.contains(&flood.port().to_string())).unwrap().1,
    );
    assert_eq!((of_good.ended.sent, of_good.offered), (REQUESTS as u64, REQUESTS as u64));
    assert_eq!(of_flood.ended.sent, 0, "a response without an end never came");
    // Where one waits for the other, requests of the good target end with the flood's, or after them.
    let (of_good, read_for) = (of_good.latency_us.response.max, u64::try_from(READ_FOR.as_micros()).unwrap());
    assert!(of_good < read_for, "{of_good} us");
}
