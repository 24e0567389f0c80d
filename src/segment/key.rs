//! The memcomparable key encoding: bytes that order as the typed key does.
//!
//! Frozen with format version 1; `key/vectors.txt` holds test vectors. A key is its parts, in
//! key order, back to back, so a key of fewer columns is a prefix. Each part is one tag byte and
//! a payload:
//!
//! | tag | part | payload |
//! |---|---|---|
//! | 0x00 | NULL | none |
//! | 0x01 | cell without an exact typed value | escaped: the whole cell as logged |
//! | 0x02 | integer; DATE (days); DATETIME, TIMESTAMP, TIME (microseconds) | 8 bytes big endian, sign bit flipped |
//! | 0x02 | DECIMAL up to 38 digits (unscaled), BIGINT UNSIGNED, BIT(64) | 16 bytes big endian, sign bit flipped |
//! | 0x02 | FLOAT, DOUBLE | 4 or 8 bytes of bits big endian, sign bit flipped, all bits where it was set (IEEE total order) |
//! | 0x02 | text, labels, decimals over 38 digits, UUID, INET | escaped: UTF-8 |
//! | 0x02 | bytes; vector (elements' bits, little endian) | escaped: the bytes |
//!
//! *Escaped*: every 0x00 is followed by 0xFF, and 0x00 0x01 ends it, so that a prefix orders
//! before what it is a prefix of. Which row of the table a column has is fixed by its stored
//! type, so parts are self-delimiting and two keys of one table version compare as their typed
//! values do, NULL first, then raw cells, then values. DECIMAL, TIME and COMPRESSED are always
//! taken by value: bytes that differ and mean the same are the same key.
//!
//! A table without a key has the hash of the canonical row instead, 16 bytes big endian: equal
//! keys mean equal rows, of which there may be many. Where the version says `given_rows`, it is
//! the canonical row of the columns that are not generated.

#[cfg(test)]
mod tests;

use super::canonical::{CanonicalRow, Canonicalizer, cell_of, not_of_this_image};
use super::{BatchView, CellCodec, ImageEncoder, Scratch, TablePlan, Value};
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;

const NULL: u8 = 0;
const RAW: u8 = 1;
const TYPED: u8 = 2;

/// Encodes row identities so that comparing bytes compares keys.
#[derive(Clone, Debug)]
pub struct KeyCodec {
    plan: Arc<TablePlan>,
    columns: Vec<usize>,
    canonical: Canonicalizer,
}

impl KeyCodec {
    /// The codec of the plan's table version.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>) -> KeyCodec {
        let parts = plan.version().key.iter();
        KeyCodec {
            columns: parts.map(|part| part.column as usize).collect(),
            canonical: match plan.version().given_rows {
                true => Canonicalizer::of_given(plan.clone()),
                false => Canonicalizer::new(plan.clone()),
            },
            plan,
        }
    }

    /// Whether the table has no key: the key is then the hash of the canonical row, and equal
    /// keys mean equal rows, of which there may be many.
    #[must_use]
    pub fn is_keyless(&self) -> bool {
        self.columns.is_empty()
    }

    /// Appends the key of a row image to `out`; `cells` as given by
    /// [`ImageLayout::split`](crate::change::ImageLayout::split). Returns whether every part is
    /// a typed value or NULL (sorting by these keys is then sorting by the typed columns);
    /// always `false` for a table without a key.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when `cells` are not of this image.
    pub fn encode_image(
        &self,
        image: &[u8],
        cells: &[Option<Range<u32>>],
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        if self.is_keyless() {
            let hash = self
                .canonical
                .hash(image, cells, &mut CanonicalRow::default())?;
            out.extend_from_slice(&hash.to_be_bytes());
            return Ok(false);
        }
        let mut scratch = Scratch::default();
        let mut typed = true;
        for column in &self.columns {
            let codec = self.plan.codecs().get(*column);
            let (Some(codec), Some(cell)) = (codec, cells.get(*column)) else {
                return Err(not_of_this_image());
            };
            let Some(range) = cell else {
                out.push(NULL);
                continue;
            };
            let cell = cell_of(image, range)?;
            let decoded = codec.decode(cell, &mut scratch);
            typed &= put_part(codec, decoded.value, (!decoded.exact).then_some(cell), out);
        }
        Ok(typed)
    }

    /// Whether every part of the key of a row is a typed value or NULL.
    pub(super) fn is_typed(&self, view: &BatchView<'_>, row: usize) -> Result<bool> {
        self.encode_batch(view, row, &mut Vec::new())
    }

    /// Appends the key of a row of a batch to `out`: the same bytes as
    /// [`encode_image`](Self::encode_image) of its image. Needs the key columns and `__raw` in
    /// the batch; without a key, all columns.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a column is absent or malformed.
    pub fn encode_batch(
        &self,
        view: &BatchView<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        if self.is_keyless() {
            let (mut image, mut cells) = (Vec::new(), Vec::new());
            ImageEncoder::new(self.plan.clone()).image(view, row, &mut image)?;
            self.plan.layout().split_row(&image, &mut cells)?;
            return self.encode_image(&image, &cells, out);
        }
        let raw = view.raw(row)?;
        let mut scratch = Scratch::default();
        let mut typed = true;
        for column in &self.columns {
            let codec = self.plan.codecs().get(*column);
            let version = self.plan.version();
            let (Some(codec), Some(own)) = (codec, version.columns.get(*column)) else {
                return Err(not_of_this_image());
            };
            let cell = raw.find(own.field_id)?;
            let value = view.value(*column, row, &mut scratch)?;
            match (value, cell) {
                (Value::Null, None) => out.push(NULL),
                (value, cell) => typed &= put_part(codec, value, cell, out),
            }
        }
        Ok(typed)
    }
}

/// Appends a part that is not NULL; `raw` is its cell where the value is not exact. Returns
/// whether the part is the typed value.
fn put_part(codec: &CellCodec, value: Value<'_>, raw: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    if let Some(cell) = raw
        && (value == Value::Null || !codec.is_canonical_by_value())
    {
        out.push(RAW);
        put_escaped(cell, out);
        return false;
    }
    out.push(TYPED);
    match value {
        // An exact cell always has a value.
        Value::Null => {}
        Value::Int(v) => out.extend_from_slice(&(v as u64 ^ 1 << 63).to_be_bytes()),
        Value::Decimal(v) => out.extend_from_slice(&(v as u128 ^ 1 << 127).to_be_bytes()),
        Value::Float(v) => {
            let bits = v.to_bits();
            let mask = if bits >> 31 == 1 { u32::MAX } else { 1 << 31 };
            out.extend_from_slice(&(bits ^ mask).to_be_bytes());
        }
        Value::Double(v) => {
            let bits = v.to_bits();
            let mask = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
            out.extend_from_slice(&(bits ^ mask).to_be_bytes());
        }
        Value::Text(text) => put_escaped(text.as_bytes(), out),
        Value::Bytes(bytes) | Value::Vector(bytes) => put_escaped(bytes, out),
    }
    true
}

fn put_escaped(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some(zero) = bytes.iter().position(|b| *b == 0) {
        let (before, after) = bytes.split_at(zero + 1);
        out.extend_from_slice(before);
        out.push(0xff);
        bytes = after;
    }
    out.extend_from_slice(bytes);
    out.extend_from_slice(&[0, 1]);
}
