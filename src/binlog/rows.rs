//! The head of rows events: which table, which columns, where the images stand.
//!
//! Version 1: u48 table id, u16 flags; version 2: u16 length of extra data (itself included) and
//! the data; both: lenenc number of columns, a bitmap of the columns present, for updates another
//! one for the images after; then the row images to the end.

use super::cursor::{Cursor, bit};
use super::event::kind;
use crate::change::RowsKind;
use std::ops::Range;

/// The rows event is the last of its statement.
pub(crate) const STMT_END: u16 = 0x1;
/// Table id of a rows event that only carries [`STMT_END`].
pub(crate) const DUMMY_TABLE_ID: u64 = 0x00ff_ffff;

/// What kind of rows event a type code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowsType {
    pub(crate) kind: RowsKind,
    /// Whether extra data follows the flags.
    pub(crate) has_extra: bool,
    /// Type code of the same event uncompressed, where the images are compressed (MariaDB).
    pub(crate) inflated: Option<u8>,
    /// After images may be differences to before images.
    pub(crate) is_partial: bool,
}

/// The kind of rows event behind a type code; `None` for other events.
pub(crate) fn rows_type(code: u8) -> Option<RowsType> {
    let (write, update, delete) = (RowsKind::Write, RowsKind::Update, RowsKind::Delete);
    let (kind, has_extra, inflated) = match code {
        kind::WRITE_ROWS_V1 => (write, false, None),
        kind::UPDATE_ROWS_V1 => (update, false, None),
        kind::DELETE_ROWS_V1 => (delete, false, None),
        kind::WRITE_ROWS => (write, true, None),
        kind::UPDATE_ROWS | kind::PARTIAL_UPDATE_ROWS => (update, true, None),
        kind::DELETE_ROWS => (delete, true, None),
        kind::WRITE_ROWS_COMPRESSED_V1 => (write, false, Some(kind::WRITE_ROWS_V1)),
        kind::UPDATE_ROWS_COMPRESSED_V1 => (update, false, Some(kind::UPDATE_ROWS_V1)),
        kind::DELETE_ROWS_COMPRESSED_V1 => (delete, false, Some(kind::DELETE_ROWS_V1)),
        kind::WRITE_ROWS_COMPRESSED => (write, true, Some(kind::WRITE_ROWS)),
        kind::UPDATE_ROWS_COMPRESSED => (update, true, Some(kind::UPDATE_ROWS)),
        kind::DELETE_ROWS_COMPRESSED => (delete, true, Some(kind::DELETE_ROWS)),
        _ => return None,
    };
    Some(RowsType {
        kind,
        has_extra,
        inflated,
        is_partial: code == kind::PARTIAL_UPDATE_ROWS,
    })
}

/// The head of a rows event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowsHead {
    pub(crate) table_id: u64,
    pub(crate) flags: u16,
    /// Number of columns of the table.
    pub(crate) width: usize,
    /// Whether every column is present in every image.
    pub(crate) is_whole: bool,
    /// Where the bitmaps of present columns stand in the event: of the first image of a change,
    /// of the second (empty where there is none).
    pub(crate) present: [Range<usize>; 2],
    /// Where the images (or their compressed form) stand in the event.
    pub(crate) images: Range<usize>,
}

/// Parses the head of `event` whose body is `event[body]`; `table_id_len` is 4 or 6.
pub(crate) fn parse(
    event: &[u8],
    body: Range<usize>,
    rows: RowsType,
    table_id_len: usize,
) -> Option<RowsHead> {
    let (base, end) = (body.start, body.end);
    let mut cursor = Cursor::new(event.get(body)?);
    let table_id = cursor.uint(table_id_len)?;
    let flags = cursor.u16()?;
    if rows.has_extra {
        let extra = usize::from(cursor.u16()?);
        cursor.take(extra.checked_sub(2)?)?;
    }
    let width = cursor.length()?;
    let bytes = width.div_ceil(8);
    let first = base + cursor.at();
    let mut is_whole = has_all(cursor.take(bytes)?, width);
    let second = base + cursor.at();
    if rows.kind == RowsKind::Update {
        is_whole &= has_all(cursor.take(bytes)?, width);
    }
    Some(RowsHead {
        table_id,
        flags,
        width,
        is_whole,
        present: [first..first + bytes, second..base + cursor.at()],
        images: base + cursor.at()..end,
    })
}

fn has_all(bitmap: &[u8], width: usize) -> bool {
    let (whole, rest) = (width / 8, width % 8);
    bitmap.iter().take(whole).all(|&b| b == 0xff)
        && (0..rest).all(|index| bit(bitmap, whole * 8 + index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_data_counts_itself_and_spare_bits_do_not_count() {
        let body = [
            5, 0, 0, 0, 0, 0, 1, 0, // table id, flags
            5, 0, 9, 9, 9, // extra data
            10, 0xff, 0x03, 0xff, 0x0b, // width, two bitmaps
            42,
        ];
        let update = rows_type(kind::UPDATE_ROWS).unwrap();
        let head = parse(&body, 0..body.len(), update, 6).unwrap();
        assert_eq!((head.table_id, head.flags, head.width), (5, 1, 10));
        assert!(head.is_whole);
        assert_eq!(head.images, 18..19);
        for cut in 0..18 {
            assert!(parse(&body, 0..cut, update, 6).is_none());
        }
        let mut partial = body;
        *partial.get_mut(17).unwrap() = 0x01;
        assert!(!parse(&partial, 0..19, update, 6).unwrap().is_whole);
        *partial.get_mut(8).unwrap() = 1;
        assert!(parse(&partial, 0..19, update, 6).is_none());
    }
}
