//! Fetches what tells which rows count: entries around boundaries, segments before the base.

use super::Counting;
use crate::error::{Error, Result};
use crate::manifest::{BaseManifest, FileRole, Repository, SegmentManifest};
use crate::position::Seq;
use crate::segment::{TransactionRow, TransactionsReader};
use crate::storage::ObjectName;
use std::sync::Arc;

/// Where a restore begins and ends.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Boundaries<'a> {
    /// The repository.
    pub(in super::super) repo: &'a Repository,
    /// The base.
    pub(in super::super) base: &'a BaseManifest,
    /// The segments that hold the entries after the base up to the cut, in order.
    pub(in super::super) segments: &'a [Arc<SegmentManifest>],
    /// The entries of the segment in which the cut lies; empty when they were not read.
    pub(in super::super) last_entries: &'a [TransactionRow],
    /// The cut.
    pub(in super::super) cut: Seq,
}

impl Boundaries<'_> {
    /// Which rows count in the restore.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the base does not name a prepared
    /// transaction that is committed after it; those of reading.
    pub(in super::super) async fn counting(&self) -> Result<Counting> {
        let mut entries = self.last_entries.to_vec();
        for segment in self.segments {
            // At its last entry all is said by manifests.
            let inside = |seq: Seq| segment.contains(seq) && seq != segment.seq_last;
            let mut starts = self.base.tables.iter();
            // Where the cut was moved to the base, its entries were not read.
            let ends = self.last_entries.is_empty() && inside(self.cut);
            if ends || starts.any(|t| inside(t.exact_from_seq)) {
                entries.extend(super::entries(self.repo, segment).await?);
            }
        }
        let mut counting = Counting::new(self.base, self.segments, &entries);
        let first = self.segments.first().map(|segment| segment.seq_first);
        let after = self.base.apply_from_seq.prev();
        let before: Vec<Seq> = counting
            .reaching_back(after, self.cut)
            .filter(|seq| first.is_some_and(|first| *seq < first))
            .collect();
        for prepared in before {
            if !counting.earlier.iter().any(|s| s.contains(prepared)) {
                let segment = self.segment_of(prepared).await?;
                counting.leave_out(&segment);
                counting.earlier.push(segment);
            }
        }
        Ok(counting)
    }

    /// The segment of an XA PREPARE older than the base, which names it.
    async fn segment_of(&self, prepared: Seq) -> Result<Arc<SegmentManifest>> {
        let unnamed = || {
            Error::corrupt("plan restore: the base does not name a prepared XA transaction")
                .field("seq", prepared)
                .field("object", self.base.object_name())
                .hint("restore from another base, or take one now")
        };
        let named = self.base.open_xa.iter().find(|xa| xa.seq == prepared);
        let name = ObjectName::parse(&named.ok_or_else(unnamed)?.object)?;
        let ObjectName::Manifest { timeline, .. } = name else {
            return Err(unnamed());
        };
        match self.repo.manifest(timeline, prepared).await? {
            Some(stored) => Ok(stored.manifest),
            None => Err(
                Error::gap("plan restore: the rows of a prepared XA transaction are gone")
                    .field("seq", prepared)
                    .field("object", name)
                    .hint(
                        "restore the object from a mirror, or choose a target before its XA COMMIT",
                    ),
            ),
        }
    }
}

/// Every entry of a segment.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when some are missing; those of reading.
pub(in super::super) async fn entries(
    repo: &Repository,
    segment: &SegmentManifest,
) -> Result<Vec<TransactionRow>> {
    let mut rows = Vec::new();
    for file in segment.files_of(FileRole::Transactions) {
        let bytes = repo.get_file(file).await?;
        let read: Result<Vec<TransactionRow>> =
            TransactionsReader::without_events(bytes)?.collect();
        rows.extend(read.map_err(|e| e.field("object", &file.object))?);
    }
    let whole = rows.first().map(|r| r.seq) == Some(segment.seq_first)
        && rows.last().map(|r| r.seq) == Some(segment.seq_last);
    if !whole {
        return Err(
            Error::corrupt("read entries of a segment: some are missing")
                .field("object", segment.object_name()),
        );
    }
    Ok(rows)
}
