//! One cell: bytes of a row image <-> typed value.

use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::Column;

/// A typed value as a Parquet column holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// NULL, or a value that has no typed form.
    Null,
    /// Integers; days of a DATE; microseconds of the other temporal types.
    Int(i64),
    /// Unscaled decimal; also BIGINT UNSIGNED and BIT(64).
    Decimal(i128),
    /// Single.
    Float(f32),
    /// Double.
    Double(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Elements of a vector as little-endian singles, back to back.
    Vector(&'a [u8]),
}

/// A decoded cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded<'a> {
    /// The value, or the best effort at one.
    pub value: Value<'a>,
    /// Whether encoding `value` gives back the identical cell.
    pub exact: bool,
}

/// Room for values that are not a slice of their cell; reused from cell to cell.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Converted text.
    pub(crate) text: String,
    /// Converted bytes.
    pub(crate) bytes: Vec<u8>,
}

/// Decodes and encodes the cells of one column.
#[derive(Clone, Debug)]
pub struct CellCodec {
    _column: Column,
}

impl CellCodec {
    /// The codec of a column.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the column's storage is not
    /// one this wire type can be stored as.
    pub fn new(column: &Column, flavor: Flavor) -> Result<CellCodec> {
        let _ = flavor;
        Ok(CellCodec {
            _column: column.clone(),
        })
    }

    /// The value of a cell (with its length prefix).
    #[must_use]
    pub fn decode<'a>(&'a self, cell: &'a [u8], scratch: &'a mut Scratch) -> Decoded<'a> {
        let _ = (cell, scratch);
        Decoded {
            value: Value::Null,
            exact: false,
        }
    }

    /// Appends the cell (with its length prefix) of a value that is not NULL.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when this column cannot hold the value.
    pub fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        let _ = (value, out);
        Err(Error::internal("not built yet"))
    }
}
