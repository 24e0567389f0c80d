//! Stored generated columns that a target computed anew.
//!
//! MySQL and MariaDB 11 compute stored columns of row events again, in the session that applies
//! them. Where the source's session had another time zone, `sql_mode` or `lc_time_names`, an
//! expression that looks at these comes out differently, and no restore can have what was logged.
//! Only a server that is seen to compute is believed, and only where all other cells are equal.

use super::absent::{Logged, computes};
use super::server::Target;
use super::verify::{Compared, Expected, Holding, differs};
use crate::error::Result;
use crate::runtime::Clock;
use crate::schema::{Generated, TableName, TableVersion};
use crate::source::SqlClient;
use serde::Serialize;
use std::collections::BTreeSet;

/// A restored table whose stored generated columns need not be as logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecomputedTable {
    /// Database.
    pub db: String,
    /// Table.
    pub table: String,
    /// The stored generated columns: at least one of them has another value in some row. All
    /// other columns are equal.
    pub columns: Vec<String>,
    /// How that came about.
    pub why: &'static str,
}

impl RecomputedTable {
    fn new(name: &TableName, found: &Holding, why: &'static str) -> RecomputedTable {
        RecomputedTable {
            db: name.db.clone(),
            table: name.table.clone(),
            columns: stored_columns(&found.version),
            why,
        }
    }

    /// For people.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{}.{}: stored generated columns ({}) are not all as logged, and all other columns are \
             equal: {}",
            self.db,
            self.table,
            self.columns.join(", "),
            self.why
        )
    }
}

/// At the end, they differ.
const DIFFER: &str = "the target computed them again in the session of the restore, which has the \
                      source's global time zone, an empty sql_mode and lc_time_names en_US; sessions \
                      of the source that had other settings computed other values";
/// They differed before a statement; nothing was compared with the log from there on.
const DIFFERED: &str = "the target computed them again in the session of the restore, and other \
                        values than sessions of the source that had other settings; a statement \
                        changed the table after that, so they were not compared at the end";

/// The tables of a finished restore whose computed cells need not be as logged; `before` are those
/// in which they differed before a statement.
pub(super) fn list(
    wanted: &[Expected],
    compared: &Compared,
    before: &BTreeSet<TableName>,
) -> Vec<RecomputedTable> {
    let found = wanted.iter().zip(&compared.found).enumerate();
    let listed = found.filter_map(|(index, (wanted, found))| {
        let why = match compared.computed.contains(&index) {
            true => DIFFER,
            false if before.contains(&wanted.name) => DIFFERED,
            false => return None,
        };
        Some(RecomputedTable::new(&wanted.name, found, why))
    });
    listed.collect()
}

/// Refuses what differs in computed cells where the target is not seen to compute them: it is then
/// as wrong as any other difference.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the target keeps what is logged; those of
/// the connection.
pub(super) async fn require_recomputing(
    client: &mut SqlClient,
    target: (&Target, &Clock),
    table: &TableName,
) -> Result<()> {
    if computes(client, target, Logged::Otherwise).await? {
        return Ok(());
    }
    let error = differs().field("tables", table);
    Err(error.field("target", &target.0.version).hint(
        "only stored generated columns differ, but the target keeps what row events say of them: \
         the target is marked incomplete; restore again, and report it if it comes back",
    ))
}

/// Names of stored generated columns.
pub(super) fn stored_columns(version: &TableVersion) -> Vec<String> {
    let columns = version.columns.iter();
    let stored = columns.filter(|c| c.generated == Some(Generated::Stored));
    stored.map(|c| c.name.clone()).collect()
}
