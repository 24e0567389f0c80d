//! Schema objects as the statements that recreate them, and the file that holds them.
//!
//! Each object is the server's own `SHOW CREATE` text plus the session it must be run in
//! (`sql_mode`, client character set, collations, time zone): the same text means something else
//! in another session. References within a database are not qualified, so that the database can
//! be restored under another name. [`schema_file`] has the form of `schema.sql`.

mod read;
mod schema_file;
mod views;

pub use read::read_objects;
pub(super) use read::read_objects_of;
pub use schema_file::{parse_schema, render_schema};

use crate::position::Flavor;
use crate::schema::quote_identifier;
use serde::{Deserialize, Serialize};

/// Kind of a schema object, in the order in which they are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A database; its statement sets character set and collation.
    Database,
    /// MariaDB sequence (tables may use it in defaults).
    Sequence,
    /// Table, without its AUTO_INCREMENT counter.
    Table,
    /// Stored function (views and triggers may call it).
    Function,
    /// Stored procedure.
    Procedure,
    /// MariaDB package specification (`sql_mode=ORACLE`).
    Package,
    /// MariaDB package body.
    PackageBody,
    /// View; those another view selects from come first.
    View,
    /// Trigger, in the order in which those of one table fire.
    Trigger,
    /// Event.
    Event,
}

/// The collation of a database then and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseCollation {
    /// When the object was created.
    pub created: String,
    /// When it was read.
    pub current: String,
}

/// One schema object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaObject {
    /// Kind.
    pub kind: ObjectKind,
    /// Database it lives in (a database: its own name).
    pub db: String,
    /// Name.
    pub name: String,
    /// The table of a trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The `CREATE` statement, one statement without a delimiter, in `character_set_client`;
    /// written beside the JSON in `schema.sql`, not in it.
    #[serde(skip)]
    pub statement: Vec<u8>,
    /// `sql_mode` to create it under.
    pub sql_mode: String,
    /// Character set of the statement's bytes.
    pub character_set_client: String,
    /// `collation_connection` it was created under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation_connection: Option<String>,
    /// Where its database had another collation when it was created: types without a character
    /// set keep the one of then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_collation: Option<DatabaseCollation>,
    /// Time zone of an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// `user@host` it runs as; the account must exist on a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definer: Option<String>,
    /// The source itself could not run it when it was read (a view over a dropped table).
    #[serde(default)]
    pub broken: bool,
}

impl SchemaObject {
    /// The statements that make a session fit for [`statement`](Self::statement), in order; `db`
    /// is the database to create it in (its own, or what that was renamed to).
    #[must_use]
    pub fn session_statements(&self, flavor: Flavor, db: &str) -> Vec<String> {
        let mut all = Vec::new();
        if self.kind != ObjectKind::Database {
            all.push(format!("USE {}", quote_identifier(db)));
        }
        if let Some(collation) = &self.database_collation {
            all.push(alter_database(db, &collation.created));
        }
        all.push(format!("SET sql_mode={}", text(&self.sql_mode)));
        all.push(format!("SET NAMES {}", name(&self.character_set_client)));
        if let Some(collation) = &self.collation_connection {
            all.push(format!("SET collation_connection={}", name(collation)));
        }
        if let Some(zone) = &self.time_zone {
            all.push(format!("SET time_zone={}", text(zone)));
        }
        if matches!(self.kind, ObjectKind::Table | ObjectKind::Sequence) {
            all.extend(table_session(flavor).iter().map(|s| (*s).to_owned()));
        }
        all
    }

    /// The statements that undo what [`session_statements`](Self::session_statements) left in the
    /// database (and not only in the session).
    #[must_use]
    pub fn after_statements(&self, db: &str) -> Vec<String> {
        let collation = self.database_collation.as_ref();
        collation
            .map(|c| alter_database(db, &c.current))
            .into_iter()
            .collect()
    }
}

/// Definitions are taken as they were, whatever the target's defaults are.
fn table_session(flavor: Flavor) -> &'static [&'static str] {
    match flavor {
        Flavor::MySql => &[
            "SET foreign_key_checks=0, innodb_strict_mode=0, explicit_defaults_for_timestamp=1",
            "SET sql_require_primary_key=0, sql_generate_invisible_primary_key=0",
        ],
        Flavor::MariaDb => {
            &["SET foreign_key_checks=0, innodb_strict_mode=0, explicit_defaults_for_timestamp=1"]
        }
    }
}

fn alter_database(db: &str, collation: &str) -> String {
    format!(
        "ALTER DATABASE {} COLLATE {}",
        quote_identifier(db),
        name(collation)
    )
}

/// A literal in any `sql_mode`: quotes doubled, and no server puts a backslash here.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''").replace('\\', ""))
}

/// A name of a character set or collation, which is never quoted.
fn name(value: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    value.chars().filter(is_plain).collect()
}

/// Whether two readings found the same objects.
pub(super) fn is_same_schema(a: &[SchemaObject], b: &[SchemaObject]) -> bool {
    a == b
}
