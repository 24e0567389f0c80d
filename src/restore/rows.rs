//! A table's files as sorted runs of row images, folded.
//!
//! A batch of a file becomes one entry per key: what its changes come to, and the image that the
//! last of them leaves. Only images that may be left are encoded, and no Arrow array outlives its
//! batch.

mod batch;

use super::sequence;
use super::spill;
use super::spool::Spooled;
use super::table::{Epoch, PlannedTable};
use super::xa::Span;
use crate::base::fold::{self, FoldedRow, Identity, Keep, Run, RunBatch};
use crate::error::{Error, Result};
use crate::manifest::FileOrder;
use crate::schema::TableVersion;
use crate::segment::{FileKind, ReadOptions, RowOrder, TableFileReader, TablePlan};
use batch::BatchMapper;
pub(super) use batch::id_of;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// A fold in place of the plain one, for a table whose rows changed by more than its files say.
pub(super) trait Fold: std::fmt::Debug + Send + Sync {
    /// The rows that are left, ascending by key; `copies` of each.
    ///
    /// # Errors
    /// As [`TableInput::appeared`] calls it.
    fn fold(
        &self,
        input: &TableInput,
        each: &mut dyn FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<()>;
}

/// The files of a table that an epoch of it is folded from.
#[derive(Debug)]
pub(super) struct TableInput {
    plans: BTreeMap<u32, Arc<TablePlan>>,
    /// The table as it stands on the target in this epoch.
    version: Arc<TableVersion>,
    identity: Identity,
    base: Vec<InputFile>,
    /// Files of changes, in log order.
    changes: Vec<InputFile>,
    /// Whether the table was empty before: rows are left, and none vanish.
    is_first: bool,
    /// Which changes count.
    span: Span,
    is_sequence: bool,
    /// Name of the AUTO_INCREMENT column.
    counter: Option<String>,
    /// Largest value of it in any image that came to be.
    largest_id: AtomicU64,
    /// Whether the rows of the base files stand on the target and are written anew.
    replaces_base: bool,
    /// How its rows are folded, where not plainly.
    fold: Option<Arc<dyn Fold>>,
}

impl TableInput {
    /// The files of an epoch, in the order of its lists; `version` is the table as it stands on
    /// the target.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when a version of the table has a
    /// type this program cannot walk.
    pub(super) fn new(
        (table, epoch): (&PlannedTable, &Epoch),
        version: Arc<TableVersion>,
        files: (Vec<Spooled>, Vec<Spooled>),
    ) -> Result<TableInput> {
        let mut plans = BTreeMap::new();
        for (number, version) in &table.versions {
            plans.insert(*number, Arc::new(TablePlan::compile(Arc::clone(version))?));
        }
        let base = epoch
            .base_files(table)
            .iter()
            .zip(files.0)
            .map(|(f, file)| InputFile {
                file,
                version: f.version,
                sorted: f.order == RowOrder::Sorted,
                rows: f.rows,
                keys: f.key_min.clone().zip(f.key_max.clone()),
            });
        let changes = epoch
            .change_files(table)
            .zip(files.1)
            .map(|(f, file)| InputFile {
                file,
                version: f.version.unwrap_or(0),
                sorted: matches!(f.order, FileOrder::Key | FileOrder::Hash),
                rows: f.rows,
                keys: f.key_min.clone().zip(f.key_max.clone()),
            });
        Ok(TableInput {
            plans,
            identity: match version.key.is_empty() {
                true => Identity::WholeRow,
                false => Identity::Key,
            },
            version,
            base: base.collect(),
            changes: changes.collect(),
            is_first: epoch.is_first,
            span: Span::new(&table.counting, epoch.after, epoch.through),
            is_sequence: table.is_sequence,
            counter: None,
            largest_id: AtomicU64::new(0),
            replaces_base: false,
            fold: None,
        })
    }

    /// The same with changes that no event says, where there are some.
    pub(super) fn folded_by(mut self, fold: Option<Arc<dyn Fold>>) -> TableInput {
        self.fold = fold;
        self
    }

    /// The same where the target holds the rows of the base files: all of them vanish, and what is
    /// left of them appears again.
    pub(super) fn replacing_base(mut self) -> TableInput {
        self.replaces_base = true;
        self
    }

    /// What identifies a row.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Which changes count.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Looks for the largest value of this AUTO_INCREMENT column while it folds.
    pub(super) fn count(&mut self, column: Option<String>) {
        self.counter = column;
    }

    /// The AUTO_INCREMENT column, by its place on the target.
    pub(super) fn counter(&self) -> Option<usize> {
        let name = self.counter.as_ref()?;
        let mut columns = self.version.columns.iter();
        columns.position(|column| column.name == *name)
    }

