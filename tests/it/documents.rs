//! Tables of MySQL with documents, based and restored: types that the text does not show are asked for
//! at the paths that the first rows have, and rows with others are read again.

use crate::support::Setup;
use crate::support::sql::{exec, exec_all, query};
use mysql_async::Conn;
use tidelog::position::Flavor;

/// A row of each table for every number up to 70,000, fewer where a table says so.
const TABLES: [(&str, &str, u32); 5] = [
    // Rare members of types that the text does not show, in two columns.
    (
        "rare",
        "id BIGINT PRIMARY KEY, doc JSON, other JSON",
        70_000,
    ),
    // Nothing to split by: what is read again is all that is left.
    ("text_key", "id VARCHAR(20) PRIMARY KEY, doc JSON", 40_000),
    // Every document has a member of its own.
    ("own_members", "id BIGINT PRIMARY KEY, doc JSON", 3_000),
    ("no_key", "id BIGINT, doc JSON", 3_000),
    // Its key says nothing of the order of its rows.
    (
        "prefix_key",
        "id VARCHAR(20), doc JSON, PRIMARY KEY (id(9))",
        3_000,
    ),
];

fn row_of(table: &str) -> &'static str {
    match table {
        "rare" => {
            "v, IF(v % 9973 = 0, \
               JSON_OBJECT('n', CAST(v AS UNSIGNED), CONCAT('rare', v % 7), CAST(1.5 AS DECIMAL(3, 1)), 't', 'x'), \
               JSON_OBJECT('n', CAST(v AS SIGNED), 't', 'x\"ö')), \
             CASE WHEN v % 20011 = 0 THEN JSON_ARRAY(JSON_OBJECT('a', DATE'2026-11-20')) \
                  WHEN v % 30011 = 0 THEN JSON_OBJECT('a b', CAST(7 AS UNSIGNED)) \
                  WHEN v % 3 = 0 THEN NULL ELSE JSON_ARRAY(CAST(v AS SIGNED)) END"
        }
        "own_members" => "v, JSON_OBJECT(CONCAT('k', v), CAST(v AS UNSIGNED))",
        _ => {
            "LPAD(v, 9, '0'), IF(v % 2503 = 0, \
               JSON_OBJECT('late', CAST(v AS UNSIGNED)), JSON_OBJECT('n', CAST(v AS SIGNED)))"
        }
    }
}

async fn fill(conn: &mut Conn) {
    let numbers = "SELECT ROW_NUMBER() OVER () AS v FROM d.n AS a JOIN d.n AS b JOIN d.n AS c";
    exec_all(
        conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.n (n INT PRIMARY KEY)",
            "SET cte_max_recursion_depth = 100000",
            "INSERT INTO d.n WITH RECURSIVE r AS (SELECT 1 AS v UNION ALL SELECT v + 1 FROM r WHERE v < 42) SELECT v FROM r",
        ],
    )
    .await;
    for (table, columns, rows) in TABLES {
        exec(conn, format!("CREATE TABLE d.{table} ({columns})")).await;
        let insert = format!(
            "INSERT INTO d.{table} SELECT {} FROM ({numbers}) AS numbers WHERE v <= {rows}",
            row_of(table)
        );
        exec(conn, insert).await;
        exec(conn, format!("ANALYZE TABLE d.{table}")).await;
    }
}

/// How often a table was read by the list of all types, and by paths.
async fn reads(conn: &mut Conn, table: &str) -> (usize, usize) {
    let sql = format!(
        "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log \
         WHERE command_type = 'Execute' AND argument LIKE '%FROM `d`.`{table}`%'"
    );
    let statements: Vec<String> = query(conn, sql).await;
    let documents = statements.iter().filter(|sql| sql.contains("JSON_TYPE"));
    let (lists, paths): (Vec<&String>, Vec<&String>) =
        documents.partition(|sql| sql.contains("JSON_TABLE"));
    (lists.len(), paths.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_with_rare_members_are_based_and_restored() {
    let setup = Setup::new(Flavor::MySql, &[]).await;
    let mut conn = setup.source.conn().await;
    fill(&mut conn).await;
    let log = [
        "SET GLOBAL log_output = 'TABLE'",
        "SET GLOBAL general_log = ON",
    ];
    exec_all(&mut conn, &log).await;
    setup.base().await;
    exec(&mut conn, "SET GLOBAL general_log = OFF").await;

    let mut found = Vec::new();
    for (table, ..) in TABLES {
        found.push((table, reads(&mut conn, table).await));
    }
    let of = |name: &str| {
        let table = found.iter().find(|(table, _)| *table == name);
        table.expect("a table").1
    };
    // Both columns by their paths, the second until a name that is not plain; what is left of a
    // short range is read again for each of the few paths that were not known.
    let (lists, paths) = of("rare");
    assert!(paths >= 3 && lists >= 1 && paths + lists < 20, "{found:?}");
    // Once up to the document that is unknown, and all that is left once more.
    assert_eq!(of("text_key"), (0, 2), "{found:?}");
    // By the list alone: each of four parts, and tables that are not cut.
    for (table, lists) in [("own_members", 4), ("no_key", 1), ("prefix_key", 1)] {
        assert_eq!(of(table), (lists, 0), "{found:?}");
    }
    setup.restore(&["--latest"]).success();
    setup.compare(&["d"], "documents with rare members").await;
}
