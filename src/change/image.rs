//! Row images: where each cell stands in the bytes of a rows event.
//!
//! A full row image is a null bitmap over all columns (little endian bits, 1 = NULL, filler bits 0
//! on MySQL and 1 on MariaDB) followed by the cells of the columns that are not NULL, in table
//! order, without padding. How long a cell is depends on the wire type and its metadata alone, so
//! a layout is compiled once per table and then walks images without looking at values.
//!
//! Source of the format: "Rows event" of the MySQL internals documentation and
//! `calc_field_size()` of both servers.

use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::{Column, wire};
use std::ops::Range;

/// How the length of a cell is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellSize {
    /// Always this many bytes.
    Fixed(u32),
    /// A little-endian length of 1 to 4 bytes, then that many bytes.
    Prefixed(u8),
}

impl CellSize {
    /// Length of the cell that starts at `at`, its prefix included; `None` where the prefix is cut.
    #[must_use]
    #[inline]
    pub fn length_at(self, bytes: &[u8], at: usize) -> Option<usize> {
        match self {
            CellSize::Fixed(size) => Some(size as usize),
            CellSize::Prefixed(prefix) => prefixed_length(bytes, at, prefix),
        }
    }

    /// The size rule of a column.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) for a wire type that cannot be
    /// walked (types of servers before 5.0, typed arrays) or whose metadata is impossible.
    pub fn of(column: &Column) -> Result<CellSize> {
        let metadata = u32::from(column.metadata);
        let refuse = |what: &'static str| {
            Error::incompatible(what)
                .field("column", &column.name)
                .field("wire_type", column.wire_type)
                .field("metadata", column.metadata)
                .hint("rebuild the column with ALTER TABLE ... MODIFY, or leave the table out")
        };
        let impossible = || refuse("compile image layout: impossible type metadata");
        let fraction = || (metadata <= 6).then(|| metadata.div_ceil(2));
        Ok(match column.wire_type {
            wire::TINY | wire::YEAR => CellSize::Fixed(1),
            wire::SHORT => CellSize::Fixed(2),
            wire::INT24 | wire::DATE | wire::NEWDATE => CellSize::Fixed(3),
            wire::LONG | wire::FLOAT => CellSize::Fixed(4),
            wire::LONGLONG | wire::DOUBLE => CellSize::Fixed(8),
            wire::TIME | wire::DATETIME | wire::TIMESTAMP => old_temporal_size(column)?,
            wire::TIME2 => CellSize::Fixed(3 + fraction().ok_or_else(impossible)?),
            wire::TIMESTAMP2 => CellSize::Fixed(4 + fraction().ok_or_else(impossible)?),
            wire::DATETIME2 => CellSize::Fixed(5 + fraction().ok_or_else(impossible)?),
            wire::NEWDECIMAL => {
                let (precision, scale) = (metadata >> 8, metadata & 0xff);
                if precision == 0 || precision > 65 || scale > 30 || scale > precision {
                    return Err(impossible());
                }
                CellSize::Fixed(decimal_size(precision, scale))
            }
            wire::BIT => match (metadata >> 8) + u32::from(metadata & 0xff > 0) {
                size @ 1..=8 if metadata & 0xff < 8 => CellSize::Fixed(size),
                _ => return Err(impossible()),
            },
            wire::ENUM => match metadata {
                1 | 2 => CellSize::Fixed(metadata),
                _ => return Err(impossible()),
            },
            wire::SET => match metadata {
                1..=8 => CellSize::Fixed(metadata),
                _ => return Err(impossible()),
            },
            wire::VARCHAR | wire::VARCHAR_COMPRESSED | wire::STRING => {
                CellSize::Prefixed(if metadata > 255 { 2 } else { 1 })
            }
            wire::TINY_BLOB => CellSize::Prefixed(1),
            wire::MEDIUM_BLOB => CellSize::Prefixed(3),
            wire::LONG_BLOB => CellSize::Prefixed(4),
            wire::BLOB | wire::BLOB_COMPRESSED | wire::JSON | wire::GEOMETRY | wire::VECTOR => {
                match column.metadata {
                    size @ 1..=4 => CellSize::Prefixed(size as u8),
                    _ => return Err(impossible()),
                }
            }
            _ => return Err(refuse("compile image layout: unsupported wire type")),
        })
    }
}

