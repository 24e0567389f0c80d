//! Writing a file.

use super::properties::{key_field_ids, writer_properties};
use super::{FileKind, FileOptions, FileStats, RowOrder, TINY_ROWS, TableFile};
use crate::error::{Error, Result, Wrap};
use crate::segment::{BatchView, KeyCodec, TablePlan};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

/// The Arrow schema is written beside Parquet's own only where this does not say the same: of the types
/// that files have, for vectors alone. It is half of the footer, and of a tiny file the footer is most.
pub(in crate::segment) fn arrow_options(
    schema: &Schema,
    properties: WriterProperties,
) -> ArrowWriterOptions {
    let mut fields = schema.fields().iter();
    let has_vectors = fields.any(|f| matches!(f.data_type(), DataType::FixedSizeList(..)));
    ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(!has_vectors)
}

/// Writes one Parquet file of a table into memory.
///
/// The first rows are held back until it is clear whether the file is tiny.
#[derive(Debug)]
pub struct TableFileWriter {
    plan: Arc<TablePlan>,
    options: FileOptions,
    key: KeyCodec,
    key_ids: Vec<i32>,
    held: Vec<RecordBatch>,
    writer: Option<ArrowWriter<Vec<u8>>>,
    rows: u64,
    bytes_held: usize,
    key_min: Vec<u8>,
    key_max: Vec<u8>,
}

impl TableFileWriter {
    /// A file of this plan's table version.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when an option is out of range.
    pub fn new(plan: Arc<TablePlan>, options: FileOptions) -> Result<TableFileWriter> {
        let level = options.zstd_level;
        if options.row_group_rows_max == 0
            || options.row_group_bytes_max == 0
            || !(1..=22).contains(&level)
        {
            return Err(Error::config("write table file: an option is out of range")
                .field("row_group_rows_max", options.row_group_rows_max)
                .field("row_group_bytes_max", options.row_group_bytes_max)
                .field("zstd_level", level));
        }
        Ok(TableFileWriter {
            key: KeyCodec::new(plan.clone()),
            key_ids: key_field_ids(&plan),
            plan,
            options,
            held: Vec::new(),
            writer: None,
            rows: 0,
            bytes_held: 0,
            key_min: Vec::new(),
            key_max: Vec::new(),
        })
    }

    /// Adds a batch; for [`RowOrder::Sorted`] its rows follow those of the last one in key
    /// order.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the batch has another schema, comes
    /// out of order, or has a raw key cell in a file that declares its order.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema_ref() != self.schema() {
            return Err(self.error("write table file: batch of another schema"));
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.note_keys(batch)?;
        self.rows += batch.num_rows() as u64;
        if let Some(writer) = &mut self.writer {
            return writer
                .write(batch)
                .wrap(|| Error::internal("write table file"));
        }
        self.bytes_held += batch.get_array_memory_size();
        self.held.push(batch.clone());
        if self.rows >= TINY_ROWS as u64 || self.bytes_held >= self.options.row_group_bytes_max {
            self.open()?;
        }
        Ok(())
    }

    fn schema(&self) -> &SchemaRef {
        match self.options.kind {
            FileKind::Change => self.plan.change_schema(),
            FileKind::Base => self.plan.base_schema(),
        }
    }

    fn error(&self, what: &'static str) -> Error {
        Error::internal(what)
            .field("table", &self.plan.version().name)
            .field("rows", self.rows)
    }

    /// Widens the key range; of a sorted file only the first and the last row can do that.
    fn note_keys(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = BatchView::new(&self.plan, batch)?;
        if self.options.order == RowOrder::Sorted && self.options.key_typed {
            self.check_key_typed(&view)?;
        }
        let mut key = Vec::new();
        let last = view.rows() - 1;
        let step = match self.options.order {
            RowOrder::Sorted => last.max(1),
            RowOrder::Runs | RowOrder::Unsorted => 1,
        };
        for row in (0..view.rows()).step_by(step) {
            key.clear();
            self.key.encode_batch(&view, row, &mut key)?;
            let first = self.rows == 0 && row == 0;
            if self.options.order == RowOrder::Sorted && key < self.key_max {
                return Err(self.error("write table file: rows are out of order"));
            }
            if first || key < self.key_min {
                self.key_min.clone_from(&key);
            }
            if first || key > self.key_max {
                self.key_max.clone_from(&key);
            }
        }
        Ok(())
    }

    fn check_key_typed(&self, view: &BatchView<'_>) -> Result<()> {
        for row in 0..view.rows() {
            let raw = view.raw(row)?;
            for id in &self.key_ids {
                if raw.find(*id)?.is_some() && !self.key.is_typed(view, row)? {
                    return Err(self.error("write table file: a key cell is not typed"));
                }
            }
        }
        Ok(())
    }

    /// Chooses the properties by the rows held back and writes them.
    fn open(&mut self) -> Result<&mut ArrowWriter<Vec<u8>>> {
        if self.writer.is_none() {
            let properties = writer_properties(&self.plan, &self.options, &self.held)?;
            let schema = self.schema().clone();
            let options = arrow_options(&schema, properties);
            let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options)
                .wrap(|| self.error("open table file"))?;
            for batch in std::mem::take(&mut self.held) {
                writer
                    .write(&batch)
                    .wrap(|| self.error("write table file"))?;
            }
            self.bytes_held = 0;
            self.writer = Some(writer);
        }
        let writer = self.writer.as_mut();
        writer.ok_or_else(|| Error::internal("open table file: no writer"))
    }

    /// Starts a new row group; with [`RowOrder::Runs`], call it between runs.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the row group cannot be written.
    pub fn end_row_group(&mut self) -> Result<()> {
        let writer = self.open()?;
        writer
            .flush()
            .wrap(|| Error::internal("write table file: end row group"))
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of the file so far, about.
    #[must_use]
    pub fn bytes_estimate(&self) -> usize {
        let written = self.writer.as_ref();
        self.bytes_held + written.map_or(0, |w| w.bytes_written() + w.in_progress_size())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the file cannot be written.
    pub fn finish(mut self) -> Result<TableFile> {
        self.open()?;
        let writer = self.writer.take();
        let writer = writer.ok_or_else(|| self.error("end table file: no writer"))?;
        let bytes = writer.into_inner().wrap(|| self.error("end table file"))?;
        Ok(TableFile {
            bytes: Bytes::from(bytes),
            stats: FileStats {
                rows: self.rows,
                key_min: self.key_min,
                key_max: self.key_max,
                order: self.options.order,
            },
        })
    }
}
