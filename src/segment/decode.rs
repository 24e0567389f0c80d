//! Row images -> Arrow record batches.
//!
//! Every cell is decoded straight into its column's builder. A cell that is not exact goes to
//! `__raw`, too; so does a null bitmap with unusual filler bits.

use super::column::{ColumnBuilder, has_room};
use super::raw_cells::{ABSENT, BITMAP, RawCells};
use super::{Scratch, TablePlan};
use crate::change::{Op, filler_bits};
use crate::error::{Error, Result, Wrap};
use crate::position::Seq;
use arrow_array::builder::{
    BinaryBuilder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use std::ops::Range;
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

/// The own columns and `__raw`, which both kinds of files have.
#[derive(Debug)]
struct RowBuilder {
    plan: Arc<TablePlan>,
    columns: Vec<ColumnBuilder>,
    raw: BinaryBuilder,
    cells: Vec<Option<Range<u32>>>,
    raw_cells: RawCells,
    scratch: Scratch,
    rows: usize,
    bytes: usize,
}

impl RowBuilder {
    fn new(plan: Arc<TablePlan>, rows: usize) -> RowBuilder {
        let columns = plan.version().columns.iter();
        RowBuilder {
            columns: columns
                .map(|c| ColumnBuilder::new(c.stored, rows))
                .collect(),
            raw: ColumnBuilder::raw(rows),
            cells: Vec::with_capacity(plan.codecs().len()),
            raw_cells: RawCells::default(),
            scratch: Scratch::default(),
            rows: 0,
            bytes: 0,
            plan,
        }
    }

    fn append(&mut self, image: &[u8]) -> Result<()> {
        let version = self.plan.version();
        let context = |error: Error| {
            error
                .field("table", &version.name)
                .field("version", version.version)
        };
        let layout = self.plan.layout();
        let absent = layout
            .split_row(image, &mut self.cells)
            .map_err(context)?
            .absent;
        let length = image.len() - absent.len();
        let columns = version.columns.iter().zip(self.plan.codecs());
        let cells = self.cells.iter().zip(&mut self.columns);
        for ((column, codec), (cell, builder)) in columns.zip(cells) {
            let Some(range) = cell else {
                builder.append_null();
                continue;
            };
            let cell = image
                .get(range.start as usize..range.end as usize)
                .unwrap_or_default();
            let decoded = codec.decode(cell, &mut self.scratch);
            let appended = builder.append(decoded.value);
            if !(decoded.exact && appended) {
                self.raw_cells.push(column.field_id, range.clone());
            }
        }
        let bitmap = layout.bitmap_bytes();
        let filler = filler_mask(version.columns.len());
        let last = image.get(bitmap.wrapping_sub(1)).copied().unwrap_or(0);
        let expected = filler_bits(version.flavor, version.columns.len()).unwrap_or(0);
        if last & filler != expected {
            self.raw_cells.push(BITMAP, 0..bitmap as u32);
        }
        if !absent.is_empty() {
            self.raw_cells
                .push(ABSENT, length as u32..image.len() as u32);
        }
        let records = self.raw_cells.take(image);
        if !has_room(
            self.raw.values_slice().len(),
            records.map_or(0, <[u8]>::len),
        ) {
            return Err(Error::internal("decode row image: the batch is too large")
                .field("table", &version.name)
                .field("rows", self.rows));
        }
        self.raw.append_option(records);
        self.rows += 1;
        self.bytes += image.len();
        Ok(())
    }

    fn finish(&mut self) -> (Vec<ArrayRef>, ArrayRef) {
        self.rows = 0;
        self.bytes = 0;
        let own = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        (own, Arc::new(self.raw.finish()))
    }
}

/// The bits of the last bitmap byte that belong to no column.
fn filler_mask(columns: usize) -> u8 {
    match columns % 8 {
        0 => 0,
        used => 0xff << used,
    }
}

fn batch_of(schema: &arrow_schema::SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema.clone(), columns).wrap(|| Error::internal("build record batch"))
}

/// Builds record batches of a change file; reusable after each [`finish`](Self::finish).
#[derive(Debug)]
pub struct ChangeBuilder {
    rows: RowBuilder,
    op: StringBuilder,
    seq: Int64Builder,
    row: Int64Builder,
    event: Int32Builder,
    flags: Int16Builder,
    commit_time: TimestampMicrosecondBuilder,
}

impl ChangeBuilder {
    /// A builder with room for `rows` rows.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>, rows: usize) -> ChangeBuilder {
        ChangeBuilder {
            rows: RowBuilder::new(plan, rows),
            op: StringBuilder::with_capacity(rows, 8 * rows),
            seq: Int64Builder::with_capacity(rows),
            row: Int64Builder::with_capacity(rows),
            event: Int32Builder::with_capacity(rows),
            flags: Int16Builder::with_capacity(rows),
            commit_time: TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"),
        }
    }

    /// Appends one whole row image.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when `image` is not exactly one full image;
    /// [`Internal`](crate::error::ErrorKind::Internal) when a batch of over 2 GiB would form.
    /// The builder must then be dropped.
    pub fn append(&mut self, image: &[u8], row: &ChangeRow) -> Result<()> {
        self.rows.append(image)?;
        self.op.append_value(row.op.name());
        self.seq.append_value(row.seq.0);
        self.row.append_value(row.row);
        self.event.append_value(row.event);
        self.flags.append_value(row.flags as i16);
        self.commit_time.append_value(row.commit_time_us);
        Ok(())
    }

    /// Rows since the last batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.rows
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of row images since the last batch: end a batch at 8,192 rows or 8 MiB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.bytes
    }

    /// The batch of all rows since the last one.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when Arrow refuses the batch.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let (mut columns, raw) = self.rows.finish();
        columns.push(Arc::new(self.op.finish()));
        columns.push(Arc::new(self.seq.finish()));
        columns.push(Arc::new(self.row.finish()));
        columns.push(Arc::new(self.event.finish()));
        columns.push(Arc::new(self.flags.finish()));
        columns.push(Arc::new(self.commit_time.finish()));
        columns.push(raw);
        batch_of(self.rows.plan.change_schema(), columns)
    }
}

/// Builds record batches of a base file; reusable after each [`finish`](Self::finish).
#[derive(Debug)]
pub struct BaseBuilder {
    rows: RowBuilder,
    seq: Int64Builder,
}

impl BaseBuilder {
    /// A builder with room for `rows` rows.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>, rows: usize) -> BaseBuilder {
        BaseBuilder {
            rows: RowBuilder::new(plan, rows),
            seq: Int64Builder::with_capacity(rows),
        }
    }

    /// Appends one whole row image, last changed at `seq`.
    ///
    /// # Errors
    /// As [`ChangeBuilder::append`].
    pub fn append(&mut self, image: &[u8], seq: Seq) -> Result<()> {
        self.rows.append(image)?;
        self.seq.append_value(seq.0);
        Ok(())
    }

    /// Rows since the last batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.rows
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of row images since the last batch.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.bytes
    }

    /// The batch of all rows since the last one.
    ///
    /// # Errors
    /// As [`ChangeBuilder::finish`].
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let (mut columns, raw) = self.rows.finish();
        columns.push(Arc::new(self.seq.finish()));
        columns.push(raw);
        batch_of(self.rows.plan.base_schema(), columns)
    }
}
