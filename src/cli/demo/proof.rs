//! Comparing two servers cell by cell, in a form that loses nothing.

use super::workload::{DATABASE, TABLES};
use crate::error::{Error, Result, Wrap};
use crate::schema::quote_identifier;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Rows and content of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableFingerprint {
    /// Rows.
    pub(super) rows: u64,
    /// Start of the SHA-256 over all cells of all rows in key order.
    pub(super) hash: String,
}

/// Fingerprints by table.
pub(super) type Fingerprints = BTreeMap<String, TableFingerprint>;

fn failed(what: &'static str) -> impl Fn() -> Error {
    move || Error::unavailable(what)
}

/// Reads every cell of every table: FLOAT as a double, ENUM and SET as index, text and bytes as
/// HEX, JSON as its text.
pub(super) async fn fingerprints(opts: &Opts) -> Result<Fingerprints> {
    let read = failed("read table for proof");
    let mut conn = Conn::new(opts.clone()).await.wrap(&read)?;
    conn.query_drop("SET time_zone = '+00:00'")
        .await
        .wrap(&read)?;
    let mut all = Fingerprints::new();
    for table in TABLES {
        let columns: Vec<(String, String)> = conn
            .exec(
                "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
                (DATABASE, table),
            )
            .await
            .wrap(&read)?;
        let cells: Vec<String> = columns
            .iter()
            .map(|(name, kind)| lossless(name, kind))
            .collect();
        let query = format!(
            "SELECT CONCAT_WS('|', {}) FROM {}.{} ORDER BY 1",
            cells.join(", "),
            quote_identifier(DATABASE),
            quote_identifier(table)
        );
        let (mut rows, mut hash) = (0_u64, Sha256::new());
        let mut result = conn.query_iter(query).await.wrap(&read)?;
        while let Some(row) = result.next().await.wrap(&read)? {
            let cell: Vec<u8> = row.get(0).unwrap_or_default();
            hash.update((cell.len() as u64).to_le_bytes());
            hash.update(&cell);
            rows += 1;
        }
        drop(result);
        let hash = hex::encode(hash.finalize()).chars().take(16).collect();
        all.insert(table.to_owned(), TableFingerprint { rows, hash });
    }
    conn.disconnect().await.wrap(&read)?;
    Ok(all)
}

fn lossless(name: &str, kind: &str) -> String {
    let column = quote_identifier(name);
    let text = match kind {
        "float" => format!("{column} + 0e0"),
        "enum" | "set" => format!("{column} + 0"),
        "char" | "varchar" | "text" | "longtext" | "binary" | "blob" => format!("HEX({column})"),
        _ => format!("CAST({column} AS CHAR)"),
    };
    format!("COALESCE({text}, 'NULL')")
}

/// The source's clock, microseconds since the epoch.
pub(super) async fn server_time_us(opts: &Opts) -> Result<i64> {
    let read = failed("read server clock");
    let mut conn = Conn::new(opts.clone()).await.wrap(&read)?;
    let us: Option<i64> = conn
        .query_first("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)")
        .await
        .wrap(&read)?;
    conn.disconnect().await.wrap(&read)?;
    us.ok_or_else(read)
}

/// The mistake. Gives the number of rows that are gone.
pub(super) async fn mistake(opts: &Opts) -> Result<u64> {
    let run = failed("run the mistake");
    let mut conn = Conn::new(opts.clone()).await.wrap(&run)?;
    conn.query_drop("DELETE FROM messaging.read_receipts")
        .await
        .wrap(&run)?;
    let rows = conn.affected_rows();
    conn.disconnect().await.wrap(&run)?;
    Ok(rows)
}
