//! Condensed runs in temporary files, where a table has more runs than can be merged at once.
//!
//! The file is private to one fold and never read by anyone else: per entry the key, Seq, row
//! ordinal, step and image, each with its length, in native order.

use super::rows::Images;
use super::spool::{full, temporary};
use crate::base::fold::{self, Identity, Keep, Keys, Run, RunBatch, Step};
use crate::error::{Error, Result, Wrap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

/// Entries and bytes of a batch read back, at most.
const BATCH_ENTRIES: usize = 1_024;
const BATCH_BYTES: usize = 512 << 10;

/// Merges runs into one run on disk.
///
/// # Errors
/// As [`fold::merge`]; [`Unavailable`](crate::error::ErrorKind::Unavailable) when the temporary
/// folder is full.
pub(super) fn condense<'a>(
    identity: Identity,
    keep: Keep,
    runs: Vec<Run<'_, Images>>,
) -> Result<Run<'a, Images>> {
    let mut out = BufWriter::with_capacity(1 << 20, temporary()?);
    let mut entries = 0_u64;
    fold::merge(identity, keep, runs, |folded| {
        entries += 1;
        let last = folded
            .last
            .filter(|_| keep.has_image(identity, folded.step));
        let image = last.map_or(&[][..], |(images, index)| images.get(index));
        let numbers = [
            folded.key.len() as u64,
            image.len() as u64,
            folded.seq as u64,
            folded.row as u64,
            folded.step.need,
            folded.step.peak,
            folded.step.delta as u64,
        ];
        let mut head = [0; HEAD];
        for (slot, number) in head.chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_ne_bytes());
        }
        let written = out
            .write_all(&head)
            .and_then(|()| out.write_all(folded.key));
        written.and_then(|()| out.write_all(image)).wrap(full)
    })?;
    let mut file = out
        .into_inner()
        .map_err(|e| full().source(e.into_error()))?;
    file.rewind().wrap(full)?;
    let reader = SpillReader {
        input: BufReader::with_capacity(256 << 10, file),
        left: entries,
    };
    Ok(Run::whole(reader))
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
