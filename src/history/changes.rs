//! All of one segment in commit order. Files are sorted by key: the places of its images are put
//! back into order in memory, the images themselves may be on disk.

use super::images::Images;
use crate::change::{Op, StatementKind};
use crate::error::{Error, Result};
use crate::manifest::{Catalogue, FileEntry, FileRole, Repository, SegmentManifest};
use crate::position::Seq;
use crate::runtime::Compute;
use crate::schema::{TableId, TableVersion};
use crate::segment::{
    BatchView, FileKind, ImageEncoder, ReadOptions, StatementsReader, TableFileReader, TablePlan,
    TransactionRow, TransactionsReader,
};
use bytes::Bytes;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

/// Files fetched in one call: bytes and number.
const FETCH_BYTES: u64 = 16 << 20;
const FETCH_FILES: usize = 256;

/// Table versions by identity, live or retired: files name them.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    plans: HashMap<(TableId, u32), Arc<TablePlan>>,
}

impl Versions {
    /// The versions live before a segment.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when one cannot be compiled.
    pub fn of(catalogue: &Catalogue) -> Result<Versions> {
        let mut versions = Versions::default();
        catalogue
            .versions()
            .try_for_each(|version| versions.add(version))?;
        Ok(versions)
    }

    /// Adds what a segment introduces.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn introduce(&mut self, manifest: &SegmentManifest) -> Result<()> {
        manifest
            .tables
            .iter()
            .try_for_each(|version| self.add(version))
    }

    fn add(&mut self, version: &Arc<TableVersion>) -> Result<()> {
        let key = (version.table_id.clone(), version.version);
        if let Entry::Vacant(vacant) = self.plans.entry(key) {
            vacant.insert(Arc::new(TablePlan::compile(Arc::clone(version))?));
        }
        Ok(())
    }

    /// The plan that reads a change file.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when nothing introduced its version.
    pub fn plan_of(&self, file: &FileEntry) -> Result<&Arc<TablePlan>> {
        let key = file.table_id.clone().zip(file.version);
        key.and_then(|key| self.plans.get(&key)).ok_or_else(|| {
            Error::corrupt("find table version of file")
                .field("object", &file.object)
                .field("version", file.version.unwrap_or_default())
        })
    }
}

/// One row image of a segment.
#[derive(Clone, Debug)]
pub struct ChangeRef {
    /// Entry.
    pub seq: Seq,
    /// Ordinal in the transaction.
    pub row: i64,
    /// Operation.
    pub op: Op,
    /// Rows event in the transaction.
    pub event: i32,
    /// Index into [`SegmentChanges::plans`].
    pub plan: usize,
    /// Where the image stands among those of the segment: see [`SegmentChanges::image`].
    image: Range<u64>,
}

/// One statement of a segment.
#[derive(Clone, Debug)]
pub struct StatementRef {
    /// Entry.
    pub seq: Seq,
    /// Ordinal in the transaction.
    pub ordinal: i64,
    /// Kind.
    pub kind: StatementKind,
    /// Default database as logged.
    pub default_db: Bytes,
    /// Where its text stands: see [`SegmentChanges::text`].
    text: Range<u64>,
}

/// A segment in commit order.
#[derive(Debug, Default)]
pub struct SegmentChanges {
    /// One row per entry.
    pub transactions: Vec<TransactionRow>,
    /// Statements, by entry and ordinal.
    pub statements: Vec<StatementRef>,
    /// Row images by entry, ordinal, before first.
    pub rows: Vec<ChangeRef>,
    /// All row images, and texts of statements.
    images: Images,
    /// How to read them.
    pub plans: Vec<Arc<TablePlan>>,
}

impl SegmentChanges {
    /// Reads a segment whole, every file checked against its hash first.
    ///
    /// # Errors
    /// `Corrupt` naming the object; errors of the store.
    pub async fn read(
        repository: &Repository,
        manifest: &SegmentManifest,
        versions: &Versions,
        compute: &Compute,
    ) -> Result<SegmentChanges> {
        let (first, last) = (manifest.seq_first, manifest.seq_last);
        let mut changes = SegmentChanges::default();
        let mut rest: &[FileEntry] = &manifest.files;
        while !rest.is_empty() {
            let mut length = 0;
            let fits = |file: &&FileEntry| {
                length += file.length;
                length <= FETCH_BYTES
            };
            let count = rest.iter().take(FETCH_FILES).take_while(fits).count();
            let (now, later) = rest.split_at(count.max(1));
            let bytes = repository.get_files(now).await?;
            let files: Vec<(FileEntry, Bytes)> = now.iter().cloned().zip(bytes).collect();
            let versions = versions.clone();
            changes = compute
                .run(move || {
                    for (file, bytes) in files {
                        changes.add(&file, bytes, &versions).map_err(|error| {
                            Error::new(error.kind(), "read file of segment")
                                .field("object", &file.object)
                                .source(error)
                        })?;
                    }
                    Ok(changes)
                })
                .await?;
            rest = later;
        }
        compute
            .run(move || {
                changes.rows.sort_by_key(|row| (row.seq, row.row, row.op));
                changes.statements.sort_by_key(|row| (row.seq, row.ordinal));
                changes.check_entries(first, last)?;
                Ok(changes)
            })
            .await
    }

