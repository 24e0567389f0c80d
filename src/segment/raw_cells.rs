//! The `__raw` column: cells that their typed column does not hold exactly.
//!
//! NULL when all cells of the row are exact, else records {field id, length, bytes} with both
//! numbers as unsigned LEB128, ascending by field id. The bytes are the whole cell as logged,
//! its length prefix included. Field id 0 stands for the null bitmap, which is kept when its
//! filler bits are not those of the flavor. Field id 1,000,000,008 stands for no column either: its
//! bytes are a bitmap over the columns in table order of the cells that the source did not log.

use super::raw::{put_uvarint, take_uvarint};
use crate::error::{Error, Result};
use std::ops::Range;

/// Field id of the null bitmap.
pub(super) const BITMAP: i32 = 0;

/// Field id of the bitmap of absent cells.
pub(super) const ABSENT: i32 = super::system::ABSENT_ID;

/// Collects the records of some rows, cells in any order.
#[derive(Debug, Default)]
pub(super) struct RawCells {
    cells: Vec<RawCell>,
    bytes: Vec<u8>,
}

/// A cell that its typed column does not hold.
#[derive(Debug)]
pub(super) struct RawCell {
    /// Which of the rows.
    pub(super) row: usize,
    /// Its column.
    pub(super) field_id: i32,
    /// Where it stands in the row.
    pub(super) range: Range<u32>,
}

impl RawCells {
    /// Notes a cell.
    pub(super) fn push(&mut self, cell: RawCell) {
        self.cells.push(cell);
    }

    /// Whether all cells of all rows are exact.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Sorts what was noted, after which [`records`](Self::records) can be asked row by row.
    pub(super) fn sort(&mut self) {
        self.cells
            .sort_unstable_by_key(|cell| std::cmp::Reverse((cell.row, cell.field_id)));
    }

    /// The records of the next row with its bytes; `None` when every cell is exact.
    pub(super) fn records(&mut self, row: usize, image: &[u8]) -> Option<&[u8]> {
        self.bytes.clear();
        while let Some(cell) = self.cells.pop_if(|cell| cell.row == row) {
            let range = cell.range.start as usize..cell.range.end as usize;
            let bytes = image.get(range).unwrap_or_default();
            put_uvarint(&mut self.bytes, u64::from(cell.field_id.unsigned_abs()));
            put_uvarint(&mut self.bytes, bytes.len() as u64);
            self.bytes.extend_from_slice(bytes);
        }
        (!self.bytes.is_empty()).then_some(&self.bytes)
    }

    /// Forgets all cells.
    pub(super) fn clear(&mut self) {
        self.cells.clear();
    }
}

/// Finds cells in the records of one row; ask in any order.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawCellsReader<'a> {
    bytes: &'a [u8],
}

impl<'a> RawCellsReader<'a> {
    /// Records of a row; none where `__raw` is NULL.
    pub(super) fn new(bytes: Option<&'a [u8]>) -> RawCellsReader<'a> {
        RawCellsReader {
            bytes: bytes.unwrap_or_default(),
        }
    }

    /// The cell with a field id, if it is there.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the records are malformed.
    pub(super) fn find(&self, field_id: i32) -> Result<Option<&'a [u8]>> {
        let mut rest = self.bytes;
        let wanted = u64::from(field_id.unsigned_abs());
        while !rest.is_empty() {
            let (found, cell) = next(&mut rest)
                .ok_or_else(|| Error::corrupt("read __raw: a record does not end"))?;
            if found == wanted {
                return Ok(Some(cell));
            }
        }
        Ok(None)
    }

    /// Number of records.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the records are malformed or not
    /// ascending.
    pub(super) fn count(&self) -> Result<usize> {
        let mut rest = self.bytes;
        let (mut count, mut last) = (0, None);
        while !rest.is_empty() {
            let record = next(&mut rest).filter(|(id, _)| last.is_none_or(|last| *id > last));
            let (id, _) =
                record.ok_or_else(|| Error::corrupt("read __raw: records out of order"))?;
            last = Some(id);
            count += 1;
        }
        Ok(count)
    }
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let field_id = take_uvarint(rest)?;
    let length = usize::try_from(take_uvarint(rest)?).ok()?;
    let (cell, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((field_id, cell))
}
