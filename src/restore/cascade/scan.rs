//! Finds in the changes of a parent what the engine passed on to its children unlogged.

use super::definition::{self, ForeignKey, Known, OnChange};
use super::log::{Action, Budget, CascadeLog, Held, Place};
use super::value::{KeyColumn, MatchKey};
use super::walk::{before, unordered};
use crate::change::Op;
use crate::error::{Error, Result};
use crate::restore::xa::Span;
use crate::schema::TableName;
use crate::segment::{
    BatchView, FileKind, ImageEncoder, ReadOptions, TableFileReader, TablePlan, system,
};
use parquet::file::reader::ChunkReader;
use std::collections::HashMap;
use std::sync::Arc;

/// Flags that tell that the server, not the engine, looked after foreign keys: checks off, or
/// cascades done and logged by the server.
const LOGGED: u16 = 0x12;

/// A foreign key with its columns on both sides.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// The key.
    pub(super) key: ForeignKey,
    /// Columns in the parent; empty where the two sides cannot be compared.
    pub(super) parent: Vec<KeyColumn>,
    /// Columns in the child; empty with those of the parent.
    pub(super) child: Vec<KeyColumn>,
}

impl Link {
    /// Of the table versions that two plans are of.
    pub(super) fn new(key: &ForeignKey, parent: &TablePlan, child: &TablePlan) -> Link {
        let find = |plan: &TablePlan, names: &[String]| -> Option<Vec<KeyColumn>> {
            names.iter().map(|n| KeyColumn::find(plan, n)).collect()
        };
        let both = find(parent, &key.parent_columns).zip(find(child, &key.child_columns));
        let both = both.filter(|(p, c)| {
            key.known != Known::Unsure
                && !p.is_empty()
                && p.len() == c.len()
                && p.iter().zip(c).all(|(p, c)| c.fits(p))
        });
        let (parent, child) = both.unwrap_or_default();
        Link {
            key: key.clone(),
            parent,
            child,
        }
    }

    /// The columns of the parent to read from a file of the version of `plan`. Where the version
    /// has others, the key cannot be followed from there on, and any change of a row counts.
    fn read(&mut self, plan: &TablePlan) -> Vec<usize> {
        let names = self.key.parent_columns.iter();
        let found: Vec<KeyColumn> = names.filter_map(|n| KeyColumn::find(plan, n)).collect();
        let same = |(a, b): (&KeyColumn, &KeyColumn)| a.is_alike(b);
        if !found.is_empty()
            && found.len() == self.parent.len()
            && found.iter().zip(&self.parent).all(same)
        {
            return found.iter().map(|column| column.index).collect();
        }
        self.parent.clear();
        self.child.clear();
        let columns = &plan.version().columns;
        let names = self.key.parent_columns.iter();
        let places = names.map(|name| columns.iter().position(|c| definition::same(&c.name, name)));
        let places: Option<Vec<usize>> = places.collect();
        let places = places.filter(|places| !places.is_empty());
        places.unwrap_or_else(|| (0..columns.len()).collect())
    }

    /// Notes what a change of a row of the parent does to rows that refer to it; `cells` are its
    /// columns of the key, before and (unless it was deleted) after.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) where the key cannot be followed, or the log is
    /// full.
    pub(super) fn note(
        &self,
        log: &mut CascadeLog,
        at: Place,
        (was, is): (&Cells, Option<&Cells>),
    ) -> Result<()> {
        let action = match is {
            None => self.key.on_delete,
            Some(is) if is != was => self.key.on_update,
            Some(_) => None,
        };
        let in_force = at.0 > self.key.after.0 && at.0 <= self.key.through.0;
        let Some(action) = action.filter(|_| in_force) else {
            return Ok(());
        };
        if self.parent.is_empty() {
            let what = match self.key.known {
                Known::Unsure => "derive cascades: a foreign key changed after the base",
                _ => "derive cascades: the columns of a foreign key cannot be compared here",
            };
            let error = Error::gap(what).field("seq", at.0).hint(before(at));
            return Err(self.context(error));
        }
        let mut parts = was.iter();
        let key = MatchKey::of(&self.parent, |_| parts.next()?.as_deref());
        let action = match (action, is) {
            (OnChange::SetNull, _) => Some(Action::SetNull),
            (OnChange::Cascade, None) => Some(Action::Delete),
            (OnChange::Cascade, Some(is)) => self.update(was, is),
        };
        match key.zip(action) {
            Some((key, action)) => log
                .push(key, at, action)
                .map_err(|e| self.context(e.field("seq", at.0))),
            None => Ok(()),
        }
    }

