//! transactions.parquet: one row per log entry, transaction or mark.

use crate::change::{CommitTime, TransactionKind};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Gtid, Seq};
use bytes::Bytes;

/// What a log entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A transaction of the source.
    Transaction(TransactionKind),
    /// Mark: the log starts; its detail names the catalogue.
    Start,
    /// Mark: a writer epoch begins.
    Epoch,
    /// Mark: transactions are missing from here.
    Gap,
    /// Mark: nothing was committed up to a moment (`covered_through`).
    Idle,
    /// Mark: a table cannot be followed over this point.
    Barrier,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// Log entry.
    pub seq: Seq,
    /// What it is.
    pub kind: EntryKind,
    /// Its identity; `None` for marks and anonymous transactions.
    pub gtid: Option<Gtid>,
    /// Commit time with its bounds; `None` for marks that have none.
    pub commit: Option<CommitTime>,
    /// When the last event was received, microseconds since the epoch, own clock.
    pub received_us: i64,
    /// End of the transaction in the source's binlog.
    pub end: Option<BinlogPosition>,
    /// Originating server id.
    pub server_id: Option<u32>,
    /// Thread id of the session, where logged.
    pub thread_id: Option<u32>,
    /// Rows inserted.
    pub rows_inserted: i64,
    /// Rows updated.
    pub rows_updated: i64,
    /// Rows deleted.
    pub rows_deleted: i64,
    /// InnoDB transaction number.
    pub xid: Option<u64>,
    /// For XA COMMIT and XA ROLLBACK: the entry of the XA PREPARE.
    pub xa_seq: Option<Seq>,
    /// MySQL logical clock.
    pub last_committed: Option<i64>,
    /// MySQL logical clock.
    pub sequence_number: Option<i64>,
    /// Status variables of the BEGIN query event.
    pub status_vars: Option<Bytes>,
    /// Skeleton of the events (reserved; `None` where `raw` is filled).
    pub events: Option<Bytes>,
    /// Records that rebuild the events, see [`RawWriter`](super::RawWriter).
    pub raw: Option<Bytes>,
    /// Payload of a mark, JSON.
    pub detail: Option<String>,
}

/// Builds the file.
#[derive(Debug, Default)]
pub struct TransactionsWriter {}

impl TransactionsWriter {
    /// An empty file.
    #[must_use]
    pub fn new() -> TransactionsWriter {
        TransactionsWriter::default()
    }

    /// Adds a row; rows come in `seq` order.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when Parquet refuses a batch.
    pub fn push(&mut self, row: &TransactionRow) -> Result<()> {
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
pub struct TransactionsReader {}

impl TransactionsReader {
    /// Opens the file.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no such file.
    pub fn open(bytes: Bytes) -> Result<TransactionsReader> {
        let _ = bytes;
        Ok(TransactionsReader {})
    }
}

impl Iterator for TransactionsReader {
    type Item = Result<TransactionRow>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
