//! Writes a large capture for benchmarks:
//! `cargo run --release --example generate -- --exchanges 500000 --bytes 1g out.pcap`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

#[path = "../benches/support/generate.rs"]
mod generate;

/// Writes keep-alive HTTP exchanges into a classic pcap file; the same flags write the same bytes.
#[derive(Parser)]
struct Args {
    /// Requests, each with its response.
    #[arg(long, default_value_t = 500_000)]
    exchanges: u64,
    /// About how large the file should be, such as 500m or 1g; response bodies are sized for it.
    #[arg(long, value_parser = size, default_value = "1050m")]
    bytes: u64,
    /// Connections that are open at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Exchanges that one connection carries.
    #[arg(long, default_value_t = 500)]
    per_connection: u64,
    /// All connections carry one exchange, in a new random order, before one carries the next: then files that differ
    /// in `--connections` alone have the same number of frames.
    #[arg(long)]
    in_turn: bool,
    /// A file with what every request is answered, byte for byte, in place of answers that are made up.
    #[arg(long)]
    answer: Option<PathBuf>,
    /// Exchanges a second, on the capture's clock.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Seed of everything that looks random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The file to write.
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let answer =
        args.answer.map(|file| std::fs::read(&file).with_context(|| format!("cannot read {}", file.display())));
    let shape = generate::Shape {
        answer: answer.transpose()?.unwrap_or_default(),
        exchanges: args.exchanges,
        connections: args.connections,
        per_connection: args.per_connection,
        in_turn: args.in_turn,
        rate: args.rate,
        seed: args.seed,
        ..generate::Shape::default()
    }
    .of_size(args.bytes);
    let file = File::create(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let totals = generate::write(&shape, &mut out).and_then(|totals| out.flush().map(|()| totals));
    let totals = totals.with_context(|| format!("cannot write {}", args.out.display()))?;
    #[expect(clippy::disallowed_methods, reason = "a tool says what it made, to whoever started it")]
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "{}: {} exchanges on {} connections, {} frames, {} bytes",
        args.out.display(),
        totals.exchanges,
        totals.connections,
        totals.frames,
        totals.bytes
    )?;
    Ok(())
}

/// A number of bytes with an optional `k`, `m` or `g` (powers of ten).
fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, factor) = match lower.char_indices().last() {
        Some((at, 'k')) => (lower.get(..at), 1_000),
        Some((at, 'm')) => (lower.get(..at), 1_000_000),
        Some((at, 'g')) => (lower.get(..at), 1_000_000_000),
        _ => (Some(lower.as_str()), 1),
    };
    let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    number.and_then(|number| number.checked_mul(factor)).ok_or_else(|| format!("{text}: not a size such as 500m or 1g"))
}
