//! What a statement of the binlog is, and which tables and schema objects it touches.
//!
//! Row events say exactly what happened to rows; a statement (QUERY event) says it in SQL, whose
//! meaning depends on the session. [`classify`] reads as much of the text as is needed to tell
//! transaction control, DDL by its effects, statements that leave rows alone, and DML. Whatever
//! it does not understand is [`StatementClass::Unknown`], which the caller must treat as if it
//! could have changed anything (fail closed).
//!
//! The text is read as bytes: DDL is not always UTF-8, and in GBK, Big5 or SJIS a byte 0x5C may
//! be half a character and no backslash.

mod alter;
mod computed;
mod create;
mod drop;
mod lexer;
mod obstacle;
mod parser;
mod relaxed;
mod statement;
#[cfg(test)]
mod tests;

pub use computed::{ColumnSaid, computed_columns};
pub use obstacle::{Obstacle, obstacles};
pub use relaxed::relaxed;
pub use statement::classify;

use super::TableName;
use crate::position::Flavor;

/// `sql_mode` bit of ANSI_QUOTES: `"x"` is an identifier.
pub const SQL_MODE_ANSI_QUOTES: u64 = 1 << 2;

/// `sql_mode` bit of NO_BACKSLASH_ESCAPES: a backslash in a string is a plain character.
pub const SQL_MODE_NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

/// What the meaning of a statement's text depends on; all of it is logged beside the text.
#[derive(Clone, Copy, Debug)]
pub struct StatementContext<'a> {
    /// Which server wrote it: `/*M! ... */` is executed by MariaDB only.
    pub flavor: Flavor,
    /// Default database, UTF-8; empty when there was none.
    pub default_db: &'a [u8],
    /// Collation id of `character_set_client`; `None` stands for utf8mb4.
    pub collation: Option<u16>,
    /// `sql_mode` bits.
    pub sql_mode: u64,
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementClass {
    /// It begins, ends or structures a transaction.
    TransactionControl(TransactionControl),
    /// It changes definitions (and by that perhaps rows), in this order.
    Ddl {
        /// Never empty.
        effects: Vec<Effect>,
    },
    /// It changes neither rows nor definitions of tables and their objects: accounts, server
    /// settings, temporary tables, maintenance, comments.
    NoRowEffect,
    /// It changes rows, or may do so, without saying which: DML logged as a statement.
    StatementDml,
    /// Not understood: it may have done anything.
    Unknown,
}

/// Transaction control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionControl {
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK of the whole transaction.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    ReleaseSavepoint(String),
    /// XA START or XA BEGIN.
    XaStart(Xid),
    /// XA END.
    XaEnd(Xid),
    /// XA PREPARE.
    XaPrepare(Xid),
    /// XA COMMIT.
    XaCommit(Xid),
    /// XA ROLLBACK.
    XaRollback(Xid),
}

/// Identifier of an XA transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Xid {
    /// Global part.
    pub gtrid: Vec<u8>,
    /// Branch part.
    pub bqual: Vec<u8>,
    /// Format id; 1 when not written.
    pub format: u32,
}

impl Xid {
    /// The form both servers log: `X'61',X'62',1`.
    #[must_use]
    pub fn text(&self) -> String {
        let (gtrid, bqual) = (hex::encode(&self.gtrid), hex::encode(&self.bqual));
        format!("X'{gtrid}',X'{bqual}',{}", self.format)
    }
}

