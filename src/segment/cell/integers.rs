//! Whole numbers, and doubles as their bits, many at a time: the kind of a column is looked at once for
//! all its cells.

use super::bytes::{signed, unsigned};
use super::kind::Kind;
use super::temporal;

/// Numbers of one column; reused from block to block.
#[derive(Debug, Default)]
pub(in crate::segment) struct Integers {
    values: Vec<i64>,
    /// Whether there is a number: else the cell is NULL, or no number says it exactly.
    valid: Vec<bool>,
    has_none: bool,
}

impl Integers {
    /// Whether some cell has no number.
    pub(in crate::segment) fn has_none(&self) -> bool {
        self.has_none
    }

    /// Whether the cell of this row has no number.
    pub(in crate::segment) fn is_none(&self, row: usize) -> bool {
        self.valid.get(row).is_none_or(|valid| !valid)
    }

    /// The numbers; any where there is none.
    pub(in crate::segment) fn values(&self) -> &[i64] {
        &self.values
    }

    /// The numbers, so many at a time, and which of them are there.
    pub(in crate::segment) fn chunks(
        &self,
        rows: usize,
    ) -> impl Iterator<Item = (&[i64], &[bool])> {
        self.values.chunks(rows).zip(self.valid.chunks(rows))
    }

    #[inline]
    fn fill<'a>(
        &mut self,
        cells: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
        mut decode: impl FnMut(&[u8]) -> Option<i64>,
    ) -> bool {
        // In place: to push is to ask for room, for each number.
        self.values.resize(cells.len(), 0);
        self.valid.resize(cells.len(), false);
        self.has_none = false;
        let places = self.values.iter_mut().zip(&mut self.valid);
        for ((value, valid), cell) in places.zip(cells) {
            let number = cell.and_then(&mut decode);
            *value = number.unwrap_or(0);
            *valid = number.is_some();
            self.has_none |= number.is_none();
        }
        true
    }
}

impl Kind {
    /// See [`CellCodec::integers`](super::CellCodec::integers).
    pub(super) fn integers<'a>(
        &self,
        cells: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
        out: &mut Integers,
    ) -> bool {
        match *self {
            Kind::Int {
                unsigned: false, ..
            } => out.fill(cells, |cell| Some(signed(cell))),
            Kind::Int { unsigned: true, .. } | Kind::Double => {
                out.fill(cells, |cell| Some(unsigned(cell) as i64))
            }
            Kind::Date => out.fill(cells, temporal::decode_date),
            Kind::DateTime(f) => {
                let mut last = temporal::LastDate::default();
                out.fill(cells, |cell| temporal::decode_datetime2(cell, f, &mut last))
            }
            Kind::Timestamp(f, max) => {
                out.fill(cells, |cell| temporal::decode_timestamp2(cell, f, max))
            }
            Kind::Time(f) => out.fill(cells, |cell| temporal::decode_time2(cell, f)),
            Kind::Year => out.fill(cells, temporal::decode_year),
            _ => false,
        }
    }
}
