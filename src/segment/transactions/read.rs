//! Reading transactions.parquet.

use super::{EntryKind, TransactionRow, columns};
use crate::change::{CommitTime, CommitTimeSource};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Gtid, Seq, Tag};
use crate::segment::rows_read::{ByteStrings, Columns, FixedBytes, Ints, RowsReader, Texts};
use crate::segment::skeleton;
use bytes::Bytes;
use uuid::Uuid;

/// The columns from which events are rebuilt.
const EVENTS: [&str; 2] = ["events", "raw"];

/// Iterates over the rows of the file; ends after the first error.
#[derive(Debug)]
pub struct TransactionsReader(RowsReader<TransactionColumns>);

impl TransactionsReader {
    /// Opens the file.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no such file.
    pub fn open(bytes: Bytes) -> Result<TransactionsReader> {
        let of = |columns: &Columns<'_>| TransactionColumns::of(columns, true);
        let rows = RowsReader::open(bytes, &columns(), |_| true, of)?;
        Ok(TransactionsReader(rows))
    }

    /// As [`open`](Self::open), for readers that rebuild no events, which is most of the work: `raw`
    /// is `None` in every row.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn without_events(bytes: Bytes) -> Result<TransactionsReader> {
        let of = |columns: &Columns<'_>| TransactionColumns::of(columns, false);
        let wanted = |name: &str| !EVENTS.contains(&name);
        let rows = RowsReader::open(bytes, &columns(), wanted, of)?;
        Ok(TransactionsReader(rows))
    }
}

impl Iterator for TransactionsReader {
    type Item = Result<TransactionRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.next(TransactionColumns::row);
        next.map(|row| row.map_err(|e| e.field("file", "transactions.parquet")))
    }
}

/// The columns of some rows.
struct TransactionColumns {
    seq: Ints,
    kind: Texts,
    gtid_uuid: FixedBytes,
    gtid_tag: Texts,
    gtid_gno: Ints,
    gtid_domain: Ints,
    gtid_server_id: Ints,
    gtid_seq_no: Ints,
    commit_time: Ints,
    commit_time_lo: Ints,
    commit_time_hi: Ints,
    commit_time_source: Texts,
    received_time: Ints,
    binlog_file: Texts,
    end_offset: Ints,
    server_id: Ints,
    thread_id: Ints,
    rows_inserted: Ints,
    rows_updated: Ints,
    rows_deleted: Ints,
    xid: Ints,
    xa_seq: Ints,
    last_committed: Ints,
    sequence_number: Ints,
    status_vars: ByteStrings,
    detail: Texts,
    /// Skeletons, and values or whole records.
    events: Option<(ByteStrings, ByteStrings)>,
}

impl TransactionColumns {
    fn of(columns: &Columns<'_>, with_events: bool) -> Result<TransactionColumns> {
        let [skeletons, raw] = EVENTS;
        Ok(TransactionColumns {
            seq: columns.ints("seq")?,
            kind: columns.texts("kind")?,
            gtid_uuid: columns.fixed_bytes("gtid_uuid")?,
            gtid_tag: columns.texts("gtid_tag")?,
            gtid_gno: columns.ints("gtid_gno")?,
            gtid_domain: columns.ints("gtid_domain")?,
            gtid_server_id: columns.ints("gtid_server_id")?,
            gtid_seq_no: columns.ints("gtid_seq_no")?,
            commit_time: columns.ints("commit_time")?,
            commit_time_lo: columns.ints("commit_time_lo")?,
            commit_time_hi: columns.ints("commit_time_hi")?,
            commit_time_source: columns.texts("commit_time_source")?,
            received_time: columns.ints("received_time")?,
            binlog_file: columns.texts("binlog_file")?,
            end_offset: columns.ints("end_offset")?,
            server_id: columns.ints("server_id")?,
            thread_id: columns.ints("thread_id")?,
            rows_inserted: columns.ints("rows_inserted")?,
            rows_updated: columns.ints("rows_updated")?,
            rows_deleted: columns.ints("rows_deleted")?,
            xid: columns.ints("xid")?,
            xa_seq: columns.ints("xa_seq")?,
            last_committed: columns.ints("last_committed")?,
            sequence_number: columns.ints("sequence_number")?,
            status_vars: columns.bytes("status_vars")?,
            detail: columns.texts("detail")?,
            events: match with_events {
                true => Some((columns.bytes(skeletons)?, columns.bytes(raw)?)),
                false => None,
            },
        })
    }

