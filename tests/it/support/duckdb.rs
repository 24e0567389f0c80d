//! DuckDB as an independent reader of our Parquet files.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::tool;

const SCRIPT: &str = r#"
import json, sys, duckdb
connection = duckdb.connect()
# A query of some seconds would print it between the rows.
connection.execute("SET enable_progress_bar = false")
for statement in json.load(sys.stdin):
    result = connection.execute(statement)
rows = result.fetchall() if result.description else []
json.dump([[None if cell is None else str(cell) for cell in row] for row in rows], sys.stdout)
"#;

/// Runs SQL statements in one session; returns the rows of the last one, cells as text. A
/// statement may itself be many (`views.sql`). A failing one fails the test.
pub(crate) fn query(statements: &[&str]) -> Vec<Vec<Option<String>>> {
    let mut child = Command::new(tool("python"))
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start DuckDB");
    let input = serde_json::to_vec(statements).expect("statements as JSON");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(&input)
        .expect("send statements");
    let output = child.wait_with_output().expect("run DuckDB");
    assert!(
        output.status.success(),
        "DuckDB failed:\n{}\n  in: {statements:?}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("rows as JSON")
}
