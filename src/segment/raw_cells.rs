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

/// Collects the records of one row.
#[derive(Debug, Default)]
pub(super) struct RawCells {
    cells: Vec<(i32, Range<u32>)>,
    bytes: Vec<u8>,
}

impl RawCells {
    /// Notes a cell of the image.
    pub(super) fn push(&mut self, field_id: i32, range: Range<u32>) {
        self.cells.push((field_id, range));
    }

    /// The records of the row; `None` when every cell is exact. Starts the next row.
    pub(super) fn take(&mut self, image: &[u8]) -> Option<&[u8]> {
        if self.cells.is_empty() {
            return None;
        }
        self.bytes.clear();
        self.cells.sort_unstable_by_key(|(field_id, _)| *field_id);
        for (field_id, range) in self.cells.drain(..) {
            let range = range.start as usize..range.end as usize;
            let cell = image.get(range).unwrap_or_default();
            put_uvarint(&mut self.bytes, u64::from(field_id.unsigned_abs()));
            put_uvarint(&mut self.bytes, cell.len() as u64);
            self.bytes.extend_from_slice(cell);
        }
        Some(&self.bytes)
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
