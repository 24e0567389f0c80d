//! Small files of fixed columns, written: transactions.parquet and statements.parquet.

use super::file::{TINY_ROWS, arrow_options, choose, path};
use crate::error::{Error, Result, Wrap};
use arrow_array::builder::GenericByteBuilder;
use arrow_array::types::ByteArrayType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::collections::HashMap;
use std::sync::Arc;

/// A batch is built at this many rows,
pub(super) const BATCH_ROWS: usize = 8_192;
/// or at this many bytes of variable length.
pub(super) const BATCH_BYTES: usize = 8 << 20;

const ZSTD_LEVEL: i32 = 1;

/// A file of few rows is tiny only below this: a transaction may bring megabytes of its own.
const TINY_BYTES: usize = 1 << 20;

/// No batch may hold more: Arrow's offsets are 32-bit.
pub(super) const ROW_BYTES_MAX: usize = i32::MAX as usize;

/// One column: name, type, nullable, and whether a dictionary pays.
pub(super) struct ColumnSpec(
    pub(super) &'static str,
    pub(super) DataType,
    pub(super) bool,
    pub(super) bool,
);

/// The type of instants.
pub(super) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The schema of these columns; field ids count from 1.
pub(super) fn schema_of(columns: &[ColumnSpec]) -> SchemaRef {
    let fields = columns.iter().enumerate().map(|(index, column)| {
        let id = (index + 1).to_string();
        Field::new(column.0, column.1.clone(), column.2)
            .with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id)]))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Writes batches of one schema into memory; holds the first ones back until it is clear
/// whether the file is tiny.
#[derive(Debug)]
pub(super) struct RowsFileWriter {
    schema: SchemaRef,
    dictionaries: Vec<&'static str>,
    held: Vec<RecordBatch>,
    writer: Option<ArrowWriter<Vec<u8>>>,
    rows: usize,
    bytes_held: usize,
}

impl RowsFileWriter {
    pub(super) fn new(columns: &[ColumnSpec]) -> RowsFileWriter {
        let with_dictionary = columns.iter().filter(|c| c.3);
        RowsFileWriter {
            schema: schema_of(columns),
            dictionaries: with_dictionary.map(|c| c.0).collect(),
            held: Vec::new(),
            writer: None,
            rows: 0,
            bytes_held: 0,
        }
    }

    /// Adds a batch of these columns.
    pub(super) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .wrap(|| Error::internal("build record batch"))?;
        self.rows += batch.num_rows();
        match &mut self.writer {
            Some(writer) => writer
                .write(&batch)
                .wrap(|| Error::internal("write Parquet file")),
            None => {
                self.bytes_held += batch.get_array_memory_size();
                self.held.push(batch);
                if !self.is_tiny() {
                    self.open()?;
                }
                Ok(())
            }
        }
    }

    fn is_tiny(&self) -> bool {
        self.rows < TINY_ROWS && self.bytes_held < TINY_BYTES
    }

    fn properties(&self) -> Result<WriterProperties> {
        let builder = WriterProperties::builder().set_dictionary_enabled(false);
        if self.is_tiny() {
            return Ok(builder
                .set_compression(Compression::SNAPPY)
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_offset_index_disabled(true)
                .build());
        }
        let level = ZstdLevel::try_new(ZSTD_LEVEL).wrap(|| Error::internal("choose zstd level"))?;
        let builder = builder.set_compression(Compression::ZSTD(level));
        let builder = self.dictionaries.iter().fold(builder, |builder, name| {
            builder.set_column_dictionary_enabled(path(name), true)
        });
        let numbers = self.schema.fields().iter().enumerate();
        let numbers = numbers.filter(|(_, field)| {
            *field.data_type() == DataType::Int64 || *field.data_type() == instant()
        });
        let mut builder = builder;
        for (index, field) in numbers {
            let may_repeat = self.dictionaries.contains(&field.name().as_str());
            builder = choose(&self.held, index, may_repeat, ZSTD_LEVEL)?.set(builder, field.name());
        }
        // Nobody looks for the least and the greatest of them, and to find them costs.
        let bytes = self.schema.fields().iter();
        let bytes = bytes.filter(|field| *field.data_type() == DataType::Binary);
        let builder = bytes.fold(builder, |builder, field| {
            builder.set_column_statistics_enabled(path(field.name()), EnabledStatistics::None)
        });
        Ok(builder.build())
    }

    fn open(&mut self) -> Result<()> {
        let properties = self.properties()?;
        let options = arrow_options(&self.schema, properties);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), self.schema.clone(), options);
        let mut writer = writer.wrap(|| Error::internal("open Parquet file"))?;
        for batch in std::mem::take(&mut self.held) {
            writer
                .write(&batch)
                .wrap(|| Error::internal("write Parquet file"))?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<Bytes> {
        if self.writer.is_none() {
            self.open()?;
        }
        let writer = self.writer.take();
        let writer = writer.ok_or_else(|| Error::internal("end Parquet file: no writer"))?;
        let bytes = writer.into_inner();
        Ok(Bytes::from(
            bytes.wrap(|| Error::internal("end Parquet file"))?,
        ))
    }
}

/// A column of bytes or text, given value by value; room is made for all of them at once.
pub(super) fn bytes_array<'a, T>(
    values: impl Iterator<Item = Option<&'a T::Native>> + Clone,
) -> ArrayRef
where
    T: ByteArrayType,
    T::Native: 'a,
{
    let (mut rows, mut bytes) = (0, 0);
    for value in values.clone() {
        rows += 1;
        bytes += value.map_or(0, |v| AsRef::<[u8]>::as_ref(v).len());
    }
    let mut builder = GenericByteBuilder::<T>::with_capacity(rows, bytes);
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}
