//! Row images -> Arrow record batches.
//!
//! Images come in blocks that fit the cache, and a block is decoded column by column: what a column
//! is, is decided once a block, not once a cell. A cell that is not exact goes to `__raw`, too; so
//! does a null bitmap with unusual filler bits.

use super::cell::Integers;
use super::column::{Cells, ColumnBuilder, append_all, has_room};
use super::raw_cells::{ABSENT, BITMAP, RawCell, RawCells};
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
    integers: Integers,
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
            integers: Integers::default(),
            rows: 0,
            bytes: 0,
            plan,
        }
    }

    /// Appends whole images, a block of them.
    fn append(&mut self, images: &[&[u8]]) -> Result<()> {
        let version = self.plan.version();
        let context = |error: Error| {
            error
                .field("table", &version.name)
                .field("version", version.version)
        };
        let layout = self.plan.layout();
        self.cells.clear();
        self.raw_cells.clear();
        for (row, image) in images.iter().enumerate() {
            let parts = layout.split_row_onto(image, &mut self.cells);
            let parts = parts.map_err(context)?;
            if !parts.absent.is_empty() {
                self.raw_cells.push(RawCell {
                    row,
                    field_id: ABSENT,
                    range: parts.image.len() as u32..image.len() as u32,
                });
            }
            self.bytes += image.len();
        }
        let columns = version.columns.iter().zip(self.plan.codecs());
        for (index, ((column, codec), builder)) in columns.zip(&mut self.columns).enumerate() {
            let cells = Cells {
                images,
                ranges: self.cells.get(index..).unwrap_or_default(),
                stride: version.columns.len(),
            };
            let room = (&mut self.scratch, &mut self.integers);
            builder.append_cells(codec, &cells, room, |row, range| {
                self.raw_cells.push(RawCell {
                    row,
                    field_id: column.field_id,
                    range,
                });
            });
        }
        self.append_raw(images)
    }

    /// What the typed columns do not hold.
    fn append_raw(&mut self, images: &[&[u8]]) -> Result<()> {
        let version = self.plan.version();
        let bitmap = self.plan.layout().bitmap_bytes();
        let filler = filler_mask(version.columns.len());
        let expected = filler_bits(version.flavor, version.columns.len()).unwrap_or(0);
        for (row, image) in images.iter().enumerate() {
            let last = image.get(bitmap.wrapping_sub(1)).copied().unwrap_or(0);
            if last & filler != expected {
                self.raw_cells.push(RawCell {
                    row,
                    field_id: BITMAP,
                    range: 0..bitmap as u32,
                });
            }
        }
        self.rows += images.len();
        if self.raw_cells.is_empty() {
            self.raw.append_nulls(images.len());
            return Ok(());
        }
        self.raw_cells.sort();
        for (row, image) in images.iter().enumerate() {
            let records = self.raw_cells.records(row, image);
            let length = records.map_or(0, <[u8]>::len);
            if !has_room(self.raw.values_slice().len(), length) {
                return Err(Error::internal("decode row image: the batch is too large")
                    .field("table", &version.name)
                    .field("rows", self.rows));
            }
            self.raw.append_option(records);
        }
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
    /// As [`append_block`](Self::append_block).
    pub fn append(&mut self, image: &[u8], row: &ChangeRow) -> Result<()> {
        self.append_block(&[image], std::slice::from_ref(row))
    }

    /// Appends whole row images, each with its row: [`BLOCK_ROWS`](super::BLOCK_ROWS) of them at a
    /// time are fastest.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when an image is not exactly one full image;
    /// [`Internal`](crate::error::ErrorKind::Internal) when a batch of over 2 GiB would form.
    /// The builder must then be dropped.
    pub fn append_block(&mut self, images: &[&[u8]], rows: &[ChangeRow]) -> Result<()> {
        if images.len() != rows.len() {
            return Err(Error::internal("append row images: not as many rows")
                .field("images", images.len())
                .field("rows", rows.len()));
        }
        self.rows.append(images)?;
        match rows.first() {
            Some(first) if rows.iter().all(|row| row.op == first.op) => {
                self.op.append_value_n(first.op.name(), rows.len());
            }
            _ => rows
                .iter()
                .for_each(|row| self.op.append_value(row.op.name())),
        }
        append_all(&mut self.seq, rows, |row| row.seq.0);
        append_all(&mut self.row, rows, |row| row.row);
        append_all(&mut self.event, rows, |row| row.event);
        append_all(&mut self.flags, rows, |row| row.flags as i16);
        append_all(&mut self.commit_time, rows, |row| row.commit_time_us);
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
        self.append_block(&[image], &[seq])
    }

    /// Appends whole row images, each with where it was changed last: [`BLOCK_ROWS`](super::BLOCK_ROWS)
    /// of them at a time are fastest.
    ///
    /// # Errors
    /// As [`ChangeBuilder::append_block`].
    pub fn append_block(&mut self, images: &[&[u8]], seqs: &[Seq]) -> Result<()> {
        if images.len() != seqs.len() {
            return Err(
                Error::internal("append row images: not as many places in the log")
                    .field("images", images.len())
                    .field("seqs", seqs.len()),
            );
        }
        self.rows.append(images)?;
        append_all(&mut self.seq, seqs, |seq| seq.0);
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