/// One effect of a DDL statement. Names are resolved with the default database and spelled as
/// in the statement (the server may fold their case).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// CREATE TABLE.
    CreateTable {
        /// The new table.
        name: TableName,
        /// OR REPLACE: a table of that name is dropped before.
        or_replace: bool,
        /// IF NOT EXISTS: logged also when the table is there already and nothing happens.
        if_not_exists: bool,
        /// The table of LIKE.
        like: Option<TableName>,
        /// The text holds a query that fills the table: its rows are known only if they follow
        /// as row events.
        select: bool,
        /// START TRANSACTION at the end: rows follow in the same transaction (MySQL's atomic
        /// CREATE .. SELECT).
        rows_follow: bool,
    },
    /// ALTER TABLE, CREATE INDEX, DROP INDEX: the definition changes, perhaps the rows with it.
    /// The name is the one before the statement.
    AlterTable(TableName),
    /// DROP TABLE, one table.
    DropTable(TableName),
    /// One pair of RENAME TABLE, or ALTER TABLE .. RENAME.
    RenameTable {
        /// Name before.
        from: TableName,
        /// Name after.
        to: TableName,
    },
    /// TRUNCATE TABLE.
    Truncate(TableName),
    /// Partition or tablespace maintenance that brings or removes rows without row events
    /// (DROP / TRUNCATE / EXCHANGE / CONVERT PARTITION, IMPORT TABLESPACE, ...).
    MovesRows {
        /// The altered table.
        table: TableName,
        /// The table that rows are exchanged with, if any.
        with: Option<TableName>,
    },
    /// CREATE DATABASE.
    CreateDatabase(String),
    /// DROP DATABASE: with everything in it.
    DropDatabase(String),
    /// ALTER DATABASE.
    AlterDatabase(String),
    /// A view, routine, trigger, event, ... comes, changes or goes.
    SchemaObject {
        /// What it is.
        kind: ObjectKind,
        /// What happens to it.
        change: ObjectChange,
        /// Its database and name.
        name: TableName,
    },
}

/// Kinds of schema objects besides tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// View.
    View,
    /// Trigger.
    Trigger,
    /// Stored procedure.
    Procedure,
    /// Stored function.
    Function,
    /// Event of the scheduler.
    Event,
    /// Sequence (MariaDB); its state is a row of a table of the same name.
    Sequence,
    /// Package or package body (MariaDB).
    Package,
    /// Library of JavaScript code (MySQL).
    Library,
}

/// What happens to a schema object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectChange {
    /// It is created or replaced.
    Create,
    /// It is altered.
    Alter,
    /// It is dropped.
    Drop,
}

impl Effect {
    /// A table that was not there before.
    pub(super) fn new_table(name: TableName) -> Effect {
        Effect::CreateTable {
            name,
            or_replace: false,
            if_not_exists: false,
            like: None,
            select: false,
            rows_follow: false,
        }
    }

    /// Turns all names into lower case, as a server with `lower_case_table_names=1` reads them.
    pub fn fold_names(&mut self) {
        let lower = |name: &mut TableName| *name = name.lower();
        match self {
            Effect::CreateTable { name, like, .. } => {
                lower(name);
                like.iter_mut().for_each(lower);
            }
            Effect::AlterTable(name) | Effect::DropTable(name) | Effect::Truncate(name) => {
                lower(name);
            }
            Effect::RenameTable { from, to } => {
                lower(from);
                lower(to);
            }
            Effect::MovesRows { table, with } => {
                lower(table);
                with.iter_mut().for_each(lower);
            }
            Effect::CreateDatabase(db) | Effect::DropDatabase(db) | Effect::AlterDatabase(db) => {
                *db = db.to_lowercase();
            }
            // Routines and events keep their case; databases do not.
            Effect::SchemaObject { kind, name, .. } => match kind {
                ObjectKind::View | ObjectKind::Sequence => lower(name),
                _ => name.db = name.db.to_lowercase(),
            },
        }
    }

    /// The tables the effect names: their rows or definitions may be other ones after it.
    #[must_use]
    pub fn tables(&self) -> Vec<&TableName> {
        match self {
            Effect::CreateTable { name, .. }
            | Effect::AlterTable(name)
            | Effect::DropTable(name)
            | Effect::Truncate(name) => vec![name],
            Effect::RenameTable { from, to } => vec![from, to],
            Effect::MovesRows { table, with } => [table].into_iter().chain(with).collect(),
            Effect::SchemaObject { kind, name, .. } => {
                let is_table = *kind == ObjectKind::Sequence;
                is_table.then_some(name).into_iter().collect()
            }
            Effect::CreateDatabase(_) | Effect::DropDatabase(_) | Effect::AlterDatabase(_) => {
                Vec::new()
            }
        }
    }
}
