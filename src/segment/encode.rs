//! Arrow record batches -> row images.

use super::column::ColumnValues;
use super::plan::field_id;
use super::raw_cells::{ABSENT, BITMAP, RawCellsReader};
use super::{ChangeRow, Scratch, TablePlan, Value, system};
use crate::change::{ImageWriter, Op, is_set};
use crate::error::{Error, Result};
use crate::position::Seq;
use arrow_array::{Array, RecordBatch};
use arrow_schema::Field;
use std::collections::HashMap;
use std::sync::Arc;

/// The columns of a record batch by their field ids.
pub(super) struct ColumnsById<'a>(HashMap<i32, &'a dyn Array>);

impl<'a> ColumnsById<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> ColumnsById<'a> {
        let fields = batch.schema_ref().fields().iter();
        let columns = fields.zip(batch.columns());
        let by_id = columns.filter_map(|(field, array)| Some((field_id(field)?, array.as_ref())));
        ColumnsById(by_id.collect())
    }

    /// The column with the id of a field; `None` where the batch has none.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt), said as `what`, when it has another type.
    pub(super) fn typed(&self, what: &'static str, field: &Field) -> Result<Option<&'a dyn Array>> {
        let found = field_id(field).and_then(|id| self.0.get(&id).copied());
        match found {
            Some(array) if array.data_type() != field.data_type() => Err(Error::corrupt(what)
                .field("column", field.name())
                .field("wanted", field.data_type())
                .field("found", array.data_type())),
            found => Ok(found),
        }
    }
}

/// Typed access to a record batch of a change or base file, by field id.
#[derive(Debug)]
pub struct BatchView<'a> {
    rows: usize,
    own: Vec<Option<ColumnValues<'a>>>,
    /// By position in [`system::NAMES`].
    system: [Option<ColumnValues<'a>>; system::NAMES.len()],
}

