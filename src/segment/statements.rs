//! statements.parquet: one row per statement that the server executed, or logged, as text.

use super::rows_file::{
    BATCH_BYTES, BATCH_ROWS, ColumnSpec, ROW_BYTES_MAX, RowsFileWriter, bytes_array, instant,
};
use super::rows_read::{ByteStrings, Columns, Ints, RowsReader, Texts};
use crate::change::StatementKind;
use crate::error::{Error, Result};
use crate::position::Seq;
use arrow_array::types::{BinaryType, Utf8Type};
use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow_schema::DataType;
use bytes::Bytes;
use std::sync::Arc;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// Log entry.
    pub seq: Seq,
    /// Ordinal in the transaction, the same counter as `__row`.
    pub ordinal: i64,
    /// Kind.
    pub kind: StatementKind,
    /// Default database as logged.
    pub default_db: Bytes,
    /// Text as logged.
    pub text: Bytes,
    /// `character_set_client` collation id, where logged.
    pub charset: Option<u16>,
    /// Status variables as logged, complete.
    pub status_vars: Bytes,
    /// Thread id of the session.
    pub thread_id: u32,
    /// Error code the statement is expected to end with.
    pub error_code: u16,
    /// Header time in microseconds (with logged microseconds where present).
    pub header_us: i64,
}

fn columns() -> Vec<ColumnSpec> {
    use DataType::{Binary, Int64, Utf8};
    vec![
        ColumnSpec("seq", Int64, false, false),
        ColumnSpec("ordinal", Int64, false, false),
        ColumnSpec("kind", Utf8, false, true),
        ColumnSpec("default_db", Binary, false, true),
        ColumnSpec("text", Binary, false, true),
        ColumnSpec("charset", Int64, true, true),
        ColumnSpec("status_vars", Binary, false, true),
        ColumnSpec("thread_id", Int64, false, true),
        ColumnSpec("error_code", Int64, false, true),
        ColumnSpec("header_time", instant(), false, false),
    ]
}

fn kind_name(kind: StatementKind) -> &'static str {
    match kind {
        StatementKind::Query => "query",
        StatementKind::RowsQuery => "rows_query",
    }
}

fn kind_parse(name: &str) -> Option<StatementKind> {
    [StatementKind::Query, StatementKind::RowsQuery]
        .into_iter()
        .find(|kind| kind_name(*kind) == name)
}

/// Builds the file.
#[derive(Debug)]
pub struct StatementsWriter {
    file: RowsFileWriter,
    rows: Vec<StatementRow>,
    bytes: usize,
    written: u64,
}

impl Default for StatementsWriter {
    fn default() -> Self {
        StatementsWriter {
            file: RowsFileWriter::new(&columns()),
            rows: Vec::new(),
            bytes: 0,
            written: 0,
        }
    }
}

impl StatementsWriter {
    /// An empty file.
    #[must_use]
    pub fn new() -> StatementsWriter {
        StatementsWriter::default()
    }

    /// Adds a row; rows come in (`seq`, `ordinal`) order.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when Parquet refuses a batch.
    pub fn push(&mut self, row: &StatementRow) -> Result<()> {
        self.bytes += row.text.len() + row.status_vars.len() + row.default_db.len();
        if self.bytes > ROW_BYTES_MAX {
            return Err(Error::internal("write statements.parquet: row too large")
                .field("seq", row.seq)
                .field("bytes", self.bytes));
        }
        self.rows.push(row.clone());
        self.written += 1;
        if self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write(arrays(&self.rows))?;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.written
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the file cannot be written.
    pub fn finish(mut self) -> Result<Bytes> {
        self.flush()?;
        self.file.finish()
    }
}

/// The columns of some rows, in the order of [`columns`].
fn arrays(rows: &[StatementRow]) -> Vec<ArrayRef> {
    let int = |of: fn(&StatementRow) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Int64Array>())
    };
    let bytes = |of: fn(&StatementRow) -> &Bytes| -> ArrayRef {
        bytes_array::<BinaryType>(rows.iter().map(|row| Some(of(row).as_ref())))
    };
    let kinds = rows.iter().map(|row| Some(kind_name(row.kind)));
    let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.header_us)).collect();
    vec![
        int(|r| Some(r.seq.0)),
        int(|r| Some(r.ordinal)),
        bytes_array::<Utf8Type>(kinds),
        bytes(|r| &r.default_db),
        bytes(|r| &r.text),
        int(|r| r.charset.map(i64::from)),
        bytes(|r| &r.status_vars),
        int(|r| Some(i64::from(r.thread_id))),
        int(|r| Some(i64::from(r.error_code))),
        Arc::new(times.with_timezone("UTC")),
    ]
}

/// Iterates over the rows of the file; ends after the first error.
#[derive(Debug)]
pub struct StatementsReader(RowsReader<StatementColumns>);

impl StatementsReader {
    /// Opens the file.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no such file.
    pub fn open(bytes: Bytes) -> Result<StatementsReader> {
        let rows = RowsReader::open(bytes, &columns(), |_| true, StatementColumns::of)?;
        Ok(StatementsReader(rows))
    }
}

impl Iterator for StatementsReader {
    type Item = Result<StatementRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.next(StatementColumns::row);
        next.map(|row| row.map_err(|e| e.field("file", "statements.parquet")))
    }
}

/// The columns of some rows.
struct StatementColumns {
    seq: Ints,
    ordinal: Ints,
    kind: Texts,
    default_db: ByteStrings,
    text: ByteStrings,
    charset: Ints,
    status_vars: ByteStrings,
    thread_id: Ints,
    error_code: Ints,
    header_time: Ints,
}

impl StatementColumns {
    fn of(columns: &Columns<'_>) -> Result<StatementColumns> {
        Ok(StatementColumns {
            seq: columns.ints("seq")?,
            ordinal: columns.ints("ordinal")?,
            kind: columns.texts("kind")?,
            default_db: columns.bytes("default_db")?,
            text: columns.bytes("text")?,
            charset: columns.ints("charset")?,
            status_vars: columns.bytes("status_vars")?,
            thread_id: columns.ints("thread_id")?,
            error_code: columns.ints("error_code")?,
            header_time: columns.ints("header_time")?,
        })
    }

    fn row(&self, row: usize) -> Result<StatementRow> {
        let missing = |name: &'static str| {
            Error::corrupt("read column: missing or out of range").field("column", name)
        };
        let bytes = |column: &ByteStrings, name| {
            let value = column.get(row).map(Bytes::copy_from_slice);
            value.ok_or_else(|| missing(name))
        };
        let kind = self.kind.get(row).and_then(kind_parse);
        Ok(StatementRow {
            seq: Seq(self.seq.required(row)?),
            ordinal: self.ordinal.required(row)?,
            kind: kind.ok_or_else(|| missing("kind"))?,
            default_db: bytes(&self.default_db, "default_db")?,
            text: bytes(&self.text, "text")?,
            charset: self.charset.narrow(row)?,
            status_vars: bytes(&self.status_vars, "status_vars")?,
            thread_id: self
                .thread_id
                .narrow(row)?
                .ok_or_else(|| missing("thread_id"))?,
            error_code: self
                .error_code
                .narrow(row)?
                .ok_or_else(|| missing("error_code"))?,
            header_us: self.header_time.required(row)?,
        })
    }
}
