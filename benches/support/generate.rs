//! Large captures for benchmarks, made and never committed: keep-alive HTTP/1.1 over TCP over IPv4 over Ethernet
//! in a classic pcap file. The same [`Shape`] gives the same bytes. Checksums are zero, lengths and numbers right.

use std::io::{self, Write};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// Largest TCP payload of one frame: an Ethernet MTU of 1500 without IPv4 and TCP heads and timestamps.
const SEGMENT: usize = 1448;
/// Exchanges under way at any moment; their frames are interleaved.
const OVERLAP: usize = 8;
/// 2026-11-21 20:00 UTC, in microseconds.
const START: u64 = 1_795_291_200_000_000;
/// About what an exchange takes in the file besides the body of its response: between four and five frames, and
/// both heads.
const OVERHEAD: u64 = 1_030;

const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;
const PUSH: u8 = 0x18;
const FIN: u8 = 0x11;

/// What to make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Requests, each with its response.
    pub(crate) exchanges: u64,
    /// Connections that are open at once.
    pub(crate) connections: usize,
    /// Exchanges that a connection carries before it is closed and another takes its place.
    pub(crate) per_connection: u64,
    /// Whether all connections carry one exchange, in a new random order, before one carries the next. Else each
    /// exchange is on any of them.
    pub(crate) in_turn: bool,
    /// Mean length of response bodies, in bytes; single ones lie between nothing and twice that.
    pub(crate) body: usize,
    /// What every request is answered, byte for byte; made up where it is empty.
    pub(crate) answer: Vec<u8>,
    /// Exchanges a second, on the capture's clock.
    pub(crate) rate: u64,
    /// Seed of everything that looks random.
    pub(crate) seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            exchanges: 500_000,
            connections: 64,
            per_connection: 500,
            in_turn: false,
            body: 1_000,
            answer: Vec::new(),
            rate: 20_000,
            seed: 0,
        }
    }
}

impl Shape {
    /// This shape with bodies such that the file comes to about `bytes`.
    pub(crate) fn of_size(self, bytes: u64) -> Self {
        // One response in sixteen has no body.
        let body = (bytes / self.exchanges.max(1)).saturating_sub(OVERHEAD) * 16 / 15;
        Self { body: usize::try_from(body).unwrap_or(usize::MAX), ..self }
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Requests, each with its response.
    pub(crate) exchanges: u64,
    /// TCP connections, each from SYN to FIN.
    pub(crate) connections: u64,
    /// Frames.
    pub(crate) frames: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// Writes a capture of `shape`; give it a buffered `out`.
pub(crate) fn write(shape: &Shape, out: &mut impl Write) -> io::Result<Totals> {
    let mut generator = Generator::new(shape, out)?;
    while generator.step()? {}
    generator.close_all()?;
    Ok(generator.totals)
}

/// One end-to-end TCP connection; each side's number is that of the next byte it will send.
struct Connection {
    address: [u8; 4],
    port: u16,
    client: u32,
    server: u32,
    left: u64,
    busy: bool,
}

/// An exchange under way: what is still to be captured of it.
struct Exchange {
    slot: usize,
    next: Step,
    response: Vec<u8>,
    sent: usize,
}

enum Step {
    Request,
    Acknowledged,
    Response,
    Done,
}

#[derive(Clone, Copy)]
enum From {
    Client,
    Server,
}

struct Generator<'a, W> {
    out: &'a mut W,
    rng: StdRng,
    shape: Shape,
    /// `None` until first used, and between two connections.
    slots: Vec<Option<Connection>>,
    /// Slots whose turn is still to come, the next one last.
    turns: Vec<usize>,
    under_way: Vec<Exchange>,
    begun: u64,
    now: u64,
    tick: u64,
    frame: Vec<u8>,
    /// Bodies are cut out of this.
    text: Vec<u8>,
    totals: Totals,
}

impl<'a, W: Write> Generator<'a, W> {
    fn new(shape: &Shape, out: &'a mut W) -> io::Result<Self> {
        let mut rng = StdRng::seed_from_u64(shape.seed);
        let text = (0..1 << 16).map(|_| letter(&mut rng)).collect();
        let mut head = Vec::with_capacity(24);
        head.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
        head.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        head.extend_from_slice(&262_144_u32.to_le_bytes());
        head.extend_from_slice(&1_u32.to_le_bytes());
        out.write_all(&head)?;
        // An exchange is between four and five frames, unless its body is long.
        let tick = (1_000_000 * 2 / 9 / shape.rate.max(1)).max(1);
        Ok(Self {
            out,
            rng,
            shape: Shape { connections: shape.connections.max(1), ..shape.clone() },
            slots: (0..shape.connections.max(1)).map(|_| None).collect(),
            turns: Vec::new(),
            under_way: Vec::with_capacity(OVERLAP),
            begun: 0,
            now: START,
            tick,
            frame: Vec::with_capacity(2048),
            text,
            totals: Totals { bytes: 24, ..Totals::default() },
        })
    }

