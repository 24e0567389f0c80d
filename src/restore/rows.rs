//! A table's files as sorted runs of row images, folded.
//!
//! A batch of a file becomes one entry per key: what its changes come to, and the image that the
//! last of them leaves. Only images that may be left are encoded, and no Arrow array outlives its
//! batch.

use super::plan::PlannedTable;
use super::spill;
use super::spool::Spooled;
use crate::base::fold::{self, FoldedRow, Identity, Keys, Run, RunBatch, Step};
use crate::error::{Error, Result};
use crate::manifest::FileOrder;
use crate::position::Seq;
use crate::schema::TableVersion;
use crate::segment::{
    BatchView, FileKind, ImageEncoder, KeyCodec, ReadOptions, RowOrder, TableFileReader, TablePlan,
};
use arrow_array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Runs merged at once.
const RUNS_MAX: usize = 96;
/// Bytes of row images that the batches of all runs together may hold, about.
const BATCH_BYTES_ALL: u64 = 64 << 20;

/// Row images of a batch; entries without one have an empty span.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Images {
    /// Adds the image of the next entry, written by `write`.
    pub(super) fn push_with(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        write(&mut self.bytes)?;
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The image of an entry.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = index
            .checked_sub(1)
            .and_then(|i| self.ends.get(i))
            .copied()
            .unwrap_or(0);
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// A file with the version it is of.
#[derive(Clone, Debug)]
pub(super) struct InputFile {
    /// Its bytes.
    pub(super) file: Spooled,
    /// Table version.
    pub(super) version: u32,
    /// Whether its rows are one sorted run.
    pub(super) sorted: bool,
    /// Rows in it.
    pub(super) rows: u64,
    /// Smallest and greatest key, where known.
    pub(super) keys: Option<(Vec<u8>, Vec<u8>)>,
}

/// All files of a table, ready to be folded.
#[derive(Debug)]
pub(super) struct TableInput {
    plans: BTreeMap<u32, Arc<TablePlan>>,
    version: u32,
    identity: Identity,
    base: Vec<InputFile>,
    /// Files of changes, in log order.
    changes: Vec<InputFile>,
    exact_from: Seq,
    cut: Seq,
    is_sequence: bool,
}

impl TableInput {
    /// The files of `table`, in the order of its lists.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when a version of the table has a
    /// type this program cannot walk.
    pub(super) fn new(
        table: &PlannedTable,
        files: (Vec<Spooled>, Vec<Spooled>),
        cut: Seq,
    ) -> Result<TableInput> {
        let mut plans = BTreeMap::new();
        for (number, version) in &table.versions {
            plans.insert(*number, Arc::new(TablePlan::compile(Arc::clone(version))?));
        }
        let base = table
            .base_files
            .iter()
            .zip(files.0)
            .map(|(f, file)| InputFile {
                file,
                version: f.version,
                sorted: f.order == RowOrder::Sorted,
                rows: f.rows,
                keys: f.key_min.clone().zip(f.key_max.clone()),
            });
        let changes = table
            .change_files
            .iter()
            .zip(files.1)
            .map(|(f, file)| InputFile {
                file,
                version: f.version.unwrap_or(0),
                sorted: matches!(f.order, FileOrder::Key | FileOrder::Hash),
                rows: f.rows,
                keys: None,
            });
        let keyed = table.versions.values().all(|v| !v.key.is_empty());
        Ok(TableInput {
            plans,
            version: table.version,
            identity: if keyed {
                Identity::Key
            } else {
                Identity::WholeRow
            },
            base: base.collect(),
            changes: changes.collect(),
            exact_from: table.exact_from_seq,
            cut,
            is_sequence: table.is_sequence,
        })
    }

    /// The version at the cut.
    pub(super) fn version(&self) -> Result<&Arc<TableVersion>> {
        Ok(self.plan(self.version)?.version())
    }

    /// The plan of a version.
    pub(super) fn plan(&self, version: u32) -> Result<&Arc<TablePlan>> {
        let plan = self.plans.get(&version);
        plan.ok_or_else(|| Error::internal("fold table: unknown version").field("version", version))
    }

    /// Folds the table: every row that is left at the cut, as a row image of the version at the
    /// cut, ascending by key; `copies` of it.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a file is damaged or the history is
    /// impossible; errors of `each`.
    pub(super) fn fold(&self, mut each: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
        if self.is_sequence {
            return self.last_row().and_then(|row| each(&row, 1));
        }
        let chains = chains(&self.base).into_iter();
        let base: Result<_> = chains.map(|chain| self.base_runs(chain)).collect();
        let changes = self
            .changes
            .iter()
            .map(|file| self.runs_of(file, FileKind::Change));
        let changes: Result<_> = changes.collect();
        let mut runs = self.limit(base?)?;
        runs.extend(self.limit(changes?)?);
        fold::fold(self.identity, runs, |row: FoldedRow<'_, Images>| {
            each(row.payload.get(row.index), row.copies)
        })
    }

    /// The one row of a sequence: its last image, whatever was logged for the one before.
    fn last_row(&self) -> Result<Vec<u8>> {
        let kinds = [
            (FileKind::Base, &self.base),
            (FileKind::Change, &self.changes),
        ];
        let mut last: Option<((i64, i64), Vec<u8>)> = None;
        for (kind, files) in kinds {
            for file in files {
                for batch in self.batches(file, kind, None)? {
                    let batch = batch?;
                    let places = batch.seqs.iter().copied().zip(batch.rows.iter().copied());
                    for (index, place) in places.enumerate() {
                        let image = batch.payload.get(index);
                        let newer = last.as_ref().is_none_or(|(at, _)| place >= *at);
                        if newer && !image.is_empty() {
                            last = Some((place, image.to_owned()));
                        }
                    }
                }
            }
        }
        let (_, image) = last.ok_or_else(|| Error::corrupt("fold sequence: it has no row"))?;
        Ok(image)
    }

    fn base_runs<'a>(&'a self, chain: Vec<&'a InputFile>) -> Result<Vec<Run<'a, Images>>> {
        if let [file] = chain.as_slice()
            && !file.sorted
        {
            return self.runs_of(file, FileKind::Base);
        }
        // Opened one after the other: only one of them is ever in memory.
        let batches = chain.into_iter().flat_map(move |file| {
            match self.batches(file, FileKind::Base, None) {
                Ok(batches) => batches,
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        });
        Ok(vec![Run::whole(batches)])
    }

    fn runs_of<'a>(&'a self, file: &'a InputFile, kind: FileKind) -> Result<Vec<Run<'a, Images>>> {
        if file.sorted {
            return Ok(vec![Run::whole(self.batches(file, kind, None)?)]);
        }
        let groups = self.open(file, kind)?.row_group_rows().len();
        let run = |group| Ok(Run::whole(self.batches(file, kind, Some(group))?));
        (0..groups).map(run).collect()
    }

    /// As many runs as there is room for: too many are condensed, neighbours together.
    fn limit<'a>(&self, mut level: Vec<Vec<Run<'a, Images>>>) -> Result<Vec<Run<'a, Images>>> {
        while level.iter().map(Vec::len).sum::<usize>() > RUNS_MAX && level.len() > 1 {
            let mut next = Vec::new();
            let mut group: Vec<Run<'_, Images>> = Vec::new();
            for mut runs in level {
                if !group.is_empty() && group.len() + runs.len() > RUNS_MAX {
                    let full = std::mem::take(&mut group);
                    next.push(vec![spill::condense(self.identity, full)?]);
                }
                group.append(&mut runs);
            }
            next.push(vec![spill::condense(self.identity, group)?]);
            level = next;
        }
        Ok(level.into_iter().flatten().collect())
    }

    fn open(&self, file: &InputFile, kind: FileKind) -> Result<TableFileReader<Spooled>> {
        TableFileReader::open(
            file.file.clone(),
            Arc::clone(self.plan(file.version)?),
            kind,
        )
    }

    fn batches<'a>(
        &'a self,
        file: &'a InputFile,
        kind: FileKind,
        group: Option<usize>,
    ) -> Result<Box<dyn Iterator<Item = Result<RunBatch<Images>>> + 'a>> {
        let options = ReadOptions {
            fields: None,
            row_groups: group.map(|group| vec![group]),
            batch_rows: self.batch_rows(file),
        };
        let batches = self.open(file, kind)?.read(&options)?;
        let mapper = BatchMapper::new(self, self.plan(file.version)?, kind);
        Ok(Box::new(batches.map(move |batch| mapper.map(&batch?))))
    }

    /// Rows of a batch, so that the batches of all runs stay in their budget.
    fn batch_rows(&self, file: &InputFile) -> usize {
        use parquet::file::reader::Length;
        let runs = (self.base.len() + self.changes.len()).clamp(1, RUNS_MAX) as u64;
        // Files hold two to eight times their length.
        let row_bytes = (file.file.len() * 8 / file.rows.max(1)).max(16);
        (BATCH_BYTES_ALL / runs / row_bytes).clamp(16, 8_192) as usize
    }
}

