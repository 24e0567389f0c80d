//! statements.parquet: one row per statement that the server executed, or logged, as text.

use crate::change::StatementKind;
use crate::error::{Error, Result};
use crate::position::Seq;
use bytes::Bytes;

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

/// Builds the file.
#[derive(Debug, Default)]
pub struct StatementsWriter {}

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
        let _ = row;
        Err(Error::internal("not built yet"))
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        0
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the file cannot be written.
    pub fn finish(self) -> Result<Bytes> {
        Err(Error::internal("not built yet"))
    }
}

/// Iterates over the rows of the file; ends after the first error.
#[derive(Debug)]
pub struct StatementsReader {}

impl StatementsReader {
    /// Opens the file.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no such file.
    pub fn open(bytes: Bytes) -> Result<StatementsReader> {
        let _ = bytes;
        Ok(StatementsReader {})
    }
}

impl Iterator for StatementsReader {
    type Item = Result<StatementRow>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