    /// Captures one more frame of some exchange; false when all are done.
    fn step(&mut self) -> io::Result<bool> {
        while self.under_way.len() < OVERLAP.min(self.shape.connections) && self.begun < self.shape.exchanges {
            self.begin()?;
        }
        if self.under_way.is_empty() {
            return Ok(false);
        }
        let chosen = self.rng.random_range(0..self.under_way.len());
        let mut exchange = self.under_way.swap_remove(chosen);
        self.advance(&mut exchange)?;
        if matches!(exchange.next, Step::Done) {
            self.end(exchange.slot)?;
        } else {
            self.under_way.push(exchange);
        }
        Ok(true)
    }

    /// Chooses an idle connection, opening it where need be, and begins an exchange on it.
    fn begin(&mut self) -> io::Result<()> {
        let mut slot = self.choose();
        while matches!(self.slots.get(slot), Some(Some(connection)) if connection.busy) {
            slot = (slot + 1) % self.slots.len();
        }
        if matches!(self.slots.get(slot), Some(None)) {
            self.open(slot)?;
        }
        if let Some(Some(connection)) = self.slots.get_mut(slot) {
            connection.busy = true;
        }
        let response = self.response();
        self.under_way.push(Exchange { slot, next: Step::Request, response, sent: 0 });
        self.begun += 1;
        Ok(())
    }

    fn choose(&mut self) -> usize {
        if !self.shape.in_turn {
            return self.rng.random_range(0..self.slots.len());
        }
        if self.turns.is_empty() {
            self.turns.extend(0..self.slots.len());
            self.turns.shuffle(&mut self.rng);
        }
        self.turns.pop().unwrap_or_default()
    }

    fn advance(&mut self, exchange: &mut Exchange) -> io::Result<()> {
        match exchange.next {
            Step::Request => {
                let request = self.request();
                self.emit(exchange.slot, From::Client, PUSH, &request)?;
                exchange.next = Step::Acknowledged;
            }
            Step::Acknowledged => {
                self.emit(exchange.slot, From::Server, ACK, b"")?;
                exchange.next = Step::Response;
            }
            Step::Response => {
                let rest = exchange.response.get(exchange.sent..).unwrap_or_default();
                let segment = rest.get(..SEGMENT).unwrap_or(rest);
                if segment.is_empty() {
                    self.emit(exchange.slot, From::Client, ACK, b"")?;
                    exchange.next = Step::Done;
                } else {
                    self.emit(exchange.slot, From::Server, PUSH, segment)?;
                    exchange.sent += segment.len();
                }
            }
            Step::Done => {}
        }
        Ok(())
    }

    fn end(&mut self, slot: usize) -> io::Result<()> {
        self.totals.exchanges += 1;
        let Some(Some(connection)) = self.slots.get_mut(slot) else { return Ok(()) };
        connection.busy = false;
        connection.left = connection.left.saturating_sub(1);
        if connection.left == 0 { self.close(slot) } else { Ok(()) }
    }

    fn open(&mut self, slot: usize) -> io::Result<()> {
        let number = self.totals.connections;
        self.totals.connections += 1;
        // Ports first, then addresses: no pair of them comes twice in four thousand million connections.
        let port = 1024 + u16::try_from(number % 60_000).unwrap_or_default();
        let [_, b, c, d] = (u32::try_from(number / 60_000).unwrap_or_default() + 2).to_be_bytes();
        let connection = Connection {
            address: [10, b, c, d],
            port,
            client: self.rng.random(),
            server: self.rng.random(),
            left: self.shape.per_connection.max(1),
            busy: false,
        };
        if let Some(free) = self.slots.get_mut(slot) {
            *free = Some(connection);
        }
        self.emit(slot, From::Client, SYN, b"")?;
        self.emit(slot, From::Server, SYN_ACK, b"")?;
        self.emit(slot, From::Client, ACK, b"")
    }

    fn close(&mut self, slot: usize) -> io::Result<()> {
        self.emit(slot, From::Client, FIN, b"")?;
        self.emit(slot, From::Server, FIN, b"")?;
        self.emit(slot, From::Client, ACK, b"")?;
        if let Some(used) = self.slots.get_mut(slot) {
            *used = None;
        }
        Ok(())
    }

    fn close_all(&mut self) -> io::Result<()> {
        (0..self.slots.len()).try_for_each(|slot| self.close(slot))
    }

    fn request(&mut self) -> Vec<u8> {
        let id = self.totals.frames;
        let session = self.rng.random_range(0..5_000);
        let resource = self.rng.random_range(0..400);
        format!(
            "GET /v2/channels/{resource}?page={}&from={id} HTTP/1.1\r\n\
             Host: tv.example.com\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Set-Top/4.2\r\n\
             Accept: application/json, text/plain, */*\r\n\
             Accept-Language: en-GB,en;q=0.8\r\n\
             Accept-Encoding: gzip, deflate\r\n\
             Referer: https://tv.example.com/guide?slot={resource}\r\n\
             Cookie: session=u{session}; theme=dark\r\n\
             X-Request-Id: {id:032x}\r\n\
             Connection: keep-alive\r\n\r\n",
            resource % 9,
        )
        .into_bytes()
    }

