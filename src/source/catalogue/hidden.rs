//! MariaDB columns that are logged but that `information_schema` does not show.

use super::columns::ColumnRow;
use super::keys::Index;
use super::position_of;
use crate::error::{Error, Result};
use crate::schema::{Column, KeyPart, wire};

/// Name of the first period column where the table's definition gives none.
const ROW_START: &str = "row_start";
/// Name of the second.
const ROW_END: &str = "row_end";
/// Begin of the name of a hash of a unique key that is too long for an index.
const ROW_HASH: &str = "DB_ROW_HASH_";

/// Whether the column is a hash the server computes and no SELECT can name.
pub(crate) fn is_row_hash(column: &Column) -> bool {
    let digits = column.name.strip_prefix(ROW_HASH).unwrap_or_default();
    // A user's own column of this name has a declared type.
    column.declared.is_none() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a table WITH SYSTEM VERSIONING has period columns of its own making.
pub(super) fn is_implicit(columns: &[ColumnRow]) -> bool {
    !columns.iter().any(|c| c.expression == "ROW START")
}

/// Appends the columns in the order in which the server adds them: period, then hashes numbered
/// by the order of the keys.
pub(super) fn append(is_implicit: bool, keys: &[Index], columns: &mut Vec<Column>) {
    if is_implicit {
        for name in [ROW_START, ROW_END] {
            let mut column = hidden(name, wire::TIMESTAMP2, false);
            column.metadata = 6;
            column.declared = Some("timestamp(6)".to_owned());
            columns.push(column);
        }
    }
    for (index, key) in keys.iter().filter(|k| k.is_hash()).enumerate() {
        let name = format!("{ROW_HASH}{}", index + 1);
        let mut column = hidden(&name, wire::LONGLONG, key.is_nullable());
        column.unsigned = true;
        columns.push(column);
    }
}

/// The part of the primary key the server adds to a table of implicit period columns.
pub(super) fn row_end(columns: &[Column]) -> Result<KeyPart> {
    let column = position_of(columns, ROW_END);
    let column = column.ok_or_else(|| Error::internal("find row_end of versioned table"))?;
    Ok(KeyPart { column, prefix: 0 })
}

fn hidden(name: &str, wire_type: u8, nullable: bool) -> Column {
    Column {
        nullable,
        ..Column::plain(name, wire_type, 0)
    }
}
