//! One table of a base, or a part of it: row images in, Parquet files out.
//!
//! Rows are collected into runs that fit memory; a run is sorted by key and written. A run that
//! follows the last one in key order goes on in the same file, one that does not starts another:
//! every file is one sorted run, whatever order the source reads in (an integer primary key
//! arrives sorted; a collation does not order as bytes do).

use super::read::Reading;
use crate::base::BaseFile;
use crate::error::{Error, Result};
use crate::manifest::Repository;
use crate::position::Seq;
use crate::runtime::ids::new_uuid;
use crate::segment::{
    BLOCK_ROWS, BaseBuilder, CanonicalRow, Canonicalizer, FileKind, FileOptions, Fingerprint,
    KeyCodec, RowOrder, TableFile, TableFileWriter, TablePlan,
};
use crate::source::RowBatch;
use crate::storage::ObjectName;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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

/// A finished table, or part.
#[derive(Debug)]
pub(super) struct TableFiles {
    pub(super) files: Vec<BaseFile>,
    pub(super) fingerprint: Fingerprint,
}

/// Takes row batches until the channel closes and stores their files. One run is written while
/// the next one is collected.
pub(super) async fn write_table(
    reading: &Reading,
    plan: Arc<TablePlan>,
    seq: Seq,
    mut rows: mpsc::Receiver<RowBatch>,
) -> Result<TableFiles> {
    let Reading {
        repository,
        compute,
        zstd_level,
        ..
    } = reading;
    let mut collector = RunCollector::new(Arc::clone(&plan));
    let mut stored = StoredFiles {
        repository,
        plan: &plan,
        files: TableFiles {
            files: Vec::new(),
            fingerprint: Fingerprint::default(),
        },
    };
    let writer = RunWriter::new(Arc::clone(&plan), seq, *zstd_level);
    let mut writing = Writing::Idle(Box::new(writer));
    loop {
        let batch = rows.recv().await;
        let last = batch.is_none();
        let (done, runs) = compute
            .run(move || {
                let mut runs = Vec::new();
                match batch {
                    Some(batch) => collector.take(&batch, &mut runs)?,
                    None => collector.end_run(&mut runs),
                }
                Ok((collector, runs))
            })
            .await?;
        collector = done;
        for run in runs {
            let mut writer = stored.wait(writing).await?;
            let compute = compute.clone();
            let write = move || {
                let finished = writer.write(run)?;
                Ok((writer, finished))
            };
            writing = Writing::Busy(tokio::spawn(async move { compute.run(write).await }));
        }
        if last {
            let mut writer = stored.wait(writing).await?;
            let finished = compute.run(move || writer.end()).await?;
            stored.store(finished).await?;
            return Ok(stored.files);
        }
    }
}

/// What the writer of a table does.
enum Writing {
    Idle(Box<RunWriter>),
    Busy(JoinHandle<Result<(Box<RunWriter>, Finished)>>),
}

/// The files of a table that are stored.
struct StoredFiles<'a> {
    repository: &'a Repository,
    plan: &'a TablePlan,
    files: TableFiles,
}

