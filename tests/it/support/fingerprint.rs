//! Exact fingerprints: every cell of every table in lossless form, and the moments of a server.
//!
//! Cells travel in the binary protocol (the bits of FLOAT and DOUBLE, microseconds, zero dates)
//! with `character_set_results` NULL (strings as stored); ENUM and SET as their numbers, JSON as
//! text with the type of every value in it. Rows are hashed to 128 bits and summed, so that their
//! order does not count and their number of occurrences does.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use tidelog::position::Flavor;
use xxhash_rust::xxh3::xxh3_128;

use super::TestServer;
use super::sql::{exec_all, ident, literal, query, query_one};

/// What a table holds: number of rows and the sum of their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableState {
    pub(crate) rows: u64,
    pub(crate) hash: u128,
}

/// Quoted table name -> what it holds.
pub(crate) type Fingerprint = BTreeMap<String, TableState>;

/// A moment of a server, with what it held then.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    /// The server's clock in microseconds since the epoch: every commit before the moment is at
    /// or before it, every commit after it is later.
    pub(crate) time_us: i64,
    /// `gtid_executed` of MySQL, `gtid_binlog_pos` of MariaDB.
    pub(crate) gtid: String,
    /// Binary log file and offset.
    pub(crate) position: (String, u64),
    pub(crate) tables: Fingerprint,
}

/// Fingerprint of every table of `databases`, hidden and generated columns included, as seen by
/// this connection's snapshot. Changes session variables of the connection.
pub(crate) async fn fingerprint(conn: &mut Conn, databases: &[&str]) -> Fingerprint {
    prepare(conn).await;
    let mut all = Fingerprint::new();
    for database in databases {
        let tables: Vec<(String, String)> = query(
            conn,
            format!(
                "SELECT CAST(table_name AS CHAR), CAST(table_type AS CHAR) FROM information_schema.tables \
                 WHERE table_schema = {} AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE')",
                literal(database)
            ),
        )
        .await;
        for (table, kind) in tables {
            let name = format!("{}.{}", ident(database), ident(&table));
            let cells = cell_expressions(conn, database, &table, &kind).await;
            let history = if kind == "SYSTEM VERSIONED" {
                " FOR SYSTEM_TIME ALL"
            } else {
                ""
            };
            let state = scan(conn, &format!("SELECT {cells} FROM {name}{history}")).await;
            all.insert(name, state);
        }
    }
    all
}

/// Fails with the tables that differ, not with two walls of numbers.
pub(crate) fn assert_same(expected: &Fingerprint, found: &Fingerprint, what: &str) {
    let mut differences = Vec::new();
    for name in expected.keys().chain(found.keys()) {
        let (a, b) = (expected.get(name), found.get(name));
        let line = format!("{name}: expected {a:?}, found {b:?}");
        if a != b && !differences.contains(&line) {
            differences.push(line);
        }
    }
    assert!(
        differences.is_empty(),
        "{what} differs:\n{}",
        differences.join("\n")
    );
}

/// Holds all writers for a moment to learn time, GTID and position of one exact state, then
/// reads that state while they go on. `quiet` passes before and after the clock is read, so that
/// commit times of that precision lie clearly on one side.
pub(crate) async fn checkpoint(
    server: &TestServer,
    databases: &[&str],
    quiet: Duration,
) -> Checkpoint {
    let mut lock = server.conn().await;
    let mut reader = server.conn().await;
    prepare(&mut reader).await;
    exec_all(&mut lock, &["FLUSH TABLES WITH READ LOCK"]).await;
    exec_all(
        &mut reader,
        &[
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        ],
    )
    .await;
    let (gtid_variable, status) = match server.flavor() {
        Flavor::MySql => ("gtid_executed", "SHOW BINARY LOG STATUS"),
        Flavor::MariaDb => ("gtid_binlog_pos", "SHOW MASTER STATUS"),
    };
    let gtid: String = query_one(&mut lock, format!("SELECT @@GLOBAL.{gtid_variable}")).await;
    let row: Row = query_one(&mut lock, status).await;
    let position = (row.get(0).expect("file"), row.get(1).expect("offset"));
    tokio::time::sleep(quiet).await;
    let time_us = query_one(
        &mut lock,
        "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
    );
    let time_us: i64 = time_us.await;
    tokio::time::sleep(quiet).await;
    exec_all(&mut lock, &["UNLOCK TABLES"]).await;
    let tables = fingerprint(&mut reader, databases).await;
    exec_all(&mut reader, &["COMMIT"]).await;
    let gtid = gtid.replace('\n', "");
    Checkpoint {
        time_us,
        gtid,
        position,
        tables,
    }
}

