//! The runs of one table as one sequence of rows.

use super::{HEAD_BYTES, Input, Origin, SpillFile, Spilled, read_head, unreadable};
use crate::error::{Result, Wrap};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufReader, Read};

/// Bytes that all runs of a table together read ahead, about.
const READ_BYTES_ALL: usize = 8 << 20;
/// Bytes that one run reads ahead at most, and at least.
const READ_BYTES_MAX: usize = 256 << 10;
const READ_BYTES_MIN: usize = 4 << 10;

/// One run. A row's image is read only when its turn has come: images may be large, and there may
/// be many runs.
#[derive(Debug)]
struct RunReader {
    input: BufReader<Input>,
    left: u64,
    image: usize,
    origin: Option<Origin>,
}

impl RunReader {
    /// Reads on to the next row and gives its key in `key`; `false` at the end.
    fn advance(&mut self, key: &mut Vec<u8>) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        let mut head = [0; HEAD_BYTES];
        self.input.read_exact(&mut head).wrap(unreadable)?;
        let (length, image, origin) = read_head(&head).ok_or_else(unreadable)?;
        key.resize(length, 0);
        self.input.read_exact(key).wrap(unreadable)?;
        (self.image, self.origin) = (image, Some(origin));
        Ok(true)
    }

    /// The image of the row whose key was given.
    fn image(&mut self, image: &mut Vec<u8>) -> Result<Origin> {
        image.resize(self.image, 0);
        self.input.read_exact(image).wrap(unreadable)?;
        self.origin.take().ok_or_else(unreadable)
    }
}

/// A row of a merge.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct SpilledRow<'a> {
    /// Key.
    pub(in crate::log) key: &'a [u8],
    /// Image.
    pub(in crate::log) image: &'a [u8],
    /// Where it comes from.
    pub(in crate::log) origin: Origin,
}

/// Rows by key; those of one key in order of receipt, which is the order of the runs.
#[derive(Debug)]
pub(in crate::log) struct Merge {
    runs: Vec<RunReader>,
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    key: Vec<u8>,
    image: Vec<u8>,
}

impl Merge {
    /// Of these runs of the file, in order of receipt.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) when the disk fails.
    pub(in crate::log) fn new(file: &SpillFile, runs: &[Spilled]) -> Result<Merge> {
        let ahead = READ_BYTES_ALL / runs.len().max(1);
        let ahead = ahead.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let mut merge = Merge {
            runs: Vec::with_capacity(runs.len()),
            heads: BinaryHeap::with_capacity(runs.len()),
            key: Vec::new(),
            image: Vec::new(),
        };
        for (number, run) in runs.iter().enumerate() {
            let bytes = usize::try_from(run.bytes()).unwrap_or(usize::MAX);
            let mut reader = RunReader {
                input: BufReader::with_capacity(ahead.min(bytes), file.input(*run)),
                left: run.rows,
                image: 0,
                origin: None,
            };
            let mut key = Vec::new();
            if reader.advance(&mut key)? {
                merge.heads.push(Reverse((key, number)));
            }
            merge.runs.push(reader);
        }
        Ok(merge)
    }

    /// The next row.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(in crate::log) fn next(&mut self) -> Result<Option<SpilledRow<'_>>> {
        let Some(Reverse((key, number))) = self.heads.pop() else {
            return Ok(None);
        };
        let mut next = std::mem::replace(&mut self.key, key);
        let run = self.runs.get_mut(number).ok_or_else(unreadable)?;
        let origin = run.image(&mut self.image)?;
        if run.advance(&mut next)? {
            self.heads.push(Reverse((next, number)));
        }
        Ok(Some(SpilledRow {
            key: &self.key,
            image: &self.image,
            origin,
        }))
    }
}
