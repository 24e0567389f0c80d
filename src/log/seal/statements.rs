//! The statements of a batch as files. There may be more text than memory holds, and every reader
//! has a whole file of it in memory: it is cut into parts.

use super::EncodedFile;
use crate::error::{Error, Result};
use crate::log::batch::Batch;
use crate::log::spill::{Spilled, StatementRuns};
use crate::manifest::{FileOrder, FileRole};
use crate::segment::{StatementRow, StatementsWriter};

/// A part is closed at about the batch's memory divided by this.
const PARTS_IN_MEMORY: usize = 4;
/// Whatever the memory, a part is not closed below, nor far above.
const PART_BYTES_MIN: usize = 1 << 20;
const PART_BYTES_MAX: usize = 32 << 20;

/// What is left to be made of a batch's statements.
#[derive(Debug)]
pub(super) struct StatementFiles {
    runs: std::vec::IntoIter<Spilled>,
    now: Option<StatementRuns>,
    /// How many of those in memory were taken.
    taken: usize,
    part: u32,
    /// A part is closed at about this much text.
    part_bytes: usize,
}

impl StatementFiles {
    /// All of a batch.
    pub(super) fn of(batch: &Batch) -> StatementFiles {
        let part_bytes = batch.memory_max / PARTS_IN_MEMORY;
        StatementFiles {
            runs: batch.statements_spilled.clone().into_iter(),
            now: None,
            taken: 0,
            part: 0,
            part_bytes: part_bytes.clamp(PART_BYTES_MIN, PART_BYTES_MAX),
        }
    }

    /// The next file; `None` after the last.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) when the disk fails; those of the
    /// encoding.
    pub(super) fn next_file(&mut self, batch: &Batch) -> Result<Option<EncodedFile>> {
        let Some(first) = self.next_row(batch)? else {
            return Ok(None);
        };
        let mut seqs = (first.seq, first.seq);
        let mut bytes = size_of_row(&first);
        let mut writer = StatementsWriter::new();
        writer.push(&first)?;
        while bytes < self.part_bytes
            && let Some(row) = self.next_row(batch)?
        {
            bytes += size_of_row(&row);
            seqs.1 = row.seq;
            writer.push(&row)?;
        }
        let part = self.part;
        self.part += 1;
        Ok(Some(EncodedFile {
            role: FileRole::Statements,
            table: None,
            part,
            rows: writer.rows(),
            bytes: writer.finish()?,
            order: FileOrder::Seq,
            keys: None,
            seqs,
            absent: false,
        }))
    }

    /// Those on disk were received before those in memory.
    fn next_row(&mut self, batch: &Batch) -> Result<Option<StatementRow>> {
        loop {
            if let Some(row) = self.now.as_mut().and_then(Iterator::next) {
                return row.map(Some);
            }
            let Some(run) = self.runs.next() else {
                break;
            };
            let file = batch.spill.as_ref();
            let file = file.ok_or_else(|| Error::internal("find statements on disk"))?;
            self.now = Some(StatementRuns::new(file, run));
        }
        let row = batch.statements.get(self.taken).cloned();
        self.taken += usize::from(row.is_some());
        Ok(row)
    }
}

fn size_of_row(row: &StatementRow) -> usize {
    size_of::<StatementRow>() + row.text.len() + row.status_vars.len() + row.default_db.len()
}
