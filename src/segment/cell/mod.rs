//! One cell: bytes of a row image <-> typed value.
//!
//! [`CellCodec`] is the one place that knows both forms of a type. It is exact in the sense of
//! the format: a decoded value says whether encoding it gives back the identical cell, and what
//! is not exact travels in `__raw`. A typed value that is not exact is the best effort for people
//! who read the file, or NULL.

mod bytes;
mod compressed;
mod decimal;
mod decode;
mod encode;
mod integers;
mod json;
mod kind;
mod label;
mod network;
mod temporal;
#[cfg(test)]
mod tests;
mod text;

use crate::change::json::JsonKeys;
use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::Column;
pub(super) use integers::Integers;
use kind::Kind;
use std::borrow::Cow;

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

impl<'a> Decoded<'a> {
    /// No typed form.
    const RAW: Decoded<'static> = Decoded {
        value: Value::Null,
        exact: false,
    };

    fn exact(value: Value<'a>) -> Decoded<'a> {
        Decoded { value, exact: true }
    }

    /// An integer where there is one.
    fn int(value: Option<i64>) -> Decoded<'a> {
        value.map_or(Decoded::RAW, |v| Decoded::exact(Value::Int(v)))
    }
}

/// Room for values that are not a slice of their cell; reused from cell to cell.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Converted text.
    text: String,
    /// Converted bytes.
    bytes: Vec<u8>,
    /// Keys of the last JSON document.
    keys: JsonKeys,
}

impl Scratch {
    /// A vector of these elements.
    pub(super) fn set_vector(&mut self, elements: &[f32]) -> Value<'_> {
        self.bytes.clear();
        self.bytes
            .extend(elements.iter().flat_map(|e| e.to_bits().to_le_bytes()));
        Value::Vector(&self.bytes)
    }
}

/// Decodes and encodes the cells of one column.
#[derive(Clone, Debug)]
pub struct CellCodec {
    kind: Kind,
}

impl CellCodec {
    /// The codec of a column.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the column's storage is not
    /// one this wire type can be stored as.
    pub fn new(column: &Column, flavor: Flavor) -> Result<CellCodec> {
        let kind = Kind::of(column, flavor)
            .filter(|kind| kind.fits(column.stored))
            .ok_or_else(|| {
                Error::incompatible("compile column: it is stored as a type it cannot have")
                    .field("column", &column.name)
                    .field("wire_type", column.wire_type)
                    .field("stored", format!("{:?}", column.stored))
                    .hint("read this repository with the version that wrote it")
            })?;
        Ok(CellCodec { kind })
    }

    /// The value of a cell (with its length prefix).
    #[must_use]
    #[inline]
    pub fn decode<'a>(&'a self, cell: &'a [u8], scratch: &'a mut Scratch) -> Decoded<'a> {
        self.kind.decode(cell, scratch)
    }

    /// The values of some cells of a column of whole numbers, or the bits of doubles (`None` in:
    /// NULL), which replace what `out` holds; false for a column of anything else.
    pub(super) fn integers<'a>(
        &self,
        cells: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
        out: &mut Integers,
    ) -> bool {
        self.kind.integers(cells, out)
    }

    /// Appends the cell (with its length prefix) of a value that is not NULL.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when this column cannot hold the value;
    /// what was appended to `out` is then meaningless.
    pub fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        self.kind.encode(value, out).ok_or_else(|| {
            Error::corrupt("encode cell: the column cannot hold this value")
                .field("type", self.kind.name())
        })
    }

    /// Whether two cells with the same typed value are the same value, exact or not: then row
    /// identity goes by the typed value, whatever the cell's bytes are.
    #[must_use]
    pub(crate) fn is_canonical_by_value(&self) -> bool {
        self.kind.is_canonical_by_value()
    }

    /// The canonical binary of a JSON cell; `None` for other types and for malformed ones.
    #[must_use]
    pub(crate) fn canonical_json<'c>(
        &self,
        cell: &'c [u8],
        scratch: &mut Scratch,
    ) -> Option<Cow<'c, [u8]>> {
        match self.kind {
            Kind::Json { .. } => json::canonical(self.content(cell), scratch),
            _ => None,
        }
    }

    /// The bytes of a cell without its length prefix.
    #[must_use]
    pub(crate) fn content<'a>(&self, cell: &'a [u8]) -> &'a [u8] {
        cell.get(usize::from(self.kind.prefix())..).unwrap_or(cell)
    }

    /// Whether values repeat by nature (ENUM, SET, YEAR): a dictionary pays.
    #[must_use]
    pub(crate) fn is_label(&self) -> bool {
        matches!(self.kind, Kind::Enum { .. } | Kind::Set { .. } | Kind::Year)
    }
}
