//! Results as CSV, for spreadsheets and databases: each line of JSON becomes a row.

use std::io;

use serde_json::Value;

use super::lines::{Finish, LineSink};
use super::table::COLUMNS;

/// Writes rows for lines of JSON. The summary at their end is left out.
pub(super) struct CsvTable<W: Finish> {
    /// Bytes of rows go here, and from here to the stream: the writer of `csv` cannot give its own back by reference.
    rows: csv::Writer<Vec<u8>>,
    to: W,
}

/// Bytes of rows that are gathered before they are handed on.
const GATHERED: usize = 1 << 16;

impl<W: Finish> CsvTable<W> {
    /// A table with its head.
    pub(super) fn new(to: W) -> io::Result<Self> {
        let mut table = Self { rows: csv::Writer::from_writer(Vec::new()), to };
        table.rows.write_record(COLUMNS.map(|column| column.name)).map_err(io::Error::from)?;
        Ok(table)
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let rows = std::mem::replace(&mut self.rows, csv::Writer::from_writer(Vec::new()));
        let bytes = rows.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        self.to.write_all(&bytes)
    }
}

impl<W: Finish> LineSink for CsvTable<W> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let line: Value = serde_json::from_slice(line)?;
        // What takes an earlier line back is no row.
        if line.get("kind").is_some() {
            return Ok(());
        }
        self.rows.write_record(COLUMNS.map(|column| cell(line.pointer(column.pointer)))).map_err(io::Error::from)?;
        if self.rows.get_ref().len() >= GATHERED { self.hand_on() } else { Ok(()) }
    }

    fn summary(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.to.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.to.finish()
    }
}

/// A value as a cell: a list by its length. What a spreadsheet would take for a formula stays text.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(all)) => all.len().to_string(),
        Some(Value::String(text)) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::sync::{Arc, Mutex};

    use super::super::compression::{Compressed, Compression};
    use super::super::lines::Lines;
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_line_is_a_row_however_it_is_cut_and_no_cell_is_a_formula() {
        let line = "{\"id\":\"1.1\",\"method\":\"=1+1\",\"target\":\"/a,\\\"b\\\"\",\"response\":{\"status\":200},\"lag_us\":5,\"differences\":[1,2]}\n";
        let lines = format!("{line}{line}{{\"kind\":\"summary\",\"id\":1}}\n");
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let out = Shared::default();
            let stream = Compressed::new(out.clone(), compression).unwrap();
            let mut table = Lines::new(CsvTable::new(stream).unwrap());
            for (at, piece) in lines.as_bytes().chunks(7).enumerate() {
                table.write_all(piece).unwrap();
                if at == 3 {
                    table.flush().unwrap();
                }
            }
            table.flush().unwrap();
            let bytes = out.0.lock().unwrap().clone();
            let mut text = String::new();
            match compression {
                Compression::None => text = String::from_utf8(bytes).unwrap(),
                Compression::Gzip => {
                    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).map(drop).unwrap();
                }
                Compression::Zstd => text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap(),
            }
            let rows: Vec<&str> = text.lines().collect();
            assert_eq!(rows.len(), 3, "{text}");
            assert_eq!(rows[1], "1.1,,,'=1+1,\"/a,\"\"b\"\"\",,,,,,,200,,,,,5,2");
            assert!(rows[0].starts_with("id,at,client,method,target,route,outcome"));
        }
    }
}
