//! Row values for people and programs: JSON, from the same Arrow columns that files have.

use crate::change::{Op, is_set};
use crate::error::{Error, Result, Wrap};
use crate::position::Seq;
use crate::segment::{ChangeBuilder, ChangeRow, TablePlan, system};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use chrono::SecondsFormat;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Renders row images of one table version as JSON objects: column name to value. A cell that
/// its typed column does not hold exactly shows as `{"raw": "0x..."}`, one that the source did not
/// log as `{"absent": true}`.
///
/// # Errors
/// `Corrupt` when an image is not of this version.
pub fn images_to_json(plan: &Arc<TablePlan>, images: &[&[u8]]) -> Result<Vec<Map<String, Value>>> {
    let mut builder = ChangeBuilder::new(Arc::clone(plan), images.len());
    for image in images {
        let row = ChangeRow {
            op: Op::Insert,
            seq: Seq(1),
            row: 0,
            event: 0,
            flags: 0,
            commit_time_us: 0,
        };
        builder.append(image, &row)?;
    }
    let batch = builder.finish()?;
    (0..batch.num_rows())
        .map(|row| row_to_json(plan, &batch, row))
        .collect()
}

fn row_to_json(plan: &TablePlan, batch: &RecordBatch, row: usize) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    let raw = batch
        .column_by_name(system::RAW)
        .map(|column| raw_cells(column.as_ref(), row))
        .unwrap_or_default();
    for (index, column) in plan.version().columns.iter().enumerate() {
        let exact = raw.iter().find(|(field, _)| *field == column.field_id);
        let absent = raw.iter().find(|(field, _)| *field == system::ABSENT_ID);
        let value = match exact {
            None if absent.is_some_and(|(_, bitmap)| is_set(bitmap, index)) => {
                Value::Object(Map::from_iter([("absent".to_owned(), Value::Bool(true))]))
            }
            Some((_, bytes)) => Value::Object(Map::from_iter([(
                "raw".to_owned(),
                Value::String(hex0x(bytes)),
            )])),
            None => value(batch.column(index).as_ref(), row)?,
        };
        object.insert(column.name.clone(), value);
    }
    Ok(object)
}

/// The value of one Arrow cell: numbers and text as JSON has them, bytes as hex, everything else
/// as its text.
///
/// # Errors
/// `Internal` when Arrow cannot show the type.
pub fn value(array: &dyn Array, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Timestamp(_, zone) => {
            let at = array.as_primitive::<TimestampMicrosecondType>().value(row);
            match chrono::DateTime::from_timestamp_micros(at) {
                Some(time) if zone.is_some() => {
                    time.to_rfc3339_opts(SecondsFormat::Micros, true).into()
                }
                Some(time) => time
                    .naive_utc()
                    .format("%Y-%m-%d %H:%M:%S%.6f")
                    .to_string()
                    .into(),
                None => at.into(),
            }
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Binary => hex0x(array.as_binary::<i32>().value(row)).into(),
        DataType::FixedSizeBinary(_) => hex0x(array.as_fixed_size_binary().value(row)).into(),
        _ => {
            let failed = || Error::internal("show value").field("type", array.data_type());
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array, &options).wrap(failed)?;
            formatter.value(row).to_string().into()
        }
    })
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// The records of a `__raw` cell: field id and cell bytes.
fn raw_cells(array: &dyn Array, row: usize) -> Vec<(i32, Vec<u8>)> {
    let Some(array) = array.as_binary_opt::<i32>().filter(|a| a.is_valid(row)) else {
        return Vec::new();
    };
    let (mut rest, mut cells) = (array.value(row), Vec::new());
    while let Some(field) = uvarint(&mut rest) {
        let Some(length) = uvarint(&mut rest) else {
            break;
        };
        let Some((cell, after)) = rest.split_at_checked(length as usize) else {
            break;
        };
        cells.push((field as i32, cell.to_vec()));
        rest = after;
    }
    cells
}

fn uvarint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
