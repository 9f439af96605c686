//! Results as Parquet: the columns of the CSV table, with types, in groups of rows.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;
use shadowtap::exchange::Timestamp;

use super::lines::LineSink;
use super::table::{COLUMNS, Kind};

/// Rows of a group. They are held until there are so many.
const ROWS: usize = 65_536;
/// Bytes of text that are held at most, and end a group earlier.
const TEXT_BYTES: usize = 32 << 20;

/// Writes rows for lines of JSON. The summary at their end is left out; without it the file has no end, and nobody reads it.
pub(super) struct ParquetTable<W: Write + Send> {
    to: SerializedFileWriter<W>,
    columns: Vec<Cells>,
    rows: usize,
    text_bytes: usize,
}

/// Values of a column that are not null, and for each row whether it has one.
#[derive(Default)]
struct Cells {
    texts: Vec<ByteArray>,
    numbers: Vec<i64>,
    is_there: Vec<i16>,
}

impl<W: Write + Send> ParquetTable<W> {
    /// A table without rows.
    pub(super) fn new(to: W) -> io::Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let to = SerializedFileWriter::new(to, schema().map_err(failed)?, Arc::new(properties)).map_err(failed)?;
        Ok(Self { to, columns: COLUMNS.iter().map(|_| Cells::default()).collect(), rows: 0, text_bytes: 0 })
    }

    /// Writes the rows that are held as a group.
    fn group(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.to.next_row_group().map_err(failed)?;
        for cells in &mut self.columns {
            let Cells { texts, numbers, is_there } = std::mem::take(cells);
            let Some(mut column) = group.next_column().map_err(failed)? else { break };
            let written = match column.untyped() {
                ColumnWriter::ByteArrayColumnWriter(writer) => writer.write_batch(&texts, Some(&is_there), None),
                ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&numbers, Some(&is_there), None),
                _ => return Err(io::Error::other("a column has another type than its table")),
            };
            written.map_err(failed)?;
            column.close().map_err(failed)?;
        }
        group.close().map_err(failed)?;
        (self.rows, self.text_bytes) = (0, 0);
        Ok(())
    }
}

fn schema() -> Result<TypePtr, ParquetError> {
    let fields = COLUMNS.iter().map(|column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Instant => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Kind::Number | Kind::Count => (PhysicalType::INT64, None),
        };
        let field = Type::primitive_type_builder(column.name, physical);
        field.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build().map(Arc::new)
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    Type::group_type_builder("results").with_fields(fields).build().map(Arc::new)
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        // The file's own error, where it is one.
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        error => io::Error::other(error),
    }
}

impl Cells {
    /// Takes the value of a row; returns the bytes of text that it holds.
    fn push(&mut self, kind: Kind, value: Option<&Value>) -> usize {
        let number = match (kind, value) {
            (Kind::Text, Some(Value::String(text))) => {
                self.texts.push(ByteArray::from(text.as_bytes().to_vec()));
                self.is_there.push(1);
                return text.len();
            }
            (Kind::Instant, Some(Value::String(text))) => {
                let at = text.parse::<Timestamp>().ok();
                at.and_then(|at| i64::try_from(at.nanos() / 1000).ok())
            }
            (Kind::Number, Some(value)) => value.as_i64(),
            (Kind::Count, Some(Value::Array(all))) => i64::try_from(all.len()).ok(),
            _ => None,
        };
        self.is_there.push(i16::from(number.is_some()));
        self.numbers.extend(number);
        0
    }
}

impl<W: Write + Send> LineSink for ParquetTable<W> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let line: Value = serde_json::from_slice(line)?;
        if line.get("kind").is_some() {
            return Ok(());
        }
        for (column, cells) in COLUMNS.iter().zip(&mut self.columns) {
            self.text_bytes += cells.push(column.kind, line.pointer(column.pointer));
        }
        self.rows += 1;
        if self.rows >= ROWS || self.text_bytes >= TEXT_BYTES { self.group() } else { Ok(()) }
    }

    fn summary(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    /// Rows are handed on by the group.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.group()?;
        self.to.finish().map_err(failed)?;
        self.to.inner_mut().flush()
    }
}
