//! Statements and tables of a batch that is larger than memory: what is on disk of them becomes
//! objects one after the other, each stored before the next but one is made.

use super::part::{Packer, PartWriter, alone};
use super::statements::StatementFiles;
use super::{EncodedFile, EncodedObject};
use crate::error::{Error, Result};
use crate::log::batch::{Batch, TableRows};
use crate::log::spill::Merge;
use std::sync::Arc;

/// An object is closed at about the batch's memory divided by this: some four times its size are
/// held, as the writer's row group, as the whole file, and as the one before that is being stored.
const OBJECTS_IN_MEMORY: usize = 8;
/// Whatever the memory, an object is not closed below, nor far above.
const OBJECT_BYTES_MIN: usize = 1 << 20;
const OBJECT_BYTES_MAX: usize = 32 << 20;

/// A table whose runs are being merged.
#[derive(Debug)]
struct Merging {
    table: TableRows,
    merge: Merge,
    part: u32,
}

/// What is left to be made of them.
#[derive(Debug)]
pub(crate) struct SpilledFiles {
    batch: Arc<Batch>,
    statements: StatementFiles,
    tables: std::vec::IntoIter<TableRows>,
    now: Option<Merging>,
    packer: Packer,
    /// An object is closed at about this size.
    object_bytes: usize,
    zstd_level: i32,
}

impl SpilledFiles {
    /// All of a batch; its rows are on disk.
    pub(super) fn new(
        batch: Arc<Batch>,
        mut tables: Vec<TableRows>,
        zstd_level: i32,
    ) -> SpilledFiles {
        tables.retain(TableRows::has_rows);
        let object_bytes = batch.memory_max / OBJECTS_IN_MEMORY;
        let object_bytes = object_bytes.clamp(OBJECT_BYTES_MIN, OBJECT_BYTES_MAX);
        SpilledFiles {
            statements: StatementFiles::of(&batch),
            batch,
            packer: Packer::new(tables.len(), object_bytes),
            object_bytes,
            tables: tables.into_iter(),
            now: None,
            zstd_level,
        }
    }

    /// The next object; `None` after the last.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) when the disk fails; those of the
    /// encoding.
    pub(crate) fn next_object(&mut self) -> Result<Option<EncodedObject>> {
        if let Some(file) = self.statements.next_file(&self.batch)? {
            return Ok(Some(alone(file)));
        }
        while let Some(file) = self.next_file()? {
            if let Some(object) = self.packer.add(file) {
                return Ok(Some(object));
            }
        }
        Ok(self.packer.finish())
    }

    fn next_file(&mut self) -> Result<Option<EncodedFile>> {
        loop {
            if let Some(now) = &mut self.now
                && let Some(file) =
                    now.next_part(&self.batch, self.object_bytes, self.zstd_level)?
            {
                return Ok(Some(file));
            }
            let Some(table) = self.tables.next() else {
                return Ok(None);
            };
            let file = self.batch.spill.as_ref();
            let file = file.ok_or_else(|| Error::internal("find rows on disk"))?;
            self.now = Some(Merging {
                merge: Merge::new(file, &table.runs)?,
                table,
                part: 0,
            });
        }
    }
}

impl Merging {
    /// The next part of the table; `None` when all of it is made.
    fn next_part(
        &mut self,
        batch: &Batch,
        part_bytes: usize,
        zstd_level: i32,
    ) -> Result<Option<EncodedFile>> {
        let rows: u64 = self.table.runs.iter().map(|run| run.rows).sum();
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let Some(row) = self.merge.next()? else {
            return Ok(None);
        };
        let mut writer = PartWriter::new(&self.table, zstd_level, rows)?;
        writer.push(batch, &[row.image], &[row.origin])?;
        let first = row.key.to_vec();
        let mut last = first.clone();
        while writer.bytes_estimate() < part_bytes
            && let Some(row) = self.merge.next()?
        {
            writer.push(batch, &[row.image], &[row.origin])?;
            last.clear();
            last.extend_from_slice(row.key);
        }
        let part = self.part;
        self.part += 1;
        writer
            .finish(&self.table, part, Some((first, last)))
            .map(Some)
    }
}
