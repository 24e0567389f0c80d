//! From an open batch to the files of a segment.
//!
//! Each table's index is sorted and its images are decoded in that order, straight into Arrow
//! builders and one Parquet writer. A large table is cut into ranges of its sorted index, one per
//! core, each a part file of its own; small tables share a task, so that ten thousand of them cost
//! ten thousand small files and not ten thousand tasks.

use super::batch::{Batch, TableRows};
use super::spill::image_of;
use crate::error::Result;
use crate::manifest::{FileOrder, FileRole};
use crate::position::Seq;
use crate::runtime::Compute;
use crate::schema::TableId;
use crate::segment::{BLOCK_ROWS, TransactionsWriter};
use crate::storage::SegmentFile;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Range;
use std::sync::Arc;

mod part;
mod spilled;
mod statements;

use part::{Packer, PartWriter, alone};
pub(crate) use spilled::SpilledFiles;
use statements::StatementFiles;

/// A table with more bytes of images than this is cut into one part per core.
const SPLIT_BYTES: usize = 8 << 20;
/// Images are decoded together up to this many bytes.
const BLOCK_BYTES: usize = 256 << 10;
/// Tables share a task up to this many bytes of images.
const TASK_BYTES: usize = 4 << 20;
/// Tables share a task up to this many.
const TASK_TABLES: usize = 256;
/// A pack is closed at about this size.
const PACK_BYTES: usize = 64 << 20;

/// A data file before it is stored.
#[derive(Debug)]
pub(crate) struct EncodedFile {
    pub(crate) role: FileRole,
    pub(crate) table: Option<(TableId, u32)>,
    pub(crate) part: u32,
    pub(crate) bytes: Bytes,
    pub(crate) rows: u64,
    pub(crate) order: FileOrder,
    pub(crate) keys: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) seqs: (Seq, Seq),
    /// Whether cells are absent from its rows.
    pub(crate) absent: bool,
}

impl EncodedFile {
    /// Its name within the segment's folder.
    pub(crate) fn name(&self) -> SegmentFile {
        match (&self.table, self.role) {
            (Some((table_id, version)), _) => SegmentFile::Changes {
                table_id: table_id.clone(),
                version: *version,
                part: self.part,
            },
            (None, FileRole::Statements) => SegmentFile::Statements(self.part),
            (None, FileRole::Raw) => SegmentFile::Raw,
            (None, FileRole::Pack) => SegmentFile::Pack(self.part),
            (None, _) => SegmentFile::Transactions,
        }
    }
}

/// An object to store: one file, or a pack of several.
#[derive(Debug)]
pub(crate) struct EncodedObject {
    pub(crate) bytes: Bytes,
    /// The files in it with their offsets; a pack is not among its own members.
    pub(crate) members: Vec<(u64, EncodedFile)>,
    /// Number of the pack, when it is one.
    pub(crate) pack: Option<u32>,
}

/// A batch as files.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) batch: Arc<Batch>,
    pub(crate) objects: Vec<EncodedObject>,
    /// Statements and tables of a batch that does not fit into memory: more objects, one after the
    /// other.
    pub(crate) spilled: Option<SpilledFiles>,
    /// Whether events are in it as skeletons, which a reader must know.
    pub(crate) has_skeletons: bool,
}

