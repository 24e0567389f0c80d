//! What readers should see, the files they read, and how they are asked.

use super::Wanted;
use crate::support::sql::ident;
use crate::support::{duckdb, tool};
use chrono::NaiveDate;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const READERS: [&str; 3] = ["duckdb", "polars", "pyarrow"];

/// What the server shows of each table: rows by key, and which of them have no typed form.
pub(super) async fn expected(conn: &mut Conn, tables: &[Wanted]) -> Vec<Json> {
    let mut all = Vec::new();
    for table in tables {
        let select: Vec<String> = table
            .columns
            .iter()
            .map(|(name, kind)| match kind.as_str() {
                "sha256" => format!("SHA2({}, 256)", ident(name)),
                _ => ident(name),
            })
            .collect();
        let from = format!("{}.{}", ident(&table.db), ident(&table.table));
        let sql = format!("SELECT {} FROM {from}", select.join(", "));
        let rows: Vec<Row> = conn.exec(sql, ()).await.expect("rows");
        let (mut by_key, mut raw) = (BTreeMap::new(), Vec::new());
        for row in rows {
            let mut cells = Vec::new();
            let mut is_raw = false;
            for (value, (_, kind)) in row.unwrap().into_iter().zip(&table.columns) {
                let (text, without) = shown(&value, kind);
                is_raw |= without;
                // The row with zero dates has number 0 as well, which shows like the label ''.
                let is_zero = is_raw && kind == "label" && text.as_deref() == Some("");
                cells.push(text.filter(|_| !is_zero));
            }
            let key = cells[0].clone().expect("a key");
            if is_raw {
                raw.push(key.clone());
            }
            by_key.insert(key, cells);
        }
        all.push(json!({"rows": by_key, "raw": raw}));
    }
    all
}

/// The text form of a value of the binary protocol, and whether it has no typed form in Parquet.
fn shown(value: &Value, kind: &str) -> (Option<String>, bool) {
    let micros = |date: NaiveDate, [h, m, s]: [u8; 3], us: u32| {
        let time = date.and_hms_micro_opt(h.into(), m.into(), s.into(), us)?;
        Some(time.and_utc().timestamp_micros().to_string())
    };
    let text = match value {
        Value::NULL => None,
        Value::Int(v) => Some(v.to_string()),
        Value::UInt(v) => Some(v.to_string()),
        Value::Float(v) => Some(hex::encode(v.to_be_bytes())),
        Value::Double(v) => Some(hex::encode(v.to_be_bytes())),
        Value::Date(year, month, day, h, m, s, us) => {
            let date = NaiveDate::from_ymd_opt((*year).into(), (*month).into(), (*day).into());
            let Some(date) = date.filter(|_| *year > 0) else {
                return (None, true);
            };
            match kind {
                "days" => Some((date - NaiveDate::default()).num_days().to_string()),
                _ => micros(date, [*h, *m, *s], *us),
            }
        }
        Value::Time(negative, days, h, m, s, us) => {
            let hours = i64::from(*days) * 24 + i64::from(*h);
            let seconds = (hours * 60 + i64::from(*m)) * 60 + i64::from(*s);
            let us = seconds * 1_000_000 + i64::from(*us);
            Some(if *negative { -us } else { us }.to_string())
        }
        Value::Bytes(bytes) => Some(match kind {
            // BIT.
            "int" => bytes
                .iter()
                .fold(0_u64, |v, b| v << 8 | u64::from(*b))
                .to_string(),
            "vector" => hex::encode(bytes),
            // A geometry has its SRID first.
            "bytes" if bytes.len() == 25 => hex::encode(&bytes[4..]),
            "bytes" => hex::encode(bytes),
            _ => String::from_utf8(bytes.clone()).expect("text"),
        }),
    };
    (text, false)
}

pub(super) fn rows_after(all: &Json, before: &Json) -> Json {
    let (Json::Object(rows), Json::Object(known)) = (&all["rows"], &before["rows"]) else {
        panic!("rows");
    };
    let new: serde_json::Map<String, Json> = rows
        .iter()
        .filter(|(key, _)| !known.contains_key(*key))
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect();
    json!({"rows": new, "raw": all["raw"]})
}