/// Everything else that makes a database: quoted object name -> CREATE statement.
pub(crate) async fn definitions(conn: &mut Conn, databases: &[&str]) -> BTreeMap<String, String> {
    exec_all(
        conn,
        &["SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00'"],
    )
    .await;
    let mut all = BTreeMap::new();
    for database in databases {
        let schema = literal(database);
        for (kind, column, sql) in [
            (
                "TABLE",
                1,
                format!(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = {schema} AND table_type <> 'VIEW'"
                ),
            ),
            (
                "VIEW",
                1,
                format!(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = {schema} AND table_type = 'VIEW'"
                ),
            ),
            (
                "PROCEDURE",
                2,
                format!(
                    "SELECT routine_name FROM information_schema.routines WHERE routine_schema = {schema} AND routine_type = 'PROCEDURE'"
                ),
            ),
            (
                "FUNCTION",
                2,
                format!(
                    "SELECT routine_name FROM information_schema.routines WHERE routine_schema = {schema} AND routine_type = 'FUNCTION'"
                ),
            ),
            (
                "TRIGGER",
                2,
                format!(
                    "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = {schema}"
                ),
            ),
            (
                "EVENT",
                3,
                format!(
                    "SELECT event_name FROM information_schema.events WHERE event_schema = {schema}"
                ),
            ),
        ] {
            let names: Vec<String> = query(conn, sql).await;
            for name in names {
                let object = format!("{kind} {}.{}", ident(database), ident(&name));
                let row: Row = query_one(conn, format!("SHOW CREATE {object}")).await;
                let text: Option<String> = row.get(column).expect("a definition");
                all.insert(object, text.unwrap_or_default());
            }
        }
    }
    all
}

async fn prepare(conn: &mut Conn) {
    exec_all(
        conn,
        &[
            "SET NAMES utf8mb4",
            "SET SESSION character_set_results = NULL",
            "SET SESSION time_zone = '+00:00'",
            // A server's default mode may pad what is read.
            "SET SESSION sql_mode = ''",
            // The types of a JSON document with a million values are one long list.
            "SET SESSION group_concat_max_len = 1073741824",
        ],
    )
    .await;
}

async fn cell_expressions(conn: &mut Conn, database: &str, table: &str, kind: &str) -> String {
    let columns: Vec<(String, String, String)> = query(
        conn,
        format!(
            "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), COALESCE(CAST(generation_expression AS CHAR), '') \
             FROM information_schema.columns WHERE table_schema = {} AND table_name = {} ORDER BY column_name",
            literal(database),
            literal(table)
        ),
    )
    .await;
    let is_mysql = query_one::<String>(conn, "SELECT VERSION()")
        .await
        .find("MariaDB")
        .is_none();
    let mut cells = Vec::new();
    for (name, data_type, _) in &columns {
        let column = ident(name);
        match data_type.to_ascii_lowercase().as_str() {
            "enum" | "set" => cells.push(format!("{column} + 0")),
            "json" if is_mysql => {
                cells.push(column.clone());
                cells.push(format!("JSON_TYPE({column})"));
                for path in ["$**.*", "$**[*]"] {
                    cells.push(format!(
                        "(SELECT GROUP_CONCAT(JSON_TYPE(x.v) ORDER BY x.o) FROM JSON_TABLE({column}, '{path}' \
                         COLUMNS (o FOR ORDINALITY, v JSON PATH '$')) x)"
                    ));
                }
            }
            _ => cells.push(column),
        }
    }
    // Declared without names, the period columns are in no catalogue.
    let has_period = columns
        .iter()
        .any(|(.., generated)| generated == "ROW START");
    if kind == "SYSTEM VERSIONED" && !has_period {
        cells.push("ROW_START, ROW_END".to_owned());
    }
    cells.join(", ")
}

async fn scan(conn: &mut Conn, sql: &str) -> TableState {
    let mut state = TableState { rows: 0, hash: 0 };
    let mut result = match conn.exec_iter(sql, ()).await {
        Ok(result) => result,
        Err(error) => panic!("{error}\n  in: {sql}"),
    };
    let mut bytes = Vec::new();
    while let Some(row) = result.next().await.expect("read rows") {
        bytes.clear();
        for value in row.unwrap() {
            push_cell(&mut bytes, &value);
        }
        state.rows += 1;
        state.hash = state.hash.wrapping_add(xxh3_128(&bytes));
    }
    state
}

/// One byte of kind, then a fixed width or a length and bytes: no two rows look alike.
fn push_cell(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::NULL => out.push(0),
        Value::Bytes(bytes) => {
            out.push(1);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        // One kind for both: the sign of the column is not part of the value.
        Value::Int(v) => {
            out.push(2);
            out.extend_from_slice(&i128::from(*v).to_le_bytes());
        }
        Value::UInt(v) => {
            out.push(2);
            out.extend_from_slice(&i128::from(*v).to_le_bytes());
        }
        Value::Float(v) => {
            out.push(3);
            out.extend_from_slice(&v.to_bits().to_le_bytes());
        }
        Value::Double(v) => {
            out.push(4);
            out.extend_from_slice(&v.to_bits().to_le_bytes());
        }
        Value::Date(year, month, day, hour, minute, second, micros) => {
            out.push(5);
            out.extend_from_slice(&year.to_le_bytes());
            out.extend_from_slice(&[*month, *day, *hour, *minute, *second]);
            out.extend_from_slice(&micros.to_le_bytes());
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            out.push(6);
            out.push(u8::from(*negative));
            out.extend_from_slice(&days.to_le_bytes());
            out.extend_from_slice(&[*hours, *minutes, *seconds]);
            out.extend_from_slice(&micros.to_le_bytes());
        }
    }
}