/// Temporal types of before MySQL 5.6. MariaDB's variant with fractions (`mysql56_temporal_format
/// = OFF`) has the same codes with longer cells and no metadata: only the declared type tells.
fn old_temporal_size(column: &Column) -> Result<CellSize> {
    let fractional = column.declared.as_deref().is_some_and(|d| d.contains('('));
    if fractional || column.metadata != 0 {
        return Err(
            Error::incompatible("compile image layout: old temporal type with fractions")
                .field("column", &column.name)
                .hint("rebuild the table with mysql56_temporal_format=ON (ALTER TABLE ... FORCE)"),
        );
    }
    Ok(CellSize::Fixed(match column.wire_type {
        wire::TIME => 3,
        wire::TIMESTAMP => 4,
        _ => 8,
    }))
}

/// Bytes of a binary DECIMAL: nine digits in four bytes, the rest of each side in fewer.
#[must_use]
pub fn decimal_size(precision: u32, scale: u32) -> u32 {
    const PARTIAL: [u32; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
    let side = |digits: u32| digits / 9 * 4 + PARTIAL[(digits % 9) as usize];
    side(precision.saturating_sub(scale)) + side(scale)
}

/// Walks the full row images of one table shape.
#[derive(Clone, Debug)]
pub struct ImageLayout {
    sizes: Vec<CellSize>,
    bitmap_bytes: usize,
}

impl ImageLayout {
    /// Compiles the layout of these columns, hidden ones included.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when a column's cells cannot be
    /// walked; see [`CellSize::of`].
    pub fn new(columns: &[Column]) -> Result<ImageLayout> {
        Ok(ImageLayout {
            sizes: columns.iter().map(CellSize::of).collect::<Result<_>>()?,
            bitmap_bytes: columns.len().div_ceil(8),
        })
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.sizes.len()
    }

    /// Bytes of the null bitmap at the head of every image.
    #[must_use]
    pub fn bitmap_bytes(&self) -> usize {
        self.bitmap_bytes
    }

    /// The size rule of a column.
    #[must_use]
    pub fn size(&self, column: usize) -> Option<CellSize> {
        self.sizes.get(column).copied()
    }

    /// Length of the first row image in `bytes`, and the range of each of its cells including
    /// its length prefix (`None` for NULL), which replace the content of `cells`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the image does not end within `bytes`.
    pub fn split(&self, bytes: &[u8], cells: &mut Vec<Option<Range<u32>>>) -> Result<usize> {
        cells.clear();
        self.split_onto(bytes, cells)
    }

    /// As [`split`](Self::split), behind what is in `cells`.
    pub(super) fn split_onto(
        &self,
        bytes: &[u8],
        cells: &mut Vec<Option<Range<u32>>>,
    ) -> Result<usize> {
        cells.reserve(self.sizes.len());
        self.walk(bytes, |cell| cells.push(cell))
    }

    /// Length of the first row image in `bytes`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the image does not end within `bytes`.
    pub fn measure(&self, bytes: &[u8]) -> Result<usize> {
        self.walk(bytes, |_| {})
    }

    #[inline]
    fn walk(&self, bytes: &[u8], mut cell: impl FnMut(Option<Range<u32>>)) -> Result<usize> {
        // Ranges are 32-bit; no event is longer (its own length is 32-bit).
        let bytes = bytes.get(..u32::MAX as usize).unwrap_or(bytes);
        let bitmap = bytes
            .get(..self.bitmap_bytes)
            .ok_or_else(|| cut(0, bytes.len()))?;
        let mut at = self.bitmap_bytes;
        for (eight, (byte, sizes)) in bitmap.iter().zip(self.sizes.chunks(8)).enumerate() {
            for (bit, size) in sizes.iter().enumerate() {
                if byte >> bit & 1 == 1 {
                    cell(None);
                    continue;
                }
                let end = size.length_at(bytes, at).map(|length| at + length);
                let Some(end) = end.filter(|end| *end <= bytes.len()) else {
                    return Err(cut(8 * eight + bit, bytes.len()));
                };
                cell(Some(at as u32..end as u32));
                at = end;
            }
        }
        Ok(at)
    }
}

/// Whole length of a length-prefixed cell at `at`, its prefix included.
#[inline]
fn prefixed_length(bytes: &[u8], at: usize, prefix: u8) -> Option<usize> {
    let head = bytes.get(at..)?;
    let length = match prefix {
        1 => u32::from(*head.first()?),
        2 => u32::from(u16::from_le_bytes(*head.first_chunk()?)),
        3 => {
            let [a, b, c] = *head.first_chunk()?;
            u32::from_le_bytes([a, b, c, 0])
        }
        _ => u32::from_le_bytes(*head.first_chunk()?),
    };
    Some(usize::from(prefix) + length as usize)
}

#[cold]
fn cut(column: usize, length: usize) -> Error {
    Error::corrupt("split row image: it ends too early")
        .field("column", column)
        .field("bytes", length)
}

/// Writes one row image, cell by cell in table order.
///
/// The null bitmap is written first and corrected as NULLs come.
#[derive(Debug)]
pub struct ImageWriter<'a> {
    out: &'a mut Vec<u8>,
    bitmap: usize,
    columns: usize,
    next: usize,
}

