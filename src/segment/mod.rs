//! A sealed segment's files: row images <-> Arrow <-> Parquet, exact in both directions.
//!
//! One [`TablePlan`] is compiled per table version. Writing: row image -> [`ChangeBuilder`] (or
//! [`BaseBuilder`]) -> record batch -> [`TableFileWriter`] -> bytes of one Parquet file. Reading
//! goes back the same way: [`TableFileReader`] -> record batch -> [`BatchView`] ->
//! [`ImageEncoder`] -> the identical row image. What a typed column cannot hold exactly travels,
//! for that cell only, in `__raw`.
//!
//! [`KeyCodec`] gives the order of rows in files and of key ranges in manifests, [`Fingerprint`]
//! the equality of whole tables, [`TransactionsWriter`] and [`StatementsWriter`] the two files
//! of a segment that are not of a table, and [`RawWriter`] what is needed to rebuild events. [`RowPick`]
//! takes rows from batches to base files without going through images.

mod canonical;
mod cell;
mod column;
mod decode;
mod encode;
mod file;
mod key;
mod pick;
mod plan;
mod raw;
mod raw_cells;
mod rows_file;
mod rows_read;
mod skeleton;
mod statements;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transactions;

pub use canonical::{CanonicalRow, Canonicalizer, Fingerprint, ROW_HASH};
pub use cell::{CellCodec, Decoded, Scratch, Value};
pub use column::BLOCK_ROWS;
pub use decode::{BaseBuilder, ChangeBuilder, ChangeRow};
pub use encode::{BatchView, ImageEncoder};
pub use file::{
    FileIdentity, FileKind, FileOptions, FileStats, ReadOptions, RowOrder, TINY_ROWS, TableBatches,
    TableFile, TableFileReader, TableFileWriter, identify,
};
pub use key::KeyCodec;
pub use pick::RowPick;
pub use plan::{TablePlan, system, version_sha256};
pub use raw::{EventContent, RawReader, RawRecord, RawWriter, each_rebuilt_event, rebuild_events};
pub use statements::{StatementRow, StatementsReader, StatementsWriter};
pub use transactions::{EntryKind, TransactionRow, TransactionsReader, TransactionsWriter};
