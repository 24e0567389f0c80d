//! Reading a file.

use super::{FileKind, METADATA_KEY};
use crate::error::{Error, Result, Wrap};
use crate::schema::TableId;
use crate::segment::TablePlan;
use crate::segment::plan::field_id;
use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::ChunkReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Bytes of the rows of one batch, about.
const BATCH_BYTES_MAX: u64 = 32 << 20;

/// What a file says it holds: its `tidelog` metadata.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileIdentity {
    /// Table.
    pub table_id: TableId,
    /// Table version.
    pub version: u32,
    /// SHA-256 (hex) of the version record.
    pub sha256: String,
}

/// The Parquet library is trusted to refuse damaged bytes, not to never panic on them.
fn guarded<T>(what: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(Error::corrupt(what).source("the Parquet library panicked")))
}

/// The footer of a file.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the bytes are no Parquet file.
pub(in crate::segment) fn open_metadata<R: ChunkReader>(input: &R) -> Result<ArrowReaderMetadata> {
    guarded("read Parquet footer", || {
        ArrowReaderMetadata::load(input, ArrowReaderOptions::new())
            .wrap(|| Error::corrupt("read Parquet footer"))
    })
}

/// The `tidelog` metadata of a Parquet file.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the bytes are no Parquet file or have none.
pub fn identify<R: ChunkReader>(input: &R) -> Result<FileIdentity> {
    identity_of(&open_metadata(input)?)
}

fn identity_of(metadata: &ArrowReaderMetadata) -> Result<FileIdentity> {
    let values = metadata.metadata().file_metadata().key_value_metadata();
    let value = values.and_then(|values| values.iter().find(|kv| kv.key == METADATA_KEY));
    let json = value.and_then(|kv| kv.value.as_deref());
    let json = json.ok_or_else(|| Error::corrupt("read table file: no tidelog metadata"))?;
    serde_json::from_str(json).wrap(|| Error::corrupt("read table file: tidelog metadata"))
}

/// What to read of a file.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Field ids of the columns to read, system columns included; `None` for all.
    pub fields: Option<Vec<i32>>,
    /// Row groups to read, in this order; `None` for all.
    pub row_groups: Option<Vec<usize>>,
    /// Rows of a batch at most.
    pub batch_rows: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            fields: None,
            row_groups: None,
            batch_rows: 8_192,
        }
    }
}

/// Reads one Parquet file of a table. The caller has checked the file's SHA-256.
///
/// `R` is the whole file ([`Bytes`](bytes::Bytes)) or fetches ranges of it.
#[derive(Debug)]
pub struct TableFileReader<R> {
    input: R,
    plan: Arc<TablePlan>,
    metadata: ArrowReaderMetadata,
}

impl<R: ChunkReader + Clone + 'static> TableFileReader<R> {
    /// Opens a file written with this very table version.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no Parquet file or its schema
    /// differs from the plan's; [`Incompatible`](crate::error::ErrorKind::Incompatible) when it
    /// is of another table or version.
    pub fn open(input: R, plan: Arc<TablePlan>, kind: FileKind) -> Result<TableFileReader<R>> {
        let metadata = open_metadata(&input)?;
        check_identity(&identity_of(&metadata)?, &plan)?;
        check_schema(&metadata, &plan, kind)?;
        Ok(TableFileReader {
            input,
            plan,
            metadata,
        })
    }

    /// Rows of the file.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.row_group_rows().iter().sum()
    }

    /// Rows of each row group.
    #[must_use]
    pub fn row_group_rows(&self) -> Vec<u64> {
        let groups = self.metadata.metadata().row_groups().iter();
        groups
            .map(|group| u64::try_from(group.num_rows()).unwrap_or(0))
            .collect()
    }

    /// Reads batches.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when a row group or field does not exist;
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the file is damaged.
    pub fn read(&self, options: &ReadOptions) -> Result<TableBatches> {
        let context = |error: Error| error.field("table", &self.plan.version().name);
        let options = ReadOptions {
            batch_rows: options.batch_rows.min(self.batch_rows_max()),
            ..options.clone()
        };
        read_batches(self.input.clone(), &self.metadata, &options).map_err(context)
    }

    /// How many rows of the file have [`BATCH_BYTES_MAX`], about: rows may be large.
    fn batch_rows_max(&self) -> usize {
        let groups = self.metadata.metadata().row_groups().iter();
        let bytes = groups.map(|group| u64::try_from(group.total_byte_size()).unwrap_or(0));
        let row_bytes = bytes.sum::<u64>() / self.rows().max(1);
        let rows = BATCH_BYTES_MAX / row_bytes.max(1);
        usize::try_from(rows).unwrap_or(usize::MAX).max(1)
    }
}

