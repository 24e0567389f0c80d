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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::table_map;
    use crate::change::json::from_text;
    use crate::position::Flavor;

    fn document(text: &str) -> Vec<u8> {
        encode(&from_text(text).expect("text")).expect("a document")
    }

    fn image(id: u8, document: &[u8]) -> Vec<u8> {
        let length = (document.len() as u32).to_le_bytes();
        [&[0, id, 0, 0, 0], &length[..], document].concat()
    }

    /// Replaces `$[0]` with 5, then appends 6.
    fn differences() -> Vec<u8> {
        let (five, six) = (document("5"), document("6"));
        let mut bytes = vec![0, 4, b'$', b'[', b'0', b']', five.len() as u8];
        bytes.extend_from_slice(&five);
        bytes.extend_from_slice(&[1, 4, b'$', b'[', b'9', b']', six.len() as u8]);
        bytes.extend_from_slice(&six);
        bytes
    }

    /// An event of two rows, the second logged whole, and the columns of its table.
    fn event(differences: &[u8]) -> (Vec<u8>, Vec<Column>) {
        let map = b"\x01\x00\x01d\x00\x01t\x00\x02\x03\xf5\x01\x04\x03";
        let map = table_map::parse(Flavor::MySql, map).expect("a table map");
        let old = image(1, &document("[1]"));
        let parts = [
            &[0; HEADER_LEN][..],
            b"head",
            &old,
            &[1, 1],
            &image(1, differences),
            &old,
            &[0],
            &image(2, &document("[2]")),
        ];
        (parts.concat(), map.shape.columns.clone())
    }

    #[test]
    fn differences_are_applied_to_the_before_image() {
        let (event, columns) = event(&differences());
        let whole = whole_event(&event, HEADER_LEN + 4..event.len(), &columns).expect("whole");
        let old = image(1, &document("[1]"));
        let (first, second) = (document("[5, 6]"), document("[2]"));
        let wanted = [
            &b"head"[..],
            &old,
            &image(1, &first),
            &old,
            &image(2, &second),
        ]
        .concat();
        assert_eq!(whole.get(HEADER_LEN..), Some(&wanted[..]));
        let header = EventHeader::of(&whole).expect("its length is right");
        assert_eq!(header.kind, kind::UPDATE_ROWS);
    }

    #[test]
    fn what_cannot_be_followed_is_left_alone() {
        let whole = |differences: &[u8], cut: usize| {
            let (event, columns) = event(differences);
            whole_event(&event, HEADER_LEN + 4..event.len() - cut, &columns)
        };
        let good = differences();
        assert!(whole(&good, 0).is_some());
        for length in 1..good.len() {
            // A cut between two differences leaves a whole one.
            let is_whole = length == good.len() / 2;
            let found = whole(good.get(..length).unwrap(), 0);
            assert_eq!(found.is_some(), is_whole, "{length}");
        }
        let (event, _) = event(&good);
        let second_row = 2 * image(2, &document("[2]")).len() + 1;
        for cut in 1..event.len() - HEADER_LEN - 4 {
            assert!(whole(&good, cut).is_none() || cut == second_row, "{cut}");
        }
        let unknown = [&[3], good.get(1..).unwrap()].concat();
        assert!(whole(&unknown, 0).is_none());
        assert!(whole(&[2, 1, b'$'], 0).is_none());
    }
}