    /// One in sixteen is a 304 without a body, one in eight of the others is chunked.
    fn response(&mut self) -> Vec<u8> {
        const COMMON: &str = "Server: nginx\r\nDate: Sat, 21 Nov 2026 20:00:00 GMT\r\n\
             Cache-Control: max-age=60, public\r\nVary: Accept-Encoding\r\nConnection: keep-alive\r\n";
        if !self.shape.answer.is_empty() {
            return self.shape.answer.clone();
        }
        if self.rng.random_range(0..16) == 0 {
            return format!("HTTP/1.1 304 Not Modified\r\n{COMMON}ETag: \"6955b900-3e8\"\r\n\r\n").into_bytes();
        }
        let len = self.rng.random_range(0..=self.shape.body.saturating_mul(2));
        let head = format!("HTTP/1.1 200 OK\r\n{COMMON}Content-Type: application/json\r\n");
        let mut response = Vec::with_capacity(head.len() + len + 64);
        response.extend_from_slice(head.as_bytes());
        let chunked = self.rng.random_range(0..8) == 0;
        if chunked && len > 0 {
            response.extend_from_slice(format!("Transfer-Encoding: chunked\r\n\r\n{len:x}\r\n").as_bytes());
            self.body(len, &mut response);
            response.extend_from_slice(b"\r\n0\r\n\r\n");
        } else {
            response.extend_from_slice(format!("Content-Length: {len}\r\n\r\n").as_bytes());
            self.body(len, &mut response);
        }
        response
    }

    fn body(&mut self, mut len: usize, into: &mut Vec<u8>) {
        while len > 0 {
            let start = self.rng.random_range(0..self.text.len());
            let piece = self.text.get(start..).unwrap_or_default();
            let piece = piece.get(..len).unwrap_or(piece);
            into.extend_from_slice(piece);
            len -= piece.len();
        }
    }

    /// Captures one frame of the connection in `slot`; nothing where there is none.
    fn emit(&mut self, slot: usize, from: From, flags: u8, payload: &[u8]) -> io::Result<()> {
        let Some(Some(connection)) = self.slots.get_mut(slot) else { return Ok(()) };
        self.now += self.tick;
        self.frame.clear();
        push_frame(&mut self.frame, self.now, connection, from, flags, payload);
        // SYN and FIN take a number each, as a byte would.
        let taken = u32::try_from(payload.len()).unwrap_or(u32::MAX) + u32::from(flags & 0x03 != 0);
        let next = match from {
            From::Client => &mut connection.client,
            From::Server => &mut connection.server,
        };
        *next = next.wrapping_add(taken);
        self.totals.frames += 1;
        self.totals.bytes += self.frame.len() as u64;
        self.out.write_all(&self.frame)
    }
}

/// Appends a pcap record: its head, then Ethernet, IPv4, TCP with timestamps (RFC 7323), payload.
fn push_frame(frame: &mut Vec<u8>, now: u64, connection: &Connection, from: From, flags: u8, payload: &[u8]) {
    const SERVER: [u8; 4] = [10, 255, 0, 1];
    let captured = u32::try_from(14 + 20 + 32 + payload.len()).unwrap_or(u32::MAX);
    let ip_len = u16::try_from(20 + 32 + payload.len()).unwrap_or(u16::MAX);
    let (source, target, ports, seq, ack) = match from {
        From::Client => (connection.address, SERVER, [connection.port, 80], connection.client, connection.server),
        From::Server => (SERVER, connection.address, [80, connection.port], connection.server, connection.client),
    };
    let ack = if flags == SYN { 0 } else { ack };
    let clock = u32::try_from((now / 1_000) & 0xffff_ffff).unwrap_or_default();
    frame.extend_from_slice(&u32::try_from(now / 1_000_000).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&u32::try_from(now % 1_000_000).unwrap_or_default().to_le_bytes());
    frame.extend_from_slice(&captured.to_le_bytes());
    frame.extend_from_slice(&captured.to_le_bytes());
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&ip_len.to_be_bytes());
    // No identification, "don't fragment", TTL 64, protocol 6, no checksum.
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend_from_slice(&source);
    frame.extend_from_slice(&target);
    frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    frame.extend_from_slice(&seq.to_be_bytes());
    frame.extend_from_slice(&ack.to_be_bytes());
    // Eight words of head, a window of 64 KiB, no checksum, not urgent; then the option.
    frame.extend_from_slice(&[0x80, flags, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 8, 10]);
    frame.extend_from_slice(&clock.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 0]);
    frame.extend_from_slice(payload);
}

fn letter(rng: &mut StdRng) -> u8 {
    const LETTERS: &[u8] = b"etaoin shrdlu,\":{}0123456789";
    LETTERS.get(rng.random_range(0..LETTERS.len())).copied().unwrap_or(b' ')
}