    fn add(&mut self, file: &FileEntry, bytes: Bytes, versions: &Versions) -> Result<()> {
        match file.role {
            FileRole::Transactions => {
                self.transactions = TransactionsReader::open(bytes)?.collect::<Result<_>>()?;
            }
            FileRole::Statements => self.add_statements(bytes)?,
            FileRole::Changes => self.add_changes(file, bytes, versions)?,
            FileRole::Raw | FileRole::Pack => {}
        }
        Ok(())
    }

    fn add_statements(&mut self, bytes: Bytes) -> Result<()> {
        for row in StatementsReader::open(bytes)? {
            let row = row?;
            let text = self.images.push(|out| {
                out.extend_from_slice(&row.text);
                Ok(())
            })?;
            // Most are of the same session as the one before.
            let last = self.statements.last().map(|last| &last.default_db);
            let same = last.filter(|db| **db == row.default_db).cloned();
            self.statements.push(StatementRef {
                seq: row.seq,
                ordinal: row.ordinal,
                kind: row.kind,
                default_db: same.unwrap_or(row.default_db),
                text,
            });
        }
        Ok(())
    }

    fn add_changes(&mut self, file: &FileEntry, bytes: Bytes, versions: &Versions) -> Result<()> {
        let plan = Arc::clone(versions.plan_of(file)?);
        let number = self.plans.len();
        let encoder = ImageEncoder::new(Arc::clone(&plan));
        let reader = TableFileReader::open(bytes, Arc::clone(&plan), FileKind::Change)?;
        let mut rows = 0_u64;
        for batch in reader.read(&ReadOptions::default())? {
            let batch = batch?;
            let view = BatchView::new(&plan, &batch)?;
            for index in 0..view.rows() {
                let change = view.change(index)?;
                let image = self.images.push(|out| encoder.image(&view, index, out))?;
                self.rows.push(ChangeRef {
                    seq: change.seq,
                    row: change.row,
                    op: change.op,
                    event: change.event,
                    plan: number,
                    image,
                });
                rows += 1;
            }
        }
        if rows != file.rows {
            return Err(Error::corrupt("count rows of file")
                .field("rows", rows)
                .field("expected", file.rows));
        }
        self.plans.push(plan);
        Ok(())
    }

    fn check_entries(&self, first: Seq, last: Seq) -> Result<()> {
        let dense = self
            .transactions
            .iter()
            .zip(first.0..)
            .all(|(row, seq)| row.seq.0 == seq);
        if dense && self.transactions.len() as i64 == last.0 - first.0 + 1 {
            return Ok(());
        }
        Err(Error::corrupt("count entries of segment")
            .field("seq_first", first)
            .field("seq_last", last))
    }

    /// The row images of one entry.
    #[must_use]
    pub fn rows_of(&self, seq: Seq) -> &[ChangeRef] {
        let start = self.rows.partition_point(|row| row.seq < seq);
        let end = self.rows.partition_point(|row| row.seq <= seq);
        self.rows.get(start..end).unwrap_or_default()
    }

    /// The statements of one entry, by ordinal.
    #[must_use]
    pub fn statements_of(&self, seq: Seq) -> &[StatementRef] {
        let start = self.statements.partition_point(|row| row.seq < seq);
        let end = self.statements.partition_point(|row| row.seq <= seq);
        self.statements.get(start..end).unwrap_or_default()
    }

    /// Appends the bytes of an image.
    ///
    /// # Errors
    /// `Unavailable` when the disk of the temporary folder fails.
    pub fn image(&self, row: &ChangeRef, out: &mut Vec<u8>) -> Result<()> {
        self.images.read(&row.image, out)
    }

    /// Appends the text of a statement.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn text(&self, statement: &StatementRef, out: &mut Vec<u8>) -> Result<()> {
        self.images.read(&statement.text, out)
    }
}