/// Sorted files whose key ranges follow each other are one run; every other file is on its own.
fn chains(files: &[InputFile]) -> Vec<Vec<&InputFile>> {
    let (mut ranged, rest): (Vec<_>, Vec<_>) = files
        .iter()
        .partition(|file| file.sorted && file.keys.is_some());
    ranged.sort_by(|a, b| a.keys.cmp(&b.keys));
    let mut chains: Vec<Vec<&InputFile>> = Vec::new();
    for file in ranged {
        let end = |chain: &Vec<&InputFile>| chain.last().and_then(|f| f.keys.clone()).map(|k| k.1);
        let start = file.keys.as_ref().map(|k| k.0.clone());
        match chains.iter_mut().find(|chain| end(chain) < start) {
            Some(chain) => chain.push(file),
            None => chains.push(vec![file]),
        }
    }
    chains.extend(rest.into_iter().map(|file| vec![file]));
    chains
}

/// Turns batches of one file into batches of a run.
struct BatchMapper {
    plan: Arc<TablePlan>,
    keys: KeyCodec,
    encoder: ImageEncoder,
    identity: Identity,
    kind: FileKind,
    exact_from: Seq,
    cut: Seq,
}

/// One entry while a batch is mapped.
struct Entry {
    seq: i64,
    row: i64,
    step: Step,
    /// Row of the batch with the image that the entry leaves.
    image: Option<usize>,
}