/// Encodes a batch. `format_description` heads `raw.binlog`.
pub(crate) async fn encode(
    mut batch: Batch,
    format_description: Bytes,
    zstd_level: i32,
    compute: &Compute,
) -> Result<Encoded> {
    if batch.has_spilled() {
        return compute
            .run(move || {
                batch.spill()?;
                let tables = std::mem::take(&mut batch.tables);
                let batch = Arc::new(batch);
                let (files, has_skeletons) = log_files(&batch, &format_description)?;
                Ok(Encoded {
                    has_skeletons,
                    objects: files.into_iter().map(alone).collect(),
                    spilled: Some(SpilledFiles::new(Arc::clone(&batch), tables, zstd_level)),
                    batch,
                })
            })
            .await;
    }
    let tables = std::mem::take(&mut batch.tables);
    let batch = Arc::new(batch);
    let log = {
        let batch = Arc::clone(&batch);
        compute.run(move || log_files(&batch, &format_description))
    };
    let statements = {
        let batch = Arc::clone(&batch);
        compute.run(move || {
            let mut files = Vec::new();
            let mut statements = StatementFiles::of(&batch);
            while let Some(file) = statements.next_file(&batch)? {
                files.push(file);
            }
            Ok(files)
        })
    };
    let mut tasks = Vec::new();
    for group in group(tables) {
        let (batch, compute) = (Arc::clone(&batch), compute.clone());
        tasks.push(async move { group_files(batch, group, zstd_level, &compute).await });
    }
    let tables = futures::future::try_join_all(tasks);
    let (log, statements, tables) = futures::try_join!(log, statements, tables)?;
    let (mut files, has_skeletons) = log;
    files.extend(statements);
    let touched = tables.iter().flatten().filter(|f| f.part == 0).count();
    files.extend(tables.into_iter().flatten());
    Ok(Encoded {
        batch,
        objects: pack(files, touched),
        spilled: None,
        has_skeletons,
    })
}

fn image_bytes(table: &TableRows) -> usize {
    table.index.iter().map(|(row, _)| row.length as usize).sum()
}

/// Groups tables into tasks: a large one alone, small ones together.
fn group(tables: Vec<TableRows>) -> Vec<Vec<TableRows>> {
    let mut groups: Vec<Vec<TableRows>> = Vec::new();
    let mut bytes = 0;
    for table in tables.into_iter().filter(TableRows::has_rows) {
        let size = image_bytes(&table);
        match groups.last_mut() {
            Some(last) if bytes + size <= TASK_BYTES && last.len() < TASK_TABLES => {
                bytes += size;
                last.push(table);
            }
            _ => {
                bytes = size;
                groups.push(vec![table]);
            }
        }
    }
    groups
}

async fn group_files(
    batch: Arc<Batch>,
    mut group: Vec<TableRows>,
    zstd_level: i32,
    compute: &Compute,
) -> Result<Vec<EncodedFile>> {
    let alone = matches!(group.as_slice(), [table] if image_bytes(table) > SPLIT_BYTES);
    let large = if alone { group.pop() } else { None };
    let Some(mut table) = large else {
        return compute
            .run(move || {
                let mut files = Vec::with_capacity(group.len());
                for mut table in group {
                    table.index.sort();
                    let all = 0..table.index.len();
                    files.push(table_file(&batch, &table, all, 0, zstd_level)?);
                }
                Ok(files)
            })
            .await;
    };
    let table = compute
        .run(move || {
            table.index.sort();
            Ok(Arc::new(table))
        })
        .await?;
    let ranges = part_ranges(table.index.len(), compute.width());
    let tasks = (0_u32..).zip(ranges).map(|(part, range)| {
        let (batch, table) = (Arc::clone(&batch), Arc::clone(&table));
        compute.run(move || table_file(&batch, &table, range, part, zstd_level))
    });
    futures::future::try_join_all(tasks).await
}

/// The rows of each part of a table: one part a core, none of them empty.
fn part_ranges(rows: usize, width: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = width.clamp(1, rows.max(1));
    (0..parts).map(move |part| rows * part / parts..rows * (part + 1) / parts)
}

