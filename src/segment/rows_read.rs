//! Small files of fixed columns, read row by row. Columns are looked up once a batch.

use super::file::{ReadOptions, TableBatches, open_metadata, read_batches};
use super::rows_file::{ColumnSpec, schema_of};
use crate::error::{Error, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use bytes::Bytes;
use std::fmt;

/// Rows of one batch.
const BATCH_ROWS: usize = 1_024;

/// The rows of a file one after the other; nothing more after the first error.
pub(super) struct RowsReader<C> {
    batches: Option<TableBatches>,
    /// Columns, rows, and the next row of the batch at hand.
    batch: Option<(C, usize, usize)>,
    columns_of: fn(&Columns<'_>) -> Result<C>,
}

impl<C> fmt::Debug for RowsReader<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsReader").finish_non_exhaustive()
    }
}

impl<C> RowsReader<C> {
    /// Opens a file, in which all of these columns must be, to read those that `wanted` says.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no such file.
    pub(super) fn open(
        bytes: Bytes,
        columns: &[ColumnSpec],
        wanted: impl Fn(&str) -> bool,
        columns_of: fn(&Columns<'_>) -> Result<C>,
    ) -> Result<RowsReader<C>> {
        let metadata = open_metadata(&bytes)?;
        for wanted in schema_of(columns).fields() {
            let found = metadata.schema().field_with_name(wanted.name());
            if !found.is_ok_and(|f| f.data_type() == wanted.data_type()) {
                return Err(
                    Error::corrupt("open Parquet file: column missing or of another type")
                        .field("column", wanted.name()),
                );
            }
        }
        let ids = (1..).zip(columns).filter(|(_, column)| wanted(column.0));
        let options = ReadOptions {
            batch_rows: BATCH_ROWS,
            fields: Some(ids.map(|(id, _)| id).collect()),
            ..ReadOptions::default()
        };
        Ok(RowsReader {
            batches: Some(read_batches(bytes, &metadata, &options)?),
            batch: None,
            columns_of,
        })
    }

    /// The next row.
    pub(super) fn next<T>(&mut self, read: impl Fn(&C, usize) -> Result<T>) -> Option<Result<T>> {
        loop {
            if let Some((columns, rows, next)) = &mut self.batch
                && *next < *rows
            {
                let value = read(columns, *next);
                *next += 1;
                if value.is_err() {
                    self.end();
                }
                return Some(value);
            }
            let batch = self.batches.as_mut()?.next()?;
            let columns = batch.and_then(|batch| {
                let columns = (self.columns_of)(&Columns(&batch))?;
                Ok((columns, batch.num_rows(), 0))
            });
            match columns {
                Ok(batch) => self.batch = Some(batch),
                Err(error) => {
                    self.end();
                    return Some(Err(error));
                }
            }
        }
    }

    fn end(&mut self) {
        self.batches = None;
        self.batch = None;
    }
}

/// The columns of a batch by name.
pub(super) struct Columns<'a>(&'a RecordBatch);

impl Columns<'_> {
    fn column(&self, name: &'static str) -> Result<&ArrayRef> {
        self.0.column_by_name(name).ok_or_else(|| no_such(name))
    }

    /// Integers or instants.
    pub(super) fn ints(&self, name: &'static str) -> Result<Ints> {
        let array = self.column(name)?;
        let ints = array.as_primitive_opt::<Int64Type>();
        let instants = array.as_primitive_opt::<TimestampMicrosecondType>();
        let values = match (ints, instants) {
            (Some(array), _) => array.values().clone(),
            (_, Some(array)) => array.values().clone(),
            _ => return Err(no_such(name)),
        };
        Ok(Ints {
            name,
            values,
            nulls: array.nulls().cloned(),
        })
    }

    /// Text.
    pub(super) fn texts(&self, name: &'static str) -> Result<Texts> {
        let texts = self.column(name)?.as_string_opt::<i32>();
        texts.cloned().map(Texts).ok_or_else(|| no_such(name))
    }

    /// Bytes of variable length.
    pub(super) fn bytes(&self, name: &'static str) -> Result<ByteStrings> {
        let bytes = self.column(name)?.as_binary_opt::<i32>();
        bytes.cloned().map(ByteStrings).ok_or_else(|| no_such(name))
    }

    /// Bytes of fixed length.
    pub(super) fn fixed_bytes(&self, name: &'static str) -> Result<FixedBytes> {
        let bytes = self.column(name)?.as_fixed_size_binary_opt();
        bytes.cloned().map(FixedBytes).ok_or_else(|| no_such(name))
    }
}

fn no_such(name: &'static str) -> Error {
    Error::corrupt("read column: not in the file, or of another type").field("column", name)
}

/// Integers or instants.
pub(super) struct Ints {
    name: &'static str,
    values: ScalarBuffer<i64>,
    nulls: Option<NullBuffer>,
}

impl Ints {
    /// That of a row.
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        let value = self.values.get(row).copied();
        value.filter(|_| self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)))
    }

    /// One that must be there.
    pub(super) fn required(&self, row: usize) -> Result<i64> {
        self.get(row)
            .ok_or_else(|| Error::corrupt("read column: NULL").field("column", self.name))
    }

    /// One of fewer bits.
    pub(super) fn narrow<T: TryFrom<i64>>(&self, row: usize) -> Result<Option<T>> {
        let value = self.get(row).map(T::try_from).transpose();
        value.map_err(|_| Error::corrupt("read column: out of range").field("column", self.name))
    }
}

/// Text.
pub(super) struct Texts(StringArray);

impl Texts {
    /// That of a row.
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        (row < self.0.len() && self.0.is_valid(row)).then(|| self.0.value(row))
    }
}

/// Bytes of variable length.
pub(super) struct ByteStrings(BinaryArray);

impl ByteStrings {
    /// Those of a row.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        (row < self.0.len() && self.0.is_valid(row)).then(|| self.0.value(row))
    }
}

/// Bytes of fixed length.
pub(super) struct FixedBytes(FixedSizeBinaryArray);

impl FixedBytes {
    /// Those of a row.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        (row < self.0.len() && self.0.is_valid(row)).then(|| self.0.value(row))
    }
}
