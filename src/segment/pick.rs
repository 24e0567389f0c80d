//! Rows of batches as rows of a base file, taken out as they stand: no cell is decoded on the way.

use super::TablePlan;
use super::encode::ColumnsById;
use crate::error::{Error, Result, Wrap};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::Field;
use arrow_select::interleave::interleave;
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Rows picked out of change or base batches of one table version, in the order of a base file.
///
/// Every batch that a row was picked of is held until the pick is dropped, whole: end a pick by
/// [`bytes_held`](Self::bytes_held), not by its rows alone.
#[derive(Debug, Default)]
pub struct RowPick {
    batches: Vec<RecordBatch>,
    /// Place of each batch in `batches`, by the address of its first column.
    places: HashMap<usize, usize, FixedState>,
    /// Batch and row of each row.
    rows: Vec<(usize, usize)>,
    bytes_held: usize,
}

impl RowPick {
    /// Takes a row of a batch, which must have it. Batches are told apart by their first column: two
    /// that share it are the same one.
    pub fn push(&mut self, batch: &RecordBatch, row: usize) {
        // The batch is held, so that no other one gets this address.
        let first = batch.columns().first();
        let address = first.map_or(0, |column| std::ptr::from_ref(column.as_ref()).addr());
        let place = *self.places.entry(address).or_insert_with(|| {
            self.bytes_held += batch.get_array_memory_size();
            self.batches.push(batch.clone());
            self.batches.len() - 1
        });
        self.rows.push((place, row));
    }

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of the batches that are held.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.bytes_held
    }

    /// The rows as a batch of a base file: own columns, `__seq` and `__raw` as they were.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a batch lacks a column or has it with another
    /// type; [`Internal`](crate::error::ErrorKind::Internal) when a column would be over 2 GiB.
    pub fn base_batch(&self, plan: &TablePlan) -> Result<RecordBatch> {
        let table = |error: Error| error.field("table", &plan.version().name);
        let schema = plan.base_schema();
        let batches: Vec<ColumnsById<'_>> = self.batches.iter().map(ColumnsById::of).collect();
        let fields = schema.fields().iter();
        let columns = fields.map(|field| self.column(&batches, field));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>().map_err(table)?;
        RecordBatch::try_new(schema.clone(), columns)
            .wrap(|| table(Error::internal("pick rows: build record batch")))
    }

    /// The picked cells of one column.
    fn column(&self, batches: &[ColumnsById<'_>], field: &Field) -> Result<ArrayRef> {
        let arrays = batches.iter().map(|columns| {
            let found = columns.typed("pick rows: column of another type", field)?;
            let missing = || Error::corrupt("pick rows: a column is not in the batch");
            found.ok_or_else(|| missing().field("column", field.name()))
        });
        let arrays: Vec<&dyn Array> = arrays.collect::<Result<_>>()?;
        if arrays.is_empty() {
            return Ok(arrow_array::new_empty_array(field.data_type()));
        }
        interleave(&arrays, &self.rows)
            .wrap(|| Error::internal("pick rows").field("column", field.name()))
    }
}