impl StoredFiles<'_> {
    /// Waits for the writer, and stores what it has finished.
    async fn wait(&mut self, writing: Writing) -> Result<Box<RunWriter>> {
        let task = match writing {
            Writing::Idle(writer) => return Ok(writer),
            Writing::Busy(task) => task,
        };
        let ended = task.await;
        let ended = ended.map_err(|e| Error::internal("write run of table").source(e))?;
        let (writer, finished) = ended?;
        self.store(finished).await?;
        Ok(writer)
    }

    async fn store(&mut self, finished: Finished) -> Result<()> {
        for (file, fingerprint) in finished {
            self.files.fingerprint.merge(&fingerprint);
            let stored = store(self.repository, self.plan, file, fingerprint).await?;
            self.files.files.push(stored);
        }
        Ok(())
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

/// Row of a run.
#[derive(Debug)]
struct RunRow {
    key: Range<usize>,
    image: Range<usize>,
}

/// Rows that are sorted and written together.
#[derive(Debug)]
struct Run {
    rows: Vec<RunRow>,
    images: Vec<u8>,
    keys: Vec<u8>,
    /// Whether every part of every key is a typed value or NULL.
    typed: bool,
    fingerprint: Fingerprint,
}

impl Run {
    fn new() -> Run {
        Run {
            rows: Vec::new(),
            images: Vec::new(),
            keys: Vec::new(),
            typed: true,
            fingerprint: Fingerprint::default(),
        }
    }

    fn key(&self, row: &RunRow) -> &[u8] {
        self.keys.get(row.key.clone()).unwrap_or_default()
    }

    fn image(&self, row: &RunRow) -> &[u8] {
        self.images.get(row.image.clone()).unwrap_or_default()
    }
}

/// Puts rows into runs, and hashes them.
#[derive(Debug)]
struct RunCollector {
    plan: Arc<TablePlan>,
    keys: KeyCodec,
    canonical: Canonicalizer,
    canonical_row: CanonicalRow,
    cells: Vec<Option<Range<u32>>>,
    run: Run,
}

/// Writes runs into files.
#[derive(Debug)]
struct RunWriter {
    plan: Arc<TablePlan>,
    seq: Seq,
    zstd_level: i32,
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

impl RunCollector {
    fn new(plan: Arc<TablePlan>) -> RunCollector {
        RunCollector {
            keys: KeyCodec::new(Arc::clone(&plan)),
            canonical: Canonicalizer::new(Arc::clone(&plan)),
            canonical_row: CanonicalRow::default(),
            cells: Vec::new(),
            run: Run::new(),
            plan,
        }
    }

    /// Takes rows; runs that are full by these go to `full`.
    fn take(&mut self, batch: &RowBatch, full: &mut Vec<Run>) -> Result<()> {
        let mut start = 0;
        for &end in &batch.ends {
            let end = end as usize;
            let image = batch.images.get(start..end).ok_or_else(|| self.torn())?;
            start = end;
            if self.plan.layout().split(image, &mut self.cells)? != image.len() {
                return Err(self.torn());
            }
            let run = &mut self.run;
            let key_start = run.keys.len();
            run.typed &= self.keys.encode_image(image, &self.cells, &mut run.keys)?;
            let hash = self
                .canonical
                .hash(image, &self.cells, &mut self.canonical_row)?;
            run.fingerprint.add(hash);
            let image_start = run.images.len();
            run.images.extend_from_slice(image);
            run.rows.push(RunRow {
                key: key_start..run.keys.len(),
                image: image_start..run.images.len(),
            });
            if run.rows.len() >= RUN_ROWS || run.images.len() >= RUN_BYTES {
                self.end_run(full);
            }
        }
        Ok(())
    }

    fn end_run(&mut self, full: &mut Vec<Run>) {
        if !self.run.rows.is_empty() {
            full.push(std::mem::replace(&mut self.run, Run::new()));
        }
    }

    fn torn(&self) -> Error {
        Error::internal("split row image of snapshot").field("table", &self.plan.version().name)
    }
}

impl RunWriter {
    fn new(plan: Arc<TablePlan>, seq: Seq, zstd_level: i32) -> RunWriter {
        RunWriter {
            plan,
            seq,
            zstd_level,
            file: None,
        }
    }

    /// Writes a run; gives the file that is finished by that.
    fn write(&mut self, mut run: Run) -> Result<Finished> {
        let mut finished = Vec::new();
        let mut rows = std::mem::take(&mut run.rows);
        rows.sort_by(|a, b| run.key(a).cmp(run.key(b)));
        let first = rows.first().map(|row| run.key(row)).unwrap_or_default();
        let follows = self.file.as_ref().is_some_and(|file| {
            file.typed == run.typed
                && file.last_key.as_slice() <= first
                && file.writer.bytes_estimate() < FILE_BYTES
        });
        if !follows {
            finished = self.end()?;
            let mut options = FileOptions::new(FileKind::Base, RowOrder::Sorted, run.typed);
            options.zstd_level = self.zstd_level;
            self.file = Some(OpenFile {
                writer: TableFileWriter::new(Arc::clone(&self.plan), options)?,
                typed: run.typed,
                last_key: Vec::new(),
                fingerprint: Fingerprint::default(),
            });
        }
        let Some(file) = &mut self.file else {
            return Ok(finished);
        };
        let mut builder = BaseBuilder::new(Arc::clone(&self.plan), BATCH_ROWS.min(rows.len()));
        let seqs = [self.seq; BLOCK_ROWS];
        for block in rows.chunks(BLOCK_ROWS) {
            let images: Vec<&[u8]> = block.iter().map(|row| run.image(row)).collect();
            builder.append_block(&images, seqs.get(..images.len()).unwrap_or_default())?;
            if builder.len() >= BATCH_ROWS || builder.bytes() >= BATCH_BYTES {
                file.writer.write(&builder.finish()?)?;
            }
        }
        if !builder.is_empty() {
            file.writer.write(&builder.finish()?)?;
        }
        file.last_key = rows
            .last()
            .map(|row| run.key(row))
            .unwrap_or_default()
            .to_vec();
        file.fingerprint.merge(&run.fingerprint);
        Ok(finished)
    }

    /// Ends the file that is open.
    fn end(&mut self) -> Result<Finished> {
        let file = self.file.take();
        let finished = file.map(|file| Ok((file.writer.finish()?, file.fingerprint)));
        finished.into_iter().collect()
    }
}
