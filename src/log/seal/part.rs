//! One part file of a table, row by row, and the objects that small files share.

use super::{EncodedFile, EncodedObject};
use crate::error::{Error, Result};
use crate::log::batch::{Batch, TableRows};
use crate::log::spill::Origin;
use crate::manifest::{FileOrder, FileRole};
use crate::position::Seq;
use crate::segment::{ChangeBuilder, ChangeRow, FileKind, FileOptions, RowOrder, TableFileWriter};
use bytes::{BufMut, BytesMut};
use std::sync::Arc;

/// Rows of one record batch at most.
const BATCH_ROWS: usize = 8_192;
/// Bytes of one record batch at most, about.
const BATCH_BYTES: usize = 8 << 20;
/// More tables than this in a segment: small files go into packs.
const PACK_TABLES: usize = 32;
/// Files below this size are packed.
pub(super) const PACK_MEMBER_BYTES: usize = 256 << 10;

/// Decodes row images, given by key, into one file.
#[derive(Debug)]
pub(super) struct PartWriter {
    writer: TableFileWriter,
    builder: ChangeBuilder,
    rows: Vec<ChangeRow>,
    seqs: (Seq, Seq),
    absent: bool,
}

impl PartWriter {
    /// Of a table; `rows` is how many will come, about.
    pub(super) fn new(table: &TableRows, zstd_level: i32, rows: usize) -> Result<PartWriter> {
        let mut options = FileOptions::new(FileKind::Change, RowOrder::Sorted, table.keys_typed);
        options.zstd_level = zstd_level;
        Ok(PartWriter {
            writer: TableFileWriter::new(Arc::clone(&table.plan), options)?,
            builder: ChangeBuilder::new(Arc::clone(&table.plan), BATCH_ROWS.min(rows)),
            rows: Vec::new(),
            seqs: (Seq(i64::MAX), Seq(i64::MIN)),
            absent: false,
        })
    }

    /// Adds the next images, each with its origin; what their transactions came to, the batch says.
    pub(super) fn push(
        &mut self,
        batch: &Batch,
        images: &[&[u8]],
        origins: &[Origin],
    ) -> Result<()> {
        self.rows.clear();
        for origin in origins {
            let transaction = batch.transactions.get(origin.transaction as usize);
            let transaction =
                transaction.ok_or_else(|| Error::internal("find transaction of row image"))?;
            self.absent |= origin.absent;
            self.seqs = (
                self.seqs.0.min(transaction.seq),
                self.seqs.1.max(transaction.seq),
            );
            self.rows.push(ChangeRow {
                op: origin.op,
                seq: transaction.seq,
                row: i64::from(origin.row),
                event: origin.event,
                flags: origin.flags,
                commit_time_us: transaction.commit.map_or(0, |c| c.at_us),
            });
        }
        self.builder.append_block(images, &self.rows)?;
        if self.builder.len() >= BATCH_ROWS || self.builder.bytes() >= BATCH_BYTES {
            self.writer.write(&self.builder.finish()?)?;
        }
        Ok(())
    }

    /// Bytes of the file so far, about.
    pub(super) fn bytes_estimate(&self) -> usize {
        self.writer.bytes_estimate() + self.builder.bytes()
    }

    /// Ends the file; `keys` are those of its first and last image.
    pub(super) fn finish(
        mut self,
        table: &TableRows,
        part: u32,
        keys: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<EncodedFile> {
        if !self.builder.is_empty() {
            self.writer.write(&self.builder.finish()?)?;
        }
        let file = self.writer.finish()?;
        let version = table.plan.version();
        let keyless = table.keys.is_keyless();
        Ok(EncodedFile {
            role: FileRole::Changes,
            table: Some((version.table_id.clone(), version.version)),
            part,
            bytes: file.bytes,
            rows: file.stats.rows,
            order: if keyless {
                FileOrder::Hash
            } else {
                FileOrder::Key
            },
            keys,
            seqs: self.seqs,
            absent: self.absent,
        })
    }
}

/// Makes objects of files: small ones share packs where a segment touches many tables.
#[derive(Debug)]
pub(super) struct Packer {
    packs: bool,
    /// A pack is closed at about this size.
    bytes_max: usize,
    bytes: BytesMut,
    members: Vec<(u64, EncodedFile)>,
    next: u32,
}

impl Packer {
    /// For a segment that touches this many tables.
    pub(super) fn new(tables: usize, bytes_max: usize) -> Packer {
        Packer {
            packs: tables > PACK_TABLES,
            bytes_max,
            bytes: BytesMut::new(),
            members: Vec::new(),
            next: 0,
        }
    }

    /// Adds a file; gives an object that is whole by that.
    pub(super) fn add(&mut self, file: EncodedFile) -> Option<EncodedObject> {
        if !self.packs || file.table.is_none() || file.bytes.len() >= PACK_MEMBER_BYTES {
            return Some(alone(file));
        }
        let full = match self.bytes.len() >= self.bytes_max {
            true => self.finish(),
            false => None,
        };
        let offset = self.bytes.len() as u64;
        self.bytes.put_slice(&file.bytes);
        self.members.push((offset, file));
        full
    }

    /// The pack that is not full.
    pub(super) fn finish(&mut self) -> Option<EncodedObject> {
        if self.members.is_empty() {
            return None;
        }
        let pack = Some(self.next);
        self.next += 1;
        Some(EncodedObject {
            bytes: std::mem::take(&mut self.bytes).freeze(),
            members: std::mem::take(&mut self.members),
            pack,
        })
    }
}

/// A file that is an object of its own.
pub(super) fn alone(file: EncodedFile) -> EncodedObject {
    EncodedObject {
        bytes: file.bytes.clone(),
        members: vec![(0, file)],
        pack: None,
    }
}
