//! Parquet files of tables: change files and base files.

use super::TablePlan;
use crate::error::{Error, Result};
use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::file::reader::ChunkReader;
use std::sync::Arc;

/// Which of the two schemas a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Changes of a segment.
    Change,
    /// Rows of a base.
    Base,
}

/// How the rows of a file are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// One sorted run over the whole file.
    Sorted,
    /// Several sorted runs, each row group within one.
    Runs,
    /// No order that a reader could use.
    Unsorted,
}

impl RowOrder {
    /// Name in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RowOrder::Sorted => "sorted",
            RowOrder::Runs => "runs",
            RowOrder::Unsorted => "unsorted",
        }
    }

    /// The order of a name in a manifest.
    #[must_use]
    pub fn parse(name: &str) -> Option<RowOrder> {
        [RowOrder::Sorted, RowOrder::Runs, RowOrder::Unsorted]
            .into_iter()
            .find(|order| order.name() == name)
    }
}

/// How to write a file.
#[derive(Clone, Copy, Debug)]
pub struct FileOptions {
    /// Which schema.
    pub kind: FileKind,
    /// How the rows will come.
    pub order: RowOrder,
    /// Whether every key part of every row is typed (what [`KeyCodec`](super::KeyCodec)
    /// returns): only then is the order declared to Parquet readers.
    pub key_typed: bool,
    /// zstd level.
    pub zstd_level: i32,
    /// Rows of a row group at most.
    pub row_group_rows_max: usize,
    /// Encoded bytes of a row group at most (checked between batches).
    pub row_group_bytes_max: usize,
}

impl FileOptions {
    /// The defaults of format version 1 for a kind and order.
    #[must_use]
    pub fn new(kind: FileKind, order: RowOrder, key_typed: bool) -> FileOptions {
        FileOptions {
            kind,
            order,
            key_typed,
            zstd_level: 1,
            row_group_rows_max: 131_072,
            row_group_bytes_max: 64 << 20,
        }
    }
}

/// What a manifest needs to know of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStats {
    /// Rows.
    pub rows: u64,
    /// Smallest key, see [`KeyCodec`](super::KeyCodec); empty without rows.
    pub key_min: Vec<u8>,
    /// Largest key; empty without rows.
    pub key_max: Vec<u8>,
    /// Order of the rows.
    pub order: RowOrder,
}

/// A finished file.
#[derive(Clone, Debug)]
pub struct TableFile {
    /// The whole Parquet file.
    pub bytes: Bytes,
    /// Its description.
    pub stats: FileStats,
}

/// Writes one Parquet file of a table into memory.
#[derive(Debug)]
pub struct TableFileWriter {
    plan: Arc<TablePlan>,
    options: FileOptions,
}

impl TableFileWriter {
    /// A file of this plan's table version.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when an option is out of range.
    pub fn new(plan: Arc<TablePlan>, options: FileOptions) -> Result<TableFileWriter> {
        Ok(TableFileWriter { plan, options })
    }

    /// Adds a batch; for [`RowOrder::Sorted`] its rows follow those of the last one in key
    /// order.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the batch has another schema or a
    /// raw key cell in a file that declares its order.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let _ = (&self.plan, self.options, batch);
        Err(Error::internal("not built yet"))
    }

    /// Starts a new row group; with [`RowOrder::Runs`], call it between runs.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the row group cannot be written.
    pub fn end_row_group(&mut self) -> Result<()> {
        Err(Error::internal("not built yet"))
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        0
    }

    /// Bytes of the file so far, about.
    #[must_use]
    pub fn bytes_estimate(&self) -> usize {
        0
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the file cannot be written.
    pub fn finish(self) -> Result<TableFile> {
        Err(Error::internal("not built yet"))
    }
}

/// What a file says it holds: its `tidelog` metadata.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileIdentity {
    /// Table.
    pub table_id: crate::schema::TableId,
    /// Table version.
    pub version: u32,
    /// SHA-256 (hex) of the version record.
    pub sha256: String,
}

/// The `tidelog` metadata of a Parquet file.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the bytes are no Parquet file or have none.
pub fn identify<R: ChunkReader + Clone + 'static>(input: R) -> Result<FileIdentity> {
    let _ = input;
    Err(Error::internal("not built yet"))
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
/// `R` is the whole file ([`Bytes`]) or fetches ranges of it.
#[derive(Debug)]
pub struct TableFileReader<R: ChunkReader + Clone + 'static> {
    input: R,
    plan: Arc<TablePlan>,
}

impl<R: ChunkReader + Clone + 'static> TableFileReader<R> {
    /// Opens a file written with this very table version.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no Parquet file or its schema
    /// differs from the plan's; [`Incompatible`](crate::error::ErrorKind::Incompatible) when it
    /// is of another table or version.
    pub fn open(input: R, plan: Arc<TablePlan>, kind: FileKind) -> Result<TableFileReader<R>> {
        let _ = kind;
        Ok(TableFileReader { input, plan })
    }

    /// Rows of the file.
    #[must_use]
    pub fn rows(&self) -> u64 {
        0
    }

    /// Rows of each row group.
    #[must_use]
    pub fn row_group_rows(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Reads batches.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when a row group or field does not exist.
    pub fn read(&self, options: &ReadOptions) -> Result<TableBatches> {
        let _ = (&self.input, &self.plan, options);
        Err(Error::internal("not built yet"))
    }
}

/// The batches of a file, in file order; ends after the first error.
#[derive(Debug)]
pub struct TableBatches {}

impl Iterator for TableBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
