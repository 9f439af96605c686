//! The paths whose instructions and allocations are counted, each on the committed capture `demo.pcap.zst`.
//!
//! [`prepare`] makes all that enters a path; what is counted is [`Work::run`] alone.

#[expect(dead_code, reason = "the requests are those of the capture")]
#[path = "../../support/chains.rs"]
mod chains;
mod clock;
mod compared;
mod traffic;

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{Cursor, Write as _};

use shadowtap::capture::FileSource;
use shadowtap::decode::Decoder;
use shadowtap::exchange::{Event, ExchangeId};
use shadowtap::flow::FlowTable;
use shadowtap::http1::{BodyPolicies, BodyPolicy, Http1};
use shadowtap::inspect::InspectLedger;
use shadowtap::middleware::{Chain, ChainSettings};
use shadowtap::pipeline::{self, InMemoryReplay};
use shadowtap::recording::jsonl_write::JsonLine;
use shadowtap::recording::{ExchangeJoin, OutputPath, Recorder, Rotation};
use shadowtap::replay::SendSettings;
use shadowtap::report::Started;

use traffic::Traffic;

/// All paths, in the order of the data.
pub const PATHS: [&str; 15] = [
    "decode",
    "flow",
    "http1",
    "chain",
    "encode_gor",
    "encode_json",
    "compare_equal",
    "compare_date",
    "compare_headers_and_line",
    "compare_status",
    "compare_json",
    "inspect_summary",
    "inspect_json",
    "replay_equal",
    "replay_differing",
];

/// A path, ready to be gone once.
pub struct Work {
    /// Requests, frames or comparisons that go it.
    pub items: u64,
    path: Box<dyn FnOnce() -> u64>,
}

impl Work {
    fn new(items: usize, path: impl FnOnce() -> u64 + 'static) -> Self {
        Self { items: items as u64, path: Box::new(path) }
    }

    /// Goes the path. What it returns depends on all of it.
    pub fn run(self) -> u64 {
        (self.path)()
    }
}

/// Prepares the path of this name, one of [`PATHS`].
///
/// # Panics
///
/// Where there is none, or the capture is not what it should be.
#[must_use]
pub fn prepare(name: &str) -> Work {
    match name {
        "decode" => decode(),
        "flow" => flow(),
        "http1" => http1(),
        "chain" => chain(),
        "encode_gor" => encode_gor(),
        "encode_json" => encode_json(),
        "inspect_summary" => inspect(BodyPolicy::Count, false),
        "inspect_json" => inspect(BodyPolicy::Hash, true),
        "replay_equal" => replay(false),
        "replay_differing" => replay(true),
        name => compared::prepare(name).unwrap_or_else(|| panic!("there is no path {name}")),
    }
}

/// Frames to segments.
fn decode() -> Work {
    let traffic = Traffic::read();
    Work::new(traffic.frames.len(), move || {
        let mut decoder = Decoder::new();
        traffic.frames().map(|frame| u64::from(decoder.decode(&frame).is_ok())).sum()
    })
}

/// Segments to chunks.
fn flow() -> Work {
    let segments = Traffic::read().segments();
    Work::new(segments.len(), move || {
        let mut chunks = 0;
        let mut flows = FlowTable::new(&[]);
        for segment in &segments {
            flows.take(segment, &mut |_| chunks += 1);
        }
        flows.finish(&mut |_| chunks += 1);
        chunks
    })
}

/// Chunks to events, as a replay wants them.
fn http1() -> Work {
    let traffic = Traffic::read();
    let (chunks, requests) = (traffic.chunks(), traffic.requests().len());
    let policies = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Hash };
    Work::new(requests, move || {
        let mut events = 0;
        let mut http1 = Http1::new(policies);
        for chunk in &chunks {
            http1.take(*chunk, &mut |event| events += u64::from(matches!(event, Event::Response { .. })));
        }
        events
    })
}

