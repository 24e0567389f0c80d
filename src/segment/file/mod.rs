//! Parquet files of tables: change files and base files.
//!
//! V1 data pages, zstd, field ids on every column, key-value metadata `tidelog` that says which
//! table version the file is of, page index, truncated statistics. Files of fewer than
//! [`TINY_ROWS`] rows are made for being many: snappy, no dictionaries, no page index.

mod encoding;
mod properties;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(super) use encoding::choose;
pub use read::{FileIdentity, ReadOptions, TableBatches, TableFileReader, identify};
pub(super) use read::{open_metadata, read_batches};
pub use write::TableFileWriter;
pub(super) use write::arrow_options;

use bytes::Bytes;
use parquet::schema::types::ColumnPath;

/// Files of fewer rows are tiny.
pub const TINY_ROWS: usize = 2_048;

/// Key of the metadata that names the table version.
pub(super) const METADATA_KEY: &str = "tidelog";

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

/// A top-level column: names may hold dots.
pub(super) fn path(name: &str) -> ColumnPath {
    ColumnPath::new(vec![name.to_owned()])
}
