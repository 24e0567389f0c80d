//! One row of a child through its history, with the cascades that hit it.
//!
//! Pure. The entries of one row identity come in the order of the log; between two of them the
//! row is changed as the events of its foreign keys say, by the value it refers to at that
//! moment. One change of a parent hits a row once per foreign key: what a cascade leaves is not
//! hit again at the same place.

use super::log::{Action, CascadeLog, Place};
use super::value::{KeyColumn, MatchKey};
use crate::change::{ImageLayout, ImageWriter, Row};
use crate::error::{Error, Result};
use crate::position::{Flavor, Seq};
use crate::restore::xa::Span;
use crate::schema::TableName;
use std::ops::{Bound, Range};
use std::sync::Arc;

/// A foreign key as its child sees it.
#[derive(Clone, Debug)]
pub(super) struct ChildKey {
    /// The table that is referred to.
    pub(super) parent: TableName,
    /// Columns in the child, in the order of the key.
    pub(super) columns: Vec<KeyColumn>,
    /// Their names.
    pub(super) names: Vec<String>,
    /// What happened to the parent: as logged, and as derived for the parent itself.
    pub(super) logs: [Arc<CascadeLog>; 2],
}

impl ChildKey {
    fn next(
        &self,
        key: &MatchKey,
        (mut from, until): (Bound<Place>, Bound<Place>),
        span: &Span,
    ) -> Result<Option<(Place, &Action)>, Place> {
        let [logged, derived] = &self.logs;
        loop {
            let window = (from, until);
            let found = [logged.next(key, window)?, derived.next(key, window)?];
            let found = found.into_iter().flatten().min_by_key(|(at, _)| *at);
            match found {
                // The base has it, though it has not what was prepared before.
                Some((at, _)) if !span.takes(Seq(at.0)) => from = Bound::Excluded(at),
                found => return Ok(found),
            }
        }
    }
}

/// Splits and writes the images of one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images<'a> {
    /// Layout of an image.
    pub(super) layout: &'a ImageLayout,
    /// Whose filler bits they have.
    pub(super) flavor: Flavor,
}

impl Images<'_> {
    /// The image with other cells at some columns.
    fn with(
        &self,
        row: &Row<'_>,
        cells: &[Option<Range<u32>>],
        changes: &[(usize, Option<&[u8]>)],
    ) -> Result<Vec<u8>> {
        let image = row.image;
        let mut out = Vec::with_capacity(image.len() + 16);
        let mut writer = ImageWriter::begin(self.flavor, cells.len(), &mut out);
        for (index, cell) in cells.iter().enumerate() {
            let changed = changes.iter().find(|(column, _)| *column == index);
            let cell = match changed {
                Some((_, cell)) => *cell,
                None => cell.as_ref().map(|range| cell_of(image, range)),
            };
            match cell {
                Some(cell) => writer.cell().extend_from_slice(cell),
                None => writer.null(),
            }
        }
        writer.finish()?;
        // Filler bits that are not the flavor's stay what they were.
        let bytes = self.layout.bitmap_bytes();
        let used = cells.len() % 8;
        if let (true, Some(last), Some(was)) = (
            used > 0,
            out.get_mut(bytes.saturating_sub(1)),
            image.get(bytes.saturating_sub(1)),
        ) {
            let filler = 0xff << used;
            *last = (*last & !filler) | (was & filler);
        }
        out.extend_from_slice(row.absent);
        Ok(out)
    }
}

/// A cell of an image.
pub(super) fn cell_of<'a>(image: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    let range = range.start as usize..range.end as usize;
    image.get(range).unwrap_or_default()
}

/// Refuses a row that lacks a cell which cascades go by.
pub(super) fn refuse_absent(row: &Row<'_>, mut columns: impl Iterator<Item = usize>) -> Result<()> {
    match columns.find(|column| row.is_absent(*column)) {
        None => Ok(()),
        Some(column) => Err(Error::gap(
            "derive cascades: the source did not log a generated column of a foreign key",
        )
        .field("column", column)
        .hint("restore to a moment after the next base")),
    }
}

