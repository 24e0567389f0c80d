//! Every user table as a table map would describe it, read from `information_schema`.
//!
//! A row event's table map and the catalogue must agree, because a base file (rows read by
//! `SELECT`) and a change file (rows logged) of the same table belong to one table version: the
//! shapes made here are [`has_shape`](crate::schema::TableVersion::has_shape)-equal to those of
//! table maps logged with `binlog_row_metadata=FULL`. What the binlog does not say comes along:
//! the declared type, generated columns and the definition text.
//!
//! Some columns are logged that `information_schema` does not show: MariaDB's implicit
//! `row_start` and `row_end`, and its `DB_ROW_HASH_n` of unique keys too long for an index
//! ([`hidden`]). MySQL's hidden columns of functional indexes are not logged.

mod columns;
mod definition;
mod hidden;
mod keys;
mod labels;

use super::SqlClient;
use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::{Column, TableName, TableShape};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

pub(crate) use definition::{readable_definition, without_auto_increment};
pub(crate) use hidden::is_row_hash;

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
    /// The definition as the server prints it, to see whether it is still the same.
    pub(super) printed: String,
}

impl CatalogueTable {
    /// Whether nothing but the rows changed between two readings.
    pub(super) fn is_same(&self, other: &CatalogueTable) -> bool {
        self.shape == other.shape && self.kind == other.kind && self.printed == other.printed
    }
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
    read(client, &user_databases("TABLE_SCHEMA")).await
}

/// Reads one table; `None` when there is no such table.
///
/// # Errors
/// As [`read_catalogue`].
pub async fn read_catalogue_table(
    client: &mut SqlClient,
    name: &TableName,
) -> Result<Option<CatalogueTable>> {
    let condition = format!(
        "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        text_literal(&name.db),
        text_literal(&name.table)
    );
    let tables = read(client, &condition).await?;
    Ok(tables.into_iter().find(|t| t.shape.name == *name))
}

/// A condition that holds for databases of users.
pub(crate) fn user_databases(column: &str) -> String {
    let names: Vec<String> = SYSTEM_DATABASES.iter().map(|n| format!("'{n}'")).collect();
    format!("LOWER({column}) NOT IN ({})", names.join(", "))
}

/// Text as a literal of a session made by [`prepare_session`]: a plain literal, because
/// `information_schema` finds one table without opening all only by such.
pub(crate) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// One row of a text result, by position.
pub(crate) struct TextRow(pub(crate) Vec<Option<Bytes>>);

impl TextRow {
    /// A cell as text; `None` for NULL.
    pub(crate) fn get(&self, index: usize) -> Option<String> {
        let cell = self.0.get(index)?.as_ref()?;
        Some(String::from_utf8_lossy(cell).into_owned())
    }

    /// A cell as text, empty for NULL.
    pub(crate) fn text(&self, index: usize) -> String {
        self.get(index).unwrap_or_default()
    }

    /// A cell as a number.
    pub(crate) fn number(&self, index: usize) -> Option<u64> {
        self.get(index)?.parse().ok()
    }

    /// A cell's bytes, empty for NULL.
    pub(crate) fn bytes(&self, index: usize) -> Bytes {
        self.0.get(index).cloned().flatten().unwrap_or_default()
    }
}

/// All rows of a query, for reading by position.
pub(crate) async fn rows(client: &mut SqlClient, sql: &str) -> Result<Vec<TextRow>> {
    let rows = client.query_rows(sql).await?;
    Ok(rows.into_iter().map(TextRow).collect())
}

/// Makes the session's answers depend on nothing: literals escaped by backslash, names in
/// backticks, generated primary keys shown, text in UTF-8, statistics as they are now.
pub(crate) async fn prepare_session(client: &mut SqlClient) -> Result<()> {
    client.exec("SET NAMES utf8mb4").await?;
    client
        .exec("SET sql_mode='', sql_quote_show_create=1")
        .await?;
    match client.flavor() {
        Flavor::MySql => {
            // Neither variable is in every supported version.
            for statement in [
                "SET show_gipk_in_create_table_and_information_schema=ON",
                "SET information_schema_stats_expiry=0",
            ] {
                optional(client, statement).await?;
            }
        }
        Flavor::MariaDb => {}
    }
    Ok(())
}

/// Runs a statement that sets a variable which the server may not have or may not let us set.
pub(crate) async fn optional(client: &mut SqlClient, statement: &str) -> Result<()> {
    match client.exec(statement).await {
        Err(e) if e.kind() == crate::error::ErrorKind::Unavailable => Err(e),
        _ => Ok(()),
    }
}

struct Reading {
    flavor: Flavor,
    collations: HashMap<String, u16>,
}

