//! Writes the corpus that fuzzing begins with, out of the small captures beside this file:
//! `cargo run --example seeds`. What `shadowtap::laws` says of its inputs is what is written here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use shadowtap::capture::{FileSource, Halt, LinkType, Settings, Source as _};
use shadowtap::decode::{Decoder, Flags, Segment};
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::pipeline;
use shadowtap::recording::{OutputPath, Recorder, Rotation};

/// The server's port in all of them.
const SERVER: u16 = 18_081;
/// Frames that are taken of a capture: small inputs are mutated best.
const FRAMES: usize = 24;

fn main() -> anyhow::Result<()> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(home.join("testdata"))? {
        let file = entry?.path();
        if file.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng") {
            seeds(&file, &home.join("fuzz/corpus")).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

fn seeds(file: &Path, corpus: &Path) -> anyhow::Result<()> {
    let name = file.file_stem().context("it has a name")?;
    let write = |target: &str, bytes: &[u8]| -> anyhow::Result<()> {
        let folder: PathBuf = corpus.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    };
    let whole = fs::read(file)?;
    write("capture_file", whole.get(..4096).unwrap_or(&whole))?;
    write("decode", &frames(file)?)?;
    write("engine", &segments(file)?)?;
    let name = name.to_str().context("it is text")?;
    ["gor", "jsonl"]
        .into_iter()
        .try_for_each(|format| recording(file, &corpus.join(format!("journal/{name}.{format}"))))
}

/// For `laws::journal`: what the capture holds, recorded.
fn recording(file: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        fs::remove_file(to)?;
    }
    let keep = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
    let mut recorder = Recorder::new(OutputPath::new(to)?, Rotation::default());
    let source = FileSource::open(file, &Halt::default())?;
    pipeline::inspect(source, &Settings::default(), keep, &mut |event| {
        recorder.event(event);
        true
    })?;
    let result = recorder.finish();
    anyhow::ensure!(result.lost_records == 0, "{:?}", recorder.take_notices());
    Ok(())
}

/// For `laws::decode`: the link type, then frames.
fn frames(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut source = FileSource::open(file, &Halt::default())?;
    let mut seed = Vec::new();
    let mut last = None;
    for _ in 0..FRAMES {
        let Some(frame) = source.next() else { break };
        if seed.is_empty() {
            seed.push(match frame.link {
                LinkType::LINUX_SLL => 1,
                LinkType::LINUX_SLL2 => 2,
                _ => 0,
            });
        }
        let waited = frame.at.since(last.unwrap_or(frame.at)).as_millis();
        last = Some(frame.at);
        let data = frame.data.get(..600).unwrap_or(frame.data);
        seed.extend_from_slice(&u16::try_from(data.len())?.to_le_bytes());
        seed.extend_from_slice(&[u8::try_from(waited).unwrap_or(u8::MAX), u8::MAX]);
        seed.extend_from_slice(data);
    }
    Ok(seed)
}

/// For `laws::engine`: segments by their distance from what would be next.
fn segments(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut source = FileSource::open(file, &Halt::default())?;
    let mut decoder = Decoder::new();
    let mut seed = Vec::new();
    let mut last = None;
    let mut ports = Vec::new();
    let mut next = [[None; 2]; 2];
    for _ in 0..FRAMES {
        let Some(frame) = source.next() else { break };
        let Ok(segment) = decoder.decode(&frame) else { continue };
        let waited = frame.at.since(last.unwrap_or(frame.at));
        last = Some(frame.at);
        let from_server = segment.source.port == SERVER;
        let client = if from_server { segment.destination.port } else { segment.source.port };
        let known = ports.iter().position(|port| *port == client);
        let connection = known.unwrap_or_else(|| {
            ports.push(client);
            ports.len() - 1
        });
        let Some(sides) = next.get_mut(connection) else { continue };
        record(&segment, from_server, connection == 1, waited.as_micros() as f64, sides, &mut seed)?;
    }
    Ok(seed)
}

fn record(
    segment: &Segment<'_>,
    from_server: bool,
    second: bool,
    waited: f64,
    next: &mut [Option<u32>; 2],
    seed: &mut Vec<u8>,
) -> anyhow::Result<()> {
    let [client, server] = next;
    let (own, other) = if from_server { (server, client) } else { (client, server) };
    let has = |flag| segment.flags.has(flag);
    let payload = segment.payload.get(..1000).unwrap_or(segment.payload);
    let expected = *own.get_or_insert(segment.seq);
    let off = segment.seq.wrapping_sub(expected).cast_signed();
    let ack = other.map_or(0, |other| segment.ack.wrapping_sub(other).cast_signed());
    if off == 0 {
        let len = u32::try_from(segment.payload.len())? + segment.missing;
        *own = Some(segment.seq.wrapping_add(len + u32::from(has(Flags::SYN)) + u32::from(has(Flags::FIN))));
    }
    let bits = [from_server, has(Flags::SYN), has(Flags::FIN), has(Flags::RST), !has(Flags::ACK), second];
    seed.push(bits.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
    seed.push(waited.cbrt().clamp(0.0, 255.0) as u8);
    seed.extend_from_slice(&i16::try_from(off).unwrap_or(i16::MIN).to_le_bytes());
    seed.extend_from_slice(&i16::try_from(ack).unwrap_or(0).to_le_bytes());
    seed.extend_from_slice(&u16::try_from(payload.len())?.to_le_bytes());
    seed.extend_from_slice(payload);
    Ok(())
}
