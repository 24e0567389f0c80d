//! The received events, rebuilt from a segment: what a replica could be fed with.

use super::SegmentChanges;
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Seq};
use crate::segment::rebuild_events;
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
        let Some(raw) = &transaction.raw else {
            continue;
        };
        let rows = changes.rows_of(transaction.seq);
        let images = |event: i32, out: &mut Vec<u8>| {
            for row in rows.iter().filter(|row| row.event == event) {
                out.extend_from_slice(changes.image(row));
            }
            Ok(())
        };
        let events = rebuild_events(raw, images).map_err(|error| {
            Error::corrupt("rebuild events of transaction")
                .field("seq", transaction.seq)
                .source(error)
        })?;
        rebuilt.push(RebuiltTransaction {
            seq: transaction.seq,
            end: transaction.end.clone(),
            events,
        });
    }
    Ok(rebuilt)
}
