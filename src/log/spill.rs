//! Images and statements of the open batch on disk.
//!
//! A transaction may be larger than memory. Once the open one is large, the row images that the
//! batch holds are sorted by key, table by table, and written to an unnamed temporary file: each
//! table gets a *run*. Sealing [merges](merge) the runs, so that the files of the segment are what
//! they would have been in memory. Statements follow in order of receipt.
//!
//! The file is private to one batch and never read by another process: what is in it and in no
//! segment comes again from the source, or from the spool. Numbers are in little-endian order.

mod merge;
mod statements;

pub(super) use merge::Merge;
pub(super) use statements::StatementRuns;

use super::batch::EventRef;
use super::index::{RowRef, TableIndex};
use crate::change::Op;
use crate::error::{Error, Result, Wrap};
use crate::runtime::{temporary_file, temporary_full};
use crate::segment::StatementRow;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A stretch of the file: rows of one table, ascending by key, or statements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spilled {
    at: u64,
    end: u64,
    /// Rows in it.
    pub(super) rows: u64,
}

impl Spilled {
    /// Bytes of it.
    pub(super) fn bytes(&self) -> u64 {
        self.end - self.at
    }
}

/// Where a row image comes from, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Index of the transaction in the batch.
    pub(super) transaction: u32,
    /// Ordinal of the change in its transaction.
    pub(super) row: u32,
    /// Ordinal of the rows event in its transaction.
    pub(super) event: i32,
    /// Flags of the rows event.
    pub(super) flags: u16,
    /// Operation.
    pub(super) op: Op,
    /// Whether cells are absent from it.
    pub(super) absent: bool,
}

/// The image that an index row stands for, and where it comes from.
///
/// # Errors
/// `Internal` when the batch has no such image.
pub(super) fn image_of<'a>(row: &RowRef, events: &'a [EventRef]) -> Result<(&'a [u8], Origin)> {
    let lost = || Error::internal("find row image in batch");
    let event = events.get(row.event as usize).ok_or_else(lost)?;
    let (start, end) = (row.offset as usize, (row.offset + row.length) as usize);
    let image = event.images.get(start..end).ok_or_else(lost)?;
    let origin = Origin {
        transaction: event.transaction,
        row: row.row,
        event: event.ordinal,
        flags: event.flags,
        op: row.op,
        absent: event.absent,
    };
    Ok((image, origin))
}

/// What stands before the key and the image of a row.
const HEAD_BYTES: usize = 24;

/// Lengths of the key and the image, and the origin.
fn head_bytes(key: usize, image: usize, origin: &Origin) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let numbers = [
        key as u32,
        image as u32,
        origin.transaction,
        origin.row,
        origin.event as u32,
        u32::from(origin.flags) << 16 | u32::from(origin.op as u8) << 8 | u32::from(origin.absent),
    ];
    for (slot, number) in head.chunks_exact_mut(4).zip(numbers) {
        slot.copy_from_slice(&number.to_le_bytes());
    }
    head
}

fn read_head(head: &[u8; HEAD_BYTES]) -> Option<(usize, usize, Origin)> {
    let mut numbers = head
        .chunks_exact(4)
        .filter_map(|slot| slot.try_into().ok().map(u32::from_le_bytes));
    let (key, image) = (numbers.next()? as usize, numbers.next()? as usize);
    let (transaction, row) = (numbers.next()?, numbers.next()?);
    let event = numbers.next()? as i32;
    let last = numbers.next()?;
    let ops = [Op::Insert, Op::UpdateBefore, Op::UpdateAfter, Op::Delete];
    let op = ops.get((last >> 8 & 0xff) as usize).copied()?;
    let origin = Origin {
        transaction,
        row,
        event,
        flags: (last >> 16) as u16,
        op,
        absent: last & 1 != 0,
    };
    Some((key, image, origin))
}

/// The file and how much of it counts.
#[derive(Debug)]
pub(super) struct SpillFile {
    file: Arc<File>,
    end: u64,
}

impl SpillFile {
    /// An empty one.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) when the temporary folder does not
    /// take it.
    pub(super) fn new() -> Result<SpillFile> {
        Ok(SpillFile {
            file: Arc::new(temporary_file()?),
            end: 0,
        })
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Forgets what was written past `end`.
    pub(super) fn truncate(&mut self, end: u64) {
        self.end = self.end.min(end);
    }

    /// Writes on at its end; what is written counts from [`take`](Self::take) on.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn writer(&self) -> Result<SpillWriter<'_>> {
        let mut file: &File = &self.file;
        file.seek(SeekFrom::Start(self.end)).wrap(temporary_full)?;
        Ok(SpillWriter {
            out: BufWriter::with_capacity(WRITE_BYTES, file),
            at: self.end,
        })
    }

    /// What was written up to `end` counts.
    pub(super) fn take(&mut self, end: u64) {
        self.end = end;
    }

    fn input(&self, of: Spilled) -> Input {
        Input {
            file: Arc::clone(&self.file),
            at: of.at,
            end: of.end,
        }
    }
}

/// Appends to the file.
#[derive(Debug)]
pub(super) struct SpillWriter<'a> {
    out: BufWriter<&'a File>,
    at: u64,
}

impl SpillWriter<'_> {
    /// Where the next bytes go.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Writes rows of a sorted index with their images; `None` when there are none.
    ///
    /// # Errors
    /// As [`SpillFile::new`].
    pub(super) fn rows(
        &mut self,
        index: &TableIndex,
        range: Range<usize>,
        events: &[EventRef],
    ) -> Result<Option<Spilled>> {
        let (at, rows) = (self.at, range.len() as u64);
        for (row, key) in index.iter().skip(range.start).take(range.len()) {
            let (image, origin) = image_of(row, events)?;
            self.put(&head_bytes(key.len(), image.len(), &origin))?;
            self.put(key)?;
            self.put(image)?;
        }
        Ok(self.since(at, rows))
    }

    /// Writes statements in their order; `None` when there are none.
    ///
    /// # Errors
    /// As [`SpillFile::new`].
    pub(super) fn statements(&mut self, rows: &[StatementRow]) -> Result<Option<Spilled>> {
        let at = self.at;
        for row in rows {
            statements::write(row, |bytes| self.put(bytes))?;
        }
        Ok(self.since(at, rows.len() as u64))
    }

    fn since(&self, at: u64, rows: u64) -> Option<Spilled> {
        let end = self.at;
        (rows > 0).then_some(Spilled { at, end, rows })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).wrap(temporary_full)
    }

    /// Ends the writing; gives the end of the file.
    ///
    /// # Errors
    /// As [`SpillFile::new`].
    pub(super) fn finish(mut self) -> Result<u64> {
        self.out.flush().wrap(temporary_full)?;
        Ok(self.at)
    }
}

/// Reads a stretch, whatever others read or write.
#[derive(Debug)]
struct Input {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted) else {
            return Ok(0);
        };
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The file is shorter than what was written to it, or its disk fails.
fn unreadable() -> Error {
    Error::unavailable("read temporary file")
        .field("folder", std::env::temp_dir().display())
        .hint("the disk of the temporary folder fails; what is lost there is received again")
}

#[cfg(test)]
mod tests;
