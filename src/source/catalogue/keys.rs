//! The row identity a table map names: the primary key, or the unique key the server takes for
//! one.

use super::columns::ColumnRow;
use super::definition::key_place;
use super::{TextRow, position_of, rows};
use crate::error::Result;
use crate::schema::{Column, KeyPart, TableName};
use crate::source::SqlClient;
use std::collections::HashMap;

/// One key, in the server's order of keys.
#[derive(Clone, Debug)]
pub(super) struct Index {
    name: String,
    is_unique: bool,
    /// `BTREE`, `HASH`, ...
    kind: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    place: u64,
    /// `None` for an expression.
    column: Option<String>,
    prefix: u32,
    is_nullable: bool,
}

impl Index {
    /// Whether it is declared PRIMARY KEY.
    pub(super) fn is_primary(&self) -> bool {
        self.name == "PRIMARY"
    }

    /// Whether it is a MariaDB unique key over a hidden hash.
    pub(super) fn is_hash(&self) -> bool {
        self.is_unique && self.kind == "HASH"
    }

    /// Whether any of its columns may be NULL.
    pub(super) fn is_nullable(&self) -> bool {
        self.parts.iter().any(|p| p.is_nullable)
    }
}

/// Reads the keys of all tables that `condition` selects.
pub(super) async fn read_rows(
    client: &mut SqlClient,
    condition: &str,
) -> Result<HashMap<TableName, Vec<Index>>> {
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, INDEX_TYPE, SEQ_IN_INDEX, \
         COLUMN_NAME, SUB_PART, NULLABLE FROM information_schema.STATISTICS WHERE {condition}"
    );
    let mut found: HashMap<TableName, Vec<Index>> = HashMap::new();
    for row in rows(client, &sql).await? {
        let indexes = found
            .entry(TableName::new(row.text(0), row.text(1)))
            .or_default();
        add(indexes, &row);
    }
    Ok(found)
}

fn add(indexes: &mut Vec<Index>, row: &TextRow) {
    let name = row.text(2);
    let part = Part {
        place: row.number(5).unwrap_or(0),
        column: row.get(6),
        prefix: row.number(7).unwrap_or(0) as u32,
        is_nullable: row.text(8) == "YES",
    };
    match indexes.iter_mut().find(|i| i.name == name) {
        Some(index) => index.parts.push(part),
        None => indexes.push(Index {
            name,
            is_unique: row.number(3) == Some(0),
            kind: row.text(4),
            parts: vec![part],
        }),
    }
}

/// Sorts keys as the server has them (neither flavor's view promises an order).
pub(super) fn sort(indexes: &mut [Index], definition: &str) {
    for index in indexes.iter_mut() {
        index.parts.sort_by_key(|p| p.place);
    }
    indexes.sort_by_key(|i| key_place(definition, &i.name));
}

/// The columns of the key a table map names; empty where there is none.
pub(super) fn identity(indexes: &[Index], rows: &[ColumnRow], columns: &[Column]) -> Vec<KeyPart> {
    let primary = indexes.iter().find(|i| i.is_primary());
    let Some(index) = primary.or_else(|| indexes.iter().find(|i| i.serves(rows))) else {
        return Vec::new();
    };
    let part = |part: &Part| {
        Some(KeyPart {
            column: position_of(columns, part.column.as_deref()?)?,
            prefix: part.prefix,
        })
    };
    index.parts.iter().filter_map(part).collect()
}

impl Index {
    /// Whether the server takes this key for the primary key where none is declared: unique,
    /// whole columns, none of them NULL or virtual (`TABLE_SHARE::primary_key`).
    fn serves(&self, rows: &[ColumnRow]) -> bool {
        let is_plain = |part: &Part| {
            let column = part.column.as_deref();
            let row = rows.iter().find(|r| Some(r.name.as_str()) == column);
            part.prefix == 0
                && !part.is_nullable
                && row.is_some_and(|r| !r.extra.contains("VIRTUAL GENERATED"))
        };
        self.is_unique && self.kind == "BTREE" && self.parts.iter().all(is_plain)
    }
}
