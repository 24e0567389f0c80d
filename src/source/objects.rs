//! Schema objects as the statements that recreate them, and the file that holds them.
//!
//! Each object is the server's own `SHOW CREATE` text plus the session it must be run in
//! (`sql_mode`, client character set, collations, time zone): the same text means something else
//! in another session. `schema.sql` holds all of them in an order in which they can be run with
//! foreign keys unchecked.

use super::SqlClient;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Kind of a schema object, in the order in which they are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A database; its statement sets character set and collation.
    Database,
    /// MariaDB sequence (tables may use it in defaults).
    Sequence,
    /// Table.
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
    /// `sql_mode` it was created under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_mode: Option<String>,
    /// Character set of the statement's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub character_set_client: Option<String>,
    /// `collation_connection` it was created under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation_connection: Option<String>,
    /// Collation its database had when it was created (types without a character set use it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_collation: Option<String>,
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
    /// The statements that make a session fit for [`statement`](Self::statement), in order.
    #[must_use]
    pub fn session_statements(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Reads all schema objects of all user databases, in creation order.
///
/// # Errors
/// As [`sql_error`](super::sql_error) sorts them; `Config` where a right is missing to see one
/// (nothing is left out silently).
pub async fn read_objects(client: &mut SqlClient) -> Result<Vec<SchemaObject>> {
    let _ = client;
    Err(Error::internal("read schema objects"))
}

/// Writes `schema.sql`: SQL the flavor's command line client can run, and that
/// [`parse_schema`] reads back exactly.
#[must_use]
pub fn render_schema(objects: &[SchemaObject]) -> Vec<u8> {
    let _ = objects;
    Vec::new()
}

/// Reads what [`render_schema`] wrote.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the file is not whole.
pub fn parse_schema(file: &[u8]) -> Result<Vec<SchemaObject>> {
    let _ = file;
    Err(Error::internal("parse schema"))
}
