//! Every user table as a table map would describe it, read from `information_schema`.
//!
//! A row event's table map and the catalogue must agree, because a base file (rows read by
//! `SELECT`) and a change file (rows logged) of the same table belong to one table version: the
//! shapes made here are [`has_shape`](crate::schema::TableVersion::has_shape)-equal to those of
//! table maps logged with `binlog_row_metadata=FULL`. What the binlog does not say comes along:
//! the declared type, generated columns and the definition text.

use super::SqlClient;
use crate::error::{Error, Result};
use crate::schema::{TableName, TableShape};

/// What kind of table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// An ordinary table.
    Base,
    /// MariaDB: a table WITH SYSTEM VERSIONING; its history rows are rows, too.
    SystemVersioned,
    /// MariaDB: a sequence, stored and logged as a table of one row.
    Sequence,
}

/// One table of the source.
#[derive(Clone, Debug)]
pub struct CatalogueTable {
    /// Columns in logged order, key, definition text.
    pub shape: TableShape,
    /// Kind.
    pub kind: TableKind,
    /// Storage engine as the server spells it, for example `InnoDB`.
    pub engine: String,
    /// Whether a consistent snapshot covers it (InnoDB, RocksDB, TokuDB; never a sequence).
    pub transactional: bool,
    /// Whether its key is a real PRIMARY KEY and not the unique key the server takes for one.
    pub has_primary: bool,
    /// The engine's estimate of the number of rows.
    pub rows_estimate: u64,
    /// The engine's estimate of the bytes of the rows.
    pub bytes_estimate: u64,
    /// Next AUTO_INCREMENT value, where there is one.
    pub auto_increment: Option<u64>,
}

/// Databases that belong to the server and are never captured.
pub const SYSTEM_DATABASES: [&str; 4] =
    ["information_schema", "mysql", "performance_schema", "sys"];

/// Reads all user tables, ordered by name (views are not tables).
///
/// # Errors
/// As [`sql_error`](super::sql_error) sorts them; `Incompatible` with the table and column for a
/// type this version does not know.
pub async fn read_catalogue(client: &mut SqlClient) -> Result<Vec<CatalogueTable>> {
    let _ = client;
    Err(Error::internal("read catalogue"))
}

/// Reads one table; `None` when there is no such table.
///
/// # Errors
/// As [`read_catalogue`].
pub async fn read_catalogue_table(
    client: &mut SqlClient,
    name: &TableName,
) -> Result<Option<CatalogueTable>> {
    let _ = (client, name);
    Err(Error::internal("read catalogue"))
}