impl BatchMapper {
    fn new(input: &TableInput, plan: &Arc<TablePlan>, kind: FileKind) -> BatchMapper {
        BatchMapper {
            plan: Arc::clone(plan),
            keys: KeyCodec::new(Arc::clone(plan)),
            encoder: ImageEncoder::new(Arc::clone(plan)),
            identity: input.identity,
            kind,
            exact_from: input.exact_from,
            cut: input.cut,
        }
    }

    fn map(&self, batch: &RecordBatch) -> Result<RunBatch<Images>> {
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
                .filter(|_| keys.get(keys.len() - 1) == key)
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
        let entry = match self.kind {
            FileKind::Base => Entry {
                seq: view.seq(row)?.0,
                row: 0,
                step: Step::APPEAR,
                image: Some(row),
            },
            FileKind::Change => {
                let change = view.change(row)?;
                if change.seq <= self.exact_from || change.seq > self.cut {
                    return Ok(None);
                }
                Entry {
                    seq: change.seq.0,
                    row: change.row,
                    step: Step::of(change.op),
                    image: change.op.is_present_after().then_some(row),
                }
            }
        };
        if self.kind == FileKind::Base && entry.seq > self.exact_from.0 {
            return Err(
                Error::corrupt("fold rows: a row of the base is younger than the base")
                    .field("seq", entry.seq)
                    .field("base", self.exact_from),
            );
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
        if next.step.carries_row(self.identity) {
            last.image = next.image;
        } else if self.identity == Identity::Key {
            last.image = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