    /// Largest value of the AUTO_INCREMENT column in any image seen; 0 for none.
    pub(super) fn largest_id(&self) -> u64 {
        self.largest_id.load(Ordering::Relaxed)
    }

    /// The table as it stands on the target.
    pub(super) fn version(&self) -> &Arc<TableVersion> {
        &self.version
    }

    /// Whether it is a sequence.
    pub(super) fn is_sequence(&self) -> bool {
        self.is_sequence
    }

    fn plan(&self, version: u32) -> Result<&Arc<TablePlan>> {
        let plan = self.plans.get(&version);
        plan.ok_or_else(|| Error::internal("fold table: unknown version").field("version", version))
    }

    /// The rows that the epoch leaves and did not find as they are, ascending by key; `copies` of
    /// each.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a file is damaged or the history is
    /// impossible; errors of `each`.
    pub(super) fn appeared(&self, mut each: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
        if self.is_sequence {
            return self.furthest()?.map_or(Ok(()), |row| each(&row, 1));
        }
        if let Some(fold) = &self.fold {
            return fold.fold(self, &mut each);
        }
        let runs = self.all_runs(Keep::Last)?;
        if self.is_first {
            return fold::fold(self.identity, runs, |row: FoldedRow<'_, Images>| {
                each(row.payload.get(row.index), row.copies)
            });
        }
        fold::merge(self.identity, Keep::Last, runs, |folded| {
            let step = folded.step;
            let copies = match self.identity {
                Identity::Key => i64::from(step.carries_row(Identity::Key)),
                Identity::WholeRow => step.delta,
            };
            match (folded.last, u64::try_from(copies)) {
                (Some((images, index)), Ok(copies)) if copies > 0 => {
                    each(images.get(index), copies)
                }
                _ => Ok(()),
            }
        })
    }

