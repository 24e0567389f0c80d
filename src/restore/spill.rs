//! Condensed runs in temporary files, where a table has more runs than can be merged at once.
//!
//! The file is private to one fold and never read by anyone else: per entry the key, Seq, row
//! ordinal, step and image, each with its length, in native order.

use super::rows::Images;
use crate::base::fold::{self, Entry, Identity, Keep, Keys, Run, RunBatch, Step};
use crate::error::{Error, Result, Wrap};
use crate::runtime::{temporary_file, temporary_full};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

/// Entries and bytes of a batch read back, at most.
const BATCH_ENTRIES: usize = 1_024;
const BATCH_BYTES: usize = 512 << 10;

/// Merges runs into one run on disk, the entries of one key as one.
///
/// # Errors
/// As [`fold::merge`]; [`Unavailable`](crate::error::ErrorKind::Unavailable) when the temporary
/// folder is full.
pub(super) fn condense<'a>(
    identity: Identity,
    keep: Keep,
    runs: Vec<Run<'_, Images>>,
) -> Result<Run<'a, Images>> {
    let mut out = SpillWriter::new()?;
    fold::merge(identity, keep, runs, |folded| {
        let last = folded
            .last
            .filter(|_| keep.has_image(identity, folded.step));
        out.write(&Entry {
            key: folded.key,
            seq: folded.seq,
            row: folded.row,
            step: folded.step,
            payload: last.map_or(&[][..], |(images, index)| images.get(index)),
            index: 0,
        })
    })?;
    out.finish()
}

/// Merges runs into one run on disk and keeps every entry.
///
/// # Errors
/// As [`condense`].
pub(super) fn keep_all<'a>(runs: Vec<Run<'_, Images>>) -> Result<Run<'a, Images>> {
    let mut out = SpillWriter::new()?;
    fold::entries(runs, |entry| {
        out.write(&Entry {
            key: entry.key,
            seq: entry.seq,
            row: entry.row,
            step: entry.step,
            payload: entry.payload.get(entry.index),
            index: 0,
        })
    })?;
    out.finish()
}

struct SpillWriter {
    out: BufWriter<File>,
    entries: u64,
}

impl SpillWriter {
    fn new() -> Result<SpillWriter> {
        Ok(SpillWriter {
            out: BufWriter::with_capacity(1 << 20, temporary_file()?),
            entries: 0,
        })
    }

    /// Writes an entry whose payload is its image.
    fn write(&mut self, entry: &Entry<'_, [u8]>) -> Result<()> {
        self.entries += 1;
        let numbers = [
            entry.key.len() as u64,
            entry.payload.len() as u64,
            entry.seq as u64,
            entry.row as u64,
            entry.step.need,
            entry.step.peak,
            entry.step.delta as u64,
        ];
        let mut head = [0; HEAD];
        for (slot, number) in head.chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_ne_bytes());
        }
        let out = &mut self.out;
        let written = out.write_all(&head).and_then(|()| out.write_all(entry.key));
        written
            .and_then(|()| out.write_all(entry.payload))
            .wrap(temporary_full)
    }

    fn finish<'a>(self) -> Result<Run<'a, Images>> {
        let file = self.out.into_inner();
        let mut file = file.map_err(|e| temporary_full().source(e.into_error()))?;
        file.rewind().wrap(temporary_full)?;
        Ok(Run::whole(SpillReader {
            input: BufReader::with_capacity(256 << 10, file),
            left: self.entries,
        }))
    }
}

/// Seven numbers of eight bytes.
const HEAD: usize = 56;

struct SpillReader {
    input: BufReader<File>,
    left: u64,
}

impl Iterator for SpillReader {
    type Item = Result<RunBatch<Images>>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.left > 0).then(|| {
            let batch = self.batch();
            if batch.is_err() {
                self.left = 0;
            }
            batch
        })
    }
}

impl SpillReader {
    fn batch(&mut self) -> Result<RunBatch<Images>> {
        let mut batch = RunBatch {
            keys: Keys::default(),
            seqs: Vec::new(),
            rows: Vec::new(),
            steps: Vec::new(),
            payload: Images::default(),
        };
        let (mut bytes, mut buffer) = (0, Vec::new());
        while self.left > 0 && batch.keys.len() < BATCH_ENTRIES && bytes < BATCH_BYTES {
            bytes += self.entry(&mut batch, &mut buffer)?;
            self.left -= 1;
        }
        Ok(batch)
    }

    fn entry(&mut self, batch: &mut RunBatch<Images>, buffer: &mut Vec<u8>) -> Result<usize> {
        let lost = || Error::unavailable("read temporary file");
        let mut head = [0; HEAD];
        self.input.read_exact(&mut head).wrap(lost)?;
        let mut numbers = head.chunks_exact(8).map(|slot| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(slot);
            u64::from_ne_bytes(bytes)
        });
        let mut next = || numbers.next().unwrap_or(0);
        let (key, image) = (next() as usize, next() as usize);
        batch.seqs.push(next() as i64);
        batch.rows.push(next() as i64);
        batch.steps.push(Step {
            need: next(),
            peak: next(),
            delta: next() as i64,
        });
        buffer.resize(key + image, 0);
        self.input.read_exact(buffer).wrap(lost)?;
        let (key, image) = buffer.split_at(key);
        batch.keys.push(key);
        batch.payload.push_with(|out| {
            out.extend_from_slice(image);
            Ok(())
        })?;
        Ok(HEAD + key.len() + image.len())
    }
}
