//! Arrow record batches -> row images.

use super::{ChangeRow, TablePlan};
use crate::error::{Error, Result};
use crate::position::Seq;
use arrow_array::RecordBatch;
use std::marker::PhantomData;
use std::sync::Arc;

/// Typed access to a record batch of a change or base file, by field id.
#[derive(Debug)]
pub struct BatchView<'a> {
    rows: usize,
    marker: PhantomData<&'a RecordBatch>,
}

impl<'a> BatchView<'a> {
    /// A view of a batch that was read with this plan (whole or projected).
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a column has another type than the
    /// plan says.
    pub fn new(plan: &TablePlan, batch: &'a RecordBatch) -> Result<BatchView<'a>> {
        let _ = plan;
        Ok(BatchView {
            rows: batch.num_rows(),
            marker: PhantomData,
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// `__seq` of a row.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the column or row is absent or NULL.
    pub fn seq(&self, row: usize) -> Result<Seq> {
        let _ = row;
        Err(Error::internal("not built yet"))
    }

    /// The system columns of a row of a change file.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when one is absent, NULL or impossible.
    pub fn change(&self, row: usize) -> Result<ChangeRow> {
        let _ = row;
        Err(Error::internal("not built yet"))
    }
}

/// Gives back the row images that batches were built from.
#[derive(Clone, Debug)]
pub struct ImageEncoder {
    plan: Arc<TablePlan>,
}

impl ImageEncoder {
    /// For batches of this plan's table version.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>) -> ImageEncoder {
        ImageEncoder { plan }
    }

    /// Appends the row image of a row to `out`, byte for byte as it was logged.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a column is absent, a value cannot
    /// be one of its column, or `__raw` is malformed.
    pub fn image(&self, view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let _ = (&self.plan, view, row, out);
        Err(Error::internal("not built yet"))
    }
}