impl<'a> BatchView<'a> {
    /// A view of a batch that was read with this plan (whole or projected).
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a column has another type than the
    /// plan says.
    pub fn new(plan: &TablePlan, batch: &'a RecordBatch) -> Result<BatchView<'a>> {
        let columns = ColumnsById::of(batch);
        let mut own = Vec::with_capacity(plan.codecs().len());
        let mut system = [None; system::NAMES.len()];
        for (index, field) in plan.change_schema().fields().iter().enumerate() {
            let found = columns.typed("view record batch: column of another type", field);
            let found = found.map_err(|error| error.field("table", &plan.version().name))?;
            let values = found.and_then(ColumnValues::of);
            if index < plan.codecs().len() {
                own.push(values);
            } else if let Some(place) = system.get_mut(index - plan.codecs().len()) {
                *place = values;
            }
        }
        Ok(BatchView {
            rows: batch.num_rows(),
            own,
            system,
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The typed value of a cell, by index of its column in the table version; whether it is
    /// exact, `__raw` alone says.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the column is not in the batch.
    pub fn value<'s>(
        &self,
        column: usize,
        row: usize,
        scratch: &'s mut Scratch,
    ) -> Result<Value<'s>>
    where
        'a: 's,
    {
        let values = self.own.get(column).and_then(Option::as_ref);
        let values = values.ok_or_else(|| {
            Error::corrupt("read cell: its column is not in the batch").field("column", column)
        })?;
        Ok(values.value(row, scratch))
    }

    fn system_values(&self, id: i32) -> Option<&ColumnValues<'a>> {
        let index = usize::try_from(id - system::OP_ID).ok()?;
        self.system.get(index)?.as_ref()
    }

    fn system(&self, id: i32, name: &'static str, row: usize) -> Result<Value<'a>> {
        let absent = || {
            Error::corrupt("read system column: no value")
                .field("column", name)
                .field("row", row)
        };
        let values = self.system_values(id).ok_or_else(absent)?;
        let value = match values {
            _ if row >= self.rows => Value::Null,
            ColumnValues::Text(array) => Value::Text(array.value(row)),
            other => match other.value(row, &mut Scratch::default()) {
                Value::Int(value) => Value::Int(value),
                _ => Value::Null,
            },
        };
        match value {
            Value::Null => Err(absent()),
            value => Ok(value),
        }
    }

    fn int(&self, id: i32, name: &'static str, row: usize) -> Result<i64> {
        match self.system(id, name, row)? {
            Value::Int(value) => Ok(value),
            _ => Err(Error::corrupt("read system column: no integer").field("column", name)),
        }
    }

    /// `__seq` of a row.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the column or row is absent or NULL.
    pub fn seq(&self, row: usize) -> Result<Seq> {
        Ok(Seq(self.int(system::SEQ_ID, system::SEQ, row)?))
    }

    /// The system columns of a row of a change file.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when one is absent, NULL or impossible.
    pub fn change(&self, row: usize) -> Result<ChangeRow> {
        let op = match self.system(system::OP_ID, system::OP, row)? {
            Value::Text(name) => Op::parse(name),
            _ => None,
        };
        let int = |id, name| self.int(id, name, row);
        Ok(ChangeRow {
            op: op
                .ok_or_else(|| Error::corrupt("read __op: unknown operation").field("row", row))?,
            seq: self.seq(row)?,
            row: int(system::ROW_ID, system::ROW)?,
            event: int(system::EVENT_ID, system::EVENT)? as i32,
            flags: int(system::FLAGS_ID, system::FLAGS)? as u16,
            commit_time_us: int(system::COMMIT_TIME_ID, system::COMMIT_TIME)?,
        })
    }

    /// The records of `__raw` of a row.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the column is not in the batch: exact
    /// cells could not be told from others.
    pub(super) fn raw(&self, row: usize) -> Result<RawCellsReader<'a>> {
        match self.system_values(system::RAW_ID) {
            Some(ColumnValues::Bytes(array)) => {
                let some = row < self.rows && array.is_valid(row);
                Ok(RawCellsReader::new(some.then(|| array.value(row))))
            }
            _ => Err(Error::corrupt("read __raw: it is not in the batch").field("row", row)),
        }
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
        let version = self.plan.version();
        let context = |error: Error| {
            error
                .field("table", &version.name)
                .field("version", version.version)
                .field("row", row)
        };
        self.write(view, row, out).map_err(context)
    }

    /// Appends one cell of a row as it stands in its image; `false` where it is NULL. Needs the
    /// column and `__raw` in the batch.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn cell(
        &self,
        view: &BatchView<'_>,
        row: usize,
        column: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let own = self.plan.version().columns.get(column);
        let (Some(own), Some(codec)) = (own, self.plan.codecs().get(column)) else {
            return Err(Error::internal("encode cell: no such column").field("column", column));
        };
        let raw = view.raw(row)?;
        if let Some(cell) = raw.find(own.field_id)? {
            out.extend_from_slice(cell);
            return Ok(true);
        }
        if raw
            .find(ABSENT)?
            .is_some_and(|absent| is_set(absent, column))
        {
            return Err(Error::gap("read cell: the source did not log it")
                .field("table", &self.plan.version().name)
                .field("column", &own.name)
                .hint("restore to a moment after the next base"));
        }
        match view.value(column, row, &mut Scratch::default())? {
            Value::Null => Ok(false),
            value => codec.encode(value, out).map(|()| true),
        }
    }

    fn write(&self, view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if row >= view.rows() {
            return Err(Error::internal("encode row image: no such row"));
        }
        let version = self.plan.version();
        let raw = view.raw(row)?;
        let mut raw_left = raw.count()?;
        let mut scratch = Scratch::default();
        let start = out.len();
        let mut image = ImageWriter::begin(version.flavor, version.columns.len(), out);
        let columns = version.columns.iter().zip(self.plan.codecs());
        for (index, (column, codec)) in columns.enumerate() {
            if raw_left > 0
                && let Some(cell) = raw.find(column.field_id)?
            {
                raw_left -= 1;
                image.cell().extend_from_slice(cell);
                continue;
            }
            match view.value(index, row, &mut scratch)? {
                Value::Null => image.null(),
                value => codec
                    .encode(value, image.cell())
                    .map_err(|error| error.field("column", &column.name))?,
            }
        }
        image.finish()?;
        if let Some(bitmap) = raw.find(BITMAP)? {
            raw_left = raw_left.saturating_sub(1);
            let place = out.get_mut(start..start + self.plan.layout().bitmap_bytes());
            match place.filter(|place| place.len() == bitmap.len()) {
                Some(place) => place.copy_from_slice(bitmap),
                None => return Err(Error::corrupt("read __raw: null bitmap of another size")),
            }
        }
        if let Some(absent) = raw.find(ABSENT)? {
            raw_left = raw_left.saturating_sub(1);
            out.extend_from_slice(absent);
            let row = out.get(start..).unwrap_or_default();
            self.plan.layout().split_row(row, &mut Vec::new())?;
        }
        if raw_left > 0 {
            return Err(
                Error::corrupt("read __raw: cells of unknown columns").field("cells", raw_left)
            );
        }
        Ok(())
    }
}
