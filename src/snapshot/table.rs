//! One table of a base: row images in, Parquet files out.
//!
//! Rows are collected into runs that fit memory; a run is sorted by key and written. A run that
//! follows the last one in key order goes on in the same file, one that does not starts another:
//! every file is one sorted run, whatever order the source reads in (an integer primary key
//! arrives sorted; a collation does not order as bytes do).

use crate::base::BaseFile;
use crate::error::{Error, Result};
use crate::manifest::Repository;
use crate::position::Seq;
use crate::runtime::{Compute, ids::new_uuid};
use crate::segment::{
    BLOCK_ROWS, BaseBuilder, CanonicalRow, Canonicalizer, FileKind, FileOptions, Fingerprint,
    KeyCodec, RowOrder, TableFile, TableFileWriter, TablePlan,
};
use crate::source::RowBatch;
use crate::storage::ObjectName;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows of a run at most: one row group.
const RUN_ROWS: usize = 131_072;
/// Bytes of images of a run at most.
const RUN_BYTES: usize = 32 << 20;
/// Rows of one record batch at most.
const BATCH_ROWS: usize = 8_192;
/// Bytes of one record batch at most, about.
const BATCH_BYTES: usize = 8 << 20;
/// A file is ended at about this size.
const FILE_BYTES: usize = 128 << 20;

/// A finished table.
#[derive(Debug)]
pub(super) struct TableFiles {
    pub(super) files: Vec<BaseFile>,
    pub(super) fingerprint: Fingerprint,
}

/// Takes row batches until the channel closes and stores the table's files.
pub(super) async fn write_table(
    repository: &Repository,
    compute: &Compute,
    plan: Arc<TablePlan>,
    seq: Seq,
    zstd_level: i32,
    mut rows: mpsc::Receiver<RowBatch>,
) -> Result<TableFiles> {
    let mut writer = RunWriter::new(Arc::clone(&plan), seq, zstd_level);
    let (mut files, mut fingerprint) = (Vec::new(), Fingerprint::default());
    loop {
        let batch = rows.recv().await;
        let last = batch.is_none();
        let (done, finished) = compute
            .run(move || {
                let finished = match batch {
                    Some(batch) => writer.take(&batch)?,
                    None => writer.end()?,
                };
                Ok((writer, finished))
            })
            .await?;
        writer = done;
        for (file, file_fingerprint) in finished {
            fingerprint.merge(&file_fingerprint);
            files.push(store(repository, &plan, file, file_fingerprint).await?);
        }
        if last {
            return Ok(TableFiles { files, fingerprint });
        }
    }
}

async fn store(
    repository: &Repository,
    plan: &TablePlan,
    file: TableFile,
    fingerprint: Fingerprint,
) -> Result<BaseFile> {
    let version = plan.version();
    let name = ObjectName::TableData {
        table_id: version.table_id.clone(),
        version: version.version,
        uuid: new_uuid(),
    };
    let keyless = version.key.is_empty();
    let key = |key: Vec<u8>| (!keyless && !key.is_empty()).then_some(key);
    let put = repository.put_file(&name, file.bytes).await?;
    Ok(BaseFile {
        name: version.name.clone(),
        table_id: version.table_id.clone(),
        version: version.version,
        object: name.to_string(),
        offset: 0,
        bytes: put.length,
        rows: file.stats.rows,
        key_min: key(file.stats.key_min),
        key_max: key(file.stats.key_max),
        crc32: put.crc32.0,
        sha256: put.sha256.0,
        fingerprint: fingerprint.sum,
        order: RowOrder::Sorted,
    })
}

/// Row of the run being collected.
#[derive(Debug)]
struct RunRow {
    key: Range<usize>,
    image: Range<usize>,
}

#[derive(Debug)]
struct RunWriter {
    plan: Arc<TablePlan>,
    keys: KeyCodec,
    canonical: Canonicalizer,
    canonical_row: CanonicalRow,
    seq: Seq,
    zstd_level: i32,
    rows: Vec<RunRow>,
    images: Vec<u8>,
    key_bytes: Vec<u8>,
    typed: bool,
    cells: Vec<Option<Range<u32>>>,
    hashes: Fingerprint,
    file: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    writer: TableFileWriter,
    typed: bool,
    last_key: Vec<u8>,
    fingerprint: Fingerprint,
}