/// Requests through ten filters.
fn chain() -> Work {
    let mut requests = Traffic::read().requests();
    let mut chain = chains::chain(chains::TEN_LINKS);
    // It compiles and remembers on the way: that is not what a request costs.
    for request in &requests {
        black_box(chain.apply(&mut request.clone()).is_ok());
    }
    Work::new(requests.len(), move || requests.iter_mut().map(|request| u64::from(chain.apply(request).is_ok())).sum())
}

/// Events to a GoReplay file.
fn encode_gor() -> Work {
    let events = Traffic::read().events(BodyPolicy::Keep);
    let folder = tempfile::tempdir().expect("a directory can be made");
    let path = OutputPath::new(&folder.path().join("a.gor")).expect("it is a name");
    let mut recorder = Recorder::new(path, Rotation::default());
    Work::new(events.iter().filter(|event| matches!(event, Event::Request(_))).count(), move || {
        for event in events {
            recorder.event(event);
        }
        let recorded = recorder.finish();
        drop(folder);
        recorded.lost_records
    })
}

/// Events to JSON lines with their bodies.
fn encode_json() -> Work {
    let events = Traffic::read().events(BodyPolicy::Keep);
    Work::new(events.iter().filter(|event| matches!(event, Event::Request(_))).count(), move || {
        let mut lines = Vec::with_capacity(64 << 20);
        let mut exchanges = ExchangeJoin::default();
        for event in events {
            exchanges.take(event, |exchange| {
                JsonLine::new(&exchange, true).write(&mut lines);
            });
        }
        lines.len() as u64
    })
}

/// A capture file to a summary, and to a JSON line an exchange.
fn inspect(policy: BodyPolicy, lines: bool) -> Work {
    let traffic = Traffic::read();
    let requests = traffic.requests().len();
    let source = traffic.file();
    Work::new(requests, move || {
        let policies = BodyPolicies { request_body: policy, response_body: policy };
        let (mut ledger, mut exchanges) = (InspectLedger::default(), ExchangeJoin::default());
        let mut out = std::io::BufWriter::with_capacity(64 << 10, std::io::sink());
        let mut line = Vec::new();
        let mut write = |exchange: shadowtap::recording::JoinedExchange| {
            line.clear();
            JsonLine::new(&exchange, false).write(&mut line);
            line.push(b'\n');
            out.write_all(&line).expect("it takes all");
        };
        let engine = pipeline::inspect(Box::new(source), &capture_settings(), policies, &mut |event| {
            ledger.note(&event);
            if lines {
                exchanges.take(event, &mut write);
            }
            true
        });
        ledger.finish(engine.expect("there is no filter"), Started::now()).requests.seen
    })
}

/// A capture file to the summary of a replay, without sockets, threads and queues; with what production answered, or with
/// three header lines and a line of each body changed.
fn replay(differing: bool) -> Work {
    let traffic = Traffic::read();
    let requests = traffic.requests().len();
    let responses: HashMap<ExchangeId, Vec<u8>> = traffic.responses(differing);
    let mut source = traffic.file();
    let settings = SendSettings::new("http://staging.example:8080".parse().expect("it is a URL"));
    let replay = InMemoryReplay::new(Chain::new(&ChainSettings::default()), &settings).expect("there is no filter");
    Work::new(requests, move || {
        let summary = replay.run(&mut source, &mut |request| responses.get(&request.id).map_or(&[][..], Vec::as_slice));
        let target = summary.targets.values().next().expect("there is one");
        target.differences.compared + target.differences.headers + target.differences.body
    })
}

fn capture_settings() -> shadowtap::capture::Settings {
    shadowtap::capture::Settings::default()
}

/// The capture as a file in memory.
fn open(file: Vec<u8>) -> FileSource {
    let size = file.len() as u64;
    FileSource::read("memory", Box::new(Cursor::new(file)), Some(size)).expect("it is a capture")
}
