//! Tables whose history cannot be exact, or is slow to restore.

use super::Severity;
use super::server::Lines;
use crate::error::Result;
use crate::schema::TableName;
use crate::source::{SYSTEM_DATABASES, SqlClient};
use bytes::Bytes;
use std::collections::HashSet;

/// Tables named on one line.
const NAMES_MAX: usize = 5;

/// The part of `information_schema` that is the users': for a `WHERE`.
pub(super) fn user_databases() -> String {
    format!("TABLE_SCHEMA NOT IN ('{}')", SYSTEM_DATABASES.join("','"))
}

pub(super) async fn check(client: &mut SqlClient, lines: &mut Lines) -> Result<()> {
    let of_users = user_databases();
    // Lists that are joined here: MariaDB would open every table once for each row of a join.
    let tables = client
        .query_rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE {of_users} \
             AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1, 2"
        ))
        .await?;
    let engines = client
        .query_rows("SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'")
        .await?;
    let keyed = client
        .query_rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLE_CONSTRAINTS \
             WHERE {of_users} AND CONSTRAINT_TYPE = 'PRIMARY KEY'"
        ))
        .await?;
    let engines: HashSet<String> = engines.iter().map(|row| text(row, 0)).collect();
    let keyed: HashSet<TableName> = keyed.iter().map(|row| name(row)).collect();

    let unsafe_engine = |row: &&Vec<Option<Bytes>>| !engines.contains(&text(row, 2));
    let unsafe_tables: Vec<_> = tables.iter().filter(unsafe_engine).collect();
    let fixes = unsafe_tables
        .iter()
        .take(NAMES_MAX)
        .map(|row| format!("ALTER TABLE {} ENGINE=InnoDB", name(row).quoted()));
    let found = unsafe_tables
        .iter()
        .map(|row| format!("{} ({})", name(row), text(row, 2)));
    lines.judge(
        unsafe_tables.is_empty(),
        Severity::Warn,
        "tables_engine",
        listed(found),
        "every table in a transactional engine: others keep what was rolled back or half done, \
         and no snapshot of them is consistent",
        fixes.collect::<Vec<_>>().join("; "),
    );

    let mut keyless: Vec<TableName> = tables.iter().map(|row| name(row)).collect();
    keyless.retain(|table| !keyed.contains(table));
    let found = listed(keyless.iter().map(TableName::to_string));
    let severity = match keyless.is_empty() {
        true => Severity::Ok,
        false => Severity::Info,
    };
    let wanted =
        "a primary key on every table: rows without one are followed by their whole content";
    lines.add(severity, "tables_primary_key", found, wanted, None);
    Ok(())
}

/// `3: a.t, a.u, b.v`, with the first five names; `none`.
pub(super) fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>();
    match names.len() {
        0 => "none".to_owned(),
        n if n > NAMES_MAX => format!("{n}: {}, ...", shown.join(", ")),
        n => format!("{n}: {}", shown.join(", ")),
    }
}

pub(super) fn text(row: &[Option<Bytes>], index: usize) -> String {
    let cell = row.get(index).and_then(Option::as_deref);
    String::from_utf8_lossy(cell.unwrap_or_default()).into_owned()
}

fn name(row: &[Option<Bytes>]) -> TableName {
    TableName::new(text(row, 0), text(row, 1))
}