type Finished = Vec<(TableFile, Fingerprint)>;

impl RunWriter {
    fn new(plan: Arc<TablePlan>, seq: Seq, zstd_level: i32) -> RunWriter {
        RunWriter {
            keys: KeyCodec::new(Arc::clone(&plan)),
            canonical: Canonicalizer::new(Arc::clone(&plan)),
            canonical_row: CanonicalRow::default(),
            plan,
            seq,
            zstd_level,
            rows: Vec::new(),
            images: Vec::new(),
            key_bytes: Vec::new(),
            typed: true,
            cells: Vec::new(),
            hashes: Fingerprint::default(),
            file: None,
        }
    }

    fn take(&mut self, batch: &RowBatch) -> Result<Finished> {
        let mut finished = Vec::new();
        let mut start = 0;
        for &end in &batch.ends {
            let end = end as usize;
            let image = batch.images.get(start..end).ok_or_else(|| self.torn())?;
            start = end;
            if self.plan.layout().split(image, &mut self.cells)? != image.len() {
                return Err(self.torn());
            }
            let key_start = self.key_bytes.len();
            self.typed &= self
                .keys
                .encode_image(image, &self.cells, &mut self.key_bytes)?;
            let hash = self
                .canonical
                .hash(image, &self.cells, &mut self.canonical_row)?;
            self.hashes.add(hash);
            let image_start = self.images.len();
            self.images.extend_from_slice(image);
            self.rows.push(RunRow {
                key: key_start..self.key_bytes.len(),
                image: image_start..self.images.len(),
            });
            if self.rows.len() >= RUN_ROWS || self.images.len() >= RUN_BYTES {
                self.write_run(&mut finished)?;
            }
        }
        Ok(finished)
    }

    fn end(&mut self) -> Result<Finished> {
        let mut finished = Vec::new();
        self.write_run(&mut finished)?;
        self.end_file(&mut finished)?;
        Ok(finished)
    }

    fn torn(&self) -> Error {
        Error::internal("split row image of snapshot").field("table", &self.plan.version().name)
    }

    fn write_run(&mut self, finished: &mut Finished) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.rows);
        let images = std::mem::take(&mut self.images);
        let keys = std::mem::take(&mut self.key_bytes);
        let key = |row: &RunRow| keys.get(row.key.clone()).unwrap_or_default();
        rows.sort_by(|a, b| key(a).cmp(key(b)));
        let first = rows.first().map(key).unwrap_or_default();
        let follows = self.file.as_ref().is_some_and(|file| {
            file.typed == self.typed
                && file.last_key.as_slice() <= first
                && file.writer.bytes_estimate() < FILE_BYTES
        });
        if !follows {
            self.end_file(finished)?;
            let mut options = FileOptions::new(FileKind::Base, RowOrder::Sorted, self.typed);
            options.zstd_level = self.zstd_level;
            self.file = Some(OpenFile {
                writer: TableFileWriter::new(Arc::clone(&self.plan), options)?,
                typed: self.typed,
                last_key: Vec::new(),
                fingerprint: Fingerprint::default(),
            });
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut builder = BaseBuilder::new(Arc::clone(&self.plan), BATCH_ROWS.min(rows.len()));
        let image = |row: &RunRow| images.get(row.image.clone()).unwrap_or_default();
        for block in rows.chunks(BLOCK_ROWS) {
            let images: Vec<&[u8]> = block.iter().map(image).collect();
            builder.append_block(&images, self.seq)?;
            if builder.len() >= BATCH_ROWS || builder.bytes() >= BATCH_BYTES {
                file.writer.write(&builder.finish()?)?;
            }
        }
        if !builder.is_empty() {
            file.writer.write(&builder.finish()?)?;
        }
        file.last_key = rows.last().map(key).unwrap_or_default().to_vec();
        file.fingerprint.merge(&std::mem::take(&mut self.hashes));
        self.typed = true;
        Ok(())
    }

    fn end_file(&mut self, finished: &mut Finished) -> Result<()> {
        if let Some(file) = self.file.take() {
            finished.push((file.writer.finish()?, file.fingerprint));
        }
        Ok(())
    }
}
