//! Rows events of which the source left columns out of the images, made into events of
//! [rows](crate::change::Row).
//!
//! MariaDB 11.8 does so with generated columns in UPDATE, DELETE and REPLACE, whatever
//! `binlog_row_image` says; with other settings than FULL both servers leave out other columns,
//! too. Which ones may be missing is for those to say who know the table.

use super::event::{EVENT_LEN_MAX, EventHeader, HEADER_LEN};
use super::rows::RowsHead;
use crate::change::{AbsentCells, ImageLayout, RowsKind, is_set, widen};
use crate::position::Flavor;
use crate::schema::TableShape;
use bytes::Bytes;

/// The event with whole rows, without a checksum, and what is absent from them; the images end at
/// `end` of `event`. `None` when they cannot be followed.
pub(crate) fn widened(
    event: &Bytes,
    end: usize,
    (head, kind): (&RowsHead, RowsKind),
    shape: &TableShape,
    flavor: Flavor,
) -> Option<(Bytes, AbsentCells)> {
    let layout = ImageLayout::new(&shape.columns).ok()?;
    let [first, second] = &head.present;
    let bitmaps = [event.get(first.clone())?, event.get(second.clone())?];
    let bitmaps = bitmaps.get(..1 + usize::from(kind == RowsKind::Update))?;
    let lacks = |bitmap: &[u8], column: usize| !is_set(bitmap, column);
    let any = |bitmap: &&[u8]| (0..head.width).any(|column| lacks(bitmap, column));
    // Images of no column have no bytes: how many there are, nobody can tell.
    let is_empty = |bitmap: &&[u8]| (0..head.width).all(|column| lacks(bitmap, column));
    if bitmaps.iter().any(is_empty) {
        return None;
    }
    let mut out = vec![0; HEADER_LEN];
    out.extend_from_slice(event.get(HEADER_LEN..head.images.start)?);
    let mut rest = event.get(head.images.start..end)?;
    while !rest.is_empty() {
        for present in bitmaps {
            let length = widen((&layout, flavor), present, rest, &mut out)?;
            rest = rest.get(length..)?;
        }
        if out.len() > EVENT_LEN_MAX {
            return None;
        }
    }
    let header = EventHeader {
        length: u32::try_from(out.len()).ok()?,
        ..EventHeader::read(event)?
    };
    out.get_mut(..HEADER_LEN)?
        .copy_from_slice(&header.to_bytes());
    let absent = AbsentCells {
        columns: (0..head.width)
            .filter(|column| bitmaps.iter().any(|bitmap| lacks(bitmap, *column)))
            .collect(),
        images: [0, 1].map(|image| bitmaps.get(image).is_some_and(any)),
        logged: event.clone(),
    };
    Some((Bytes::from(out), absent))
}
