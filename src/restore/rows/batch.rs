//! Batches of a file as batches of a run.

use super::{Images, TableInput};
use crate::base::fold::{Identity, Keep, Keys, RunBatch, Step};
use crate::error::{Error, Result};
use crate::position::Seq;
use crate::restore::table::has_shape_of;
use crate::restore::xa::Span;
use crate::segment::{BatchView, FileKind, ImageEncoder, KeyCodec, Scratch, TablePlan, Value};
use arrow_array::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Turns batches of one file into batches of a run.
pub(super) struct BatchMapper<'a> {
    plan: Arc<TablePlan>,
    keys: KeyCodec,
    encoder: ImageEncoder,
    identity: Identity,
    kind: FileKind,
    keep: Keep,
    span: Span,
    /// The last place that a row of the base may have.
    base_place: Seq,
    /// The AUTO_INCREMENT column and the largest value seen of it.
    counter: Option<(usize, &'a AtomicU64)>,
    /// Whether entries of one key become one.
    condenses: bool,
    /// Whether the images of the file have the shape of the table as it is folded.
    fits: bool,
}

/// One entry while a batch is mapped.
struct Entry {
    seq: i64,
    row: i64,
    step: Step,
    /// Row of the batch with the image that the entry leaves.
    image: Option<usize>,
}

impl<'a> BatchMapper<'a> {
    /// For a file of the version of `plan`.
    pub(super) fn new(
        input: &'a TableInput,
        plan: &Arc<TablePlan>,
        (kind, keep): (FileKind, Keep),
    ) -> BatchMapper<'a> {
        let counter = input.counter.as_ref().filter(|_| kind == FileKind::Change);
        let columns = &plan.version().columns;
        let counter = counter.and_then(|name| columns.iter().position(|c| c.name == *name));
        BatchMapper {
            keep,
            counter: counter.map(|column| (column, &input.largest_id)),
            plan: Arc::clone(plan),
            keys: KeyCodec::new(Arc::clone(plan)),
            encoder: ImageEncoder::new(Arc::clone(plan)),
            identity: input.identity,
            kind,
            span: input.span.clone(),
            base_place: input.span.place_of_base(),
            condenses: input.fold.is_none(),
            fits: has_shape_of(plan.version(), input.version()),
        }
    }

    /// A batch of the run.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the file is damaged or not in order.
    pub(super) fn map(&self, batch: &RecordBatch) -> Result<RunBatch<Images>> {
        let view = BatchView::new(&self.plan, batch)?;
        let mut keys = Keys::default();
        let mut entries: Vec<Entry> = Vec::new();
        let mut key = Vec::new();
        for row in 0..view.rows() {
            let Some(entry) = self.entry(&view, row)? else {
                continue;
            };
            key.clear();
            self.keys.encode_batch(&view, row, &mut key)?;
            match entries
                .last_mut()
                .filter(|_| self.condenses && keys.get(keys.len() - 1) == key)
            {
                Some(last) => self.add(last, entry)?,
                None => {
                    keys.push(&key);
                    entries.push(entry);
                }
            }
        }
        let mut payload = Images::default();
        for entry in &entries {
            payload.push_with(|out| match entry.image {
                Some(row) => self.encoder.image(&view, row, out),
                None => Ok(()),
            })?;
        }
        Ok(RunBatch {
            keys,
            seqs: entries.iter().map(|e| e.seq).collect(),
            rows: entries.iter().map(|e| e.row).collect(),
            steps: entries.iter().map(|e| e.step).collect(),
            payload,
        })
    }

    /// The entry of a row; `None` when it does not count.
    fn entry(&self, view: &BatchView<'_>, row: usize) -> Result<Option<Entry>> {
        let mut entry = match self.kind {
            FileKind::Base => Entry {
                seq: view.seq(row)?.0,
                row: 0,
                step: Step::APPEAR,
                image: Some(row),
            },
            FileKind::Change => {
                let change = view.change(row)?;
                if !self.span.takes_row(change.seq, change.row) {
                    return Ok(None);
                }
                let present = change.op.is_present_after();
                if present {
                    self.count(view, row)?;
                }
                Entry {
                    seq: change.seq.0,
                    row: change.row,
                    step: Step::of(change.op),
                    image: (present == (self.keep == Keep::Last)).then_some(row),
                }
            }
        };
        if !self.fits {
            return Err(
                Error::corrupt("fold rows: a change has the shape of another epoch")
                    .field("table", &self.plan.version().name)
                    .field("seq", entry.seq)
                    .hint("take a new base, and report it"),
            );
        }
        if self.kind == FileKind::Base && entry.seq > self.span.after().0 {
            return Err(
                Error::corrupt("fold rows: a row of the base is younger than the base")
                    .field("seq", entry.seq)
                    .field("base", self.span.after()),
            );
        }
        if self.kind == FileKind::Base {
            // Changes may stand at entries before the base: see `xa`.
            entry.seq = entry.seq.min(self.base_place.0);
        }
        Ok(Some(entry))
    }

    /// Adds the next entry of the same key.
    fn add(&self, last: &mut Entry, next: Entry) -> Result<()> {
        if (next.seq, next.row) < (last.seq, last.row) {
            return Err(
                Error::corrupt("fold rows: a file is not in the order it claims")
                    .field("seq", next.seq),
            );
        }
        last.step = last.step.then(next.step);
        (last.seq, last.row) = (next.seq, next.row);
        let has = last.image.is_some();
        if self.keep.takes(self.identity, next.step, last.step, has) {
            last.image = next.image;
        } else if self.keep == Keep::Last && self.identity == Identity::Key {
            last.image = None;
        }
        Ok(())
    }

    fn count(&self, view: &BatchView<'_>, row: usize) -> Result<()> {
        let Some((column, largest)) = self.counter else {
            return Ok(());
        };
        let id = id_of(view.value(column, row, &mut Scratch::default())?);
        largest.fetch_max(id, Ordering::Relaxed);
        Ok(())
    }
}

/// How far a value of an AUTO_INCREMENT column takes the counter; 0 for one that does not.
pub(in crate::restore) fn id_of(value: Value<'_>) -> u64 {
    match value {
        Value::Int(id) => u64::try_from(id).unwrap_or(0),
        Value::Decimal(id) => u64::try_from(id).unwrap_or(0),
        _ => 0,
    }
}