/// One part file of a table: a range of its sorted index.
fn table_file(
    batch: &Batch,
    table: &TableRows,
    range: Range<usize>,
    part: u32,
    zstd_level: i32,
) -> Result<EncodedFile> {
    let mut writer = PartWriter::new(table, zstd_level, range.len())?;
    let mut keys: Option<(&[u8], &[u8])> = None;
    let (mut images, mut origins, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (row, key) in table.index.iter().skip(range.start).take(range.len()) {
        let found = image_of(row, &batch.events);
        let (image, origin) = found.map_err(|e| e.field("table", &table.plan.version().name))?;
        images.push(image);
        origins.push(origin);
        bytes += image.len();
        if images.len() >= BLOCK_ROWS || bytes >= BLOCK_BYTES {
            writer.push(batch, &images, &origins)?;
            images.clear();
            origins.clear();
            bytes = 0;
        }
        keys = Some((keys.map_or(key, |(first, _)| first), key));
    }
    writer.push(batch, &images, &origins)?;
    writer.finish(
        table,
        part,
        keys.map(|(min, max)| (min.to_vec(), max.to_vec())),
    )
}

/// The files that are not of a table, statements apart, and whether events are in them as skeletons.
fn log_files(batch: &Batch, format_description: &[u8]) -> Result<(Vec<EncodedFile>, bool)> {
    let seqs = (batch.seq_first, batch.seq_next().prev());
    let file = |role, bytes: Bytes, rows, order| EncodedFile {
        role,
        table: None,
        part: 0,
        bytes,
        rows,
        order,
        keys: None,
        seqs,
        absent: false,
    };
    let mut transactions = TransactionsWriter::new();
    for row in &batch.transactions {
        transactions.push(row)?;
    }
    let (rows, has_skeletons) = (transactions.rows(), transactions.has_skeletons());
    let bytes = transactions.finish()?;
    let mut files = vec![file(FileRole::Transactions, bytes, rows, FileOrder::Seq)];
    if !batch.kept.is_empty() {
        let mut bytes = BytesMut::new();
        bytes.put_slice(b"\xfebin");
        bytes.put_slice(format_description);
        for event in &batch.kept {
            bytes.put_slice(event);
        }
        files.push(file(
            FileRole::Raw,
            bytes.freeze(),
            batch.kept.len() as u64,
            FileOrder::None,
        ));
    }
    Ok((files, has_skeletons))
}

/// When a segment touches many tables, small files become members of packs.
fn pack(files: Vec<EncodedFile>, tables: usize) -> Vec<EncodedObject> {
    let mut packer = Packer::new(tables, PACK_BYTES);
    let mut objects: Vec<EncodedObject> = files.into_iter().filter_map(|f| packer.add(f)).collect();
    objects.extend(packer.finish());
    objects
}

#[cfg(test)]
mod tests {
    use super::part::PACK_MEMBER_BYTES;
    use super::*;
    use crate::position::Seq;

    fn file(number: u32, bytes: usize) -> EncodedFile {
        EncodedFile {
            role: FileRole::Changes,
            table: Some((TableId::allocate(1, Seq(1), number), 1)),
            part: 0,
            bytes: Bytes::from(vec![number as u8; bytes]),
            rows: 1,
            order: FileOrder::Key,
            keys: None,
            seqs: (Seq(1), Seq(1)),
            absent: false,
        }
    }

    #[test]
    fn a_table_of_few_large_rows_has_no_empty_part() {
        for rows in 1..9 {
            for width in 0..9 {
                let mut next = 0;
                for range in part_ranges(rows, width) {
                    assert_eq!(range.start, next, "{rows} rows, {width} cores");
                    assert!(range.end > range.start, "{rows} rows, {width} cores");
                    next = range.end;
                }
                assert_eq!(next, rows);
            }
        }
    }

    #[test]
    fn few_tables_stay_objects_of_their_own() {
        let objects = pack((0..32).map(|n| file(n, 10)).collect(), 32);
        assert_eq!(objects.len(), 32);
        assert!(objects.iter().all(|o| o.pack.is_none()));
    }

    #[test]
    fn many_small_files_share_packs_and_large_ones_do_not() {
        let files = (0..40)
            .map(|n| file(n, if n == 7 { PACK_MEMBER_BYTES } else { 10 }))
            .collect();
        let objects = pack(files, 40);
        assert_eq!(objects.len(), 2);
        let packed = objects.iter().find(|o| o.pack == Some(0)).expect("a pack");
        assert_eq!((packed.members.len(), packed.bytes.len()), (39, 390));
        for (offset, member) in &packed.members {
            let at = *offset as usize;
            assert_eq!(packed.bytes[at..at + member.bytes.len()], member.bytes[..]);
        }
    }
}
