//! What becomes of an open transaction that is large, and of one that does not end.

use super::{Batch, TableRows};
use crate::error::Result;
use crate::log::index::IndexMark;
use crate::log::spill::{SpillFile, Spilled};
use std::collections::HashMap;

/// What a transaction can be taken back to.
#[derive(Debug)]
pub(crate) struct BatchMark {
    events: usize,
    statements: usize,
    statements_spilled: usize,
    barriers: usize,
    ddl: usize,
    kept: usize,
    bytes: usize,
    held: usize,
    fixed: usize,
    index_bytes: usize,
    /// End of what is on disk of entries before it, once something of it is there.
    spilled_to: Option<u64>,
    /// What there was of each table it touched: index and runs.
    tables: HashMap<u32, (IndexMark, usize)>,
}

impl BatchMark {
    /// Remembers how much there is of a table that it is about to touch.
    pub(super) fn remember(&mut self, slot: u32, table: &TableRows) {
        self.tables
            .entry(slot)
            .or_insert_with(|| (table.index.mark(), table.runs.len()));
    }
}

/// An image of this size goes to disk at once: to encode it costs several copies of it, and the batch
/// is better not beside them.
const LARGE_IMAGE_BYTES: usize = 16 << 20;

/// Rows, or statements, that are now in the file: of entries before the open one, and its own.
type Moved = (Option<Spilled>, Option<Spilled>);

/// What [`Batch::write`] wrote.
struct Written {
    tables: Vec<Moved>,
    statements: Moved,
    /// Where the open transaction's own part begins.
    own: u64,
    end: u64,
}

impl Batch {
    /// What it can be taken back to.
    pub(super) fn mark(&self) -> BatchMark {
        BatchMark {
            events: self.events.len(),
            statements: self.statements.len(),
            statements_spilled: self.statements_spilled.len(),
            barriers: self.barriers.len(),
            ddl: self.ddl.len(),
            kept: self.kept.len(),
            bytes: self.bytes,
            held: self.held,
            fixed: self.fixed,
            index_bytes: self.index_bytes,
            spilled_to: None,
            tables: HashMap::new(),
        }
    }

    /// Whether rows or statements of it are on disk.
    pub(crate) fn has_spilled(&self) -> bool {
        self.spill.as_ref().is_some_and(|file| !file.is_empty())
    }

    /// Moves row images and statements to disk when the open transaction makes the batch large.
    /// A batch of many small transactions is sealed instead.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) when the temporary folder is full.
    pub(crate) fn spill_over(&mut self, memory_max: usize) -> Result<()> {
        self.memory_max = memory_max;
        let Some(open) = &self.open else {
            return Ok(());
        };
        let mark = &open.mark;
        let own = (self.held + self.index_bytes).saturating_sub(mark.held + mark.index_bytes);
        // A run is not worth its while when it is small.
        let is_large = own >= memory_max / 4 && self.memory() >= memory_max / 2;
        let has_large_row = self.largest_image >= LARGE_IMAGE_BYTES && own >= LARGE_IMAGE_BYTES;
        match is_large || has_large_row {
            true => self.spill(),
            false => Ok(()),
        }
    }

    /// Moves all row images and statements to disk.
    ///
    /// # Errors
    /// As [`spill_over`](Self::spill_over).
    pub(crate) fn spill(&mut self) -> Result<()> {
        let mut file = match self.spill.take() {
            Some(file) => file,
            None => SpillFile::new()?,
        };
        let written = self.write(&file);
        if let Ok(written) = &written {
            file.take(written.end);
        }
        self.spill = Some(file);
        let written = written?;
        tracing::debug!(
            bytes = written.end,
            "rows of a large transaction are on disk"
        );
        self.moved(written);
        Ok(())
    }

    /// Entries before the open one come first: they stay when it is taken back.
    fn write(&mut self, file: &SpillFile) -> Result<Written> {
        let mark = self.open.as_ref().map(|open| &open.mark);
        let before_of = |slot: usize, table: &TableRows| {
            let marked = mark.and_then(|mark| mark.tables.get(&(slot as u32)));
            marked.map_or(table.index.len(), |(index, _)| index.rows())
        };
        let mut out = file.writer()?;
        let mut tables: Vec<Moved> = Vec::with_capacity(self.tables.len());
        let mut firsts = Vec::with_capacity(self.tables.len());
        for (slot, table) in self.tables.iter_mut().enumerate() {
            let before = before_of(slot, table);
            table.index.sort_range(0..before);
            table.index.sort_range(before..table.index.len());
            tables.push((out.rows(&table.index, 0..before, &self.events)?, None));
            firsts.push(before);
        }
        let first = mark.map_or(self.statements.len(), |mark| mark.statements);
        let (before, own) = self.statements.split_at(first.min(self.statements.len()));
        let before = out.statements(before)?;
        let own_at = out.at();
        for ((table, moved), first) in self.tables.iter().zip(&mut tables).zip(firsts) {
            moved.1 = out.rows(&table.index, first..table.index.len(), &self.events)?;
        }
        let own = out.statements(own)?;
        Ok(Written {
            tables,
            statements: (before, own),
            own: own_at,
            end: out.finish()?,
        })
    }

    /// What was written is no longer in memory.
    fn moved(&mut self, written: Written) {
        let mut mark = self.open.as_mut().map(|open| &mut open.mark);
        for (slot, (table, (before, own))) in self.tables.iter_mut().zip(written.tables).enumerate()
        {
            table.index.clear();
            table.runs.extend(before);
            if let Some((index, runs)) = mark
                .as_mut()
                .and_then(|mark| mark.tables.get_mut(&(slot as u32)))
            {
                *index = IndexMark::default();
                *runs += usize::from(before.is_some());
            }
            table.runs.extend(own);
        }
        let (before, own) = written.statements;
        self.statements_spilled
            .extend(before.into_iter().chain(own));
        self.statements.clear();
        self.events.clear();
        (self.held, self.index_bytes) = (0, 0);
        if let Some(mark) = mark {
            mark.statements_spilled += usize::from(before.is_some());
            mark.spilled_to.get_or_insert(written.own);
            (mark.statements, mark.events, mark.held, mark.index_bytes) = (0, 0, 0, 0);
        }
    }

    /// Forgets a transaction that has begun and will not end on this connection.
    pub(crate) fn abandon(&mut self) {
        let Some(open) = self.open.take() else { return };
        let BatchMark {
            events,
            statements,
            statements_spilled,
            barriers,
            ddl,
            kept,
            bytes,
            held,
            fixed,
            index_bytes,
            spilled_to,
            tables,
        } = open.mark;
        self.events.truncate(events);
        self.statements.truncate(statements);
        self.statements_spilled.truncate(statements_spilled);
        self.barriers.truncate(barriers);
        self.ddl.truncate(ddl);
        self.kept.truncate(kept);
        (self.bytes, self.held, self.fixed) = (bytes, held, fixed);
        self.index_bytes = index_bytes;
        for (slot, (index, runs)) in tables {
            if let Some(table) = self.tables.get_mut(slot as usize) {
                table.index.truncate(index);
                table.runs.truncate(runs);
            }
        }
        if let (Some(file), Some(end)) = (&mut self.spill, spilled_to) {
            file.truncate(end);
        }
    }
}