async fn read(client: &mut SqlClient, condition: &str) -> Result<Vec<CatalogueTable>> {
    prepare_session(client).await?;
    let reading = Reading {
        flavor: client.flavor(),
        collations: columns::read_collations(client).await?,
    };
    let mut rows_of = columns::read_rows(client, condition).await?;
    let mut keys_of = keys::read_rows(client, condition).await?;
    let listed = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, \
         AUTO_INCREMENT FROM information_schema.TABLES WHERE {condition} AND TABLE_TYPE IN \
         ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE')"
    );
    // Ordered here: the server would order by its own collation.
    let mut found = BTreeMap::new();
    for row in rows(client, &listed).await? {
        found.insert(TableName::new(row.text(0), row.text(1)), row);
    }
    let definitions = show_create_all(client, found.keys()).await?;
    let mut tables = Vec::with_capacity(found.len());
    for ((name, row), definition) in found.into_iter().zip(definitions) {
        // Else it was dropped meanwhile.
        let Some(definition) = definition else {
            continue;
        };
        let columns = rows_of.remove(&name).unwrap_or_default();
        let keys = keys_of.remove(&name).unwrap_or_default();
        let named = (&name, definition.as_str());
        let table = reading.table(client, named, &row, columns, keys).await;
        tables.push(table.map_err(|e| e.field("table", &name))?);
    }
    Ok(tables)
}

impl Reading {
    /// One table, from its name and definition.
    async fn table(
        &self,
        client: &mut SqlClient,
        (name, definition): (&TableName, &str),
        row: &TextRow,
        column_rows: Vec<columns::ColumnRow>,
        mut keys: Vec<keys::Index>,
    ) -> Result<CatalogueTable> {
        let kind = match row.text(2).as_str() {
            "SYSTEM VERSIONED" => TableKind::SystemVersioned,
            "SEQUENCE" => TableKind::Sequence,
            _ => TableKind::Base,
        };
        if column_rows.is_empty() {
            return Err(Error::config("read columns of table: none are shown").hint(
                "GRANT SELECT ON *.* to the account, or look why the table cannot be opened",
            ));
        }
        keys::sort(&mut keys, definition);
        let mut columns = Vec::with_capacity(column_rows.len() + 2);
        for row in &column_rows {
            let column = row.column(self.flavor, &self.collations);
            columns.push(column.map_err(|e| e.field("column", &row.name))?);
        }
        let exact = labels::fill(client, name, &column_rows, &mut columns).await?;
        let is_implicit = kind == TableKind::SystemVersioned && hidden::is_implicit(&column_rows);
        hidden::append(is_implicit, &keys, &mut columns);
        let mut key = keys::identity(&keys, &column_rows, &columns);
        if is_implicit && !key.is_empty() {
            key.push(hidden::row_end(&columns)?);
        }
        for column in &mut columns {
            column.stored = column.default_storage(self.flavor);
        }
        let engine = row.text(3);
        let printed = without_auto_increment(definition);
        Ok(CatalogueTable {
            transactional: kind != TableKind::Sequence && is_transactional(&engine),
            has_primary: keys.iter().any(keys::Index::is_primary),
            engine,
            kind,
            rows_estimate: row.number(4).unwrap_or(0),
            bytes_estimate: row.number(5).unwrap_or(0),
            auto_increment: row.number(6),
            shape: TableShape {
                name: name.clone(),
                columns,
                key,
                raw_table_map: Vec::new(),
                definition: Some(definition::with_labels(&printed, &exact)),
            },
            printed,
        })
    }
}

/// Engines whose rows a consistent snapshot holds still.
fn is_transactional(engine: &str) -> bool {
    ["innodb", "rocksdb", "tokudb"].contains(&engine.to_ascii_lowercase().as_str())
}

/// `SHOW CREATE TABLE`; `None` when there is no such table.
pub(crate) async fn show_create(
    client: &mut SqlClient,
    name: &TableName,
) -> Result<Option<String>> {
    let shown = show_create_all(client, std::iter::once(name)).await?;
    Ok(shown.into_iter().next().flatten())
}

/// [`show_create`] of each of these tables.
async fn show_create_all(
    client: &mut SqlClient,
    names: impl ExactSizeIterator<Item = &TableName>,
) -> Result<Vec<Option<String>>> {
    let mut all = Vec::with_capacity(names.len());
    // The stored bytes: a default of a binary column is no UTF-8.
    client.exec("SET character_set_results=NULL").await?;
    for name in names {
        let shown = rows(client, &format!("SHOW CREATE TABLE {}", name.quoted())).await;
        all.push(match shown {
            Err(e) if is_absent(&e) => None,
            Err(e) => return Err(e.field("table", name)),
            Ok(shown) => shown.first().map(|row| readable_definition(&row.bytes(1))),
        });
    }
    client.exec("SET character_set_results=utf8mb4").await?;
    Ok(all)
}

/// Whether the error says that there is no such table.
pub(crate) fn is_absent(error: &Error) -> bool {
    error.get("code") == Some("1146")
}

/// Looks a column up by name.
fn position_of(columns: &[Column], name: &str) -> Option<u32> {
    let index = columns.iter().position(|c| c.name == name)?;
    u32::try_from(index).ok()
}
