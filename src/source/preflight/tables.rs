//! Tables whose history cannot be exact, or is slow to restore.

use super::Severity;
use super::server::{Lines, Server};
use crate::error::Result;
use crate::position::Flavor;
use crate::schema::TableName;
use crate::source::{SYSTEM_DATABASES, SqlClient};
use bytes::Bytes;
use std::collections::HashSet;

/// Tables named on one line.
const NAMES_MAX: usize = 5;
/// Memory that capture and restore keep to, whatever they are given but one larger row.
const MEMORY_BUDGET: f64 = (512 << 20) as f64;
/// A row is held so many times, about: as received, decoded, as a page, compressed, in its file
/// (measured with rows of 64 MiB, both ways).
const ROW_COST: f64 = 7.0;

/// The part of `information_schema` that is the users': for a `WHERE`.
pub(super) fn user_databases() -> String {
    format!("TABLE_SCHEMA NOT IN ('{}')", SYSTEM_DATABASES.join("','"))
}

pub(super) async fn check(
    client: &mut SqlClient,
    server: &Server,
    lines: &mut Lines,
) -> Result<()> {
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

    elsewhere(&tables, lines);
    let unsafe_engine = |row: &&Vec<Option<Bytes>>| {
        let engine = text(row, 2);
        !engines.contains(&engine) && !is_elsewhere(&engine)
    };
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
    largest_row(client, server, lines).await?;
    if client.flavor() == Flavor::MariaDb {
        mariadb_columns(client, lines).await?;
    }
    Ok(())
}

/// What one row of the largest table can cost in memory: a statement brings at most a packet.
async fn largest_row(client: &mut SqlClient, server: &Server, lines: &mut Lines) -> Result<()> {
    let Some(packet) = server.number("max_allowed_packet") else {
        return Ok(());
    };
    let of_users = user_databases();
    // Documents and geometries have no length of their own there: they are LONGBLOBs.
    let rows = client
        .query_rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, SUM(CASE WHEN DATA_TYPE IN ('json', 'geometry', \
             'point', 'linestring', 'polygon', 'multipoint', 'multilinestring', 'multipolygon', \
             'geometrycollection', 'geomcollection') THEN 4294967295 \
             ELSE COALESCE(CHARACTER_OCTET_LENGTH, 8) END) AS row_bytes \
             FROM information_schema.COLUMNS WHERE {of_users} \
             GROUP BY 1, 2 ORDER BY row_bytes DESC, 1, 2"
        ))
        .await?;
    let cost = |row: &[Option<Bytes>]| {
        let row_bytes = text(row, 2).parse::<f64>().unwrap_or(0.0);
        row_bytes.min(packet) * ROW_COST
    };
    let Some(largest) = rows.first().map(|row| cost(row)) else {
        return Ok(());
    };
    let mib = |bytes: f64| (bytes / f64::from(1 << 20)).ceil();
    let over = rows.iter().filter(|row| cost(row) > MEMORY_BUDGET);
    let over = listed(over.map(|row| name(row).to_string()));
    let fix = (MEMORY_BUDGET / ROW_COST / f64::from(1 << 20)).floor() * f64::from(1 << 20);
    lines.judge(
        largest <= MEMORY_BUDGET,
        Severity::Warn,
        "row_memory",
        match largest <= MEMORY_BUDGET {
            true => format!("{} MiB at most", mib(largest)),
            false => format!("up to {} MiB for a row of {over}", mib(largest)),
        },
        format!(
            "{} MiB or less for the largest row: max_allowed_packet and column types allow rows \
             that cost about {ROW_COST} times their size while they are captured or restored",
            mib(MEMORY_BUDGET)
        ),
        format!(
            "{} /* or give tidelog that much memory */",
            server.set("max_allowed_packet", &format!("{fix:.0}"))
        ),
    );
    Ok(())
}

/// Engines whose tables are only a view of rows that are somewhere else, or nowhere: other tables
/// (MERGE), files (CONNECT), other servers (FEDERATED, SPIDER, S3), memory that a restart empties
/// without a row event (MEMORY), nothing at all (BLACKHOLE).
const ELSEWHERE: &[&str] = &[
    "BLACKHOLE",
    "CONNECT",
    "FEDERATED",
    "MEMORY",
    "MRG_MyISAM",
    "S3",
    "SPHINX",
    "SPIDER",
];

fn is_elsewhere(engine: &str) -> bool {
    ELSEWHERE.iter().any(|e| e.eq_ignore_ascii_case(engine))
}

/// Such tables are named apart: another engine is no remedy for most of them.
fn elsewhere(tables: &[Vec<Option<Bytes>>], lines: &mut Lines) {
    let found: Vec<String> = tables
        .iter()
        .filter(|row| is_elsewhere(&text(row, 2)))
        .map(|row| format!("{} ({})", name(row), text(row, 2)))
        .collect();
    lines.judge(
        found.is_empty(),
        Severity::Warn,
        "tables_elsewhere",
        listed(found.into_iter()),
        "none: their rows are in other tables, files or servers, or vanish without a row event, so \
         that what is restored of them is not exact",
        "leave these tables out of restores (--table), or ALTER TABLE ... ENGINE=InnoDB where the \
         rows are their own",
    );
}

/// Columns only MariaDB has and whose changes cannot be captured (seen on 10.11).
async fn mariadb_columns(client: &mut SqlClient, lines: &mut Lines) -> Result<()> {
    let of_users = user_databases();
    for (condition, severity, line, wanted, fix) in [
        (
            "GENERATION_EXPRESSION = 'ROW START' AND DATA_TYPE = 'bigint'",
            Severity::Warn,
            "tables_versioned_by_transaction",
            "none: the server logs their changes as statements, so that they cannot be restored \
             past the first one",
            "make ROW START and ROW END of type TIMESTAMP(6)",
        ),
        (
            "COLUMN_TYPE LIKE '%(%) /* mariadb-5.3 */'",
            Severity::Blocker,
            "columns_old_temporal",
            "none: the binlog does not say how long these are, so that their rows can be neither captured nor \
             taken into a base",
            "SET GLOBAL mysql56_temporal_format = ON, then ALTER TABLE ... FORCE on each",
        ),
    ] {
        let found = client
            .query_rows(&format!(
                "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM information_schema.COLUMNS \
                 WHERE {of_users} AND {condition} ORDER BY 1, 2"
            ))
            .await?;
        let names = found.iter().map(|row| name(row).to_string());
        let met = found.is_empty();
        lines.judge(met, severity, line, listed(names), wanted, fix);
    }
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