    fn row(&self, row: usize) -> Result<TransactionRow> {
        let kind = self.kind.get(row).and_then(EntryKind::parse);
        let end = match (self.binlog_file.get(row), self.end_offset.get(row)) {
            (Some(file), Some(offset)) => Some(BinlogPosition::new(file, offset as u64)),
            _ => None,
        };
        let mut entry = TransactionRow {
            seq: Seq(self.seq.required(row)?),
            kind: kind.ok_or_else(|| Error::corrupt("read kind: unknown kind of entry"))?,
            gtid: self.gtid(row)?,
            commit: self.commit(row)?,
            received_us: self.received_time.required(row)?,
            end,
            server_id: self.server_id.narrow(row)?,
            thread_id: self.thread_id.narrow(row)?,
            rows_inserted: self.rows_inserted.required(row)?,
            rows_updated: self.rows_updated.required(row)?,
            rows_deleted: self.rows_deleted.required(row)?,
            xid: self.xid.get(row).map(|xid| xid as u64),
            xa_seq: self.xa_seq.get(row).map(Seq),
            last_committed: self.last_committed.get(row),
            sequence_number: self.sequence_number.get(row),
            status_vars: self.status_vars.get(row).map(Bytes::copy_from_slice),
            raw: None,
            detail: self.detail.get(row).map(str::to_owned),
        };
        let Some((skeletons, raw)) = &self.events else {
            return Ok(entry);
        };
        entry.raw = match (skeletons.get(row), raw.get(row)) {
            (Some(skeleton), values) => Some(skeleton::unpack(&entry, skeleton, values)?),
            (None, raw) => raw.map(Bytes::copy_from_slice),
        };
        Ok(entry)
    }

    fn gtid(&self, row: usize) -> Result<Option<Gtid>> {
        let bad = || Error::corrupt("read gtid: impossible parts").field("row", row);
        if let Some(uuid) = self.gtid_uuid.get(row) {
            let tag = self.gtid_tag.get(row).unwrap_or_default();
            return Ok(Some(Gtid::MySql {
                uuid: Uuid::from_slice(uuid).map_err(|_| bad())?,
                tag: match tag {
                    "" => Tag::default(),
                    tag => Tag::new(tag).ok_or_else(bad)?,
                },
                gno: self.gtid_gno.required(row)? as u64,
            }));
        }
        let Some(domain) = self.gtid_domain.get(row) else {
            return Ok(None);
        };
        let server_id = self.gtid_server_id.required(row)?;
        Ok(Some(Gtid::MariaDb {
            domain: u32::try_from(domain).map_err(|_| bad())?,
            server_id: u32::try_from(server_id).map_err(|_| bad())?,
            seq_no: self.gtid_seq_no.required(row)? as u64,
        }))
    }

    fn commit(&self, row: usize) -> Result<Option<CommitTime>> {
        let Some(at_us) = self.commit_time.get(row) else {
            return Ok(None);
        };
        let name = self.commit_time_source.get(row).unwrap_or_default();
        let source = [
            CommitTimeSource::Immediate,
            CommitTimeSource::Received,
            CommitTimeSource::Header,
        ]
        .into_iter()
        .find(|source| source.name() == name);
        Ok(Some(CommitTime {
            at_us,
            lo_us: self.commit_time_lo.required(row)?,
            hi_us: self.commit_time_hi.required(row)?,
            source: source.ok_or_else(|| {
                Error::corrupt("read commit_time_source: unknown source").field("source", name)
            })?,
        }))
    }
}
