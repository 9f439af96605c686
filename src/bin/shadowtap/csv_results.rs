//! Results as a table: each line of JSON becomes a row, for spreadsheets and databases.

use std::io::{self, Write};

use serde_json::Value;

/// Columns, and where their values stand in a line.
const COLUMNS: [(&str, &str); 18] = [
    ("id", "/id"),
    ("at", "/at"),
    ("client", "/client"),
    ("method", "/method"),
    ("target", "/target"),
    ("route", "/route"),
    ("outcome", "/outcome"),
    ("rule", "/rule"),
    ("shadow", "/shadow"),
    ("production_status", "/production/status"),
    ("production_body_len", "/production/body_len"),
    ("response_status", "/response/status"),
    ("response_body_len", "/response/body_len"),
    ("production_us", "/production_us"),
    ("service_us", "/service_us"),
    ("response_us", "/response_us"),
    ("lag_us", "/lag_us"),
    ("differences", "/differences"),
];

/// Writes rows for the lines of JSON that are written to it. The summary at their end is left out.
pub(crate) struct CsvResults<W: Write> {
    to: csv::Writer<W>,
    line: Vec<u8>,
}

impl<W: Write> CsvResults<W> {
    /// A table with its head.
    pub(crate) fn new(to: W) -> io::Result<Self> {
        let mut to = csv::Writer::from_writer(to);
        to.write_record(COLUMNS.map(|(name, _)| name)).map_err(io::Error::from)?;
        Ok(Self { to, line: Vec::new() })
    }

    fn row(&mut self) -> io::Result<()> {
        let line: Value = serde_json::from_slice(&std::mem::take(&mut self.line))?;
        if line.get("kind").is_some() {
            return Ok(());
        }
        self.to.write_record(COLUMNS.map(|(_, pointer)| cell(line.pointer(pointer)))).map_err(io::Error::from)
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

impl<W: Write> Write for CsvResults<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.row()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_row_however_it_is_cut_and_no_cell_is_a_formula() {
        let line = "{\"id\":\"1.1\",\"method\":\"=1+1\",\"target\":\"/a,\\\"b\\\"\",\"response\":{\"status\":200},\"lag_us\":5,\"differences\":[1,2]}\n";
        let lines = format!("{line}{line}{{\"kind\":\"summary\",\"id\":1}}\n");
        let mut out = Vec::new();
        let mut table = CsvResults::new(&mut out).unwrap();
        for piece in lines.as_bytes().chunks(7) {
            table.write_all(piece).unwrap();
        }
        table.flush().unwrap();
        drop(table);
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 3, "{text}");
        assert_eq!(rows[1], "1.1,,,'=1+1,\"/a,\"\"b\"\"\",,,,,,,200,,,,,5,2");
        assert!(rows[0].starts_with("id,at,client,method,target,route,outcome"));
    }
}
