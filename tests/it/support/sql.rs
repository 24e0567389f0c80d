//! Short forms of ordinary SQL; a failing statement fails the test with its text.

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Row};

/// Runs one statement.
pub(crate) async fn exec(conn: &mut Conn, sql: impl AsRef<str>) {
    let sql = sql.as_ref();
    if let Err(error) = conn.query_drop(sql).await {
        panic!("{error}\n  in: {sql}");
    }
}

/// Runs statements one after the other.
pub(crate) async fn exec_all(conn: &mut Conn, statements: &[&str]) {
    for sql in statements {
        exec(conn, sql).await;
    }
}

/// Runs a statement that must fail; returns the server's error number.
pub(crate) async fn fails(conn: &mut Conn, sql: impl AsRef<str>) -> u16 {
    let sql = sql.as_ref();
    match conn.query_drop(sql).await {
        Err(mysql_async::Error::Server(error)) => error.code,
        other => panic!("wanted an error of the server, got {other:?}\n  in: {sql}"),
    }
}

/// All rows of a query.
pub(crate) async fn query<T: FromRow + Send + 'static>(
    conn: &mut Conn,
    sql: impl AsRef<str>,
) -> Vec<T> {
    let sql = sql.as_ref();
    match conn.query(sql).await {
        Ok(rows) => rows,
        Err(error) => panic!("{error}\n  in: {sql}"),
    }
}

/// The only row of a query.
pub(crate) async fn query_one<T: FromRow + Send + 'static>(
    conn: &mut Conn,
    sql: impl AsRef<str>,
) -> T {
    let sql = sql.as_ref();
    let mut rows: Vec<T> = query(conn, sql).await;
    assert_eq!(rows.len(), 1, "rows of: {sql}");
    rows.pop().expect("one row")
}

/// A global system variable as text.
pub(crate) async fn variable(conn: &mut Conn, name: &str) -> String {
    let row: Row = query_one(conn, format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await;
    row.get(1).expect("a value")
}

/// An identifier in backticks.
pub(crate) fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string literal that means the same under every sql_mode.
pub(crate) fn literal(text: &str) -> String {
    format!("_utf8mb4 X'{}'", hex::encode(text))
}