    /// The new cells of a child; `None` where the child cannot have them: the engine would have
    /// refused the change, had anything referred to the row.
    fn update(&self, was: &Cells, is: &Cells) -> Option<Action> {
        let mut parts = Vec::new();
        let columns = self.parent.iter().zip(&self.child).enumerate();
        for ((part, (parent, child)), (was, is)) in columns.zip(was.iter().zip(is)) {
            if was == is {
                continue;
            }
            parts.push(match is {
                None if !child.nullable => return None,
                None => (part, None),
                Some(cell) => (part, Some(child.take(parent, cell)?)),
            });
        }
        Some(Action::Update(parts))
    }

    /// Parent and child.
    pub(super) fn context(&self, error: Error) -> Error {
        error
            .field("parent", &self.key.parent)
            .field("child", &self.key.child)
    }
}

/// The cells of one foreign key in a row of the parent.
pub(super) type Cells = Vec<Option<Vec<u8>>>;

/// Half of an update.
#[derive(Debug)]
struct Half {
    /// It is the image before.
    is_before: bool,
    /// The cells of every link.
    cells: Vec<Cells>,
}

impl Half {
    /// Memory it takes, about.
    fn bytes(&self) -> u64 {
        let cells = self.cells.iter().flatten();
        let bytes: usize = cells.map(|c| 48 + c.as_ref().map_or(0, Vec::len)).sum();
        96 + bytes as u64
    }
}

/// Reads the change files of one parent, one after the other, into the logs of its links.
#[derive(Debug)]
pub(super) struct Scan {
    parent: TableName,
    links: Vec<(Link, CascadeLog)>,
    /// The entries that count.
    span: Span,
    /// MariaDB keeps the history of the parent's rows.
    versioned: bool,
    /// Updates of which one image was seen.
    halves: HashMap<Place, Half>,
    /// Memory of those.
    held: Held,
}

impl Scan {
    /// For the changes of `span`.
    pub(super) fn new(
        parent: &TableName,
        links: Vec<Link>,
        (span, versioned): (&Span, bool),
        budget: &Budget,
    ) -> Scan {
        let links = links.into_iter();
        Scan {
            parent: parent.clone(),
            links: links.map(|l| (l, CascadeLog::new(budget))).collect(),
            span: span.clone(),
            versioned,
            halves: HashMap::new(),
            held: Held::new(budget),
        }
    }

