//! Canonical rows, their hash, and fingerprints of whole tables.
//!
//! Two row images that mean the same row have the same canonical row: a row read by SELECT and
//! the same row in the binlog, a JSON document with and without the slack of in-place updates,
//! one value compressed twice. Canonical rows are hashed and never stored, so their layout is
//! frozen with the name [`ROW_HASH`]. Where a source does not log generated columns, the canonical
//! row of the given columns leaves them out. For every column that is not hidden, in table order, one
//! tag byte and then (numbers little endian, lengths unsigned LEB128):
//!
//! | tag | cell | bytes |
//! |---|---|---|
//! | 0 | NULL | |
//! | 1 | without a canonical typed value | length, the cell without its length prefix |
//! | 2 | integer, date, time (days or microseconds) | 8 |
//! | 3 | decimal, BIGINT UNSIGNED, BIT(64) | 16: the unscaled value |
//! | 4 | single | 4: its bits |
//! | 5 | double | 8: its bits |
//! | 6 | text | length, UTF-8 |
//! | 7 | bytes | length, bytes |
//! | 8 | vector | length in bytes, its elements' bits |
//! | 9 | JSON of MySQL | length, canonical binary |

use super::raw::put_uvarint;
use super::{CellCodec, Scratch, TablePlan, Value};
use crate::error::{Error, Result};
use crate::schema::Generated;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Name of the row hash, recorded wherever fingerprints are kept.
pub const ROW_HASH: &str = "xxh3-128/1";

/// Turns row images of one table version into canonical rows.
#[derive(Clone, Debug)]
pub struct Canonicalizer {
    plan: Arc<TablePlan>,
    /// Whether each column is a part of the canonical row.
    takes: Vec<bool>,
}

/// Room of larger rows is given back.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// Room for a canonical row; reused from row to row.
#[derive(Debug, Default)]
pub struct CanonicalRow {
    bytes: Vec<u8>,
    scratch: Scratch,
}

impl Canonicalizer {
    /// For images of this plan's table version.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>) -> Canonicalizer {
        Canonicalizer::without(plan, TablePlan::is_hidden)
    }

    /// As [`new`](Self::new), without the virtual generated columns of the version: they are
    /// computed whenever they are read, some of them by the time zone of the session, so that two
    /// reads of one row may differ. For comparing what two servers store.
    #[must_use]
    pub fn of_stored(plan: Arc<TablePlan>) -> Canonicalizer {
        Canonicalizer::without(plan, |plan, index| {
            let column = plan.version().columns.get(index);
            let is_virtual = column.is_some_and(|c| c.generated == Some(Generated::Virtual));
            plan.is_hidden(index) || is_virtual
        })
    }

    /// The same, but for the columns that the server computes: images that lack some of these
    /// have the same canonical row as those that do not.
    #[must_use]
    pub fn of_given(plan: Arc<TablePlan>) -> Canonicalizer {
        Canonicalizer::without(plan, TablePlan::is_computed)
    }

    fn without(plan: Arc<TablePlan>, leaves_out: impl Fn(&TablePlan, usize) -> bool) -> Self {
        let columns = 0..plan.codecs().len();
        let takes = columns.map(|index| !leaves_out(&plan, index)).collect();
        Canonicalizer { plan, takes }
    }

    /// How the images are read.
    #[must_use]
    pub fn plan(&self) -> &Arc<TablePlan> {
        &self.plan
    }

    /// Makes the canonical row of an image; `cells` as given by
    /// [`ImageLayout::split`](crate::change::ImageLayout::split).
    fn row(
        &self,
        image: &[u8],
        cells: &[Option<Range<u32>>],
        row: &mut CanonicalRow,
    ) -> Result<()> {
        let codecs = self.plan.codecs();
        if cells.len() != codecs.len() {
            return Err(not_of_this_image());
        }
        row.bytes.clear();
        for ((codec, cell), takes) in codecs.iter().zip(cells).zip(&self.takes) {
            match cell {
                _ if !takes => {}
                None => row.bytes.push(0),
                Some(range) => put_cell(codec, cell_of(image, range)?, row),
            }
        }
        Ok(())
    }

    /// Hash of the canonical row of an image ("xxh3-128/1"); `cells` as given by
    /// [`ImageLayout::split`](crate::change::ImageLayout::split).
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when `cells` are not of this image.
    pub fn hash(
        &self,
        image: &[u8],
        cells: &[Option<Range<u32>>],
        row: &mut CanonicalRow,
    ) -> Result<u128> {
        self.row(image, cells, row)?;
        let hash = xxhash_rust::xxh3::xxh3_128(&row.bytes);
        if row.bytes.capacity() > ROOM_BYTES_MAX {
            *row = CanonicalRow::default();
        }
        Ok(hash)
    }
}

