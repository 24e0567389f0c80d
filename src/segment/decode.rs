//! Row images -> Arrow record batches.

use super::TablePlan;
use crate::change::Op;
use crate::error::{Error, Result};
use crate::position::Seq;
use arrow_array::RecordBatch;
use std::sync::Arc;

/// What a change file says of one row image besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// What the image is of the change.
    pub op: Op,
    /// Log entry.
    pub seq: Seq,
    /// Ordinal of the change in the transaction, over all tables; the two images of an update
    /// share it.
    pub row: i64,
    /// Ordinal of the rows event in the transaction.
    pub event: i32,
    /// Flags of the rows event as logged.
    pub flags: u16,
    /// Commit time, microseconds since the epoch.
    pub commit_time_us: i64,
}

/// Builds record batches of a change file; reusable after each [`finish`](Self::finish).
#[derive(Debug)]
pub struct ChangeBuilder {
    plan: Arc<TablePlan>,
}

impl ChangeBuilder {
    /// A builder with room for `rows` rows.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>, rows: usize) -> ChangeBuilder {
        let _ = rows;
        ChangeBuilder { plan }
    }

    /// Appends one whole row image.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when `image` is not exactly one full image.
    /// The builder must then be dropped.
    pub fn append(&mut self, image: &[u8], row: &ChangeRow) -> Result<()> {
        let _ = (&self.plan, image, row);
        Err(Error::internal("not built yet"))
    }

    /// Rows since the last batch.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of row images since the last batch: end a batch at 8,192 rows or 8 MiB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        0
    }

    /// The batch of all rows since the last one.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when Arrow refuses the batch.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        Err(Error::internal("not built yet"))
    }
}

/// Builds record batches of a base file; reusable after each [`finish`](Self::finish).
#[derive(Debug)]
pub struct BaseBuilder {
    plan: Arc<TablePlan>,
}

impl BaseBuilder {
    /// A builder with room for `rows` rows.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>, rows: usize) -> BaseBuilder {
        let _ = rows;
        BaseBuilder { plan }
    }

    /// Appends one whole row image, last changed at `seq`.
    ///
    /// # Errors
    /// As [`ChangeBuilder::append`].
    pub fn append(&mut self, image: &[u8], seq: Seq) -> Result<()> {
        let _ = (&self.plan, image, seq);
        Err(Error::internal("not built yet"))
    }

    /// Rows since the last batch.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of row images since the last batch.
    #[must_use]
    pub fn bytes(&self) -> usize {
        0
    }

    /// The batch of all rows since the last one.
    ///
    /// # Errors
    /// As [`ChangeBuilder::finish`].
    pub fn finish(&mut self) -> Result<RecordBatch> {
        Err(Error::internal("not built yet"))
    }
}
