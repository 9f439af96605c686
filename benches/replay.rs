//! A whole replay at `--speed max`: capture, chain, client, report, against a server in this process that answers
//! at once. Both share the machine, so this is a floor of what a replay can do.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shadowtap::pipeline::{self, Progress, Run};
use shadowtap::replay::{Pace, SendSettings};

use support::{Capture, Shape};

/// Requests of one replay.
const REQUESTS: u64 = 2_000;

/// A server on loopback; it lives as long as the process.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Answers whatever has a head and no body, until the client goes.
fn serve(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}";
    let mut buffer = [0; 16 * 1024];
    let mut filled = 0;
    while let Ok(more @ 1..) = stream.read(buffer.get_mut(filled..).unwrap_or_default()) {
        filled += more;
        let head = buffer.get(..filled).unwrap_or_default();
        if head.ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

fn run(capture: &Capture, target: SocketAddr) -> Run {
    let target = SendSettings {
        pace: Pace::Max,
        // Few enough that a thread for each does not become what is measured.
        max_in_flight: 64,
        ..SendSettings::new(format!("http://{target}").parse().expect("an address makes a URL"))
    };
    Run { targets: vec![target], ..Run::of_files(Box::new(capture.open())) }
}

fn replays(c: &mut Criterion) {
    let capture = Capture::new(&Shape { exchanges: REQUESTS, ..Shape::default() });
    let target = server();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(REQUESTS)).measurement_time(Duration::from_secs(5));
    group.bench_function("speed max, wire", |b| {
        b.iter_batched(
            || run(&capture, target),
            |run| {
                let summary =
                    pipeline::run(run, &Arc::new(Progress::default()), std::future::pending()).expect("it begins");
                assert_eq!(summary.requests.seen, REQUESTS);
                summary
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group! { name = benches; config = support::criterion(); targets = replays }
criterion_main!(benches);
