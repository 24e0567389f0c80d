//! transactions.parquet: one row per log entry, transaction or mark.
//!
//! 64-bit unsigned numbers (GTID sequence, xid) are stored as the signed number of the same bits.

mod read;

use super::rows_file::{
    BATCH_BYTES, BATCH_ROWS, ColumnSpec, ROW_BYTES_MAX, RowsFileWriter, bytes_array, instant,
};
use super::skeleton::Packer;
use crate::change::{CommitTime, TransactionKind};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Gtid, Seq};
use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::types::{BinaryType, Utf8Type};
use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow_schema::DataType;
use bytes::Bytes;
use std::sync::Arc;

pub use read::TransactionsReader;

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

impl EntryKind {
    const ALL: [EntryKind; 12] = [
        EntryKind::Transaction(TransactionKind::Transaction),
        EntryKind::Transaction(TransactionKind::Ddl),
        EntryKind::Transaction(TransactionKind::Empty),
        EntryKind::Transaction(TransactionKind::XaPrepare),
        EntryKind::Transaction(TransactionKind::XaCommit),
        EntryKind::Transaction(TransactionKind::XaRollback),
        EntryKind::Transaction(TransactionKind::Rollback),
        EntryKind::Start,
        EntryKind::Epoch,
        EntryKind::Gap,
        EntryKind::Idle,
        EntryKind::Barrier,
    ];

    /// Name in the `kind` column.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EntryKind::Transaction(kind) => match kind {
                TransactionKind::Transaction => "transaction",
                TransactionKind::Ddl => "ddl",
                TransactionKind::Empty => "empty",
                TransactionKind::XaPrepare => "xa_prepare",
                TransactionKind::XaCommit => "xa_commit",
                TransactionKind::XaRollback => "xa_rollback",
                TransactionKind::Rollback => "rollback",
            },
            EntryKind::Start => "start",
            EntryKind::Epoch => "epoch",
            EntryKind::Gap => "gap",
            EntryKind::Idle => "idle",
            EntryKind::Barrier => "barrier",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it is no transaction of the source.
    #[must_use]
    pub fn is_mark(self) -> bool {
        !matches!(self, EntryKind::Transaction(_))
    }
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
    /// Records that rebuild the events, see [`RawWriter`](super::RawWriter); in the file, mostly as
    /// skeleton (`events`) and values (`raw`).
    pub raw: Option<Bytes>,
    /// Payload of a mark, JSON.
    pub detail: Option<String>,
}

impl TransactionRow {
    /// An entry of which nothing but this is known.
    #[must_use]
    pub fn empty(seq: Seq, kind: EntryKind, received_us: i64) -> TransactionRow {
        TransactionRow {
            seq,
            kind,
            gtid: None,
            commit: None,
            received_us,
            end: None,
            server_id: None,
            thread_id: None,
            rows_inserted: 0,
            rows_updated: 0,
            rows_deleted: 0,
            xid: None,
            xa_seq: None,
            last_committed: None,
            sequence_number: None,
            status_vars: None,
            raw: None,
            detail: None,
        }
    }
}

fn columns() -> Vec<ColumnSpec> {
    use DataType::{Binary, FixedSizeBinary, Int64, Utf8};
    vec![
        ColumnSpec("seq", Int64, false, false),
        ColumnSpec("kind", Utf8, false, true),
        ColumnSpec("gtid_uuid", FixedSizeBinary(16), true, true),
        ColumnSpec("gtid_tag", Utf8, true, true),
        ColumnSpec("gtid_gno", Int64, true, false),
        ColumnSpec("gtid_domain", Int64, true, true),
        ColumnSpec("gtid_server_id", Int64, true, true),
        ColumnSpec("gtid_seq_no", Int64, true, false),
        ColumnSpec("commit_time", instant(), true, false),
        ColumnSpec("commit_time_lo", instant(), true, false),
        ColumnSpec("commit_time_hi", instant(), true, false),
        ColumnSpec("commit_time_source", Utf8, true, true),
        ColumnSpec("received_time", instant(), false, false),
        ColumnSpec("binlog_file", Utf8, true, true),
        ColumnSpec("end_offset", Int64, true, false),
        ColumnSpec("server_id", Int64, true, true),
        ColumnSpec("thread_id", Int64, true, true),
        ColumnSpec("rows_inserted", Int64, false, true),
        ColumnSpec("rows_updated", Int64, false, true),
        ColumnSpec("rows_deleted", Int64, false, true),
        ColumnSpec("xid", Int64, true, false),
        ColumnSpec("xa_seq", Int64, true, false),
        ColumnSpec("last_committed", Int64, true, false),
        ColumnSpec("sequence_number", Int64, true, false),
        ColumnSpec("status_vars", Binary, true, true),
        ColumnSpec("events", Binary, true, true),
        ColumnSpec("raw", Binary, true, false),
        ColumnSpec("detail", Utf8, true, false),
    ]
}

/// A row as it is in the file.
#[derive(Debug)]
struct StoredRow<'a> {
    row: &'a TransactionRow,
    /// Column `events`.
    skeleton: Option<Bytes>,
    /// Column `raw`.
    raw: Option<Bytes>,
}