/// A cell of an image.
pub(super) fn cell_of<'a>(image: &'a [u8], range: &Range<u32>) -> Result<&'a [u8]> {
    image
        .get(range.start as usize..range.end as usize)
        .ok_or_else(not_of_this_image)
}

pub(super) fn not_of_this_image() -> Error {
    Error::corrupt("read cells: they are not of this row image")
}

fn put_cell(codec: &CellCodec, cell: &[u8], row: &mut CanonicalRow) {
    let (out, scratch) = (&mut row.bytes, &mut row.scratch);
    let mut put = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        put_uvarint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    };
    let content = codec.content(cell);
    if let Some(document) = codec.canonical_json(cell, scratch) {
        return put(9, &document);
    }
    let decoded = codec.decode(cell, scratch);
    if !decoded.exact && !codec.is_canonical_by_value() {
        return put(1, content);
    }
    match decoded.value {
        Value::Null => put(1, content),
        Value::Text(text) => put(6, text.as_bytes()),
        Value::Bytes(bytes) => put(7, bytes),
        Value::Vector(bytes) => put(8, bytes),
        Value::Int(v) => put_number(out, 2, &v.to_le_bytes()),
        Value::Decimal(v) => put_number(out, 3, &v.to_le_bytes()),
        Value::Float(v) => put_number(out, 4, &v.to_bits().to_le_bytes()),
        Value::Double(v) => put_number(out, 5, &v.to_bits().to_le_bytes()),
    }
}

fn put_number(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

/// Order-free identity of a multiset of rows: the sum of the hashes of their canonical rows
/// modulo 2^128, and their number.
///
/// Printed as `<32 hex digits>-<rows>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Wrapping sum of row hashes.
    pub sum: u128,
    /// Number of rows.
    pub rows: u64,
}

impl Fingerprint {
    /// Adds a row by its hash.
    pub fn add(&mut self, hash: u128) {
        self.sum = self.sum.wrapping_add(hash);
        self.rows = self.rows.wrapping_add(1);
    }

    /// Takes away a row by its hash.
    pub fn remove(&mut self, hash: u128) {
        self.sum = self.sum.wrapping_sub(hash);
        self.rows = self.rows.wrapping_sub(1);
    }

    /// Adds all rows of another set.
    pub fn merge(&mut self, other: &Fingerprint) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.rows = self.rows.wrapping_add(other.rows);
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", self.sum, self.rows)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::corrupt("parse fingerprint").field("text", text);
        let (sum, rows) = text.split_once('-').ok_or_else(bad)?;
        if sum.len() != 32 || !sum.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        Ok(Fingerprint {
            sum: u128::from_str_radix(sum, 16).map_err(|_| bad())?,
            rows: rows.parse().map_err(|_| bad())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_forget_order_and_undo() {
        let mut a = Fingerprint::default();
        a.add(u128::MAX);
        a.add(5);
        let mut b = Fingerprint::default();
        b.add(5);
        b.add(7);
        b.remove(7);
        let mut c = Fingerprint::default();
        c.add(u128::MAX);
        b.merge(&c);
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "00000000000000000000000000000004-2");
        assert_eq!(a.to_string().parse::<Fingerprint>().expect("own text"), a);
        for bad in ["", "4-2", "+0000000000000000000000000000004-2", "x-1"] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
