//! What a statement does to tables: placeholder that understands nothing (every statement is a
//! barrier) until the classification replaces it.

use super::TableName;

/// What a statement does to tables.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// CREATE TABLE.
    CreateTable {
        /// The new table.
        name: TableName,
    },
    /// ALTER TABLE.
    AlterTable(TableName),
    /// DROP TABLE.
    DropTable(TableName),
    /// TRUNCATE TABLE.
    Truncate(TableName),
    /// RENAME TABLE, one pair.
    RenameTable {
        /// Old name.
        from: TableName,
        /// New name.
        to: TableName,
    },
    /// DROP DATABASE.
    DropDatabase(String),
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementClass {
    /// BEGIN, COMMIT, SAVEPOINT, XA.
    TransactionControl(u8),
    /// No effect on what a restore writes.
    NoRowEffect,
    /// Changes rows as a statement.
    StatementDml,
    /// Not understood.
    Unknown,
    /// Changes tables or schema objects.
    Ddl {
        /// What it does.
        effects: Vec<Effect>,
    },
}

/// Classifies a statement.
#[must_use]
pub fn classify(
    _text: &[u8],
    _default_db: &str,
    _sql_mode: u64,
    _charset: Option<u16>,
) -> StatementClass {
    StatementClass::Unknown
}