fn check_identity(found: &FileIdentity, plan: &TablePlan) -> Result<()> {
    let version = plan.version();
    if found.table_id == version.table_id
        && found.version == version.version
        && found.sha256 == plan.version_sha256()
    {
        return Ok(());
    }
    Err(
        Error::incompatible("open table file: it is of another table version")
            .field("table", &version.name)
            .field("wanted", version.stem())
            .field("found", format!("{}.v{}", found.table_id, found.version))
            .hint("read each file with the table version that its manifest names"),
    )
}

fn check_schema(metadata: &ArrowReaderMetadata, plan: &TablePlan, kind: FileKind) -> Result<()> {
    let wanted = match kind {
        FileKind::Change => plan.change_schema(),
        FileKind::Base => plan.base_schema(),
    };
    let found = metadata.schema();
    let same = found.fields().len() == wanted.fields().len()
        && found.fields().iter().zip(wanted.fields()).all(|(f, w)| {
            f.name() == w.name() && f.data_type() == w.data_type() && field_id(f) == field_id(w)
        });
    if same {
        return Ok(());
    }
    Err(
        Error::corrupt("open table file: its columns are not those of its table version")
            .field("table", &plan.version().name)
            .field("wanted", wanted.fields().len())
            .field("found", found.fields().len()),
    )
}

/// Starts reading; see [`TableFileReader::read`].
pub(in crate::segment) fn read_batches<R: ChunkReader + Clone + 'static>(
    input: R,
    metadata: &ArrowReaderMetadata,
    options: &ReadOptions,
) -> Result<TableBatches> {
    let missing = |what: &'static str| Error::internal(what);
    let groups = metadata.metadata().num_row_groups();
    if let Some(wanted) = &options.row_groups
        && wanted.iter().any(|group| *group >= groups)
    {
        return Err(missing("read table file: no such row group").field("row_groups", groups));
    }
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata.clone())
        .with_batch_size(options.batch_rows.max(1));
    if let Some(ids) = &options.fields {
        let fields = metadata.schema().fields();
        let column = |id: &i32| fields.iter().position(|f| field_id(f) == Some(*id));
        let columns: Option<Vec<usize>> = ids.iter().map(column).collect();
        let columns = columns.ok_or_else(|| missing("read table file: no such field"))?;
        builder =
            builder.with_projection(ProjectionMask::roots(metadata.parquet_schema(), columns));
    }
    if let Some(wanted) = &options.row_groups {
        builder = builder.with_row_groups(wanted.clone());
    }
    let reader = guarded("read table file", || {
        builder.build().wrap(|| Error::corrupt("read table file"))
    })?;
    Ok(TableBatches {
        reader: Some(reader),
    })
}

/// The batches of a file, in file order; ends after the first error.
pub struct TableBatches {
    reader: Option<ParquetRecordBatchReader>,
}

impl std::fmt::Debug for TableBatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableBatches").finish_non_exhaustive()
    }
}

impl Iterator for TableBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let next = guarded("read table file", || {
            reader
                .next()
                .transpose()
                .wrap(|| Error::corrupt("read table file"))
        });
        if !matches!(next, Ok(Some(_))) {
            self.reader = None;
        }
        next.transpose()
    }
}
