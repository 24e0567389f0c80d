//! Stored generated columns of sessions with other settings than the restore's: MariaDB 10.11 keeps
//! what was logged, the others compute it again. A restore then ends well, says which columns are
//! not as logged, and proves all others.

use crate::restore::moment;
use crate::support::cli;
use crate::support::server::FLAVORS;
use crate::support::setup::Setup;
use crate::support::sql::{exec, exec_all, query};
use mysql_async::Conn;
use tidelog::position::Flavor;

/// Whether the servers compute stored columns of row events.
fn computes(setup: &Setup) -> bool {
    setup.source.flavor() == Flavor::MySql || !setup.source.version().starts_with("10.")
}

const BEFORE: [&str; 4] = [
    "CREATE DATABASE d",
    "CREATE TABLE d.s (id INT PRIMARY KEY, ts TIMESTAMP NULL, a INT, h INT AS (HOUR(ts)) STORED)",
    "INSERT INTO d.s (id, ts, a) VALUES (1, FROM_UNIXTIME(1792888200), 1)",
    "SET time_zone = '+05:30'",
];
const INSERT: &str = "INSERT INTO d.s (id, ts, a) VALUES (2, FROM_UNIXTIME(1792888200), 2), \
                      (3, FROM_UNIXTIME(1792888200), 3)";

/// What every server is given.
async fn given(conn: &mut Conn, table: &str) -> Vec<(i32, String, Option<i32>)> {
    exec(conn, "SET time_zone = '+00:00'").await;
    let sql = format!("SELECT id, CAST(ts AS CHAR), a FROM d.{table} ORDER BY 1, 2, 3");
    query(conn, &sql).await
}

impl Setup {
    /// The restore of a moment ended as it must: exact, or all but what the server computes, with
    /// the tables and columns of which this is so.
    fn ended(&self, restored: &cli::Run, tables: &[&str], what: &str) {
        restored.success();
        let report = restored.json();
        let listed = report["recomputed"].as_array().expect("a list");
        if !computes(self) {
            assert!(listed.is_empty(), "{what}: {listed:?}");
            return;
        }
        let found: Vec<&str> = listed.iter().filter_map(|t| t["table"].as_str()).collect();
        assert_eq!(found, tables, "{what}");
        for table in listed {
            assert_eq!(table["columns"], serde_json::json!(["h"]), "{what}");
            let warning = format!("d.{}: stored generated columns (h)", found[0]);
            assert!(
                restored.stderr().contains(&warning),
                "{}",
                restored.stderr()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_local_times_of_other_sessions_are_exact_or_named() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, &BEFORE).await;
        exec(&mut conn, INSERT).await;
        setup.capture();
        let restored = setup.restore(&["--latest", "--json"]);
        setup.ended(&restored, &["s"], "JSON");
        let expected = given(&mut setup.source.conn().await, "s").await;
        assert_eq!(expected.len(), 3);
        let found = given(&mut setup.target.conn().await, "s").await;
        assert_eq!(expected, found);
        if !computes(&setup) {
            setup.compare(&["d"], "stored columns").await;
        }
        setup.drop_on_target(&["d"]).await;
        let restored = setup.restore(&["--latest"]);
        let text = restored.success().stdout();
        assert_eq!(
            text.contains("recomputed: d.s: "),
            computes(&setup),
            "{text}"
        );
        assert!(
            text.contains("every table was read back and is equal"),
            "{text}"
        );
    }
}

/// A given cell that is wrong fails the restore as ever, beside columns that are computed; what is
/// equal is remembered by a restore that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_given_cell_is_no_computed_one() {
    for flavor in FLAVORS {
        let trigger = "CREATE TRIGGER d.tr BEFORE INSERT ON d.s FOR EACH ROW SET NEW.a = NEW.a";
        let mut before = BEFORE.to_vec();
        before.insert(2, trigger);
        let (setup, mut conn) = Setup::based(flavor, &before).await;
        exec(&mut conn, INSERT).await;
        setup.capture();
        let mut target = setup.target.conn().await;
        let all = match flavor {
            Flavor::MySql => {
                "BINLOG_ADMIN, SESSION_VARIABLES_ADMIN, SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER, \
                 SYSTEM_USER"
            }
            Flavor::MariaDb => "BINLOG REPLAY, BINLOG ADMIN, SET USER",
        };
        let tables = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, \
                      CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, TRIGGER, EVENT";
        exec_all(
            &mut target,
            &[
                "CREATE USER few@'%' IDENTIFIED BY 'pw'",
                &format!("GRANT {tables}, {all} ON *.* TO few@'%'"),
            ],
        )
        .await;
        // It stops where all rows are there and the trigger is not.
        let url = setup.target.url("few", "pw");
        let args = [
            "--repo",
            &setup.repo,
            "--target",
            &url,
            "--latest",
            "--json",
        ];
        cli::restore(&args).refused(1, &["name=d.tr", "--resume"]);
        exec_all(
            &mut target,
            &[
                "SET GLOBAL log_bin_trust_function_creators = 1",
                "UPDATE d.s SET a = 77 WHERE id = 3",
            ],
        )
        .await;
        let args = [args.as_slice(), &["--resume"]].concat();
        cli::restore(&args).refused(1, &["differs from the log", "d.s: 3 rows of the log"]);
        exec(&mut target, "UPDATE d.s SET a = 3 WHERE id = 3").await;
        // MariaDB 10.11 keeps what is logged: there, a computed cell that differs is wrong as well.
        if !computes(&setup) {
            exec(&mut target, "SET time_zone = '+07:30'").await;
            exec(&mut target, "UPDATE d.s SET a = 30 WHERE id = 3").await;
            exec(&mut target, "UPDATE d.s SET a = 3 WHERE id = 3").await;
            cli::restore(&args).refused(1, &["only stored generated columns differ", "d.s"]);
            exec(&mut target, "SET time_zone = '+05:30'").await;
            exec(&mut target, "UPDATE d.s SET a = 30 WHERE id = 3").await;
            exec(&mut target, "UPDATE d.s SET a = 3 WHERE id = 3").await;
        }
        setup.ended(&cli::restore(&args), &["s"], "resumed");
    }
}

