//! The rows that a table of the target holds, as files to fold: where cascades reach a table that a
//! statement changed after the base, only the target has the rows that they hit.

use super::spool::Spooled;
use super::verify::Reader;
use crate::error::{Error, Result};
use crate::position::Seq;
use crate::schema::{TableName, TableVersion};
use crate::segment::{
    BaseBuilder, FileKind, FileOptions, KeyCodec, RowOrder, TableFileWriter, TablePlan,
};
use crate::source::RowBatch;
use std::ops::Range;
use std::sync::Arc;

/// A file is ended at about this size.
const FILE_BYTES: usize = 64 << 20;
/// Rows of one record batch at most.
const BATCH_ROWS: usize = 8_192;

/// A file of rows that were found.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    /// Its bytes.
    pub(super) file: Spooled,
    /// Rows in it.
    pub(super) rows: u64,
}

/// Reads a table of the target, which has the shape of `version`; the rows are those after entry
/// `seq`.
///
/// # Errors
/// Those of reading, and of [`Spooled::new`].
pub(super) async fn found_rows(
    reader: &Reader<'_>,
    name: &TableName,
    version: &Arc<TableVersion>,
    seq: Seq,
) -> Result<Vec<FoundFile>> {
    let plan = Arc::new(TablePlan::compile(Arc::clone(version))?);
    let mut rows = Rows {
        keys: KeyCodec::new(Arc::clone(&plan)),
        plan,
        seq,
        writer: None,
        done: Vec::new(),
    };
    let each = |mut rows: Rows, batch: RowBatch| rows.take(&batch).map(|()| rows);
    rows = reader.batches(name, version, rows, each).await?;
    reader.compute.run(move || rows.end()).await
}

struct Rows {
    plan: Arc<TablePlan>,
    keys: KeyCodec,
    seq: Seq,
    writer: Option<TableFileWriter>,
    done: Vec<FoundFile>,
}

impl Rows {
    /// Writes a batch as a row group, sorted by key.
    fn take(&mut self, batch: &RowBatch) -> Result<()> {
        let (mut keys, mut cells, mut start) = (Vec::new(), Vec::new(), 0);
        let mut rows: Vec<(Range<usize>, Range<usize>)> = Vec::with_capacity(batch.ends.len());
        for end in batch.ends.iter().map(|end| *end as usize) {
            let image = batch.images.get(start..end);
            let image = image.ok_or_else(|| Error::internal("read table: batch of no rows"))?;
            self.plan.layout().split(image, &mut cells)?;
            let from = keys.len();
            self.keys.encode_image(image, &cells, &mut keys)?;
            rows.push((from..keys.len(), start..end));
            start = end;
        }
        let key = |row: &(Range<usize>, Range<usize>)| keys.get(row.0.clone()).unwrap_or_default();
        rows.sort_by(|a, b| key(a).cmp(key(b)));
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let options = FileOptions::new(FileKind::Base, RowOrder::Runs, false);
                TableFileWriter::new(Arc::clone(&self.plan), options)?
            }
        };
        for part in rows.chunks(BATCH_ROWS) {
            let mut builder = BaseBuilder::new(Arc::clone(&self.plan), part.len());
            for (_, image) in part {
                builder.append(
                    batch.images.get(image.clone()).unwrap_or_default(),
                    self.seq,
                )?;
            }
            writer.write(&builder.finish()?)?;
        }
        writer.end_row_group()?;
        let full = writer.bytes_estimate() >= FILE_BYTES;
        self.writer = Some(writer);
        if full { self.end_file() } else { Ok(()) }
    }

    fn end_file(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let written = writer.finish()?;
        self.done.push(FoundFile {
            file: Spooled::new(written.bytes)?,
            rows: written.stats.rows,
        });
        Ok(())
    }

    fn end(mut self) -> Result<Vec<FoundFile>> {
        self.end_file()?;
        Ok(self.done)
    }
}
