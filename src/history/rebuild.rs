//! The received events, rebuilt from a segment: what a replica could be fed with.

use super::{ChangeRef, SegmentChanges, StatementRef};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Seq};
use crate::segment::{EventContent, TransactionRow, each_rebuilt_event};
use bytes::Bytes;

/// The events of one transaction as they were received.
#[derive(Clone, Debug)]
pub struct RebuiltTransaction {
    /// Its entry.
    pub seq: Seq,
    /// Its end in the source's binlog.
    pub end: Option<BinlogPosition>,
    /// Its events, and before them those of the file (rotation, format description) that stand
    /// between it and the transaction before.
    pub events: Vec<Bytes>,
}

/// Rebuilds every transaction of a segment, in order; marks have no events.
///
/// # Errors
/// `Corrupt` naming the entry whose events cannot be rebuilt.
pub fn rebuild_segment(changes: &SegmentChanges) -> Result<Vec<RebuiltTransaction>> {
    let mut rebuilt = Vec::new();
    for transaction in &changes.transactions {
        if transaction.raw.is_none() {
            continue;
        }
        let mut events = Vec::new();
        each_event(changes, transaction, |event| events.push(event))?;
        rebuilt.push(RebuiltTransaction {
            seq: transaction.seq,
            end: transaction.end.clone(),
            events,
        });
    }
    Ok(rebuilt)
}

/// Rebuilds every event of a segment, one after the other, and counts them.
///
/// # Errors
/// As [`rebuild_segment`].
pub fn count_events(changes: &SegmentChanges) -> Result<u64> {
    let mut count = 0;
    for transaction in &changes.transactions {
        each_event(changes, transaction, |_| count += 1)?;
    }
    Ok(count)
}

fn each_event(
    changes: &SegmentChanges,
    transaction: &TransactionRow,
    each: impl FnMut(Bytes),
) -> Result<()> {
    let Some(raw) = &transaction.raw else {
        return Ok(());
    };
    let mut content = Content {
        changes,
        rows: changes.rows_of(transaction.seq),
        statements: changes.statements_of(transaction.seq),
    };
    each_rebuilt_event(raw, &mut content, each).map_err(|error| {
        Error::corrupt("rebuild events of transaction")
            .field("seq", transaction.seq)
            .source(error)
    })
}

/// What one transaction has in the other files of its segment.
struct Content<'a> {
    changes: &'a SegmentChanges,
    rows: &'a [ChangeRef],
    statements: &'a [StatementRef],
}

impl EventContent for Content<'_> {
    fn images(&mut self, event: i32, out: &mut Vec<u8>) -> Result<()> {
        // Rows in the order of the transaction are in that of its events, too.
        let start = self.rows.partition_point(|row| row.event < event);
        let rows = self.rows.iter().skip(start);
        rows.take_while(|row| row.event == event)
            .try_for_each(|row| self.changes.image(row, out))
    }

    fn text(&mut self, ordinal: u32, out: &mut Vec<u8>) -> Result<()> {
        let find = |row: &StatementRef| row.ordinal.cmp(&i64::from(ordinal));
        let found = self.statements.binary_search_by(find).ok();
        let row = found.and_then(|at| self.statements.get(at));
        let row =
            row.ok_or_else(|| Error::corrupt("find text of statement").field("ordinal", ordinal))?;
        self.changes.text(row, out)
    }
}