/// The files that the newest base lists for a table.
pub(super) fn base_files(root: &Path, table: &Wanted) -> Vec<PathBuf> {
    let base = root.join("timelines/0001/base");
    let folders = std::fs::read_dir(&base).expect("bases");
    let folders = folders.map(|f| f.expect("a folder").path());
    let list = folders
        .filter(|f| f.is_dir())
        .max()
        .expect("a base")
        .join("files.parquet");
    let sql = format!(
        "SELECT object FROM read_parquet('{}') WHERE db = '{}' AND \"table\" = '{}'",
        list.display(),
        table.db.replace('\'', "''"),
        table.table.replace('\'', "''"),
    );
    let rows = duckdb::query(&[&sql]);
    let objects = rows.into_iter().map(|row| row[0].clone().expect("a name"));
    objects.map(|object| root.join(object)).collect()
}

/// The change files of a table in all segments.
pub(super) fn change_files(root: &Path, table: &Wanted) -> Vec<PathBuf> {
    let log = std::fs::read_dir(root.join("timelines/0001/log")).expect("manifests");
    let mut ids = Vec::new();
    let mut files = Vec::new();
    for path in log.map(|entry| entry.expect("a manifest").path()) {
        let text = std::fs::read(path).expect("a manifest");
        let manifest: Json = serde_json::from_slice(&text).expect("JSON");
        for version in manifest["tables"].as_array().into_iter().flatten() {
            let name = &version["name"];
            if name["db"] == *table.db && name["table"] == *table.table {
                ids.push(version["table_id"].clone());
            }
        }
        for file in manifest["files"].as_array().into_iter().flatten() {
            if file["role"] == "changes" {
                assert_eq!(file["offset"], 0, "a file of its own");
                files.push(file.clone());
            }
        }
    }
    let ours = files.iter().filter(|file| ids.contains(&file["table_id"]));
    ours.map(|file| root.join(file["object"].as_str().expect("a name")))
        .collect()
}

/// Every reader compares every cell; gives how many.
pub(super) fn read_by_all(
    table: &Wanted,
    (files, changes): (&[PathBuf], bool),
    wanted: &Json,
) -> u64 {
    assert!(!files.is_empty(), "files of {}", table.table);
    let columns: Vec<Json> = table
        .columns
        .iter()
        .map(|(name, kind)| json!({"name": name, "kind": kind}))
        .collect();
    let input = json!({
        "files": files, "changes": changes, "columns": columns, "key": table.key,
        "rows": wanted["rows"], "raw": wanted["raw"],
    });
    let input = serde_json::to_vec(&input).expect("JSON");
    let mut cells = 0;
    for reader in READERS {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers.py");
        let mut child = Command::new(tool("python"))
            .args([script, reader])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start Python");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(&input)
            .expect("send");
        let output = child.wait_with_output().expect("run Python");
        assert!(
            output.status.success(),
            "{reader}, {} of {}:\n{}",
            if changes { "segments" } else { "base" },
            table.table,
            String::from_utf8_lossy(&output.stderr)
        );
        let printed = String::from_utf8_lossy(&output.stdout);
        cells += printed.trim().parse::<u64>().expect("a number");
    }
    cells
}

/// The views of the base have the tables' own names.
pub(super) fn views_name_everything(root: &Path, tables: &[Wanted]) {
    let base = root.join("timelines/0001/base");
    let folders = std::fs::read_dir(&base).expect("bases");
    let folders = folders.map(|f| f.expect("a folder").path());
    let folder = folders.filter(|f| f.is_dir()).max().expect("a base");
    let views = std::fs::read_to_string(folder.join("views.sql")).expect("views");
    for table in tables {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let count = format!(
            "SELECT COUNT(*) FROM {}.{}",
            quoted(&table.db),
            quoted(&table.table)
        );
        let rows = duckdb::query(&[&views, &count]);
        assert_ne!(rows[0][0].as_deref(), Some("0"), "{}", table.table);
    }
}