    /// The rows that the epoch found and did not leave as they were, ascending by key; `copies`
    /// of each.
    ///
    /// # Errors
    /// As [`appeared`](Self::appeared).
    pub(super) fn vanished(&self, mut each: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
        if self.replaces_base {
            let runs = self.limit(Keep::Last, self.base_runs_of_all()?)?;
            return fold::fold(self.identity, runs, |row: FoldedRow<'_, Images>| {
                each(row.payload.get(row.index), row.copies)
            });
        }
        if self.is_first || self.is_sequence {
            return Ok(());
        }
        let runs = self.all_runs(Keep::First)?;
        fold::merge(self.identity, Keep::First, runs, |folded| {
            let copies = match self.identity {
                Identity::Key => folded.step.need,
                Identity::WholeRow => u64::try_from(-folded.step.delta).unwrap_or(0),
            };
            match folded.last {
                Some((images, index)) if copies > 0 => each(images.get(index), copies),
                None if copies > 0 => Err(Error::internal("fold rows: a row without an image")),
                _ => Ok(()),
            }
        })
    }

    /// Every entry of the table and of one more run, by key and then in order: of a table with
    /// [fold of its own](Self::folded_by), whose entries are not condensed.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a file is damaged; errors of `each`.
    pub(super) fn entries<'a>(
        &'a self,
        more: Run<'a, Images>,
        each: impl FnMut(fold::Entry<'_, Images>) -> Result<()>,
    ) -> Result<()> {
        let mut runs = self.all_runs(Keep::Last)?;
        runs.push(more);
        fold::entries(runs, each)
    }

    /// Runs as one run. For a fold of its own every entry stays: a change that no event says may
    /// lie between any two.
    fn condense<'a>(&self, keep: Keep, runs: Vec<Run<'_, Images>>) -> Result<Run<'a, Images>> {
        match self.fold {
            None => spill::condense(self.identity, keep, runs),
            Some(_) => spill::keep_all(runs),
        }
    }

    fn base_runs_of_all(&self) -> Result<Vec<Vec<Run<'_, Images>>>> {
        let chains = chains(&self.base).into_iter();
        chains
            .map(|chain| self.chain_runs(chain, (FileKind::Base, Keep::Last)))
            .collect()
    }

    fn all_runs(&self, keep: Keep) -> Result<Vec<Run<'_, Images>>> {
        let base = self.base_runs_of_all();
        let changes = following(&self.changes)
            .into_iter()
            .map(|chain| self.chain_runs(chain, (FileKind::Change, keep)));
        let changes: Result<_> = changes.collect();
        let mut runs = self.limit(keep, base?)?;
        runs.extend(self.limit(keep, changes?)?);
        Ok(runs)
    }

    /// The one row of a sequence: the image that is furthest in its count, for concurrent
    /// sessions log theirs in any order.
    fn furthest(&self) -> Result<Option<Vec<u8>>> {
        let kinds = [
            (FileKind::Base, &self.base),
            (FileKind::Change, &self.changes),
        ];
        let mut best: Option<(sequence::Place, Vec<u8>)> = None;
        for (kind, files) in kinds {
            for file in files {
                let plan = self.plan(file.version)?;
                for batch in self.batches(file, (kind, Keep::Last), None)? {
                    let batch = batch?;
                    for index in 0..batch.keys.len() {
                        let image = batch.payload.get(index);
                        if image.is_empty() {
                            continue;
                        }
                        let place = sequence::place(plan, image)?;
                        if best.as_ref().is_none_or(|(at, _)| place >= *at) {
                            best = Some((place, image.to_owned()));
                        }
                    }
                }
            }
        }
        Ok(best.map(|(_, image)| image))
    }

    fn chain_runs<'a>(
        &'a self,
        chain: Vec<&'a InputFile>,
        kind: (FileKind, Keep),
    ) -> Result<Vec<Run<'a, Images>>> {
        if let [file] = chain.as_slice() {
            return self.runs_of(file, kind);
        }
        // Opened one after the other: only one of them is ever in memory.
        let batches =
            chain
                .into_iter()
                .flat_map(move |file| match self.batches(file, kind, None) {
                    Ok(batches) => batches,
                    Err(error) => Box::new(std::iter::once(Err(error))),
                });
        Ok(vec![Run::whole(batches)])
    }

    fn runs_of<'a>(
        &'a self,
        file: &'a InputFile,
        kind: (FileKind, Keep),
    ) -> Result<Vec<Run<'a, Images>>> {
        if file.sorted {
            return Ok(vec![Run::whole(self.batches(file, kind, None)?)]);
        }
        let groups = self.open(file, kind.0)?.row_group_rows().len();
        let run = |group| Ok(Run::whole(self.batches(file, kind, Some(group))?));
        (0..groups).map(run).collect()
    }

    /// As many runs as there is room for: too many are condensed, neighbours together.
    fn limit<'a>(
        &self,
        keep: Keep,
        mut level: Vec<Vec<Run<'a, Images>>>,
    ) -> Result<Vec<Run<'a, Images>>> {
        while level.iter().map(Vec::len).sum::<usize>() > RUNS_MAX && level.len() > 1 {
            let mut next = Vec::new();
            let mut group: Vec<Run<'_, Images>> = Vec::new();
            for mut runs in level {
                if !group.is_empty() && group.len() + runs.len() > RUNS_MAX {
                    let full = std::mem::take(&mut group);
                    next.push(vec![self.condense(keep, full)?]);
                }
                group.append(&mut runs);
            }
            next.push(vec![self.condense(keep, group)?]);
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
        (kind, keep): (FileKind, Keep),
        group: Option<usize>,
    ) -> Result<Box<dyn Iterator<Item = Result<RunBatch<Images>>> + 'a>> {
        let options = ReadOptions {
            fields: None,
            row_groups: group.map(|group| vec![group]),
            batch_rows: self.batch_rows(file),
        };
        let batches = self.open(file, kind)?.read(&options)?;
        let mapper = BatchMapper::new(self, self.plan(file.version)?, (kind, keep));
        Ok(Box::new(batches.map(move |batch| mapper.map(&batch?))))
    }

    /// Rows of a batch, so that the batches of all runs stay in their budget.
    fn batch_rows(&self, file: &InputFile) -> usize {
        use parquet::file::reader::Length;
        let runs = (self.base.len() + self.changes.len()).clamp(1, RUNS_MAX) as u64;
        // Files hold two to eight times their length.
        let row_bytes = (file.file.len() * 8 / file.rows.max(1)).max(16);
        (BATCH_BYTES_ALL / runs / row_bytes).clamp(1, 8_192) as usize
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

/// Sorted files that follow each other in the log *and* by key are one run, as the parts of a large
/// transaction do. A run stays one stretch of history: neighbours may be condensed.
fn following(files: &[InputFile]) -> Vec<Vec<&InputFile>> {
    let mut chains: Vec<Vec<&InputFile>> = Vec::new();
    for file in files {
        let end = |chain: &&mut Vec<&InputFile>| {
            let last = chain.last().filter(|last| last.sorted && file.sorted);
            let keys = last
                .and_then(|last| last.keys.as_ref())
                .zip(file.keys.as_ref());
            keys.is_some_and(|(before, after)| before.1 < after.0)
        };
        match chains.last_mut().filter(end) {
            Some(chain) => chain.push(file),
            None => chains.push(vec![file]),
        }
    }
    chains
}

#[cfg(test)]
pub(super) mod tests;
