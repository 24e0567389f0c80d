//! Rows of which the source logged only some cells.
//!
//! MariaDB 11.8 leaves generated columns out of the images of UPDATE, DELETE and REPLACE: a bitmap
//! in the head of the rows event says which columns are there, and an image then has neither a
//! null bit nor a cell of the others. From the assembler on such an image is a *row*: the whole
//! image with NULL where a cell is absent, and behind it a bitmap of the absent columns, as wide
//! as the null bitmap, without filler bits. A row of which nothing is absent is its image alone,
//! so a row is one run of bytes that says all of itself.

use super::{ImageLayout, ImageWriter};
use crate::error::{Error, Result};
use crate::position::Flavor;
use std::ops::Range;

/// A row taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The whole image; absent cells are NULL in it.
    pub image: &'a [u8],
    /// Bitmap of the absent columns; empty where none is.
    pub absent: &'a [u8],
}

impl Row<'_> {
    /// Whether the source left this column out.
    #[must_use]
    pub fn is_absent(&self, column: usize) -> bool {
        is_set(self.absent, column)
    }
}

/// Whether a bit of a bitmap is set; beyond its end none is.
#[must_use]
pub fn is_set(bitmap: &[u8], index: usize) -> bool {
    bitmap
        .get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

impl ImageLayout {
    /// Takes a row apart; the ranges of its cells (`None` for NULL and absent) replace the content
    /// of `cells`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the bytes are not one row.
    pub fn split_row<'a>(
        &self,
        row: &'a [u8],
        cells: &mut Vec<Option<Range<u32>>>,
    ) -> Result<Row<'a>> {
        cells.clear();
        self.split_row_onto(row, cells)
    }

    /// As [`split_row`](Self::split_row), behind what is in `cells`.
    ///
    /// # Errors
    /// As [`split_row`](Self::split_row).
    pub fn split_row_onto<'a>(
        &self,
        row: &'a [u8],
        cells: &mut Vec<Option<Range<u32>>>,
    ) -> Result<Row<'a>> {
        let first = cells.len();
        let length = self.split_onto(row, cells)?;
        let (image, absent) = row.split_at_checked(length).unwrap_or((row, &[]));
        let row = Row { image, absent };
        if !absent.is_empty() {
            let marked = (0..absent.len() * 8).filter(|index| is_set(absent, *index));
            let are_null = marked
                .clone()
                .all(|i| matches!(cells.get(first + i), Some(None)));
            if absent.len() != self.bitmap_bytes() || !are_null || marked.count() == 0 {
                return Err(Error::corrupt("split row: bytes are left over")
                    .field("bytes", image.len() + absent.len())
                    .field("used", length));
            }
        }
        Ok(row)
    }
}

/// Appends the row of the image at the start of `bytes`, which has the columns of the bitmap
/// `present` only, and gives the length of the image; `None` when it does not end.
pub fn widen(
    (layout, flavor): (&ImageLayout, Flavor),
    present: &[u8],
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Option<usize> {
    let columns = layout.columns();
    let there = (0..columns)
        .filter(|column| is_set(present, *column))
        .count();
    let nulls = bytes.get(..there.div_ceil(8))?;
    let (mut at, mut nth) = (nulls.len(), 0);
    let mut image = ImageWriter::begin(flavor, columns, out);
    for column in 0..columns {
        if !is_set(present, column) {
            image.null();
            continue;
        }
        let is_null = is_set(nulls, nth);
        nth += 1;
        if is_null {
            image.null();
            continue;
        }
        let end = at.checked_add(layout.size(column)?.length_at(bytes, at)?)?;
        image.cell().extend_from_slice(bytes.get(at..end)?);
        at = end;
    }
    image.finish().ok()?;
    if there < columns {
        let absent = (0..columns.div_ceil(8)).map(|byte| {
            (0..8_usize.min(columns - byte * 8))
                .filter(|bit| !is_set(present, byte * 8 + bit))
                .fold(0_u8, |bits, bit| bits | 1 << bit)
        });
        out.extend(absent);
    }
    Some(at)
}

/// Appends the image of a row with the columns that are there only, with the flavor's filler
/// bits; `cells` as given by [`ImageLayout::split_row`].
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when `cells` are not of this row.
pub fn narrow(
    row: &Row<'_>,
    cells: &[Option<Range<u32>>],
    flavor: Flavor,
    out: &mut Vec<u8>,
) -> Result<()> {
    let there = cells.iter().enumerate().filter(|(i, _)| !row.is_absent(*i));
    let mut image = ImageWriter::begin(flavor, there.clone().count(), out);
    for (_, cell) in there {
        let Some(range) = cell else {
            image.null();
            continue;
        };
        let bytes = row.image.get(range.start as usize..range.end as usize);
        let bytes = bytes.ok_or_else(|| Error::corrupt("narrow row: cells of another row"))?;
        image.cell().extend_from_slice(bytes);
    }
    image.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, wire};

    fn column(wire_type: u8, metadata: u16) -> Column {
        Column {
            field_id: 1,
            ..Column::plain("c", wire_type, metadata)
        }
    }

    #[test]
    fn rows_are_wide_and_narrow_again() {
        let mut columns = vec![column(wire::TINY, 0); 9];
        columns.insert(1, column(wire::VARCHAR, 9));
        let layout = ImageLayout::new(&columns).expect("layout");
        // Ten columns; 0, 1, 3 and 9 are there, 3 is NULL.
        let present = [0b0000_1011, 0b10];
        let narrow_image = [0b1111_0100, 7, 2, b'a', b'b', 9];
        let of = (&layout, Flavor::MariaDb);
        let mut row = Vec::new();
        let mut bytes = narrow_image.to_vec();
        bytes.push(99);
        assert_eq!(widen(of, &present, &bytes, &mut row), Some(6));
        let mut cells = Vec::new();
        let parts = layout.split_row(&row, &mut cells).expect("row");
        assert_eq!(parts.absent, [0b1111_0100, 0b01]);
        assert_eq!(parts.image, [0b1111_1100, 0b1111_1101, 7, 2, b'a', b'b', 9]);
        assert!(parts.is_absent(2) && !parts.is_absent(3) && !parts.is_absent(99));
        let mut back = Vec::new();
        narrow(&parts, &cells, Flavor::MariaDb, &mut back).expect("narrow");
        assert_eq!(back, narrow_image);
        for cut in 0..6 {
            let cut = &narrow_image[..cut];
            assert_eq!(widen(of, &present, cut, &mut Vec::new()), None);
        }
        // Whole images carry no bitmap; damaged ones are seen.
        assert!(
            layout
                .split_row(parts.image, &mut cells)
                .expect("whole")
                .absent
                .is_empty()
        );
        for (at, bits) in [(7, 1), (7, 0xff), (8, 0b10), (8, 0b100)] {
            let mut damaged = row.clone();
            damaged[at] = bits;
            let is_good = damaged == row;
            assert_eq!(
                layout.split_row(&damaged, &mut cells).is_ok(),
                is_good,
                "{at}"
            );
        }
        let none = [parts.image, &[0, 0]].concat();
        assert!(layout.split_row(&none, &mut cells).is_err());
        assert!(layout.split_row(&row[..8], &mut cells).is_err());
    }
}