    /// Reads a file, which is of the version of `plan`.
    ///
    /// # Errors
    /// Those of reading, and as [`Link::note`].
    pub(super) fn file<R: ChunkReader + Clone + 'static>(
        &mut self,
        file: R,
        plan: &Arc<TablePlan>,
    ) -> Result<()> {
        let columns: Vec<Vec<usize>> = self.links.iter_mut().map(|(l, _)| l.read(plan)).collect();
        let mut fields: Vec<i32> = (system::OP_ID..=system::RAW_ID).collect();
        for column in columns.iter().flatten() {
            fields.extend(plan.version().columns.get(*column).map(|c| c.field_id));
        }
        let options = ReadOptions {
            fields: Some(fields),
            ..ReadOptions::default()
        };
        let encoder = ImageEncoder::new(Arc::clone(plan));
        // The image before of the update whose image after comes next, most often.
        let mut former: Option<(Place, Vec<Cells>)> = None;
        let reader = TableFileReader::open(file, Arc::clone(plan), FileKind::Change)?;
        for batch in reader.read(&options)? {
            let batch = batch?;
            let view = BatchView::new(plan, &batch)?;
            for row in 0..view.rows() {
                let change = view.change(row)?;
                let counts = self.span.takes_row(change.seq, change.row);
                if !counts || change.flags & LOGGED != 0 || change.op == Op::Insert {
                    continue;
                }
                let at = (change.seq.0, change.row);
                self.refuse_versioned(at)?;
                let mut cells = Vec::with_capacity(columns.len());
                for columns in &columns {
                    cells.push(read_cells(&encoder, (&view, row), columns)?);
                }
                match (change.op, former.take()) {
                    (Op::UpdateAfter, Some((place, was))) if place == at => {
                        self.changed(at, &was, Some(&cells))?;
                    }
                    (op, waiting) => {
                        self.waiting(waiting)?;
                        match op {
                            Op::Delete => self.changed(at, &cells, None)?,
                            Op::UpdateBefore => former = Some((at, cells)),
                            _ => self.half(
                                at,
                                Half {
                                    is_before: false,
                                    cells,
                                },
                            )?,
                        }
                    }
                }
            }
        }
        self.waiting(former)
    }

    /// An image before whose image after did not come next.
    fn waiting(&mut self, former: Option<(Place, Vec<Cells>)>) -> Result<()> {
        let Some((at, cells)) = former else {
            return Ok(());
        };
        let is_before = true;
        self.half(at, Half { is_before, cells })
    }

    /// What was found: the logs of the links, in their order.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when an update has one image only;
    /// [`Gap`](crate::error::ErrorKind::Gap) where the order of two changes is not known.
    pub(super) fn finish(self) -> Result<Vec<CascadeLog>> {
        if let Some((seq, _)) = self.halves.keys().min() {
            return Err(
                Error::corrupt("derive cascades: an update without one of its images")
                    .field("table", &self.parent)
                    .field("seq", seq),
            );
        }
        let sorted = self.links.into_iter().map(|(link, mut log)| {
            log.sort().map_err(|at| link.context(unordered(at)))?;
            Ok(log)
        });
        sorted.collect()
    }

    fn half(&mut self, at: Place, half: Half) -> Result<()> {
        let Some(other) = self.halves.remove(&at) else {
            self.held.add(half.bytes())?;
            self.halves.insert(at, half);
            return Ok(());
        };
        self.held.give(other.bytes());
        match (other.is_before, half.is_before) {
            (true, false) => self.changed(at, &other.cells, Some(&half.cells)),
            (false, true) => self.changed(at, &half.cells, Some(&other.cells)),
            _ => Err(
                Error::corrupt("derive cascades: an update with an image twice")
                    .field("table", &self.parent)
                    .field("seq", at.0),
            ),
        }
    }

    fn changed(&mut self, at: Place, was: &[Cells], is: Option<&Vec<Cells>>) -> Result<()> {
        for (index, (link, log)) in self.links.iter_mut().enumerate() {
            if let Some(was) = was.get(index) {
                link.note(log, at, (was, is.and_then(|is| is.get(index))))?;
            }
        }
        Ok(())
    }

    /// A delete of a versioned row is logged as an update, and one of its history as a delete.
    fn refuse_versioned(&self, at: Place) -> Result<()> {
        match self.links.first().filter(|_| self.versioned) {
            None => Ok(()),
            Some((link, _)) => Err(link.context(
                Error::gap("derive cascades: of a system-versioned table")
                    .field("seq", at.0)
                    .hint(before(at)),
            )),
        }
    }
}

fn read_cells(
    encoder: &ImageEncoder,
    (view, row): (&BatchView<'_>, usize),
    columns: &[usize],
) -> Result<Cells> {
    let cell = |column: &usize| {
        let mut cell = Vec::new();
        let there = encoder.cell(view, row, *column, &mut cell)?;
        Ok(there.then_some(cell))
    };
    columns.iter().map(cell).collect()
}
