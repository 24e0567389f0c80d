//! MySQL's PARTIAL_UPDATE_ROWS made whole: after images whose documents are differences to the
//! before image's.
//!
//! Between before and after image of every row stand lenenc options (1: differences may follow)
//! and then a bit for every JSON column of the table. A cell whose bit is set has the length of a
//! document and holds differences: u8 operation (0 replace, 1 insert, 2 remove), lenenc path, and
//! unless it removes a lenenc value in binary JSON. Source: mysql-server `sql/json_diff.cc` and
//! `unpack_row()` in `sql/rpl_record.cc`.

use super::cursor::{Cursor, bit};
use super::event::{EVENT_LEN_MAX, EventHeader, HEADER_LEN, kind};
use crate::change::ImageLayout;
use crate::change::json::{Difference, apply_difference, decode, encode};
use crate::schema::{Column, wire};
use bytes::Bytes;
use std::ops::Range;

/// Bytes of the length before a document.
const PREFIX: usize = 4;

/// The UPDATE_ROWS event that a source would have logged without differences, without a checksum;
/// `images` is where the rows stand in `event`. `None` when they cannot be followed.
pub(crate) fn whole_event(event: &[u8], images: Range<usize>, columns: &[Column]) -> Option<Bytes> {
    let layout = ImageLayout::new(columns).ok()?;
    let documents = columns.iter().filter(|c| is_document(c)).count();
    let mut out = vec![0; HEADER_LEN];
    out.extend_from_slice(event.get(HEADER_LEN..images.start)?);
    let mut rest = event.get(images)?;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let old = take_image(&layout, &mut rest, &mut before)?;
        let mut cursor = Cursor::new(rest);
        let partial = match cursor.lenenc()? {
            0 => &[],
            1 => cursor.take(documents.div_ceil(8))?,
            _ => return None,
        };
        rest = cursor.rest();
        let new = take_image(&layout, &mut rest, &mut after)?;
        out.extend_from_slice(old);
        out.extend_from_slice(new.get(..layout.bitmap_bytes())?);
        let mut ordinal = 0;
        let cells = before.iter().zip(&after);
        for (column, (old_cell, new_cell)) in columns.iter().zip(cells) {
            let is_partial = is_document(column) && bit(partial, ordinal);
            ordinal += usize::from(is_document(column));
            let Some(new_cell) = cell(new, new_cell) else {
                continue;
            };
            if !is_partial {
                out.extend_from_slice(new_cell);
                continue;
            }
            let document = cell(old, old_cell)?.get(PREFIX..)?;
            let document = changed(document, new_cell.get(PREFIX..)?)?;
            out.extend_from_slice(&u32::try_from(document.len()).ok()?.to_le_bytes());
            out.extend_from_slice(&document);
        }
        if out.len() > EVENT_LEN_MAX {
            return None;
        }
    }
    let header = EventHeader {
        kind: kind::UPDATE_ROWS,
        length: u32::try_from(out.len()).ok()?,
        ..EventHeader::read(event)?
    };
    out.get_mut(..HEADER_LEN)?
        .copy_from_slice(&header.to_bytes());
    Some(Bytes::from(out))
}

fn is_document(column: &Column) -> bool {
    column.wire_type == wire::JSON && usize::from(column.metadata) == PREFIX
}

fn take_image<'a>(
    layout: &ImageLayout,
    rest: &mut &'a [u8],
    cells: &mut Vec<Option<Range<u32>>>,
) -> Option<&'a [u8]> {
    let length = layout.split(rest, cells).ok()?;
    let (image, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(image)
}

fn cell<'a>(image: &'a [u8], range: &Option<Range<u32>>) -> Option<&'a [u8]> {
    let range = range.as_ref()?;
    image.get(range.start as usize..range.end as usize)
}

/// The document after its differences; without any it is left alone, slack included.
fn changed(document: &[u8], differences: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(differences);
    if cursor.is_empty() {
        return Some(document.to_vec());
    }
    let mut tree = decode(document).ok()?;
    while !cursor.is_empty() {
        let operation = cursor.u8()?;
        let path = std::str::from_utf8(cursor.lenenc_bytes()?).ok()?;
        let difference = match operation {
            0 => Difference::Replace(decode(cursor.lenenc_bytes()?).ok()?),
            1 => Difference::Insert(decode(cursor.lenenc_bytes()?).ok()?),
            2 => Difference::Remove,
            _ => return None,
        };
        apply_difference(&mut tree, path, difference).ok()?;
    }
    encode(&tree).ok()
}
