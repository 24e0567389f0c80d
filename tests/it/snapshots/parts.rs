//! A table that several connections read in parts.

use super::{open, read, read_part};
use crate::support::server::FLAVORS;
use crate::support::sql::exec;
use crate::support::start;
use std::collections::BTreeMap;
use tidelog::error::ErrorKind;
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// Every row once and none that came later, whoever reads which part; the documents of some rows
/// have other paths than those of the first ones.
#[tokio::test]
async fn a_table_in_parts_is_the_whole_table() {
    for flavor in FLAVORS {
        let server = start(ServerSpec::new(flavor)).await;
        let mut conn = server.conn().await;
        exec(&mut conn, "CREATE DATABASE d").await;
        let depth = match flavor {
            Flavor::MySql => "cte_max_recursion_depth",
            Flavor::MariaDb => "max_recursive_iterations",
        };
        exec(&mut conn, format!("SET SESSION {depth} = 10000")).await;
        for table in [
            "`a``b` (id bigint PRIMARY KEY, doc json)",
            "far (id bigint unsigned PRIMARY KEY, n int)",
            "two (id smallint, name varchar(9), PRIMARY KEY (id, name))",
            "one (id int PRIMARY KEY)",
            "none (id int PRIMARY KEY)",
            "words (name varchar(9) PRIMARY KEY)",
            "keyless (id int)",
            "loose (id int PRIMARY KEY) ENGINE=MyISAM",
        ] {
            exec(&mut conn, format!("CREATE TABLE d.{table}")).await;
        }
        let numbers =
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5000)";
        for (table, values) in [
            (
                "d.`a``b`",
                "(i - 2500) * 7, IF(i % 1000 = 999, '{\"b\": 1.5}', JSON_OBJECT('a', i))",
            ),
            ("d.far", "18446744073709551615 - i * i, i"),
            ("d.two", "i % 100, CONCAT('n', i)"),
            ("d.words", "CONCAT('w', i)"),
            ("d.keyless", "i % 10"),
            ("d.loose", "i"),
        ] {
            exec(
                &mut conn,
                format!("INSERT INTO {table} {numbers} SELECT {values} FROM n"),
            )
            .await;
        }
        exec(&mut conn, "INSERT INTO d.one VALUES (5)").await;
        let mut snapshot = open(&server, 3).await;
        let points = snapshot.workers.iter().map(|w| w.point().clone());
        let points: Vec<_> = points.collect();
        assert!(points.iter().all(|p| p.position == points[0].position));
        for sql in [
            "DELETE FROM d.`a``b` WHERE id % 2 = 0",
            "UPDATE d.far SET n = -n",
            "INSERT INTO d.two VALUES (-1, 'x'), (50, 'x'), (1000, 'x')",
            "DELETE FROM d.one",
            "INSERT INTO d.none VALUES (1), (2)",
        ] {
            exec(&mut conn, sql).await;
        }
        let mut cut = BTreeMap::new();
        for table in &snapshot.tables {
            let [first, others @ ..] = snapshot.workers.as_mut_slice() else {
                panic!("no workers");
            };
            let (whole, _) = read(first, table, flavor).await.expect("the whole table");
            let ranges = first.cut(table, 7).await.expect("ranges");
            cut.insert(table.shape.name.table.as_str(), (ranges.len(), whole.len()));
            let mut found = Vec::new();
            for (index, range) in ranges.iter().enumerate() {
                let worker = &mut others[index % 2];
                let part = read_part(worker, (table, range), flavor).await;
                let (rows, done) = part.unwrap_or_else(|e| panic!("{}", e.report()));
                assert!(done.exact_from.position.file == points[0].position.file);
                found.extend(rows);
            }
            assert_eq!(found, whole, "{flavor} {}", table.shape.name);
        }
        let expected = [
            ("a`b", (7, 5000)),
            ("far", (7, 5000)),
            ("keyless", (1, 5000)),
            ("loose", (1, 5000)),
            ("none", (1, 0)),
            ("one", (1, 1)),
            ("two", (7, 5000)),
            ("words", (1, 5000)),
        ];
        assert_eq!(cut, BTreeMap::from(expected), "{flavor}");
        // Cutting holds nothing back either.
        exec(&mut conn, "SET lock_wait_timeout=5").await;
        exec(&mut conn, "ALTER TABLE d.one ADD COLUMN x int").await;
        exec(&mut conn, "DROP TABLE d.two").await;
        let mut tables = snapshot.tables.iter();
        let two = tables.find(|t| t.shape.name.table == "two");
        let error = snapshot.workers[0].cut(two.expect("it was there"), 7).await;
        let error = error.expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:?}");
        assert!(error.get("changed").is_some(), "{error:?}");
        for worker in snapshot.workers {
            worker.close().await;
        }
    }
}