/// Statements between the rows: what differs stays apart, and one that could carry it on is refused.
#[tokio::test(flavor = "multi_thread")]
async fn statements_carry_no_computed_cell_on() {
    for flavor in FLAVORS {
        let mut before = BEFORE.to_vec();
        before.splice(2..2, OTHERS);
        let (setup, mut conn) = Setup::based(flavor, &before).await;
        exec_all(&mut conn, &[INSERT]).await;
        exec_all(&mut conn, &ALTERED).await;
        let mut moments = vec![(moment(&mut conn, flavor).await.1, all_given(&setup).await)];
        // In files of their own: one with changes that lack cells is never compared in full.
        setup.capture();
        exec_all(&mut conn, &CHANGED).await;
        moments.push((moment(&mut conn, flavor).await.1, all_given(&setup).await));
        exec(&mut conn, "ALTER TABLE d.m MODIFY h INT").await;
        setup.capture();
        // What a source did not log of changed rows is not compared, and the plan says so.
        let is_logged = flavor == Flavor::MySql || !computes(&setup);
        let changed: &[&str] = if is_logged { &["k", "m", "s"] } else { &["m"] };
        for (at, tables) in [(1, changed), (0, &["k", "m", "s"])] {
            let (gtids, expected) = &moments[at];
            let restored = setup.restore(&["--to-gtid", gtids, "--json"]);
            let what = format!("{flavor} {at}");
            setup.ended(&restored, tables, &what);
            let mut target = setup.target.conn().await;
            for (table, expected) in TABLES.iter().zip(expected) {
                assert_eq!(
                    given(&mut target, table).await,
                    *expected,
                    "{what}: {table}"
                );
            }
            setup.drop_on_target(&["d"]).await;
        }
        let restored = setup.restore(&["--latest"]);
        match computes(&setup) {
            true => restored.refused(1, &["table=d.m", "columns=h", "seq=", "MODIFY h INT"]),
            false => restored.success(),
        };
    }
}

const TABLES: [&str; 3] = ["k", "m", "s"];
/// Made before the base.
const OTHERS: [&str; 2] = [
    "CREATE TABLE d.k (id INT, ts TIMESTAMP NULL, a INT, h INT AS (HOUR(ts)) STORED)",
    "CREATE TABLE d.m LIKE d.s",
];
const ALTERED: [&str; 6] = [
    "INSERT INTO d.k (id, ts, a) SELECT id, ts, a FROM d.s",
    "INSERT INTO d.k (id, ts, a) SELECT id, ts, a FROM d.s",
    "INSERT INTO d.m (id, ts, a) SELECT id, ts, a FROM d.s",
    "ALTER TABLE d.s ADD c VARCHAR(9) DEFAULT 'x'",
    "ALTER TABLE d.k ADD c VARCHAR(9) DEFAULT 'x'",
    "INSERT INTO d.s (id, ts, a) VALUES (4, FROM_UNIXTIME(1792888200), 4)",
];
const CHANGED: [&str; 5] = [
    "DELETE FROM d.s WHERE id = 3",
    "UPDATE d.s SET a = 20 WHERE id = 2",
    "DELETE FROM d.k WHERE id = 3 LIMIT 1",
    "UPDATE d.k SET a = 20 WHERE id = 2 LIMIT 1",
    "ALTER TABLE d.s ENGINE = InnoDB",
];

/// What the source is given.
async fn all_given(setup: &Setup) -> Vec<Vec<(i32, String, Option<i32>)>> {
    let mut conn = setup.source.conn().await;
    let mut all = Vec::new();
    for table in TABLES {
        all.push(given(&mut conn, table).await);
    }
    all
}