/// Builds the file.
#[derive(Debug)]
pub struct TransactionsWriter<'a> {
    file: RowsFileWriter,
    rows: Vec<StoredRow<'a>>,
    packer: Packer,
    has_skeletons: bool,
    bytes: usize,
    written: u64,
}

impl Default for TransactionsWriter<'_> {
    fn default() -> Self {
        TransactionsWriter {
            file: RowsFileWriter::new(&columns()),
            rows: Vec::new(),
            packer: Packer::default(),
            has_skeletons: false,
            bytes: 0,
            written: 0,
        }
    }
}

impl<'a> TransactionsWriter<'a> {
    /// An empty file.
    #[must_use]
    pub fn new() -> TransactionsWriter<'a> {
        TransactionsWriter::default()
    }

    /// Adds a row; rows come in `seq` order.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when Parquet refuses a batch.
    pub fn push(&mut self, row: &'a TransactionRow) -> Result<()> {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let stored = match self.packer.pack(row) {
            Some((skeleton, values)) => StoredRow {
                row,
                skeleton: Some(skeleton),
                raw: values,
            },
            None => StoredRow {
                row,
                skeleton: None,
                raw: row.raw.clone(),
            },
        };
        self.has_skeletons |= stored.skeleton.is_some();
        self.bytes += length(&stored.raw) + length(&stored.skeleton);
        self.bytes += length(&row.status_vars);
        self.bytes += row.detail.as_ref().map_or(0, String::len);
        if self.bytes > ROW_BYTES_MAX {
            return Err(Error::internal("write transactions.parquet: row too large")
                .field("seq", row.seq)
                .field("bytes", self.bytes));
        }
        self.rows.push(stored);
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

    /// Whether a row was stored as a skeleton: a reader must know these then.
    #[must_use]
    pub fn has_skeletons(&self) -> bool {
        self.has_skeletons
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
fn arrays(rows: &[StoredRow<'_>]) -> Vec<ArrayRef> {
    let int = |of: fn(&TransactionRow) -> Option<i64>| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|stored| of(stored.row))
                .collect::<Int64Array>(),
        )
    };
    let time = |of: fn(&TransactionRow) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = rows.iter().map(|stored| of(stored.row)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let text = |of: fn(&TransactionRow) -> Option<&str>| -> ArrayRef {
        bytes_array::<Utf8Type>(rows.iter().map(|stored| of(stored.row)))
    };
    let bytes = |of: fn(&TransactionRow) -> Option<&Bytes>| -> ArrayRef {
        bytes_array::<BinaryType>(rows.iter().map(|stored| of(stored.row).map(|b| b.as_ref())))
    };
    vec![
        int(|r| Some(r.seq.0)),
        text(|r| Some(r.kind.name())),
        uuids(rows),
        text(|r| match &r.gtid {
            Some(Gtid::MySql { tag, .. }) if !tag.is_empty() => Some(tag.as_str()),
            _ => None,
        }),
        int(|r| match &r.gtid {
            Some(Gtid::MySql { gno, .. }) => Some(*gno as i64),
            _ => None,
        }),
        int(|r| mariadb(r).map(|(domain, _, _)| domain)),
        int(|r| mariadb(r).map(|(_, server_id, _)| server_id)),
        int(|r| mariadb(r).map(|(_, _, seq_no)| seq_no)),
        time(|r| r.commit.map(|c| c.at_us)),
        time(|r| r.commit.map(|c| c.lo_us)),
        time(|r| r.commit.map(|c| c.hi_us)),
        text(|r| r.commit.map(|c| c.source.name())),
        time(|r| Some(r.received_us)),
        text(|r| r.end.as_ref().map(|e| e.file.as_str())),
        int(|r| r.end.as_ref().map(|e| e.offset as i64)),
        int(|r| r.server_id.map(i64::from)),
        int(|r| r.thread_id.map(i64::from)),
        int(|r| Some(r.rows_inserted)),
        int(|r| Some(r.rows_updated)),
        int(|r| Some(r.rows_deleted)),
        int(|r| r.xid.map(|xid| xid as i64)),
        int(|r| r.xa_seq.map(|seq| seq.0)),
        int(|r| r.last_committed),
        int(|r| r.sequence_number),
        bytes(|r| r.status_vars.as_ref()),
        bytes_array::<BinaryType>(rows.iter().map(|stored| stored.skeleton.as_deref())),
        bytes_array::<BinaryType>(rows.iter().map(|stored| stored.raw.as_deref())),
        text(|r| r.detail.as_deref()),
    ]
}

fn mariadb(row: &TransactionRow) -> Option<(i64, i64, i64)> {
    match row.gtid {
        Some(Gtid::MariaDb {
            domain,
            server_id,
            seq_no,
        }) => Some((i64::from(domain), i64::from(server_id), seq_no as i64)),
        _ => None,
    }
}

fn uuids(rows: &[StoredRow<'_>]) -> ArrayRef {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
    for stored in rows {
        let appended = match &stored.row.gtid {
            Some(Gtid::MySql { uuid, .. }) => builder.append_value(uuid.as_bytes()).is_ok(),
            _ => false,
        };
        if !appended {
            builder.append_null();
        }
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests;
