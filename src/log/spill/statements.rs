//! Statements in the file: fixed numbers, then three strings.

use super::{Input, SpillFile, Spilled, unreadable};
use crate::change::StatementKind;
use crate::error::{Result, Wrap};
use crate::position::Seq;
use crate::segment::StatementRow;
use bytes::Bytes;
use std::io::{BufReader, Read};

/// Bytes that are read ahead.
const READ_BYTES: usize = 256 << 10;
/// Ten numbers of eight bytes.
const NUMBERS: usize = 10;
const HEAD_BYTES: usize = NUMBERS * 8;

/// Writes one row.
pub(super) fn write(row: &StatementRow, mut put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let numbers: [i64; NUMBERS] = [
        row.seq.0,
        row.ordinal,
        match row.kind {
            StatementKind::Query => 0,
            StatementKind::RowsQuery => 1,
        },
        row.charset.map_or(-1, i64::from),
        i64::from(row.thread_id),
        i64::from(row.error_code),
        row.header_us,
        row.default_db.len() as i64,
        row.text.len() as i64,
        row.status_vars.len() as i64,
    ];
    let mut head = [0; HEAD_BYTES];
    for (slot, number) in head.chunks_exact_mut(8).zip(numbers) {
        slot.copy_from_slice(&number.to_le_bytes());
    }
    put(&head)?;
    put(&row.default_db)?;
    put(&row.text)?;
    put(&row.status_vars)
}

/// Reads the statements of a batch back, in order of receipt.
#[derive(Debug)]
pub(in crate::log) struct StatementRuns {
    input: BufReader<Input>,
    left: u64,
}

impl StatementRuns {
    /// Of one stretch of the file.
    pub(in crate::log) fn new(file: &SpillFile, of: Spilled) -> StatementRuns {
        StatementRuns {
            input: BufReader::with_capacity(READ_BYTES, file.input(of)),
            left: of.rows,
        }
    }

    fn read(&mut self) -> Result<StatementRow> {
        let mut head = [0; HEAD_BYTES];
        self.input.read_exact(&mut head).wrap(unreadable)?;
        let mut numbers = head
            .chunks_exact(8)
            .filter_map(|slot| slot.try_into().ok().map(i64::from_le_bytes));
        let mut next = || numbers.next().ok_or_else(unreadable);
        let (seq, ordinal, kind, charset) = (next()?, next()?, next()?, next()?);
        let (thread_id, error_code, header_us) = (next()?, next()?, next()?);
        let lengths = [next()?, next()?, next()?];
        let [default_db, text, status_vars] = lengths.map(|length| self.bytes(length));
        Ok(StatementRow {
            seq: Seq(seq),
            ordinal,
            kind: match kind {
                0 => StatementKind::Query,
                _ => StatementKind::RowsQuery,
            },
            default_db: default_db?,
            text: text?,
            charset: u16::try_from(charset).ok(),
            status_vars: status_vars?,
            thread_id: u32::try_from(thread_id).ok().ok_or_else(unreadable)?,
            error_code: u16::try_from(error_code).ok().ok_or_else(unreadable)?,
            header_us,
        })
    }

    fn bytes(&mut self, length: i64) -> Result<Bytes> {
        let length = usize::try_from(length).ok().ok_or_else(unreadable)?;
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes).wrap(unreadable)?;
        Ok(bytes.into())
    }
}

impl Iterator for StatementRuns {
    type Item = Result<StatementRow>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read())
    }
}
