//! The stall test: a target that stops for a while under a constant rate.
//!
//! A load generator that waits for answers sends nothing meanwhile, and so measures the stall a few times only. Here each
//! request that was due counts from when it was due: the response histogram has the stall as users would have felt it,
//! as wrk2 measures it, while the service histogram has what the server took for each request that it was given.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shadowtap::capture::{self, FileSource};
use shadowtap::pipeline::{self, Progress, Run};
use shadowtap::replay::{self, Pace};
use shadowtap::report::Summary;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long the target stands still.
const STALL: Duration = Duration::from_millis(1400);
/// Requests that it answers before.
const BEFORE: u64 = 300;
/// Requests a second.
const RATE: f64 = 450.0;
/// Connections: so many requests are with the target when it stops, and no more.
const CONNECTIONS: usize = 8;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// A server that stands still once, as if it had been sent SIGSTOP: connections stay open, nothing is read or written.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let (stop, answered) = (Arc::new(stop), Arc::new(AtomicU64::new(0)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&stop), stopped.clone(), Arc::clone(&answered)));
        }
    });
    addr
}

async fn serve(
    mut stream: TcpStream,
    stop: Arc<watch::Sender<bool>>,
    mut stopped: watch::Receiver<bool>,
    answered: Arc<AtomicU64>,
) {
    let (mut buffer, mut filled) = (vec![0; 16 << 10], 0);
    while let Ok(more @ 1..) = stream.read(&mut buffer[filled..]).await {
        filled += more;
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        filled = 0;
        if answered.fetch_add(1, Ordering::Relaxed) == BEFORE {
            stop.send_replace(true);
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                tokio::time::sleep(STALL).await;
                stop.send_replace(false);
            });
        }
        stopped.wait_for(|stopped| !*stopped).await.unwrap();
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

/// Replays the requests of a recorded evening at an even rate.
fn replay(target: SocketAddr) -> Summary {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/demo.pcap.zst");
    let source = FileSource::open(&capture, &capture::Halt::default()).unwrap();
    let sending = replay::SendSettings {
        pace: Pace::Rate(RATE),
        max_connections: Some(CONNECTIONS),
        ..replay::SendSettings::new(format!("http://{target}").parse().unwrap())
    };
    let run = Run { targets: vec![sending], ..Run::of_files(Box::new(source)) };
    pipeline::run(run, &Arc::new(Progress::default()), std::future::pending()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stall_is_in_the_response_time_of_all_that_was_due_and_in_the_service_time_of_what_was_sent() {
    let target = server().await;
    let summary = tokio::task::spawn_blocking(move || replay(target)).await.unwrap();
    let target = summary.targets.values().next().unwrap();
    assert!(summary.balances());
    assert_eq!(target.ended.sent, target.offered, "a stall is no failure");
    let (service, response) = (&target.latency_us.service, &target.latency_us.response);
    let stall = u64::try_from(STALL.as_micros()).unwrap();
    // Of requests that come evenly for T, a stall of S holds the share (S - t) / T for longer than t: of four seconds,
    // one in a hundred for longer than S less 40 ms.
    assert!(response.p99 >= stall * 6 / 7, "{response:?}");
    assert!(response.p90 >= stall / 3, "{response:?}");
    // Those that were with the target then, and no others: fewer than one in a hundred.
    assert!(service.max >= stall * 6 / 7, "{service:?}");
    assert!(service.p99 < stall / 3, "{service:?}");
    // And the wait between due and sent is lag.
    let lag = target.schedule_lag_us.as_ref().unwrap();
    assert!(lag.p90 >= stall / 3 && lag.max < response.max, "{lag:?} {response:?}");
}
