//! A client that asks at a fixed rate, whether or not it was answered: over connections that it keeps, each in its turn.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

/// Connections that the requests are spread over.
const CONNECTIONS: usize = 64;
/// Requests are due in bundles, so often: finer than that no machine keeps to.
const TICK: Duration = Duration::from_millis(1);
/// Longest wait for the last answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, when what it awaits was due, and bytes that came of the next answer.
struct Lane {
    stream: TcpStream,
    due: VecDeque<Instant>,
    came: usize,
}

/// Asks for `rate * seconds` targets of `server`, and prints what came of it.
#[expect(clippy::print_stdout, reason = "who started it reads it there")]
pub(crate) fn run(server: SocketAddr, rate: u64, seconds: u64) {
    let answer = length_of_answer(server);
    let mut lanes: Vec<_> = (0..CONNECTIONS).map(|_| Lane::connect(server)).collect();
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
    let (begun, all, mut asked, mut answered) = (Instant::now(), rate * seconds, 0, 0);
    let each = rate * u64::try_from(TICK.as_micros()).unwrap() / 1_000_000;
    assert!(each > 0, "at least {} a second", 1_000_000 / TICK.as_micros());
    let mut due = begun;
    while answered < all {
        let now = Instant::now();
        while asked < all && due <= now {
            for _ in 0..each {
                lanes[usize::try_from(asked).unwrap() % CONNECTIONS].ask(asked, due);
                asked += 1;
            }
            due += TICK;
        }
        assert!(now.duration_since(due) < PATIENCE, "{answered} of {asked} were answered");
        let wait = if asked < all { due.saturating_duration_since(now) } else { TICK };
        for index in readable(&lanes, wait) {
            answered += lanes[index].read(answer, &mut latency);
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let (p50, p99, max) = (latency.value_at_quantile(0.5), latency.value_at_quantile(0.99), latency.max());
    println!(r#"{{"asked":{asked},"rate":{:.0},"p50_us":{p50},"p99_us":{p99},"max_us":{max}}}"#, asked as f64 / took);
}

/// All answers are of one length; the first says of which.
fn length_of_answer(server: SocketAddr) -> usize {
    let mut lane = Lane::connect(server);
    lane.stream.set_nonblocking(false).unwrap();
    one_answer(&mut lane.stream).len()
}

/// What nginx answers to a request over `stream`, which waits.
pub(crate) fn one_answer(stream: &mut TcpStream) -> Vec<u8> {
    stream.write_all(b"GET /load/first HTTP/1.1\r\nHost: load\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let mut some = [0; 1024];
        let len = stream.read(&mut some).unwrap();
        assert!(len > 0, "the server left");
        answer.extend_from_slice(&some[..len]);
    }
    answer
}

fn readable(lanes: &[Lane], wait: Duration) -> Vec<usize> {
    let mut fds: Vec<_> = lanes.iter().map(|lane| PollFd::new(&lane.stream, PollFlags::IN)).collect();
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    poll(&mut fds, Some(&wait)).unwrap();
    let ready = fds.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
    ready.map(|(index, _)| index).collect()
}

impl Lane {
    fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, due: VecDeque::new(), came: 0 }
    }

    fn ask(&mut self, number: u64, due: Instant) {
        let request = format!("GET /load/{number} HTTP/1.1\r\nHost: load\r\nUser-Agent: load\r\n\r\n");
        let mut rest = request.as_bytes();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(len) => rest = &rest[len..],
                // The server is far behind: then so is this.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TICK),
                Err(error) => panic!("cannot ask: {error}"),
            }
        }
        self.due.push_back(due);
    }

    /// Takes what is there; returns how many answers that completes.
    fn read(&mut self, answer: usize, latency: &mut Histogram<u64>) -> u64 {
        let mut some = [0; 16 << 10];
        let len = self.stream.read(&mut some).unwrap();
        assert!(len > 0, "the server left");
        self.came += len;
        let (whole, now) = (self.came / answer, Instant::now());
        self.came %= answer;
        for due in self.due.drain(..whole) {
            let micros = u64::try_from(now.saturating_duration_since(due).as_micros()).unwrap();
            latency.saturating_record(micros.max(1));
        }
        whole as u64
    }
}
