//! Results on their way to a file, in the format that its name says: lines of JSON, CSV or Parquet, plain or compressed.

mod compression;
mod csv;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod table;

use std::io::{self, Write};
use std::path::Path;

use anyhow::bail;
use shadowtap::config::{Output, Outputs};

use crate::output::{self, print_line};
use compression::{Compressed, Compression};
use csv::CsvTable;
use lines::{Lines, PlainLines};

/// What a file of results holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    Parquet,
}

/// Returns the format and the compression that a name says.
fn kind_of(path: &Path) -> (Format, Compression) {
    let is = |path: &Path, ending: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    let (inner, compression) = if is(path, "gz") {
        (path.with_extension(""), Compression::Gzip)
    } else if is(path, "zst") {
        (path.with_extension(""), Compression::Zstd)
    } else {
        (path.to_owned(), Compression::None)
    };
    let format = if is(&inner, "csv") {
        Format::Csv
    } else if is(&inner, "parquet") {
        Format::Parquet
    } else {
        Format::Json
    };
    (format, compression)
}

/// Refuses a name whose format this program cannot write.
pub(crate) fn check(outputs: &Outputs) -> anyhow::Result<()> {
    let Some(Output::File(path)) = &outputs.results else { return Ok(()) };
    match kind_of(path) {
        (Format::Parquet, Compression::Gzip | Compression::Zstd) => {
            bail!("--results: Parquet compresses by itself: leave out the last ending of {}", path.display())
        }
        (Format::Parquet, Compression::None) if !cfg!(feature = "parquet") => {
            bail!(
                "--results: this program was built without Parquet: write .csv or .jsonl, or build it with --features parquet"
            )
        }
        _ => Ok(()),
    }
}

/// Opens where each ended delivery is written, where that was asked for.
pub(crate) fn open(outputs: &Outputs) -> anyhow::Result<Option<Box<dyn Write + Send>>> {
    let Some(output) = &outputs.results else { return Ok(None) };
    let to = output::writer(output, outputs.mode)?;
    let to = ResultsOutput { to, place: output::place(output), is_told: false };
    let (format, compression) = match output {
        Output::File(path) => kind_of(path),
        Output::Stdout => (Format::Json, Compression::None),
    };
    Ok(Some(match (format, compression) {
        (Format::Json, Compression::None) => Box::new(to),
        (Format::Json, compression) => Box::new(Lines::new(PlainLines::new(Compressed::new(to, compression)?))),
        (Format::Csv, compression) => Box::new(Lines::new(CsvTable::new(Compressed::new(to, compression)?)?)),
        (Format::Parquet, _) => parquet(to)?,
    }))
}

#[cfg(feature = "parquet")]
fn parquet(to: ResultsOutput) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(Box::new(Lines::new(parquet::ParquetTable::new(to)?)))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: ResultsOutput) -> anyhow::Result<Box<dyn Write + Send>> {
    bail!("this program was built without Parquet")
}

/// The file: the first write that fails is told at once, since the run goes on without results.
struct ResultsOutput {
    to: Box<dyn Write + Send>,
    place: String,
    is_told: bool,
}

impl ResultsOutput {
    fn noticed<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|error| {
            if !std::mem::replace(&mut self.is_told, true) {
                print_line(&format!(
                    "warning: cannot write results to {}: {error}; the run goes on without them, and ends with code 2",
                    self.place
                ));
            }
        })
    }
}

impl Write for ResultsOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.to.write(bytes);
        self.noticed(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.to.flush();
        self.noticed(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_format_and_the_compression() {
        for (name, expected) in [
            ("a.jsonl", (Format::Json, Compression::None)),
            ("a", (Format::Json, Compression::None)),
            ("a.jsonl.gz", (Format::Json, Compression::Gzip)),
            ("a.csv", (Format::Csv, Compression::None)),
            ("a.CSV.zst", (Format::Csv, Compression::Zstd)),
            ("a.csv.gz", (Format::Csv, Compression::Gzip)),
            ("a.parquet", (Format::Parquet, Compression::None)),
            ("csv.gz", (Format::Json, Compression::Gzip)),
        ] {
            assert_eq!(kind_of(Path::new(name)), expected, "{name}");
        }
    }
}