/// A change of a row that no event says.
#[derive(Clone, Copy, Debug)]
pub(in crate::restore) struct Derived<'a> {
    /// The place of the parent's change that it follows from.
    pub(in crate::restore) at: Place,
    /// Number of equal rows: 1 where the table has a key.
    pub(in crate::restore) copies: u64,
    /// The row before.
    pub(in crate::restore) before: &'a [u8],
    /// The row after; `None` when it was deleted.
    pub(in crate::restore) after: Option<&'a [u8]>,
}

/// The rows that are there now.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Their image.
    pub(super) image: Vec<u8>,
    /// How many there are.
    pub(super) copies: u64,
}

/// Walks the history of one row identity after the other.
#[derive(Debug)]
pub(super) struct Walker<'a> {
    images: Images<'a>,
    keys: &'a [ChildKey],
    /// Columns that other rows refer to.
    referred: &'a [usize],
    /// Which events the base does not have, up to the end.
    span: &'a Span,
    /// The place of the base before all of them.
    start: Place,
    rows: Rows,
    /// Events up to here have been applied (or are later than anything so far).
    floor: Bound<Place>,
    cells: Vec<Option<Range<u32>>>,
}

impl<'a> Walker<'a> {
    /// For a table whose base holds the state before `span`.
    pub(super) fn new(
        images: Images<'a>,
        (keys, referred): (&'a [ChildKey], &'a [usize]),
        span: &'a Span,
    ) -> Walker<'a> {
        let start = (span.place_of_base().0, i64::MAX);
        Walker {
            span,
            images,
            keys,
            referred,
            start,
            rows: Rows::default(),
            floor: Bound::Excluded(start),
            cells: Vec::new(),
        }
    }

    /// Rows appear: an insert, the image after an update, rows of the base.
    pub(super) fn appear(
        &mut self,
        at: Place,
        (image, copies): (&[u8], u64),
        each: impl FnMut(Derived<'_>) -> Result<bool>,
    ) -> Result<()> {
        let at = at.max(self.start);
        self.apply(Bound::Included(at), each)?;
        self.floor = Bound::Excluded(at);
        self.rows.image.clear();
        self.rows.image.extend_from_slice(image);
        self.rows.copies += copies;
        Ok(())
    }

    /// A row disappears: a delete, the image before an update. Gives whether it was there.
    pub(super) fn vanish(
        &mut self,
        at: Place,
        each: impl FnMut(Derived<'_>) -> Result<bool>,
    ) -> Result<bool> {
        self.apply(Bound::Excluded(at), each)?;
        // Its own cascade may hit rows that are equal to it.
        self.floor = Bound::Included(at);
        let left = self.rows.copies.checked_sub(1);
        self.rows.copies = left.unwrap_or(0);
        Ok(left.is_some())
    }

    /// The rows that are there now.
    pub(super) fn copies(&self) -> u64 {
        self.rows.copies
    }

    /// Of several rows that cannot all be there, only the last is.
    pub(super) fn keep_one(&mut self) {
        self.rows.copies = 1;
    }

    /// Ends the history of this identity at `through` and gives the rows that are left.
    pub(super) fn end(
        &mut self,
        through: i64,
        each: impl FnMut(Derived<'_>) -> Result<bool>,
    ) -> Result<Rows> {
        self.apply(Bound::Included((through, i64::MAX)), each)?;
        self.floor = Bound::Excluded(self.start);
        Ok(std::mem::take(&mut self.rows))
    }

    /// Applies the events up to `until` to the rows that are there. `each` is told of every
    /// change and says whether the row still has the same identity.
    fn apply(
        &mut self,
        until: Bound<Place>,
        mut each: impl FnMut(Derived<'_>) -> Result<bool>,
    ) -> Result<()> {
        while self.rows.copies > 0 {
            let Some((at, after)) = self.hit(until)? else {
                return Ok(());
            };
            self.floor = Bound::Excluded(at);
            let stays = each(Derived {
                at,
                copies: self.rows.copies,
                before: &self.rows.image,
                after: after.as_deref(),
            })?;
            match after {
                Some(image) if stays => self.rows.image = image,
                _ => self.rows.copies = 0,
            }
        }
        Ok(())
    }

    /// The next place at which the rows are hit, and what they become.
    fn hit(&mut self, until: Bound<Place>) -> Result<Option<(Place, Option<Vec<u8>>)>> {
        let image = &self.rows.image;
        let row = self.images.layout.split_row(image, &mut self.cells)?;
        let cells = &self.cells;
        let mut hits: Vec<(&ChildKey, Place, &Action)> = Vec::new();
        for key in self.keys {
            refuse_absent(&row, key.columns.iter().map(|column| column.index))?;
            let cell = |column: &KeyColumn| {
                let range = cells.get(column.index)?.as_ref();
                range.map(|range| cell_of(image, range))
            };
            let Some(value) = MatchKey::of(&key.columns, cell) else {
                continue;
            };
            let next = key.next(&value, (self.floor, until), self.span);
            let next = next.map_err(|at| alike(key, at))?;
            hits.extend(next.map(|(at, action)| (key, at, action)));
        }
        let Some(at) = hits.iter().map(|(_, at, _)| *at).min() else {
            return Ok(None);
        };
        hits.retain(|(_, place, _)| *place == at);
        if !commute(&hits, self.referred) {
            return Err(unordered(at).field("parent", join(&hits)));
        }
        if hits.iter().any(|(_, _, a)| **a == Action::Delete) {
            return Ok(Some((at, None)));
        }
        let mut changes: Vec<(usize, Option<&[u8]>)> = Vec::new();
        for (key, _, action) in &hits {
            match action {
                Action::Delete => {}
                Action::SetNull => changes.extend(key.columns.iter().map(|c| (c.index, None))),
                Action::Update(parts) => {
                    let parts = parts.iter().filter_map(|(part, cell)| {
                        let column = key.columns.get(*part)?;
                        Some((column.index, cell.as_deref()))
                    });
                    changes.extend(parts);
                }
            }
        }
        let after = self.images.with(&row, cells, &changes)?;
        Ok(Some((at, Some(after))))
    }
}

/// Whether hits of one row at one place come to the same in any order, for the row and for those
/// that refer to its columns `referred`.
fn commute(hits: &[(&ChildKey, Place, &Action)], referred: &[usize]) -> bool {
    let of_change = |(_, _, action): &&(&ChildKey, Place, &Action)| **action != Action::Delete;
    let changes = hits.iter().filter(of_change);
    if hits.len() < 2 || changes.clone().next().is_none() {
        return true;
    }
    let columns = hits.iter().flat_map(|(key, ..)| &key.columns);
    let mut indexes: Vec<usize> = columns.map(|c| c.index).collect();
    let count = indexes.len();
    indexes.sort_unstable();
    indexes.dedup();
    let shown = changes.clone().filter(|(key, ..)| {
        let mut columns = key.columns.iter();
        columns.any(|column| referred.contains(&column.index))
    });
    // What is passed on follows from one of them only, or from the end of the row as it was.
    let is_deleted = changes.count() < hits.len();
    indexes.len() == count && shown.count() <= usize::from(!is_deleted)
}

fn join(hits: &[(&ChildKey, Place, &Action)]) -> String {
    let names: Vec<String> = hits.iter().map(|(k, ..)| k.parent.to_string()).collect();
    names.join(",")
}

/// The order of two cascades is the engine's own.
pub(super) fn unordered(at: Place) -> Error {
    Error::gap("derive cascades: one change reached a row on two ways that do not commute")
        .field("seq", at.0)
        .hint(before(at))
}

fn alike(key: &ChildKey, at: Place) -> Error {
    Error::gap("derive cascades: only the collation tells whether a row refers to a changed one")
        .field("parent", &key.parent)
        .field("seq", at.0)
        .hint(before(at))
}

/// The next step where a cascade cannot be derived.
pub(super) fn before(at: Place) -> String {
    format!(
        "restore to just before it (--to-seq {} --before), or to a moment after the next base",
        at.0
    )
}