impl<'a> ImageWriter<'a> {
    /// Starts an image of `columns` columns at the end of `out`, with the flavor's filler bits.
    pub fn begin(flavor: Flavor, columns: usize, out: &'a mut Vec<u8>) -> ImageWriter<'a> {
        let bitmap = out.len();
        out.resize(bitmap + columns.div_ceil(8), 0);
        if let (Some(last), Some(filler)) = (out.last_mut(), filler_bits(flavor, columns)) {
            *last = filler;
        }
        ImageWriter {
            out,
            bitmap,
            columns,
            next: 0,
        }
    }

    /// The next column is NULL.
    pub fn null(&mut self) {
        if let Some(byte) = self.out.get_mut(self.bitmap + self.next / 8) {
            *byte |= 1 << (self.next % 8);
        }
        self.next += 1;
    }

    /// The next column is not NULL: append its cell, length prefix included, to the returned
    /// buffer (and change nothing before its end).
    pub fn cell(&mut self) -> &mut Vec<u8> {
        self.next += 1;
        self.out
    }

    /// Ends the image.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when not every column was written once.
    pub fn finish(self) -> Result<()> {
        if self.next == self.columns {
            return Ok(());
        }
        Err(Error::internal("write row image: wrong number of cells")
            .field("columns", self.columns)
            .field("cells", self.next))
    }
}

/// The last byte of a null bitmap without NULLs, where it has filler bits that are 1.
#[must_use]
pub fn filler_bits(flavor: Flavor, columns: usize) -> Option<u8> {
    match (flavor, columns % 8) {
        (Flavor::MySql, _) | (Flavor::MariaDb, 0) => None,
        (Flavor::MariaDb, used) => Some(0xff << used),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_the_sizes_of_the_server() {
        for (precision, scale, bytes) in
            [(14, 4, 7), (10, 2, 5), (65, 30, 30), (1, 0, 1), (9, 9, 4)]
        {
            assert_eq!(
                decimal_size(precision, scale),
                bytes,
                "({precision},{scale})"
            );
        }
    }

    #[test]
    fn filler_bits_are_the_flavors() {
        let mut out = Vec::new();
        for (flavor, wanted) in [(Flavor::MySql, 0b010), (Flavor::MariaDb, 0b1111_1010)] {
            out.clear();
            let mut image = ImageWriter::begin(flavor, 3, &mut out);
            image.cell().push(1);
            image.null();
            image.cell().push(2);
            image.finish().expect("three cells");
            assert_eq!(out, [wanted, 1, 2]);
        }
        assert!(
            ImageWriter::begin(Flavor::MySql, 1, &mut out)
                .finish()
                .is_err()
        );
        assert_eq!(filler_bits(Flavor::MariaDb, 16), None);
    }

    #[test]
    fn cut_images_are_corrupt() {
        let layout = ImageLayout {
            sizes: vec![
                CellSize::Fixed(2),
                CellSize::Prefixed(1),
                CellSize::Prefixed(4),
            ],
            bitmap_bytes: 1,
        };
        let image = [0b000, 7, 7, 2, b'a', b'b', 1, 0, 0, 0, b'c', 99];
        let mut cells = Vec::new();
        assert_eq!(layout.split(&image, &mut cells).expect("whole"), 11);
        assert_eq!(cells, [Some(1..3), Some(3..6), Some(6..11)]);
        for end in 0..11 {
            assert!(layout.split(&image[..end], &mut cells).is_err(), "{end}");
        }
        assert_eq!(layout.measure(&[0b111]).expect("all NULL"), 1);
        assert!(layout.measure(&[0b011, 255, 255, 255, 255]).is_err());
    }
}
